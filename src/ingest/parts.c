/* From series as they were sent to the columns of a write for each shard. */
#include "ingest_private.h"

#include <stdio.h>

#include "series_check.h"

/* --- Parts ------------------------------------------------------------------------------------ */

/* Of the attempt before: what is sent again keeps its memory, others are over. */
static void recycle_parts(struct ingest_work *work)
{
    struct shard_part **link = &work->parts;
    while (*link != NULL) {
        struct shard_part *part = *link;
        if (!part->again) {
            work->part_of_shard[part->shard] = NULL;
            *link = part->next;
            continue;
        }
        const struct shard_write *former = &part->write.write;
        part->write.write = (struct shard_write){
            .tenant = former->tenant,
            .new_series = former->new_series,
            .ids = former->ids,
            .timestamps_ms = former->timestamps_ms,
            .values = former->values,
            .start_timestamps_ms = former->start_timestamps_ms,
            .origins = former->origins,
            .histograms = former->histograms,
            .histogram_origins = former->histogram_origins,
            .exemplars = former->exemplars,
            .stale_origins = former->stale_origins,
        };
        part->float_count = part->histogram_count = part->exemplar_count = 0;
        part->metadata_count = part->new_count = 0;
        part->sent = part->again = false;
        link = &part->next;
    }
}

/* The table has a place for each shard, of few of which a request has something. */
static bool reserve_shards(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    uint32_t shard_count = request->ingest->slots.shard_count;
    if (shard_count <= work->shard_count)
        return true;
    work->part_of_shard = arena_grow(request->arena, work->part_of_shard, work->shard_count,
                                     shard_count, sizeof(struct shard_part *));
    work->shard_count = shard_count;
    return work->part_of_shard != NULL;
}

static struct shard_part *add_part(struct ingest_request *request, uint32_t shard)
{
    struct ingest_work *work = request->work;
    struct shard_part *part = arena_array(request->arena, 1, sizeof *part);
    if (part == NULL)
        return NULL;
    part->request = request;
    part->shard = shard;
    part->write.write.tenant = request->tenant;
    part->next = work->parts;
    work->parts = part;
    work->part_of_shard[shard] = part;
    return part;
}

static bool count_parts(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    for (size_t i = work->portion.series_first; i < work->portion.series_end; i++) {
        const struct write_series *series = &request->decoded.series[i];
        uint32_t shard = work->destinations[i].shard;
        if (shard == SHARD_NONE)
            continue;
        struct shard_part *part = work->part_of_shard[shard];
        if (part == NULL && (part = add_part(request, shard)) == NULL)
            return false;
        part->float_count += series->sample_count;
        part->histogram_count += series->histogram_count;
        part->exemplar_count += series->exemplar_count;
    }
    for (size_t i = 0; i < work->placed_count; i++)
        work->part_of_shard[work->destinations[work->placed[i].origin].shard]->new_count++;
    return true;
}

static bool allocate_new_series(struct arena *arena, struct shard_part *part)
{
    struct shard_write *write = &part->write.write;
    write->new_series = arena_array(arena, part->new_count, sizeof *write->new_series);
    part->new_origins = arena_array(arena, part->new_count, sizeof *part->new_origins);
    part->new_room = part->new_count;
    return write->new_series != NULL && part->new_origins != NULL;
}

static bool allocate_samples(struct ingest_request *request, struct shard_part *part)
{
    bool with_starts = request->decoded.has_start_timestamps;
    struct arena *arena = request->arena;
    struct shard_write *write = &part->write.write;
    size_t floats = part->float_count;
    write->ids = arena_allocate(arena, floats * sizeof *write->ids);
    write->timestamps_ms = arena_allocate(arena, floats * sizeof *write->timestamps_ms);
    write->values = arena_allocate(arena, floats * sizeof *write->values);
    write->origins = arena_allocate(arena, floats * sizeof *write->origins);
    write->start_timestamps_ms =
        with_starts ? arena_allocate(arena, floats * sizeof(int64_t)) : NULL;
    write->histograms = arena_array(arena, part->histogram_count, sizeof *write->histograms);
    write->histogram_origins =
        arena_array(arena, part->histogram_count, sizeof *write->histogram_origins);
    write->exemplars = arena_array(arena, part->exemplar_count, sizeof *write->exemplars);
    write->stale_origins =
        arena_allocate(arena, (floats + part->histogram_count) * sizeof *write->stale_origins);
    part->float_room = floats;
    part->histogram_room = part->histogram_count;
    part->exemplar_room = part->exemplar_count;
    return write->ids != NULL && write->timestamps_ms != NULL && write->values != NULL &&
           write->origins != NULL && (!with_starts || write->start_timestamps_ms != NULL) &&
           write->histograms != NULL && write->histogram_origins != NULL &&
           write->exemplars != NULL && write->stale_origins != NULL;
}

static bool allocate_part(struct ingest_request *request, struct shard_part *part)
{
    bool fits = part->write.write.ids != NULL && part->float_count <= part->float_room &&
                part->histogram_count <= part->histogram_room &&
                part->exemplar_count <= part->exemplar_room;
    if (!fits && !allocate_samples(request, part))
        return false;
    return (part->new_origins != NULL && part->new_count <= part->new_room) ||
           allocate_new_series(request->arena, part);
}

/* --- Samples ---------------------------------------------------------------------------------- */

static enum error_code append_exemplars(struct ingest_request *request, struct shard_write *write,
                                        uint32_t index, struct error *error)
{
    const struct write_series *series = &request->decoded.series[index];
    for (uint32_t i = 0; i < series->exemplar_count; i++) {
        const struct write_exemplar *sent = &request->decoded.exemplars[series->exemplar_first + i];
        struct entry_exemplar *exemplar = &write->exemplars[write->exemplar_count];
        enum error_code code = series_check_exemplar(request, sent, &exemplar->exemplar, error);
        if (code == ERROR_OUT_OF_MEMORY)
            return code;
        if (code != ERROR_NONE)
            continue; /* as in the reference: exemplars never fail a request */
        exemplar->id = request->work->destinations[index].series_id;
        write->exemplar_count++;
    }
    return ERROR_NONE;
}

static void refuse_conflict(struct ingest_request *request, uint32_t index, int64_t timestamp_ms)
{
    char text[128];
    if (request->work->destinations[index].judged)
        return;
    snprintf(text, sizeof text, "%s, timestamp %lld ms",
             shard_refusal_reason_text(SHARD_REFUSED_CONFLICT), (long long)timestamp_ms);
    ingest_refuse_sample(request, index, INGEST_REASON_CONFLICT, text);
}

/* Whether the sample contradicts the newest before it in its own series; shards know only what
 * came with other requests. */
static bool is_conflict(struct ingest_request *request, uint32_t index,
                        const struct write_sample **newest, const struct write_sample *sample)
{
    if (*newest == NULL || sample->timestamp_ms > (*newest)->timestamp_ms) {
        *newest = sample;
        return false;
    }
    if (sample->timestamp_ms < (*newest)->timestamp_ms ||
        double_to_bits(sample->value) == double_to_bits((*newest)->value))
        return false;
    refuse_conflict(request, index, sample->timestamp_ms);
    return true;
}

/* The same for the `i`-th histogram of the series: against its newest float, and the one before. */
static bool histogram_is_conflict(struct ingest_request *request, uint32_t index, uint32_t i,
                                  const struct write_sample *newest)
{
    const struct write_series *series = &request->decoded.series[index];
    const struct write_histogram *sent = &request->decoded.histograms[series->histogram_first + i];
    bool conflict = newest != NULL && newest->timestamp_ms == sent->timestamp_ms;
    if (i > 0 && sent[-1].timestamp_ms == sent->timestamp_ms && sent[-1].status == ERROR_NONE)
        conflict |= !histogram_equal(&sent[-1].histogram, &sent->histogram);
    if (conflict)
        refuse_conflict(request, index, sent->timestamp_ms);
    return conflict;
}

static inline void append_float(struct shard_write *write, uint64_t series_id, uint32_t index,
                                const struct write_sample *sample)
{
    size_t at = write->float_count++;
    write->ids[at] = series_id;
    write->timestamps_ms[at] = sample->timestamp_ms;
    write->values[at] = sample->value;
    write->origins[at] = index;
    if (write->start_timestamps_ms != NULL)
        write->start_timestamps_ms[at] = sample->start_timestamp_ms;
}

static enum error_code append_series(struct ingest_request *request, uint32_t index,
                                     struct error *error)
{
    const struct write_series *series = &request->decoded.series[index];
    const struct write_sample *samples = &request->decoded.samples[series->sample_first];
    struct destination *destination = &request->work->destinations[index];
    struct shard_write *write = &request->work->part_of_shard[destination->shard]->write.write;
    if (series->sample_count == 1 && series->histogram_count + series->exemplar_count == 0) {
        append_float(write, destination->series_id, index, samples);
        return ERROR_NONE; /* almost every one */
    }
    const struct write_sample *newest = NULL;
    for (uint32_t i = 0; i < series->sample_count; i++)
        if (!is_conflict(request, index, &newest, &samples[i]))
            append_float(write, destination->series_id, index, &samples[i]);
    for (uint32_t i = 0; i < series->histogram_count; i++) {
        const struct write_histogram *sent =
            &request->decoded.histograms[series->histogram_first + i];
        if (sent->status != ERROR_NONE || histogram_is_conflict(request, index, i, newest))
            continue;
        size_t at = write->histogram_count++;
        write->histograms[at] = (struct entry_histogram){
            .id = destination->series_id,
            .timestamp_ms = sent->timestamp_ms,
            .start_timestamp_ms = sent->start_timestamp_ms,
            .histogram = sent->histogram,
        };
        write->histogram_origins[at] = index;
    }
    destination->judged = true;
    return append_exemplars(request, write, index, error);
}

/* --- Metadata --------------------------------------------------------------------------------- */

/* Metadata belongs to a metric, not to a series: it goes to the shard of the metric's slot. */
static bool place_metadata(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    if (work->placed_metadata == NULL)
        work->placed_metadata = arena_array(request->arena, request->decoded.metadata_count,
                                            sizeof *work->placed_metadata);
    if (work->placed_metadata == NULL)
        return false;
    for (size_t i = work->portion.metadata_first; i < work->portion.metadata_end; i++) {
        struct placed_metadata *placed = &work->placed_metadata[i];
        struct text name;
        if (!placed->checked)
            placed->settled =
                !series_check_metadata(request, &request->decoded.metadata[i], &placed->metadata);
        placed->checked = true;
        placed->shard = SHARD_NONE;
        if (placed->settled)
            continue;
        name = placed->metadata.metric_name;
        placed->shard = slot_map_shard(&request->ingest->slots, metadata_slot(name));
        struct shard_part *part = work->part_of_shard[placed->shard];
        if (part == NULL && (part = add_part(request, placed->shard)) == NULL)
            return false;
        part->metadata_count++;
    }
    return true;
}

static bool append_metadata(struct ingest_request *request)
{
    struct ingest_work *work = request->work;
    const struct portion *portion = &work->portion;
    if (portion->metadata_first == portion->metadata_end)
        return true;
    if (!place_metadata(request))
        return false;
    for (struct shard_part *part = work->parts; part != NULL; part = part->next) {
        struct shard_write *write = &part->write.write;
        if (part->metadata_count == 0)
            continue;
        write->metadata =
            arena_array(request->arena, part->metadata_count, sizeof *write->metadata);
        if (write->metadata == NULL)
            return false;
    }
    for (size_t i = portion->metadata_first; i < portion->metadata_end; i++) {
        const struct placed_metadata *placed = &work->placed_metadata[i];
        if (placed->shard == SHARD_NONE)
            continue;
        struct shard_write *write = &work->part_of_shard[placed->shard]->write.write;
        write->metadata[write->metadata_count++] = placed->metadata;
    }
    return true;
}

/* --- Building --------------------------------------------------------------------------------- */

static void append_new_series(struct ingest_work *work)
{
    for (size_t i = 0; i < work->placed_count; i++) {
        const struct placed_series *placed = &work->placed[i];
        struct destination *destination = &work->destinations[placed->origin];
        struct shard_part *part = work->part_of_shard[destination->shard];
        size_t at = part->write.write.new_series_count++;
        part->write.write.new_series[at] = placed->series;
        part->new_origins[at] = placed->origin;
        destination->series_id = SHARD_SERIES_NEW | at;
    }
}

enum error_code ingest_build_parts(struct ingest_request *request, struct error *error)
{
    struct ingest_work *work = request->work;
    recycle_parts(work);
    if (!reserve_shards(request) || !count_parts(request))
        return error_set(error, ERROR_OUT_OF_MEMORY, "parts of the request");
    for (struct shard_part *part = work->parts; part != NULL; part = part->next)
        if (!allocate_part(request, part))
            return error_set(error, ERROR_OUT_OF_MEMORY, "samples of the request");
    append_new_series(work);
    enum error_code code = ERROR_NONE;
    for (size_t i = work->portion.series_first; code == ERROR_NONE && i < work->portion.series_end;
         i++)
        if (work->destinations[i].shard != SHARD_NONE)
            code = append_series(request, (uint32_t)i, error);
    if (code == ERROR_NONE && !append_metadata(request))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "metadata of the request");
    return code;
}
