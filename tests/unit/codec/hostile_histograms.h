/* Histograms that change in every way from sample to sample, from a seed. */
#ifndef TESTS_CODEC_HOSTILE_HISTOGRAMS_H
#define TESTS_CODEC_HOSTILE_HISTOGRAMS_H

#include "base/arena.h"
#include "hostile_values.h"
#include "model/sample.h"

enum { HOSTILE_SPANS_MAX = 6, HOSTILE_SPAN_LENGTH_MAX = 9 };

static inline const struct histogram_span *hostile_spans(struct hostile_random *random,
                                                         struct arena *arena,
                                                         uint32_t *span_count_out,
                                                         uint32_t *bucket_count_out)
{
    uint32_t span_count = (uint32_t)hostile_below(random, HOSTILE_SPANS_MAX);
    struct histogram_span *spans = arena_array(arena, span_count, sizeof *spans);
    uint32_t bucket_count = 0;
    for (uint32_t i = 0; i < span_count; i++) {
        spans[i].length = (uint32_t)hostile_below(random, HOSTILE_SPAN_LENGTH_MAX);
        spans[i].offset = (int32_t)hostile_below(random, 5);
        if (i == 0)
            spans[i].offset = hostile_below(random, 20) == 0 ? (int32_t)hostile_next(random)
                                                             : spans[i].offset - 2;
        if (i > 0 && hostile_below(random, 50) == 0)
            spans[i].offset = INT32_MAX;
        bucket_count += spans[i].length;
    }
    *span_count_out = span_count;
    *bucket_count_out = bucket_count;
    return spans;
}

static inline const union histogram_number *hostile_buckets(struct hostile_random *random,
                                                            struct arena *arena, uint32_t count,
                                                            enum histogram_kind kind, uint64_t base)
{
    union histogram_number *buckets = arena_array(arena, count, sizeof *buckets);
    for (uint32_t i = 0; i < count; i++) {
        if (kind == HISTOGRAM_INTEGER)
            buckets[i].integer = hostile_below(random, 30) == 0 ? hostile_next(random)
                                                                : base + hostile_below(random, 100);
        else
            buckets[i].real = hostile_below(random, 10) == 0
                                  ? hostile_special(random)
                                  : (double)(base + hostile_below(random, 100)) / 7;
    }
    return buckets;
}

/* `previous` is NULL or the histogram before, whose layout is mostly kept. */
static inline const struct histogram *hostile_histogram(struct hostile_random *random,
                                                        struct arena *arena,
                                                        const struct histogram *previous,
                                                        uint64_t change_one_in)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    if (previous != NULL && hostile_below(random, change_one_in) > 0) {
        *histogram = *previous;
    } else {
        static const int32_t SCHEMAS[] = {0, 3, 8, -4, HISTOGRAM_SCHEMA_CUSTOM, INT32_MIN};
        histogram->kind = (enum histogram_kind)hostile_below(random, 2);
        histogram->schema = SCHEMAS[hostile_below(random, 6)];
        histogram->zero_threshold = hostile_below(random, 3) ? 0x1p-128 : hostile_special(random);
        if (histogram->schema == HISTOGRAM_SCHEMA_CUSTOM) {
            histogram->custom_bound_count = (uint32_t)hostile_below(random, 600);
            double *bounds = arena_array(arena, histogram->custom_bound_count, sizeof *bounds);
            for (uint32_t i = 0; i < histogram->custom_bound_count; i++)
                bounds[i] = (double)i * 0.25;
            histogram->custom_bounds = bounds;
        }
        histogram->positive_spans = hostile_spans(random, arena, &histogram->positive_span_count,
                                                  &histogram->positive_bucket_count);
        histogram->negative_spans = hostile_spans(random, arena, &histogram->negative_span_count,
                                                  &histogram->negative_bucket_count);
    }
    histogram->reset = (enum histogram_reset)hostile_below(random, 4);
    uint64_t base = hostile_any_length(random);
    histogram->count.integer = hostile_next(random);
    histogram->zero_count.integer = hostile_next(random) >> 40;
    histogram->sum = hostile_below(random, 5) ? (double)base / 1000 : hostile_special(random);
    histogram->positive_buckets =
        hostile_buckets(random, arena, histogram->positive_bucket_count, histogram->kind, base);
    histogram->negative_buckets =
        hostile_buckets(random, arena, histogram->negative_bucket_count, histogram->kind, base);
    return histogram;
}

#endif
