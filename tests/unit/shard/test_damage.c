/* Files that are damaged here: what needs them is refused by name, everything else goes on. */
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 6, MINUTES = 30 };

/* --- Damaging --------------------------------------------------------------------------------- */

/* The only file below `prefix`; its path lives as long as the test. */
static const char *only_file(struct harness *harness, const char *prefix)
{
    static char path[DISK_PATH_MAX + 1];
    uint64_t size;
    const char *found = simulated_disk_choose(&harness->environment->disk, prefix, &size);
    assert_non_null(found);
    snprintf(path, sizeof path, "%s", found);
    return path;
}

/* Behind the header: in the first page. */
static void rot_a_page(struct harness *harness, const char *path)
{
    enum { FIRST_PAGE_BIT = 30 * 8 };
    simulated_disk_flip(&harness->environment->disk, path, FIRST_PAGE_BIT);
}

static void remove_file(struct harness *harness, const char *path)
{
    struct error error;
    assert_int_equal(disk_remove(harness->environment->base.disk, path, &error), ERROR_NONE);
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* The code of reading a series in [start_ms, start_ms + WINDOW_MS); how many samples it has. */
static enum error_code read_window(struct harness *harness, unsigned series, int64_t start_ms,
                                   size_t *count_out)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_read(harness, series, start_ms, start_ms + WINDOW_MS - 1, SERIES_NEED_ALL, answer);
    enum error_code code = answer->code;
    *count_out = answer->count;
    free(answer);
    return code;
}

static void expect_samples(struct harness *harness, int64_t start_ms, size_t count)
{
    for (unsigned series = 0; series < SERIES; series++) {
        size_t found;
        assert_int_equal(read_window(harness, series, start_ms, &found), ERROR_NONE);
        assert_int_equal(found, count);
    }
}

static void expect_refused(struct harness *harness, int64_t start_ms)
{
    for (unsigned series = 0; series < SERIES; series++) {
        size_t found;
        assert_int_equal(read_window(harness, series, start_ms, &found), ERROR_CORRUPT);
    }
}

static uint64_t damaged_files(struct harness *harness)
{
    return harness_statistics(harness).damaged_files;
}

/* Samples in two windows, each in a part of its own; the older one is rotten. */
static struct harness *harness_with_rotten_part(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_freeze(harness);
    rot_a_page(harness, only_file(harness, "shards/0007/parts/"));
    harness_fill(harness, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).part_count, 2);
    return harness;
}

/* Long after, so that merges are due. */
static void merge_by_time(struct harness *harness)
{
    harness_set_time(harness, T0 + 4 * WINDOW_MS);
    harness_maintain(harness);
}

/* --- Merges ----------------------------------------------------------------------------------- */

static void a_merge_of_a_rotten_part_is_given_up_and_others_go_on(void **state)
{
    (void)state;
    struct harness *harness = harness_with_rotten_part(1);
    harness_flush(harness); /* ends */
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.merges_given_up_total, 1);
    assert_int_equal(statistics.damaged_files, 1);
    assert_int_equal(statistics.part_count, 1);
    assert_int_equal(statistics.block_count, 1);
    expect_refused(harness, T0);
    expect_samples(harness, T0 + WINDOW_MS, MINUTES);
    size_t entries = harness->log_count;
    harness_maintain(harness);
    harness_flush(harness);
    assert_int_equal(harness->log_count, entries); /* it is not tried again and again */
    harness_destroy(harness);
}

static void a_merge_that_was_given_up_is_so_after_a_restart(void **state)
{
    (void)state;
    struct harness *harness = harness_with_rotten_part(2);
    harness->keep_snapshots_away = true; /* start and end are replayed */
    merge_by_time(harness);
    assert_int_equal(harness_statistics(harness).merges_given_up_total, 1);
    harness_restart(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.part_count, 1);
    assert_int_equal(statistics.block_count, 1);
    expect_refused(harness, T0);
    expect_samples(harness, T0 + WINDOW_MS, MINUTES);
    harness_fill(harness, SERIES, T0 + 2 * WINDOW_MS, MINUTES);
    expect_samples(harness, T0 + 2 * WINDOW_MS, MINUTES);
    harness_destroy(harness);
}

/* What others could merge is merged here too, but for the bytes: those may come from them. */
static void a_merge_that_others_ended_leaves_its_block_missing_here(void **state)
{
    (void)state;
    struct harness *harness = harness_create(3);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_freeze(harness);
    const char *path = only_file(harness, "shards/0007/parts/");
    char part[DISK_PATH_MAX + 1];
    snprintf(part, sizeof part, "%s", path);
    harness->keep_snapshots_away = true;
    merge_by_time(harness); /* as on the others: start and end are in the log */
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_close(harness);
    remove_file(harness, only_file(harness, "shards/0007/blocks/"));
    rot_a_page(harness, part);
    struct error error;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    harness_run(harness); /* comes to the end of the log */
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.part_count, 0);
    assert_int_equal(statistics.block_count, 1);
    assert_int_equal(statistics.merges_total, 1);
    assert_int_equal(statistics.damaged_files, 1);
    expect_refused(harness, T0);
    /* The part stays: somebody may repair it. */
    struct file *file = NULL;
    harness_snapshot(harness);
    harness_run(harness);
    assert_int_equal(
        disk_open(harness->environment->base.disk, part, DISK_OPEN_READ, &file, &error),
        ERROR_NONE);
    disk_close(harness->environment->base.disk, file);
    harness_destroy(harness);
}

static void merges_go_on_beside_a_rotten_block(void **state)
{
    (void)state;
    struct harness *harness = harness_create(4);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_flush(harness);
    rot_a_page(harness, only_file(harness, "shards/0007/blocks/"));
    harness_fill(harness, SERIES, T0 + 40 * 60000, MINUTES); /* continues it */
    harness_flush(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.damaged_files, 1);
    assert_int_equal(statistics.part_count, 0);
    assert_int_equal(statistics.block_count, 2);
    expect_refused(harness, T0);
    harness_destroy(harness);
}

/* --- Restarts --------------------------------------------------------------------------------- */

static void a_shard_opens_without_a_block_and_takes_it_when_it_is_back(void **state)
{
    (void)state;
    struct harness *harness = harness_create(5);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_flush(harness);
    harness_fill(harness, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_freeze(harness);
    const char *path = only_file(harness, "shards/0007/blocks/");
    struct disk *disk = harness->environment->base.disk;
    struct error error;
    harness_close(harness);
    assert_int_equal(disk_rename(disk, path, "shards/0007/away", &error), ERROR_NONE);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    harness_run(harness);
    shard_lead(harness->shard);
    assert_int_equal(damaged_files(harness), 1);
    expect_refused(harness, T0);
    expect_samples(harness, T0 + WINDOW_MS, MINUTES);

    assert_int_equal(disk_rename(disk, "shards/0007/away", path, &error), ERROR_NONE);
    harness_maintain(harness);
    assert_int_equal(damaged_files(harness), 1); /* not looked for all the time */
    simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(6000000000));
    harness_maintain(harness);
    assert_int_equal(damaged_files(harness), 0);
    expect_samples(harness, T0, MINUTES);
    harness_destroy(harness);
}

static void a_sound_file_of_another_content_is_not_taken(void **state)
{
    (void)state;
    struct harness *harness = harness_create(8);
    struct disk *disk = harness->environment->base.disk;
    struct error error;
    char first[DISK_PATH_MAX + 1];
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_flush(harness);
    snprintf(first, sizeof first, "%s", only_file(harness, "shards/0007/blocks/"));
    assert_int_equal(disk_link(disk, first, "shards/0007/copy", &error), ERROR_NONE);
    harness_fill(harness, SERIES, T0 + WINDOW_MS, MINUTES);
    harness_flush(harness);
    harness_close(harness);
    remove_file(harness, first);
    const char *second = only_file(harness, "shards/0007/blocks/");
    assert_int_equal(disk_rename(disk, second, first, &error), ERROR_NONE);
    assert_int_equal(disk_rename(disk, "shards/0007/copy", second, &error), ERROR_NONE);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    assert_int_equal(damaged_files(harness), 2);
    expect_refused(harness, T0);
    expect_refused(harness, T0 + WINDOW_MS);
    harness_destroy(harness);
}

static void series_of_a_part_that_is_away_are_not_forgotten(void **state)
{
    (void)state;
    struct harness *harness = harness_create(6);
    harness_fill(harness, SERIES, T0, MINUTES);
    harness_freeze(harness);
    harness_close(harness);
    remove_file(harness, only_file(harness, "shards/0007/parts/"));
    struct error error;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    for (int64_t period = 1; period < 6; period++) {
        harness_fill(harness, 1, T0 + period * WINDOW_MS, 3);
        harness_freeze(harness);
        harness_maintain(harness);
    }
    assert_int_equal(harness_statistics(harness).series_forgotten, 0);
    assert_int_equal(harness_statistics(harness).series_count, SERIES);
    harness_destroy(harness);
}

static void retention_takes_what_is_damaged(void **state)
{
    (void)state;
    struct harness *harness = harness_with_rotten_part(7);
    harness_flush(harness);
    assert_int_equal(damaged_files(harness), 1);
    shard_retain_from(harness->shard, T0 + WINDOW_MS);
    harness_run(harness);
    assert_int_equal(damaged_files(harness), 0);
    expect_samples(harness, T0, 0);
    expect_samples(harness, T0 + WINDOW_MS, MINUTES);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_of_a_rotten_part_is_given_up_and_others_go_on),
        cmocka_unit_test(a_merge_that_was_given_up_is_so_after_a_restart),
        cmocka_unit_test(a_merge_that_others_ended_leaves_its_block_missing_here),
        cmocka_unit_test(merges_go_on_beside_a_rotten_block),
        cmocka_unit_test(a_shard_opens_without_a_block_and_takes_it_when_it_is_back),
        cmocka_unit_test(a_sound_file_of_another_content_is_not_taken),
        cmocka_unit_test(series_of_a_part_that_is_away_are_not_forgotten),
        cmocka_unit_test(retention_takes_what_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
