#include <assert.h>
#include <stdlib.h>

#include "shard/slots.h"
#include "shard_run.h"

enum { SAMPLES_PER_WRITE = 16 };

/* What a write offers at one position, to be acknowledged or not. */
struct offer {
    unsigned series;
    unsigned variant;
    int64_t time_ms;
    uint64_t id; /* as the write named the series */
};

struct simulated_write {
    struct replica_write write; /* first */
    struct run *run;
    size_t shard;
    struct arena *arena;
    struct offer floats[SAMPLES_PER_WRITE];
    size_t float_count;
    struct offer histograms[SAMPLES_PER_WRITE];
    size_t histogram_count;
    struct offer exemplars[SAMPLES_PER_WRITE];
    size_t exemplar_count;
    unsigned series_of[SAMPLES_PER_WRITE * 2]; /* of each new series */
    unsigned metric;
    uint32_t metadata_version; /* 0: none */
};

static struct labels labels_of(struct arena *arena, size_t shard, unsigned series)
{
    struct label labels[] = {
        {LABEL_METRIC_NAME, arena_format(arena, "metric_%u", series)},
        {TEXT("instance"), arena_format(arena, "host-%u", series % 3)},
        {TEXT("job"), TEXT("simulation")},
        {TEXT("shard"), arena_format(arena, "%zu", shard)},
    };
    return labels_build(arena, labels, 4);
}

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
    struct labels labels = labels_of(request->arena, request->shard, series);
    request->series_of[write->new_series_count] = series;
    write->new_series[write->new_series_count] =
        (struct shard_new_series){labels, series_slot(write->tenant, labels, 4), SHARD_ID_UNKNOWN};
    return SHARD_SERIES_NEW | write->new_series_count++;
}

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

/* Origins: floats from 0, histograms from 1000. */
static void acknowledge(struct simulated_write *request)
{
    struct run *run = request->run;
    const struct shard_write *write = &request->write.write;
    struct shard_model *model = &run->models[request->shard];
    size_t refused = 0;
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        refused += write->refused_counts[i];
    for (size_t i = 0; i < write->stale_count; i++) {
        uint32_t origin = write->stale_origins[i];
        const struct offer *offer =
            origin < 1000 ? &request->floats[origin] : &request->histograms[origin - 1000];
        if (!model_learn_death(model, offer->series, offer->id))
            run_fail(run, "an id was refused", model->failure);
        run->counts.stale_ids++;
    }
    if (refused > write->refusal_count)
        return; /* which ones is not told */
    for (size_t i = 0; i < request->float_count; i++) {
        const struct offer *offer = &request->floats[i];
        struct model_sample *sample = model_find(&model->series[offer->series], offer->time_ms);
        if (sample != NULL && !is_refused(write, (uint32_t)i))
            sample->acknowledged |= (uint8_t)(1u << offer->variant);
    }
    for (size_t i = 0; i < request->histogram_count; i++) {
        const struct offer *offer = &request->histograms[i];
        struct model_sample *sample = model_find(&model->series[offer->series], offer->time_ms);
        if (sample != NULL && !is_refused(write, (uint32_t)(1000 + i)))
            sample->acknowledged |= 1;
    }
    for (size_t i = 0; i < request->exemplar_count && write->stale_count + refused == 0; i++)
        model_offer_exemplar(&model->series[request->exemplars[i].series],
                             request->exemplars[i].time_ms)
            ->acknowledged = 1;
    for (size_t i = 0; i < write->new_series_count; i++) {
        const struct model_series *series = &model->series[request->series_of[i]];
        bool returns = series->was_forgotten;
        if (write->new_series[i].id == SHARD_ID_UNKNOWN)
            continue;
        if (!model_learn_id(model, request->series_of[i], write->new_series[i].id))
            run_fail(run, "an id was given", model->failure);
        run->counts.returned_series += returns;
    }
    if (request->metadata_version > model->metadata_acknowledged[request->metric])
        model->metadata_acknowledged[request->metric] = request->metadata_version;
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
    if (request->metadata_version != 0)
        run->models[request->shard].metadata_in_flight[request->metric] = false;
    for (size_t i = 0; i < request->exemplar_count; i++)
        run->models[request->shard].series[request->exemplars[i].series].exemplar_in_flight = false;
    arena_destroy(request->arena);
    free(request);
}

static int64_t choose_time(struct run *run, struct model_series *series, unsigned *variant)
{
    *variant = 0;
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
    int64_t time_ms = run_now_ms(run) - run_below(run, 5000);
    if (dice < 20) {
        run->counts.late++;
        time_ms -= run_below(run, dice < 12 ? 8 * 3600 * 1000 : 600 * 1000);
    }
    return time_ms;
}

static void add_float(struct simulated_write *request, unsigned number)
{
    struct shard_write *write = &request->write.write;
    struct model_series *series = &request->run->models[request->shard].series[number];
    unsigned variant;
    int64_t time_ms = choose_time(request->run, series, &variant);
    size_t i = request->float_count++;
    write->ids[i] = name_series(request, number);
    write->timestamps_ms[i] = time_ms;
    write->values[i] = model_value(number, time_ms, variant);
    write->origins[i] = (uint32_t)i;
    request->floats[i] = (struct offer){number, variant, time_ms, write->ids[i]};
    model_offer(series, time_ms, variant);
    if (run_below(request->run, 100) < 4 && time_ms > series->exemplar_newest_ms &&
        !series->exemplar_in_flight) {
        series->exemplar_in_flight = true;
        struct label trace = {TEXT("trace_id"),
                              arena_format(request->arena, "%lld", (long long)time_ms)};
        write->exemplars[request->exemplar_count] = (struct entry_exemplar){
            write->ids[i],
            {labels_build(request->arena, &trace, 1), model_value(number, time_ms, 0), time_ms}};
        request->exemplars[request->exemplar_count++] =
            (struct offer){number, 0, time_ms, write->ids[i]};
        series->exemplar_newest_ms = time_ms;
        model_offer_exemplar(series, time_ms);
        request->run->counts.exemplars++;
    }
}

static void add_histogram(struct simulated_write *request, unsigned number)
{
    struct shard_write *write = &request->write.write;
    struct model_series *series = &request->run->models[request->shard].series[number];
    unsigned ignored;
    int64_t time_ms = choose_time(request->run, series, &ignored);
    size_t i = request->histogram_count++;
    struct entry_histogram *histogram = &write->histograms[i];
    *histogram =
        (struct entry_histogram){.id = name_series(request, number), .timestamp_ms = time_ms};
    if (!histogram_copy(request->arena, model_histogram(number, time_ms), &histogram->histogram))
        abort();
    write->histogram_origins[i] = (uint32_t)(1000 + i);
    request->histograms[i] = (struct offer){number, 0, time_ms, histogram->id};
    model_offer(series, time_ms, 0);
    request->run->counts.histograms++;
}

static struct simulated_write *write_create(struct run *run, size_t shard)
{
    struct simulated_write *request = calloc(1, sizeof *request);
    assert(request != NULL);
    struct arena *arena = request->arena = arena_create(0);
    request->run = run;
    request->shard = shard;
    struct shard_write *write = &request->write.write;
    write->tenant = TEXT("anonymous");
    write->new_series = arena_array(arena, SAMPLES_PER_WRITE * 2, sizeof *write->new_series);
    write->ids = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->ids);
    write->timestamps_ms = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->timestamps_ms);
    write->values = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->values);
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
    struct shard_model *model = &run->models[shard];
    uint32_t count = 1 + run_below(run, SAMPLES_PER_WRITE);
    /* New series come into use one after the other. */
    uint32_t alive = 6 + (uint32_t)(run->writes_done / 20);
    for (uint32_t i = 0; i < count; i++) {
        unsigned number = run_below(run, alive < MODEL_SERIES ? alive : MODEL_SERIES);
        if (is_quiet(run, number))
            continue;
        run->counts.new_series += model->series[number].count == 0;
        if (model_is_histogram(number))
            add_histogram(request, number);
        else
            add_float(request, number);
    }
    request->metric = run_below(run, MODEL_METRICS);
    if (run_chance(run, 3) && !model->metadata_in_flight[request->metric]) {
        model->metadata_in_flight[request->metric] = true;
        request->metadata_version = ++model->metadata_offered[request->metric];
        write->metadata[write->metadata_count++] = (struct entry_metadata){
            arena_format(request->arena, "metric_%u", request->metric),
            {METRIC_GAUGE, arena_format(request->arena, "version %u", request->metadata_version),
             TEXT("")}};
        run->counts.metadata++;
    }
    write->float_count = request->float_count;
    write->histogram_count = request->histogram_count;
    write->exemplar_count = request->exemplar_count;
    run->counts.written_samples += request->float_count + request->histogram_count;
    run->writes_in_flight++;
    replica_write(run->node.replicas[shard], &request->write);
}