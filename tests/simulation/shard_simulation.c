/*
 * shard_simulation - frontend, replicas, groups, journal, shards, heads, parts and blocks on a
 * simulated disk and clock, from one seed.
 *
 * Every seed lives several lives of a node with two shards: more than a thousand writes of known
 * and new series of three tenants, late samples, duplicates, conflicts, NaNs and stale markers, all
 * kinds of histograms, start timestamps, exemplars and metadata, between them deletions, flushes,
 * freezes, retention (of some seeds by tenant and series), clock jumps; power failures that lose
 * and tear what was not synced and kills, both also in the middle of a job, a start or an end; full
 * and slow and failing disks. After every restart all that was acknowledged is there once and
 * unaltered, and nothing that was deleted comes back (shard_model.h), read from the shards and by a
 * query. Half of the seeds upload to a store that fails, lags and is away: what its lists name is
 * there, and at the end it has what the shards have and nothing else.
 *
 * Between lives a bit rots in a file of a shard or of the journal: a start is refused, a read or a
 * merge fails and names the file, or it does not matter; the wrong answer never comes.
 *
 *     shard_simulation [--seeds N] [--first S] [--verbose]
 *                      [--without-sync] [--without-journal-sync]
 *                      [--without-sync-of TEXT] [--without-directory-sync-of TEXT]
 *
 * With one of the last four options the disk lies about all syncs, or those of files or directories
 * whose path holds the text, or the journal writes without: a run must then fail, and ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "shard_run.h"

/* Of each seed: writes that were not refused, and crashes of lives in which there were some. */
enum { CRASHES_MIN = 4, WRITES_MIN = 1000 };

/* So many seeds bring about everything that can happen. */
enum { SEEDS_FOR_ALL = 50 };

struct sums {
    struct run_counts counts;
    struct simulated_fault_counts faults;
    uint64_t writes_min, crashes_min; /* of one seed that passed */
};

static uint64_t writes_taken(const struct run *run)
{
    return run->counts.writes - run->counts.refused_writes;
}

static bool run_seed(uint64_t seed, struct breakage breakage, struct sums *sums,
                     bool *is_broken_out)
{
    struct run *run = run_create(seed, breakage);
    *is_broken_out = run_is_broken(run);
    uint64_t lives = 0;
    while (run->failure[0] == '\0' &&
           (writes_taken(run) < WRITES_MIN || run->crashes_after_writes < CRASHES_MIN)) {
        run_life(run, WRITES_MIN / CRASHES_MIN / 2 + run_below(run, WRITES_MIN / CRASHES_MIN));
        if (++lives > 100)
            run_fail(run, "no progress", "a hundred lives");
    }
    if (run->failure[0] == '\0')
        run_last_life(run);
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        run->counts.retired_samples += run->models[i].retired;
        run->counts.retired_by_rules += run->models[i].retired_by_rules;
    }
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

struct options {
    uint64_t seeds, first;
    bool verbose;
    struct breakage breakage;
};

/* False: the arguments say nothing that is known. */
static bool read_options(int count, char **arguments, struct options *options)
{
    for (int i = 1; i < count; i++) {
        const char *name = arguments[i];
        const char *value = i + 1 < count ? arguments[i + 1] : NULL;
        bool takes_value = true;
        if (strcmp(name, "--seeds") == 0 && value != NULL)
            options->seeds = strtoull(value, NULL, 10);
        else if (strcmp(name, "--first") == 0 && value != NULL)
            options->first = strtoull(value, NULL, 10);
        else if (strcmp(name, "--without-sync-of") == 0 && value != NULL)
            options->breakage.files = value;
        else if (strcmp(name, "--without-directory-sync-of") == 0 && value != NULL)
            options->breakage.directories = value;
        else
            takes_value = false;
        if (strcmp(name, "--verbose") == 0)
            options->verbose = true;
        else if (strcmp(name, "--without-sync") == 0)
            options->breakage.sync = true;
        else if (strcmp(name, "--without-journal-sync") == 0)
            options->breakage.journal = true;
        else if (!takes_value)
            return false;
        i += takes_value;
    }
    return true;
}

int main(int argument_count, char **arguments)
{
    struct options options = {.seeds = 60, .first = 1};
    if (!read_options(argument_count, arguments, &options)) {
        fprintf(stderr,
                "usage: %s [--seeds N] [--first S] [--verbose] [--without-sync] "
                "[--without-journal-sync] [--without-sync-of TEXT] "
                "[--without-directory-sync-of TEXT]\n",
                arguments[0]);
        return 2;
    }
    if (!options.verbose)
        log_set_level(LOG_NOTHING); /* failing jobs are what it is about */
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct sums sums = {.writes_min = UINT64_MAX, .crashes_min = UINT64_MAX};
    uint64_t run = 0, failed = 0;
    bool is_broken = false;
    while (run < options.seeds && !(is_broken && failed > 0))
        failed += !run_seed(options.first + run++, options.breakage, &sums, &is_broken);
    run_counts_print(&sums.counts);
    if (failed < run)
        printf("least of a seed: %llu writes, %llu crashes after writes\n",
               (unsigned long long)sums.writes_min, (unsigned long long)sums.crashes_min);
    simulated_fault_counts_print(&sums.faults);
    printf("%llu seeds, %llu failed\n", (unsigned long long)run, (unsigned long long)failed);
    if (!is_broken && run >= SEEDS_FOR_ALL && !all_happened(&sums))
        return 1;
    return failed > 0;
}
