/*
 * merge_batch - what the parts of a merge hold of series that come next. Private to shard.
 *
 * Series come in block order, in which ids jump about; parts are sorted by id. One series at a
 * time, each would look for its place in every part anew, and all of a part would have to stay in
 * memory until the order comes back to it. So some thousand series are read at once, by id, and
 * held as they are encoded.
 */
#ifndef SHARD_MERGE_BATCH_H
#define SHARD_MERGE_BATCH_H

#include "base/arena.h"
#include "block/encoded_series.h"
#include "model/sample.h"

#include "merge_work.h"

/* What one part holds of one series in the window; chunks reach over its ends. */
struct merge_piece {
    struct encoded_series encoded;
    const struct exemplar *exemplars;
    size_t exemplar_count;
};

struct merge_batch {
    struct merge_work *work;
    const struct segment_order *order;
    int64_t start_ms; /* of the window */
    int64_t end_ms;   /* inclusive */
    size_t capacity;  /* series at once */
    size_t first;     /* place in the order */
    size_t count;
    struct arena *arena;
    struct merge_piece *pieces; /* [capacity * part_count], by place, then by part */
};

/* Errors: OUT_OF_MEMORY. Clear it also then. */
enum error_code merge_batch_begin(struct merge_batch *batch, struct merge_work *work,
                                  const struct segment_order *order, int64_t start_ms,
                                  int64_t end_ms, struct error *error);

/* [part_count] of the series at `place`; they live until a place behind the batch is asked for.
 * Errors: CORRUPT, IO, OUT_OF_MEMORY. */
enum error_code merge_batch_find(struct merge_batch *batch, size_t place,
                                 const struct merge_piece **pieces_out, struct error *error);
void merge_batch_clear(struct merge_batch *batch);

#endif
