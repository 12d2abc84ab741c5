#include "shard_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"

/* --- Samples --------------------------------------------------------------------------------- */

void shard_model_init(struct shard_model *model)
{
    memset(model, 0, sizeof *model);
    model->cutoff_ms = INT64_MIN;
    for (size_t i = 0; i < MODEL_SERIES; i++)
        model->series[i].known_id = SHARD_ID_UNKNOWN;
}

void shard_model_clear(struct shard_model *model)
{
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        free(model->series[i].samples);
        free(model->series[i].exemplars);
    }
}

bool model_is_histogram(unsigned series)
{
    return series % 8 == 3;
}

/* Positive, so that a higher variant has the higher bits; every fourth series has noisy values. */
double model_value(unsigned series, int64_t time_ms, unsigned variant)
{
    uint64_t mixed = ((uint64_t)time_ms + series) * UINT64_C(0x9e3779b97f4a7c15);
    double base =
        series % 4 == 0 ? 1 + (double)(mixed >> 20) / 1e6 : 1 + (double)(mixed >> 40) / 100;
    return base + variant * 0.25;
}

const struct histogram *model_histogram(unsigned series, int64_t time_ms)
{
    static const struct histogram_span SPANS[] = {{-2, 2}, {3, 1}};
    static union histogram_number buckets[3];
    static struct histogram histogram;
    uint64_t mixed = ((uint64_t)time_ms + series) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < 3; i++)
        buckets[i].integer = mixed >> (40 + 4 * i);
    histogram = (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = 2,
        .zero_threshold = 1e-100,
        .count.integer = buckets[0].integer + buckets[1].integer + buckets[2].integer,
        .sum = model_value(series, time_ms, 0),
        .positive_span_count = 2,
        .positive_bucket_count = 3,
        .positive_spans = SPANS,
        .positive_buckets = buckets,
    };
    return &histogram;
}

static size_t position_of(const struct model_sample *samples, size_t count, int64_t time_ms)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        if (samples[middle].time_ms < time_ms)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static struct model_sample *place(struct model_sample **samples, size_t *count, size_t *capacity,
                                  int64_t time_ms)
{
    size_t at = position_of(*samples, *count, time_ms);
    if (at < *count && (*samples)[at].time_ms == time_ms)
        return &(*samples)[at];
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 64 : *capacity * 2;
        *samples = realloc(*samples, *capacity * sizeof **samples);
        assert(*samples != NULL);
    }
    memmove(*samples + at + 1, *samples + at, (*count - at) * sizeof **samples);
    ++*count;
    (*samples)[at] = (struct model_sample){.time_ms = time_ms};
    return &(*samples)[at];
}

struct model_sample *model_find(struct model_series *series, int64_t time_ms)
{
    size_t at = position_of(series->samples, series->count, time_ms);
    return at < series->count && series->samples[at].time_ms == time_ms ? &series->samples[at]
                                                                        : NULL;
}

struct model_sample *model_offer(struct model_series *series, int64_t time_ms, unsigned variant)
{
    struct model_sample *sample =
        place(&series->samples, &series->count, &series->capacity, time_ms);
    sample->offered |= (uint8_t)(1u << variant);
    series->offered = true;
    return sample;
}

struct model_sample *model_offer_exemplar(struct model_series *series, int64_t time_ms)
{
    struct model_sample *exemplar =
        place(&series->exemplars, &series->exemplar_count, &series->exemplar_capacity, time_ms);
    exemplar->offered |= 1;
    return exemplar;
}

void model_deleting(struct model_series *series, int64_t start_ms, int64_t end_ms)
{
    for (size_t i = 0; i < series->count; i++)
        if (series->samples[i].time_ms >= start_ms && series->samples[i].time_ms <= end_ms)
            series->samples[i].maybe_deleted = true;
}

void model_deleted(struct model_series *series, int64_t start_ms, int64_t end_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < series->count; i++)
        if (series->samples[i].time_ms < start_ms || series->samples[i].time_ms > end_ms)
            series->samples[kept++] = series->samples[i];
    series->count = kept;
}
