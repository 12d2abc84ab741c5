/*
 * journal_simulation - the real journal on a simulated disk, from one seed.
 *
 * Every seed lives several lives: some lanes, a dozen groups of which most are cold, random
 * operations, then a clean end, a power failure, a kill or a failed write; full disks and slow
 * ones on the way; bits that rot between two lives. After each recovery every group must be what
 * the acknowledged operations, and perhaps some of those in flight, make of it (journal_model.h).
 *
 *     journal_simulation [--seeds N] [--first S] [--verbose]
 *                        [--break sync|journal|headers|names|recovery]
 *
 * --break leaves out a kind of sync (journal_run.h): a run must then fail, and ends.
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
    struct simulated_disk_settings *settings = &run->environment->disk.settings;
    bool ignores_sync = settings->ignore_sync;
    settings->ignore_sync |= run->breakage == BREAK_RECOVERY;
    enum error_code code =
        journal_recover(run->environment->base.disk, &options, &run->recovery, error);
    settings->ignore_sync = ignores_sync;
    return code == ERROR_NONE;
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
        .ignore_sync_of = run->breakage == BREAK_HEADERS ? ".spare" : NULL,
        .ignore_sync_directory_of = run->breakage == BREAK_NAMES ? "journal" : NULL,
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

/* As one array, so that none is forgotten. */
enum { COUNTS = sizeof(struct counts) / sizeof(uint64_t) };

static const char *const COUNT_NAMES[COUNTS] = {
    "operations",     "acknowledged",         "lives",
    "clean_ends",     "recoveries",           "failed_recoveries",
    "rot_detected",   "rot_harmless",         "fatal_errors",
    "space_low",      "interrupted_openings", "torn_tails",
    "copied_records", "recycled_segments",    "stalls",
    "trims",          "interrupted_ends",
};

static void sums_print(const struct sums *sums)
{
    const uint64_t *values = (const uint64_t *)&sums->counts;
    for (size_t i = 0; i < COUNTS; i++)
        printf("%s=%llu%s", COUNT_NAMES[i], (unsigned long long)values[i],
               i % 8 == 7 || i + 1 == COUNTS ? "\n" : " ");
    simulated_fault_counts_print(&sums->faults);
}

/* Over many seeds every kind of thing must have happened. */
static bool sums_are_full(const struct sums *sums)
{
    const uint64_t *values = (const uint64_t *)&sums->counts;
    bool full = simulated_fault_counts_are_full(&sums->faults);
    for (size_t i = 0; i < COUNTS; i++) {
        if (values[i] != 0)
            continue;
        printf("FAILED: never happened: %s\n", COUNT_NAMES[i]);
        full = false;
    }
    return full;
}

static enum breakage breakage_named(const char *name)
{
    static const char *const NAMES[BREAKAGES] = {
        [BREAK_SYNC] = "sync",   [BREAK_JOURNAL] = "journal",   [BREAK_HEADERS] = "headers",
        [BREAK_NAMES] = "names", [BREAK_RECOVERY] = "recovery",
    };
    for (size_t i = BREAK_SYNC; i < BREAKAGES; i++)
        if (strcmp(NAMES[i], name) == 0)
            return (enum breakage)i;
    fprintf(stderr, "nothing to break is called '%s'\n", name);
    exit(2);
}

int main(int argument_count, char **arguments)
{
    enum { SEEDS_FOR_ALL = 100 };
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
            breakage = breakage_named(arguments[++i]);
        else if (strcmp(arguments[i], "--verbose") == 0)
            verbose = true;
        else {
            fprintf(stderr,
                    "usage: %s [--seeds N] [--first S] [--verbose] "
                    "[--break sync|journal|headers|names|recovery]\n",
                    arguments[0]);
            return 2;
        }
    }
    if (!verbose)
        log_set_level(LOG_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0); /* a failure is seen although a later seed hangs */
    struct sums sums = {0};
    uint64_t run = 0, failed = 0;
    char failure[400];
    while (run < seeds && !(breakage != BREAK_NOTHING && failed > 0)) {
        uint64_t seed = first + run++;
        if (seed_run(seed, breakage, &sums, failure, sizeof failure))
            continue;
        failed++;
        printf("FAILED: seed %llu: %s\n", (unsigned long long)seed, failure);
    }
    sums_print(&sums);
    printf("%llu seeds, %llu failed\n", (unsigned long long)run, (unsigned long long)failed);
    if (breakage == BREAK_NOTHING && run >= SEEDS_FOR_ALL && !sums_are_full(&sums))
        return 1;
    return failed > 0;
}
