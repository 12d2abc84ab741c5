/*
 * histogram_buckets - a native histogram taken apart, for arithmetic: buckets by index.
 *
 * Private to the histogram_*.c files.
 */
#ifndef PROMQL_HISTOGRAM_BUCKETS_H
#define PROMQL_HISTOGRAM_BUCKETS_H

#include "base/arena.h"
#include "model/histogram_buckets.h"

#include "histogram_numbers.h"

struct bucket {
    int32_t index;
    double count;
};

/* Ascending by index, without empty ones unless said otherwise. */
struct bucket_list {
    struct bucket *buckets; /* [count] */
    size_t count;
};

struct histogram_parts {
    int32_t schema;
    enum histogram_reset reset;
    double zero_threshold;
    double zero_count;
    double count;
    double sum;
    struct bucket_list positive; /* without the empty ones */
    struct bucket_list negative;
    bool has_positive; /* buckets of that side, empty ones as well: zero may be at their end */
    bool has_negative;
    const double *bounds; /* [bound_count], custom buckets */
    size_t bound_count;
};

/* False when memory is out. */
bool histogram_take_apart(struct arena *arena, const struct histogram *histogram,
                          struct histogram_parts *parts_out);

/* Back into a float histogram; empty buckets are left out. NULL: memory is out. */
struct histogram *histogram_put_together(struct arena *arena, const struct histogram_parts *parts);

/* A bucket with its bounds, as an observer sees it. */
struct bounded_bucket {
    double lower;
    double upper;
    double count;
};

/* All buckets from the lowest to the highest, the zero bucket among them when it has counts;
 * [*count_out] in the arena. NULL: memory is out. */
struct bounded_bucket *histogram_bounded_buckets(struct arena *arena,
                                                 const struct histogram_parts *parts,
                                                 size_t *count_out);

/* Merge buckets to a lower resolution. False when memory is out. */
bool parts_reduce(struct arena *arena, struct histogram_parts *parts, int32_t schema);

/* The zero count with a larger threshold, which grows to the end of any bucket it cuts. */
double parts_zero_count(const struct histogram_parts *parts, double *threshold);

#endif
