/*
 * simulated_seeds - which seeds a simulation runs, and what happened in them, all together.
 */
#ifndef SUPPORT_SIMULATED_SEEDS_H
#define SUPPORT_SIMULATED_SEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct seed_range {
    uint64_t first, last;
};

/* "7" or "1-100"; false: it is neither. */
bool seed_range_read(struct text text, struct seed_range *range_out);

/* A seed begins: if the process aborts in it, it says so. */
void seed_begin(uint64_t seed);

/* Counts [count] of what happened, each with a name, of a struct of nothing but uint64_t. */
void seed_counts_add(void *sum, const void *counts, size_t count);

/* On a line. False: something never happened. */
bool seed_counts_print(const void *counts, const char *const *names, size_t count);

#endif
