/*
 * shard_harness - a shard with a log in memory, on the simulated world: entries that it or a test
 * proposes are applied in order, jobs run in virtual time, a restart restores the last snapshot
 * and replays what is behind it.
 */
#ifndef TESTS_SHARD_HARNESS_H
#define TESTS_SHARD_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shard/shard.h"
#include "shard/slots.h"
#include "simulated_environment.h"
#include "simulated_memory.h"

#define HARNESS __attribute__((unused)) static

enum {
    HARNESS_NEW_SERIES_MAX = 512,
    HARNESS_SAMPLES_MAX = 4096,
    HOUR_MS = 60 * 60 * 1000,
    WINDOW_MS = 2 * HOUR_MS,
};
#define HARNESS_START_MS INT64_C(1699999200000) /* a multiple of two hours */

struct harness_entry {
    uint64_t index;
    uint8_t *bytes;
    size_t size_bytes;
};

/* That the program knows; 0: as it does. */
HARNESS uint32_t harness_version_max = 0;

struct harness {
    struct simulated_environment *environment;
    struct page_cache *cache;
    struct shard_options options;
    struct shard *shard;
    struct harness_entry *log; /* [log_count] */
    size_t log_count;
    size_t applied_count;
    uint64_t last_index;
    struct byte_buffer snapshot; /* empty: none */
    uint64_t snapshot_index;
    bool refuse_proposals;
    int refuse_kind;          /* entries of this kind are refused; 0: none */
    bool keep_snapshots_away; /* durable freezes are not followed by a snapshot */
    bool closed;
    bool flushed;
    uint64_t durable_count;
};

HARNESS void harness_append(struct harness *harness, const uint8_t *bytes, size_t size_bytes)
{
    harness->log = simulated_grow(harness->log, harness->log_count * sizeof *harness->log,
                                  (harness->log_count + 1) * sizeof *harness->log);
    uint8_t *copy = simulated_allocate(size_bytes);
    memcpy(copy, bytes, size_bytes);
    /* Indexes have gaps: groups keep entries of their own. */
    harness->last_index += 2 + harness->log_count % 3;
    harness->log[harness->log_count++] =
        (struct harness_entry){harness->last_index, copy, size_bytes};
}

HARNESS bool harness_propose(void *context, const uint8_t *entry, size_t size_bytes)
{
    struct harness *harness = context;
    if (harness->refuse_proposals || entry[0] == harness->refuse_kind)
        return false;
    harness_append(harness, entry, size_bytes);
    return true;
}

HARNESS enum error_code harness_try_snapshot(struct harness *harness, struct error *error)
{
    struct byte_buffer bytes = {0};
    uint64_t index;
    enum error_code code = shard_snapshot(harness->shard, &bytes, &index, error);
    if (code != ERROR_NONE) {
        byte_buffer_clear(&bytes);
        return code;
    }
    byte_buffer_clear(&harness->snapshot);
    harness->snapshot = bytes;
    harness->snapshot_index = index;
    shard_snapshot_stored(harness->shard, index);
    return ERROR_NONE;
}

HARNESS void harness_snapshot(struct harness *harness)
{
    struct error error;
    assert_int_equal(harness_try_snapshot(harness, &error), ERROR_NONE);
}

HARNESS void harness_durable(void *context, uint64_t frozen_index)
{
    struct harness *harness = context;
    (void)frozen_index;
    harness->durable_count++;
    if (!harness->keep_snapshots_away)
        harness_snapshot(harness);
}

HARNESS enum error_code harness_open(struct harness *harness, struct error *error)
{
    enum error_code code = shard_create(&harness->options, &harness->shard, error);
    harness->applied_count = 0;
    if (code != ERROR_NONE || harness->snapshot.size == 0)
        return code;
    code = shard_restore(harness->shard, harness->snapshot.bytes, harness->snapshot.size, error);
    while (harness->applied_count < harness->log_count &&
           harness->log[harness->applied_count].index <= harness->snapshot_index)
        harness->applied_count++;
    return code;
}

HARNESS struct harness *harness_create(uint64_t seed)
{
    struct harness *harness = calloc(1, sizeof *harness);
    struct error error;
    assert_non_null(harness);
    harness->environment = simulated_environment_create(seed);
    harness->environment->clock.wall_offset_ms +=
        HARNESS_START_MS - clock_now_ms(harness->environment->base.clock);
    assert_int_equal(page_cache_create(8 << 20, &harness->cache, &error), ERROR_NONE);
    harness->options = (struct shard_options){
        .environment = &harness->environment->base,
        .cache = harness->cache,
        .shard_id = 7,
        .directory = "shards/0007",
        .hash_seed = seed,
        .future_window_ms = 400 * INT64_C(24) * HOUR_MS,
        .quiet_ms = WINDOW_MS,
        .exemplars_max = 1000,
        .metadata_max = 1000,
        .metadata_quiet_periods = 2,
        .proposer = {harness, harness_propose, harness_durable},
        .version_max = harness_version_max,
    };
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    return harness;
}

/* Apply what is in the log and run jobs until neither has anything to do. */
HARNESS enum error_code harness_settle(struct harness *harness, struct error *error)
{
    for (size_t steps = 0; steps < 1000000; steps++) {
        if (harness->applied_count < harness->log_count) {
            struct harness_entry *entry = &harness->log[harness->applied_count];
            enum error_code code =
                shard_apply(harness->shard, entry->index, entry->bytes, entry->size_bytes, error);
            if (code == ERROR_NONE || code == ERROR_CONFLICT) {
                harness->applied_count++;
                continue;
            }
            if (code != ERROR_UNAVAILABLE)
                return code;
        } else if (harness->environment->scheduler.jobs_running == 0) {
            return ERROR_NONE;
        }
        simulated_scheduler_step(&harness->environment->scheduler);
    }
    fail_msg("the shard does not settle");
    return ERROR_TIMEOUT;
}

HARNESS void harness_run(struct harness *harness)
{
    struct error error;
    if (harness_settle(harness, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
}

HARNESS void harness_on_closed(void *context)
{
    ((struct harness *)context)->closed = true;
}

HARNESS void harness_close(struct harness *harness)
{
    harness->closed = false;
    shard_close(harness->shard, harness_on_closed, harness);
    harness->shard = NULL;
    assert_true(
        simulated_scheduler_run_until(&harness->environment->scheduler, &harness->closed, 1000000));
}

/* Ends and starts again, leading once everything is applied. */
/* After harness_close. */
HARNESS void harness_start(struct harness *harness)
{
    struct error error;
    if (harness_open(harness, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    shard_replay_begin(harness->shard);
    harness_run(harness);
    shard_replay_end(harness->shard);
    shard_lead(harness->shard);
    harness_run(harness);
}

HARNESS void harness_restart(struct harness *harness)
{
    harness_close(harness);
    harness_start(harness);
}

HARNESS void harness_destroy(struct harness *harness)
{
    if (harness->shard != NULL)
        harness_close(harness);
    for (size_t i = 0; i < harness->log_count; i++)
        free(harness->log[i].bytes);
    free(harness->log);
    byte_buffer_clear(&harness->snapshot);
    page_cache_destroy(harness->cache);
    simulated_environment_destroy(harness->environment);
    free(harness);
}

/* --- Writing --------------------------------------------------------------------------------- */

struct harness_sample {
    unsigned series;
    int64_t timestamp_ms;
    double value;
};

HARNESS struct labels harness_labels(struct arena *arena, unsigned series)
{
    struct label labels[] = {
        {TEXT("__name__"), arena_format(arena, "metric_%u", series)},
        {TEXT("instance"), arena_format(arena, "host-%u", series % 5)},
        {TEXT("job"), TEXT("test")},
    };
    struct labels built = labels_build(arena, labels, 3);
    assert_non_null(built.bytes);
    return built;
}

/* A request with these samples, every series given by its labels; arrays in the arena. */
HARNESS struct shard_write harness_request(struct arena *arena,
                                           const struct harness_sample *samples, size_t count)
{
    struct shard_write write = {
        .tenant = TEXT("anonymous"),
        .new_series = arena_array(arena, count, sizeof *write.new_series),
        .ids = arena_array(arena, count, sizeof *write.ids),
        .timestamps_ms = arena_array(arena, count, sizeof *write.timestamps_ms),
        .values = arena_array(arena, count, sizeof *write.values),
        .origins = arena_array(arena, count, sizeof *write.origins),
        .stale_origins = arena_array(arena, count, sizeof *write.stale_origins),
        .float_count = count,
    };
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        struct labels labels = harness_labels(arena, samples[i].series);
        while (k < write.new_series_count && !labels_equal(write.new_series[k].labels, labels))
            k++;
        if (k == write.new_series_count)
            write.new_series[write.new_series_count++] =
                (struct shard_new_series){.labels = labels,
                                          .slot = series_slot(write.tenant, labels, 4),
                                          .id = SHARD_ID_UNKNOWN};
        write.ids[i] = SHARD_SERIES_NEW | k;
        write.timestamps_ms[i] = samples[i].timestamp_ms;
        write.values[i] = samples[i].value;
        write.origins[i] = (uint32_t)i;
    }
    return write;
}

HARNESS void harness_resolve(struct harness *harness, struct shard_write *write)
{
    struct shard_resolver *resolver;
    struct error error;
    while (shard_needs_resolving(harness->shard, write)) {
        assert_int_equal(shard_resolver_create(harness->shard, &resolver, &error), ERROR_NONE);
        if (shard_resolve(resolver, write, &error) != ERROR_NONE)
            fail_msg("%s", error.message);
        shard_resolver_destroy(resolver);
    }
}

/* Prepare and propose; nothing is applied yet. */
HARNESS void harness_propose_write(struct harness *harness, struct shard_write *write)
{
    struct byte_buffer entry = {0};
    struct error error;
    bool added = false;
    harness_resolve(harness, write);
    shard_prepare_begin(harness->shard, &entry);
    if (shard_prepare_write(harness->shard, write, &entry, &added, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    if (added)
        harness_append(harness, entry.bytes, entry.size);
    byte_buffer_clear(&entry);
}

HARNESS struct shard_write harness_write(struct harness *harness, struct arena *arena,
                                         const struct harness_sample *samples, size_t count)
{
    struct shard_write write = harness_request(arena, samples, count);
    harness_propose_write(harness, &write);
    harness_run(harness);
    return write;
}

/* `count` samples, a minute apart, of series [0, series). */
HARNESS void harness_fill(struct harness *harness, unsigned series, int64_t start_ms, size_t count)
{
    struct arena *arena = arena_create(0);
    for (size_t i = 0; i < count; i++) {
        struct harness_sample samples[HARNESS_NEW_SERIES_MAX];
        for (unsigned k = 0; k < series; k++)
            samples[k] =
                (struct harness_sample){k, start_ms + (int64_t)i * 60000, (double)(k * 1000 + i)};
        arena_reset(arena);
        harness_write(harness, arena, samples, series);
    }
    arena_destroy(arena);
}

HARNESS void harness_freeze(struct harness *harness)
{
    shard_freeze(harness->shard);
    harness_run(harness);
}

HARNESS void harness_on_flushed(struct shard_flush *flush, const struct error *error)
{
    assert_int_equal(error->code, ERROR_NONE);
    *(bool *)(flush + 1) = true;
}

HARNESS void harness_flush(struct harness *harness)
{
    struct {
        struct shard_flush flush;
        bool done;
    } request = {.flush = {.done = harness_on_flushed}};
    shard_flush(harness->shard, &request.flush);
    harness_run(harness);
    assert_true(request.done);
}

/* The times of all series from here on. */
HARNESS void harness_set_time(struct harness *harness, int64_t now_ms)
{
    harness->environment->clock.wall_offset_ms +=
        now_ms - clock_now_ms(harness->environment->base.clock);
}

HARNESS void harness_maintain(struct harness *harness)
{
    for (int i = 0; i < 4; i++) {
        shard_maintain(harness->shard);
        harness_run(harness);
    }
}

/* To a later state-machine version. */
HARNESS void harness_raise(struct harness *harness, uint32_t version)
{
    shard_want_version(harness->shard, version);
    harness_maintain(harness);
}

HARNESS void harness_delete(struct harness *harness, unsigned series, int64_t start_ms,
                            int64_t end_ms)
{
    struct matcher *matcher;
    struct error error;
    char name[32];
    struct byte_buffer entry = {0};
    snprintf(name, sizeof name, "metric_%u", series);
    assert_int_equal(
        matcher_create(MATCHER_EQUAL, TEXT("__name__"), text_of(name), &matcher, &error),
        ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    assert_int_equal(shard_encode_delete(&entry, clock_now_ms(harness->environment->base.clock),
                                         TEXT("anonymous"), matchers, 1, start_ms, end_ms, &error),
                     ERROR_NONE);
    harness_append(harness, entry.bytes, entry.size);
    byte_buffer_clear(&entry);
    matcher_destroy(matcher);
    harness_run(harness);
}

/* --- Reading --------------------------------------------------------------------------------- */

struct harness_answer {
    size_t series_count;
    size_t count;
    int64_t timestamps_ms[HARNESS_SAMPLES_MAX];
    double values[HARNESS_SAMPLES_MAX];
    enum error_code code;
};

/* Samples of one series in a range; a test fails when the labels come twice. */
HARNESS void harness_read(struct harness *harness, unsigned series, int64_t start_ms,
                          int64_t end_ms, enum series_need need, struct harness_answer *answer)
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct series_set *set;
    struct error error;
    char name[32];
    snprintf(name, sizeof name, "metric_%u", series);
    assert_int_equal(
        matcher_create(MATCHER_EQUAL, TEXT("__name__"), text_of(name), &matcher, &error),
        ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = TEXT("anonymous"),
                                     .matchers = matchers,
                                     .matcher_count = 1,
                                     .start_ms = start_ms,
                                     .end_ms = end_ms,
                                     .need = need,
                                     .arena = arena};
    answer->count = 0;
    answer->series_count = 0;
    answer->code = series_source_select(shard_source(harness->shard), &request, &set, &error);
    if (answer->code == ERROR_NONE) {
        assert_true(set->count <= 1);
        answer->series_count = set->count;
        struct series_reader *reader;
        struct sample_columns columns = {0};
        answer->code = series_reader_open(set, &reader, &error);
        if (answer->code == ERROR_NONE && set->count == 1)
            answer->code = series_reader_read(reader, 0, &columns, &error);
        assert_true(columns.count <= HARNESS_SAMPLES_MAX);
        if (answer->code == ERROR_NONE && columns.count > 0) {
            memcpy(answer->timestamps_ms, columns.timestamps_ms, columns.count * sizeof(int64_t));
            memcpy(answer->values, columns.values, columns.count * sizeof(double));
            answer->count = columns.count;
        }
        series_reader_close(reader);
        series_set_close(set);
    }
    matcher_destroy(matcher);
    arena_destroy(arena);
}

HARNESS size_t harness_count(struct harness *harness, unsigned series)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    harness_read(harness, series, INT64_MIN, INT64_MAX, SERIES_NEED_ALL, answer);
    assert_int_equal(answer->code, ERROR_NONE);
    size_t count = answer->count;
    free(answer);
    return count;
}

/* That harness_fill wrote this and nothing is lost, twice or altered. */
HARNESS void harness_expect_fill(struct harness *harness, unsigned series, int64_t start_ms,
                                 size_t count)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    for (unsigned k = 0; k < series; k++) {
        harness_read(harness, k, start_ms, start_ms + (int64_t)count * 60000 - 1, SERIES_NEED_ALL,
                     answer);
        assert_int_equal(answer->code, ERROR_NONE);
        assert_int_equal(answer->count, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(answer->timestamps_ms[i], start_ms + (int64_t)i * 60000);
            assert_true(answer->values[i] == (double)(k * 1000 + i));
        }
    }
    free(answer);
}

HARNESS struct shard_statistics harness_statistics(struct harness *harness)
{
    struct shard_statistics statistics;
    shard_read_statistics(harness->shard, &statistics);
    return statistics;
}

#endif
