/*
 * merge_work - the work of a merge, on its worker: its inputs, open. Private to shard.
 */
#ifndef SHARD_MERGE_WORK_H
#define SHARD_MERGE_WORK_H

#include "block/block_reader.h"
#include "block/part_reader.h"
#include "block/segment_order.h"

#include "merge.h"

struct merge_work {
    struct merge *merge;
    /* The inputs are read through a cache of their own: they pass once, and pages that queries use
     * stay where they are. */
    struct page_cache *cache;
    struct part_reader **part_readers;   /* [part_count] */
    struct block_reader **block_readers; /* [block_count] */
    struct segment_order **orders;       /* [order_count]: the series of the parts */
    size_t order_count;
};

/* Find the series of the parts and sort them. Errors: CORRUPT, IO, LIMIT, OUT_OF_MEMORY. */
enum error_code merge_sort_parts(struct merge_work *work, struct error *error);

#endif
