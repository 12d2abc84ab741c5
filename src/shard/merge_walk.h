/*
 * merge_walk - all series of the inputs of a merge, in block order, each once. Private to shard.
 *
 * The inputs are sorted, so a heap of cursors gives the next series: in memory are the labels of
 * one series of each.
 */
#ifndef SHARD_MERGE_WALK_H
#define SHARD_MERGE_WALK_H

#include "merge_batch.h"

/* A series as one input has it. */
struct merge_item {
    const struct merge_piece *pieces; /* [part_count], of the parts; NULL: in a block */
    uint32_t block;                   /* number of the input block */
    uint32_t position;                /* in it */
};

struct merge_cursor;

struct merge_walk {
    struct merge_work *work;
    struct merge_cursor *cursors; /* [cursor_count]: of parts first, then of blocks */
    size_t cursor_count;
    struct merge_cursor **heap; /* [heap_count], the least first */
    size_t heap_count;

    /* The series that the walk is on. */
    struct merge_cursor **taken; /* [item_count], those that are on it */
    struct merge_item *items;    /* [item_count]: parts first, then blocks as they are numbered */
    size_t item_count;
    struct block_series series; /* lives until the next step */
};

/* Begin, before the first series: of all parts and of the blocks that have something from start_ms
 * to end_ms, inclusive. Errors: CORRUPT, IO, OUT_OF_MEMORY. Clear it also then. */
enum error_code merge_walk_begin(struct merge_walk *walk, struct merge_work *work, int64_t start_ms,
                                 int64_t end_ms, struct error *error);

/* To the next series; item_count is 0 behind the last. Errors: CORRUPT, IO, CANCELED (nobody needs
 * the merge any more), OUT_OF_MEMORY. */
enum error_code merge_walk_next(struct merge_walk *walk, struct error *error);
void merge_walk_clear(struct merge_walk *walk);

/* Memory of what is read ahead. */
size_t merge_walk_size_bytes(const struct merge_walk *walk);

#endif
