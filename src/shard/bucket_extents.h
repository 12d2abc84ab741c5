/*
 * bucket_extents - read ranges of objects through the cache. Private to shard.
 */
#ifndef SHARD_BUCKET_EXTENTS_H
#define SHARD_BUCKET_EXTENTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "base/checksum.h"
#include "base/text.h"
#include "object/object_store.h"
#include "shard/bucket_cache.h"

#include "extent_table.h"

struct bucket_cache {
    pthread_mutex_t lock;
    pthread_cond_t filled; /* an extent is READY, or gone */
    struct extent_table table;
    struct disk *disk;
    struct file *file;       /* NULL: in memory only */
    unsigned writes_skipped; /* since one failed */
    bool write_failed;       /* the last one */
    struct bucket_cache_statistics counted;
};

/* A part of an object, which is not empty and inside of it. */
struct object_part {
    struct object_store *store; /* of all ranges of a call the same */
    struct text key;
    struct hash128 object; /* of the key */
    uint64_t object_bytes;
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

/*
 * Have all extents of the ranges in the cache or on their way there by another thread. Those that
 * are not are read from the store, neighbours together and all at once: one wait for the store, of
 * as many as FETCH_EXTENTS_MAX extents. Errors: those of object_store.h, CORRUPT, OUT_OF_MEMORY.
 */
enum { FETCH_EXTENTS_MAX = 1024 };
enum error_code bucket_cache_fetch(struct bucket_cache *cache, const struct object_part *ranges,
                                   size_t count, struct error *error);

/* The bytes of a range. What has to be read from the store is read with `ahead_bytes` more, as far
 * as the object goes. Errors: as bucket_cache_fetch. */
enum error_code bucket_cache_read(struct bucket_cache *cache, const struct object_part *range,
                                  uint64_t ahead_bytes, uint8_t *target, struct error *error);

/* Past the cache. */
enum error_code object_part_read(const struct object_part *range, uint8_t *target,
                                 struct error *error);

/* What a read that was made says; the object's size must be right. */
enum error_code object_part_check(const struct object_part *range, const struct object_read *read,
                                  struct error *error);

/* Write an extent that is pinned to the file, if there is one. A disk that refuses is asked again
 * some extents later. */
void bucket_cache_spill(struct bucket_cache *cache, struct extent *extent);

#endif
