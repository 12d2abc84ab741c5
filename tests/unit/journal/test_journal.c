#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "recovered_entry.h"
#include "simulated_environment.h"

enum { STEPS_MAX = 1000000 };

/* --- A journal in a simulated world ---------------------------------------------------------- */

struct world {
    struct simulated_environment *environment;
    struct journal_options options;
    struct journal *journal;
    struct journal_recovery *recovery;
    struct error error;
    struct error fatal;
    enum journal_space space;
    unsigned space_changes;
    bool closed;
};

static void on_fatal(void *context, const struct error *error)
{
    ((struct world *)context)->fatal = *error;
}

static void on_space(void *context, enum journal_space space)
{
    struct world *world = context;
    world->space = space;
    world->space_changes++;
}

static void on_closed(void *context)
{
    ((struct world *)context)->closed = true;
}

static enum error_code world_recover(struct world *world, enum journal_damage_policy policy)
{
    return journal_recover(
        world->environment->base.disk,
        &(struct journal_recovery_options){.directory = "journal", .damage_policy = policy},
        &world->recovery, &world->error);
}

/* Recover and open, adopting every group. */
static void world_open(struct world *world)
{
    if (world_recover(world, JOURNAL_DAMAGE_REFUSE) != ERROR_NONE)
        fail_msg("%s", world->error.message);
    uint64_t groups[64];
    size_t count = journal_recovery_group_count(world->recovery);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(world->recovery, i)->group;
    struct journal_events events = {world, on_fatal, on_space};
    if (journal_open(&world->environment->base, &world->options, &events, world->recovery, groups,
                     count, &world->journal, &world->error) != ERROR_NONE)
        fail_msg("%s", world->error.message);
}

static void world_open_fresh(struct world *world)
{
    world_open(world);
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

static void world_crash(struct world *world, enum simulated_crash crash)
{
    simulated_environment_crash(world->environment, crash);
    if (world->journal != NULL)
        world_close(world);
    simulated_environment_restart(world->environment);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    world->environment = simulated_environment_create(7);
    world->options = (struct journal_options){
        .directory = "journal",
        .segment_bytes_min = 128 * 1024,
        .segment_bytes_max = 128 * 1024,
    };
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->journal != NULL)
        world_close(world);
    journal_recovery_close(world->recovery);
    simulated_environment_destroy(world->environment);
    free(world);
    return 0;
}

/* --- Writing and waiting --------------------------------------------------------------------- */

struct flag_request {
    struct journal_request base;
    bool done;
};

static void flag_set(struct journal_request *request)
{
    ((struct flag_request *)request)->done = true;
}

static void wait_durable(struct world *world)
{
    struct flag_request request = {.base.done = flag_set};
    journal_barrier(world->journal, &request.base);
    assert_false(request.done);
    assert_true(
        simulated_scheduler_run_until(&world->environment->scheduler, &request.done, STEPS_MAX));
}

/* What entry `index` of `group` written in `term` holds. */
static size_t payload_of(uint64_t group, uint64_t index, uint64_t term, size_t size,
                         uint8_t *payload)
{
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)(group * 7 + index * 31 + term * 101 + i);
    return size;
}

static void append(struct world *world, uint64_t group, uint64_t index, uint64_t term, size_t size)
{
    uint8_t payload[65536];
    struct journal_entry entry = {
        .index = index,
        .term = term,
        .kind = 3,
        .version = 9,
        .payload = payload,
        .payload_bytes = (uint32_t)payload_of(group, index, term, size, payload),
    };
    journal_append(world->journal, group, &entry, 1, NULL);
}

static void assert_entry(struct world *world, uint64_t group, uint64_t index, uint64_t term,
                         size_t size)
{
    const struct journal_group *found = journal_recovery_find(world->recovery, group);
    assert_non_null(found);
    assert_in_range(index, found->first_index, found->next_index - 1);
    struct journal_entry entry = recovered_entry(world->recovery, found, index);
    uint8_t payload[65536];
    payload_of(group, index, term, size, payload);
    assert_int_equal(entry.index, index);
    assert_int_equal(entry.term, term);
    assert_int_equal(entry.kind, 3);
    assert_int_equal(entry.version, 9);
    assert_int_equal(entry.payload_bytes, size);
    assert_memory_equal(entry.payload, payload, size);
}

static void assert_range(struct world *world, uint64_t group, uint64_t first, uint64_t next)
{
    const struct journal_group *found = journal_recovery_find(world->recovery, group);
    assert_non_null(found);
    assert_int_equal(found->first_index, first);
    assert_int_equal(found->next_index, next);
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void an_empty_directory_is_an_empty_journal(void **state)
{
    struct world *world = *state;
    assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REFUSE), ERROR_NONE);
    assert_int_equal(journal_recovery_group_count(world->recovery), 0);
}

static void everything_comes_back_after_a_power_failure(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 20; i++) {
        append(world, 1, i, 1, 100 * i);
        append(world, 2, i, 5, i);
    }
    journal_set_metadata(world->journal, 1, 7, 3, NULL);
    journal_truncate(world->journal, 2, 11, NULL);
    journal_set_low_water(world->journal, 1, 4, NULL);
    struct journal_snapshot snapshot = {.index = 6,
                                        .term = 5,
                                        .low_water = 2,
                                        .version = 8,
                                        .payload = (const uint8_t *)"manifest",
                                        .payload_bytes = 8};
    journal_set_snapshot(world->journal, 2, &snapshot, NULL);
    append(world, 2, 11, 6, 50);
    append(world, 3, 1, 1, 0);
    wait_durable(world);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world_open(world);
    assert_range(world, 1, 5, 21);
    assert_range(world, 2, 3, 12);
    for (uint64_t i = 5; i <= 20; i++)
        assert_entry(world, 1, i, 1, 100 * i);
    for (uint64_t i = 3; i <= 10; i++)
        assert_entry(world, 2, i, 5, i);
    assert_entry(world, 2, 11, 6, 50);
    assert_entry(world, 3, 1, 1, 0);
    const struct journal_group *one = journal_recovery_find(world->recovery, 1);
    assert_int_equal(one->term, 7);
    assert_int_equal(one->vote, 3);
    assert_false(one->has_snapshot);
    const struct journal_group *two = journal_recovery_find(world->recovery, 2);
    assert_true(two->has_snapshot);
    assert_int_equal(two->snapshot.index, 6);
    assert_int_equal(two->snapshot.term, 5);
    assert_int_equal(two->snapshot.version, 8);
    assert_memory_equal(two->snapshot.payload, "manifest", 8);
    struct journal_range range = journal_group_range(world->journal, 2);
    assert_int_equal(range.first_index, 3);
    assert_int_equal(range.next_index, 12);
}

static void an_installed_snapshot_replaces_every_entry(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 5; i++)
        append(world, 1, i, 1, 10);
    struct journal_snapshot snapshot = {.index = 100,
                                        .term = 4,
                                        .mode = JOURNAL_SNAPSHOT_INSTALLED,
                                        .payload = (const uint8_t *)"far",
                                        .payload_bytes = 3};
    journal_set_snapshot(world->journal, 1, &snapshot, NULL);
    append(world, 1, 101, 4, 10);
    wait_durable(world);
    world_close(world);
    world_open(world);
    assert_range(world, 1, 101, 102);
    assert_entry(world, 1, 101, 4, 10);
}

static void a_deleted_group_stays_deleted_and_may_begin_anew(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 5; i++) {
        append(world, 1, i, 1, 10);
        append(world, 2, i, 1, 10);
    }
    journal_delete_group(world->journal, 1, NULL);
    journal_delete_group(world->journal, 2, NULL);
    append(world, 2, 1, 9, 20);
    wait_durable(world);
    for (unsigned life = 0; life < 3; life++) {
        world_crash(world, SIMULATED_KILL);
        world_open(world);
        assert_null(journal_recovery_find(world->recovery, 1));
        assert_range(world, 2, 1, 2);
        assert_entry(world, 2, 1, 9, 20);
        journal_recovery_close(world->recovery);
        world->recovery = NULL;
    }
}

/* Requests finish in the order they were made, whatever their groups and sizes. */
struct ordered_request {
    struct journal_request base;
    unsigned number;
    unsigned *finished;
};

static void order_check(struct journal_request *base)
{
    struct ordered_request *request = (struct ordered_request *)base;
    assert_int_equal(*request->finished, request->number);
    (*request->finished)++;
}

static void requests_finish_in_order(void **state)
{
    struct world *world = *state;
    world->options.in_flight_max = 4;
    world->environment->disk.settings.slow_per_thousand = 200;
    world_open_fresh(world);
    enum { COUNT = 300 };
    static struct ordered_request requests[COUNT];
    static uint8_t payload[20000];
    unsigned finished = 0;
    uint64_t next[4] = {1, 1, 1, 1};
    for (unsigned i = 0; i < COUNT; i++) {
        requests[i] =
            (struct ordered_request){.base.done = order_check, .number = i, .finished = &finished};
        struct journal_entry entry = {
            .index = next[i % 4]++, .term = 1, .payload = payload, .payload_bytes = i * 60};
        journal_append(world->journal, i % 4, &entry, 1, &requests[i].base);
        if (i % 3 == 0)
            simulated_scheduler_step(&world->environment->scheduler);
    }
    wait_durable(world);
    assert_int_equal(finished, COUNT);
}

static void segments_are_recycled_when_nothing_lives_in_them(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 400; i++) {
        append(world, 1, i, 1, 4000);
        if (i > 5)
            journal_set_low_water(world->journal, 1, i - 5, NULL);
        wait_durable(world);
    }
    struct journal_statistics statistics;
    journal_get_statistics(world->journal, &statistics);
    assert_true(statistics.segments_recycled > 5);
    assert_true(statistics.segment_count <= 8);
    assert_true(statistics.live_bytes < 7 * 4096);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world_open(world);
    assert_range(world, 1, 396, 401);
    for (uint64_t i = 396; i <= 400; i++)
        assert_entry(world, 1, i, 1, 4000);
}

static void live_records_of_cold_groups_are_copied_forward(void **state)
{
    struct world *world = *state;
    world->options.pinned_bytes_max = 256 * 1024;
    world_open_fresh(world);
    append(world, 9, 1, 1, 3000);
    append(world, 9, 2, 2, 3000);
    struct journal_snapshot snapshot = {
        .index = 1, .term = 1, .payload = (const uint8_t *)"cold", .payload_bytes = 4};
    journal_set_snapshot(world->journal, 9, &snapshot, NULL);
    for (uint64_t i = 1; i <= 400; i++) {
        append(world, 1, i, 1, 4000);
        journal_set_low_water(world->journal, 1, i - 1, NULL);
        wait_durable(world);
    }
    struct journal_statistics statistics;
    journal_get_statistics(world->journal, &statistics);
    assert_true(statistics.copied_records >= 3);
    assert_true(statistics.segment_count <= 8);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world_open(world);
    assert_range(world, 9, 1, 3);
    assert_entry(world, 9, 1, 1, 3000);
    assert_entry(world, 9, 2, 2, 3000);
    const struct journal_group *cold = journal_recovery_find(world->recovery, 9);
    assert_true(cold->has_snapshot);
    assert_memory_equal(cold->snapshot.payload, "cold", 4);
}

static void an_entry_larger_than_a_segment_gets_a_larger_segment(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    uint8_t *payload = malloc(JOURNAL_PAYLOAD_BYTES_MAX);
    memset(payload, 0x77, JOURNAL_PAYLOAD_BYTES_MAX);
    struct journal_entry entry = {
        .index = 1, .term = 1, .payload = payload, .payload_bytes = JOURNAL_PAYLOAD_BYTES_MAX};
    append(world, 2, 1, 1, 10);
    journal_append(world->journal, 1, &entry, 1, NULL);
    append(world, 2, 2, 1, 10);
    wait_durable(world);
    world_close(world);
    world_open(world);
    struct journal_entry back =
        recovered_entry(world->recovery, journal_recovery_find(world->recovery, 1), 1);
    assert_int_equal(back.payload_bytes, JOURNAL_PAYLOAD_BYTES_MAX);
    assert_memory_equal(back.payload, payload, JOURNAL_PAYLOAD_BYTES_MAX);
    assert_entry(world, 2, 2, 1, 10);
    free(payload);
}

static void groups_move_to_other_lanes_at_a_restart(void **state)
{
    struct world *world = *state;
    world->options.lane = 3;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 10; i++) {
        append(world, 1, i, 1, 100);
        append(world, 2, i, 1, 100);
    }
    wait_durable(world);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world->options.lane = 0;
    world_open_fresh(world);
    journal_truncate(world->journal, 1, 6, NULL);
    append(world, 1, 6, 2, 200);
    journal_set_low_water(world->journal, 2, 10, NULL);
    wait_durable(world);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world->options.lane = 1;
    world_open(world);
    assert_range(world, 1, 1, 7);
    assert_entry(world, 1, 5, 1, 100);
    assert_entry(world, 1, 6, 2, 200);
    assert_range(world, 2, 11, 11);
    journal_recovery_close(world->recovery);
    world->recovery = NULL;
    /* Nothing lives in the old lanes after this. */
    journal_set_low_water(world->journal, 1, 6, NULL);
    wait_durable(world);
    simulated_scheduler_run_for(&world->environment->scheduler, 10000000000);
    uint64_t size = 0;
    assert_null(simulated_disk_choose(&world->environment->disk, "journal/3/", &size));
    assert_null(simulated_disk_choose(&world->environment->disk, "journal/0/", &size));
}

static void a_failed_write_is_fatal_and_finishes_nothing(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    append(world, 1, 1, 1, 100);
    wait_durable(world);
    struct flag_request request = {.base.done = flag_set};
    struct journal_entry entry = {.index = 2, .term = 1};
    journal_append(world->journal, 1, &entry, 1, &request.base);
    world->environment->disk.settings.failure_per_million = 1000000;
    simulated_scheduler_run_for(&world->environment->scheduler, 1000000000);
    assert_int_equal(world->fatal.code, ERROR_IO);
    assert_false(request.done);
    world->environment->disk.settings.failure_per_million = 0;
}

static void a_full_disk_is_told_early_and_heals(void **state)
{
    struct world *world = *state;
    world->options.free_bytes_min = 1;
    world->environment->disk.settings.capacity_bytes = 5 * 128 * 1024;
    world_open_fresh(world);
    uint64_t index = 0;
    while (world->space == JOURNAL_SPACE_OK && index < 1000) {
        append(world, 1, ++index, 1, 4000);
        wait_durable(world);
    }
    assert_int_equal(world->space, JOURNAL_SPACE_LOW);
    /* The reserve takes more, then requests wait but are not lost. */
    for (unsigned i = 0; i < 100; i++)
        append(world, 1, ++index, 1, 4000);
    simulated_scheduler_run_for(&world->environment->scheduler, 3000000000);
    assert_int_equal(world->fatal.code, ERROR_NONE);
    world->environment->disk.settings.capacity_bytes = UINT64_MAX;
    wait_durable(world);
    simulated_scheduler_run_for(&world->environment->scheduler, 3000000000);
    assert_int_equal(world->space, JOURNAL_SPACE_OK);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world_open(world);
    assert_range(world, 1, 1, index + 1);
}

/* --- Damage ---------------------------------------------------------------------------------- */

static void rot_in_acknowledged_records_is_found_wherever_it_is(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 30; i++) {
        append(world, 1, i, 1, 5000);
        wait_durable(world);
    }
    world_close(world);
    static const char PATH[] = "journal/0/0000000000000001.segment";
    /* Blocks 0 and 1 hold the header twice; one of them may go. */
    simulated_disk_flip(&world->environment->disk, PATH, 40 * 8);
    if (world_recover(world, JOURNAL_DAMAGE_REFUSE) != ERROR_NONE)
        fail_msg("%s", world->error.message);
    journal_recovery_close(world->recovery);
    world->recovery = NULL;
    static const uint64_t OFFSETS[] = {2 * 4096 + 4, 3 * 4096 + 70, 5 * 4096 + 4090, 58000};
    for (size_t i = 0; i < sizeof OFFSETS / sizeof OFFSETS[0]; i++) {
        simulated_disk_flip(&world->environment->disk, PATH, OFFSETS[i] * 8 + 3);
        assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REFUSE), ERROR_CORRUPT);
        simulated_disk_flip(&world->environment->disk, PATH, OFFSETS[i] * 8 + 3);
    }
    simulated_disk_flip(&world->environment->disk, PATH, 4096 * 8 + 100);
    assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REFUSE), ERROR_CORRUPT);
}

static void a_damaged_group_stays_marked_until_it_is_rebuilt(void **state)
{
    struct world *world = *state;
    world_open_fresh(world);
    for (uint64_t i = 1; i <= 10; i++) {
        append(world, 1, i, 1, 5000);
        wait_durable(world);
    }
    world_close(world);
    simulated_disk_flip(&world->environment->disk, "journal/0/0000000000000001.segment",
                        5 * 4096 * 8);
    assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REPORT), ERROR_NONE);
    assert_int_equal(journal_recovery_damage_count(world->recovery), 1);
    assert_true(journal_recovery_find(world->recovery, 1)->damaged);
    struct journal_events events = {world, on_fatal, on_space};
    const uint64_t group = 1;
    assert_int_equal(journal_open(&world->environment->base, &world->options, &events,
                                  world->recovery, &group, 1, &world->journal, &world->error),
                     ERROR_NONE);
    journal_recovery_close(world->recovery);
    world_crash(world, SIMULATED_POWER_FAILURE);
    assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REFUSE), ERROR_CORRUPT);
    assert_int_equal(world_recover(world, JOURNAL_DAMAGE_REPORT), ERROR_NONE);
    assert_true(journal_recovery_find(world->recovery, 1)->damaged);
    assert_int_equal(journal_open(&world->environment->base, &world->options, &events,
                                  world->recovery, &group, 1, &world->journal, &world->error),
                     ERROR_NONE);
    journal_recovery_close(world->recovery);
    world->recovery = NULL;
    struct journal_snapshot snapshot = {.index = 10, .term = 1, .mode = JOURNAL_SNAPSHOT_INSTALLED};
    journal_set_snapshot(world->journal, 1, &snapshot, NULL);
    wait_durable(world);
    world_crash(world, SIMULATED_POWER_FAILURE);
    world_open(world);
    assert_false(journal_recovery_find(world->recovery, 1)->damaged);
    assert_range(world, 1, 11, 11);
}

/* --- Every operation may fail ---------------------------------------------------------------- */

static void the_failure_of_any_operation_loses_nothing_acknowledged(void **state)
{
    struct world *world = *state;
    for (uint64_t failing = 1; failing < 120; failing++) {
        simulated_environment_destroy(world->environment);
        world->environment = simulated_environment_create(failing);
        world->environment->disk.settings.fail_at_operation = failing;
        world->fatal.code = ERROR_NONE;
        uint64_t acknowledged = 0;
        struct journal_events events = {world, on_fatal, on_space};
        if (world_recover(world, JOURNAL_DAMAGE_REFUSE) == ERROR_NONE &&
            journal_open(&world->environment->base, &world->options, &events, world->recovery, NULL,
                         0, &world->journal, &world->error) == ERROR_NONE) {
            static struct flag_request requests[40];
            for (uint64_t i = 1; i <= 40 && world->fatal.code == ERROR_NONE; i++) {
                requests[i - 1] = (struct flag_request){.base.done = flag_set};
                uint8_t payload[8000] = {0};
                struct journal_entry entry = {
                    .index = i, .term = 1, .payload = payload, .payload_bytes = sizeof payload};
                journal_append(world->journal, 1, &entry, 1, &requests[i - 1].base);
                for (unsigned step = 0; step < 1000 && !requests[i - 1].done; step++)
                    if (!simulated_scheduler_step(&world->environment->scheduler))
                        break;
                acknowledged += requests[i - 1].done;
            }
        }
        journal_recovery_close(world->recovery);
        world->recovery = NULL;
        world_crash(world, SIMULATED_POWER_FAILURE);
        world->environment->disk.settings.fail_at_operation = 0;
        if (world_recover(world, JOURNAL_DAMAGE_REFUSE) != ERROR_NONE)
            fail_msg("operation %llu: %s", (unsigned long long)failing, world->error.message);
        const struct journal_group *group = journal_recovery_find(world->recovery, 1);
        assert_true(group == NULL ? acknowledged == 0 : group->next_index > acknowledged);
        journal_recovery_close(world->recovery);
        world->recovery = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        IN_A_WORLD(an_empty_directory_is_an_empty_journal),
        IN_A_WORLD(everything_comes_back_after_a_power_failure),
        IN_A_WORLD(an_installed_snapshot_replaces_every_entry),
        IN_A_WORLD(a_deleted_group_stays_deleted_and_may_begin_anew),
        IN_A_WORLD(requests_finish_in_order),
        IN_A_WORLD(segments_are_recycled_when_nothing_lives_in_them),
        IN_A_WORLD(live_records_of_cold_groups_are_copied_forward),
        IN_A_WORLD(an_entry_larger_than_a_segment_gets_a_larger_segment),
        IN_A_WORLD(groups_move_to_other_lanes_at_a_restart),
        IN_A_WORLD(a_failed_write_is_fatal_and_finishes_nothing),
        IN_A_WORLD(a_full_disk_is_told_early_and_heals),
        IN_A_WORLD(rot_in_acknowledged_records_is_found_wherever_it_is),
        IN_A_WORLD(a_damaged_group_stays_marked_until_it_is_rebuilt),
        IN_A_WORLD(the_failure_of_any_operation_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
