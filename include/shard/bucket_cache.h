/*
 * bucket_cache - what was read of objects of the bucket, near: in memory and in a file on the disk.
 *
 * Objects are cut into extents of 32 KiB. A key never has two contents (docs/formats/bucket.md), so
 * an extent is never stale: it stays until the room is needed, first in memory, then in the file.
 * The file begins empty with each start of the node, so that no start waits for it; what is read
 * from it is compared with a hash that is kept in memory, and read from the store again when it
 * differs. A disk that is full or fails makes the cache smaller, and no query fail.
 *
 * Two threads that want one extent read it once. Thread-safe; all that reads blocks: for workers.
 */
#ifndef SHARD_BUCKET_CACHE_H
#define SHARD_BUCKET_CACHE_H

#include <stdint.h>

#include "base/error.h"
#include "platform/disk.h"

enum { BUCKET_EXTENT_BYTES = 32 * 1024 };

struct bucket_cache;

struct bucket_cache_options {
    uint64_t memory_bytes; /* of extents in memory; those that are being read may exceed it */
    struct disk *disk;     /* outlives the cache; NULL: in memory only */
    const char *directory; /* on it, made when it is missing; a file in it is replaced */
    uint64_t disk_bytes;   /* of that file, which stays smaller on a disk of which less than a tenth
                              is free; 0: in memory only */
};

/* A file that cannot be made is a cache in memory only, and *refusal_out tells why; its code is
 * NONE otherwise. Errors: OUT_OF_MEMORY. */
enum error_code bucket_cache_create(const struct bucket_cache_options *options,
                                    struct bucket_cache **cache_out, struct error *refusal_out,
                                    struct error *error);

/* After all sources that use it are closed. NULL is fine. */
void bucket_cache_destroy(struct bucket_cache *cache);

struct bucket_cache_statistics {
    uint64_t round_trips;   /* waits for the store; one may be for many ranges */
    uint64_t reads;         /* ranges that the store was asked for */
    uint64_t read_bytes;    /* of them */
    uint64_t read_failures; /* ranges that did not come */
    uint64_t memory_hits;   /* extents found */
    uint64_t disk_hits;
    uint64_t misses;         /* extents read from the store */
    uint64_t memory_bytes;   /* now */
    uint64_t disk_bytes;     /* now */
    uint64_t disk_evictions; /* extents that left the file for others */
    uint64_t disk_failures;  /* extents that could not be written or read there */
    uint64_t disk_corrupt;   /* extents that the file gave back with other bytes */
};

struct bucket_cache_statistics bucket_cache_statistics(struct bucket_cache *cache);

#endif
