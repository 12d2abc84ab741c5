/*
 * shard_simulation - frontend, replicas, groups, journal, shards, heads, parts and blocks on a
 * simulated disk and clock, from one seed.
 *
 * Every seed lives several lives of a node with two shards: more than a thousand writes of known
 * and new series of three tenants, late samples, duplicates, conflicts, NaNs and stale markers, all
 * kinds of histograms, start timestamps, exemplars and metadata, between them deletions, flushes,
 * freezes, retention and clock jumps; power failures that lose and tear what was not synced and
 * kills, both also in the middle of a job, a start or an end; full and slow and failing disks.
 * After every restart all that was acknowledged is there once and unaltered, and nothing that was
 * deleted comes back (shard_model.h), read from the shards and by a query.
 *
 * Between lives a bit rots in a file of a shard or of the journal: a start is refused, a read or a
 * merge fails and names the file, or it does not matter; the wrong answer never comes.
 *
 *     shard_simulation [--seeds N] [--first S] [--break sync|journal|files|names] [--verbose]
 *
 * --break lets the disk lie about all syncs, those of shards' files or those of directories, or the
 * journal write without: a run must then fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "shard_run.h"

/* Of each seed: writes that were not refused, and crashes of lives in which there were some. */
enum { CRASHES_MIN = 4, WRITES_MIN = 1000 };

struct sums {
    struct run_counts counts;
    struct simulated_fault_counts faults;
    uint64_t writes_min, crashes_min; /* of one seed that passed */
};

static uint64_t writes_taken(const struct run *run)
{
    return run->counts.writes - run->counts.refused_writes;
}

static bool run_seed(uint64_t seed, enum breakage breakage, struct sums *sums)
{
    struct run *run = run_create(seed, breakage);
    uint64_t lives = 0;
    while (run->failure[0] == '\0' &&
           (writes_taken(run) < WRITES_MIN || run->crashes_after_writes < CRASHES_MIN)) {
        run_life(run, WRITES_MIN / CRASHES_MIN / 2 + run_below(run, WRITES_MIN / CRASHES_MIN));
        if (++lives > 100)
            run_fail(run, "no progress", "a hundred lives");
    }
    if (run->failure[0] == '\0')
        run_last_life(run);
    for (size_t i = 0; i < NODE_SHARDS; i++)
        run->counts.retired_samples += run->models[i].retired;
    run_counts_add(&sums->counts, &run->counts);
    simulated_fault_counts_add(&sums->faults, &run->node.environment->disk.counts);
    bool passed = run->failure[0] == '\0';
    if (passed && writes_taken(run) < sums->writes_min)
        sums->writes_min = writes_taken(run);
    if (passed && run->crashes_after_writes < sums->crashes_min)
        sums->crashes_min = run->crashes_after_writes;
    if (!passed)
        printf("FAILED: seed %llu: %s\n", (unsigned long long)seed, run->failure);
    run_destroy(run);
    return passed;
}

/* Over many seeds every kind of thing must have happened. */
static bool all_happened(const struct sums *sums)
{
    const struct simulated_fault_counts *faults = &sums->faults;
    return run_counts_are_full(&sums->counts) && simulated_fault_counts_are_full(faults);
}

static enum breakage breakage_named(const char *name)
{
    static const char *const NAMES[] = {
        [BREAK_SYNC] = "sync",
        [BREAK_JOURNAL] = "journal",
        [BREAK_FILES] = "files",
        [BREAK_NAMES] = "names",
    };
    for (size_t i = BREAK_SYNC; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strcmp(NAMES[i], name) == 0)
            return (enum breakage)i;
    fprintf(stderr, "nothing to break is called '%s'\n", name);
    exit(2);
}

int main(int argument_count, char **arguments)
{
    uint64_t seeds = 150, first = 1;
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
                    "usage: %s [--seeds N] [--first S] [--break sync|journal|files|names] "
                    "[--verbose]\n",
                    arguments[0]);
            return 2;
        }
    }
    if (!verbose)
        log_set_level(LOG_NOTHING); /* failing jobs are what it is about */
    struct sums sums = {.writes_min = UINT64_MAX, .crashes_min = UINT64_MAX};
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        failed += !run_seed(seed, breakage, &sums);
        if (breakage != BREAK_NOTHING && failed > 0)
            break;
    }
    run_counts_print(&sums.counts);
    if (failed < seeds)
        printf("least of a seed: %llu writes, %llu crashes after writes\n",
               (unsigned long long)sums.writes_min, (unsigned long long)sums.crashes_min);
    simulated_fault_counts_print(&sums.faults);
    printf("%llu seeds, %llu failed\n", (unsigned long long)seeds, (unsigned long long)failed);
    if (breakage == BREAK_NOTHING && seeds >= 50 && !all_happened(&sums))
        return 1;
    return failed > 0;
}
