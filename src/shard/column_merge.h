/*
 * column_merge - one series' samples from several pieces as one. Private to shard.
 *
 * Pieces may hold the same timestamp with equal or different values; the total order of
 * model/sample.h decides, a histogram wins over a float, so the answer does not depend on the
 * order of the pieces.
 */
#ifndef SHARD_COLUMN_MERGE_H
#define SHARD_COLUMN_MERGE_H

#include "base/error.h"
#include "model/columns.h"

/* Memory that a merge writes to; zero-initialise, one thread at a time. */
struct column_merge {
    struct merged_columns *slots[2]; /* the result of the step before and of this one */
};

/*
 * Merge `count` pieces. With one piece that is not empty, its columns are returned as they are;
 * otherwise the result is valid until the next call. Errors: OUT_OF_MEMORY.
 */
enum error_code column_merge(struct column_merge *merge, const struct sample_columns *pieces,
                             size_t count, struct sample_columns *columns_out, struct error *error);

/* Leave out the samples with start_ms <= timestamp <= end_ms. Errors: OUT_OF_MEMORY. */
enum error_code column_cut(struct column_merge *merge, int64_t start_ms, int64_t end_ms,
                           struct sample_columns *columns, struct error *error);

void column_merge_clear(struct column_merge *merge);

#endif
