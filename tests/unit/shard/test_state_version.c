/* State-machine versions in the log of a shard, and the versions of its windows. */
#include "shard_harness.h"

#include "base/state_version.h"
#include "shard/shard_windows.h"
#include "shard_private.h"

static const int64_t T0 = HARNESS_START_MS; /* where a window begins */

static uint64_t version_at(const struct harness *harness, int64_t timestamp_ms)
{
    uint64_t version;
    shard_read_window_versions(harness->shard, shard_window_of(timestamp_ms), 1, &version);
    return version;
}

static uint8_t manifest_format(struct harness *harness)
{
    harness_freeze(harness);
    return harness->snapshot.bytes[4];
}

/* The log of one, applied by another. Errors: the first of an entry. */
static enum error_code play(const struct harness *recorded, struct harness *harness)
{
    struct error error;
    harness->refuse_proposals = true;
    for (size_t i = 0; i < recorded->log_count; i++) {
        harness_append(harness, recorded->log[i].bytes, recorded->log[i].size_bytes);
        harness->log[harness->log_count - 1].index = recorded->log[i].index;
    }
    return harness_settle(harness, &error);
}

static void expect_equal_manifests(struct harness *left, struct harness *right)
{
    struct byte_buffer one = {0}, other = {0};
    struct error error;
    uint64_t index;
    assert_int_equal(shard_snapshot(left->shard, &one, &index, &error), ERROR_NONE);
    assert_int_equal(shard_snapshot(right->shard, &other, &index, &error), ERROR_NONE);
    assert_int_equal(one.size, other.size);
    assert_memory_equal(one.bytes, other.bytes, one.size);
    byte_buffer_clear(&one);
    byte_buffer_clear(&other);
}

/* --- Versions -------------------------------------------------------------------------------- */

static void a_shard_begins_with_the_first_version_and_rises_when_it_is_wanted(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    harness_fill(harness, 3, T0, 5);
    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).state_version, STATE_VERSION_FIRST);
    assert_int_equal(manifest_format(harness), 2);
    harness_raise(harness, STATE_VERSION_WINDOWS);
    assert_int_equal(harness_statistics(harness).state_version, STATE_VERSION_WINDOWS);
    size_t entries = harness->log_count;
    harness_raise(harness, STATE_VERSION_WINDOWS); /* once is enough */
    harness_raise(harness, STATE_VERSION_FIRST);
    assert_int_equal(harness->log_count, entries);
    harness_fill(harness, 3, T0 + HOUR_MS, 5);
    assert_int_equal(manifest_format(harness), 3);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).state_version, STATE_VERSION_WINDOWS);
    harness_destroy(harness);
}

static void a_version_beyond_the_programs_is_not_proposed(void **state)
{
    (void)state;
    struct harness *harness = harness_create(2);
    harness_raise(harness, STATE_VERSION_REHEARSAL + 5);
    assert_int_equal(harness_statistics(harness).state_version, STATE_VERSION_MAX);
    harness_destroy(harness);
}

static struct harness *harness_of_next(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    struct error error;
    harness->options.version_max = STATE_VERSION_REHEARSAL;
    harness_close(harness);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    return harness;
}

/* Programs of two versions apply one log alike, until a version comes that one does not know: there
 * it stops, says so, and has changed nothing. */
static void programs_of_two_versions_apply_the_same_bytes(void **state)
{
    (void)state;
    struct harness *next = harness_of_next(3), *older = harness_create(4);
    struct harness *newer = harness_of_next(5);
    harness_fill(next, 4, T0, 30);
    harness_freeze(next);
    harness_raise(next, STATE_VERSION_WINDOWS);
    harness_fill(next, 4, T0 + HOUR_MS, 30);
    harness_freeze(next);
    assert_int_equal(play(next, older), ERROR_NONE);
    assert_int_equal(play(next, newer), ERROR_NONE);
    expect_equal_manifests(next, older);
    expect_equal_manifests(next, newer);
    harness_destroy(newer);

    struct byte_buffer before = {0}, after = {0};
    struct error error;
    uint64_t index, applied = harness_statistics(older).applied_index;
    harness_raise(next, STATE_VERSION_REHEARSAL);
    const struct harness_entry *rise = &next->log[next->log_count - 1];
    while (rise->bytes[0] == ENTRY_RETENTION_POLICY)
        rise--; /* that comes with it */
    assert_int_equal(rise->bytes[0], ENTRY_STATE_VERSION);
    assert_int_equal(shard_snapshot(older->shard, &before, &index, &error), ERROR_NONE);
    assert_int_equal(shard_apply(older->shard, rise->index, rise->bytes, rise->size_bytes, &error),
                     ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "run a release that knows version 4"));
    assert_int_equal(harness_statistics(older).applied_index, applied);
    assert_int_equal(shard_snapshot(older->shard, &after, &index, &error), ERROR_NONE);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.bytes, after.bytes, before.size);
    byte_buffer_clear(&before);
    byte_buffer_clear(&after);
    harness_destroy(next);
    harness_destroy(older);
}

static void the_rehearsal_counts_writes_on_every_replica_alike(void **state)
{
    (void)state;
    struct harness *next = harness_of_next(6), *newer = harness_of_next(7);
    harness_fill(next, 4, T0, 5);
    harness_raise(next, STATE_VERSION_REHEARSAL); /* at once: what lies between is in force, too */
    assert_int_equal(harness_statistics(next).state_version, STATE_VERSION_REHEARSAL);
    assert_true(version_at(next, T0) != SHARD_WINDOW_UNVERSIONED);
    harness_fill(next, 4, T0 + HOUR_MS, 7);
    harness_freeze(next);
    harness_restart(next);
    harness_fill(next, 4, T0 + 2 * HOUR_MS, 2);
    harness_freeze(next);
    assert_true(next->shard->rehearsed_count == 9);
    assert_int_equal(play(next, newer), ERROR_NONE);
    assert_int_equal(newer->shard->rehearsed_count, next->shard->rehearsed_count);
    expect_equal_manifests(next, newer);
    harness_destroy(newer);
    harness_destroy(next);
}

static void a_snapshot_of_a_newer_version_is_refused(void **state)
{
    (void)state;
    struct harness *next = harness_of_next(8);
    struct error error;
    harness_fill(next, 4, T0, 5);
    harness_raise(next, STATE_VERSION_REHEARSAL);
    harness_freeze(next);
    harness_close(next);
    next->options.version_max = 0; /* another program, the same directory */
    assert_int_equal(harness_open(next, &error), ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "run a release that knows version 4"));
    shard_destroy(next->shard);
    next->options.version_max = STATE_VERSION_REHEARSAL; /* and back: it is all there */
    assert_int_equal(harness_open(next, &error), ERROR_NONE);
    harness_run(next);
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_read(next, 2, T0, T0 + HOUR_MS, SERIES_NEED_ALL, answer);
    assert_int_equal(answer->count, 5);
    free(answer);
    harness_destroy(next);
}

static void bad_version_entries_stop_the_shard(void **state)
{
    (void)state;
    const struct {
        uint8_t body[2];
        size_t size;
        enum error_code code;
    } cases[] = {
        {{0}, 0, ERROR_CORRUPT},    {{0}, 1, ERROR_CORRUPT},     {{2, 0}, 2, ERROR_CORRUPT},
        {{0x80}, 1, ERROR_CORRUPT}, {{9}, 1, ERROR_UNSUPPORTED},
    };
    struct harness *harness = harness_create(9);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct byte_buffer entry = {0};
        struct error error;
        entry_encode_header(&entry, ENTRY_STATE_VERSION, T0);
        byte_buffer_append(&entry, cases[i].body, cases[i].size);
        assert_int_equal(shard_apply(harness->shard, 10, entry.bytes, entry.size, &error),
                         cases[i].code);
        byte_buffer_clear(&entry);
    }
    harness_destroy(harness);
}

/* --- Windows --------------------------------------------------------------------------------- */

static void windows_have_no_version_before_they_are_kept(void **state)
{
    (void)state;
    struct harness *harness = harness_create(20);
    harness_fill(harness, 2, T0, 3);
    assert_true(version_at(harness, T0) == SHARD_WINDOW_UNVERSIONED);
    harness_raise(harness, STATE_VERSION_WINDOWS);
    uint64_t base = harness->last_index;
    assert_int_equal(version_at(harness, T0), base);
    assert_int_equal(version_at(harness, 0), base);
    harness_destroy(harness);
}

static void a_late_sample_and_a_deletion_change_their_window_only(void **state)
{
    (void)state;
    struct harness *harness = harness_create(21);
    struct arena *arena = arena_create(0);
    harness_raise(harness, STATE_VERSION_WINDOWS);
    harness_set_time(harness, T0 + 8 * HOUR_MS);
    for (int hour = 0; hour < 8; hour += 2)
        harness_fill(harness, 3, T0 + hour * (int64_t)HOUR_MS, 20);
    uint64_t first = version_at(harness, T0), second = version_at(harness, T0 + 2 * HOUR_MS);
    uint64_t last = version_at(harness, T0 + 6 * HOUR_MS);
    assert_true(first < second && second < last);

    struct harness_sample late = {1, T0 + 2 * HOUR_MS + 30, 5};
    harness_write(harness, arena, &late, 1);
    assert_int_equal(version_at(harness, T0), first);
    assert_int_equal(version_at(harness, T0 + 2 * HOUR_MS), harness->last_index);
    assert_int_equal(version_at(harness, T0 + 6 * HOUR_MS), last);

    /* The same again stores nothing. */
    second = version_at(harness, T0 + 2 * HOUR_MS);
    harness_write(harness, arena, &late, 1);
    assert_int_equal(version_at(harness, T0 + 2 * HOUR_MS), second);

    harness_delete(harness, 1, T0, T0 + 60000);
    uint64_t deleted = version_at(harness, T0);
    assert_true(deleted > second);
    assert_int_equal(version_at(harness, T0 + 2 * HOUR_MS), second);

    /* Where they are stored is no change of what they are. */
    harness_flush(harness);
    assert_int_equal(version_at(harness, T0), deleted);
    assert_int_equal(version_at(harness, T0 + 2 * HOUR_MS), second);
    assert_int_equal(version_at(harness, T0 + 6 * HOUR_MS), last);

    shard_retain_from(harness->shard, T0 + 3 * HOUR_MS);
    harness_run(harness);
    assert_true(version_at(harness, T0) == SHARD_WINDOW_UNVERSIONED);
    assert_int_equal(version_at(harness, T0 + 6 * HOUR_MS), last);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void expect_equal_windows(const struct harness *left, const struct harness *right)
{
    for (int64_t hour = -4; hour < 20; hour += 2)
        assert_int_equal(version_at(left, T0 + hour * HOUR_MS),
                         version_at(right, T0 + hour * HOUR_MS));
}

static void restarts_and_replicas_have_the_same_versions(void **state)
{
    (void)state;
    struct harness *harness = harness_create(22), *other = harness_create(23);
    harness_raise(harness, STATE_VERSION_WINDOWS);
    harness_set_time(harness, T0 + 14 * HOUR_MS);
    for (int hour = 0; hour < 12; hour++) {
        harness_fill(harness, 3, T0 + hour * (int64_t)HOUR_MS, 10);
        if (hour == 5)
            harness_freeze(harness);
        if (hour == 7)
            harness_delete(harness, 2, T0 + 2 * HOUR_MS, T0 + 3 * HOUR_MS);
    }
    assert_int_equal(play(harness, other), ERROR_NONE);
    expect_equal_windows(harness, other);
    harness_restart(harness);
    expect_equal_windows(harness, other);
    harness_freeze(harness);
    harness_restart(harness);
    expect_equal_windows(harness, other);
    harness_destroy(other);
    harness_destroy(harness);
}

/* --- Readers --------------------------------------------------------------------------------- */

enum { READ_WINDOWS = 400 };

struct watcher {
    struct shard *shard;
    atomic_bool is_over;
    bool has_fallen;
    uint64_t rounds;
};

static void *watch(void *argument)
{
    struct watcher *watcher = argument;
    uint64_t seen[READ_WINDOWS] = {0}, now[READ_WINDOWS];
    while (!atomic_load(&watcher->is_over)) {
        shard_read_window_versions(watcher->shard, shard_window_of(T0), READ_WINDOWS, now);
        for (size_t i = 0; i < READ_WINDOWS; i++)
            watcher->has_fallen |= now[i] < seen[i];
        memcpy(seen, now, sizeof seen);
        watcher->rounds++;
    }
    return NULL;
}

static void versions_only_rise_for_who_reads_meanwhile(void **state)
{
    (void)state;
    struct harness *harness = harness_create(30);
    struct arena *arena = arena_create(0);
    pthread_t thread;
    harness_raise(harness, STATE_VERSION_WINDOWS);
    struct watcher watcher = {.shard = harness->shard};
    assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
    for (int round = 0; round < 3 * READ_WINDOWS; round++) {
        struct harness_sample samples[2] = {
            {1, T0 + round * (int64_t)WINDOW_MS / 3 + round % 7, 1},
            {2, T0 + (round * 37 % READ_WINDOWS) * (int64_t)WINDOW_MS + round, 2},
        };
        harness_write(harness, arena, samples, 2);
        arena_reset(arena);
        if (round % 400 == 399)
            harness_delete(harness, 1, T0, T0 + round % 5 * (int64_t)WINDOW_MS);
    }
    atomic_store(&watcher.is_over, true);
    pthread_join(thread, NULL);
    assert_false(watcher.has_fallen);
    assert_true(watcher.rounds > 0);
    arena_destroy(arena);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_begins_with_the_first_version_and_rises_when_it_is_wanted),
        cmocka_unit_test(a_version_beyond_the_programs_is_not_proposed),
        cmocka_unit_test(programs_of_two_versions_apply_the_same_bytes),
        cmocka_unit_test(the_rehearsal_counts_writes_on_every_replica_alike),
        cmocka_unit_test(a_snapshot_of_a_newer_version_is_refused),
        cmocka_unit_test(bad_version_entries_stop_the_shard),
        cmocka_unit_test(windows_have_no_version_before_they_are_kept),
        cmocka_unit_test(a_late_sample_and_a_deletion_change_their_window_only),
        cmocka_unit_test(restarts_and_replicas_have_the_same_versions),
        cmocka_unit_test(versions_only_rise_for_who_reads_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
