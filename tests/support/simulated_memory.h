/*
 * simulated_memory - memory of the simulated world itself, which never runs out.
 *
 * Not from malloc: allocation_faults are meant for the code under test. free() releases it.
 */
#ifndef SIMULATED_MEMORY_H
#define SIMULATED_MEMORY_H

#include <stddef.h>

/* Zeroes. */
void *simulated_allocate(size_t bytes);

/* `old` with `old_bytes` (NULL: none) grows; what is new is not set. */
void *simulated_grow(void *old, size_t old_bytes, size_t bytes);

#endif
