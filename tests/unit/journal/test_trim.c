/* A log in which little lives becomes small: when asked, and when it is closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "journal/journal.h"
#include "recovered_entry.h"
#include "simulated_environment.h"

enum { STEPS_MAX = 1000000, ENTRY_BYTES = 40000, LEAN_BYTES = 64 * 1024 };
#define MORE_THAN_IT_TAKES_NS UINT64_C(100000000)

struct world {
    struct simulated_environment *environment;
    struct journal *journal;
    struct journal_recovery *recovery;
    struct journal_options options;
    struct error error;
    bool closed;
};

static void on_fatal(void *context, const struct error *error)
{
    struct world *world = context;
    if (!world->environment->disk.crashed)
        fail_msg("%s", error->message);
}

static void on_closed(void *context)
{
    ((struct world *)context)->closed = true;
}

static void world_open(struct world *world)
{
    struct journal_recovery_options options = {.directory = "journal"};
    struct journal_events events = {.context = world, .fatal = on_fatal};
    uint64_t groups[4];
    struct disk *disk = world->environment->base.disk;
    assert_int_equal(journal_recover(disk, &options, &world->recovery, &world->error), ERROR_NONE);
    size_t count = journal_recovery_group_count(world->recovery);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(world->recovery, i)->group;
    assert_int_equal(journal_open(&world->environment->base, &world->options, &events,
                                  world->recovery, groups, count, &world->journal, &world->error),
                     ERROR_NONE);
}

static void recovery_close(struct world *world)
{
    journal_recovery_close(world->recovery);
    world->recovery = NULL;
}

static void world_close(struct world *world)
{
    world->closed = false;
    journal_close(world->journal, on_closed, world);
    assert_true(
        simulated_scheduler_run_until(&world->environment->scheduler, &world->closed, STEPS_MAX));
    world->journal = NULL;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    world->environment = simulated_environment_create(11);
    world->options = (struct journal_options){
        .directory = "journal",
        .segment_bytes_min = 1024 * 1024,
        .segment_bytes_max = 4 * 1024 * 1024,
        .segment_bytes_lean = LEAN_BYTES,
    };
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->journal != NULL)
        world_close(world);
    recovery_close(world);
    simulated_environment_destroy(world->environment);
    free(world);
    return 0;
}

/* Until nothing goes on any more. */
static void settle(struct world *world)
{
    simulated_scheduler_run_for(&world->environment->scheduler, MORE_THAN_IT_TAKES_NS);
}

/* Entries of one group up to `last`, all but the newest of which are dispensable afterwards. */
static void write_and_settle(struct world *world, uint64_t last)
{
    static uint8_t payload[ENTRY_BYTES];
    uint64_t next = journal_group_range(world->journal, 1).next_index;
    for (uint64_t i = next; i <= last; i++) {
        payload[0] = (uint8_t)i;
        struct journal_entry entry = {.index = i,
                                      .term = 1,
                                      .payload = payload,
                                      .payload_bytes = i == last ? 100 : ENTRY_BYTES};
        journal_append(world->journal, 1, &entry, 1, NULL);
        settle(world);
    }
    struct journal_snapshot snapshot = {.index = last,
                                        .term = 1,
                                        .low_water = last - 1,
                                        .payload = (const uint8_t *)"manifest",
                                        .payload_bytes = 8};
    journal_set_snapshot(world->journal, 1, &snapshot, NULL);
    settle(world);
}

static void assert_newest(struct world *world, uint64_t last)
{
    const struct journal_group *group = journal_recovery_find(world->recovery, 1);
    assert_non_null(group);
    assert_int_equal(group->first_index, last);
    assert_int_equal(group->next_index, last + 1);
    struct journal_entry entry = recovered_entry(world->recovery, group, last);
    assert_int_equal(entry.payload_bytes, 100);
    assert_int_equal(entry.payload[0], (uint8_t)last);
    assert_true(group->has_snapshot);
    assert_memory_equal(group->snapshot.payload, "manifest", 8);
}

static uint64_t used_bytes(const struct world *world)
{
    return simulated_disk_used_bytes(&world->environment->disk);
}

static void a_closed_log_is_one_small_segment(void **state)
{
    struct world *world = *state;
    for (uint64_t life = 1; life <= 3; life++) {
        world_open(world);
        if (life > 1)
            assert_newest(world, (life - 1) * 100);
        recovery_close(world);
        write_and_settle(world, life * 100);
        assert_true(used_bytes(world) > 2 * 1024 * 1024);
        world_close(world);
        assert_true(used_bytes(world) <= LEAN_BYTES);
    }
    world_open(world);
    assert_newest(world, 300);
}

static void a_log_is_small_even_if_the_recovery_is_closed_last(void **state)
{
    struct world *world = *state;
    world_open(world);
    recovery_close(world);
    write_and_settle(world, 100);
    world_close(world);
    world_open(world);
    write_and_settle(world, 200);
    world_close(world);
    recovery_close(world);
    assert_true(used_bytes(world) <= LEAN_BYTES);
    world_open(world);
    assert_newest(world, 200);
}

static void a_trimmed_log_is_small_until_there_is_load_again(void **state)
{
    struct world *world = *state;
    world_open(world);
    recovery_close(world);
    write_and_settle(world, 100);
    journal_trim(world->journal);
    settle(world);
    assert_true(used_bytes(world) <= 3 * LEAN_BYTES); /* in use, and two in reserve */
    struct journal_statistics statistics;
    journal_get_statistics(world->journal, &statistics);
    assert_int_equal(statistics.trims, 1);

    write_and_settle(world, 200);
    journal_get_statistics(world->journal, &statistics);
    assert_true(statistics.segment_bytes >= 2 * 1024 * 1024);
    simulated_environment_crash(world->environment, SIMULATED_POWER_FAILURE);
    world_close(world);
    simulated_environment_restart(world->environment);
    world_open(world);
    assert_newest(world, 200);
}

static void a_log_in_which_much_lives_stays_as_it_is(void **state)
{
    struct world *world = *state;
    static uint8_t payload[ENTRY_BYTES];
    world_open(world);
    recovery_close(world);
    for (uint64_t i = 1; i <= 100; i++) {
        struct journal_entry entry = {
            .index = i, .term = 1, .payload = payload, .payload_bytes = sizeof payload};
        journal_append(world->journal, 1, &entry, 1, NULL);
        settle(world);
    }
    world_close(world);
    assert_true(used_bytes(world) >= 100 * ENTRY_BYTES);
    world_open(world);
    const struct journal_group *group = journal_recovery_find(world->recovery, 1);
    assert_int_equal(group->first_index, 1);
    assert_int_equal(group->next_index, 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_closed_log_is_one_small_segment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_is_small_even_if_the_recovery_is_closed_last, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_trimmed_log_is_small_until_there_is_load_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_log_in_which_much_lives_stays_as_it_is, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
