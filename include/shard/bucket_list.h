/*
 * bucket_list - what of one shard lies in the bucket, as readers that are no replicas see it: the
 * lists that leaders publish, and the names of objects (docs/formats/bucket.md).
 *
 * The newest list of a shard that is whole counts: names of lists are in the order of their age. A
 * shard that was founded with the cluster and never split lists all slots, since it has series of
 * its own only. A slot of a list with fewer is that shard's, and not its parent's, whose newest
 * list may be of before the split; of two such lists the one with the higher id counts.
 */
#ifndef SHARD_BUCKET_LIST_H
#define SHARD_BUCKET_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/text.h"
#include "block/file_summary.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "shard/slots.h"

enum {
    BUCKET_KEY_MAX = 160,
    BUCKET_LIST_BYTES_MAX = 256 * 1024 * 1024,
    BUCKET_METADATA_BYTES_MAX = 256 * 1024 * 1024,
};

/* Of which cluster everything here is. */
#define BUCKET_CLUSTER_KEY "cluster"

/* Put behind everything of a bucket that was restored: what is not younger was put by no cluster.
 */
#define BUCKET_RESTORED_KEY "restored"

/* --- Names: keys below the store's prefix --------------------------------------------------- */

/* What names a block's object. */
struct bucket_block_key {
    uint32_t shard_id; /* that uploaded it */
    uint64_t index;    /* of the entry that began its merge */
    uint32_t number;
    struct hash128 hash; /* of all bytes of the object */
};

/* What names a list. */
struct bucket_list_key {
    uint32_t shard_id;
    uint64_t incarnation; /* of the cluster */
    uint64_t index;       /* of the shard's log: what is listed then */
};

/* NUL-terminated; the text is a view of it. */
struct text bucket_block_key_format(const struct bucket_block_key *key, char text[BUCKET_KEY_MAX]);
struct text bucket_list_key_format(const struct bucket_list_key *key, char text[BUCKET_KEY_MAX]);

/* Of the metadata of metrics that was put with a list. */
struct text bucket_metadata_key_format(const struct bucket_list_key *list,
                                       char text[BUCKET_KEY_MAX]);
struct text bucket_metadata_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX]);

/* "shards/<id>/", below which all keys of a shard are, and "shards/<id>/manifests/". */
struct text bucket_shard_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX]);
struct text bucket_lists_prefix(uint32_t shard_id, char text[BUCKET_KEY_MAX]);

/* False: it is no such key. */
bool bucket_block_key_parse(struct text text, struct bucket_block_key *key_out);
bool bucket_list_key_parse(struct text text, struct bucket_list_key *key_out);
bool bucket_metadata_key_parse(struct text text, struct bucket_list_key *list_out);

/* --- Lists ------------------------------------------------------------------------------------ */

struct bucket_listed {
    struct bucket_block_key key;
    uint64_t size_bytes;     /* of the object */
    int64_t window_start_ms; /* all samples are in [window_start_ms, window_end_ms) */
    int64_t window_end_ms;
    int64_t stamp_ms; /* when the merge that made it was decided */
    struct file_summary summary;
};

/* Samples that are deleted from blocks of lower indexes. */
struct bucket_deletion {
    uint64_t index; /* of the entry */
    struct text tenant;
    int64_t start_ms, end_ms;              /* both are deleted */
    const struct matcher *const *matchers; /* [matcher_count] */
    size_t matcher_count;
};

struct retention_cut;

struct bucket_list {
    struct bucket_list_key key;
    int64_t retention_cutoff_ms;     /* samples before it need not be shown */
    struct retention_cut *retention; /* see bucket_list_kept_from */
    struct slot_set slots; /* series of others may be in the blocks, and are not the shard's */
    uint32_t *heirs;       /* [heir_count]: shards that were split off, and may name blocks
                              below the keys of this one */
    size_t heir_count;
    struct bucket_deletion *deletions; /* [deletion_count] */
    size_t deletion_count;
    struct bucket_listed *blocks; /* [block_count], no sample is in two of them but for those that
                                     were sent twice */
    size_t block_count;
    struct tombstones *tombstones; /* of which the deletions are a view */
};

/* Errors: CORRUPT (cut, damaged, or not a list), UNSUPPORTED, OUT_OF_MEMORY. */
enum error_code bucket_list_decode(const uint8_t *bytes, size_t size_bytes,
                                   struct bucket_list *list_out, struct error *error);
void bucket_list_clear(struct bucket_list *list);

/* Samples of the series before it are not to be shown: they are past their retention. */
int64_t bucket_list_kept_from(const struct bucket_list *list, struct text tenant,
                              struct labels labels);

/* Whether that may be later than retention_cutoff_ms, and later than a time, for some series. */
bool bucket_list_retains_by_series(const struct bucket_list *list, int64_t from_ms);

#endif
