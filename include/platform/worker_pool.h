/*
 * worker_pool - a fixed number of threads that run jobs off the loops.
 *
 * Jobs come from loops by scheduler_submit and wait in one queue per class. A free worker takes
 * the class with the fewest jobs running, within the class's cap: queries, parts of queries of
 * other nodes and storage can each take all workers but one, background work at most half and never
 * the last two, so no class waits for all the work of another: two nodes whose queries wait for
 * each other's parts go on. Transfers are two at most, and there are two threads more for them, so
 * that one that waits for a slow store holds up nobody. A job is not interrupted: a long one checks
 * for cancellation and splits itself.
 *
 * platform/parallel.h shares one job between idle workers; helpers count as running jobs of the
 * caller's class and leave when a job waits. Thread-safe.
 */
#ifndef PLATFORM_WORKER_POOL_H
#define PLATFORM_WORKER_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/parallel.h"
#include "platform/scheduler.h"

enum { WORKER_COUNT_MIN = 3, WORKER_COUNT_MAX = 256 };

struct worker_pool_options {
    size_t worker_count; /* without those for transfers, in [WORKER_COUNT_MIN, WORKER_COUNT_MAX]; 0:
                            processors + 1 */
};

struct worker_class_statistics {
    size_t waiting;     /* jobs queued now */
    size_t running;     /* workers busy with the class now, helpers included */
    uint64_t finished;  /* jobs */
    uint64_t busy_ns;   /* of workers, helpers included */
    uint64_t waited_ns; /* in the queue, all jobs */
};

struct worker_pool_statistics {
    size_t worker_count;
    struct worker_class_statistics classes[JOB_CLASSES];
};

/* Errors: INVALID (count), OUT_OF_MEMORY, IO (no threads). */
enum error_code worker_pool_create(const struct worker_pool_options *options,
                                   struct worker_pool **pool_out, struct error *error);

/* Runs the jobs still queued, then ends the threads. The loops that submitted them must still
 * exist. NULL is fine. */
void worker_pool_destroy(struct worker_pool *pool);

/* For schedulers: job->origin is set. Any thread. */
void worker_pool_submit(struct worker_pool *pool, struct job *job);

void worker_pool_statistics(struct worker_pool *pool,
                            struct worker_pool_statistics *statistics_out);

#endif
