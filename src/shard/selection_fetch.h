/*
 * selection_fetch - what a query will read of blocks in the bucket, fetched before it is read
 * (block/block_fetch.h). Private to shard.
 *
 * Nothing is done where no block is in the bucket, and on a thread that must not wait.
 */
#ifndef SHARD_SELECTION_FETCH_H
#define SHARD_SELECTION_FETCH_H

#include "series_selection.h"

/* So much of samples at once: the memory that a reader of a selection has waiting for it. */
enum { SAMPLES_AHEAD_BYTES = 16 * 1024 * 1024 };

/* What is read of series. Whether they have samples at all in the range is seen by timestamps, and
 * without any where a block lies in it as a whole. */
struct samples_needed {
    enum series_need need;
    int64_t start_ms;
    int64_t end_ms;
};

/* What the matchers of a request ask for of all blocks in its range, and the values of a label
 * unless it is NULL. Errors: those of block/block_fetch.h. */
enum error_code selection_fetch_indexes(struct view *view, const struct series_request *request,
                                        const struct text *values_of, struct error *error);

/* Labels of what was found, not joined yet, and samples of the first. Errors: likewise. */
enum error_code selection_fetch_found(struct view *view, const struct series_request *request,
                                      const struct series_selection *selection,
                                      struct error *error);

/* How far a reader of a selection has fetched ahead. Zero-initialise. */
struct samples_ahead {
    size_t first; /* series [first, end) are near */
    size_t end;
    size_t series_count; /* of the last time */
};

/* Have samples of series `index` and those behind it near, as the request needs them. Errors:
 * likewise. */
enum error_code selection_fetch_samples(struct view *view, const struct series_selection *selection,
                                        const struct samples_needed *needed, size_t index,
                                        struct samples_ahead *ahead, struct error *error);

/* Whether some block of the selection is in the bucket. */
bool selection_is_remote(const struct view *view, const struct series_selection *selection);

#endif
