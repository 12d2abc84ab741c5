/*
 * parallel - share one computation between the calling worker and idle ones.
 *
 * For work that is already off the loops (a query, a merge). The caller always takes part, so it
 * makes progress however busy the pool is, and nesting cannot deadlock.
 */
#ifndef PLATFORM_PARALLEL_H
#define PLATFORM_PARALLEL_H

#include <stddef.h>

struct worker_pool;

/*
 * Call body(context, part, lane) once for every part in [0, part_count), from up to
 * parallel_lanes(pool) threads at once, and return when all are done. Parts are handed out in
 * order; `lane` < parallel_lanes(pool) tells threads of this call apart. A NULL pool runs all
 * parts inline, in order, lane 0, and so does a thread that must not wait (platform/no_wait.h).
 */
void parallel_run(struct worker_pool *pool, size_t part_count,
                  void (*body)(void *context, size_t part, size_t lane), void *context);

/* At least 1. */
size_t parallel_lanes(struct worker_pool *pool);

#endif
