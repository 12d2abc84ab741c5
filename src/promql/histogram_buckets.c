#include "histogram_buckets.h"

#include <assert.h>
#include <math.h>

/* --- Apart and together ---------------------------------------------------------------------- */

static bool side_take(struct arena *arena, const struct histogram *histogram,
                      const struct histogram_span *spans, uint32_t span_count,
                      const union histogram_number *counts, uint32_t bucket_count,
                      struct bucket_list *list)
{
    list->buckets = arena_allocate(arena, bucket_count * sizeof *list->buckets);
    list->count = 0;
    if (list->buckets == NULL)
        return false;
    int32_t index = 0;
    size_t position = 0;
    for (uint32_t i = 0; i < span_count; i++) {
        index += spans[i].offset;
        for (uint32_t j = 0; j < spans[i].length; j++, index++, position++) {
            double count = histogram_number(histogram, counts[position]);
            if (count != 0)
                list->buckets[list->count++] = (struct bucket){index, count};
        }
    }
    assert(position == bucket_count);
    return true;
}

bool histogram_take_apart(struct arena *arena, const struct histogram *histogram,
                          struct histogram_parts *parts_out)
{
    *parts_out = (struct histogram_parts){
        .schema = histogram->schema,
        .reset = histogram->reset,
        .zero_threshold = histogram->zero_threshold,
        .zero_count = histogram_number(histogram, histogram->zero_count),
        .count = histogram_count(histogram),
        .sum = histogram->sum,
        .bounds = histogram->custom_bounds,
        .bound_count = histogram->custom_bound_count,
        .has_positive = histogram->positive_bucket_count > 0,
        .has_negative = histogram->negative_bucket_count > 0,
    };
    return side_take(arena, histogram, histogram->positive_spans, histogram->positive_span_count,
                     histogram->positive_buckets, histogram->positive_bucket_count,
                     &parts_out->positive) &&
           side_take(arena, histogram, histogram->negative_spans, histogram->negative_span_count,
                     histogram->negative_buckets, histogram->negative_bucket_count,
                     &parts_out->negative);
}

struct side_arrays {
    struct histogram_span *spans;
    union histogram_number *counts;
    uint32_t span_count;
    uint32_t count;
};

static bool side_put(struct arena *arena, const struct bucket_list *list, struct side_arrays *side)
{
    *side = (struct side_arrays){
        .spans = arena_allocate(arena, list->count * sizeof *side->spans),
        .counts = arena_allocate(arena, list->count * sizeof *side->counts),
    };
    if (side->spans == NULL || side->counts == NULL)
        return false;
    int32_t end = 0; /* the index after the latest bucket */
    for (size_t i = 0; i < list->count; i++) {
        const struct bucket *bucket = &list->buckets[i];
        if (bucket->count == 0)
            continue;
        if (side->count > 0 && bucket->index == end)
            side->spans[side->span_count - 1].length++;
        else
            side->spans[side->span_count++] = (struct histogram_span){bucket->index - end, 1};
        side->counts[side->count++].real = bucket->count;
        end = bucket->index + 1;
    }
    return true;
}

struct histogram *histogram_put_together(struct arena *arena, const struct histogram_parts *parts)
{
    struct histogram *histogram = arena_allocate(arena, sizeof *histogram);
    struct side_arrays positive;
    struct side_arrays negative;
    if (histogram == NULL || !side_put(arena, &parts->positive, &positive) ||
        !side_put(arena, &parts->negative, &negative))
        return NULL;
    *histogram = (struct histogram){
        .kind = HISTOGRAM_FLOAT,
        .reset = parts->reset,
        .schema = parts->schema,
        .zero_threshold = parts->zero_threshold,
        .zero_count.real = parts->zero_count,
        .count.real = parts->count,
        .sum = parts->sum,
        .positive_span_count = positive.span_count,
        .negative_span_count = negative.span_count,
        .positive_bucket_count = positive.count,
        .negative_bucket_count = negative.count,
        .custom_bound_count = (uint32_t)parts->bound_count,
        .positive_spans = positive.spans,
        .negative_spans = negative.spans,
        .positive_buckets = positive.counts,
        .negative_buckets = negative.counts,
        .custom_bounds = parts->bounds,
    };
    return histogram;
}

/* --- Bounds ---------------------------------------------------------------------------------- */

static struct bounded_bucket positive_bucket(const struct histogram_parts *parts,
                                             const struct bucket *bucket)
{
    struct bounded_bucket bounded = {.count = bucket->count};
    if (parts->schema != HISTOGRAM_SCHEMA_CUSTOM) {
        bounded.lower = histogram_exponential_bound(parts->schema, bucket->index - 1);
        bounded.upper = histogram_exponential_bound(parts->schema, bucket->index);
        return bounded;
    }
    int64_t index = bucket->index;
    int64_t count = (int64_t)parts->bound_count;
    bounded.lower = index <= 0 ? -INFINITY : index > count ? INFINITY : parts->bounds[index - 1];
    bounded.upper = index < 0 ? -INFINITY : index >= count ? INFINITY : parts->bounds[index];
    return bounded;
}

struct bounded_bucket *histogram_bounded_buckets(struct arena *arena,
                                                 const struct histogram_parts *parts,
                                                 size_t *count_out)
{
    size_t count = parts->positive.count + parts->negative.count + 1;
    struct bounded_bucket *buckets = arena_allocate(arena, count * sizeof *buckets);
    if (buckets == NULL)
        return NULL;
    size_t position = 0;
    for (size_t i = parts->negative.count; i > 0; i--) {
        const struct bucket *bucket = &parts->negative.buckets[i - 1];
        buckets[position++] = (struct bounded_bucket){
            .lower = -histogram_exponential_bound(parts->schema, bucket->index),
            .upper = -histogram_exponential_bound(parts->schema, bucket->index - 1),
            .count = bucket->count,
        };
    }
    if (parts->zero_count > 0)
        buckets[position++] = (struct bounded_bucket){-parts->zero_threshold, parts->zero_threshold,
                                                      parts->zero_count};
    for (size_t i = 0; i < parts->positive.count; i++)
        buckets[position++] = positive_bucket(parts, &parts->positive.buckets[i]);
    /* Buckets next to the zero bucket end where it begins. */
    for (size_t i = 0; i < position; i++) {
        if (buckets[i].lower > 0 && buckets[i].lower < parts->zero_threshold)
            buckets[i].lower = parts->zero_threshold;
        if (buckets[i].upper < 0 && buckets[i].upper > -parts->zero_threshold)
            buckets[i].upper = -parts->zero_threshold;
    }
    *count_out = position;
    return buckets;
}

/* --- Resolution and the zero bucket ---------------------------------------------------------- */

static void side_reduce(struct bucket_list *list, int32_t shift)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        /* Bucket i ends at base^i: the larger one that ends at or after it. */
        int32_t index = ((list->buckets[i].index - 1) >> shift) + 1;
        if (kept > 0 && list->buckets[kept - 1].index == index)
            list->buckets[kept - 1].count += list->buckets[i].count;
        else
            list->buckets[kept++] = (struct bucket){index, list->buckets[i].count};
    }
    list->count = kept;
}

bool parts_reduce(struct arena *arena, struct histogram_parts *parts, int32_t schema)
{
    (void)arena;
    if (parts->schema == HISTOGRAM_SCHEMA_CUSTOM || schema >= parts->schema)
        return true;
    side_reduce(&parts->positive, parts->schema - schema);
    side_reduce(&parts->negative, parts->schema - schema);
    parts->schema = schema;
    return true;
}

/* The observations of one side below `threshold`; true when a bucket was cut, which widens it. */
static bool side_below(const struct bucket_list *list, int32_t schema, double *threshold,
                       double *count)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct bucket *bucket = &list->buckets[i];
        double upper = histogram_exponential_bound(schema, bucket->index);
        if (histogram_exponential_bound(schema, bucket->index - 1) >= *threshold)
            break;
        *count += bucket->count;
        if (upper > *threshold) {
            *threshold = upper;
            return true;
        }
    }
    return false;
}

double parts_zero_count(const struct histogram_parts *parts, double *threshold)
{
    if (*threshold <= parts->zero_threshold)
        return parts->zero_count;
    for (;;) {
        double count = parts->zero_count;
        side_below(&parts->positive, parts->schema, threshold, &count);
        if (!side_below(&parts->negative, parts->schema, threshold, &count))
            return count;
        /* The negative side widened it: the positive side is counted anew. */
    }
}
