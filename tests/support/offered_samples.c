#include "offered_samples.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

double offered_value(unsigned series, int64_t time_ms)
{
    return (double)(hash64(&time_ms, sizeof time_ms, series) % 100000) / 8;
}

/* --- Samples --------------------------------------------------------------------------------- */

/* Where it is, or belongs. */
static size_t place_of(const struct offered_series *series, int64_t time_ms)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (series->samples[middle].time_ms < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct offered_sample *offered_find(const struct offered_series *series, int64_t time_ms)
{
    size_t place = place_of(series, time_ms);
    bool is_there = place < series->count && series->samples[place].time_ms == time_ms;
    return is_there ? &series->samples[place] : NULL;
}

struct offered_sample *offered_add(struct offered_series *series, int64_t time_ms)
{
    size_t place = place_of(series, time_ms);
    if (place < series->count && series->samples[place].time_ms == time_ms)
        return &series->samples[place];
    if (series->count == series->capacity) {
        series->capacity = series->capacity * 2 + 64;
        series->samples = realloc(series->samples, series->capacity * sizeof *series->samples);
        assert(series->samples != NULL);
    }
    memmove(&series->samples[place + 1], &series->samples[place],
            (series->count - place) * sizeof *series->samples);
    series->samples[place] = (struct offered_sample){.time_ms = time_ms};
    series->count++;
    return &series->samples[place];
}

/* --- Deletions that may be in force ---------------------------------------------------------- */

static void add_deletion(struct offered_deletions *deletions, struct offered_deletion deletion)
{
    if (deletions->count == deletions->capacity) {
        deletions->capacity = deletions->capacity * 2 + 4;
        deletions->items =
            realloc(deletions->items, deletions->capacity * sizeof *deletions->items);
        assert(deletions->items != NULL);
    }
    deletions->items[deletions->count++] = deletion;
}

static void remove_deletion(struct offered_deletions *deletions, uint64_t began_at)
{
    size_t place = 0;
    while (deletions->items[place].began_at != began_at)
        place++;
    deletions->items[place] = deletions->items[--deletions->count];
}

static bool covers(const struct offered_deletions *deletions, int64_t time_ms)
{
    for (size_t i = 0; i < deletions->count; i++)
        if (time_ms >= deletions->items[i].start_ms && time_ms <= deletions->items[i].end_ms)
            return true;
    return false;
}

/* --- What happens ---------------------------------------------------------------------------- */

void offered_attempt(struct offered_series *series, int64_t time_ms)
{
    struct offered_sample *sample = offered_add(series, time_ms);
    sample->attempts++;
    sample->deleted = false;
}

void offered_answer(struct offered_series *series, int64_t time_ms, uint64_t began_at,
                    uint64_t moment, enum offered_outcome outcome)
{
    struct offered_sample *sample = offered_add(series, time_ms);
    assert(sample->attempts > 0);
    sample->attempts--;
    sample->answered_at = moment;
    if (outcome == OFFERED_UNKNOWN)
        sample->is_uncertain = true;
    else if (began_at > sample->deleted_at && !covers(&series->under_way, time_ms))
        sample->acknowledged = true;
}

void offered_delete(struct offered_series *series, int64_t start_ms, int64_t end_ms,
                    uint64_t moment)
{
    add_deletion(&series->under_way, (struct offered_deletion){start_ms, end_ms, moment});
    for (size_t i = place_of(series, start_ms);
         i < series->count && series->samples[i].time_ms <= end_ms; i++) {
        series->samples[i].acknowledged = false;
        series->samples[i].was_deleted = true;
    }
}

void offered_deleted(struct offered_series *series, int64_t start_ms, int64_t end_ms,
                     uint64_t began_at, uint64_t moment, enum offered_outcome outcome)
{
    remove_deletion(&series->under_way, began_at);
    if (outcome == OFFERED_UNKNOWN)
        add_deletion(&series->unanswered, (struct offered_deletion){start_ms, end_ms, began_at});
    for (size_t i = place_of(series, start_ms);
         i < series->count && series->samples[i].time_ms <= end_ms; i++) {
        struct offered_sample *sample = &series->samples[i];
        sample->deleted_at = moment;
        sample->was_deleted = true;
        /* What was on its way may have come behind the deletion. */
        if (outcome == OFFERED_STORED && sample->attempts == 0 && !sample->is_uncertain &&
            sample->answered_at < began_at)
            sample->deleted = true;
    }
}

/* --- What must be the case ------------------------------------------------------------------- */

bool offered_must_be_there(const struct offered_series *series, const struct offered_sample *sample)
{
    return sample->acknowledged && !covers(&series->unanswered, sample->time_ms);
}

const char *offered_check(const struct offered_series *series, unsigned number,
                          const struct sample_columns *columns, uint64_t *hash,
                          int64_t *time_ms_out)
{
    size_t found = 0;
    for (size_t i = 0; i < series->count; i++) {
        const struct offered_sample *sample = &series->samples[i];
        *time_ms_out = sample->time_ms;
        if (found < columns->count && columns->timestamps_ms[found] < sample->time_ms)
            break;
        if (found == columns->count || columns->timestamps_ms[found] > sample->time_ms) {
            if (offered_must_be_there(series, sample))
                return "is lost";
            continue;
        }
        if (sample->deleted)
            return "was deleted, and is there";
        if (columns->values[found] != offered_value(number, sample->time_ms))
            return "is altered";
        *hash = hash64(&sample->time_ms, sizeof sample->time_ms, *hash + number);
        found++;
    }
    if (found == columns->count)
        return NULL;
    *time_ms_out = columns->timestamps_ms[found];
    return "was never written";
}

void offered_clear(struct offered_series *series)
{
    free(series->samples);
    free(series->under_way.items);
    free(series->unanswered.items);
    *series = (struct offered_series){0};
}
