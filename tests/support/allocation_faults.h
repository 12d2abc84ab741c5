/*
 * allocation_faults - the n-th allocation of this thread fails.
 *
 * For tests named test_<file>_without_memory.c, whose calls of malloc, calloc, realloc,
 * reallocarray, strdup and strndup the linker sends here (tests/CMakeLists.txt). Calls inside
 * shared libraries are not seen.
 */
#ifndef TESTS_SUPPORT_ALLOCATION_FAULTS_H
#define TESTS_SUPPORT_ALLOCATION_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, the `number`-th allocation of the calling thread fails, once; the first is 1. */
void allocation_faults_arm(size_t number);

/* The same of all threads together, for work that is handed from one to another. */
void allocation_faults_arm_everywhere(size_t number);

/* No more faults anywhere; whether one was injected since. */
bool allocation_faults_disarm_everywhere(void);

/* No more faults on this thread; whether one was injected since it was armed. */
bool allocation_faults_disarm(void);

#endif
