/*
 * histogram_buckets - the buckets of a native histogram with their bounds, lowest first.
 *
 * Exponential schemas: bucket i of a positive span covers (2^((i-1)/2^schema), 2^(i/2^schema)].
 */
#ifndef MODEL_HISTOGRAM_BUCKETS_H
#define MODEL_HISTOGRAM_BUCKETS_H

#include "model/sample.h"

struct histogram_bucket {
    double lower;
    double upper;
    bool lower_inclusive;
    bool upper_inclusive;
    double count;
};

struct histogram_bucket_cursor {
    const struct histogram *histogram;
    int phase;     /* negative, zero, positive, end */
    uint32_t span; /* of the phase */
    uint32_t in_span;
    uint32_t bucket; /* number within the phase, from its start or, if negative, its end */
    int64_t index;
};

/* The upper bound of positive bucket `index`. */
double histogram_exponential_bound(int32_t schema, int64_t index);

struct histogram_bucket_cursor histogram_buckets_begin(const struct histogram *histogram);

/* The next bucket, empty ones included but for the zero bucket, which is there when its count is
 * above zero, as in Prometheus; false after the last. The histogram is valid (histogram_validate).
 */
bool histogram_buckets_next(struct histogram_bucket_cursor *cursor,
                            struct histogram_bucket *bucket_out);

/* A count as a double, whatever the kind. */
static inline double histogram_number_value(const struct histogram *histogram,
                                            union histogram_number number)
{
    return histogram->kind == HISTOGRAM_INTEGER ? (double)number.integer : number.real;
}

#endif
