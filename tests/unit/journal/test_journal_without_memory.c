#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "allocation_faults.h"
#include "journal/journal.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/worker_pool.h"
#include "scratch_directory.h"

/*
 * Every allocation fails once, one after the other: of a recovery, of opening, of writing. Either
 * there is an error that says so, or nothing is missing; and afterwards everything that was
 * acknowledged is there.
 */

enum { GROUPS = 3, PAYLOAD = 3000, FAULTS_MAX = 1000 };

struct fixture {
    struct scratch_directory directory;
    struct worker_pool *workers;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    uint8_t payload[PAYLOAD];
    uint64_t acknowledged; /* entries of each group */
    struct error error;
    bool fatal;
    bool closed;
};

/* --- A journal on the machine's disk --------------------------------------------------------- */

static void on_fatal(void *context, const struct error *error)
{
    struct fixture *fixture = context;
    fixture->fatal = true;
    fixture->error = *error;
    loop_stop(fixture->loop);
}

static void on_closed(void *context)
{
    struct fixture *fixture = context;
    fixture->closed = true;
    loop_stop(fixture->loop);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error *error = &fixture->error;
    *state = fixture;
    scratch_directory_make(&fixture->directory);
    memset(fixture->payload, 0x5a, PAYLOAD);
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){.worker_count = 3},
                                        &fixture->workers, error),
                     ERROR_NONE);
    assert_int_equal(
        loop_create(&(struct loop_options){.workers = fixture->workers}, &fixture->loop, error),
        ERROR_NONE);
    assert_int_equal(disk_uring_create(fixture->directory.path, fixture->loop, DISK_ENGINE_THREADS,
                                       &fixture->disk, error),
                     ERROR_NONE);
    fixture->environment = (struct environment){
        .scheduler = loop_scheduler(fixture->loop),
        .disk = fixture->disk,
        .clock = clock_system(),
        .random = random_system(),
    };
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    disk_uring_destroy(fixture->disk);
    worker_pool_destroy(fixture->workers);
    loop_destroy(fixture->loop);
    scratch_directory_remove(&fixture->directory);
    free(fixture);
    return 0;
}

static enum error_code recover(struct fixture *fixture, struct journal_recovery **recovery)
{
    struct journal_recovery_options options = {.directory = "journal"};
    return journal_recover(fixture->disk, &options, recovery, &fixture->error);
}

static enum error_code open_journal(struct fixture *fixture, struct journal_recovery *recovery)
{
    uint64_t groups[GROUPS];
    size_t count = journal_recovery_group_count(recovery);
    assert_in_range(count, 0, GROUPS);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(recovery, i)->group;
    struct journal_options options = {
        .directory = "journal", .segment_bytes_min = 128 * 1024, .segment_bytes_max = 128 * 1024};
    struct journal_events events = {.context = fixture, .fatal = on_fatal};
    fixture->fatal = false;
    return journal_open(&fixture->environment, &options, &events, recovery, groups, count,
                        &fixture->journal, &fixture->error);
}

static void close_journal(struct fixture *fixture)
{
    fixture->closed = false;
    journal_close(fixture->journal, on_closed, fixture);
    while (!fixture->closed) /* a fatal error stops the loop, too */
        loop_run(fixture->loop);
    fixture->journal = NULL;
}

static void check(struct fixture *fixture, const struct journal_recovery *recovery)
{
    for (uint64_t i = 1; fixture->acknowledged > 0 && i <= GROUPS; i++) {
        const struct journal_group *group = journal_recovery_find(recovery, i);
        assert_non_null(group);
        assert_true(group->next_index > fixture->acknowledged);
        for (uint64_t index = group->first_index; index < group->next_index; index++) {
            struct journal_entry entry = journal_recovery_entry(group, index);
            assert_int_equal(entry.payload_bytes, PAYLOAD);
            assert_memory_equal(entry.payload, fixture->payload, PAYLOAD);
        }
    }
}

static void on_durable(struct journal_request *request)
{
    (void)request;
}

struct barrier {
    struct journal_request base; /* first */
    struct fixture *fixture;
    bool reached;
};

static void on_barrier(struct journal_request *request)
{
    struct barrier *barrier = (struct barrier *)request;
    barrier->reached = true;
    loop_stop(barrier->fixture->loop);
}

/* `count` entries of each group; a snapshot lets go of most that was before. */
static void write_entries(struct fixture *fixture, uint64_t count)
{
    static struct journal_request requests[GROUPS];
    uint64_t last = 0;
    for (uint64_t group = 1; group <= GROUPS; group++) {
        struct journal_range range = journal_group_range(fixture->journal, group);
        for (uint64_t i = 0; i < count && !fixture->fatal; i++) {
            struct journal_entry entry = {.index = range.next_index + i,
                                          .term = 1,
                                          .payload = fixture->payload,
                                          .payload_bytes = PAYLOAD};
            journal_append(fixture->journal, group, &entry, 1, NULL);
        }
        last = range.next_index + count - 1;
        struct journal_snapshot snapshot = {.index = last,
                                            .term = 1,
                                            .low_water = last - 2,
                                            .payload = fixture->payload,
                                            .payload_bytes = 10};
        requests[group - 1] = (struct journal_request){.done = on_durable};
        if (!fixture->fatal)
            journal_set_snapshot(fixture->journal, group, &snapshot, &requests[group - 1]);
    }
    struct barrier barrier = {.base.done = on_barrier, .fixture = fixture};
    if (!fixture->fatal)
        journal_barrier(fixture->journal, &barrier.base);
    while (!barrier.reached && !fixture->fatal)
        loop_run(fixture->loop);
    if (barrier.reached)
        fixture->acknowledged = last;
}

static void first_life(struct fixture *fixture)
{
    struct journal_recovery *recovery = NULL;
    assert_int_equal(recover(fixture, &recovery), ERROR_NONE);
    assert_int_equal(open_journal(fixture, recovery), ERROR_NONE);
    journal_recovery_close(recovery);
    write_entries(fixture, 30);
    assert_false(fixture->fatal);
    close_journal(fixture);
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void a_recovery_without_memory_says_so(void **state)
{
    struct fixture *fixture = *state;
    first_life(fixture);
    size_t fault = 1;
    bool injected = true;
    for (; injected && fault < FAULTS_MAX; fault++) {
        struct journal_recovery *recovery = NULL;
        allocation_faults_arm(fault);
        enum error_code code = recover(fixture, &recovery);
        injected = allocation_faults_disarm();
        if (code == ERROR_NONE)
            check(fixture, recovery);
        else
            assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        assert_true(injected || code == ERROR_NONE);
        journal_recovery_close(recovery);
    }
    assert_in_range(fault, 10, FAULTS_MAX - 1);
}

static void a_journal_that_cannot_be_opened_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    first_life(fixture);
    size_t fault = 1;
    bool injected = true;
    for (; injected && fault < FAULTS_MAX; fault++) {
        struct journal_recovery *recovery = NULL;
        assert_int_equal(recover(fixture, &recovery), ERROR_NONE);
        check(fixture, recovery);
        allocation_faults_arm(fault);
        enum error_code code = open_journal(fixture, recovery);
        injected = allocation_faults_disarm();
        journal_recovery_close(recovery);
        if (code == ERROR_NONE || fixture->journal != NULL)
            close_journal(fixture);
        else
            assert_int_equal(code, ERROR_OUT_OF_MEMORY);
    }
    assert_in_range(fault, 10, FAULTS_MAX - 1);
}

static void what_was_acknowledged_survives_any_failed_allocation(void **state)
{
    struct fixture *fixture = *state;
    first_life(fixture);
    size_t fault = 1;
    bool injected = true;
    for (; injected && fault < FAULTS_MAX; fault++) {
        struct journal_recovery *recovery = NULL;
        assert_int_equal(recover(fixture, &recovery), ERROR_NONE);
        check(fixture, recovery);
        assert_int_equal(open_journal(fixture, recovery), ERROR_NONE);
        journal_recovery_close(recovery);
        allocation_faults_arm(fault);
        write_entries(fixture, 30);
        injected = allocation_faults_disarm();
        assert_true(injected || !fixture->fatal);
        close_journal(fixture);
    }
    assert_in_range(fault, 5, FAULTS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_recovery_without_memory_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(a_journal_that_cannot_be_opened_changes_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_survives_any_failed_allocation, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
