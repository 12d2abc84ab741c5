/*
 * bucket_source - the bytes of an object of the bucket, to be read as a file (block/page_source.h).
 *
 * Reads block, for as long as the store is patient at most; they are for workers. Any number of
 * threads may read at once.
 */
#ifndef SHARD_BUCKET_SOURCE_H
#define SHARD_BUCKET_SOURCE_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "block/page_source.h"

struct bucket_cache;
struct object_store;

struct bucket_source_options {
    struct object_store *store; /* outlives the source */
    struct bucket_cache *cache; /* of this store alone, outlives the source; NULL: each read asks
                                   the store */
    struct text key;            /* copied */
    uint64_t size_bytes;        /* of the object, as the log or a list has it */
};

/*
 * Asks the store for nothing yet. Errors: INVALID (the key), OUT_OF_MEMORY. Errors of reads:
 * UNAVAILABLE (not now: not reached, too slow, it refuses, or shows no such object), CORRUPT (it is
 * shorter than it should be), OUT_OF_MEMORY.
 */
enum error_code bucket_source_open(const struct bucket_source_options *options,
                                   struct page_source **source_out, struct error *error);

#endif
