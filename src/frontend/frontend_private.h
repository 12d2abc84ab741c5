/* What the parts of the frontend share. */
#ifndef FRONTEND_FRONTEND_PRIVATE_H
#define FRONTEND_FRONTEND_PRIVATE_H

#include <pthread.h>

#include "base/log.h"
#include "frontend/frontend.h"

/* Jobs that wait for their turn, in order of arrival. */
struct frontend_queue {
    pthread_mutex_t lock; /* per query, not per sample */
    struct frontend_job *first;
    struct frontend_job *last;
    size_t waiting_count;
    size_t running_count;
};

struct frontend {
    struct frontend_options options;
    struct series_source **shards;
    struct series_source *source;
    struct arena_account memory;
    struct frontend_queue queue;
    struct log_limit unreadable_log;
    _Atomic uint64_t memory_bytes;
    _Atomic uint64_t queries_total;
    _Atomic uint64_t refused_total;
    _Atomic uint64_t waited_ns;
    _Atomic uint64_t failed_total[FRONTEND_FAILURES];
};

#endif
