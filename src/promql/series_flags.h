/* Bits of a series that has samples. Without SERIES_SINGLE a size and a body follow. */
#ifndef PROMQL_SERIES_FLAGS_H
#define PROMQL_SERIES_FLAGS_H

enum series_flag {
    SERIES_SINGLE = 1,         /* one float, in place */
    SERIES_HAS_HISTOGRAMS = 2, /* not with SINGLE */
    SERIES_HAS_STARTS = 4,
    SERIES_NEW_COLUMN = 8, /* its timestamps are in the body; else they are an earlier column */
    SERIES_FLAGS = 15,
};

#endif
