/* Which shard a series goes to, and under which id: by alias, otherwise by labels. */
#include "ingest_private.h"

#include <string.h>

#include "series_check.h"

/* --- By alias --------------------------------------------------------------------------------- */

void ingest_find_aliases(struct ingest_request *request, size_t first, size_t end)
{
    struct alias_table *aliases = &request->ingest->aliases;
    struct ingest_work *work = request->work;
    const struct slot_map *slots = &request->ingest->slots;
    const struct write_series *series = request->decoded.series;
    size_t place = ALIAS_NONE;
    alias_table_set_time(aliases, clock_now_ms(request->ingest->options.clock));
    for (size_t i = first; i < end; i++) {
        struct destination *destination = &work->destinations[i];
        if (destination->settled)
            continue;
        if (work->any_unknown && i + ALIAS_PREFETCH < end)
            alias_table_prefetch(aliases, series[i + ALIAS_PREFETCH].alias);
        const struct alias *alias = alias_table_find_next(aliases, series[i].alias, &place);
        *destination = (struct destination){.shard = SHARD_NONE, .judged = destination->judged};
        if (alias == NULL || slot_map_shard(slots, alias->slot) != alias->shard) {
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
        else if (!request->work->destinations[index].judged)
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
    destination->shard = slot_map_shard(&ingest->slots, slot);
    destination->slot = slot;
    work->placed[work->placed_count++] = (struct placed_series){
        .series = {.labels = labels, .slot = slot, .id = SHARD_ID_UNKNOWN},
        .origin = index,
    };
    return ERROR_NONE;
}

/* Room for all of the portion; what is placed already stays. */
static bool reserve_placed(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    size_t room = work->any_unknown ? work->portion.series_end - work->portion.series_first : 0;
    if (room <= work->placed_room)
        return true;
    struct placed_series *placed = arena_allocate(request->arena, room * sizeof *placed);
    if (placed == NULL)
        return false;
    if (work->placed_count > 0)
        memcpy(placed, work->placed, work->placed_count * sizeof *placed);
    work->placed = placed;
    work->placed_room = room;
    return true;
}

/* When labels made the portion end earlier: those behind it are for the next one. */
static void leave_to_the_next(struct ingest_work *work)
{
    size_t kept = 0;
    for (size_t i = 0; i < work->placed_count; i++) {
        if (work->placed[i].origin < work->portion.series_end)
            work->placed[kept++] = work->placed[i];
        else
            work->destinations[work->placed[i].origin].shard = SHARD_NONE;
    }
    work->placed_count = kept;
}

enum error_code ingest_place(struct ingest_request *request, struct error *error)
{
    struct ingest_work *work = request->work;
    struct portion *portion = &work->portion;
    size_t placed_before = work->placed_count;
    size_t new_label_bytes = 0;
    if (!reserve_placed(request))
        return error_set(error, ERROR_OUT_OF_MEMORY, "new series of the request");
    for (size_t i = 0; i < placed_before; i++)
        new_label_bytes += work->placed[i].series.labels.size;
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        struct destination *destination = &work->destinations[i];
        const struct write_series *series = &request->decoded.series[i];
        if (destination->settled)
            continue;
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
    counter_add(request->ingest->options.metrics->alias_misses, work->placed_count - placed_before);
    if (placed_before > 0)
        leave_to_the_next(work);
    return ERROR_NONE;
}

/* --- Again ------------------------------------------------------------------------------------ */

static bool is_sent_again(const struct ingest_work *work, uint32_t shard)
{
    return shard != SHARD_NONE && work->part_of_shard[shard]->again;
}

static void settle(struct ingest_work *work)
{
    const struct portion *portion = &work->portion;
    for (size_t i = portion->series_first; i < portion->series_end; i++) {
        struct destination *destination = &work->destinations[i];
        if (is_sent_again(work, destination->shard))
            continue;
        destination->settled = true;
        destination->shard = SHARD_NONE;
    }
    for (size_t i = portion->metadata_first; i < portion->metadata_end; i++) {
        struct placed_metadata *placed = &work->placed_metadata[i];
        placed->settled |= !is_sent_again(work, placed->shard);
    }
}

void ingest_place_again(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    size_t kept = 0;
    settle(work);
    ingest_find_aliases(request, work->portion.series_first, work->portion.series_end);
    /* Labels that were decoded once are not decoded again. */
    for (size_t i = 0; i < work->placed_count; i++) {
        struct placed_series *placed = &work->placed[i];
        struct destination *destination = &work->destinations[placed->origin];
        if (destination->settled || destination->shard != SHARD_NONE)
            continue;
        destination->slot = placed->series.slot;
        destination->shard = slot_map_shard(&request->ingest->slots, destination->slot);
        work->placed[kept++] = *placed;
    }
    work->placed_count = kept;
}
