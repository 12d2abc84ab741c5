/*
 * columns - samples of one series as arrays, the form in which they travel
 * from storage to queries and into files.
 */
#ifndef MODEL_COLUMNS_H
#define MODEL_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "model/sample.h"

/*
 * Samples of one series, ascending by timestamp, each timestamp once. The memory belongs to who
 * filled them in (a reader: valid until its next read or close).
 */
struct sample_columns {
    size_t count;
    const int64_t *timestamps_ms; /* [count] */
    const double *values;         /* [count]; unused where there is a histogram */
    /* [count], NULL at float samples; NULL as a whole when all samples are floats. */
    const struct histogram *const *histograms;
    /* [count], 0: none; NULL as a whole when no sample has one. */
    const int64_t *start_timestamps_ms;
    /* Two results of one reader's source with the same non-zero id have identical timestamps. */
    uint64_t timestamps_id;
};

#endif
