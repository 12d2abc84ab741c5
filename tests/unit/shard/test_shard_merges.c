/* Which parts and blocks become one: late samples, longer blocks, deletions. */
#include "block/block_reader.h"
#include "merge_plan.h"
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;

#define DAY_MS (24 * HOUR_MS)
#define LONG_AGO_MS                                                                                \
    (T0 / (48 * HOUR_MS) * (48 * HOUR_MS)) /* where windows of all lengths begin                   \
                                            */

static void write_one(struct harness *harness, unsigned series, int64_t timestamp_ms, double value)
{
    struct arena *arena = arena_create(0);
    struct harness_sample sample = {series, timestamp_ms, value};
    harness_write(harness, arena, &sample, 1);
    arena_destroy(arena);
}

static void maintain_after(struct harness *harness, int64_t later_ms)
{
    harness_set_time(harness, clock_now_ms(harness->environment->base.clock) + later_ms);
    harness_maintain(harness);
}

/* --- Late samples --------------------------------------------------------------------------- */

static void one_old_sample_among_new_ones_touches_no_block_until_its_day_is_over(void **state)
{
    (void)state;
    struct harness *harness = harness_create(60);
    harness_set_time(harness, LONG_AGO_MS + 3 * HOUR_MS);
    harness_fill(harness, 10, LONG_AGO_MS, 100);
    harness_flush(harness);
    uint64_t bytes = harness_statistics(harness).block_bytes;
    int64_t today_ms = LONG_AGO_MS + 2 * DAY_MS;
    harness_set_time(harness, today_ms + 30 * 60000);
    harness_fill(harness, 10, today_ms, 30);
    write_one(harness, 3, LONG_AGO_MS + 30500, 7);
    harness_freeze(harness);
    assert_int_equal(harness_statistics(harness).part_count, 2);

    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).merges_total, 1); /* of the flush */
    maintain_after(harness, 2 * HOUR_MS);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.part_count, 0);
    assert_int_equal(statistics.block_count, 3); /* the old one, its overlay, the new one */
    assert_true(statistics.block_bytes > bytes);
    assert_int_equal(harness_count(harness, 3), 131);

    maintain_after(harness, 25 * HOUR_MS);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    assert_int_equal(harness_count(harness, 3), 131);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    assert_int_equal(harness_count(harness, 3), 131);
    harness_destroy(harness);
}

static void late_samples_that_are_a_tenth_of_their_block_enter_it(void **state)
{
    (void)state;
    struct harness *harness = harness_create(61);
    harness_set_time(harness, LONG_AGO_MS + DAY_MS);
    harness_fill(harness, 4, LONG_AGO_MS, 100);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_fill(harness, 4, LONG_AGO_MS + 100 * 60000, 12);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_expect_fill(harness, 4, LONG_AGO_MS, 100);
    assert_int_equal(harness_count(harness, 0), 112);
    write_one(harness, 2, LONG_AGO_MS + 500, 1);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    harness_destroy(harness);
}

static void late_samples_wait_when_the_merges_are_behind(void **state)
{
    (void)state;
    struct harness *harness = harness_create(62);
    struct arena *arena = arena_create(0);
    struct byte_buffer entry = {0};
    struct error error;
    bool added;
    harness_set_time(harness, LONG_AGO_MS + 10 * DAY_MS);
    harness_fill(harness, 1, LONG_AGO_MS, 110);
    harness->shard->late_is_full = true;
    struct harness_sample late = {0, LONG_AGO_MS + 50, 1};
    struct harness_sample current = {0, LONG_AGO_MS + 10 * DAY_MS, 1};
    struct shard_write write = harness_request(arena, &late, 1);
    harness_resolve(harness, &write);
    shard_prepare_begin(harness->shard, &entry);
    assert_int_equal(shard_prepare_write(harness->shard, &write, &entry, &added, &error),
                     ERROR_UNAVAILABLE);
    assert_int_equal(harness_statistics(harness).late_refused_total, 1);
    write = harness_request(arena, &current, 1);
    harness_resolve(harness, &write);
    assert_int_equal(shard_prepare_write(harness->shard, &write, &entry, &added, &error),
                     ERROR_NONE);
    shard_prepare_cancel(harness->shard);
    shard_maintain(harness->shard); /* looks again */
    write_one(harness, 0, LONG_AGO_MS + 50, 1);
    assert_int_equal(harness_count(harness, 0), 111);
    byte_buffer_clear(&entry);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void more_than_eight_overlays_in_one_window_are_too_many(void **state)
{
    (void)state;
    struct shard_block blocks[20] = {0};
    struct shard shard = {.blocks = blocks};
    for (size_t i = 0; i < 20; i++)
        blocks[i].described = (struct manifest_block){
            .index = i + 1,
            .window_start_ms = i < 10 ? (int64_t)i * WINDOW_MS : 0,
            .window_end_ms = (i < 10 ? (int64_t)i + 1 : 1) * WINDOW_MS,
        };
    shard.block_count = 18; /* eight beside the first */
    assert_false(merge_late_is_full(&shard));
    shard.block_count = 19;
    assert_true(merge_late_is_full(&shard));
}

static void a_merge_that_finds_no_room_waits_and_is_tried_again(void **state)
{
    (void)state;
    struct harness *harness = harness_create(66);
    struct simulated_disk *disk = &harness->environment->disk;
    harness_fill(harness, 10, T0, 120);
    harness_freeze(harness);
    disk->settings.capacity_bytes = simulated_disk_used_bytes(disk);
    harness_set_time(harness, T0 + WINDOW_MS + HOUR_MS);
    harness_maintain(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.block_count, 0);
    assert_true(statistics.merge_failures_total > 0);
    assert_int_equal(statistics.merges_waiting, 1);
    assert_int_equal(statistics.merges_running, 0);
    disk->settings.capacity_bytes = UINT64_MAX;
    simulated_scheduler_run_for(&harness->environment->scheduler, UINT64_C(10000000000));
    harness_run(harness);
    statistics = harness_statistics(harness);
    assert_int_equal(statistics.block_count, 1);
    assert_int_equal(statistics.merges_waiting, 0);
    assert_int_equal(statistics.merges_running, 0);
    assert_int_equal(statistics.samples_merged_total, 10 * 120);
    harness_expect_fill(harness, 10, T0, 120);
    harness_destroy(harness);
}

/* A follower dies between the renaming of a block and the sync of its folder, and hears after its
 * next start that the merge is done: it takes the block that it finds. What is frozen then names
 * it, and outlives a loss of power. */
static void find_a_block_and_lose_power(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    struct simulated_disk *disk = &harness->environment->disk;
    harness_fill(harness, 10, T0, 120);
    harness_freeze(harness);
    disk->settings.ignore_sync_directory_of = "blocks";
    harness_set_time(harness, T0 + WINDOW_MS + HOUR_MS);
    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    disk->settings.ignore_sync_directory_of = NULL;
    write_one(harness, 1, T0 + WINDOW_MS + HOUR_MS, 5);
    harness_freeze(harness);
    harness_close(harness);
    simulated_disk_crash(disk, SIMULATED_POWER_FAILURE);
    simulated_disk_restart(disk);
    harness_start(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    assert_int_equal(harness_statistics(harness).damaged_files, 0);
    assert_int_equal(harness_count(harness, 2), 120);
    harness_destroy(harness);
}

static void a_block_of_an_earlier_life_is_durable_with_the_next_freeze(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) /* a loss of power spares some names */
        find_a_block_and_lose_power(seed);
}

/* --- Longer blocks -------------------------------------------------------------------------- */

/* Minutes of a day of which the first twelve hours are not merged into one block at once: the last
 * of them are still being frozen, as far as who merges can tell. */
enum { TWELVE_HOURS_ALMOST_OVER = 12 * 60 + 10 };

static void quiet_windows_become_longer_blocks_with_the_same_content(void **state)
{
    (void)state;
    struct harness *harness = harness_create(63);
    const size_t minutes = TWELVE_HOURS_ALMOST_OVER;
    harness_set_time(harness, LONG_AGO_MS + (int64_t)minutes * 60000);
    harness_fill(harness, 3, LONG_AGO_MS, minutes);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 7);
    harness_maintain(harness); /* not quiet yet */
    assert_int_equal(harness_statistics(harness).block_count, 7);
    maintain_after(harness, HOUR_MS);
    assert_int_equal(harness_statistics(harness).block_count, 2);
    harness_expect_fill(harness, 3, LONG_AGO_MS, minutes);
    write_one(harness, 1, LONG_AGO_MS + 500, 5); /* late, for a window of twelve hours */
    maintain_after(harness, 40 * HOUR_MS);
    harness_freeze(harness);
    maintain_after(harness, 2 * HOUR_MS);
    assert_int_equal(harness_statistics(harness).part_count, 0);
    assert_int_equal(harness_count(harness, 1), minutes + 1);
    maintain_after(harness, 26 * HOUR_MS);
    assert_int_equal(harness_statistics(harness).block_count, 1); /* of forty-eight hours */
    assert_int_equal(harness_count(harness, 1), minutes + 1);
    harness_expect_fill(harness, 1, LONG_AGO_MS, minutes);
    harness_freeze(harness);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).block_count, 1);
    harness_expect_fill(harness, 1, LONG_AGO_MS, minutes);
    harness_destroy(harness);
}

static void parts_of_long_ago_become_long_blocks_at_once(void **state)
{
    (void)state;
    struct harness *harness = harness_create(67);
    const size_t minutes = 63 * 60;
    harness_set_time(harness, LONG_AGO_MS + 63 * HOUR_MS);
    harness_fill(harness, 2, LONG_AGO_MS, minutes);
    harness_flush(harness);
    /* Forty-eight hours, twelve, and two of those that are under way. */
    assert_int_equal(harness_statistics(harness).block_count, 4);
    const struct manifest_block *first = &harness->shard->blocks[0].described;
    assert_true(first->window_end_ms - first->window_start_ms == 48 * HOUR_MS);
    harness_expect_fill(harness, 2, LONG_AGO_MS, minutes);

    /* Beside blocks there are overlays of two hours, as ever. */
    write_one(harness, 1, LONG_AGO_MS + 30 * HOUR_MS + 500, 5);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_count, 5);
    assert_int_equal(harness_count(harness, 1), minutes + 1);

    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).block_count, 5);
    harness_expect_fill(harness, 1, LONG_AGO_MS, minutes);
    harness_destroy(harness);
}

enum copying { COPIED, ENCODED_ANEW };

/* Twelve hours and some of three series, as a block of twelve and one of two. A deletion of nothing
 * has merges decode what they read. */
static struct harness *make_long_block(enum copying copying)
{
    struct harness *harness = harness_create(65);
    harness_set_time(harness, LONG_AGO_MS + TWELVE_HOURS_ALMOST_OVER * INT64_C(60000));
    harness_fill(harness, 3, LONG_AGO_MS, TWELVE_HOURS_ALMOST_OVER);
    harness_freeze(harness);
    for (int level = 0; level < 2; level++) {
        for (unsigned series = 0; copying == ENCODED_ANEW && series < 3; series++)
            harness_delete(harness, series, LONG_AGO_MS + 1, LONG_AGO_MS + 2);
        if (level == 0)
            harness_flush(harness);
        else
            maintain_after(harness, HOUR_MS);
    }
    assert_int_equal(harness_statistics(harness).block_count, 2);
    return harness;
}

static struct block_reader *read_block(struct harness *harness, size_t number)
{
    struct block_reader *reader;
    struct error error;
    assert_int_equal(block_reader_create(harness->shard->blocks[number].block, &reader, &error),
                     ERROR_NONE);
    return reader;
}

static void expect_equal_chunks(struct block_reader *left, struct block_reader *right,
                                uint32_t position)
{
    struct encoded_series a, b;
    struct error error;
    assert_int_equal(block_reader_read_encoded(left, position, &a, &error), ERROR_NONE);
    assert_int_equal(block_reader_read_encoded(right, position, &b, &error), ERROR_NONE);
    assert_int_equal(a.sample_count, b.sample_count);
    assert_int_equal(a.chunk_count, b.chunk_count);
    assert_memory_equal(a.timestamps_ms, b.timestamps_ms, a.sample_count * sizeof(int64_t));
    for (size_t i = 0; i < a.chunk_count; i++) {
        assert_int_equal(a.chunks[i].sample_count, b.chunks[i].sample_count);
        assert_int_equal(a.chunks[i].size_bytes, b.chunks[i].size_bytes);
        assert_memory_equal(a.chunks[i].bytes, b.chunks[i].bytes, a.chunks[i].size_bytes);
    }
}

static void chunks_that_are_copied_are_those_that_encoding_anew_gives(void **state)
{
    (void)state;
    struct harness *copied = make_long_block(COPIED), *anew = make_long_block(ENCODED_ANEW);
    for (size_t i = 0; i < 2; i++) {
        const struct manifest_block *left = &copied->shard->blocks[i].described;
        const struct manifest_block *right = &anew->shard->blocks[i].described;
        assert_int_equal(left->window_end_ms - left->window_start_ms,
                         right->window_end_ms - right->window_start_ms);
        assert_int_equal(left->summary.size_bytes, right->summary.size_bytes);
        assert_true(hash128_equal(left->summary.content_checksum, right->summary.content_checksum));
        struct block_reader *readers[2] = {read_block(copied, i), read_block(anew, i)};
        for (uint32_t position = 0; position < left->summary.series_count; position++)
            expect_equal_chunks(readers[0], readers[1], position);
        block_reader_destroy(readers[0]);
        block_reader_destroy(readers[1]);
    }
    harness_destroy(copied);
    harness_destroy(anew);
}

static void blocks_stay_short_against_the_retention(void **state)
{
    (void)state;
    struct harness *harness = harness_create(64);
    struct error error;
    harness_close(harness);
    harness->options.retention_ms = 2 * DAY_MS;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    harness_set_time(harness, LONG_AGO_MS + 13 * HOUR_MS);
    harness_fill(harness, 3, LONG_AGO_MS, 13 * 60);
    harness_flush(harness);
    maintain_after(harness, 10 * HOUR_MS);
    assert_int_equal(harness_statistics(harness).block_count, 7);
    harness_destroy(harness);
}

static size_t blocks_planned(uint64_t series_count)
{
    struct shard_block blocks[2] = {0};
    struct shard shard = {.blocks = blocks, .block_count = 2};
    struct merge_plan plan;
    struct error error;
    for (int i = 0; i < 2; i++)
        blocks[i].described = (struct manifest_block){
            .index = (uint64_t)i + 1,
            .window_start_ms = LONG_AGO_MS + i * (int64_t)WINDOW_MS,
            .window_end_ms = LONG_AGO_MS + (i + 1) * (int64_t)WINDOW_MS,
            .summary = {.series_count = series_count, .sample_count = series_count * 480},
        };
    assert_int_equal(merge_plan_make(&shard, MERGE_DUE, LONG_AGO_MS + DAY_MS, &plan, &error),
                     ERROR_NONE);
    size_t count = plan.block_count;
    merge_plan_clear(&plan);
    return count;
}

static void windows_whose_index_would_take_too_much_memory_stay_short(void **state)
{
    (void)state;
    assert_int_equal(blocks_planned(1000), 2);
    assert_int_equal(blocks_planned(3500 * 1000), 2);
    assert_int_equal(blocks_planned(4000 * 1000), 0);
}

/* --- Flush ---------------------------------------------------------------------------------- */

static bool count_file(void *context, const char *name, bool is_directory)
{
    (void)name;
    *(size_t *)context += !is_directory;
    return true;
}

static size_t part_file_count(struct harness *harness)
{
    char path[64];
    struct error error;
    size_t count = 0;
    snprintf(path, sizeof path, "%s/parts", harness->options.directory);
    assert_int_equal(disk_list(harness->environment->base.disk, path, count_file, &count, &error),
                     ERROR_NONE);
    return count;
}

static void a_flush_is_over_when_what_it_merged_is_deleted(void **state)
{
    (void)state;
    struct harness *harness = harness_create(70);
    harness->keep_snapshots_away = true;
    harness_fill(harness, 3, T0, 100);
    struct {
        struct shard_flush flush;
        bool done;
    } request = {.flush = {.done = harness_on_flushed}};
    shard_flush(harness->shard, &request.flush);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).part_count, 0);
    assert_true(part_file_count(harness) > 0); /* the stored snapshot may name them */
    assert_false(request.done);
    harness_snapshot(harness);
    assert_false(request.done);
    harness_run(harness);
    assert_true(request.done);
    assert_int_equal(part_file_count(harness), 0);
    harness_destroy(harness);
}

/* --- Deletions ------------------------------------------------------------------------------ */

static void clean(struct harness *harness)
{
    struct {
        struct shard_flush flush;
        bool done;
    } request = {.flush = {.done = harness_on_flushed, .reach = FLUSH_DELETED}};
    shard_flush(harness->shard, &request.flush);
    harness_run(harness);
    assert_true(request.done);
}

static void cleaning_takes_deleted_samples_out_of_the_blocks(void **state)
{
    (void)state;
    struct harness *harness = harness_create(65);
    harness_fill(harness, 10, T0, 150);
    harness_flush(harness);
    uint64_t bytes = harness_statistics(harness).block_bytes;
    for (unsigned series = 0; series < 9; series++)
        harness_delete(harness, series, T0, T0 + WINDOW_MS - 1);
    assert_int_equal(harness_statistics(harness).tombstone_count, 9);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).block_bytes, bytes);
    clean(harness);
    struct shard_statistics statistics = harness_statistics(harness);
    assert_int_equal(statistics.tombstone_count, 0);
    assert_int_equal(statistics.block_count, 2);
    assert_true(statistics.block_bytes < bytes);
    assert_int_equal(harness_count(harness, 0), 30);
    assert_int_equal(harness_count(harness, 9), 150);
    size_t entries = harness->log_count;
    clean(harness);
    assert_int_equal(harness->log_count, entries);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    assert_int_equal(harness_count(harness, 0), 30);
    harness_destroy(harness);
}

static void a_block_of_which_all_is_deleted_leaves(void **state)
{
    (void)state;
    struct harness *harness = harness_create(66);
    harness_fill(harness, 1, T0, 30);
    harness_flush(harness);
    harness_delete(harness, 0, INT64_MIN, INT64_MAX);
    clean(harness);
    assert_int_equal(harness_statistics(harness).block_count, 0);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    harness_fill(harness, 1, T0, 30);
    assert_int_equal(harness_count(harness, 0), 30);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), 30);
    harness_destroy(harness);
}

static void a_deletion_of_nothing_leaves_no_trace(void **state)
{
    (void)state;
    struct harness *harness = harness_create(67);
    harness_fill(harness, 2, T0, 30);
    harness_delete(harness, 1, 0, 1000);
    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).tombstone_count, 0);
    harness_expect_fill(harness, 2, T0, 30);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_old_sample_among_new_ones_touches_no_block_until_its_day_is_over),
        cmocka_unit_test(late_samples_that_are_a_tenth_of_their_block_enter_it),
        cmocka_unit_test(late_samples_wait_when_the_merges_are_behind),
        cmocka_unit_test(more_than_eight_overlays_in_one_window_are_too_many),
        cmocka_unit_test(a_merge_that_finds_no_room_waits_and_is_tried_again),
        cmocka_unit_test(a_block_of_an_earlier_life_is_durable_with_the_next_freeze),
        cmocka_unit_test(quiet_windows_become_longer_blocks_with_the_same_content),
        cmocka_unit_test(parts_of_long_ago_become_long_blocks_at_once),
        cmocka_unit_test(chunks_that_are_copied_are_those_that_encoding_anew_gives),
        cmocka_unit_test(blocks_stay_short_against_the_retention),
        cmocka_unit_test(a_flush_is_over_when_what_it_merged_is_deleted),
        cmocka_unit_test(windows_whose_index_would_take_too_much_memory_stay_short),
        cmocka_unit_test(cleaning_takes_deleted_samples_out_of_the_blocks),
        cmocka_unit_test(a_block_of_which_all_is_deleted_leaves),
        cmocka_unit_test(a_deletion_of_nothing_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
