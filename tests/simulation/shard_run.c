#include "shard_run.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETENTION_MS = 10 * 3600 * 1000 }; /* where there is one: the last part of a run */

uint32_t run_below(struct run *run, uint32_t bound)
{
    return random_below(&run->random.base, bound);
}

bool run_chance(struct run *run, uint32_t percent)
{
    return run_below(run, 100) < percent;
}

int64_t run_now_ms(struct run *run)
{
    return clock_now_ms(run->node.environment->base.clock);
}

void run_fail(struct run *run, const char *what, const char *message)
{
    if (run->failure[0] == '\0')
        snprintf(run->failure, sizeof run->failure, "%s: %s", what, message);
}

void run_step_until_quiet(struct run *run)
{
    for (size_t i = 0;
         i < NODE_STEPS_MAX && !shard_node_is_broken(&run->node) && run->writes_in_flight > 0; i++)
        simulated_scheduler_step(&run->node.environment->scheduler);
}

struct run *run_create(uint64_t seed, struct breakage breakage)
{
    struct run *run = calloc(1, sizeof *run);
    assert(run != NULL);
    run->seed = seed;
    run->breakage = breakage;
    run->node.environment = simulated_environment_create(seed);
    run->node.durability = breakage.journal ? JOURNAL_UNSAFE_FOR_TESTS : JOURNAL_DURABLE;
    run->node.retention_ms = seed % 3 == 0 ? RETENTION_MS : 0;
    random_generator_init(&run->random, seed ^ UINT64_C(0x7368617264));
    run_open_bucket(run);
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_model_init(&run->models[i], i);
    run_open_rules(run);
    return run;
}

bool run_is_broken(const struct run *run)
{
    return run->breakage.sync || run->breakage.journal || run->breakage.files != NULL ||
           run->breakage.directories != NULL;
}

void run_destroy(struct run *run)
{
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_model_clear(&run->models[i]);
    run_close_rules(run);
    simulated_store_clear(&run->store);
    simulated_environment_destroy(run->node.environment);
    free(run);
}

void run_fail_at(struct run *run, const char *path)
{
    size_t size = strlen(run->failure);
    snprintf(run->failure + size, sizeof run->failure - size, " (rot in '%s')", path);
}

/* --- Counts ---------------------------------------------------------------------------------- */

/* The counts as one array, so that none is forgotten. */
enum { COUNTS = sizeof(struct run_counts) / sizeof(uint64_t) };

static const char *const NAMES[COUNTS] = {
    "lives",
    "writes",
    "written_samples",
    "refused_writes",
    "refused_samples",
    "late",
    "days_late",
    "duplicates",
    "conflicts",
    "written_after_deletion",
    "nan_payloads",
    "stale_markers",
    "integer_histograms",
    "float_histograms",
    "custom_histograms",
    "stale_histograms",
    "start_timestamps",
    "exemplars",
    "metadata",
    "new_series",
    "forgotten_series",
    "stale_ids",
    "returned_series",
    "rewritten_segments",
    "forgotten_metadata",
    "freezes",
    "merges",
    "flushes",
    "deletions",
    "deletions_of_many",
    "deletions_unanswered",
    "checks_under_tombstones",
    "retentions",
    "retired_samples",
    "clock_jumps",
    "checks",
    "samples_queried",
    "crashes",
    "clean_ends",
    "failed_starts",
    "journal_failures",
    "job_failures",
    "full_disks",
    "blocks_of_hours",
    "blocks_of_half_a_day",
    "blocks_of_days",
    "overlays",
    "rot_refused_start",
    "rot_found_by_reading",
    "rot_found_by_merging",
    "rot_in_journal",
    "rot_harmless",
    "files_reopened",
    "checks_under_rules",
    "rules_announced",
    "retired_by_rules",
    "absent_blocks",
    "reads_without_store",
    "bucket_checks",
    "bucket_uploads",
    "bucket_removals",
    "bucket_swept",
    "bucket_failures",
};

void run_counts_add(struct run_counts *sum, const struct run_counts *counts)
{
    uint64_t *into = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < COUNTS; i++)
        into[i] += from[i];
}

void run_counts_print(const struct run_counts *counts)
{
    const uint64_t *values = (const uint64_t *)counts;
    for (size_t i = 0; i < COUNTS; i++)
        printf("%s=%llu%s", NAMES[i], (unsigned long long)values[i],
               i % 8 == 7 || i + 1 == COUNTS ? "\n" : " ");
}

bool run_counts_are_full(const struct run_counts *counts)
{
    const uint64_t *values = (const uint64_t *)counts;
    bool full = true;
    for (size_t i = 0; i < COUNTS; i++) {
        if (values[i] != 0)
            continue;
        printf("FAILED: never happened: %s\n", NAMES[i]);
        full = false;
    }
    return full;
}
