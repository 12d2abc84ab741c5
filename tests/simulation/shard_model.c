#include "shard_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard/shard.h"

void shard_model_init(struct shard_model *model, size_t shard)
{
    memset(model, 0, sizeof *model);
    model->shard = shard;
    model->cutoff_ms = model->rules_at_ms = INT64_MIN;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        model->series[i].known_id = SHARD_ID_UNKNOWN;
        model->series[i].cutoff_ms = INT64_MIN;
        model->series[i].keep_ms = INT64_MAX;
    }
}

bool shard_model_is_past(const struct shard_model *model, const struct model_series *series,
                         int64_t time_ms)
{
    return series->keep_ms != INT64_MAX && model->rules_at_ms != INT64_MIN &&
           time_ms < model->rules_at_ms - series->keep_ms;
}

void shard_model_clear(struct shard_model *model)
{
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        free(model->series[i].samples);
        free(model->series[i].exemplars);
    }
}

/* --- Series ---------------------------------------------------------------------------------- */

bool shard_model_find_series(const struct shard_model *model, unsigned tenant, struct labels labels,
                             unsigned *number_out)
{
    struct text name = labels_get(labels, LABEL_METRIC_NAME);
    char copy[32];
    unsigned number;
    snprintf(copy, sizeof copy, "%.*s", (int)name.size, name.data);
    if (sscanf(copy, "metric_%u", &number) != 1 || number >= MODEL_SERIES / MODEL_TENANTS)
        return false;
    number = number * MODEL_TENANTS + tenant;
    struct arena *arena = arena_create(0);
    assert(arena != NULL);
    bool same = labels_equal(model_labels(arena, model->shard, number), labels);
    arena_destroy(arena);
    *number_out = number;
    return same;
}

/* --- Samples --------------------------------------------------------------------------------- */

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
    series->was_written = true;
    return sample;
}

struct model_sample *model_offer_exemplar(struct model_series *series, int64_t time_ms)
{
    struct model_sample *exemplar =
        place(&series->exemplars, &series->exemplar_count, &series->exemplar_capacity, time_ms);
    exemplar->offered |= 1;
    return exemplar;
}

/* --- Deletions ------------------------------------------------------------------------------- */

static bool is_within(const struct model_sample *sample, int64_t start_ms, int64_t end_ms)
{
    return sample->time_ms >= start_ms && sample->time_ms <= end_ms;
}

void model_deleting(struct model_series *series, int64_t start_ms, int64_t end_ms)
{
    for (size_t i = 0; i < series->count; i++)
        if (is_within(&series->samples[i], start_ms, end_ms))
            series->samples[i].maybe_deleted = true;
}

void model_deleted(struct model_series *series, int64_t start_ms, int64_t end_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct model_sample *sample = &series->samples[i];
        if (is_within(sample, start_ms, end_ms))
            series->deleted_ms[series->deleted_count++ % MODEL_DELETED_KEPT] = sample->time_ms;
        else
            series->samples[kept++] = *sample;
    }
    series->count = kept;
}
