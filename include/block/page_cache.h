/*
 * page_cache - decoded pages of all immutable files of a node, within one budget.
 *
 * Pages are read on a miss, their checksum verified and their bytes decompressed once, then shared
 * by reference count. Sharded by a hash of (file, offset), each shard with a lock and a clock
 * hand. Two threads that miss the same page read it once: the second waits. Pinned pages are never
 * evicted; they may push the cache over its budget for as long as they are pinned. The pages of a
 * file leave when it is closed.
 *
 * Thread-safe. One per node; the simulation makes one per simulated node.
 */
#ifndef BLOCK_PAGE_CACHE_H
#define BLOCK_PAGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct page_cache;

/* At most about `budget_bytes` of unpinned pages. Errors: OUT_OF_MEMORY. */
enum error_code page_cache_create(size_t budget_bytes, struct page_cache **cache_out,
                                  struct error *error);

/* After every file that uses it is closed. NULL is fine. */
void page_cache_destroy(struct page_cache *cache);

/* Takes effect at once: evicts what is over it. */
void page_cache_set_budget(struct page_cache *cache, size_t budget_bytes);

struct page_cache_statistics {
    uint64_t hits;
    uint64_t misses;
    uint64_t evictions;
    uint64_t read_bytes; /* from files */
    uint64_t size_bytes; /* now, pinned pages included */
    uint64_t page_count; /* now */
    uint64_t budget_bytes;
    uint64_t corrupt_pages; /* refused by checksum or length */
};

struct page_cache_statistics page_cache_statistics(struct page_cache *cache);

#endif
