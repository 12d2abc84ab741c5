#include <assert.h>

#include "base/limits.h"
#include "model/sample.h"

_Static_assert(sizeof(union histogram_number) == sizeof(uint64_t), "compared by their bits");
_Static_assert(sizeof(struct histogram_span) == 8, "compared without padding");

/* --- Rules ----------------------------------------------------------------------------------- */

struct side {
    const char *name;
    const struct histogram_span *spans;
    const union histogram_number *buckets;
    uint32_t span_count;
    uint32_t bucket_count;
};

static struct side positive_side(const struct histogram *histogram)
{
    return (struct side){"positive", histogram->positive_spans, histogram->positive_buckets,
                         histogram->positive_span_count, histogram->positive_bucket_count};
}

static struct side negative_side(const struct histogram *histogram)
{
    return (struct side){"negative", histogram->negative_spans, histogram->negative_buckets,
                         histogram->negative_span_count, histogram->negative_bucket_count};
}

/* Spans that agree with the buckets; *end_out is the index after the last bucket. */
static enum error_code check_spans(struct side side, int64_t *end_out, struct error *error)
{
    uint64_t length_sum = 0;
    int64_t next_index = 0;
    /* Spans may be empty, so that the number of buckets does not bound theirs. */
    if (side.span_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(error, ERROR_INVALID, "histogram: %s side: %u spans, at most %d",
                         side.name, side.span_count, HISTOGRAM_BUCKETS_MAX);
    for (uint32_t i = 0; i < side.span_count; i++) {
        const struct histogram_span *span = &side.spans[i];
        if (i > 0 && span->offset < 0)
            return error_set(error, ERROR_INVALID,
                             "histogram: %s side: span number %u with offset %d: negative",
                             side.name, i + 1, span->offset);
        length_sum += span->length;
        next_index += (int64_t)span->offset + span->length;
        if (next_index > INT32_MAX || next_index < INT32_MIN)
            return error_set(error, ERROR_INVALID, "histogram: %s side: bucket index out of range",
                             side.name);
    }
    if (length_sum != side.bucket_count)
        return error_set(error, ERROR_INVALID,
                         "histogram: %s side: spans need %llu buckets, have %u buckets", side.name,
                         (unsigned long long)length_sum, side.bucket_count);
    *end_out = next_index;
    return ERROR_NONE;
}

static enum error_code check_float_buckets(struct side side, struct error *error)
{
    for (uint32_t i = 0; i < side.bucket_count; i++) {
        double count = side.buckets[i].real;
        if (count < 0)
            return error_set(error, ERROR_INVALID,
                             "histogram: %s side: bucket number %u has a negative count: %g",
                             side.name, i + 1, count);
    }
    return ERROR_NONE;
}

static enum error_code check_float_counts(const struct histogram *histogram, struct error *error)
{
    if (histogram->zero_count.real < 0)
        return error_set(error, ERROR_INVALID,
                         "histogram: the zero bucket has a negative count: %g",
                         histogram->zero_count.real);
    if (histogram->count.real < 0)
        return error_set(error, ERROR_INVALID, "histogram: negative count of observations: %g",
                         histogram->count.real);
    enum error_code code = check_float_buckets(negative_side(histogram), error);
    if (code == ERROR_NONE)
        code = check_float_buckets(positive_side(histogram), error);
    return code;
}

/* False when the sum passes 64 bits. */
static bool add_integer_buckets(struct side side, uint64_t *sum)
{
    for (uint32_t i = 0; i < side.bucket_count; i++) {
        if (__builtin_add_overflow(*sum, side.buckets[i].integer, sum))
            return false;
    }
    return true;
}

static enum error_code check_integer_counts(const struct histogram *histogram, struct error *error)
{
    uint64_t sum = histogram->zero_count.integer;
    uint64_t count = histogram->count.integer;
    bool summed = add_integer_buckets(negative_side(histogram), &sum) &&
                  add_integer_buckets(positive_side(histogram), &sum);
    /* NaN observations are in the count and the sum, but in no bucket. */
    bool agrees = isnan(histogram->sum) ? sum <= count : sum == count;
    if (!summed || !agrees)
        return error_set(error, ERROR_INVALID,
                         "histogram: %llu observations in buckets, but the count is %llu",
                         (unsigned long long)sum, (unsigned long long)count);
    return ERROR_NONE;
}

static enum error_code check_custom_bounds(const struct histogram *histogram, int64_t bucket_end,
                                           struct error *error)
{
    if (histogram->custom_bound_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(error, ERROR_INVALID, "histogram: %u custom bounds, at most %d",
                         histogram->custom_bound_count, HISTOGRAM_BUCKETS_MAX);
    for (uint32_t i = 0; i < histogram->custom_bound_count; i++) {
        double bound = histogram->custom_bounds[i];
        if (isnan(bound) || bound == INFINITY)
            return error_set(error, ERROR_INVALID, "histogram: custom bound number %u is %g", i + 1,
                             bound);
        if (i > 0 && histogram->custom_bounds[i - 1] >= bound)
            return error_set(error, ERROR_INVALID,
                             "histogram: custom bounds must ascend: %g after %g", bound,
                             histogram->custom_bounds[i - 1]);
    }
    if (histogram->positive_span_count > 0 && histogram->positive_spans[0].offset < 0)
        return error_set(error, ERROR_INVALID, "histogram: a custom bucket with a negative index");
    if (bucket_end > (int64_t)histogram->custom_bound_count + 1)
        return error_set(error, ERROR_INVALID, "histogram: only %u custom bounds for %lld buckets",
                         histogram->custom_bound_count, (long long)bucket_end);
    if (histogram->zero_count.integer != 0 || histogram->zero_threshold != 0)
        return error_set(error, ERROR_INVALID,
                         "histogram: custom buckets must not have a zero bucket");
    if (histogram->negative_span_count > 0 || histogram->negative_bucket_count > 0)
        return error_set(error, ERROR_INVALID,
                         "histogram: custom buckets must not have negative buckets");
    return ERROR_NONE;
}

enum error_code histogram_validate(const struct histogram *histogram, struct error *error)
{
    assert(histogram != NULL);

    bool custom = histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
    if (!custom &&
        (histogram->schema < HISTOGRAM_SCHEMA_MIN || histogram->schema > HISTOGRAM_SCHEMA_MAX))
        return error_set(error, ERROR_INVALID, "histogram: unknown schema %d", histogram->schema);
    uint64_t bucket_count =
        (uint64_t)histogram->positive_bucket_count + histogram->negative_bucket_count;
    if (bucket_count > HISTOGRAM_BUCKETS_MAX)
        return error_set(error, ERROR_INVALID, "histogram: %llu buckets, at most %d",
                         (unsigned long long)bucket_count, HISTOGRAM_BUCKETS_MAX);

    int64_t positive_end = 0;
    int64_t negative_end = 0;
    enum error_code code = check_spans(positive_side(histogram), &positive_end, error);
    if (code == ERROR_NONE)
        code = check_spans(negative_side(histogram), &negative_end, error);
    if (code == ERROR_NONE && custom)
        code = check_custom_bounds(histogram, positive_end, error);
    if (code != ERROR_NONE)
        return code;
    if (!custom && histogram->custom_bound_count > 0)
        return error_set(error, ERROR_INVALID, "histogram: custom bounds with schema %d",
                         histogram->schema);
    return histogram->kind == HISTOGRAM_INTEGER ? check_integer_counts(histogram, error)
                                                : check_float_counts(histogram, error);
}

/* --- Copying and comparing ------------------------------------------------------------------- */

/* A copy of `count` elements; NULL when there are none or when `*failed` was set. */
static void *copy_array(struct arena *arena, const void *source, size_t count, size_t element_bytes,
                        bool *failed)
{
    if (count == 0 || *failed)
        return NULL;
    void *copy = arena_allocate(arena, count * element_bytes);
    if (copy == NULL) {
        *failed = true;
        return NULL;
    }
    return memcpy(copy, source, count * element_bytes);
}

bool histogram_copy(struct arena *arena, const struct histogram *source, struct histogram *copy_out)
{
    bool failed = false;
    struct histogram copy = *source;
    copy.positive_spans = copy_array(arena, source->positive_spans, source->positive_span_count,
                                     sizeof *source->positive_spans, &failed);
    copy.negative_spans = copy_array(arena, source->negative_spans, source->negative_span_count,
                                     sizeof *source->negative_spans, &failed);
    copy.positive_buckets =
        copy_array(arena, source->positive_buckets, source->positive_bucket_count,
                   sizeof *source->positive_buckets, &failed);
    copy.negative_buckets =
        copy_array(arena, source->negative_buckets, source->negative_bucket_count,
                   sizeof *source->negative_buckets, &failed);
    copy.custom_bounds = copy_array(arena, source->custom_bounds, source->custom_bound_count,
                                    sizeof *source->custom_bounds, &failed);
    if (failed)
        return false;
    *copy_out = copy;
    return true;
}

bool histogram_equal(const struct histogram *left, const struct histogram *right)
{
    return histogram_order(left, right) == 0;
}

static int order_numbers(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

/* By count, then by bytes: any total order does, if it is everywhere the same. */
static int order_arrays(const void *left, size_t left_count, const void *right, size_t right_count,
                        size_t element_bytes)
{
    if (left_count != right_count)
        return left_count < right_count ? -1 : 1;
    return left_count == 0 ? 0 : memcmp(left, right, left_count * element_bytes);
}

/* All that is in the struct itself; count and sum first, they differ most often. */
static int order_scalars(const struct histogram *left, const struct histogram *right)
{
    const uint64_t pairs[][2] = {
        {value_order_key(double_to_bits(left->sum)), value_order_key(double_to_bits(right->sum))},
        {left->count.integer, right->count.integer},
        {left->zero_count.integer, right->zero_count.integer},
        {left->kind, right->kind},
        {left->reset, right->reset},
        {(uint32_t)left->schema, (uint32_t)right->schema},
        {double_to_bits(left->zero_threshold), double_to_bits(right->zero_threshold)},
    };
    int order = 0;
    for (size_t i = 0; order == 0 && i < sizeof pairs / sizeof pairs[0]; i++)
        order = order_numbers(pairs[i][0], pairs[i][1]);
    return order;
}

int histogram_order(const struct histogram *left, const struct histogram *right)
{
    int order = order_scalars(left, right);
    if (order == 0)
        order = order_arrays(left->positive_spans, left->positive_span_count, right->positive_spans,
                             right->positive_span_count, sizeof *left->positive_spans);
    if (order == 0)
        order = order_arrays(left->negative_spans, left->negative_span_count, right->negative_spans,
                             right->negative_span_count, sizeof *left->negative_spans);
    if (order == 0)
        order = order_arrays(left->positive_buckets, left->positive_bucket_count,
                             right->positive_buckets, right->positive_bucket_count,
                             sizeof *left->positive_buckets);
    if (order == 0)
        order = order_arrays(left->negative_buckets, left->negative_bucket_count,
                             right->negative_buckets, right->negative_bucket_count,
                             sizeof *left->negative_buckets);
    if (order == 0)
        order = order_arrays(left->custom_bounds, left->custom_bound_count, right->custom_bounds,
                             right->custom_bound_count, sizeof *left->custom_bounds);
    return order;
}
