#include "../group_medium.h"

#include <assert.h>
#include <stdlib.h>

#include "platform/environment.h"
#include "simulated_disk.h"

enum { SEGMENT_BYTES = 128 * 1024, GROUPS_MAX = 16 };

struct group_medium {
    struct environment environment;
    struct random_generator random;
    struct simulated_disk disk;
    bool crashed;
};

struct group_medium *group_medium_create(struct simulated_scheduler *scheduler,
                                         enum group_medium_mode mode)
{
    struct group_medium *medium = calloc(1, sizeof *medium);
    assert(medium != NULL);
    simulated_disk_init(&medium->disk, scheduler, random_next(&scheduler->random.base));
    random_generator_init(&medium->random, random_next(&scheduler->random.base));
    medium->disk.settings.ignore_sync = mode == MEDIUM_LYING;
    medium->environment = (struct environment){
        .scheduler = &scheduler->base,
        .disk = &medium->disk.base,
        .clock = &scheduler->clock->base,
        .random = &medium->random.base,
    };
    return medium;
}

void group_medium_destroy(struct group_medium *medium)
{
    simulated_disk_clear(&medium->disk);
    free(medium);
}

void group_medium_set_delay(struct group_medium *medium, uint64_t delay_ms)
{
    medium->disk.settings.slow_per_thousand = delay_ms > 100 ? 100 : (uint32_t)delay_ms;
}

struct journal_recovery *group_medium_recover(struct group_medium *medium, struct error *error)
{
    if (medium->crashed)
        simulated_disk_restart(&medium->disk);
    medium->crashed = false;
    struct journal_recovery_options options = {.directory = "journal"};
    struct journal_recovery *recovery = NULL;
    return journal_recover(&medium->disk.base, &options, &recovery, error) == ERROR_NONE ? recovery
                                                                                         : NULL;
}

/* What was submitted at a crash fails, as it should; the node is told by who crashed it. */
static void ignore_fatal(void *context, const struct error *error)
{
    (void)error;
    assert(((struct group_medium *)context)->crashed);
}

struct journal *group_medium_open(struct group_medium *medium, struct journal_recovery *recovery,
                                  struct error *error)
{
    uint64_t groups[GROUPS_MAX];
    size_t count = journal_recovery_group_count(recovery);
    assert(count <= GROUPS_MAX);
    for (size_t i = 0; i < count; i++)
        groups[i] = journal_recovery_group(recovery, i)->group;
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = SEGMENT_BYTES,
        .segment_bytes_max = SEGMENT_BYTES,
    };
    struct journal_events events = {.context = medium, .fatal = ignore_fatal};
    struct journal *journal = NULL;
    return journal_open(&medium->environment, &options, &events, recovery, groups, count, &journal,
                        error) == ERROR_NONE
               ? journal
               : NULL;
}

void group_medium_crash(struct group_medium *medium)
{
    medium->crashed = true;
    simulated_disk_crash(&medium->disk, random_below(&medium->random.base, 4) == 0
                                            ? SIMULATED_KILL
                                            : SIMULATED_POWER_FAILURE);
}
