#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard/slots.h"
#include "shard_ids.h"
#include "shard_run.h"

enum { SAMPLES_PER_WRITE = 16, HISTOGRAM_ORIGIN = 1000 };

/* What a write offers at one position, to be acknowledged or not. */
struct offer {
    unsigned series;
    unsigned variant;
    int64_t time_ms;
    uint64_t id; /* as the write names the series */
};

struct simulated_write {
    struct replica_write write; /* first */
    struct run *run;
    size_t shard;
    unsigned tenant;
    struct arena *arena;
    struct offer floats[SAMPLES_PER_WRITE];
    size_t float_count;
    struct offer histograms[SAMPLES_PER_WRITE];
    size_t histogram_count;
    struct offer exemplars[SAMPLES_PER_WRITE];
    size_t exemplar_count;
    unsigned series_of[SAMPLES_PER_WRITE * 2]; /* of each new series */
    struct model_metric *metric;               /* NULL: none is described */
    uint32_t metadata_version;
};

/* --- Answers --------------------------------------------------------------------------------- */

static bool is_refused(const struct shard_write *write, uint32_t origin)
{
    for (size_t i = 0; i < write->refusal_count; i++)
        if (write->refusals[i].origin == origin)
            return true;
    for (size_t i = 0; i < write->stale_count; i++)
        if (write->stale_origins[i] == origin)
            return true;
    return false;
}

/* Origins: floats from 0, histograms from HISTOGRAM_ORIGIN. */
static void acknowledge_samples(struct simulated_write *request, const struct offer *offers,
                                size_t count, uint32_t first_origin)
{
    struct shard_model *model = &request->run->models[request->shard];
    for (size_t i = 0; i < count; i++) {
        struct model_sample *sample =
            model_find(&model->series[offers[i].series], offers[i].time_ms);
        if (sample != NULL && !is_refused(&request->write.write, first_origin + (uint32_t)i))
            sample->acknowledged |= (uint8_t)(1u << offers[i].variant);
    }
}

static void forget_stale_ids(struct simulated_write *request)
{
    const struct shard_write *write = &request->write.write;
    struct shard_model *model = &request->run->models[request->shard];
    for (size_t i = 0; i < write->stale_count; i++) {
        uint32_t origin = write->stale_origins[i];
        const struct offer *offer = origin < HISTOGRAM_ORIGIN
                                        ? &request->floats[origin]
                                        : &request->histograms[origin - HISTOGRAM_ORIGIN];
        if (!model_learn_death(model, offer->series, offer->id))
            run_fail(request->run, "an id was refused", model->failure);
        request->run->counts.stale_ids++;
    }
}

static void learn_ids(struct simulated_write *request)
{
    const struct shard_write *write = &request->write.write;
    struct shard_model *model = &request->run->models[request->shard];
    for (size_t i = 0; i < write->new_series_count; i++) {
        unsigned number = request->series_of[i];
        if (write->new_series[i].id == SHARD_ID_UNKNOWN)
            continue;
        request->run->counts.returned_series += model->series[number].was_forgotten;
        if (!model_learn_id(model, number, write->new_series[i].id))
            run_fail(request->run, "an id was given", model->failure);
    }
}

static void acknowledge(struct simulated_write *request)
{
    const struct shard_write *write = &request->write.write;
    struct shard_model *model = &request->run->models[request->shard];
    size_t refused = 0;
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        refused += write->refused_counts[i];
    request->run->counts.refused_samples += refused;
    forget_stale_ids(request);
    if (refused > write->refusal_count)
        return; /* which ones is not told */
    acknowledge_samples(request, request->floats, request->float_count, 0);
    acknowledge_samples(request, request->histograms, request->histogram_count, HISTOGRAM_ORIGIN);
    for (size_t i = 0; i < request->exemplar_count && write->stale_count + refused == 0; i++)
        model_offer_exemplar(&model->series[request->exemplars[i].series],
                             request->exemplars[i].time_ms)
            ->acknowledged = 1;
    learn_ids(request);
    if (request->metric != NULL && request->metadata_version > request->metric->acknowledged)
        request->metric->acknowledged = request->metadata_version;
}

static void on_written(struct replica_write *write)
{
    struct simulated_write *request = (struct simulated_write *)write;
    struct run *run = request->run;
    run->writes_in_flight--;
    run->writes_done++;
    run->counts.writes++;
    if (write->error.code == ERROR_NONE)
        acknowledge(request);
    else
        run->counts.refused_writes++;
    if (request->metric != NULL)
        request->metric->in_flight = false;
    for (size_t i = 0; i < request->exemplar_count; i++)
        run->models[request->shard].series[request->exemplars[i].series].exemplar_in_flight = false;
    arena_destroy(request->arena);
    free(request);
}

/* --- Samples --------------------------------------------------------------------------------- */

/* How the write names the series: by the id that is known, or by its labels. */
static uint64_t name_series(struct simulated_write *request, unsigned series)
{
    struct shard_write *write = &request->write.write;
    struct model_series *model = &request->run->models[request->shard].series[series];
    if (model->known_id != SHARD_ID_UNKNOWN && run_chance(request->run, 80))
        return model->known_id;
    for (size_t i = 0; i < write->new_series_count; i++)
        if (request->series_of[i] == series)
            return SHARD_SERIES_NEW | i;
    struct labels labels = model_labels(request->arena, request->shard, series);
    request->series_of[write->new_series_count] = series;
    write->new_series[write->new_series_count] = (struct shard_new_series){
        .labels = labels, .slot = series_slot(write->tenant, labels, 4), .id = SHARD_ID_UNKNOWN};
    return SHARD_SERIES_NEW | write->new_series_count++;
}

/* Now, a little late, over some windows late, or days. */
static int64_t choose_new_time(struct run *run)
{
    enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS };
    int64_t time_ms = run_now_ms(run) - run_below(run, 5000);
    uint32_t dice = run_below(run, 100);
    if (dice >= 14)
        return time_ms;
    run->counts.late++;
    run->counts.days_late += dice < 1;
    return time_ms - run_below(run, dice < 1   ? 60 * HOUR_MS
                                    : dice < 5 ? 8 * HOUR_MS
                                               : 10 * MINUTE_MS);
}

static int64_t choose_time(struct run *run, struct model_series *series, unsigned *variant)
{
    /* Mostly the one that every other can beat, but a stale marker. */
    *variant = run_chance(run, 85) ? 0 : run_below(run, MODEL_VARIANTS);
    uint32_t dice = run_below(run, 100);
    if (dice < 8 && series->count > 0) {
        const struct model_sample *known =
            &series->samples[run_below(run, (uint32_t)series->count)];
        if (dice < 3) {
            *variant = run_below(run, MODEL_VARIANTS);
            run->counts.conflicts++;
        } else {
            run->counts.duplicates++;
        }
        return known->time_ms;
    }
    if (dice < 10 && series->deleted_count > 0) {
        /* What was deleted may be written again, and stays then. */
        size_t kept =
            series->deleted_count < MODEL_DELETED_KEPT ? series->deleted_count : MODEL_DELETED_KEPT;
        run->counts.written_after_deletion++;
        return series->deleted_ms[run_below(run, (uint32_t)kept)];
    }
    return choose_new_time(run);
}

static void count_kind(struct run_counts *counts, const struct model_value *value)
{
    const struct histogram *histogram = &value->histogram;
    counts->start_timestamps += value->start_ms != 0;
    counts->stale_markers += value->is_stale && !value->is_histogram;
    counts->stale_histograms += value->is_stale && value->is_histogram;
    counts->nan_payloads += !value->is_histogram && !value->is_stale && isnan(value->value) &&
                            double_to_bits(value->value) != NORMAL_NAN_BITS;
    counts->integer_histograms += value->is_histogram && histogram->kind == HISTOGRAM_INTEGER;
    counts->float_histograms += value->is_histogram && histogram->kind == HISTOGRAM_FLOAT;
    counts->custom_histograms +=
        value->is_histogram && histogram->schema == HISTOGRAM_SCHEMA_CUSTOM;
}

static void add_exemplar(struct simulated_write *request, struct offer offer)
{
    struct run *run = request->run;
    struct model_series *series = &run->models[request->shard].series[offer.series];
    if (offer.time_ms <= series->exemplar_newest_ms || series->exemplar_in_flight)
        return;
    series->exemplar_in_flight = true;
    series->exemplar_newest_ms = offer.time_ms;
    request->write.write.exemplars[request->exemplar_count] =
        (struct entry_exemplar){offer.id,
                                {model_exemplar_labels(request->arena, offer.series, offer.time_ms),
                                 model_exemplar_value(offer.series, offer.time_ms), offer.time_ms}};
    request->exemplars[request->exemplar_count++] = offer;
    model_offer_exemplar(series, offer.time_ms);
    run->counts.exemplars++;
}

static void add_float(struct simulated_write *request, struct offer offer,
                      const struct model_value *value)
{
    struct shard_write *write = &request->write.write;
    size_t i = request->float_count++;
    write->ids[i] = offer.id;
    write->timestamps_ms[i] = offer.time_ms;
    write->values[i] = value->value;
    write->start_timestamps_ms[i] = value->start_ms;
    write->origins[i] = (uint32_t)i;
    request->floats[i] = offer;
}

static void add_histogram(struct simulated_write *request, struct offer offer,
                          const struct model_value *value)
{
    struct shard_write *write = &request->write.write;
    size_t i = request->histogram_count++;
    write->histograms[i] = (struct entry_histogram){
        .id = offer.id, .timestamp_ms = offer.time_ms, .start_timestamp_ms = value->start_ms};
    if (!histogram_copy(request->arena, &value->histogram, &write->histograms[i].histogram))
        abort();
    write->histogram_origins[i] = (uint32_t)(HISTOGRAM_ORIGIN + i);
    request->histograms[i] = offer;
}

static void add_sample(struct simulated_write *request, unsigned number)
{
    struct run *run = request->run;
    struct model_series *series = &run->models[request->shard].series[number];
    run->counts.new_series += series->count == 0;
    struct offer offer = {.series = number};
    offer.time_ms = choose_time(run, series, &offer.variant);
    struct model_value value;
    model_value_make(number, offer.time_ms, offer.variant, &value);
    offer.id = name_series(request, number);
    if (value.is_histogram)
        add_histogram(request, offer, &value);
    else
        add_float(request, offer, &value);
    model_offer(series, offer.time_ms, offer.variant);
    count_kind(&run->counts, &value);
    if (run_chance(run, 4))
        add_exemplar(request, offer);
}

/* --- Writes ---------------------------------------------------------------------------------- */

static struct simulated_write *write_create(struct run *run, size_t shard)
{
    struct simulated_write *request = calloc(1, sizeof *request);
    assert(request != NULL);
    struct arena *arena = request->arena = arena_create(0);
    request->run = run;
    request->shard = shard;
    request->tenant = run_below(run, MODEL_TENANTS);
    struct shard_write *write = &request->write.write;
    write->tenant = model_tenant_name(request->tenant);
    write->new_series = arena_array(arena, SAMPLES_PER_WRITE * 2, sizeof *write->new_series);
    write->ids = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->ids);
    write->timestamps_ms = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->timestamps_ms);
    write->values = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->values);
    write->start_timestamps_ms =
        arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->start_timestamps_ms);
    write->origins = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->origins);
    write->histograms = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->histograms);
    write->histogram_origins =
        arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->histogram_origins);
    write->exemplars = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->exemplars);
    write->metadata = arena_array(arena, 1, sizeof *write->metadata);
    write->stale_origins = arena_array(arena, SAMPLES_PER_WRITE * 2, sizeof *write->stale_origins);
    request->write.origin = run->node.environment->base.scheduler;
    request->write.done = on_written;
    return request;
}

static void add_metadata(struct simulated_write *request)
{
    struct shard_write *write = &request->write.write;
    struct run *run = request->run;
    unsigned number = run_below(run, MODEL_METRICS);
    struct model_metric *metric = &run->models[request->shard].metrics[request->tenant][number];
    if (metric->in_flight)
        return;
    metric->in_flight = true;
    request->metric = metric;
    request->metadata_version = ++metric->offered;
    write->metadata[write->metadata_count++] =
        (struct entry_metadata){arena_format(request->arena, "metric_%u", number),
                                model_metadata(request->arena, number, request->metadata_version)};
    run->counts.metadata++;
}

/* A series of the tenant; they come into use one after the other. */
static unsigned choose_series(struct run *run, unsigned tenant)
{
    enum { OF_A_TENANT = MODEL_SERIES / MODEL_TENANTS };
    uint32_t alive = 3 + (uint32_t)(run->writes_done / 60);
    return tenant + MODEL_TENANTS * run_below(run, alive < OF_A_TENANT ? alive : OF_A_TENANT);
}

/* A third of the series is quiet for an hour, then another third. */
static bool is_quiet(struct run *run, unsigned number)
{
    uint64_t hour = (uint64_t)(run_now_ms(run) / (3600 * 1000));
    return hash64(&hour, sizeof hour, run->seed + number) % 3 == 0;
}

void run_write(struct run *run, size_t shard)
{
    struct simulated_write *request = write_create(run, shard);
    struct shard_write *write = &request->write.write;
    uint32_t count = 1 + run_below(run, SAMPLES_PER_WRITE);
    for (uint32_t i = 0; i < count; i++) {
        unsigned series = choose_series(run, request->tenant);
        if (!is_quiet(run, series))
            add_sample(request, series);
    }
    if (run_chance(run, 3))
        add_metadata(request);
    write->float_count = request->float_count;
    write->histogram_count = request->histogram_count;
    write->exemplar_count = request->exemplar_count;
    bool any_start = false;
    for (size_t i = 0; i < write->float_count; i++)
        any_start |= write->start_timestamps_ms[i] != 0;
    if (!any_start)
        write->start_timestamps_ms = NULL;
    run->counts.written_samples += request->float_count + request->histogram_count;
    run->writes_in_flight++;
    replica_write(run->node.replicas[shard], &request->write);
}
