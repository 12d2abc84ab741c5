#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "journal/journal.h"
#include "platform/disk_uring.h"
#include "platform/loop.h"
#include "platform/worker_pool.h"
#include "recovered_entry.h"
#include "scratch_directory.h"

/*
 * The journal on the machine's disk, through io_uring and through threads: several groups append
 * under load, drop most of it, and come back whole.
 */

enum { GROUPS = 8, ENTRIES = 400, KEPT = 20, PAYLOAD = 60000, WINDOW = 16 };

struct fixture {
    struct scratch_directory directory;
    struct worker_pool *workers;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    uint8_t *payload;
    uint64_t submitted, finished;
    struct error error;
    bool fatal;
};

static void fatal_note(void *context, const struct error *error)
{
    struct fixture *fixture = context;
    fixture->fatal = true;
    fixture->error = *error;
    loop_stop(fixture->loop);
}

static void loop_leave(void *context)
{
    loop_stop(((struct fixture *)context)->loop);
}

static void machine_start(struct fixture *fixture, enum disk_engine engine)
{
    struct error *error = &fixture->error;
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){.worker_count = 3},
                                        &fixture->workers, error),
                     ERROR_NONE);
    assert_int_equal(
        loop_create(&(struct loop_options){.workers = fixture->workers}, &fixture->loop, error),
        ERROR_NONE);
    if (disk_uring_create(fixture->directory.path, fixture->loop, engine, &fixture->disk, error) !=
        ERROR_NONE)
        fixture->disk = NULL;
    fixture->environment = (struct environment){
        .scheduler = loop_scheduler(fixture->loop),
        .disk = fixture->disk,
        .clock = clock_system(),
        .random = random_system(),
    };
}

static void machine_stop(struct fixture *fixture)
{
    disk_uring_destroy(fixture->disk);
    worker_pool_destroy(fixture->workers);
    loop_destroy(fixture->loop);
}

static struct fixture *fixture_make(enum disk_engine engine)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    scratch_directory_make(&fixture->directory);
    fixture->payload = malloc(PAYLOAD);
    memset(fixture->payload, 0xa5, PAYLOAD);
    machine_start(fixture, engine);
    return fixture;
}

static int with_uring(void **state)
{
    *state = fixture_make(DISK_ENGINE_URING);
    return 0;
}

static int with_threads(void **state)
{
    *state = fixture_make(DISK_ENGINE_THREADS);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    machine_stop(fixture);
    scratch_directory_remove(&fixture->directory);
    free(fixture->payload);
    free(fixture);
    return 0;
}

static struct journal_recovery *recovered(struct fixture *fixture)
{
    struct journal_recovery *recovery = NULL;
    struct journal_recovery_options options = {.directory = "journal", .pool = fixture->workers};
    if (journal_recover(fixture->disk, &options, &recovery, &fixture->error) != ERROR_NONE)
        fail_msg("%s", fixture->error.message);
    return recovery;
}

static void journal_start(struct fixture *fixture, uint32_t lane)
{
    struct journal_recovery *recovery = recovered(fixture);
    uint64_t groups[GROUPS];
    size_t count = journal_recovery_group_count(recovery);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(recovery, i)->group;
    struct journal_options options = {
        .directory = "journal", .lane = lane, .segment_bytes_max = 16 * 1024 * 1024};
    struct journal_events events = {.context = fixture, .fatal = fatal_note};
    if (journal_open(&fixture->environment, &options, &events, recovery, groups, count,
                     &fixture->journal, &fixture->error) != ERROR_NONE)
        fail_msg("%s", fixture->error.message);
    journal_recovery_close(recovery);
}

struct load_request {
    struct journal_request base;
    struct fixture *fixture;
};

static void load_next(struct load_request *request);

static void load_done(struct journal_request *base)
{
    struct load_request *request = (struct load_request *)base;
    struct fixture *fixture = request->fixture;
    if (++fixture->finished == GROUPS * ENTRIES)
        loop_stop(fixture->loop);
    if (fixture->submitted < GROUPS * ENTRIES)
        load_next(request);
}

static void load_next(struct load_request *request)
{
    struct fixture *fixture = request->fixture;
    uint64_t group = fixture->submitted % GROUPS;
    uint64_t index = fixture->submitted / GROUPS + 1;
    fixture->submitted++;
    struct journal_entry entry = {.index = index,
                                  .term = group + 1,
                                  .payload = fixture->payload,
                                  .payload_bytes = (uint32_t)(PAYLOAD - index)};
    journal_append(fixture->journal, group, &entry, 1, &request->base);
    if (index > KEPT)
        journal_set_low_water(fixture->journal, group, index - KEPT, NULL);
}

static void groups_come_back_whole_after_load_on_a_real_disk(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->disk == NULL)
        skip();
    journal_start(fixture, 2);
    static struct load_request requests[WINDOW];
    for (size_t i = 0; i < WINDOW; i++) {
        requests[i] = (struct load_request){.base.done = load_done, .fixture = fixture};
        load_next(&requests[i]);
    }
    loop_run(fixture->loop);
    if (fixture->fatal)
        fail_msg("%s", fixture->error.message);
    assert_int_equal(fixture->finished, GROUPS * ENTRIES);
    struct journal_statistics statistics;
    journal_get_statistics(fixture->journal, &statistics);
    assert_true(statistics.batches < GROUPS * ENTRIES); /* they share writes */
    assert_true(statistics.segments_recycled > 0);
    journal_close(fixture->journal, loop_leave, fixture);
    loop_run(fixture->loop);

    /* On another lane the second time. */
    for (uint32_t lane = 0; lane < 2; lane++) {
        struct journal_recovery *recovery = recovered(fixture);
        assert_int_equal(journal_recovery_group_count(recovery), GROUPS);
        for (size_t i = 0; i < GROUPS; i++) {
            const struct journal_group *group = journal_recovery_group(recovery, i);
            assert_int_equal(group->first_index, ENTRIES - KEPT + 1);
            assert_int_equal(group->next_index, ENTRIES + 1);
            for (uint64_t index = group->first_index; index < group->next_index; index++) {
                struct journal_entry entry = recovered_entry(recovery, group, index);
                assert_int_equal(entry.payload_bytes, PAYLOAD - index);
                assert_memory_equal(entry.payload, fixture->payload, entry.payload_bytes);
            }
        }
        journal_recovery_close(recovery);
        journal_start(fixture, lane);
        journal_close(fixture->journal, loop_leave, fixture);
        loop_run(fixture->loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"groups_come_back_whole_after_load_on_a_real_disk (uring)",
         groups_come_back_whole_after_load_on_a_real_disk, with_uring, teardown, NULL},
        {"groups_come_back_whole_after_load_on_a_real_disk (threads)",
         groups_come_back_whole_after_load_on_a_real_disk, with_threads, teardown, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
