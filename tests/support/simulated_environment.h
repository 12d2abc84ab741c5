/*
 * simulated_environment - a whole world for storage and consensus code, from one seed.
 *
 *     simulated_environment_create(seed) ... run ... simulated_environment_crash() ... close the
 *     owners while everything fails ... simulated_environment_restart() ... open them again
 *
 * Single-threaded and deterministic: the same seed and the same calls give the same run.
 */
#ifndef SIMULATED_ENVIRONMENT_H
#define SIMULATED_ENVIRONMENT_H

#include "platform/environment.h"
#include "simulated_disk.h"
#include "simulated_scheduler.h"

struct simulated_environment {
    struct environment base;
    struct simulated_clock clock;
    struct simulated_scheduler scheduler;
    struct simulated_disk disk;
    struct random_generator random; /* what the code under test sees */
};

struct simulated_environment *simulated_environment_create(uint64_t seed);
void simulated_environment_destroy(struct simulated_environment *environment);

/* The disk fails from here on, requests in flight included; time and tasks go on, so that owners
 * can be closed. */
void simulated_environment_crash(struct simulated_environment *environment,
                                 enum simulated_crash crash);

/* Run until nothing is left in flight, then bring the disk back with what survived. */
void simulated_environment_restart(struct simulated_environment *environment);

/* One line: every kind of fault and its count. */
void simulated_fault_counts_print(const struct simulated_fault_counts *counts);
/* Whether each kind happened; tells which did not. */
bool simulated_fault_counts_are_full(const struct simulated_fault_counts *counts);
void simulated_fault_counts_add(struct simulated_fault_counts *sum,
                                const struct simulated_fault_counts *counts);

#endif
