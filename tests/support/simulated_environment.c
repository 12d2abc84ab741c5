#include "simulated_environment.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct simulated_environment *simulated_environment_create(uint64_t seed)
{
    struct simulated_environment *environment = calloc(1, sizeof *environment);
    if (environment == NULL)
        abort();
    simulated_clock_init(&environment->clock);
    simulated_scheduler_init(&environment->scheduler, &environment->clock, seed * 4 + 1);
    simulated_disk_init(&environment->disk, &environment->scheduler, seed * 4 + 2);
    random_generator_init(&environment->random, seed * 4 + 3);
    environment->base = (struct environment){
        .scheduler = &environment->scheduler.base,
        .disk = &environment->disk.base,
        .clock = &environment->clock.base,
        .random = &environment->random.base,
    };
    return environment;
}

void simulated_environment_destroy(struct simulated_environment *environment)
{
    if (environment == NULL)
        return;
    simulated_disk_clear(&environment->disk);
    simulated_scheduler_clear(&environment->scheduler);
    free(environment);
}

void simulated_environment_crash(struct simulated_environment *environment,
                                 enum simulated_crash crash)
{
    simulated_disk_crash(&environment->disk, crash);
}

void simulated_environment_restart(struct simulated_environment *environment)
{
    enum { STEPS_MAX = 10000000 };
    for (uint64_t i = 0; simulated_scheduler_step(&environment->scheduler); i++)
        assert(i < STEPS_MAX); /* somebody was not closed */
    simulated_disk_restart(&environment->disk);
}

/* The counts as one array, so that none is forgotten. */
enum { COUNTS = sizeof(struct simulated_fault_counts) / sizeof(uint64_t) };

void simulated_fault_counts_add(struct simulated_fault_counts *sum,
                                const struct simulated_fault_counts *counts)
{
    uint64_t *into = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)counts;
    for (size_t i = 0; i < COUNTS; i++)
        into[i] += from[i];
}

static const char *const NAMES[COUNTS] = {
    "power_failures",    "kills",           "crashes_in_operation",
    "lost_sectors",      "kept_sectors",    "torn_files",
    "lost_names",        "no_space",        "rotten_bits",
    "failed_operations", "slow_operations",
};

bool simulated_fault_counts_are_full(const struct simulated_fault_counts *counts)
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

void simulated_fault_counts_print(const struct simulated_fault_counts *counts)
{
    const uint64_t *values = (const uint64_t *)counts;
    for (size_t i = 0; i < COUNTS; i++)
        printf("%s=%llu%s", NAMES[i], (unsigned long long)values[i], i + 1 == COUNTS ? "\n" : " ");
}
