/*
 * head_model - the head as a naive table, to compare with.
 *
 * Per series a sorted array of (timestamp, winner); no compression, no columns, no concurrency.
 */
#ifndef TESTS_HEAD_MODEL_H
#define TESTS_HEAD_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "model/sample.h"

struct model_sample {
    int64_t timestamp_ms;
    int64_t start_ms;
    uint64_t bits;
    const struct histogram *histogram; /* NULL: a float */
};

struct model_series {
    struct model_sample *samples; /* by timestamp */
    size_t count;
    size_t capacity;
};

static inline int model_order(const struct model_sample *left, const struct model_sample *right)
{
    if (left->histogram != NULL && right->histogram != NULL)
        return histogram_order(left->histogram, right->histogram);
    if (left->histogram != NULL || right->histogram != NULL)
        return left->histogram != NULL ? 1 : -1;
    uint64_t left_key = value_order_key(left->bits);
    uint64_t right_key = value_order_key(right->bits);
    return (left_key > right_key) - (left_key < right_key);
}

static inline void model_append(struct model_series *series, struct model_sample sample)
{
    size_t position = series->count;
    while (position > 0 && series->samples[position - 1].timestamp_ms >= sample.timestamp_ms)
        position--;
    if (position < series->count && series->samples[position].timestamp_ms == sample.timestamp_ms) {
        if (model_order(&sample, &series->samples[position]) > 0)
            series->samples[position] = sample;
        return;
    }
    if (series->count == series->capacity) {
        series->capacity = series->capacity == 0 ? 16 : 2 * series->capacity;
        series->samples = realloc(series->samples, series->capacity * sizeof sample);
    }
    memmove(series->samples + position + 1, series->samples + position,
            (series->count - position) * sizeof sample);
    series->samples[position] = sample;
    series->count++;
}

#endif
