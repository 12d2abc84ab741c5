/* What the leader does with a write before it is proposed. */
#include "shard_harness.h"

static const int64_t T0 = HARNESS_START_MS;

static struct harness *opened(const struct shard_options *changes)
{
    struct harness *harness = harness_create(1);
    struct error error;
    harness_close(harness);
    harness->options.future_window_ms = changes->future_window_ms;
    harness->options.retention_ms = changes->retention_ms;
    harness->options.series_max = changes->series_max;
    harness->options.node_series = changes->node_series;
    assert_int_equal(harness_open(harness, &error), ERROR_NONE);
    shard_lead(harness->shard);
    return harness;
}

static void a_sample_that_is_known_is_written_without_an_entry(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct harness_sample sample = {1, T0, 5};
    harness_write(harness, arena, &sample, 1);
    size_t entries = harness->log_count;
    struct shard_write again = harness_write(harness, arena, &sample, 1);
    assert_int_equal(again.floats_written, 1);
    assert_int_equal(harness->log_count, entries);
    harness_freeze(harness);
    harness_write(harness, arena, &sample, 1); /* in a file now: stored again, read once */
    assert_int_equal(harness_count(harness, 1), 1);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* The deletion freezes the head, and what is frozen is in memory until it is written. */
static void a_deleted_sample_is_stored_again_and_no_conflict(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct harness_sample samples[2] = {{1, T0, 5}, {2, T0, 6}};
    harness_write(harness, arena, samples, 2);
    struct simulated_disk *disk = &harness->environment->disk;
    disk->settings.capacity_bytes = simulated_disk_used_bytes(disk);
    harness_delete(harness, 1, T0, T0);
    harness_delete(harness, 2, T0, T0);
    assert_int_equal(harness_statistics(harness).frozen_head_count, 1);
    samples[1].value = 7;
    struct shard_write again = harness_write(harness, arena, samples, 2);
    assert_int_equal(again.floats_written, 2);
    assert_int_equal(again.refusal_count, 0);
    assert_int_equal(harness_count(harness, 1), 1);
    assert_int_equal(harness_count(harness, 2), 1);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void another_value_for_the_newest_time_is_a_conflict(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct harness_sample first = {1, T0, 5}, second = {1, T0, 6};
    harness_write(harness, arena, &first, 1);
    struct shard_write refused = harness_write(harness, arena, &second, 1);
    assert_int_equal(refused.floats_written, 0);
    assert_int_equal(refused.refused_counts[SHARD_REFUSED_CONFLICT], 1);
    assert_int_equal(refused.refusal_count, 1);
    assert_int_equal(refused.refusals[0].timestamp_ms, T0);
    assert_int_equal(harness_count(harness, 1), 1);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void samples_out_of_bounds_are_refused_one_by_one(void **state)
{
    (void)state;
    struct shard_options changes = {.future_window_ms = 600000, .retention_ms = 24 * HOUR_MS};
    struct harness *harness = opened(&changes);
    struct arena *arena = arena_create(0);
    harness_set_time(harness, T0);
    struct harness_sample samples[] = {{1, T0 + 600000, 1},
                                       {2, T0 + 601000, 1},
                                       {3, T0 - 25 * (int64_t)HOUR_MS, 1},
                                       {4, T0 - 23 * (int64_t)HOUR_MS, 1}};
    struct shard_write write = harness_write(harness, arena, samples, 4);
    assert_int_equal(write.floats_written, 2);
    assert_int_equal(write.refused_counts[SHARD_REFUSED_FUTURE], 1);
    assert_int_equal(write.refused_counts[SHARD_REFUSED_TOO_OLD], 1);
    assert_int_equal(harness_count(harness, 1) + harness_count(harness, 4), 2);
    assert_int_equal(harness_count(harness, 2) + harness_count(harness, 3), 0);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void series_beyond_the_limit_are_refused_and_known_ones_stored(void **state)
{
    (void)state;
    struct shard_options changes = {.future_window_ms = HOUR_MS, .series_max = 3};
    struct harness *harness = opened(&changes);
    struct arena *arena = arena_create(0);
    struct harness_sample samples[] = {{0, T0, 1}, {1, T0, 1}, {2, T0, 1}, {3, T0, 1}};
    struct shard_write write = harness_write(harness, arena, samples, 4);
    assert_int_equal(write.floats_written, 3);
    assert_int_equal(write.refused_counts[SHARD_REFUSED_SERIES_LIMIT], 1);
    struct harness_sample more[] = {{0, T0 + 1, 1}, {3, T0 + 1, 1}};
    write = harness_write(harness, arena, more, 2);
    assert_int_equal(write.floats_written, 1);
    assert_int_equal(harness_statistics(harness).series_count, 3);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void the_limit_counts_the_series_of_all_shards_of_the_node(void **state)
{
    (void)state;
    _Atomic uint64_t series = 5; /* of the others */
    struct shard_options changes = {
        .future_window_ms = HOUR_MS, .series_max = 7, .node_series = &series};
    struct harness *harness = opened(&changes);
    struct arena *arena = arena_create(0);
    struct harness_sample samples[] = {{0, T0, 1}, {1, T0, 1}, {2, T0, 1}};
    struct shard_write write = harness_write(harness, arena, samples, 3);
    assert_int_equal(write.floats_written, 2);
    assert_int_equal(write.refused_counts[SHARD_REFUSED_SERIES_LIMIT], 1);
    assert_int_equal(series, 7);
    series--; /* one of the others is forgotten */
    write = harness_write(harness, arena, &samples[2], 1);
    assert_int_equal(write.floats_written, 1);
    assert_int_equal(series, 7);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void entries_in_flight_share_the_ids_of_new_series(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct harness_sample first[] = {{1, T0, 1}, {2, T0, 1}};
    struct harness_sample second[] = {{2, T0 + 1000, 2}, {3, T0 + 1000, 2}};
    struct shard_write writes[] = {harness_request(arena, first, 2),
                                   harness_request(arena, second, 2)};
    harness_propose_write(harness, &writes[0]);
    harness_propose_write(harness, &writes[1]); /* the first is not applied yet */
    assert_int_equal(writes[0].new_series[1].id, writes[1].new_series[0].id);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_count, 3);
    assert_int_equal(harness_count(harness, 2), 2);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* The proposal failed: the ids it took are given to the next one, and the log fits together. */
static void a_canceled_entry_leaves_no_gap_in_the_ids(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct byte_buffer entry = {0};
    struct error error;
    bool added;
    struct harness_sample first = {1, T0, 1}, second = {2, T0, 1}, third = {3, T0, 1};
    struct shard_write in_flight = harness_request(arena, &first, 1);
    harness_propose_write(harness, &in_flight);
    struct shard_write canceled = harness_request(arena, &second, 1);
    shard_prepare_begin(harness->shard, &entry);
    assert_int_equal(shard_prepare_write(harness->shard, &canceled, &entry, &added, &error),
                     ERROR_NONE);
    shard_prepare_cancel(harness->shard);
    byte_buffer_clear(&entry);
    struct shard_write after = harness_request(arena, &third, 1);
    harness_propose_write(harness, &after);
    assert_int_equal(after.new_series[0].id, canceled.new_series[0].id);
    harness_run(harness);
    assert_int_equal(harness_count(harness, 1), 1);
    assert_int_equal(harness_count(harness, 2), 0);
    assert_int_equal(harness_count(harness, 3), 1);
    harness_write(harness, arena, &second, 1);
    assert_int_equal(harness_count(harness, 2), 1);
    arena_destroy(arena);
    byte_buffer_clear(&entry);
    harness_destroy(harness);
}

static void an_entry_that_assumes_another_id_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct byte_buffer entry = {0};
    struct error error;
    struct entry_series series = {1, harness_labels(arena, 1)};
    struct entry_part part = {.tenant = TEXT("anonymous"), .series = &series, .series_count = 1};
    entry_encode_write(&entry, T0, 99);
    entry_encode_part(&entry, &part);
    assert_int_equal(shard_apply(harness->shard, 5, entry.bytes, entry.size, &error),
                     ERROR_CONFLICT);
    assert_int_equal(harness_statistics(harness).series_count, 0);
    assert_int_equal(harness_statistics(harness).applied_index, 5);
    byte_buffer_clear(&entry);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* A retried write across a change of leaders brings series that are there. */
static void series_that_are_there_keep_their_id_and_get_the_samples(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct byte_buffer entry = {0};
    struct harness_sample known = {2, T0, 1};
    struct error error;
    harness_write(harness, arena, &known, 1); /* id 1 */
    struct entry_series series[] = {{1, harness_labels(arena, 1)},
                                    {1, harness_labels(arena, 2)},
                                    {1, harness_labels(arena, 3)}};
    const uint64_t ids[] = {2, 3, 4};
    const int64_t times[] = {T0 + 1, T0 + 1, T0 + 1};
    const double values[] = {10, 20, 30};
    struct entry_part part = {.tenant = TEXT("anonymous"),
                              .series = series,
                              .series_count = 3,
                              .ids = ids,
                              .timestamps_ms = times,
                              .values = values,
                              .float_count = 3};
    entry_encode_write(&entry, T0, 2);
    entry_encode_part(&entry, &part);
    assert_int_equal(shard_apply(harness->shard, 50, entry.bytes, entry.size, &error), ERROR_NONE);
    struct harness_answer *answer = malloc(sizeof *answer);
    assert_non_null(answer);
    for (unsigned k = 1; k <= 3; k++) {
        harness_read(harness, k, T0 + 1, T0 + 1, SERIES_NEED_ALL, answer);
        assert_int_equal(answer->count, 1);
        assert_true(answer->values[0] == 10 * k);
    }
    assert_int_equal(harness_statistics(harness).series_count, 3);
    free(answer);
    byte_buffer_clear(&entry);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void an_unknown_id_is_told_to_the_sender(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    struct arena *arena = arena_create(0);
    struct harness_sample sample = {1, T0, 1};
    harness_write(harness, arena, &sample, 1);
    struct shard_write write = harness_request(arena, &sample, 1);
    write.new_series_count = 0;
    write.ids[0] = 0; /* ids begin at 1 */
    write.origins[0] = 17;
    harness_propose_write(harness, &write);
    assert_int_equal(write.stale_count, 1);
    assert_int_equal(write.stale_origins[0], 17);
    assert_int_equal(write.floats_written, 0);
    arena_destroy(arena);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_that_is_known_is_written_without_an_entry),
        cmocka_unit_test(a_deleted_sample_is_stored_again_and_no_conflict),
        cmocka_unit_test(another_value_for_the_newest_time_is_a_conflict),
        cmocka_unit_test(samples_out_of_bounds_are_refused_one_by_one),
        cmocka_unit_test(series_beyond_the_limit_are_refused_and_known_ones_stored),
        cmocka_unit_test(the_limit_counts_the_series_of_all_shards_of_the_node),
        cmocka_unit_test(entries_in_flight_share_the_ids_of_new_series),
        cmocka_unit_test(a_canceled_entry_leaves_no_gap_in_the_ids),
        cmocka_unit_test(an_entry_that_assumes_another_id_is_refused_as_a_whole),
        cmocka_unit_test(series_that_are_there_keep_their_id_and_get_the_samples),
        cmocka_unit_test(an_unknown_id_is_told_to_the_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
