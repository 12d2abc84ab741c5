/*
 * shard_simulation - replicas, groups, journal, shards, heads, parts and blocks on a simulated
 * disk and clock, from one seed.
 *
 * Every seed lives several lives of a node with two shards: more than a thousand writes of known
 * and new series, late samples, duplicates, conflicts, histograms, exemplars and metadata, between
 * them deletions, flushes, freezes, retention and clock jumps; power failures that lose and tear
 * what was not synced, kills, full and slow and failing disks, bits that rot in data files. After
 * every restart all that was acknowledged is there once and unaltered, and nothing that was deleted
 * comes back (shard_model.h).
 *
 *     shard_simulation [--seeds N] [--first S] [--break sync|journal] [--verbose]
 *
 * --break lets the disk lie about syncs, or the journal write without them: a run must then fail.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "shard/slots.h"
#include "shard_model.h"
#include "shard_node.h"

enum { LIVES_MIN = 4, WRITES_PER_SEED = 1000, SAMPLES_PER_WRITE = 16 };

enum breakage { BREAK_NOTHING, BREAK_SYNC, BREAK_JOURNAL };

struct counts {
    uint64_t lives, writes, written_samples, refused_writes, late, duplicates, conflicts;
    uint64_t histograms, exemplars, metadata, new_series, stale_ids;
    uint64_t freezes, merges, flushes, deletions, retentions, clock_jumps, checks;
    uint64_t crashes, clean_ends, failed_starts, journal_failures, job_failures, full_disks;
    uint64_t rot_refused_start, rot_found_by_reading, rot_harmless;
};

struct run {
    struct random_generator random;
    struct shard_node node;
    struct shard_model models[NODE_SHARDS];
    uint64_t seed;
    enum breakage breakage;
    size_t writes_in_flight;
    size_t requests_in_flight[NODE_SHARDS]; /* flushes and deletions */
    uint64_t writes_done;
    struct counts counts;
    char failure[MODEL_FAILURE_MAX + 100];
};

static uint32_t below(struct run *run, uint32_t bound)
{
    return random_below(&run->random.base, bound);
}

static bool chance(struct run *run, uint32_t percent)
{
    return below(run, 100) < percent;
}

static int64_t now_ms(struct run *run)
{
    return clock_now_ms(run->node.environment->base.clock);
}

static void fail(struct run *run, const char *what, const char *message)
{
    if (run->failure[0] == '\0')
        snprintf(run->failure, sizeof run->failure, "%s: %s", what, message);
}

/* A start that a rotten file stops is the end of a process; libraft then drops what it was given to
 * load. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:group_stored_read\n";
}

/* --- Writes ---------------------------------------------------------------------------------- */

/* What a write offers at one position, to be acknowledged or not. */
struct offer {
    unsigned series;
    unsigned variant;
    int64_t time_ms;
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

static struct labels labels_of(struct arena *arena, unsigned series)
{
    struct label labels[] = {
        {LABEL_METRIC_NAME, arena_format(arena, "metric_%u", series)},
        {TEXT("instance"), arena_format(arena, "host-%u", series % 3)},
        {TEXT("job"), TEXT("simulation")},
    };
    return labels_build(arena, labels, 3);
}

/* How the write names the series: by the id that is known, or by its labels. */
static uint64_t name_series(struct simulated_write *request, unsigned series)
{
    struct shard_write *write = &request->write.write;
    struct model_series *model = &request->run->models[request->shard].series[series];
    if (model->known_id != SHARD_ID_UNKNOWN && chance(request->run, 80))
        return model->known_id;
    for (size_t i = 0; i < write->new_series_count; i++)
        if (request->series_of[i] == series)
            return SHARD_SERIES_NEW | i;
    struct labels labels = labels_of(request->arena, series);
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
        model->series[offer->series].known_id = SHARD_ID_UNKNOWN;
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
    for (size_t i = 0; i < write->new_series_count; i++)
        if (write->new_series[i].id != SHARD_ID_UNKNOWN)
            model->series[request->series_of[i]].known_id = write->new_series[i].id;
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
    uint32_t dice = below(run, 100);
    if (dice < 8 && series->count > 0) {
        const struct model_sample *known = &series->samples[below(run, (uint32_t)series->count)];
        if (dice < 3) {
            *variant = below(run, MODEL_VARIANTS);
            run->counts.conflicts++;
        } else {
            run->counts.duplicates++;
        }
        return known->time_ms;
    }
    int64_t time_ms = now_ms(run) - below(run, 5000);
    if (dice < 20) {
        run->counts.late++;
        time_ms -= below(run, dice < 12 ? 8 * 3600 * 1000 : 600 * 1000);
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
    request->floats[i] = (struct offer){number, variant, time_ms};
    model_offer(series, time_ms, variant);
    if (below(request->run, 100) < 4 && time_ms > series->exemplar_newest_ms &&
        !series->exemplar_in_flight) {
        series->exemplar_in_flight = true;
        struct label trace = {TEXT("trace_id"),
                              arena_format(request->arena, "%lld", (long long)time_ms)};
        write->exemplars[request->exemplar_count] = (struct entry_exemplar){
            write->ids[i],
            {labels_build(request->arena, &trace, 1), model_value(number, time_ms, 0), time_ms}};
        request->exemplars[request->exemplar_count++] = (struct offer){number, 0, time_ms};
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
    request->histograms[i] = (struct offer){number, 0, time_ms};
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

static void write_something(struct run *run, size_t shard)
{
    struct simulated_write *request = write_create(run, shard);
    struct shard_write *write = &request->write.write;
    struct shard_model *model = &run->models[shard];
    uint32_t count = 1 + below(run, SAMPLES_PER_WRITE);
    /* New series come into use one after the other. */
    uint32_t alive = 6 + (uint32_t)(run->writes_done / 20);
    for (uint32_t i = 0; i < count; i++) {
        unsigned number = below(run, alive < MODEL_SERIES ? alive : MODEL_SERIES);
        run->counts.new_series += model->series[number].count == 0;
        if (model_is_histogram(number))
            add_histogram(request, number);
        else
            add_float(request, number);
    }
    request->metric = below(run, MODEL_METRICS);
    if (chance(run, 3) && !model->metadata_in_flight[request->metric]) {
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
    run->counts.written_samples += count;
    run->writes_in_flight++;
    replica_write(run->node.replicas[shard], &request->write);
}

/* --- Other requests -------------------------------------------------------------------------- */

struct simulated_flush {
    struct shard_flush flush; /* first */
    struct run *run;
    size_t shard;
};

static void on_flushed(struct shard_flush *flush, const struct error *error)
{
    struct simulated_flush *request = (struct simulated_flush *)flush;
    (void)error;
    request->run->requests_in_flight[request->shard]--;
    free(request);
}

static void flush(struct run *run, size_t shard)
{
    struct simulated_flush *request = calloc(1, sizeof *request);
    assert(request != NULL);
    *request = (struct simulated_flush){.flush.done = on_flushed, .run = run, .shard = shard};
    run->requests_in_flight[shard]++;
    run->counts.flushes++;
    replica_flush(run->node.replicas[shard], &request->flush);
}

struct simulated_deletion {
    struct replica_entry entry; /* first */
    struct run *run;
    size_t shard;
    unsigned series;
    int64_t start_ms, end_ms;
};

static void on_deleted(struct replica_entry *entry)
{
    struct simulated_deletion *request = (struct simulated_deletion *)entry;
    struct run *run = request->run;
    run->requests_in_flight[request->shard]--;
    if (entry->error.code == ERROR_NONE)
        model_deleted(&run->models[request->shard].series[request->series], request->start_ms,
                      request->end_ms);
    byte_buffer_clear(&entry->bytes);
    free(request);
}

static void step_until_quiet(struct run *run)
{
    for (size_t i = 0;
         i < NODE_STEPS_MAX && !shard_node_is_broken(&run->node) && run->writes_in_flight > 0; i++)
        simulated_scheduler_step(&run->node.environment->scheduler);
}

/* With no write under way, so that it is known what the deletion covers. */
static void delete_something(struct run *run, size_t shard)
{
    step_until_quiet(run);
    if (shard_node_is_broken(&run->node))
        return;
    unsigned series = below(run, MODEL_SERIES);
    struct simulated_deletion *request = calloc(1, sizeof *request);
    struct matcher *matcher;
    struct error error;
    char name[32];
    assert(request != NULL);
    *request = (struct simulated_deletion){
        .entry = {.origin = run->node.environment->base.scheduler, .done = on_deleted},
        .run = run,
        .shard = shard,
        .series = series,
        .start_ms = now_ms(run) - below(run, 6 * 3600 * 1000),
    };
    request->end_ms = request->start_ms + below(run, 3 * 3600 * 1000);
    snprintf(name, sizeof name, "metric_%u", series);
    if (matcher_create(MATCHER_EQUAL, LABEL_METRIC_NAME, text_of(name), &matcher, &error) !=
        ERROR_NONE)
        abort();
    const struct matcher *const matchers[] = {matcher};
    if (shard_encode_delete(&request->entry.bytes, now_ms(run), TEXT("anonymous"), matchers, 1,
                            request->start_ms, request->end_ms, &error) != ERROR_NONE)
        abort();
    matcher_destroy(matcher);
    model_deleting(&run->models[shard].series[series], request->start_ms, request->end_ms);
    run->requests_in_flight[shard]++;
    run->counts.deletions++;
    replica_propose(run->node.replicas[shard], &request->entry);
    /* Nothing else until it is answered. */
    for (size_t i = 0; i < NODE_STEPS_MAX && !shard_node_is_broken(&run->node) &&
                       run->requests_in_flight[shard] > 0;
         i++)
        simulated_scheduler_step(&run->node.environment->scheduler);
}

static void retain(struct run *run, size_t shard)
{
    int64_t cutoff_ms = now_ms(run) - (2 + below(run, 12)) * INT64_C(3600000);
    struct shard_model *model = &run->models[shard];
    if (cutoff_ms > model->cutoff_ms)
        model->cutoff_ms = cutoff_ms;
    run->counts.retentions++;
    shard_retain_from(replica_shard(run->node.replicas[shard]), cutoff_ms);
}

/* --- Checking -------------------------------------------------------------------------------- */

static bool check_all(struct run *run, enum model_check check, struct error *error)
{
    struct simulated_disk_settings *settings = &run->node.environment->disk.settings;
    struct simulated_disk_settings before = *settings;
    settings->failure_per_million = 0;
    settings->fail_at_operation = 0;
    bool right = true;
    for (size_t i = 0; right && i < NODE_SHARDS; i++)
        right =
            shard_model_check(&run->models[i], replica_shard(run->node.replicas[i]), check, error);
    settings->failure_per_million = before.failure_per_million;
    run->counts.checks++;
    return right;
}

static void expect_all(struct run *run, enum model_check check)
{
    struct error error;
    if (check_all(run, check, &error))
        return;
    for (size_t i = 0; i < NODE_SHARDS; i++)
        if (run->models[i].failure[0] != '\0')
            fail(run, i == 0 ? "shard 0" : "shard 1", run->models[i].failure);
    fail(run, "reading", error.message);
}

/* --- A life ---------------------------------------------------------------------------------- */

static void operate(struct run *run)
{
    size_t shard = below(run, NODE_SHARDS);
    uint32_t dice = below(run, 1000);
    if (dice < 900)
        write_something(run, shard);
    else if (dice < 910)
        flush(run, shard);
    else if (dice < 930)
        shard_freeze(replica_shard(run->node.replicas[shard]));
    else if (dice < 945 && run->requests_in_flight[shard] == 0)
        delete_something(run, shard);
    else if (dice < 952)
        retain(run, shard);
    else if (dice < 970) {
        run->node.environment->clock.wall_offset_ms += below(run, 90 * 60 * 1000);
        run->counts.clock_jumps++;
    } else if (dice < 985)
        simulated_scheduler_run_for(&run->node.environment->scheduler, UINT64_C(3000000000));
    else if (dice < 990)
        expect_all(run, MODEL_CHECK);
    run->node.environment->clock.wall_offset_ms += below(run, 40000);
}

static void take_counts(struct run *run)
{
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        if (run->node.replicas[i] == NULL)
            continue;
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[i]), &statistics);
        run->counts.freezes += statistics.freezes_total;
        run->counts.merges += statistics.merges_total;
        run->counts.job_failures += statistics.job_failures_total;
    }
}

static void live(struct run *run, uint64_t writes)
{
    struct simulated_disk *disk = &run->node.environment->disk;
    disk->settings.slow_per_thousand = chance(run, 20) ? below(run, 20) : 0;
    disk->settings.failure_per_million = chance(run, 15) ? 100 + below(run, 1500) : 0;
    bool fills = chance(run, 30);
    uint64_t end = run->writes_done + writes;
    uint64_t full_from = run->writes_done + writes / 3, full_to = run->writes_done + writes / 2;
    while (run->writes_done + run->writes_in_flight < end && run->failure[0] == '\0' &&
           !shard_node_is_broken(&run->node)) {
        if (fills && run->writes_done >= full_from) {
            disk->settings.capacity_bytes = simulated_disk_used_bytes(disk) + below(run, 60000);
            run->counts.full_disks++;
            fills = false;
        }
        if (run->writes_done >= full_to)
            disk->settings.capacity_bytes = UINT64_MAX;
        operate(run);
        uint32_t steps = chance(run, 10) ? below(run, 300) : below(run, 10);
        for (uint32_t i = 0; i < steps; i++)
            simulated_scheduler_step(&run->node.environment->scheduler);
        if (run->writes_in_flight > 40)
            step_until_quiet(run);
    }
    disk->settings.capacity_bytes = UINT64_MAX;
}

static bool start(struct run *run)
{
    struct error error;
    struct simulated_disk *disk = &run->node.environment->disk;
    if (chance(run, 10))
        disk->settings.fail_at_operation = disk->operations + 1 + below(run, 200);
    if (shard_node_open(&run->node, &error) != ERROR_NONE) {
        run->counts.failed_starts++;
        if (error.code != ERROR_IO)
            fail(run, "start", error.message);
        return false;
    }
    disk->settings.fail_at_operation = 0;
    expect_all(run, MODEL_CONFIRM);
    return run->failure[0] == '\0';
}

/* Ends a life by a crash, or orderly. */
static void end(struct run *run)
{
    take_counts(run);
    bool broken = shard_node_is_broken(&run->node);
    run->counts.journal_failures += run->node.journal_failed;
    if (run->node.replica_failed && run->node.failure.code != ERROR_IO)
        fail(run, "a shard stopped", run->node.failure.message);
    struct simulated_disk_settings *settings = &run->node.environment->disk.settings;
    if (!broken && run->node.recovery == NULL && chance(run, 15)) {
        *settings = (struct simulated_disk_settings){.capacity_bytes = UINT64_MAX,
                                                     .ignore_sync = run->breakage == BREAK_SYNC};
        run->counts.clean_ends++;
        shard_node_close(&run->node);
        simulated_environment_crash(run->node.environment, SIMULATED_KILL);
    } else {
        run->counts.crashes++;
        shard_node_crash(&run->node, chance(run, 65) ? SIMULATED_POWER_FAILURE : SIMULATED_KILL);
    }
    /* Flushes that were not done end with their shard. */
    memset(run->requests_in_flight, 0, sizeof run->requests_in_flight);
    simulated_environment_restart(run->node.environment);
}

/* --- Rot ------------------------------------------------------------------------------------- */

static bool flip_back(struct run *run, const char *path, uint64_t bit, uint8_t rotten)
{
    struct disk *disk = run->node.environment->base.disk;
    struct file *file;
    struct error error;
    uint8_t byte;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &error) != ERROR_NONE)
        return false; /* nobody needed it */
    bool same = disk_read_at(disk, file, bit / 8, &byte, 1, &error) == ERROR_NONE && byte == rotten;
    disk_close(disk, file);
    if (same)
        simulated_disk_flip(&run->node.environment->disk, path, bit);
    return same;
}

static uint8_t byte_at(struct run *run, const char *path, uint64_t offset)
{
    struct disk *disk = run->node.environment->base.disk;
    struct file *file;
    struct error error;
    uint8_t byte = 0;
    if (disk_open(disk, path, DISK_OPEN_READ, &file, &error) != ERROR_NONE ||
        disk_read_at(disk, file, offset, &byte, 1, &error) != ERROR_NONE)
        abort();
    disk_close(disk, file);
    return byte;
}

/* One bit of a data file is wrong for one life: that is noticed, or does not matter. */
static void live_with_rot(struct run *run)
{
    uint64_t size = 0;
    const char *chosen = simulated_disk_choose(&run->node.environment->disk, "shards/", &size);
    if (chosen == NULL || size == 0)
        return;
    char path[DISK_PATH_MAX + 1];
    snprintf(path, sizeof path, "%s", chosen);
    uint64_t bit = simulated_disk_choose_bit(&run->node.environment->disk, path);
    simulated_disk_flip(&run->node.environment->disk, path, bit);
    uint8_t rotten = byte_at(run, path, bit / 8);
    struct error error;
    if (shard_node_open(&run->node, &error) != ERROR_NONE) {
        if (error.code == ERROR_CORRUPT || error.code == ERROR_UNSUPPORTED) {
            run->counts.rot_refused_start++;
            if (strstr(error.message, "shards/") == NULL)
                fail(run, "a refusal to start names no file", error.message);
        } else {
            fail(run, "start with rot", error.message);
        }
    } else if (check_all(run, MODEL_CHECK, &error)) {
        run->counts.rot_harmless++;
    } else if (error.code == ERROR_CORRUPT || error.code == ERROR_UNSUPPORTED) {
        run->counts.rot_found_by_reading++;
    } else {
        expect_all(run, MODEL_CHECK);
    }
    shard_node_crash(&run->node, SIMULATED_KILL);
    simulated_environment_restart(run->node.environment);
    flip_back(run, path, bit, rotten);
}

static void life(struct run *run, uint64_t writes)
{
    run->counts.lives++;
    run->node.environment->disk.settings = (struct simulated_disk_settings){
        .capacity_bytes = UINT64_MAX, .ignore_sync = run->breakage == BREAK_SYNC};
    if (start(run))
        live(run, writes);
    end(run);
    if (run->failure[0] == '\0' && run->breakage == BREAK_NOTHING && chance(run, 30)) {
        run->node.environment->disk.settings =
            (struct simulated_disk_settings){.capacity_bytes = UINT64_MAX};
        live_with_rot(run);
    }
}

/* --- Seeds ----------------------------------------------------------------------------------- */

struct sums {
    struct counts counts;
    struct simulated_fault_counts faults;
};

static bool seed_run(uint64_t seed, enum breakage breakage, struct sums *sums, char *failure,
                     size_t failure_bytes)
{
    struct run *run = calloc(1, sizeof *run);
    assert(run != NULL);
    run->seed = seed;
    run->breakage = breakage;
    run->node.environment = simulated_environment_create(seed);
    run->node.durability = breakage == BREAK_JOURNAL ? JOURNAL_UNSAFE_FOR_TESTS : JOURNAL_DURABLE;
    random_generator_init(&run->random, seed ^ UINT64_C(0x7368617264));
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_model_init(&run->models[i]);
    uint64_t lives = 0;
    while (run->failure[0] == '\0' &&
           (run->writes_done < WRITES_PER_SEED || run->counts.crashes < LIVES_MIN)) {
        life(run, WRITES_PER_SEED / LIVES_MIN / 2 + below(run, WRITES_PER_SEED / LIVES_MIN));
        if (++lives > 100)
            fail(run, "no progress", "a hundred lives");
    }
    if (run->failure[0] == '\0') {
        run->node.environment->disk.settings = (struct simulated_disk_settings){
            .capacity_bytes = UINT64_MAX, .ignore_sync = breakage == BREAK_SYNC};
        start(run);
        end(run);
    }
    uint64_t *into = (uint64_t *)&sums->counts;
    const uint64_t *from = (const uint64_t *)&run->counts;
    for (size_t i = 0; i < sizeof run->counts / sizeof *from; i++)
        into[i] += from[i];
    simulated_fault_counts_add(&sums->faults, &run->node.environment->disk.counts);
    snprintf(failure, failure_bytes, "%s", run->failure);
    bool passed = run->failure[0] == '\0';
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_model_clear(&run->models[i]);
    simulated_environment_destroy(run->node.environment);
    free(run);
    return passed;
}

static void sums_print(const struct sums *sums)
{
    static const char *const NAMES[] = {"lives",
                                        "writes",
                                        "written_samples",
                                        "refused_writes",
                                        "late",
                                        "duplicates",
                                        "conflicts",
                                        "histograms",
                                        "exemplars",
                                        "metadata",
                                        "new_series",
                                        "stale_ids",
                                        "freezes",
                                        "merges",
                                        "flushes",
                                        "deletions",
                                        "retentions",
                                        "clock_jumps",
                                        "checks",
                                        "crashes",
                                        "clean_ends",
                                        "failed_starts",
                                        "journal_failures",
                                        "job_failures",
                                        "full_disks",
                                        "rot_refused_start",
                                        "rot_found_by_reading",
                                        "rot_harmless"};
    _Static_assert(sizeof NAMES / sizeof NAMES[0] == sizeof(struct counts) / sizeof(uint64_t),
                   "every count has a name");
    const uint64_t *values = (const uint64_t *)&sums->counts;
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        printf("%s=%llu%s", NAMES[i], (unsigned long long)values[i], i % 8 == 7 ? "\n" : " ");
    printf("\n");
    simulated_fault_counts_print(&sums->faults);
}

/* Over many seeds every kind of thing must have happened. */
static bool all_happened(const struct sums *sums)
{
    const uint64_t *values = (const uint64_t *)&sums->counts;
    for (size_t i = 0; i < sizeof sums->counts / sizeof values[0]; i++)
        if (values[i] == 0 && &values[i] != &sums->counts.stale_ids) {
            printf("FAILED: count %zu of what happened is zero\n", i);
            return false;
        }
    const struct simulated_fault_counts *faults = &sums->faults;
    return faults->power_failures > 0 && faults->kills > 0 && faults->lost_sectors > 0 &&
           faults->torn_files > 0 && faults->no_space > 0 && faults->rotten_bits > 0;
}

int main(int argument_count, char **arguments)
{
    uint64_t seeds = 50, first = 1;
    bool verbose = false;
    enum breakage breakage = BREAK_NOTHING;
    for (int i = 1; i < argument_count; i++) {
        bool has_value = i + 1 < argument_count;
        if (strcmp(arguments[i], "--seeds") == 0 && has_value)
            seeds = strtoull(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--first") == 0 && has_value)
            first = strtoull(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--break") == 0 && has_value)
            breakage = strcmp(arguments[++i], "sync") == 0 ? BREAK_SYNC : BREAK_JOURNAL;
        else if (strcmp(arguments[i], "--verbose") == 0)
            verbose = true;
        else {
            fprintf(stderr,
                    "usage: %s [--seeds N] [--first S] [--break sync|journal] [--verbose]\n",
                    arguments[0]);
            return 2;
        }
    }
    if (!verbose)
        log_set_level(LOG_ERROR);
    struct sums sums = {0};
    uint64_t failed = 0;
    char failure[MODEL_FAILURE_MAX + 100];
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (seed_run(seed, breakage, &sums, failure, sizeof failure))
            continue;
        failed++;
        printf("FAILED: seed %llu: %s\n", (unsigned long long)seed, failure);
        if (breakage != BREAK_NOTHING)
            break;
    }
    sums_print(&sums);
    printf("%llu seeds, %llu failed\n", (unsigned long long)seeds, (unsigned long long)failed);
    if (breakage == BREAK_NOTHING && seeds >= 50 && !all_happened(&sums))
        return 1;
    return failed > 0;
}
