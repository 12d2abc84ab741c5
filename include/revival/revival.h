/*
 * revival - what a bucket has of a cluster, and shards out of it (docs/decisions/0071).
 *
 * All blocking, on one thread; nothing is written to the bucket here.
 */
#ifndef REVIVAL_REVIVAL_H
#define REVIVAL_REVIVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/error.h"
#include "object/object_store.h"
#include "platform/disk.h"
#include "shard/bucket_claim.h"
#include "shard/bucket_list.h"
#include "shard/bucket_meta.h"

enum { REVIVAL_SHARD_NONE = UINT32_MAX };

struct revival_shard {
    bool has_list;
    struct bucket_list list; /* the newest that is whole */
    uint64_t broken_lists;   /* newer ones, which are not */
    bool *is_missing;        /* [list.block_count]: not in the bucket, or of another size */
    size_t missing_count;

    bool has_metadata;
    struct bucket_list_key metadata; /* names the newest metadata of its metrics */

    /* What revival_divide says. */
    struct slot_set owned;
    uint32_t source; /* whose list it begins with: mostly its own; REVIVAL_SHARD_NONE: empty */
    uint32_t *heirs; /* [heir_count]: shards without a list that begin with this one's */
    size_t heir_count;
};

struct revival_survey {
    struct object_store *store;
    bool has_claim;
    struct bucket_claim claim;
    bool has_meta;
    struct bucket_meta meta; /* the newest that is whole */
    struct byte_buffer meta_bytes;
    uint64_t broken_metas;
    uint64_t incarnation_max; /* of all that is there; 0: nothing is */
    int64_t newest_ms;        /* when a cluster put its newest list or meta object; INT64_MIN: it
                                 has put none, or none since all was restored from a backup */
    struct revival_shard *shards; /* [shard_count], by id; some have nothing */
    size_t shard_count;
    uint32_t shard_of[SLOT_COUNT]; /* by revival_divide */
};

/*
 * Read the claim, the newest meta object and the newest list of each shard, and look whether what
 * they name is there. A newest one that is damaged or cut is passed over for the one before it.
 * `store` outlives the survey.
 *
 * Errors: those of the store; UNSUPPORTED (of a later release); CORRUPT (the claim);
 * OUT_OF_MEMORY.
 */
enum error_code revival_look(struct object_store *store, struct revival_survey *survey_out,
                             struct error *error);
void revival_clear(struct revival_survey *survey);

/*
 * Give each slot to one shard, and each shard a list to begin with.
 *
 * Slots are divided as the meta object says, or where there is none evenly among
 * `founding_shards`, and then as the lists of shards say that were split off since: they have the
 * slots that they were given, while one that was founded has all in its list until it is split. A
 * shard that was split off and has no list yet begins with that of the shard that it came from, and
 * is its heir.
 *
 * Errors: INVALID (a shard has no slot, or there are more than `founding_shards`), OUT_OF_MEMORY.
 */
enum error_code revival_divide(struct revival_survey *survey, uint32_t founding_shards,
                               struct error *error);

/* For people: whose it is, and a line for each shard. */
void revival_print(const struct revival_survey *survey, FILE *output);

struct revival_totals {
    uint64_t blocks, bytes, samples;
    uint64_t missing_blocks, missing_samples;
    uint64_t broken_lists;
    int64_t newest_sample_ms; /* INT64_MIN: none */
};

struct revival_totals revival_count(const struct revival_survey *survey);

enum revival_blocks {
    REVIVAL_LEAVES,    /* blocks stay in the bucket, and are read there */
    REVIVAL_DOWNLOADS, /* files of them are written, checked by their hashes */
};

/*
 * Make a divided shard in `directory` of `disk`; its state is appended to `manifest`, of the log
 * index *index_out. Of a shard that begins empty nothing is made, and the index is 0. Blocks that
 * are missing are left out.
 *
 * Errors: those of the store; CORRUPT (an object that is not what its list says); NO_SPACE, IO,
 * OUT_OF_MEMORY.
 */
enum error_code revival_make_shard(const struct revival_survey *survey, uint32_t shard_id,
                                   enum revival_blocks blocks, struct disk *disk,
                                   const char *directory, struct byte_buffer *manifest,
                                   uint64_t *index_out, struct error *error);

#endif
