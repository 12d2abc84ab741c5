/*
 * journal_simulation - the real journal on a simulated disk, from one seed.
 *
 * Every seed lives several lives: some lanes, a dozen groups of which most are cold, random
 * operations, then a clean end, a power failure, a kill or a failed write; full disks and slow
 * ones on the way; bits that rot between two lives. After each recovery every group must be what
 * the acknowledged operations, and perhaps some of those in flight, make of it (journal_model.h).
 *
 *     journal_simulation [--seeds N] [--first S] [--break sync|journal] [--verbose]
 *
 * --break lets the disk lie about syncs, or the journal write without them: a run must then fail.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "journal_run.h"

enum { STEPS_MAX = 4000000 };

/* --- Events of the journals ------------------------------------------------------------------ */

static void on_fatal(void *context, const struct error *error)
{
    (void)error;
    struct run *run = context;
    run->fatal = true;
    run->counts.fatal_errors += !run->environment->disk.crashed;
}

static void on_space(void *context, enum journal_space space)
{
    ((struct run *)context)->counts.space_low += space == JOURNAL_SPACE_LOW;
}

static void on_closed(void *context)
{
    *(bool *)context = true;
}
static enum simulated_crash crash_choose(struct run *run)
{
    return chance(run, 60) ? SIMULATED_POWER_FAILURE : SIMULATED_KILL;
}

/* Unless it did already, in the middle of an operation. */
static void go_down(struct run *run)
{
    if (!run->environment->disk.crashed)
        simulated_environment_crash(run->environment, crash_choose(run));
}

/* In the middle of one of the next operations, of a batch or of a job that prepares a segment. */
static void arm_crash(struct run *run, uint32_t operations)
{
    struct simulated_disk *disk = &run->environment->disk;
    disk->settings.crash_at_operation = disk->operations + 1 + below(run, operations);
    disk->settings.crash = crash_choose(run);
    disk->settings.crash_at_sync = chance(run, 30);
}

/* --- Recovery and opening -------------------------------------------------------------------- */

static bool recover(struct run *run, struct error *error)
{
    struct journal_recovery_options options = {.directory = "journal"};
    return journal_recover(run->environment->base.disk, &options, &run->recovery, error) ==
           ERROR_NONE;
}

/* A bit flips. Either that is noticed, and undone, or it must not matter. */
static void recover_with_rot(struct run *run)
{
    struct simulated_disk *disk = &run->environment->disk;
    uint64_t size = 0;
    const char *chosen = simulated_disk_choose(disk, "journal/", &size);
    if (chosen == NULL)
        return;
    char path[DISK_PATH_MAX + 1];
    memcpy(path, chosen, strlen(chosen) + 1);
    struct simulated_disk_image *image = simulated_disk_save(disk);
    simulated_disk_flip(disk, path, simulated_disk_choose_bit(disk, path));
    struct error error;
    if (recover(run, &error)) {
        run->counts.rot_harmless++;
        simulated_disk_forget(image);
        return;
    }
    if (error.code == ERROR_CORRUPT || error.code == ERROR_UNSUPPORTED)
        run->counts.rot_detected++;
    simulated_disk_go_back(disk, image);
}

/* Reads entries back; the faults that are armed are for others. */
static void check(struct run *run)
{
    struct simulated_disk *disk = &run->environment->disk;
    struct simulated_disk_settings armed = disk->settings;
    uint64_t operations_before = disk->operations;
    disk->settings.fail_at_operation = disk->settings.crash_at_operation = 0;
    disk->settings.failure_per_million = 0;
    for (size_t i = 0; i < GROUPS && run->failure[0] == '\0'; i++) {
        struct model_group *group = &run->groups[i];
        const struct journal_group *found = journal_recovery_find(run->recovery, group->group);
        uint64_t acknowledged = group->acknowledged, operations = group->operation_count;
        run->counts.acknowledged += acknowledged;
        if (!model_group_confirm(group, run->recovery, found))
            snprintf(run->failure, sizeof run->failure,
                     "group %llu is in none of the states that %llu acknowledged of %llu "
                     "operations allow (found: %s, entries [%llu, %llu))",
                     (unsigned long long)group->group, (unsigned long long)acknowledged,
                     (unsigned long long)operations, found == NULL ? "no" : "yes",
                     found == NULL ? 0 : (unsigned long long)found->first_index,
                     found == NULL ? 0 : (unsigned long long)found->next_index);
    }
    disk->settings = armed;
    disk->operations = operations_before;
    size_t expected = 0;
    for (size_t i = 0; i < GROUPS; i++)
        expected += run->groups[i].confirmed.exists;
    if (run->failure[0] == '\0' && journal_recovery_group_count(run->recovery) != expected)
        snprintf(run->failure, sizeof run->failure, "%zu groups came back, not %zu",
                 journal_recovery_group_count(run->recovery), expected);
}

static struct journal_options lane_options(struct run *run, uint32_t lane)
{
    uint64_t smallest = 65536u << below(run, 3);
    return (struct journal_options){
        .directory = "journal",
        .lane = lane,
        .in_flight_max = 1 + below(run, 4),
        .segment_bytes_min = smallest,
        .segment_bytes_max = smallest << below(run, 3),
        .queue_bytes_max = 2000000,
        .pinned_bytes_max = 200000 + below(run, 800000),
        .free_bytes_min = 1,
        .durability = run->breakage == BREAK_JOURNAL ? JOURNAL_UNSAFE_FOR_TESTS : JOURNAL_DURABLE,
    };
}

static bool lane_open(struct run *run, size_t position, uint32_t lane, struct error *error)
{
    uint64_t adopted[GROUPS];
    size_t count = 0;
    for (size_t i = 0; i < GROUPS; i++)
        if (run->groups[i].lane == position && run->groups[i].confirmed.exists)
            adopted[count++] = run->groups[i].group;
    struct journal_options options = lane_options(run, lane);
    struct journal_events events = {run, on_fatal, on_space};
    return journal_open(&run->environment->base, &options, &events, run->recovery, adopted, count,
                        &run->journals[position], error) == ERROR_NONE;
}

/* False when something on the way failed, as it may: the machine goes down again. */
static bool start(struct run *run, bool after_clean_end)
{
    struct simulated_disk *disk = &run->environment->disk;
    struct error error;
    bool rots = after_clean_end && run->breakage == BREAK_NOTHING && chance(run, 50);
    run->recovery = NULL;
    if (chance(run, 10))
        disk->settings.fail_at_operation = disk->operations + 1 + below(run, 60);
    else if (!rots && chance(run, 10))
        arm_crash(run, 60);
    if (rots)
        recover_with_rot(run);
    if (run->recovery == NULL && !recover(run, &error)) {
        if (error.code != ERROR_IO)
            snprintf(run->failure, sizeof run->failure, "recovery: %s", error.message);
        run->counts.failed_recoveries++;
        return false;
    }
    run->counts.recoveries++;
    run->counts.torn_tails += journal_recovery_summary(run->recovery).torn_tails;
    check(run);
    if (run->failure[0] != '\0')
        return false;
    run->lane_count = 1 + below(run, LANES);
    for (size_t i = 0; i < GROUPS; i++)
        run->groups[i].lane = below(run, (uint32_t)run->lane_count);
    uint32_t first_lane = below(run, 3);
    for (size_t i = 0; i < run->lane_count; i++) {
        bool interrupted = chance(run, 3);
        if (interrupted || !lane_open(run, i, first_lane + (uint32_t)i, &error)) {
            run->counts.interrupted_openings++;
            return false;
        }
    }
    journal_recovery_close(run->recovery);
    run->recovery = NULL;
    return true;
}

/* --- A life ---------------------------------------------------------------------------------- */

static void close_begin(struct run *run)
{
    for (size_t i = 0; i < LANES; i++) {
        if (run->journals[i] == NULL)
            continue;
        struct journal_statistics statistics;
        journal_get_statistics(run->journals[i], &statistics);
        run->counts.copied_records += statistics.copied_records;
        run->counts.recycled_segments += statistics.segments_recycled;
        run->counts.stalls += statistics.stalls;
        run->counts.trims += statistics.trims;
        run->closed[i] = false;
        journal_close(run->journals[i], on_closed, &run->closed[i]);
    }
}

static void close_finish(struct run *run)
{
    for (size_t i = 0; i < LANES; i++) {
        if (run->journals[i] != NULL &&
            !simulated_scheduler_run_until(&run->environment->scheduler, &run->closed[i],
                                           STEPS_MAX)) {
            /* Nothing can be cleaned up after this. */
            printf("FAILED: seed %llu: lane %zu does not close\n", (unsigned long long)run->seed,
                   i);
            exit(1);
        }
        run->journals[i] = NULL;
    }
    journal_recovery_close(run->recovery);
    run->recovery = NULL;
}

static void live(struct run *run)
{
    struct simulated_disk_settings *settings = &run->environment->disk.settings;
    settings->fail_at_operation = settings->crash_at_operation = 0;
    if (chance(run, 50))
        arm_crash(run, 300);
    settings->slow_per_thousand = chance(run, 30) ? below(run, 50) : 0;
    settings->failure_per_million = chance(run, 10) ? 200 + below(run, 3000) : 0;
    uint32_t operations = 50 + below(run, 400);
    bool fills = chance(run, 25);
    for (uint32_t i = 0; i < operations && !run->fatal && !run->environment->disk.crashed; i++) {
        if (fills && i == operations / 4)
            settings->capacity_bytes =
                simulated_disk_used_bytes(&run->environment->disk) + below(run, 300000);
        if (i == operations * 3 / 4)
            settings->capacity_bytes = UINT64_MAX;
        journal_operate(run);
        if (chance(run, 3))
            journal_trim_something(run);
        uint32_t steps = chance(run, 5) ? below(run, 500) : below(run, 8);
        for (uint32_t j = 0; j < steps; j++)
            if (!simulated_scheduler_step(&run->environment->scheduler))
                break;
    }
}

/* Returns whether it ended cleanly. */
static bool life(struct run *run, bool after_clean_end)
{
    struct simulated_disk *disk = &run->environment->disk;
    run->fatal = false;
    run->counts.lives++;
    disk->settings = (struct simulated_disk_settings){
        .capacity_bytes = UINT64_MAX,
        .ignore_sync = run->breakage == BREAK_SYNC,
    };
    if (start(run, after_clean_end))
        live(run);
    bool clean = run->failure[0] == '\0' && !run->fatal && !disk->crashed &&
                 run->recovery == NULL && run->journals[0] != NULL && chance(run, 40);
    if (clean && chance(run, 30)) {
        close_begin(run);
        for (uint32_t steps = below(run, 300); steps > 0; steps--)
            if (!simulated_scheduler_step(&run->environment->scheduler))
                break;
        run->counts.interrupted_ends++;
        go_down(run);
        close_finish(run);
        clean = false;
    } else if (clean) {
        disk->settings.failure_per_million = 0;
        disk->settings.fail_at_operation = 0;
        disk->settings.crash_at_operation = 0;
        disk->settings.capacity_bytes = UINT64_MAX;
        close_begin(run);
        close_finish(run);
        clean = !run->fatal;
        run->counts.clean_ends += clean;
        simulated_environment_crash(run->environment, SIMULATED_KILL);
    } else {
        go_down(run);
        close_begin(run);
        close_finish(run);
    }
    simulated_environment_restart(run->environment);
    return clean;
}

/* --- Seeds ----------------------------------------------------------------------------------- */

struct sums {
    struct counts counts;
    struct simulated_fault_counts faults;
};

static bool seed_run(uint64_t seed, enum breakage breakage, struct sums *sums, char *failure,
                     size_t failure_bytes)
{
    struct run *run = calloc(1, sizeof *run);
    assert(run != NULL);
    run->environment = simulated_environment_create(seed);
    run->seed = seed;
    run->breakage = breakage;
    run->payload = malloc(300000);
    assert(run->payload != NULL);
    random_generator_init(&run->random, seed ^ UINT64_C(0x6a6f75726e616c));
    for (size_t i = 0; i < GROUPS; i++) {
        run->groups[i].group = i * i * 1000 + i;
        run->groups[i].weight = i < 3 ? 100 : i < 6 ? 10 : 1;
    }
    uint32_t lives = 4 + below(run, 6);
    bool clean = false;
    for (uint32_t i = 0; i < lives && run->failure[0] == '\0'; i++)
        clean = life(run, clean);
    uint64_t *into = (uint64_t *)&sums->counts;
    const uint64_t *from = (const uint64_t *)&run->counts;
    for (size_t i = 0; i < sizeof run->counts / sizeof *from; i++)
        into[i] += from[i];
    simulated_fault_counts_add(&sums->faults, &run->environment->disk.counts);
    snprintf(failure, failure_bytes, "%s", run->failure);
    bool passed = run->failure[0] == '\0';
    for (size_t i = 0; i < GROUPS; i++)
        model_group_clear(&run->groups[i]);
    simulated_environment_destroy(run->environment);
    free(run->payload);
    free(run);
    return passed;
}

static void sums_print(const struct sums *sums)
{
    const struct counts *counts = &sums->counts;
    printf("lives=%llu operations=%llu acknowledged=%llu recoveries=%llu failed_recoveries=%llu "
           "clean_ends=%llu interrupted_openings=%llu\n",
           (unsigned long long)counts->lives, (unsigned long long)counts->operations,
           (unsigned long long)counts->acknowledged, (unsigned long long)counts->recoveries,
           (unsigned long long)counts->failed_recoveries, (unsigned long long)counts->clean_ends,
           (unsigned long long)counts->interrupted_openings);
    printf("torn_tails=%llu rot_detected=%llu rot_harmless=%llu fatal_errors=%llu space_low=%llu "
           "stalls=%llu copied_records=%llu recycled_segments=%llu trims=%llu "
           "interrupted_ends=%llu\n",
           (unsigned long long)counts->torn_tails, (unsigned long long)counts->rot_detected,
           (unsigned long long)counts->rot_harmless, (unsigned long long)counts->fatal_errors,
           (unsigned long long)counts->space_low, (unsigned long long)counts->stalls,
           (unsigned long long)counts->copied_records,
           (unsigned long long)counts->recycled_segments, (unsigned long long)counts->trims,
           (unsigned long long)counts->interrupted_ends);
    simulated_fault_counts_print(&sums->faults);
}

/* A breakage that no seed notices would mean that the simulation proves nothing. */
static bool breakage_is_noticed(enum breakage breakage, const char *name)
{
    enum { TRIES = 40 };
    char failure[400];
    for (uint64_t seed = 1; seed <= TRIES; seed++) {
        struct sums ignored = {0};
        if (!seed_run(seed, breakage, &ignored, failure, sizeof failure)) {
            printf("broken on purpose (%s): noticed by seed %llu: %s\n", name,
                   (unsigned long long)seed, failure);
            return true;
        }
    }
    printf("FAILED: broken on purpose (%s), and %d seeds did not notice\n", name, TRIES);
    return false;
}

int main(int argument_count, char **arguments)
{
    uint64_t seeds = 200, first = 1;
    bool verbose = false;
    enum breakage breakage = BREAK_NOTHING;
    for (int i = 1; i < argument_count; i++) {
        bool has_value = i + 1 < argument_count;
        if (strcmp(arguments[i], "--seeds") == 0 && has_value)
            seeds = strtoull(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--first") == 0 && has_value)
            first = strtoull(arguments[++i], NULL, 10);
        else if (strcmp(arguments[i], "--break") == 0 && has_value)
            breakage = strcmp(arguments[++i], "sync") == 0 ? BREAK_SYNC : BREAK_JOURNAL;
        else if (strcmp(arguments[i], "--verbose") == 0)
            verbose = true;
        else {
            fprintf(stderr,
                    "usage: %s [--seeds N] [--first S] [--break sync|journal] "
                    "[--verbose]\n",
                    arguments[0]);
            return 2;
        }
    }
    if (!verbose)
        log_set_level(LOG_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a failure is seen although a later seed hangs */
    struct sums sums = {0};
    uint64_t failed = 0;
    char failure[400];
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        if (seed_run(seed, breakage, &sums, failure, sizeof failure))
            continue;
        failed++;
        printf("FAILED: seed %llu: %s\n", (unsigned long long)seed, failure);
    }
    sums_print(&sums);
    printf("%llu seeds, %llu failed\n", (unsigned long long)seeds, (unsigned long long)failed);
    if (breakage == BREAK_NOTHING && (!breakage_is_noticed(BREAK_SYNC, "the disk ignores syncs") ||
                                      !breakage_is_noticed(BREAK_JOURNAL, "no durable writes")))
        return 1;
    return failed > 0;
}
