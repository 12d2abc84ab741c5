#include "frontend/frontend.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "union_source.h"

struct frontend {
    struct frontend_options options;
    struct series_source **shards;
    struct series_source *source;
    struct arena_account memory;
    _Atomic uint64_t memory_bytes;
    _Atomic uint64_t queries_total;
    _Atomic uint64_t refused_total;
    _Atomic uint64_t waited_ns;

    pthread_mutex_t lock; /* of the queue; per query, not per sample */
    struct frontend_job *waiting;
    struct frontend_job **waiting_last;
    size_t waiting_count;
    size_t running;
};

/* --- Memory of all queries -------------------------------------------------------------------- */

static struct frontend *frontend_of_account(struct arena_account *account)
{
    return (struct frontend *)((char *)account - offsetof(struct frontend, memory));
}

static bool charge(struct arena_account *self, size_t size_bytes)
{
    struct frontend *frontend = frontend_of_account(self);
    uint64_t before =
        atomic_fetch_add_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
    if (before + size_bytes <= frontend->options.memory_max_bytes)
        return true;
    atomic_fetch_sub_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
    return false;
}

static void release(struct arena_account *self, size_t size_bytes)
{
    struct frontend *frontend = frontend_of_account(self);
    atomic_fetch_sub_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
}

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code frontend_create(const struct frontend_options *options,
                                struct frontend **frontend_out, struct error *error)
{
    struct frontend *frontend = calloc(1, sizeof *frontend);
    if (frontend == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "frontend");
    frontend->options = *options;
    frontend->memory = (struct arena_account){.charge = charge, .release = release};
    frontend->waiting_last = &frontend->waiting;
    pthread_mutex_init(&frontend->lock, NULL);
    frontend->shards = malloc(options->shard_count * sizeof *frontend->shards);
    if (frontend->shards != NULL) {
        memcpy(frontend->shards, options->shards, options->shard_count * sizeof *frontend->shards);
        frontend->options.shards = frontend->shards;
        frontend->source = union_source_create(frontend->shards, options->shard_count);
    }
    if (frontend->source == NULL) {
        frontend_destroy(frontend);
        return error_set(error, ERROR_OUT_OF_MEMORY, "frontend");
    }
    *frontend_out = frontend;
    return ERROR_NONE;
}

void frontend_destroy(struct frontend *frontend)
{
    if (frontend == NULL)
        return;
    assert(frontend->running == 0 && frontend->waiting_count == 0);
    union_source_destroy(frontend->source);
    free(frontend->shards);
    pthread_mutex_destroy(&frontend->lock);
    free(frontend);
}

struct series_source *frontend_source(struct frontend *frontend)
{
    return frontend->source;
}

const struct frontend_options *frontend_options(const struct frontend *frontend)
{
    return &frontend->options;
}

struct arena_account *frontend_memory(struct frontend *frontend)
{
    return &frontend->memory;
}

/* --- Queue ------------------------------------------------------------------------------------ */

static struct frontend_job *frontend_job_of(struct job *job)
{
    return (struct frontend_job *)((char *)job - offsetof(struct frontend_job, job));
}

static void job_run(struct job *base)
{
    struct frontend_job *job = frontend_job_of(base);
    struct frontend *frontend = job->frontend;
    uint64_t waited = clock_monotonic_ns(frontend->options.clock) - job->queued_ns;
    atomic_fetch_add_explicit(&frontend->waited_ns, waited, memory_order_relaxed);
    job->run(job);
}

/* On the waiting job's own loop: a job is submitted from there. */
static void start_task(struct task *task)
{
    struct frontend_job *job =
        (struct frontend_job *)((char *)task - offsetof(struct frontend_job, task));
    scheduler_submit(job->origin, &job->job);
}

static void job_done(struct job *base)
{
    struct frontend_job *job = frontend_job_of(base);
    struct frontend *frontend = job->frontend;
    pthread_mutex_lock(&frontend->lock);
    struct frontend_job *next = frontend->waiting;
    if (next != NULL) {
        frontend->waiting = next->next;
        if (frontend->waiting == NULL)
            frontend->waiting_last = &frontend->waiting;
        frontend->waiting_count--;
    } else {
        frontend->running--;
    }
    pthread_mutex_unlock(&frontend->lock);
    if (next != NULL)
        scheduler_post(next->origin, &next->task);
    job->done(job);
}

enum error_code frontend_submit(struct frontend *frontend, struct scheduler *loop,
                                struct frontend_job *job, struct error *error)
{
    bool start = false, refused = false;
    job->frontend = frontend;
    job->origin = loop;
    job->next = NULL;
    job->queued_ns = clock_monotonic_ns(frontend->options.clock);
    job->job = (struct job){.run = job_run, .done = job_done, .class = JOB_QUERY};
    job->task = (struct task){.run = start_task};
    pthread_mutex_lock(&frontend->lock);
    if (frontend->running < frontend->options.concurrency) {
        frontend->running++;
        start = true;
    } else if (frontend->waiting_count < frontend->options.waiting_max) {
        *frontend->waiting_last = job;
        frontend->waiting_last = &job->next;
        frontend->waiting_count++;
    } else {
        refused = true;
    }
    pthread_mutex_unlock(&frontend->lock);
    if (refused) {
        atomic_fetch_add_explicit(&frontend->refused_total, 1, memory_order_relaxed);
        return error_set(error, ERROR_UNAVAILABLE, "too many queries wait");
    }
    atomic_fetch_add_explicit(&frontend->queries_total, 1, memory_order_relaxed);
    if (start)
        scheduler_submit(loop, &job->job);
    return ERROR_NONE;
}

void frontend_statistics(struct frontend *frontend, struct frontend_statistics *statistics_out)
{
    pthread_mutex_lock(&frontend->lock);
    size_t running = frontend->running, waiting = frontend->waiting_count;
    pthread_mutex_unlock(&frontend->lock);
    *statistics_out = (struct frontend_statistics){
        .queries_total = frontend->queries_total,
        .queries_running = running,
        .queries_waiting = waiting,
        .queries_refused_total = frontend->refused_total,
        .waited_ns_total = frontend->waited_ns,
        .memory_bytes = frontend->memory_bytes,
        .memory_max_bytes = frontend->options.memory_max_bytes,
    };
}
