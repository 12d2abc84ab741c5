/* The life of a shard: freeze, parts, merge, retention, deletion, restart, close. */
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;

/* --- Freeze and restart ----------------------------------------------------------------------- */

static void a_freeze_moves_samples_to_files_and_changes_no_answer(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    harness_fill(harness, 20, T0, 30);
    harness_expect_fill(harness, 20, T0, 30);
    harness_freeze(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.part_count, 1);
    assert_int_equal(statistics.segment_count, 1);
    assert_int_equal(statistics.frozen_head_count, 0);
    harness_expect_fill(harness, 20, T0, 30);
    harness_destroy(harness);
}

static void a_restart_without_snapshot_replays_the_log(void **state)
{
    (void)state;
    struct harness *harness = harness_create(2);
    harness_fill(harness, 10, T0, 20);
    harness_restart(harness);
    harness_expect_fill(harness, 10, T0, 20);
    harness_destroy(harness);
}

static void a_restart_restores_files_and_replays_what_is_behind(void **state)
{
    (void)state;
    struct harness *harness = harness_create(3);
    harness_fill(harness, 10, T0, 20);
    harness_freeze(harness);
    assert_int_not_equal(harness->snapshot_index, 0);
    harness_fill(harness, 15, T0 + 20 * 60000, 20);
    for (int i = 0; i < 3; i++) {
        harness_restart(harness);
        assert_int_equal(harness_statistics(harness).series_count, 15);
        harness_expect_fill(harness, 5, T0 + 20 * 60000, 20);
        assert_int_equal(harness_count(harness, 0), 40);
        assert_int_equal(harness_count(harness, 14), 20);
    }
    harness_destroy(harness);
}

static void known_series_keep_their_id_over_freeze_and_restart(void **state)
{
    (void)state;
    struct harness *harness = harness_create(4);
    harness_fill(harness, 10, T0, 2);
    harness_freeze(harness);
    harness_fill(harness, 10, T0 + 2 * 60000, 2);
    assert_int_equal(harness_statistics(harness).series_count, 10);
    harness_restart(harness);
    harness_fill(harness, 10, T0 + 4 * 60000, 2);
    assert_int_equal(harness_statistics(harness).series_count, 10);
    harness_expect_fill(harness, 10, T0, 2);
    assert_int_equal(harness_count(harness, 3), 6);
    harness_destroy(harness);
}

static void a_freeze_that_finds_no_room_is_tried_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(5);
    harness_fill(harness, 10, T0, 20);
    struct simulated_disk *disk = &harness->environment->disk;
    disk->settings.capacity_bytes = simulated_disk_used_bytes(disk);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).part_count, 0);
    assert_true(harness_statistics(harness).job_failures_total > 0);
    harness_expect_fill(harness, 10, T0, 20);
    disk->settings.capacity_bytes = UINT64_MAX;
    simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(10000000000));
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).part_count, 1);
    harness_expect_fill(harness, 10, T0, 20);
    harness_destroy(harness);
}

static void a_freeze_that_was_not_proposed_is_asked_for_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(6);
    harness_fill(harness, 3, T0, 2);
    harness->refuse_proposals = true;
    harness_freeze(harness);
    harness->refuse_proposals = false;
    assert_int_equal(harness_statistics(harness).part_count, 0);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).part_count, 1);
    harness_destroy(harness);
}

static void a_closed_shard_releases_jobs_and_queries_under_way(void **state)
{
    (void)state;
    struct harness *harness = harness_create(7);
    harness_fill(harness, 10, T0, 20);
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct error error;
    assert_int_equal(matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("test"), &matcher, &error),
                     ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = TEXT("anonymous"),
                                     .matchers = matchers,
                                     .matcher_count = 1,
                                     .start_ms = T0,
                                     .end_ms = T0 + WINDOW_MS,
                                     .arena = arena};
    struct series_set *set;
    assert_int_equal(series_source_select(shard_source(harness->shard), &request, &set, &error),
                     ERROR_NONE);
    assert_int_equal(set->count, 10);
    shard_freeze(harness->shard); /* applied here, its job still out when the shard closes */
    assert_int_equal(shard_apply(harness->shard, harness->log[harness->applied_count].index,
                                 harness->log[harness->applied_count].bytes,
                                 harness->log[harness->applied_count].size_bytes, &error),
                     ERROR_NONE);
    harness_close(harness);
    struct series_reader *reader;
    struct sample_columns columns;
    assert_int_equal(series_reader_open(set, &reader, &error), ERROR_NONE);
    assert_int_equal(series_reader_read(reader, 4, &columns, &error), ERROR_NONE);
    assert_int_equal(columns.count, 20);
    series_reader_close(reader);
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* --- Merges ------------------------------------------------------------------------------------
 */

static void finished_windows_become_blocks(void **state)
{
    (void)state;
    struct harness *harness = harness_create(10);
    harness_fill(harness, 10, T0, 150); /* into the next window */
    harness_freeze(harness);
    harness_set_time(harness, T0 + WINDOW_MS + 30 * 60000);
    harness_maintain(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.merges_total, 1);
    assert_int_equal(statistics.block_count, 1);
    assert_int_equal(statistics.part_count, 1); /* has the rest */
    harness_expect_fill(harness, 10, T0, 150);
    harness_freeze(harness);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_expect_fill(harness, 10, T0, 150);
    harness_destroy(harness);
}

static void a_flush_leaves_blocks_only_and_a_second_one_does_nothing(void **state)
{
    (void)state;
    struct harness *harness = harness_create(11);
    harness_fill(harness, 10, T0, 150);
    harness_flush(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.part_count, 0);
    assert_int_equal(statistics.block_count, 2);
    size_t entries = harness->log_count;
    harness_flush(harness);
    assert_int_equal(harness->log_count, entries);
    harness_expect_fill(harness, 10, T0, 150);
    harness_restart(harness);
    harness_expect_fill(harness, 10, T0, 150);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    harness_destroy(harness);
}

/* A restart between the decision of a merge and its end: before, the merge was forgotten. */
static void a_merge_goes_on_after_a_restart_behind_a_freeze(void **state)
{
    (void)state;
    struct harness *harness = harness_create(12);
    struct error error;
    harness_fill(harness, 10, T0, 150);
    harness_freeze(harness);
    harness_set_time(harness, T0 + WINDOW_MS + 30 * 60000);
    shard_maintain(harness->shard); /* proposes the merge */
    harness_fill(harness, 2, T0 + 150 * 60000, 1);
    assert_int_equal(harness_statistics(harness).block_count, 1);

    /* The same log with a snapshot between start and end of the merge. */
    struct harness *other = harness_create(13);
    other->refuse_proposals = true;
    for (size_t i = 0; i < harness->log_count; i++) {
        const struct harness_entry *entry = &harness->log[i];
        struct byte_reader reader = byte_reader_over(entry->bytes, entry->size_bytes);
        struct entry_header header;
        assert_int_equal(entry_decode_header(&reader, &header, &error), ERROR_NONE);
        if (header.kind == ENTRY_MERGE_DONE) {
            struct byte_buffer freeze = {0};
            entry_encode_header(&freeze, ENTRY_FREEZE, header.stamp_ms);
            assert_int_equal(
                shard_apply(other->shard, entry->index - 1, freeze.bytes, freeze.size, &error),
                ERROR_NONE);
            byte_buffer_clear(&freeze);
            while (other->environment->scheduler.jobs_running > 0)
                simulated_scheduler_step(&other->environment->scheduler);
            assert_int_equal(other->snapshot_index, entry->index - 1);
            harness_close(other);
            assert_int_equal(harness_open(other, &error), ERROR_NONE);
        }
        enum error_code code;
        while ((code = shard_apply(other->shard, entry->index, entry->bytes, entry->size_bytes,
                                   &error)) == ERROR_UNAVAILABLE)
            simulated_scheduler_step(&other->environment->scheduler);
        assert_int_equal(code, ERROR_NONE);
    }
    assert_int_equal(harness_statistics(other).block_count, 1);
    harness_expect_fill(other, 10, T0, 150);
    harness_destroy(harness);
    harness_destroy(other);
}

static void a_replay_finds_the_blocks_of_the_life_before(void **state)
{
    (void)state;
    struct harness *harness = harness_create(14);
    harness_fill(harness, 10, T0, 150);
    harness_freeze(harness);
    harness_set_time(harness, T0 + WINDOW_MS + 30 * 60000);
    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_restart(harness); /* replays start and end of the merge */
    assert_int_equal(harness_statistics(harness).block_count, 1);
    assert_int_equal(harness_statistics(harness).merges_total, 1);
    harness_expect_fill(harness, 10, T0, 150);
    harness_destroy(harness);
}

static void a_replayed_merge_whose_blocks_are_gone_makes_them_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(15);
    harness_fill(harness, 10, T0, 150);
    harness_freeze(harness);
    harness_set_time(harness, T0 + WINDOW_MS + 30 * 60000);
    harness_maintain(harness);
    struct error error;
    uint64_t size;
    const char *path =
        simulated_disk_choose(&harness->environment->disk, "shards/0007/blocks/", &size);
    assert_non_null(path);
    char copy[DISK_PATH_MAX + 1];
    snprintf(copy, sizeof copy, "%s", path);
    harness_close(harness);
    assert_int_equal(disk_remove(harness->environment->base.disk, copy, &error), ERROR_NONE);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_expect_fill(harness, 10, T0, 150);
    harness_destroy(harness);
}

/* --- Late samples ------------------------------------------------------------------------------
 */

static void late_samples_are_read_in_order_from_head_parts_and_blocks(void **state)
{
    (void)state;
    struct harness *harness = harness_create(20);
    struct arena *arena = arena_create(0);
    harness_fill(harness, 2, T0 + 60 * 60000, 30);
    harness_fill(harness, 2, T0 + 30 * 60000, 30); /* late */
    assert_int_equal(harness_statistics(harness).samples_late, 60);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).part_count, 1);
    harness_fill(harness, 2, T0, 30); /* older than all, in order for the new head */
    for (int round = 0; round < 3; round++) {
        struct harness_answer *answer = malloc(sizeof *answer);
        harness_read(harness, 1, T0, T0 + WINDOW_MS, SERIES_NEED_ALL, answer);
        assert_int_equal(answer->count, 90);
        for (size_t i = 1; i < answer->count; i++)
            assert_true(answer->timestamps_ms[i - 1] < answer->timestamps_ms[i]);
        free(answer);
        if (round == 0)
            harness_flush(harness);
        else
            harness_restart(harness);
    }
    arena_destroy(arena);
    harness_destroy(harness);
}

static void a_retried_write_changes_nothing_wherever_its_samples_are(void **state)
{
    (void)state;
    struct harness *harness = harness_create(21);
    harness_fill(harness, 4, T0, 20);
    harness_fill(harness, 4, T0, 20);
    harness_freeze(harness);
    harness_fill(harness, 4, T0, 20);
    harness_flush(harness);
    harness_fill(harness, 4, T0, 20);
    harness_expect_fill(harness, 4, T0, 20);
    harness_flush(harness);
    harness_expect_fill(harness, 4, T0, 20);
    assert_int_equal(harness_statistics(harness).series_count, 4);
    harness_destroy(harness);
}

/* --- Deletion ----------------------------------------------------------------------------------
 */

static void deleted_samples_stay_deleted_and_later_writes_stay(void **state)
{
    (void)state;
    struct harness *harness = harness_create(30);
    struct arena *arena = arena_create(0);
    harness_fill(harness, 3, T0, 30);
    harness_freeze(harness);
    harness_fill(harness, 3, T0 + 30 * 60000, 30);
    harness_delete(harness, 1, T0 + 10 * 60000, T0 + 49 * 60000);
    assert_int_equal(harness_count(harness, 1), 20);
    assert_int_equal(harness_count(harness, 2), 60);
    struct harness_sample again = {1, T0 + 15 * 60000, 42};
    harness_write(harness, arena, &again, 1);
    for (int round = 0; round < 5; round++) {
        assert_int_equal(harness_count(harness, 1), 21);
        assert_int_equal(harness_count(harness, 0), 60);
        if (round == 0)
            harness_freeze(harness);
        else if (round == 1)
            harness_restart(harness);
        else if (round == 2)
            harness_flush(harness);
        else
            harness_restart(harness);
    }
    arena_destroy(arena);
    harness_destroy(harness);
}

/* The disk is full when the first freeze is to be written, and the end comes. */
static void a_freeze_of_a_replay_is_written_at_its_end(void **state)
{
    (void)state;
    struct harness *harness = harness_create(32);
    struct simulated_disk *disk = &harness->environment->disk;
    struct error error;
    harness_fill(harness, 3, T0, 30);
    disk->settings.capacity_bytes = simulated_disk_used_bytes(disk);
    harness_freeze(harness);
    disk->settings.capacity_bytes = UINT64_MAX;
    harness_close(harness);
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_replay_begin(harness->shard);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).frozen_head_count, 1);
    harness_expect_fill(harness, 3, T0, 30);
    shard_replay_end(harness->shard);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).frozen_head_count, 0);
    harness_expect_fill(harness, 3, T0, 30);
    harness_destroy(harness);
}

/* Between the freeze and its parts the samples are in memory still. */
static void a_deletion_covers_a_frozen_head(void **state)
{
    (void)state;
    struct harness *harness = harness_create(31);
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_fill(harness, 3, T0, 30);
    struct simulated_disk *disk = &harness->environment->disk;
    disk->settings.capacity_bytes = simulated_disk_used_bytes(disk);
    harness_delete(harness, 1, INT64_MIN, INT64_MAX);
    assert_int_equal(harness_statistics(harness).frozen_head_count, 1);
    assert_int_equal(harness_count(harness, 1), 0);
    harness_read(harness, 1, T0, T0 + WINDOW_MS, SERIES_NEED_LATEST, answer);
    assert_int_equal(answer->count, 0);
    harness_read(harness, 1, T0, T0 + WINDOW_MS, SERIES_NEED_LABELS, answer);
    assert_int_equal(answer->series_count, 0);
    assert_int_equal(harness_count(harness, 2), 30);
    disk->settings.capacity_bytes = UINT64_MAX;
    simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(10000000000));
    harness_run(harness);
    assert_int_equal(harness_count(harness, 1), 0);
    free(answer);
    harness_destroy(harness);
}

/* --- Retention ---------------------------------------------------------------------------------
 */

static void retention_deletes_what_lies_before_it_as_a_whole(void **state)
{
    (void)state;
    struct harness *harness = harness_create(40);
    harness_fill(harness, 3, T0, 300);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 3);
    shard_retain_from(harness->shard, T0 + WINDOW_MS + 1);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    assert_int_equal(harness_count(harness, 0), 180);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), 180);
    harness_freeze(harness);
    size_t files = 0;
    struct error error;
    harness_restart(harness);
    struct file *file;
    for (unsigned number = 0; number < 3; number++) {
        char path[DISK_PATH_MAX];
        for (uint64_t index = 0; index <= harness->last_index; index++) {
            snprintf(path, sizeof path, "shards/0007/blocks/%016llx-%u.block",
                     (unsigned long long)index, number);
            if (disk_open(harness->environment->base.disk, path, DISK_OPEN_READ, &file, &error) ==
                ERROR_NONE) {
                files++;
                disk_close(harness->environment->base.disk, file);
            }
        }
    }
    assert_int_equal(files, 2);
    harness_destroy(harness);
}

/* What retention by size goes by: an old sample in a file that ends late keeps nothing else. */
static void statistics_say_at_which_cutoff_the_next_file_goes(void **state)
{
    (void)state;
    struct harness *harness = harness_create(40);
    assert_int_equal(harness_statistics(harness).first_cutoff_ms, INT64_MAX);
    harness_fill(harness, 3, T0, 300);
    harness_flush(harness);
    for (size_t left = 3; left > 0; left--) {
        int64_t cutoff_ms = harness_statistics(harness).first_cutoff_ms;
        assert_int_equal(harness_statistics(harness).block_count, left);
        shard_retain_from(harness->shard, cutoff_ms - 1);
        harness_run(harness);
        assert_int_equal(harness_statistics(harness).block_count, left);
        shard_retain_from(harness->shard, cutoff_ms);
        harness_run(harness);
        assert_int_equal(harness_statistics(harness).block_count, left - 1);
    }
    harness_destroy(harness);
}

static void retention_by_age_follows_the_newest_sample_not_a_clock_that_jumped(void **state)
{
    (void)state;
    struct harness *harness = harness_create(41);
    harness_close(harness);
    harness->options.retention_ms = 24 * HOUR_MS;
    struct error error;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    harness_fill(harness, 2, T0, 30);
    harness_flush(harness);
    const int64_t jumped_ms = T0 + 1000 * INT64_C(24) * HOUR_MS;
    harness_set_time(harness, jumped_ms);
    harness_maintain(harness);
    assert_int_equal(harness_count(harness, 0), 30);
    /* Somebody with the same clock writes. */
    harness_fill(harness, 2, jumped_ms, 3);
    harness_flush(harness);
    harness_maintain(harness);
    assert_int_equal(harness_count(harness, 0), 33);
    /* Who has the right one can still write. */
    harness_fill(harness, 2, T0 + 30 * 60000, 30);
    assert_int_equal(harness_count(harness, 0), 63);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_freeze_moves_samples_to_files_and_changes_no_answer),
        cmocka_unit_test(a_restart_without_snapshot_replays_the_log),
        cmocka_unit_test(a_restart_restores_files_and_replays_what_is_behind),
        cmocka_unit_test(known_series_keep_their_id_over_freeze_and_restart),
        cmocka_unit_test(a_freeze_that_finds_no_room_is_tried_again),
        cmocka_unit_test(a_freeze_that_was_not_proposed_is_asked_for_again),
        cmocka_unit_test(a_closed_shard_releases_jobs_and_queries_under_way),
        cmocka_unit_test(finished_windows_become_blocks),
        cmocka_unit_test(a_flush_leaves_blocks_only_and_a_second_one_does_nothing),
        cmocka_unit_test(a_merge_goes_on_after_a_restart_behind_a_freeze),
        cmocka_unit_test(a_replay_finds_the_blocks_of_the_life_before),
        cmocka_unit_test(a_replayed_merge_whose_blocks_are_gone_makes_them_again),
        cmocka_unit_test(late_samples_are_read_in_order_from_head_parts_and_blocks),
        cmocka_unit_test(a_retried_write_changes_nothing_wherever_its_samples_are),
        cmocka_unit_test(deleted_samples_stay_deleted_and_later_writes_stay),
        cmocka_unit_test(a_freeze_of_a_replay_is_written_at_its_end),
        cmocka_unit_test(a_deletion_covers_a_frozen_head),
        cmocka_unit_test(retention_deletes_what_lies_before_it_as_a_whole),
        cmocka_unit_test(statistics_say_at_which_cutoff_the_next_file_goes),
        cmocka_unit_test(retention_by_age_follows_the_newest_sample_not_a_clock_that_jumped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
