/*
 * histogram_math - arithmetic of native histograms as Prometheus defines it.
 *
 * Functions take histograms of any kind and yield float histograms in an arena, in which buckets
 * without observations are left out. NULL: memory is out. Immutable inputs; any thread.
 */
#ifndef PROMQL_HISTOGRAM_MATH_H
#define PROMQL_HISTOGRAM_MATH_H

#include "evaluation.h"
#include "histogram_numbers.h"

/* A float histogram without empty buckets. */
struct histogram *histogram_compacted(struct arena *arena, const struct histogram *histogram);

/* Every count and the sum times `factor`; a negative factor makes it a gauge. */
struct histogram *histogram_scaled(struct arena *arena, const struct histogram *histogram,
                                   double factor);
/* Divided: what is not 0 / 0 in a bucket. */
struct histogram *histogram_divided(struct arena *arena, const struct histogram *histogram,
                                    double divisor);

enum histogram_sum_result {
    HISTOGRAM_SUM_DONE,
    HISTOGRAM_SUM_INCOMPATIBLE, /* exponential and custom buckets */
    HISTOGRAM_SUM_OUT_OF_MEMORY,
};

/* What adding two histograms brought to light. */
struct histogram_sum_notes {
    bool hints_collide;     /* a counter reset and its absence */
    bool bounds_reconciled; /* different custom bounds: those in common are left */
};

/* left + right (sign 1) or left - right (sign -1), at the lower resolution of the two. */
enum histogram_sum_result histogram_sum(struct arena *arena, const struct histogram *left,
                                        const struct histogram *right, double sign,
                                        struct histogram **sum_out,
                                        struct histogram_sum_notes *notes_out);

/* Whether the counter began anew between `previous` and `current`. */
bool histogram_is_reset(const struct histogram *current, const struct histogram *previous,
                        struct arena *scratch);

/* Equal but for the counter reset hint. */
bool histogram_values_equal(const struct histogram *left, const struct histogram *right,
                            struct arena *scratch);

/* At a lower resolution; custom buckets stay. */
struct histogram *histogram_at_schema(struct arena *arena, const struct histogram *histogram,
                                      int32_t schema);

/* The observations up to (or from) `bound`, estimated within the bucket that holds it. */
enum histogram_trim { HISTOGRAM_KEEP_LOWER, HISTOGRAM_KEEP_UPPER };
struct histogram *histogram_trimmed(struct arena *arena, const struct histogram *histogram,
                                    double bound, enum histogram_trim trim);

/* histogram_count, _sum, _avg, _stddev, _stdvar. */
double histogram_statistic(enum function_id function, const struct histogram *histogram,
                           struct arena *scratch);

/* As histogram_quantile and histogram_fraction; annotate NaN observations at `position`. */
double histogram_quantile(struct evaluation *evaluation, double quantile,
                          const struct histogram *histogram, struct text metric_name,
                          struct text_range position, struct lane *lane);
double histogram_fraction(struct evaluation *evaluation, double lower, double upper,
                          const struct histogram *histogram, struct text metric_name,
                          struct text_range position, struct lane *lane);

#endif
