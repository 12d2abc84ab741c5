/* Which shard a series goes to, and under which id: by alias, otherwise by labels. */
#include "ingest_private.h"

#include "series_check.h"

/* --- By alias --------------------------------------------------------------------------------- */

void ingest_find_aliases(struct ingest_request *request, size_t first, size_t end)
{
    struct alias_table *aliases = &request->ingest->aliases;
    struct ingest_work *work = request->work;
    const struct write_series *series = request->decoded.series;
    size_t place = ALIAS_NONE;
    alias_table_set_time(aliases, clock_now_ms(request->ingest->options.clock));
    for (size_t i = first; i < end; i++) {
        struct destination *destination = &work->destinations[i];
        if (work->any_unknown && i + ALIAS_PREFETCH < end)
            alias_table_prefetch(aliases, series[i + ALIAS_PREFETCH].alias);
        const struct alias *alias = alias_table_find_next(aliases, series[i].alias, &place);
        *destination = (struct destination){.shard = SHARD_NONE};
        if (alias == NULL) {
            work->any_unknown = true;
            continue;
        }
        destination->series_id = alias->series_id;
        destination->shard = alias->shard;
    }
}

bool ingest_labels_are_whole(const struct ingest_request *request)
{
    const struct ingest_work *work = request->work;
    for (size_t i = 0; work->any_unknown && i < request->decoded.series_count; i++) {
        const struct write_series *series = &request->decoded.series[i];
        if (work->destinations[i].shard == SHARD_NONE && series->labels_unseen &&
            !write_labels_are_whole(&series->labels))
            return false;
    }
    return true;
}

/* --- By labels -------------------------------------------------------------------------------- */

/* Series that need no look at their labels to be refused, or to be passed over. */
static bool refused_at_sight(struct ingest_request *request, uint32_t index)
{
    const struct write_series *series = &request->decoded.series[index];
    bool has_samples = series->sample_count + series->histogram_count > 0;
    if (request->decoded.version == WRITE_VERSION_1)
        return !has_samples && series->exemplar_count == 0; /* nothing to store, nothing to say */
    if (series->reference_invalid) {
        ingest_refuse_series(request, index, INGEST_REASON_REFERENCE,
                             "a reference is outside the symbols");
        return true;
    }
    if (!has_samples) {
        ingest_refuse_series(request, index, INGEST_REASON_NO_SAMPLES,
                             "a series without samples or histograms");
        return true;
    }
    return false;
}

static enum error_code check_histogram(const struct write_histogram *sent, struct error *error)
{
    if (sent->status == ERROR_LIMIT)
        return error_set(error, ERROR_LIMIT, "histogram: more than %d buckets",
                         HISTOGRAM_BUCKETS_MAX);
    return histogram_validate(&sent->histogram, error);
}

/* Marks those that break a rule; false when nothing of the series is left. */
static bool check_histograms(struct ingest_request *request, uint32_t index)
{
    const struct write_series *series = &request->decoded.series[index];
    uint32_t valid = 0;
    for (uint32_t i = 0; i < series->histogram_count; i++) {
        struct write_histogram *sent = &request->decoded.histograms[series->histogram_first + i];
        struct error error;
        sent->status = check_histogram(sent, &error);
        if (sent->status == ERROR_NONE)
            valid++;
        else
            ingest_refuse_sample(request, index, INGEST_REASON_HISTOGRAM, error.message);
    }
    return valid + series->sample_count > 0;
}

/* Labels are looked at: checked, brought into canonical form, and placed. */
static enum error_code place_by_labels(struct ingest_request *request, uint32_t index,
                                       struct error *error)
{
    struct ingest *ingest = request->ingest;
    struct ingest_work *work = request->work;
    struct destination *destination = &work->destinations[index];
    struct labels labels;
    enum ingest_reason reason;
    enum error_code code =
        series_check_labels(request, index, &ingest->options.limits, &labels, &reason, error);
    if (code == ERROR_OUT_OF_MEMORY)
        return code;
    if (code != ERROR_NONE) {
        ingest_refuse_series(request, index, reason, error->message);
        return ERROR_NONE;
    }
    uint16_t slot = series_slot(request->tenant, labels, ingest->options.spread);
    destination->shard = slot_map_shard(ingest->options.slots, slot);
    work->placed[work->placed_count++] = (struct placed_series){
        .series = {.labels = labels, .slot = slot, .id = SHARD_ID_UNKNOWN},
        .origin = index,
    };
    return ERROR_NONE;
}

enum error_code ingest_place(struct ingest_request *request, struct error *error)
{
    struct ingest_work *work = request->work;
    struct portion *portion = &work->portion;
    size_t room = work->any_unknown ? portion->series_end - portion->series_first : 0;
    size_t new_label_bytes = 0;
    work->placed_count = 0;
    work->placed = arena_allocate(request->arena, room * sizeof *work->placed);
    if (work->placed == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "new series of the request");
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        struct destination *destination = &work->destinations[i];
        const struct write_series *series = &request->decoded.series[i];
        if (refused_at_sight(request, (uint32_t)i) ||
            (series->histogram_count > 0 && !check_histograms(request, (uint32_t)i))) {
            destination->shard = SHARD_NONE;
            continue;
        }
        if (destination->shard != SHARD_NONE)
            continue;
        enum error_code code = place_by_labels(request, (uint32_t)i, error);
        if (code != ERROR_NONE)
            return code;
        if (destination->shard == SHARD_NONE)
            continue;
        new_label_bytes += work->placed[work->placed_count - 1].series.labels.size;
        if (portion_ends_at(portion, i, new_label_bytes))
            break;
    }
    counter_add(request->ingest->options.metrics->alias_misses, work->placed_count);
    return ERROR_NONE;
}
