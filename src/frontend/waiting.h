/*
 * waiting - jobs that wait for their turn: tenants in a ring, the jobs of each in order of arrival.
 *
 * Everything here is under the lock of the queue.
 */
#ifndef FRONTEND_WAITING_H
#define FRONTEND_WAITING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

struct frontend_job;

/* A tenant of whom jobs wait. */
struct frontend_tenant {
    struct frontend_tenant *previous, *next; /* in the ring's order, the first has the next turn */
    struct frontend_job *first, *last;
    size_t count;
    struct text name; /* behind it in memory */
};

struct waiting {
    struct frontend_tenant *first, *last;
    size_t tenant_count;
    size_t count; /* jobs */
};

/*
 * Add behind the others of its tenant. Errors: UNAVAILABLE, OUT_OF_MEMORY.
 *
 * `count_max` jobs may wait. Of them a tenant may have its share, and one of whom nothing waits
 * finds a place beyond (a quarter more), so that nobody takes all places.
 */
enum error_code waiting_add(struct waiting *waiting, struct frontend_job *job, size_t count_max,
                            struct error *error);

/* Take out a job that waits. */
void waiting_remove(struct waiting *waiting, struct frontend_job *job);

/* Take out the job whose turn it is; NULL when none waits. */
struct frontend_job *waiting_take(struct waiting *waiting);

#endif
