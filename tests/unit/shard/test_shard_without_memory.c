/* Every allocation of what a shard does fails once, one after the other. */
#include "base/state_version.h"
#include "shard_harness.h"

#include "allocation_faults.h"

enum { SERIES = 12, MINUTES = 15, NUMBERS_MAX = 20000, WRITTEN_MS = 60000 * MINUTES };

/* Samples of SERIES series in memory, and as many in a part when `frozen`. */
static struct harness *filled(void)
{
    struct harness *harness = harness_create(5);
    harness->keep_snapshots_away = true;
    harness_fill(harness, SERIES, HARNESS_START_MS, MINUTES);
    return harness;
}

static void expect_all(struct harness *harness, size_t minutes)
{
    harness_expect_fill(harness, SERIES, HARNESS_START_MS, minutes);
}

/* One more minute of all series, and new ones. */
static struct shard_write next_minute(struct arena *arena)
{
    struct harness_sample samples[SERIES + 4];
    for (unsigned i = 0; i < SERIES + 4; i++)
        samples[i] =
            (struct harness_sample){i, HARNESS_START_MS + WRITTEN_MS, (double)(i * 1000 + MINUTES)};
    return harness_request(arena, samples, SERIES + 4);
}

static void a_write_without_memory_is_refused_as_a_whole_and_can_be_repeated(void **state)
{
    (void)state;
    size_t survived = 0;
    struct harness *harness = filled();
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct arena *arena = arena_create(0);
        struct shard_write write = next_minute(arena);
        struct byte_buffer entry = {0};
        struct error error;
        bool added = false;
        harness_resolve(harness, &write);
        shard_prepare_begin(harness->shard, &entry);
        allocation_faults_arm(number);
        enum error_code code = shard_prepare_write(harness->shard, &write, &entry, &added, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        shard_prepare_cancel(harness->shard);
        byte_buffer_clear(&entry);
        arena_destroy(arena);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 0);
    harness_fill(harness, SERIES + 4, HARNESS_START_MS + WRITTEN_MS, 1);
    assert_int_equal(harness_count(harness, 0), MINUTES + 1);
    assert_int_equal(harness_count(harness, SERIES + 3), 1);
    harness_destroy(harness);
}

enum { MANY = 500 };

/* A replica that cannot apply an entry ends; what is in the log comes back with the next start. */
static void an_entry_that_is_applied_without_memory_is_applied_at_the_next_start(void **state)
{
    (void)state;
    size_t survived = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct harness *harness = harness_create(5);
        struct arena *arena = arena_create(0);
        struct harness_sample samples[MANY];
        struct error error;
        for (unsigned i = 0; i < MANY; i++)
            samples[i] = (struct harness_sample){i, HARNESS_START_MS, i};
        struct shard_write write = harness_request(arena, samples, MANY);
        shard_want_version(harness->shard, STATE_VERSION_WINDOWS);
        shard_maintain(harness->shard); /* from here on versions of windows are kept */
        harness_propose_write(harness, &write);
        allocation_faults_arm(number);
        enum error_code code = harness_settle(harness, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        survived += code != ERROR_NONE;
        harness_restart(harness);
        for (unsigned i = 0; i < MANY; i += 7)
            assert_int_equal(harness_count(harness, i), 1);
        arena_destroy(arena);
        harness_destroy(harness);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
    }
    assert_true(survived > 0);
}

struct flag_flush {
    struct shard_flush flush; /* first */
    bool done;
};

static void on_flushed(struct shard_flush *flush, const struct error *error)
{
    (void)error;
    ((struct flag_flush *)flush)->done = true;
}

/* Freeze and merge; jobs that failed are tried again after seconds. */
static enum error_code flush_in_time(struct harness *harness, struct flag_flush *flush,
                                     struct error *error)
{
    enum { TRIES = 20 };
    uint64_t durable_count = harness->durable_count;
    *flush = (struct flag_flush){.flush = {.done = on_flushed}};
    shard_flush(harness->shard, &flush->flush);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; i < TRIES && code == ERROR_NONE && !flush->done; i++) {
        code = harness_settle(harness, error);
        if (code == ERROR_NONE && !flush->done)
            simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(3000000000));
        shard_maintain(harness->shard); /* as the replica does all the time */
        if (code == ERROR_NONE && harness->durable_count > durable_count &&
            harness_try_snapshot(harness, error) == ERROR_NONE)
            durable_count = harness->durable_count;
    }
    return code;
}

static void freezing_and_merging_without_memory_is_tried_again(void **state)
{
    (void)state;
    size_t survived = 0, repeated = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct harness *harness = filled();
        struct flag_flush flush;
        struct error error;
        allocation_faults_arm(number);
        enum error_code code = flush_in_time(harness, &flush, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        repeated += harness_statistics(harness).job_failures_total > 0;
        if (code == ERROR_NONE)
            assert_true(flush.done);
        else
            harness_restart(harness);
        expect_all(harness, MINUTES);
        harness_restart(harness);
        expect_all(harness, MINUTES);
        harness_destroy(harness);
        if (!injected)
            break;
        survived++;
    }
    assert_true(survived > 50);
    assert_true(repeated > 20);
}

/* Samples in a block, in a part and in memory, a tombstone on one series that nobody asks for. */
static struct harness *stored(void)
{
    struct harness *harness = filled();
    struct flag_flush flush;
    struct error error;
    assert_int_equal(flush_in_time(harness, &flush, &error), ERROR_NONE);
    harness_fill(harness, SERIES, HARNESS_START_MS + WINDOW_MS, MINUTES);
    harness_freeze(harness);
    harness_fill(harness, SERIES, HARNESS_START_MS + WINDOW_MS + WRITTEN_MS, 2);
    return harness;
}

static void a_query_without_memory_says_so(void **state)
{
    (void)state;
    struct harness *harness = stored();
    size_t survived = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct arena *arena = arena_create(0);
        struct series_set *set = NULL;
        struct series_reader *reader = NULL;
        struct sample_columns columns = {0};
        struct matcher *matcher;
        struct error error;
        assert_int_equal(
            matcher_create(MATCHER_EQUAL, TEXT("__name__"), TEXT("metric_3"), &matcher, &error),
            ERROR_NONE);
        const struct matcher *const matchers[] = {matcher};
        struct series_request request = {.tenant = TEXT("anonymous"),
                                         .matchers = matchers,
                                         .matcher_count = 1,
                                         .start_ms = INT64_MIN,
                                         .end_ms = INT64_MAX,
                                         .need = SERIES_NEED_ALL,
                                         .arena = arena};
        /* What the cache holds needs no memory: begin with an empty one. */
        page_cache_set_budget(harness->cache, 0);
        page_cache_set_budget(harness->cache, 8 << 20);
        allocation_faults_arm(number);
        enum error_code code =
            series_source_select(shard_source(harness->shard), &request, &set, &error);
        if (code == ERROR_NONE)
            code = series_reader_open(set, &reader, &error);
        if (code == ERROR_NONE)
            code = series_reader_read(reader, 0, &columns, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        if (code == ERROR_NONE)
            assert_int_equal(columns.count, 2 * MINUTES + 2);
        series_reader_close(reader);
        series_set_close(set);
        matcher_destroy(matcher);
        arena_destroy(arena);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 20);
    harness_destroy(harness);
}

/* Series that only files know, as after a restart. */
static void looking_for_series_without_memory_says_so_and_can_be_repeated(void **state)
{
    (void)state;
    struct harness *harness = stored();
    harness_snapshot(harness);
    harness_restart(harness);
    size_t survived = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct arena *arena = arena_create(0);
        struct shard_write write = next_minute(arena);
        struct shard_resolver *resolver = NULL;
        struct error error;
        assert_true(shard_needs_resolving(harness->shard, &write));
        allocation_faults_arm(number);
        enum error_code code = shard_resolver_create(harness->shard, &resolver, &error);
        if (code == ERROR_NONE)
            code = shard_resolve(resolver, &write, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        shard_resolver_destroy(resolver);
        arena_destroy(arena);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 1);
    harness_fill(harness, SERIES, HARNESS_START_MS + WRITTEN_MS, 1); /* the same ids as before */
    assert_int_equal(harness_statistics(harness).series_count, SERIES);
    harness_destroy(harness);
}

static void a_restore_without_memory_says_so_and_can_be_repeated(void **state)
{
    (void)state;
    struct harness *harness = stored();
    harness_snapshot(harness);
    harness_close(harness);
    size_t survived = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct error error;
        allocation_faults_arm(number);
        enum error_code code = harness_open(harness, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        survived += code != ERROR_NONE;
        if (harness->shard != NULL)
            harness_close(harness);
    }
    assert_true(survived > 10);
    harness_run(harness);
    shard_lead(harness->shard);
    expect_all(harness, MINUTES);
    assert_int_equal(harness_count(harness, 0), 2 * MINUTES + 2);
    harness_destroy(harness);
}

static void a_snapshot_and_a_deletion_without_memory_say_so(void **state)
{
    (void)state;
    struct harness *harness = stored();
    struct matcher *matcher;
    struct error error;
    assert_int_equal(
        matcher_create(MATCHER_EQUAL, TEXT("__name__"), TEXT("metric_3"), &matcher, &error),
        ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    size_t survived = 0;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct byte_buffer manifest = {0}, entry = {0};
        uint64_t index;
        allocation_faults_arm(number);
        enum error_code code = shard_snapshot(harness->shard, &manifest, &index, &error);
        if (code == ERROR_NONE)
            code = shard_encode_delete(&entry, HARNESS_START_MS, TEXT("anonymous"), matchers, 1, 0,
                                       HARNESS_START_MS, &error);
        bool injected = allocation_faults_disarm();
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        byte_buffer_clear(&manifest);
        byte_buffer_clear(&entry);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        survived += code != ERROR_NONE;
    }
    assert_true(survived > 1);
    matcher_destroy(matcher);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_without_memory_is_refused_as_a_whole_and_can_be_repeated),
        cmocka_unit_test(an_entry_that_is_applied_without_memory_is_applied_at_the_next_start),
        cmocka_unit_test(freezing_and_merging_without_memory_is_tried_again),
        cmocka_unit_test(a_query_without_memory_says_so),
        cmocka_unit_test(looking_for_series_without_memory_says_so_and_can_be_repeated),
        cmocka_unit_test(a_restore_without_memory_says_so_and_can_be_repeated),
        cmocka_unit_test(a_snapshot_and_a_deletion_without_memory_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
