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
 * Several loops adopt from one recovery at once and let go of the same old segments; for the
 * thread sanitizer as much as for the outcome.
 */

enum { LANES = 3, GROUPS = 12, ENTRIES = 200, PAYLOAD = 5000 };

struct lane {
    uint32_t number;
    struct loop *loop;
    struct disk *disk;
    struct environment environment;
    struct journal *journal;
    struct journal_recovery *recovery;
    uint64_t groups[GROUPS];
    size_t group_count;
    bool fatal;
    struct error error;
};

static struct scratch_directory directory;
static struct worker_pool *workers;
static uint8_t payload[PAYLOAD];

static void on_fatal(void *context, const struct error *error)
{
    struct lane *lane = context;
    lane->fatal = true;
    lane->error = *error;
    loop_stop(lane->loop);
}

static void on_closed(void *context)
{
    loop_stop(((struct lane *)context)->loop);
}

static void lane_begin(struct lane *lane, uint32_t number, size_t lane_count)
{
    *lane = (struct lane){.number = number};
    assert_int_equal(
        loop_create(&(struct loop_options){.workers = workers}, &lane->loop, &lane->error),
        ERROR_NONE);
    assert_int_equal(
        disk_uring_create(directory.path, lane->loop, DISK_ENGINE_BEST, &lane->disk, &lane->error),
        ERROR_NONE);
    lane->environment = (struct environment){.scheduler = loop_scheduler(lane->loop),
                                             .disk = lane->disk,
                                             .clock = clock_system(),
                                             .random = random_system()};
    for (uint64_t group = number; group < GROUPS; group += lane_count)
        lane->groups[lane->group_count++] = group;
}

/* On the lane's thread: open, write more, drop what was there before, close. */
static void lane_work(void *argument)
{
    struct lane *lane = argument;
    struct journal_options options = {.directory = "journal",
                                      .lane = lane->number,
                                      .segment_bytes_min = 256 * 1024,
                                      .segment_bytes_max = 1024 * 1024};
    struct journal_events events = {.context = lane, .fatal = on_fatal};
    bool fresh = journal_recovery_group_count(lane->recovery) == 0;
    if (journal_open(&lane->environment, &options, &events, lane->recovery, lane->groups,
                     fresh ? 0 : lane->group_count, &lane->journal, &lane->error) != ERROR_NONE) {
        on_fatal(lane, &lane->error);
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        for (size_t j = 0; j < lane->group_count; j++) {
            struct journal_range range = journal_group_range(lane->journal, lane->groups[j]);
            struct journal_entry entry = {
                .index = range.next_index, .term = 1, .payload = payload, .payload_bytes = PAYLOAD};
            journal_append(lane->journal, lane->groups[j], &entry, 1, NULL);
            if (range.next_index > ENTRIES)
                journal_set_low_water(lane->journal, lane->groups[j], range.next_index - ENTRIES,
                                      NULL);
        }
    journal_close(lane->journal, on_closed, lane);
}

/* One life with `lane_count` loops. */
static void live(size_t lane_count, uint64_t expected_next)
{
    struct lane lanes[LANES];
    struct error error;
    for (uint32_t i = 0; i < lane_count; i++)
        lane_begin(&lanes[i], i, lane_count);
    struct journal_recovery *recovery = NULL;
    struct journal_recovery_options options = {.directory = "journal", .pool = workers};
    if (journal_recover(lanes[0].disk, &options, &recovery, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < journal_recovery_group_count(recovery); i++) {
        const struct journal_group *group = journal_recovery_group(recovery, i);
        assert_int_equal(group->next_index, expected_next);
        assert_int_equal(group->first_index, expected_next - ENTRIES);
        for (uint64_t index = group->first_index; index < group->next_index; index++)
            assert_memory_equal(recovered_entry(recovery, group, index).payload, payload, PAYLOAD);
    }
    for (size_t i = 0; i < lane_count; i++) {
        lanes[i].recovery = recovery;
        assert_int_equal(loop_start(lanes[i].loop, &error), ERROR_NONE);
    }
    for (size_t i = 0; i < lane_count; i++)
        loop_call(lanes[i].loop, lane_work, &lanes[i]);
    journal_recovery_close(recovery); /* all have adopted; they are still busy */
    for (size_t i = 0; i < lane_count; i++) {
        loop_join(lanes[i].loop);
        if (lanes[i].fatal)
            fail_msg("%s", lanes[i].error.message);
    }
    for (size_t i = 0; i < lane_count; i++)
        disk_uring_destroy(lanes[i].disk);
    /* Workers may still be on their way out of a job of a loop. */
    worker_pool_destroy(workers);
    for (size_t i = 0; i < lane_count; i++)
        loop_destroy(lanes[i].loop);
    assert_int_equal(
        worker_pool_create(&(struct worker_pool_options){.worker_count = 3}, &workers, &error),
        ERROR_NONE);
}

static void groups_are_dealt_out_anew_to_any_number_of_loops(void **state)
{
    (void)state;
    struct error error;
    memset(payload, 0x3c, sizeof payload);
    scratch_directory_make(&directory);
    assert_int_equal(
        worker_pool_create(&(struct worker_pool_options){.worker_count = 3}, &workers, &error),
        ERROR_NONE);
    static const size_t LANE_COUNTS[] = {2, 3, 1, 3};
    for (size_t i = 0; i < sizeof LANE_COUNTS / sizeof LANE_COUNTS[0]; i++)
        live(LANE_COUNTS[i], i * ENTRIES + 1);
    worker_pool_destroy(workers);
    scratch_directory_remove(&directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_dealt_out_anew_to_any_number_of_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
