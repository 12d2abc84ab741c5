/*
 * merge_work - the work of a merge, on its worker: all series of the inputs, in block order.
 * Private to shard.
 */
#ifndef SHARD_MERGE_WORK_H
#define SHARD_MERGE_WORK_H

#include "base/arena.h"
#include "block/block_reader.h"
#include "block/block_writer.h"
#include "block/part_reader.h"

#include "column_merge.h"
#include "merge.h"

/* One series of one input. Equal series of several inputs become neighbours by sorting. */
struct merge_item {
    struct block_series series;
    uint64_t id;       /* in parts; SERIES_ID_OF_BLOCK: in a block */
    uint32_t block;    /* number of the input block */
    uint32_t position; /* in it */
    bool begins;       /* once sorted: not the same series as the item before */
};

#define SERIES_ID_OF_BLOCK UINT64_MAX

struct time_range {
    int64_t start_ms;
    int64_t end_ms;
};

struct merge_work {
    struct merge *merge;
    struct arena *arena; /* labels of all items */
    struct merge_item *items;
    size_t item_count;
    size_t item_capacity;
    struct part_reader **part_readers;   /* [part_count] */
    struct block_reader **block_readers; /* [block_count] */
    struct sample_columns *pieces;       /* [part_count + block_count] */
    struct column_merge *cuts;           /* [part_count + block_count] */
    struct column_merge merged;
    struct time_range exemplars; /* of the window under way */
};

/* Fill in the items from the readers. Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code merge_collect_series(struct merge_work *work, struct error *error);

#endif
