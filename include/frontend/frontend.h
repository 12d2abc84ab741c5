/*
 * frontend - the query path: all shards as one source, and the budget of queries.
 *
 * A series is in one shard, so the union of the shards' answers is the answer. Any thread.
 */
#ifndef FRONTEND_FRONTEND_H
#define FRONTEND_FRONTEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/memory_budget.h"
#include "platform/clock.h"
#include "platform/scheduler.h"
#include "platform/worker_pool.h"
#include "promql/engine.h"
#include "promql/series_source.h"

struct frontend;

struct frontend_options {
    struct series_source *const *shards; /* [shard_count]; copied */
    size_t shard_count;
    struct worker_pool *pool;
    struct clock *clock;

    int64_t lookback_ms;
    int64_t subquery_step_ms;
    int64_t timeout_ms;
    uint64_t samples_max;      /* of one query, held at once */
    uint64_t memory_max_bytes; /* of all queries together */
    uint64_t concurrency;      /* queries that run at once; others wait */
    uint64_t waiting_max;      /* queries that wait at once; beyond: UNAVAILABLE */
    int64_t slow_ms;           /* a query that takes as long is logged; 0: none is */
    enum promql_features features;
};

/* Errors: OUT_OF_MEMORY. */
enum error_code frontend_create(const struct frontend_options *options,
                                struct frontend **frontend_out, struct error *error);
/* No query may be under way. NULL is fine. */
void frontend_destroy(struct frontend *frontend);

/* All shards as one. Lives as long as the frontend. */
struct series_source *frontend_source(struct frontend *frontend);

const struct frontend_options *frontend_options(const struct frontend *frontend);

/* What memory of queries is charged to. */
struct arena_account *frontend_memory(struct frontend *frontend);

/* --- Queries --------------------------------------------------------------------------------- */

/* What is asked, for whoever looks at the queries under way. */
struct frontend_subject {
    struct text tenant; /* whose turn it is */
    const char *kind;   /* "query", "series" ... ; NULL: a job without a name */
    struct text text;   /* the query, or the selectors */
    struct text label;  /* whose values are asked for; may be empty */
    int64_t start_ms;
    int64_t end_ms;
    int64_t step_ms; /* 0: an instant */
};

/* One query or look-up on its way through queue and workers. The caller's until `done`. */
struct frontend_job {
    /* On a worker, when its turn has come; on the loop, when it may and is known to be short.
     * Leaves its outcome in `error`. */
    void (*run)(struct frontend_job *job);
    /* On the loop that submitted it. */
    void (*done)(struct frontend_job *job);
    uint64_t deadline_ns; /* on the monotonic clock; after it the job does not run. 0: none */
    /* It may end with WOULD_WAIT, which nobody else hears of: `done` submits it anew, not
     * repeatable then. */
    bool is_repeatable;
    struct frontend_subject subject;    /* its texts live until `done` */
    const struct memory_budget *memory; /* what it uses, for those who look; NULL: unknown */
    atomic_bool canceled;               /* `run` looks at it now and then, and ends with CANCELED */
    /* The outcome. TIMEOUT or CANCELED without `run` when its turn did not come. */
    struct error error;

    /* The frontend's. */
    struct frontend *frontend;
    struct job job;
    struct scheduler *origin;
    struct task task;
    struct timer timer;
    uint64_t id;
    uint64_t cost_key;
    uint64_t submitted_ns;
    _Atomic uint64_t started_ns; /* 0: not yet */
    /* Under the lock of the queue. */
    struct frontend_tenant *waits_in; /* NULL: it does not wait */
    struct frontend_job *previous, *next;
    struct frontend_job *previous_active, *next_active;
    bool is_killed;
};

/*
 * Run the job when its turn comes: tenants that wait take turns, the jobs of each in order of
 * arrival. From a loop.
 * Errors: UNAVAILABLE (too many wait), OUT_OF_MEMORY; `done` does not run then.
 */
enum error_code frontend_submit(struct frontend *frontend, struct scheduler *loop,
                                struct frontend_job *job, struct error *error);

/* Nobody wants the answer of a submitted job that is not done: it is canceled. When it waits it
 * ends, and makes room. From the loop that submitted it. */
void frontend_withdraw(struct frontend_job *job);

/* A job that waits or runs, seen by a visit. */
struct frontend_active {
    uint64_t id;
    const struct frontend_subject *subject;
    bool is_running;
    uint64_t waited_ns;
    uint64_t ran_ns;
    uint64_t memory_bytes; /* now; 0 when unknown */
};

/* All jobs under way, the oldest first. The visit may not call the frontend. Any thread. */
typedef void frontend_active_visit(void *context, const struct frontend_active *active);
void frontend_visit_active(struct frontend *frontend, frontend_active_visit *visit, void *context);

/* Cancel the job of that id, when it is under way and, unless `tenant` is NULL, that tenant's.
 * False: there is none. Any thread. */
bool frontend_kill(struct frontend *frontend, uint64_t id, const struct text *tenant);

/* How jobs ended that have no answer. */
enum frontend_failure {
    FRONTEND_TIMED_OUT,
    FRONTEND_CANCELED,
    FRONTEND_OVER_LIMIT,  /* of samples, or of memory by itself */
    FRONTEND_UNAVAILABLE, /* no memory beside others */
    FRONTEND_UNREADABLE,  /* a file is damaged, or gone */
    FRONTEND_FAILED,      /* of itself: what it asks cannot be answered */
    FRONTEND_FAILURES
};

struct frontend_statistics {
    uint64_t queries_total;
    uint64_t queries_on_loops_total; /* of them */
    uint64_t queries_running;
    uint64_t queries_waiting;
    uint64_t queries_refused_total;
    uint64_t queries_slow_total;
    uint64_t queries_killed_total;
    uint64_t waited_ns_total;
    uint64_t memory_bytes;
    uint64_t memory_max_bytes;
    uint64_t failed_total[FRONTEND_FAILURES];
};
void frontend_statistics(struct frontend *frontend, struct frontend_statistics *statistics_out);

#endif
