/*
 * histogram_numbers - the counts of a native histogram as doubles, whatever its kind.
 */
#ifndef PROMQL_HISTOGRAM_NUMBERS_H
#define PROMQL_HISTOGRAM_NUMBERS_H

#include "model/sample.h"

static inline bool histogram_is_custom(const struct histogram *histogram)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

static inline double histogram_number(const struct histogram *histogram,
                                      union histogram_number number)
{
    return histogram->kind == HISTOGRAM_FLOAT ? number.real : (double)number.integer;
}

static inline double histogram_count(const struct histogram *histogram)
{
    return histogram_number(histogram, histogram->count);
}

#endif
