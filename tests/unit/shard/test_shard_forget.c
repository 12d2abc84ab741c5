#include "shard_harness.h"
#include "shard_private.h"

static const int64_t T0 = HARNESS_START_MS;
enum { SERIES = 10, GONE = 4 }; /* series [0, GONE) go quiet */

/* A minute of samples of series [from, to). */
static void write_minute(struct harness *harness, unsigned from, unsigned to, int64_t minute)
{
    struct harness_sample samples[HARNESS_NEW_SERIES_MAX];
    struct arena *arena = arena_create(0);
    for (unsigned k = from; k < to; k++)
        samples[k - from] =
            (struct harness_sample){k, T0 + minute * 60000, (double)(k * 1000 + (unsigned)minute)};
    harness_write(harness, arena, samples, to - from);
    arena_destroy(arena);
}

/* The others are written every ten minutes until `minute`, and frozen every half hour. */
static int64_t live_on(struct harness *harness, int64_t from_minute, int64_t minute)
{
    for (; from_minute < minute; from_minute += 10) {
        harness_set_time(harness, T0 + from_minute * 60000);
        write_minute(harness, GONE, SERIES, from_minute);
        if (from_minute % 30 == 0)
            harness_freeze(harness);
        harness_maintain(harness);
    }
    return from_minute;
}

/* All series have ten minutes, then the first ones are quiet for ten hours. */
static struct harness *quiet_shard(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    for (int64_t minute = 0; minute < 10; minute++)
        write_minute(harness, 0, SERIES, minute);
    live_on(harness, 10, 600);
    return harness;
}

static void expect_ten_minutes(struct harness *harness, unsigned series)
{
    struct harness_answer *answer = malloc(sizeof *answer);
    harness_read(harness, series, INT64_MIN, INT64_MAX, SERIES_NEED_ALL, answer);
    assert_int_equal(answer->code, ERROR_NONE);
    assert_int_equal(answer->count, 10);
    for (int i = 0; i < 10; i++)
        assert_true(answer->values[i] == series * 1000 + i);
    free(answer);
}

static void quiet_series_are_forgotten_and_their_samples_stay(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(1);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE);
    assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE);
    for (unsigned k = 0; k < GONE; k++)
        expect_ten_minutes(harness, k);
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE);
    for (unsigned k = 0; k < GONE; k++)
        expect_ten_minutes(harness, k);
    harness_destroy(harness);
}

static void series_that_are_written_stay_though_every_sample_is_in_blocks(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(2);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).part_count, 0);
    harness_maintain(harness);
    assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE);
    harness_destroy(harness);
}

static void a_series_that_returns_has_a_new_id_and_all_its_samples(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(3);
    struct harness_answer *answer = malloc(sizeof *answer);
    for (int round = 0; round < 3; round++) {
        write_minute(harness, 0, GONE, 600 + round);
        assert_int_equal(harness_statistics(harness).series_count, SERIES);
        for (unsigned k = 0; k < GONE; k++) {
            /* harness_read fails when the labels come twice. */
            harness_read(harness, k, INT64_MIN, INT64_MAX, SERIES_NEED_ALL, answer);
            assert_int_equal(answer->count, 11 + round);
            assert_true(answer->values[10 + round] == k * 1000 + 600 + round);
        }
        if (round == 0)
            harness_freeze(harness);
        else
            harness_restart(harness);
    }
    free(answer);
    harness_destroy(harness);
}

/* Though none of its lives sees a period from its begin to its end. */
static void a_shard_that_is_restarted_every_hour_forgets_too(void **state)
{
    (void)state;
    struct harness *harness = harness_create(14);
    struct arena *arena = arena_create(0);
    for (int64_t minute = 0; minute < 10; minute++)
        write_minute(harness, 0, SERIES, minute);
    for (int64_t minute = 10; minute < 600; minute += 60) {
        live_on(harness, minute, minute + 60);
        harness_restart(harness);
    }
    assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE);
    for (unsigned k = 0; k < GONE; k++)
        expect_ten_minutes(harness, k);
    struct harness_sample sample = {GONE, T0 + 601 * 60000, 1};
    struct shard_write write = harness_request(arena, &sample, 1);
    harness_propose_write(harness, &write);
    assert_int_equal(write.new_series[0].id, GONE + 1); /* who is written stays who it was */
    arena_destroy(arena);
    harness_destroy(harness);
}

static void a_sender_with_an_old_id_is_asked_for_the_labels(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(4);
    struct arena *arena = arena_create(0);
    struct harness_sample sample = {0, T0 + 700 * 60000, 1};
    struct shard_write write = harness_request(arena, &sample, 1);
    write.ids[0] = 1; /* the first id there was */
    harness_propose_write(harness, &write);
    assert_int_equal(write.stale_count, 1);
    assert_int_equal(write.floats_written, 0);
    assert_int_equal(write.new_series[0].id, SERIES + 1); /* given by its labels as well */
    arena_destroy(arena);
    harness_destroy(harness);
}

/* A shard that would forget if its proposals were taken. */
static struct harness *almost_quiet_shard(uint64_t seed)
{
    struct harness *harness = harness_create(seed);
    harness->refuse_kind = ENTRY_FORGET_SERIES;
    for (int64_t minute = 0; minute < 10; minute++)
        write_minute(harness, 0, SERIES, minute);
    live_on(harness, 10, 600);
    harness_flush(harness);
    assert_int_equal(harness_statistics(harness).series_count, SERIES);
    harness->refuse_kind = 0;
    return harness;
}

/* Until the entry that forgets is the next one to be applied. */
static void until_proposed(struct harness *harness)
{
    struct error error;
    write_minute(harness, GONE, SERIES, 600);
    shard_freeze(harness->shard);
    for (int steps = 0; steps < 100000; steps++) {
        if (harness->applied_count == harness->log_count) {
            simulated_scheduler_step(&harness->environment->scheduler);
            continue;
        }
        const struct harness_entry *entry = &harness->log[harness->applied_count];
        if (entry->bytes[0] == ENTRY_FORGET_SERIES)
            return;
        assert_int_equal(
            shard_apply(harness->shard, entry->index, entry->bytes, entry->size_bytes, &error),
            ERROR_NONE);
        harness->applied_count++;
    }
    fail_msg("nothing was forgotten");
}

static void samples_between_the_proposal_and_its_entry_go_to_a_new_id(void **state)
{
    (void)state;
    struct harness *harness = almost_quiet_shard(5);
    struct arena *arena = arena_create(0);
    until_proposed(harness);
    /* One that knows the id, one that knows the labels, one more with the same labels. */
    struct harness_sample sample = {0, T0 + 601 * 60000, 7};
    struct shard_write by_id = harness_request(arena, &sample, 1);
    by_id.new_series_count = 0;
    by_id.ids[0] = 1;
    harness_propose_write(harness, &by_id);
    assert_int_equal(by_id.stale_count, 1);
    struct shard_write by_labels = harness_request(arena, &sample, 1);
    harness_propose_write(harness, &by_labels);
    assert_int_equal(by_labels.floats_written, 1);
    sample.timestamp_ms += 1000;
    struct shard_write again = harness_request(arena, &sample, 1);
    harness_propose_write(harness, &again);
    assert_int_equal(again.new_series[0].id, by_labels.new_series[0].id);
    assert_true(again.new_series[0].id > SERIES);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE);
    assert_int_equal(harness_count(harness, 0), 12);
    for (unsigned k = 1; k < GONE; k++)
        expect_ten_minutes(harness, k);
    harness_restart(harness);
    assert_int_equal(harness_count(harness, 0), 12);
    assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE + 1);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void a_sample_in_flight_keeps_its_series(void **state)
{
    (void)state;
    struct harness *harness = almost_quiet_shard(6);
    struct arena *arena = arena_create(0);
    struct harness_sample sample = {0, T0 + 601 * 60000, 7};
    struct shard_write write = harness_request(arena, &sample, 1);
    harness_propose_write(harness, &write); /* by the labels: the id is found in the segments */
    assert_int_equal(write.new_series[0].id, 1);
    until_proposed(harness);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE - 1);
    assert_int_equal(harness_count(harness, 0), 11);
    arena_destroy(arena);
    harness_destroy(harness);
}

/* Until a job looks for quiet series, all entries applied. */
static void until_scanned(struct harness *harness)
{
    struct error error;
    write_minute(harness, GONE, SERIES, 600);
    shard_freeze(harness->shard);
    for (int steps = 0; steps < 100000; steps++) {
        if (harness->applied_count == harness->log_count && harness->shard->forgetting.scan != NULL)
            return;
        if (harness->applied_count == harness->log_count) {
            simulated_scheduler_step(&harness->environment->scheduler);
            continue;
        }
        const struct harness_entry *entry = &harness->log[harness->applied_count++];
        assert_int_equal(
            shard_apply(harness->shard, entry->index, entry->bytes, entry->size_bytes, &error),
            ERROR_NONE);
    }
    fail_msg("nothing was looked for");
}

/* The job does not see it, the entry is not applied: only that it was proposed is known. */
static void a_sample_proposed_behind_the_scan_keeps_its_series(void **state)
{
    (void)state;
    struct harness *harness = almost_quiet_shard(13);
    struct arena *arena = arena_create(0);
    until_scanned(harness);
    struct harness_sample sample = {0, T0 + 601 * 60000, 7};
    struct shard_write write = harness_request(arena, &sample, 1);
    write.new_series_count = 0;
    write.ids[0] = 1;
    harness_propose_write(harness, &write);
    assert_int_equal(write.floats_written, 1);
    size_t count = harness->log_count;
    while (harness->log_count == count)
        simulated_scheduler_step(&harness->environment->scheduler);
    assert_int_equal(harness->log[count].bytes[0], ENTRY_FORGET_SERIES);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_forgotten, GONE - 1);
    assert_int_equal(harness_count(harness, 0), 11);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void a_lost_proposal_changes_nothing(void **state)
{
    (void)state;
    struct harness *harness = almost_quiet_shard(7);
    struct arena *arena = arena_create(0);
    until_proposed(harness);
    while (harness->log_count > harness->applied_count) /* another leader's log */
        free(harness->log[--harness->log_count].bytes);
    shard_lead(harness->shard);
    struct harness_sample sample = {0, T0 + 601 * 60000, 7};
    struct shard_write write = harness_request(arena, &sample, 1);
    harness_propose_write(harness, &write);
    assert_int_equal(write.new_series[0].id, 1);
    harness_run(harness);
    assert_int_equal(harness_count(harness, 0), 11);
    arena_destroy(arena);
    harness_destroy(harness);
}

static void append_forget(struct harness *harness, const uint64_t *ids, size_t count)
{
    struct byte_buffer entry = {0};
    entry_encode_header(&entry, ENTRY_FORGET_SERIES,
                        clock_now_ms(harness->environment->base.clock));
    byte_buffer_varint(&entry, count);
    for (size_t i = 0; i < count; i++)
        byte_buffer_varint(&entry, ids[i] - (i == 0 ? 0 : ids[i - 1]));
    harness_append(harness, entry.bytes, entry.size);
    byte_buffer_clear(&entry);
}

static void an_entry_about_a_series_in_use_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct harness *harness = harness_create(8);
    harness_fill(harness, 3, T0, 5);
    harness_freeze(harness);
    write_minute(harness, 1, 2, 10); /* id 2 */
    append_forget(harness, (uint64_t[]){1, 2}, 2);
    append_forget(harness, (uint64_t[]){77}, 1);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_count, 3);
    append_forget(harness, (uint64_t[]){1, 3}, 2);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_count, 1);
    append_forget(harness, (uint64_t[]){1}, 1); /* once */
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_count, 1);
    harness_destroy(harness);
}

static void an_entry_waits_for_a_head_with_the_series_to_be_written(void **state)
{
    (void)state;
    struct harness *harness = harness_create(9);
    struct error error;
    harness_fill(harness, 3, T0, 5);
    shard_freeze(harness->shard);
    append_forget(harness, (uint64_t[]){1}, 1);
    /* Apply both without letting the job of the freeze run. */
    struct harness_entry *entries = &harness->log[harness->applied_count];
    assert_int_equal(shard_apply(harness->shard, entries[0].index, entries[0].bytes,
                                 entries[0].size_bytes, &error),
                     ERROR_NONE);
    harness->applied_count++;
    assert_int_equal(shard_apply(harness->shard, entries[1].index, entries[1].bytes,
                                 entries[1].size_bytes, &error),
                     ERROR_UNAVAILABLE);
    assert_int_equal(harness_statistics(harness).series_count, 3);
    harness_run(harness);
    assert_int_equal(harness_statistics(harness).series_count, 2);
    harness_destroy(harness);
}

static void broken_entries_stop_the_shard(void **state)
{
    (void)state;
    static const uint8_t BODIES[][4] = {{0}, {1, 0}, {2, 1, 0}, {1}, {2, 1}, {1, 1, 1}};
    static const size_t SIZES[] = {1, 2, 3, 1, 2, 3};
    struct harness *harness = harness_create(10);
    harness_fill(harness, 3, T0, 5);
    harness_freeze(harness);
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        struct byte_buffer entry = {0};
        struct error error;
        entry_encode_header(&entry, ENTRY_FORGET_SERIES, T0);
        byte_buffer_append(&entry, BODIES[i], SIZES[i]);
        assert_int_equal(
            shard_apply(harness->shard, harness->last_index + 1, entry.bytes, entry.size, &error),
            ERROR_CORRUPT);
        byte_buffer_clear(&entry);
    }
    harness_destroy(harness);
}

static void segments_with_many_dead_are_written_anew(void **state)
{
    (void)state;
    struct harness *harness = quiet_shard(11);
    struct shard_statistics statistics = harness_statistics(harness);
    /* 4 of 10 are dead: the next freeze, though it has no new series, leaves them out. */
    live_on(harness, 600, 700);
    statistics = harness_statistics(harness);
    assert_int_equal(statistics.dead_id_count, 0);
    assert_int_equal(statistics.segment_count, 1);
    assert_true(statistics.segments_rewritten >= 1);
    for (int round = 0; round < 2; round++) {
        for (unsigned k = 0; k < GONE; k++)
            expect_ten_minutes(harness, k);
        harness_restart(harness);
        assert_int_equal(harness_statistics(harness).series_count, SERIES - GONE);
    }
    harness_destroy(harness);
}

static void segments_stay_few_however_often_series_come(void **state)
{
    (void)state;
    struct harness *harness = harness_create(12);
    for (unsigned k = 0; k < 300; k++) {
        write_minute(harness, k, k + 1, k);
        harness_freeze(harness);
        assert_true(harness_statistics(harness).segment_count <= 9);
    }
    harness_restart(harness);
    assert_int_equal(harness_statistics(harness).series_count, 300);
    for (unsigned k = 0; k < 300; k++)
        assert_int_equal(harness_count(harness, k), 1);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_series_are_forgotten_and_their_samples_stay),
        cmocka_unit_test(series_that_are_written_stay_though_every_sample_is_in_blocks),
        cmocka_unit_test(a_series_that_returns_has_a_new_id_and_all_its_samples),
        cmocka_unit_test(a_shard_that_is_restarted_every_hour_forgets_too),
        cmocka_unit_test(a_sender_with_an_old_id_is_asked_for_the_labels),
        cmocka_unit_test(samples_between_the_proposal_and_its_entry_go_to_a_new_id),
        cmocka_unit_test(a_sample_in_flight_keeps_its_series),
        cmocka_unit_test(a_sample_proposed_behind_the_scan_keeps_its_series),
        cmocka_unit_test(a_lost_proposal_changes_nothing),
        cmocka_unit_test(an_entry_about_a_series_in_use_is_refused_as_a_whole),
        cmocka_unit_test(an_entry_waits_for_a_head_with_the_series_to_be_written),
        cmocka_unit_test(broken_entries_stop_the_shard),
        cmocka_unit_test(segments_with_many_dead_are_written_anew),
        cmocka_unit_test(segments_stay_few_however_often_series_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
