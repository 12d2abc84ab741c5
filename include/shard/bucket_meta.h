/*
 * bucket_meta - what of a cluster as a whole lies in the bucket, beside the lists of its shards:
 * how slots are divided, and the settings of tenants (docs/formats/bucket.md).
 *
 * The highest key whose object is whole counts. What a key names is a function of the state of the
 * cluster at its index, so it may be put again and again.
 */
#ifndef SHARD_BUCKET_META_H
#define SHARD_BUCKET_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "shard/bucket_list.h"
#include "shard/slots.h"

enum {
    BUCKET_META_BYTES_MAX = 16 * 1024 * 1024,
    BUCKET_META_REPLICATION_MAX = 255,
    BUCKET_META_NO_PARENT = UINT16_MAX,
};

/* Below which all keys of such objects are. */
#define BUCKET_META_PREFIX "meta/"

struct bucket_meta_key {
    uint64_t incarnation; /* of the cluster */
    uint64_t index;       /* of the meta group's log; 0: of a node alone, which has none */
};

struct bucket_meta_setting {
    struct text tenant, key, value; /* none is empty */
};

struct bucket_meta {
    struct bucket_meta_key key;
    uint32_t replication;  /* replicas that a shard shall have, 1..BUCKET_META_REPLICATION_MAX */
    uint32_t spread;       /* over how many slots one target is spread, 1..SLOT_COUNT */
    struct slot_map slots; /* each shard has one at least; `version` is not stored */
    uint16_t parents[SLOT_COUNT]; /* [slots.shard_count]: a lower shard, that it was split from, or
                                     BUCKET_META_NO_PARENT */
    struct bucket_meta_setting *settings; /* [setting_count] */
    size_t setting_count;
};

struct text bucket_meta_key_format(const struct bucket_meta_key *key, char text[BUCKET_KEY_MAX]);

/* False: it is no such key. */
bool bucket_meta_key_parse(struct text text, struct bucket_meta_key *key_out);

/* Memory: test `buffer->failed`. */
void bucket_meta_encode(const struct bucket_meta *meta, struct byte_buffer *buffer);

/* Texts are views of `bytes`. Errors: CORRUPT (cut, damaged, or another thing), UNSUPPORTED,
 * OUT_OF_MEMORY. */
enum error_code bucket_meta_decode(const uint8_t *bytes, size_t size_bytes,
                                   struct bucket_meta *meta_out, struct error *error);

/* Of one that was decoded. */
void bucket_meta_clear(struct bucket_meta *meta);

#endif
