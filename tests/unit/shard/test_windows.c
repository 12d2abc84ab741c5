/* The table of windows' versions by itself; what a shard does with it is in test_state_version.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../src/shard/windows.h"
#include "platform/random.h"

enum { HOUR_MS = 3600 * 1000 };

static struct windows windows;
static struct error error;

static void start(uint64_t base)
{
    windows_clear(&windows);
    assert_int_equal(windows_init(&windows, base, NULL, 0, &error), ERROR_NONE);
}

static void write_at(uint64_t index, const int64_t *timestamps_ms, size_t count)
{
    windows_begin(&windows, index);
    assert_int_equal(windows_touch(&windows, timestamps_ms, count, &error), ERROR_NONE);
    assert_int_equal(windows_commit(&windows, &error), ERROR_NONE);
}

static uint64_t version_of(int64_t timestamp_ms)
{
    return window_table_version(windows.table, shard_window_of(timestamp_ms));
}

static void windows_are_aligned_to_two_hours_before_1970_too(void **state)
{
    (void)state;
    assert_int_equal(shard_window_of(0), 0);
    assert_int_equal(shard_window_of(2 * HOUR_MS - 1), 0);
    assert_int_equal(shard_window_of(2 * HOUR_MS), 1);
    assert_int_equal(shard_window_of(-1), -1);
    assert_int_equal(shard_window_of(-2 * HOUR_MS), -1);
    assert_int_equal(shard_window_of(-2 * HOUR_MS - 1), -2);
}

static void a_write_changes_the_windows_of_its_samples_only(void **state)
{
    (void)state;
    start(5);
    write_at(7, (int64_t[]){HOUR_MS, HOUR_MS + 1, 9 * HOUR_MS, INT64_MIN, INT64_MAX, -1}, 6);
    assert_int_equal(version_of(0), 7);
    assert_int_equal(version_of(2 * HOUR_MS - 1), 7);
    assert_int_equal(version_of(2 * HOUR_MS), 5);
    assert_int_equal(version_of(8 * HOUR_MS), 7);
    assert_int_equal(version_of(INT64_MIN), 7);
    assert_int_equal(version_of(INT64_MAX), 7);
    assert_int_equal(version_of(-1), 7);
    assert_int_equal(version_of(-3 * HOUR_MS), 5);
    write_at(9, (int64_t[]){2 * HOUR_MS}, 1);
    assert_int_equal(version_of(0), 7);
    assert_int_equal(version_of(2 * HOUR_MS), 9);
}

static void a_version_is_shown_when_all_of_the_entry_is_applied(void **state)
{
    (void)state;
    start(1);
    write_at(2, (int64_t[]){0}, 1);
    windows_begin(&windows, 4);
    assert_int_equal(windows_touch(&windows, (int64_t[]){0, 3 * HOUR_MS}, 2, &error), ERROR_NONE);
    assert_int_equal(version_of(0), 2);
    assert_int_equal(version_of(3 * HOUR_MS), 1);
    assert_int_equal(windows_commit(&windows, &error), ERROR_NONE);
    assert_int_equal(version_of(0), 4);
    assert_int_equal(version_of(3 * HOUR_MS), 4);
}

static void a_deletion_changes_its_range(void **state)
{
    (void)state;
    start(1);
    windows_begin(&windows, 3);
    assert_int_equal(windows_touch_range(&windows, 2 * HOUR_MS + 5, 6 * HOUR_MS, &error),
                     ERROR_NONE);
    assert_int_equal(windows_commit(&windows, &error), ERROR_NONE);
    assert_int_equal(version_of(0), 1);
    assert_int_equal(version_of(2 * HOUR_MS), 3);
    assert_int_equal(version_of(7 * HOUR_MS), 3);
    assert_int_equal(version_of(8 * HOUR_MS), 1);
    windows_begin(&windows, 6);
    assert_int_equal(windows_touch_range(&windows, INT64_MIN, INT64_MAX, &error), ERROR_NONE);
    assert_int_equal(windows_commit(&windows, &error), ERROR_NONE);
    assert_int_equal(version_of(0), 6);
    assert_int_equal(version_of(7 * HOUR_MS), 6);
    assert_int_equal(windows.table->count, 0);
}

static void what_the_retention_takes_has_no_version(void **state)
{
    (void)state;
    start(1);
    write_at(2, (int64_t[]){0, 2 * HOUR_MS, 4 * HOUR_MS}, 3);
    windows_end_before(&windows, 3 * HOUR_MS);
    assert_true(version_of(0) == SHARD_WINDOW_UNVERSIONED);
    assert_true(version_of(2 * HOUR_MS) == SHARD_WINDOW_UNVERSIONED);
    assert_int_equal(version_of(4 * HOUR_MS), 2);
    windows_end_before(&windows, 4 * HOUR_MS);
    assert_int_equal(version_of(4 * HOUR_MS), 2);
}

static void nothing_kept_is_no_version(void **state)
{
    (void)state;
    windows_clear(&windows);
    write_at(2, (int64_t[]){0}, 1);
    assert_true(version_of(0) == SHARD_WINDOW_UNVERSIONED);
}

/* Against a list of all windows: never lower than there, risen wherever it rose there, and what is
 * kept is the same after it went through a list. */
static void many_windows_keep_versions_that_only_rise(void **state)
{
    (void)state;
    enum { SPAN = 20000, ROUNDS = 3000 };
    uint64_t *truth = calloc(SPAN, sizeof *truth), *seen = calloc(SPAN, sizeof *seen);
    struct random_generator random;
    random_generator_init(&random, 11);
    start(1);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        int64_t times[20];
        size_t count = 1 + random_below(&random.base, 20);
        for (size_t i = 0; i < count; i++) {
            uint32_t window = random_below(&random.base, 4) == 0 ? random_below(&random.base, SPAN)
                                                                 : (uint32_t)(round % SPAN);
            times[i] = window * (int64_t)SHARD_WINDOW_MS + random_below(&random.base, 1000);
            truth[window] = round + 2;
        }
        write_at(round + 2, times, count);
        assert_true(windows.table->count <= WINDOWS_MAX);
        for (size_t i = 0; i < SPAN && round % 100 == 0; i++) {
            uint64_t version = window_table_version(windows.table, (int64_t)i);
            assert_true(version >= truth[i] && version >= seen[i] && version <= round + 2);
            seen[i] = version;
        }
    }
    struct window_version *versions;
    size_t count;
    struct windows again = {0};
    assert_int_equal(windows_list(&windows, &versions, &count, &error), ERROR_NONE);
    assert_int_equal(windows_init(&again, windows.table->base, versions, count, &error),
                     ERROR_NONE);
    for (int64_t i = 0; i < SPAN; i++)
        assert_int_equal(window_table_version(again.table, i),
                         window_table_version(windows.table, i));
    windows_clear(&again);
    free(versions);
    free(truth);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_aligned_to_two_hours_before_1970_too),
        cmocka_unit_test(a_write_changes_the_windows_of_its_samples_only),
        cmocka_unit_test(a_version_is_shown_when_all_of_the_entry_is_applied),
        cmocka_unit_test(a_deletion_changes_its_range),
        cmocka_unit_test(what_the_retention_takes_has_no_version),
        cmocka_unit_test(nothing_kept_is_no_version),
        cmocka_unit_test(many_windows_keep_versions_that_only_rise),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    windows_clear(&windows);
    return failed;
}
