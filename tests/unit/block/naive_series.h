/*
 * naive_series - series of every shape as plain arrays, the model that files are compared with.
 */
#ifndef NAIVE_SERIES_H
#define NAIVE_SERIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "model/columns.h"
#include "model/sample.h"

struct naive_series {
    uint64_t id;
    uint64_t target;
    struct text tenant;
    uint16_t slot;
    struct labels labels;
    struct sample_columns columns;
    struct exemplar *exemplars;
    size_t exemplar_count;
};

struct naive_random {
    uint64_t state;
};

static inline uint64_t naive_next(struct naive_random *random, uint64_t below)
{
    uint64_t mixed = random->state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (mixed ^ (mixed >> 31)) % below;
}

static inline struct histogram *naive_histogram(struct arena *arena, struct naive_random *random)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    struct histogram_span *spans = arena_array(arena, 2, sizeof *spans);
    union histogram_number *buckets = arena_array(arena, 5, sizeof *buckets);
    spans[0] = (struct histogram_span){(int32_t)naive_next(random, 9) - 4, 2};
    spans[1] = (struct histogram_span){1, 3};
    uint64_t count = 0;
    for (size_t i = 0; i < 5; i++) {
        buckets[i].integer = naive_next(random, 100);
        count += buckets[i].integer;
    }
    *histogram = (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = 3,
        .zero_threshold = 1e-128,
        .count = {.integer = count},
        .sum = (double)naive_next(random, 100000) / 8,
        .positive_span_count = 2,
        .positive_bucket_count = 5,
        .positive_spans = spans,
        .positive_buckets = buckets,
    };
    return histogram;
}

/* What the values of a series look like. */
enum naive_shape {
    NAIVE_CONSTANT,
    NAIVE_COUNTER,
    NAIVE_NOISE,
    NAIVE_BITS,
    NAIVE_HISTOGRAMS,
    NAIVE_MIXED,
    NAIVE_SHAPES
};

static inline double naive_value(enum naive_shape shape, size_t index, struct naive_random *random)
{
    switch (shape) {
    case NAIVE_CONSTANT:
        return 1;
    case NAIVE_COUNTER:
        return (double)(1000 + 17 * index + naive_next(random, 5));
    case NAIVE_NOISE:
        return (double)naive_next(random, 1u << 30) / 1e4;
    default:
        if (naive_next(random, 8) == 0)
            return double_from_bits(STALE_MARKER_BITS);
        return double_from_bits(naive_next(random, UINT64_MAX));
    }
}

/* Samples of a shape at the given timestamps. */
static inline struct sample_columns naive_columns(struct arena *arena, struct naive_random *random,
                                                  enum naive_shape shape,
                                                  const int64_t *timestamps_ms, size_t count)
{
    double *values = arena_array(arena, count, sizeof *values);
    const struct histogram **histograms = NULL;
    int64_t *starts = NULL;
    if (shape >= NAIVE_HISTOGRAMS)
        histograms = arena_array(arena, count, sizeof *histograms);
    if (naive_next(random, 4) == 0)
        starts = arena_array(arena, count, sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        values[i] = naive_value(shape, i, random);
        if (shape == NAIVE_HISTOGRAMS || (shape == NAIVE_MIXED && (i / 7) % 2 == 1)) {
            histograms[i] = naive_histogram(arena, random);
            values[i] = 0;
        }
        if (starts != NULL && (i / 50) % 3 != 1)
            starts[i] = timestamps_ms[0] - 5000;
    }
    return (struct sample_columns){.count = count,
                                   .timestamps_ms = timestamps_ms,
                                   .values = values,
                                   .histograms = histograms,
                                   .start_timestamps_ms = starts};
}

static inline int64_t *naive_timestamps(struct arena *arena, struct naive_random *random,
                                        int64_t start_ms, size_t count)
{
    int64_t *timestamps_ms = arena_array(arena, count, sizeof *timestamps_ms);
    for (size_t i = 0; i < count; i++) {
        timestamps_ms[i] = start_ms;
        start_ms += 15000 + (naive_next(random, 10) == 0 ? (int64_t)naive_next(random, 7) : 0);
    }
    return timestamps_ms;
}

static inline struct exemplar *naive_exemplars(struct arena *arena, struct naive_random *random,
                                               int64_t start_ms, size_t count)
{
    struct exemplar *exemplars = arena_array(arena, count, sizeof *exemplars);
    for (size_t i = 0; i < count; i++) {
        struct label label = {.name = TEXT("trace_id")};
        label.value = arena_format(arena, "%llx", (unsigned long long)naive_next(random, 1u << 31));
        exemplars[i] = (struct exemplar){.labels = labels_build(arena, &label, 1),
                                         .value = (double)naive_next(random, 1000),
                                         .timestamp_ms = start_ms + 20000 * (int64_t)i};
    }
    return exemplars;
}

/*
 * Series of some targets, in part order: most share their target's timestamps, some have a range
 * of them or their own.
 */
static inline struct naive_series *naive_part(struct arena *arena, struct naive_random *random,
                                              size_t target_count, size_t series_per_target,
                                              size_t sample_count)
{
    struct naive_series *series =
        arena_array(arena, target_count * series_per_target, sizeof *series);
    uint64_t id = 1000;
    for (size_t target = 0; target < target_count; target++) {
        int64_t base_ms = 1700000000000 + (int64_t)naive_next(random, 15000);
        int64_t *shared = naive_timestamps(arena, random, base_ms, sample_count);
        for (size_t i = 0; i < series_per_target; i++) {
            struct naive_series *one = &series[target * series_per_target + i];
            size_t first = 0;
            size_t count = sample_count;
            const int64_t *timestamps_ms = shared;
            switch (naive_next(random, 6)) {
            case 0: /* a part of the target's life */
                first = naive_next(random, sample_count);
                count = 1 + naive_next(random, sample_count - first);
                break;
            case 1: /* its own clock */
                timestamps_ms = naive_timestamps(arena, random, base_ms + 3, sample_count);
                break;
            default:
                break;
            }
            id += 1 + naive_next(random, 3);
            one->id = id;
            one->target = target;
            one->tenant = target % 3 == 2 ? TEXT("second") : TEXT("first");
            one->slot = (uint16_t)(target * 7 % SLOT_COUNT);
            one->columns = naive_columns(arena, random, naive_next(random, NAIVE_SHAPES),
                                         timestamps_ms + first, count);
            if (naive_next(random, 5) == 0) {
                one->exemplar_count = 1 + naive_next(random, 10);
                one->exemplars = naive_exemplars(arena, random, base_ms, one->exemplar_count);
            }
        }
    }
    return series;
}

/* `read` is what a file answers for [start_ms, end_ms] of `columns`. */
static inline void assert_range(const struct sample_columns *columns, int64_t start_ms,
                                int64_t end_ms, const struct sample_columns *read)
{
    size_t at = 0;
    for (size_t i = 0; i < columns->count; i++) {
        if (columns->timestamps_ms[i] < start_ms || columns->timestamps_ms[i] > end_ms)
            continue;
        assert_true(at < read->count);
        assert_int_equal(read->timestamps_ms[at], columns->timestamps_ms[i]);
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        const struct histogram *other = read->histograms == NULL ? NULL : read->histograms[at];
        assert_int_equal(histogram == NULL, other == NULL);
        if (histogram != NULL)
            assert_true(histogram_equal(histogram, other));
        else
            assert_int_equal(double_to_bits(read->values[at]), double_to_bits(columns->values[i]));
        int64_t start = columns->start_timestamps_ms == NULL ? 0 : columns->start_timestamps_ms[i];
        assert_int_equal(read->start_timestamps_ms == NULL ? 0 : read->start_timestamps_ms[at],
                         start);
        at++;
    }
    assert_int_equal(read->count, at);
}

static inline void assert_exemplars(const struct naive_series *series,
                                    const struct exemplar *exemplars, size_t count)
{
    assert_int_equal(count, series->exemplar_count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(exemplars[i].timestamp_ms, series->exemplars[i].timestamp_ms);
        assert_int_equal(double_to_bits(exemplars[i].value),
                         double_to_bits(series->exemplars[i].value));
        assert_true(labels_equal(exemplars[i].labels, series->exemplars[i].labels));
    }
}

#endif
