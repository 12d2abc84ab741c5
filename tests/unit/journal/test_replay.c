/* Entries of a recovery, handed out piece by piece while the loop runs. */
#include "replayed_log.h"

enum { WINDOW_BYTES = 2 * 1024 * 1024, PIECE_BYTES = 1024 * 1024 };

static struct replayed_log *begun(void)
{
    struct replayed_log *log = replayed_log_create();
    struct error error;
    assert_int_equal(replayed_log_begin(log, WINDOW_BYTES, &error), ERROR_NONE);
    return log;
}

static void add(struct replayed_log *log, uint64_t group, bool releases)
{
    struct error error;
    assert_int_equal(replayed_log_add(log, group, 1, LOG_ENTRIES + 1, releases, &error),
                     ERROR_NONE);
}

static void expect_all(const struct part *part)
{
    assert_true(part->ended);
    assert_int_equal(part->error.code, ERROR_NONE);
    assert_int_equal(part->next_index, LOG_ENTRIES + 1);
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void groups_go_through_the_log_together(void **state)
{
    (void)state;
    struct replayed_log *log = begun();
    for (uint64_t group = 1; group <= LOG_GROUPS; group++)
        add(log, group, true);
    assert_int_equal(log->handed_count, 0); /* nothing inside the call */
    for (size_t i = 0; simulated_scheduler_step(&log->environment->scheduler); i++) {
        assert_true(i < LOG_STEPS_MAX);
        uint64_t low = UINT64_MAX, high = 0;
        for (size_t k = 0; k < LOG_GROUPS; k++) {
            low = log->parts[k].next_index < low ? log->parts[k].next_index : low;
            high = log->parts[k].next_index > high ? log->parts[k].next_index : high;
        }
        assert_true(high - low <= 1); /* they were written by turns */
    }
    for (size_t i = 0; i < LOG_GROUPS; i++)
        expect_all(&log->parts[i]);
    replayed_log_remove(log);
    replayed_log_destroy(log);
}

static void a_range_of_entries_can_be_asked_for(void **state)
{
    (void)state;
    struct replayed_log *log = begun();
    struct error error;
    assert_int_equal(replayed_log_add(log, 2, 17, 18, true, &error), ERROR_NONE);
    replayed_log_run(log);
    assert_int_equal(log->handed_count, 1);
    assert_true(log->parts[1].ended);
    replayed_log_remove(log);
    assert_int_equal(replayed_log_add(log, 2, 17, LOG_ENTRIES + 2, true, &error), ERROR_NOT_FOUND);
    replayed_log_destroy(log);
}

static void what_is_not_released_bounds_what_is_read(void **state)
{
    (void)state;
    struct replayed_log *log = begun();
    struct part *part = &log->parts[0];
    add(log, 1, false);
    replayed_log_run(log);
    assert_in_range(part->held_bytes, PIECE_BYTES / LOG_GROUPS / 2, WINDOW_BYTES);
    assert_false(part->ended);
    /* The last one is still in place, and stays when others go. */
    static uint8_t expected[LOG_PAYLOAD_BYTES];
    uint64_t last_index = part->next_index - 1;
    const uint8_t *payload = part->payload;
    journal_replay_release(part->base, last_index - 1);
    replayed_log_run(log);
    log_payload(1, last_index, expected);
    assert_memory_equal(payload, expected, LOG_PAYLOAD_BYTES);
    while (!part->ended) {
        uint64_t before = part->next_index;
        journal_replay_release(part->base, before - 1);
        replayed_log_run(log);
        assert_true(part->next_index > before || part->ended);
        assert_true((part->next_index - before) * LOG_PAYLOAD_BYTES <= WINDOW_BYTES);
    }
    expect_all(part);
    replayed_log_remove(log);
    replayed_log_destroy(log);
}

/* A piece holds entries of all: one that keeps them stops the others, but not for ever. */
static void who_leaves_releases_what_it_was_given(void **state)
{
    (void)state;
    struct replayed_log *log = begun();
    add(log, 1, true);
    add(log, 2, false);
    replayed_log_run(log);
    assert_false(log->parts[0].ended);
    journal_replay_remove(log->parts[1].base, part_removed);
    assert_false(log->parts[1].removed); /* not inside the call */
    replayed_log_run(log);
    assert_true(log->parts[1].removed);
    expect_all(&log->parts[0]);
    replayed_log_remove(log);
    replayed_log_destroy(log);
}

static void a_part_can_leave_at_any_moment(void **state)
{
    (void)state;
    bool finished = false;
    for (size_t steps = 0; !finished; steps++) {
        struct replayed_log *log = begun();
        add(log, 1, true);
        add(log, 3, true);
        for (size_t i = 0; i < steps; i++)
            if (!simulated_scheduler_step(&log->environment->scheduler))
                finished = true;
        journal_replay_remove(log->parts[0].base, part_removed);
        replayed_log_run(log);
        assert_true(log->parts[0].removed);
        expect_all(&log->parts[2]);
        replayed_log_remove(log);
        replayed_log_destroy(log);
    }
}

static void a_read_that_fails_ends_who_waits_for_it(void **state)
{
    (void)state;
    size_t failed = 0;
    for (uint64_t number = 1;; number++) {
        struct replayed_log *log = begun();
        struct simulated_disk *disk = &log->environment->disk;
        struct error error;
        add(log, 1, true);
        add(log, 2, true);
        disk->settings.fail_at_operation = disk->operations + number;
        replayed_log_run(log);
        bool injected = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        for (size_t i = 0; i < 2; i++) {
            struct part *part = &log->parts[i];
            assert_true(part->ended);
            assert_int_equal(part->error.code, injected ? ERROR_IO : ERROR_NONE);
            failed += part->error.code != ERROR_NONE;
        }
        replayed_log_remove(log);
        assert_int_equal(replayed_log_add(log, 3, 1, 2, true, &error), ERROR_NONE);
        replayed_log_run(log);
        assert_int_equal(log->handed_count > 0 && log->parts[2].ended, true);
        replayed_log_remove(log);
        replayed_log_destroy(log);
        if (!injected)
            break;
    }
    assert_true(failed > 4);
}

static void what_rots_meanwhile_is_not_handed_out(void **state)
{
    (void)state;
    struct replayed_log *log = begun();
    struct simulated_disk *disk = &log->environment->disk;
    uint64_t size_bytes;
    for (size_t i = 0; i < 200; i++) {
        const char *path = simulated_disk_choose(disk, "journal/", &size_bytes);
        simulated_disk_flip(disk, path, simulated_disk_choose_bit(disk, path));
    }
    add(log, 1, true); /* which checks what it is handed */
    replayed_log_run(log);
    assert_true(log->parts[0].ended);
    assert_int_equal(log->parts[0].error.code, ERROR_CORRUPT);
    replayed_log_remove(log);
    replayed_log_destroy(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_go_through_the_log_together),
        cmocka_unit_test(a_range_of_entries_can_be_asked_for),
        cmocka_unit_test(what_is_not_released_bounds_what_is_read),
        cmocka_unit_test(who_leaves_releases_what_it_was_given),
        cmocka_unit_test(a_part_can_leave_at_any_moment),
        cmocka_unit_test(a_read_that_fails_ends_who_waits_for_it),
        cmocka_unit_test(what_rots_meanwhile_is_not_handed_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
