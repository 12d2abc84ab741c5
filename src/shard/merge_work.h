/*
 * merge_work - the work of a merge, on its worker. Private to shard.
 */
#ifndef SHARD_MERGE_WORK_H
#define SHARD_MERGE_WORK_H

#include "block/block_reader.h"
#include "block/block_writer.h"
#include "block/part_reader.h"
#include "block/segment_order.h"

#include "column_merge.h"
#include "merge.h"

struct time_range {
    int64_t start_ms;
    int64_t end_ms;
};

struct merge_work {
    struct merge *merge;
    struct part_reader **part_readers;   /* [part_count] */
    struct block_reader **block_readers; /* [block_count] */
    struct segment_order **orders;       /* [order_count]: the series of the parts */
    size_t order_count;
    struct sample_columns *pieces; /* [part_count + block_count] */
    struct column_merge *cuts;     /* [part_count + block_count] */
    struct column_merge merged;
    struct time_range exemplars; /* of the window under way */
};

/* Find the series of the parts and sort them. Errors: CORRUPT, IO, LIMIT, OUT_OF_MEMORY. */
enum error_code merge_sort_parts(struct merge_work *work, struct error *error);

#endif
