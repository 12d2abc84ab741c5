/* Every allocation of a journal's life fails once, one after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "allocation_faults.h"
#include "journal/journal.h"
#include "recovered_entry.h"
#include "simulated_environment.h"

enum { STEPS_MAX = 1000000, GROUPS = 3, ENTRIES = 20, PAYLOAD_BYTES = 900 };

struct world {
    struct simulated_environment *environment;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct error fatal;
    size_t done;
    bool closed;
};

static void on_fatal(void *context, const struct error *error)
{
    ((struct world *)context)->fatal = *error;
}

static void on_closed(void *context)
{
    ((struct world *)context)->closed = true;
}

static enum error_code recover(struct world *world, struct error *error)
{
    const struct journal_recovery_options options = {.directory = "journal"};
    return journal_recover(world->environment->base.disk, &options, &world->recovery, error);
}

static enum error_code open_journal(struct world *world, struct error *error)
{
    const struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = 64 * 1024,
        .segment_bytes_max = 64 * 1024,
    };
    const struct journal_events events = {.context = world, .fatal = on_fatal};
    uint64_t groups[GROUPS];
    size_t count = journal_recovery_group_count(world->recovery);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(world->recovery, i)->group;
    return journal_open(&world->environment->base, &options, &events, world->recovery, groups,
                        count, &world->journal, error);
}

static void close_recovery(struct world *world)
{
    journal_recovery_close(world->recovery);
    world->recovery = NULL;
}

static void close_journal(struct world *world)
{
    world->closed = false;
    journal_close(world->journal, on_closed, world);
    assert_true(
        simulated_scheduler_run_until(&world->environment->scheduler, &world->closed, STEPS_MAX));
    world->journal = NULL;
}

static struct world *world_create(void)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->environment = simulated_environment_create(11);
    return world;
}

static void world_open(struct world *world)
{
    struct error error;
    if (recover(world, &error) != ERROR_NONE || open_journal(world, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    close_recovery(world);
}

static void world_destroy(struct world *world)
{
    if (world->journal != NULL)
        close_journal(world);
    close_recovery(world);
    simulated_environment_destroy(world->environment);
    free(world);
}

/* --- Writing --------------------------------------------------------------------------------- */

struct counted_request {
    struct journal_request request;
    struct world *world;
};

static void on_done(struct journal_request *request)
{
    ((struct counted_request *)request)->world->done++;
}

/* Entries, metadata and snapshots of some groups; false when the journal gave up on the way. */
static bool write_all(struct world *world)
{
    static struct counted_request requests[GROUPS * (ENTRIES + 2)];
    uint8_t payload[PAYLOAD_BYTES];
    size_t count = 0;
    world->done = 0;
    for (uint64_t index = 1; index <= ENTRIES; index++)
        for (uint64_t group = 1; group <= GROUPS && world->fatal.code == ERROR_NONE; group++) {
            memset(payload, (int)(group * 50 + index), sizeof payload);
            const struct journal_entry entry = {
                .index = journal_group_range(world->journal, group).next_index,
                .term = 1,
                .version = 1,
                .payload = payload,
                .payload_bytes = sizeof payload,
            };
            requests[count] = (struct counted_request){{.done = on_done}, world};
            journal_append(world->journal, group, &entry, 1, &requests[count++].request);
            simulated_scheduler_step(&world->environment->scheduler);
        }
    for (uint64_t group = 1; group <= GROUPS && world->fatal.code == ERROR_NONE; group++) {
        const struct journal_snapshot snapshot = {
            .index = ENTRIES / 2,
            .term = 1,
            .low_water = ENTRIES / 2,
            .mode = JOURNAL_SNAPSHOT_TAKEN,
            .version = 1,
            .payload = payload,
            .payload_bytes = sizeof payload,
        };
        requests[count] = (struct counted_request){{.done = on_done}, world};
        journal_set_metadata(world->journal, group, 2, group, &requests[count++].request);
        requests[count] = (struct counted_request){{.done = on_done}, world};
        journal_set_snapshot(world->journal, group, &snapshot, &requests[count++].request);
    }
    for (size_t i = 0; i < STEPS_MAX && world->done < count && world->fatal.code == ERROR_NONE; i++)
        simulated_scheduler_step(&world->environment->scheduler);
    return world->done == count && world->fatal.code == ERROR_NONE;
}

/* Requests finish in order, so what is done is a prefix of what was asked for. */
static void expect_entries(struct world *world, size_t done)
{
    for (uint64_t group = 1; group <= GROUPS; group++) {
        size_t entries = done / GROUPS + (done % GROUPS >= group);
        const struct journal_group *found = journal_recovery_find(world->recovery, group);
        if (entries > ENTRIES)
            entries = ENTRIES;
        assert_true(entries == 0 || found->next_index > entries);
        for (uint64_t i = 1; i <= entries; i++) {
            if (i < found->first_index)
                continue;
            struct journal_entry entry = recovered_entry(world->recovery, found, i);
            assert_int_equal(entry.payload_bytes, PAYLOAD_BYTES);
            assert_int_equal(entry.payload[PAYLOAD_BYTES - 1], (uint8_t)(group * 50 + i));
        }
    }
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void a_recovery_without_memory_says_so_and_changes_nothing(void **state)
{
    (void)state;
    struct world *world = world_create();
    struct error error;
    world_open(world);
    assert_true(write_all(world));
    close_journal(world);
    size_t survived = 0;
    for (size_t number = 1;; number++) {
        allocation_faults_arm(number);
        enum error_code code = recover(world, &error);
        if (!allocation_faults_disarm()) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        assert_null(world->recovery);
        survived++;
    }
    assert_true(survived > 5);
    expect_entries(world, GROUPS * ENTRIES);
    world_destroy(world);
}

static void an_opening_without_memory_says_so_and_can_be_repeated(void **state)
{
    (void)state;
    struct world *world = world_create();
    struct error error;
    world_open(world);
    assert_true(write_all(world));
    close_journal(world);
    size_t survived = 0;
    for (size_t number = 1;; number++) {
        assert_int_equal(recover(world, &error), ERROR_NONE);
        allocation_faults_arm(number);
        enum error_code code = open_journal(world, &error);
        bool injected = allocation_faults_disarm();
        if (!injected)
            break;
        assert_true(code == ERROR_OUT_OF_MEMORY || code == ERROR_NONE);
        if (code == ERROR_NONE)
            close_journal(world); /* it could do without */
        assert_null(world->journal);
        close_recovery(world);
        survived++;
    }
    assert_true(survived > 5);
    expect_entries(world, GROUPS * ENTRIES);
    world_destroy(world);
}

static void writing_without_memory_is_fatal_and_loses_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    size_t survived = 0;
    for (size_t number = 1;; number++) {
        struct world *world = world_create();
        struct error error;
        world_open(world);
        allocation_faults_arm(number);
        bool complete = write_all(world);
        bool injected = allocation_faults_disarm();
        assert_true(complete || world->fatal.code == ERROR_OUT_OF_MEMORY);
        simulated_environment_crash(world->environment, SIMULATED_POWER_FAILURE);
        close_journal(world);
        simulated_environment_restart(world->environment);
        assert_int_equal(recover(world, &error), ERROR_NONE);
        expect_entries(world, world->done);
        world_destroy(world);
        if (!injected) {
            assert_true(complete);
            break;
        }
        survived++;
    }
    assert_true(survived > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recovery_without_memory_says_so_and_changes_nothing),
        cmocka_unit_test(an_opening_without_memory_says_so_and_can_be_repeated),
        cmocka_unit_test(writing_without_memory_is_fatal_and_loses_nothing_that_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
