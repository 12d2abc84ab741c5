/*
 * quantile - quantiles of values and of classic histogram buckets.
 */
#ifndef PROMQL_QUANTILE_H
#define PROMQL_QUANTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * The q-quantile with linear interpolation; reorders `values`, NaN, which counts as lowest, to the
 * front. NaN without values or for a NaN q, -Inf below 0, +Inf above 1.
 */
double quantile_of_values(double quantile, double *values, size_t count);

/* The same of values that are sorted, as the numbers of quantile_key. */
double quantile_of_keys(double quantile, const uint64_t *keys, size_t count);

/* A number that is ordered as the value is, with every NaN as 0 and so the lowest. */
static inline uint64_t quantile_key(double value)
{
    uint64_t bits = double_to_bits(value);
    if (value != value)
        return 0;
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* A cumulative bucket of a classic histogram. */
struct classic_bucket {
    double upper_bound;
    double count;
};

struct bucket_quantile {
    double value;
    bool forced_monotonic;   /* counts fell from bucket to bucket beyond rounding errors */
    double fixed_bucket_min; /* the lowest and highest bounds of buckets that were raised */
    double fixed_bucket_max;
    double difference_max; /* the largest raise */
};

/* Sorts and repairs `buckets`, at least 1. */
struct bucket_quantile quantile_of_buckets(double quantile, struct classic_bucket *buckets,
                                           size_t count);

/* The fraction of observations in (lower, upper]; sorts and repairs `buckets`, at least 1. */
double fraction_of_buckets(double lower, double upper, struct classic_bucket *buckets,
                           size_t count);

#endif
