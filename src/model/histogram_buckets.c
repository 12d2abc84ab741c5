#include "model/histogram_buckets.h"

#include <assert.h>
#include <float.h>
#include <math.h>

enum { PHASE_NEGATIVE, PHASE_ZERO, PHASE_POSITIVE, PHASE_END };

/*
 * 2^(1/2), 2^(1/4) ... 2^(1/256). Prometheus' table of bounds is made of products of these, its
 * first root one unit in the last place below the nearest double; clients see the bounds, so they
 * have the same bits here.
 */
static const double ROOTS[HISTOGRAM_SCHEMA_MAX] = {
    0x1.6a09e667f3bccp+0, 0x1.306fe0a31b715p+0, 0x1.172b83c7d517bp+0, 0x1.0b5586cf9890fp+0,
    0x1.059b0d3158574p+0, 0x1.02c9a3e778061p+0, 0x1.0163da9fb3335p+0, 0x1.00b1afa5abcbfp+0,
};

/* 2^(fraction / 2^schema) / 2, between a half and one. */
static double mantissa_of(int32_t schema, int64_t fraction)
{
    double mantissa = 0.5;
    for (int32_t root = 0; root < schema; root++)
        if ((fraction >> (schema - 1 - root) & 1) != 0)
            mantissa *= ROOTS[root];
    return mantissa;
}

double histogram_exponential_bound(int32_t schema, int64_t index)
{
    assert(schema >= HISTOGRAM_SCHEMA_MIN && schema <= HISTOGRAM_SCHEMA_MAX);
    if (schema <= 0) {
        int64_t exponent = index * ((int64_t)1 << -schema);
        /* One above the largest power of two: the bucket ends at the largest double. */
        if (exponent == 1024)
            return DBL_MAX;
        return ldexp(1, exponent > 2000 ? 2000 : exponent < -2000 ? -2000 : (int)exponent);
    }
    int64_t per_power = (int64_t)1 << schema;
    int64_t fraction = index & (per_power - 1);
    int64_t exponent = (index >> schema) + 1;
    if (fraction == 0 && exponent == 1025)
        return DBL_MAX;
    return ldexp(mantissa_of(schema, fraction), exponent > 2000    ? 2000
                                                : exponent < -2000 ? -2000
                                                                   : (int)exponent);
}

static double custom_bound(const struct histogram *histogram, int64_t index)
{
    if (index < 0)
        return -INFINITY;
    if (index >= histogram->custom_bound_count)
        return INFINITY;
    return histogram->custom_bounds[index];
}

static double bound(const struct histogram *histogram, int64_t index)
{
    return histogram->schema == HISTOGRAM_SCHEMA_CUSTOM
               ? custom_bound(histogram, index)
               : histogram_exponential_bound(histogram->schema, index);
}

/* Start with the last negative bucket, which is the lowest. */
static void begin_negative(struct histogram_bucket_cursor *cursor)
{
    const struct histogram *histogram = cursor->histogram;
    int64_t index = 0;
    for (uint32_t i = 0; i < histogram->negative_span_count; i++)
        index += histogram->negative_spans[i].offset + (int64_t)histogram->negative_spans[i].length;
    cursor->index = index; /* one above the last */
    cursor->span = histogram->negative_span_count;
    cursor->in_span = 0;
}

struct histogram_bucket_cursor histogram_buckets_begin(const struct histogram *histogram)
{
    struct histogram_bucket_cursor cursor = {.histogram = histogram, .phase = PHASE_NEGATIVE};
    begin_negative(&cursor);
    return cursor;
}

/* What the zero bucket covers belongs to it, however wide the bucket beside it is. */
static void set_bounds(struct histogram_bucket *bucket, const struct histogram *histogram,
                       double lower, double upper)
{
    bool is_custom = histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
    bucket->lower_inclusive = is_custom ? lower == -INFINITY : lower < 0;
    bucket->upper_inclusive = is_custom || upper > 0;
    if (lower > 0 && lower < histogram->zero_threshold)
        lower = histogram->zero_threshold;
    if (upper < 0 && upper > -histogram->zero_threshold)
        upper = -histogram->zero_threshold;
    bucket->lower = lower;
    bucket->upper = upper;
}

static bool next_negative(struct histogram_bucket_cursor *cursor, struct histogram_bucket *bucket)
{
    const struct histogram *histogram = cursor->histogram;
    while (cursor->in_span == 0) {
        if (cursor->span < histogram->negative_span_count)
            cursor->index -= histogram->negative_spans[cursor->span].offset;
        if (cursor->span == 0)
            return false;
        cursor->in_span = histogram->negative_spans[--cursor->span].length;
    }
    cursor->in_span--;
    cursor->index--;
    uint32_t number = histogram->negative_bucket_count - 1 - cursor->bucket++;
    set_bounds(bucket, histogram, -bound(histogram, cursor->index),
               -bound(histogram, cursor->index - 1));
    bucket->count = histogram_number_value(histogram, histogram->negative_buckets[number]);
    return true;
}

static bool next_positive(struct histogram_bucket_cursor *cursor, struct histogram_bucket *bucket)
{
    const struct histogram *histogram = cursor->histogram;
    while (cursor->in_span == 0) {
        if (cursor->span == histogram->positive_span_count)
            return false;
        cursor->index += histogram->positive_spans[cursor->span].offset;
        cursor->in_span = histogram->positive_spans[cursor->span++].length;
    }
    cursor->in_span--;
    int64_t index = cursor->index++;
    set_bounds(bucket, histogram, bound(histogram, index - 1), bound(histogram, index));
    bucket->count =
        histogram_number_value(histogram, histogram->positive_buckets[cursor->bucket++]);
    return true;
}

bool histogram_buckets_next(struct histogram_bucket_cursor *cursor,
                            struct histogram_bucket *bucket_out)
{
    const struct histogram *histogram = cursor->histogram;
    if (cursor->phase == PHASE_NEGATIVE) {
        if (next_negative(cursor, bucket_out))
            return true;
        cursor->phase = PHASE_ZERO;
    }
    if (cursor->phase == PHASE_ZERO) {
        cursor->phase = PHASE_POSITIVE;
        cursor->span = cursor->in_span = cursor->bucket = 0;
        cursor->index = 0;
        double count = histogram_number_value(histogram, histogram->zero_count);
        if (count > 0) {
            *bucket_out = (struct histogram_bucket){
                .lower = -histogram->zero_threshold,
                .upper = histogram->zero_threshold,
                .lower_inclusive = true,
                .upper_inclusive = true,
                .count = count,
            };
            return true;
        }
    }
    if (cursor->phase == PHASE_POSITIVE) {
        if (next_positive(cursor, bucket_out))
            return true;
        cursor->phase = PHASE_END;
    }
    return false;
}
