/* What the parts of the frontend share. */
#ifndef FRONTEND_FRONTEND_PRIVATE_H
#define FRONTEND_FRONTEND_PRIVATE_H

#include <pthread.h>

#include "base/log.h"
#include "costs.h"
#include "frontend/frontend.h"
#include "waiting.h"

struct frontend_queue {
    pthread_mutex_t lock; /* per query, not per sample */
    struct waiting waiting;
    size_t running_count;
    struct frontend_job *first_active; /* all under way, the oldest first */
    struct frontend_job *last_active;
    uint64_t last_id;
};

struct frontend {
    struct frontend_options options;
    struct series_source **shards;
    struct series_source *source;
    struct arena_account memory;
    struct frontend_queue queue;
    struct costs costs;
    struct log_limit unreadable_log;
    struct log_limit slow_log;
    _Atomic uint64_t memory_bytes;
    _Atomic uint64_t queries_total;
    _Atomic uint64_t on_loops_total;
    _Atomic uint64_t refused_total;
    _Atomic uint64_t slow_total;
    _Atomic uint64_t killed_total;
    _Atomic uint64_t waited_ns;
    _Atomic uint64_t failed_total[FRONTEND_FAILURES];
};

/* --- active.c -------------------------------------------------------------------------------- */

/* Under the queue's lock. */
void active_add(struct frontend_queue *queue, struct frontend_job *job);
void active_remove(struct frontend_queue *queue, struct frontend_job *job);

/* Log a job that took long. Before its end, since its texts are needed. */
void active_tell_slow(struct frontend_job *job);

/* --- queue.c --------------------------------------------------------------------------------- */

/* A job that was taken out of the waiting ones ends, on its own loop. Any thread. */
void queue_end_waiting(struct frontend_job *job);

#endif
