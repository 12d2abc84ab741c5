/*
 * The queue in front of the workers.
 *
 *   submit -> running                          -> done
 *   submit -> waiting -> its turn -> running   -> done
 *   submit -> waiting -> too late, or unwanted -> done
 *   submit -> running on the loop              -> done
 *
 * A job leaves those that wait under the lock, once: whoever took it out brings it to its end.
 */
#include <assert.h>

#include "frontend_private.h"
#include "platform/no_wait.h"

enum {
    NANOSECONDS_PER_MICROSECOND = 1000,
    NANOSECONDS_PER_MILLISECOND = 1000000,
    /* What a job may take on a loop; half of what a shard may take there to apply. */
    ON_LOOP_NS = 1000000,
};

/* Of this thread's loop: a job stands for the next turn. One in a turn, so that many together do
 * not hold up writes. */
static _Thread_local bool one_is_deferred;

static struct frontend_job *job_of(struct job *job)
{
    return (struct frontend_job *)((char *)job - offsetof(struct frontend_job, job));
}

static struct frontend_job *job_of_task(struct task *task)
{
    return (struct frontend_job *)((char *)task - offsetof(struct frontend_job, task));
}

static bool take_out_if_waiting(struct frontend_job *job)
{
    struct frontend_queue *queue = &job->frontend->queue;
    pthread_mutex_lock(&queue->lock);
    bool waited = job->waits_in != NULL;
    if (waited)
        waiting_remove(&queue->waiting, job);
    pthread_mutex_unlock(&queue->lock);
    return waited;
}

/* --- Ends ------------------------------------------------------------------------------------- */

static enum frontend_failure failure_of(enum error_code code)
{
    switch (code) {
    case ERROR_TIMEOUT:
        return FRONTEND_TIMED_OUT;
    case ERROR_CANCELED:
        return FRONTEND_CANCELED;
    case ERROR_LIMIT:
        return FRONTEND_OVER_LIMIT;
    case ERROR_UNAVAILABLE:
    case ERROR_OUT_OF_MEMORY:
        return FRONTEND_UNAVAILABLE;
    case ERROR_CORRUPT:
    case ERROR_IO:
    case ERROR_UNSUPPORTED:
        return FRONTEND_UNREADABLE;
    default:
        return FRONTEND_FAILED;
    }
}

/* Who asks may not tell anybody. */
static void tell_unreadable(struct frontend_job *job)
{
    struct frontend *frontend = job->frontend;
    int64_t now_ms = (int64_t)clock_monotonic_ms(frontend->options.clock);
    uint64_t suppressed;
    if (log_limit_allow(&frontend->unreadable_log, now_ms, &suppressed))
        log_event(LOG_ERROR, "frontend", "a query failed, since data can't be read",
                  "error=\"%s\" suppressed=%llu", job->error.message,
                  (unsigned long long)suppressed);
}

/* It is not among the active ones any more. */
static void end(struct frontend_job *job)
{
    if (job->error.code == ERROR_WOULD_WAIT) { /* and will be counted when it comes again */
        atomic_fetch_sub_explicit(&job->frontend->queries_total, 1, memory_order_relaxed);
        job->done(job);
        return;
    }
    if (job->is_killed && job->error.code == ERROR_CANCELED)
        error_set(&job->error, ERROR_CANCELED, "query was killed");
    active_tell_slow(job);
    if (job->error.code != ERROR_NONE) {
        enum frontend_failure failure = failure_of(job->error.code);
        atomic_fetch_add_explicit(&job->frontend->failed_total[failure], 1, memory_order_relaxed);
        if (failure == FRONTEND_UNREADABLE)
            tell_unreadable(job);
    }
    job->done(job);
}

static void count_wait(struct frontend_job *job)
{
    uint64_t waited_ns = clock_monotonic_ns(job->frontend->options.clock) - job->submitted_ns;
    atomic_fetch_add_explicit(&job->frontend->waited_ns, waited_ns, memory_order_relaxed);
}

static void end_without_turn(struct frontend_job *job, enum error_code code, const char *message)
{
    struct frontend_queue *queue = &job->frontend->queue;
    count_wait(job);
    pthread_mutex_lock(&queue->lock);
    active_remove(queue, job);
    pthread_mutex_unlock(&queue->lock);
    error_set(&job->error, code, "%s", message);
    end(job);
}

static void too_late(struct timer *timer)
{
    struct frontend_job *job =
        (struct frontend_job *)((char *)timer - offsetof(struct frontend_job, timer));
    if (take_out_if_waiting(job))
        end_without_turn(job, ERROR_TIMEOUT, "query timed out in query queue");
}

static void unwanted(struct task *task)
{
    struct frontend_job *job = job_of_task(task);
    scheduler_timer_stop(job->origin, &job->timer);
    end_without_turn(job, ERROR_CANCELED, "query was canceled in query queue");
}

void queue_end_waiting(struct frontend_job *job)
{
    job->task.run = unwanted;
    scheduler_post(job->origin, &job->task);
}

/* --- Running ---------------------------------------------------------------------------------- */

/* Of a job that ran to its end, or was given up: what was stopped early tells nothing. */
static void note_cost(struct frontend_job *job)
{
    struct frontend *frontend = job->frontend;
    uint64_t ran_ns = clock_monotonic_ns(frontend->options.clock) - atomic_load(&job->started_ns);
    if (job->error.code == ERROR_WOULD_WAIT)
        ran_ns = UINT64_MAX;
    else if (job->error.code != ERROR_NONE)
        return;
    costs_note(&frontend->costs, job->cost_key, ran_ns / NANOSECONDS_PER_MICROSECOND,
               no_wait_applies());
}

static void job_run(struct job *base)
{
    struct frontend_job *job = job_of(base);
    count_wait(job);
    atomic_store(&job->started_ns, clock_monotonic_ns(job->frontend->options.clock));
    if (job->deadline_ns > 0 &&
        clock_monotonic_ns(job->frontend->options.clock) >= job->deadline_ns)
        error_set(&job->error, ERROR_TIMEOUT, "query timed out in query queue");
    else if (atomic_load(&job->canceled))
        error_set(&job->error, ERROR_CANCELED, "query was canceled in query queue");
    else
        job->run(job);
    note_cost(job);
}

/* On the waiting job's own loop: a job is submitted from there. */
static void its_turn(struct task *task)
{
    struct frontend_job *job = job_of_task(task);
    scheduler_timer_stop(job->origin, &job->timer);
    scheduler_submit(job->origin, &job->job);
}

static void job_done(struct job *base)
{
    struct frontend_job *job = job_of(base);
    struct frontend_queue *queue = &job->frontend->queue;
    pthread_mutex_lock(&queue->lock);
    struct frontend_job *next = waiting_take(&queue->waiting);
    if (next == NULL)
        queue->running_count--;
    active_remove(queue, job);
    pthread_mutex_unlock(&queue->lock);
    if (next != NULL)
        scheduler_post(next->origin, &next->task);
    end(job);
}

static void run_on_loop(struct task *task)
{
    struct frontend_job *job = job_of_task(task);
    one_is_deferred = false;
    no_wait_begin(clock_monotonic_ns(job->frontend->options.clock) + ON_LOOP_NS);
    job_run(&job->job);
    no_wait_end();
    if (job->error.code != ERROR_WOULD_WAIT)
        atomic_fetch_add_explicit(&job->frontend->on_loops_total, 1, memory_order_relaxed);
    job_done(&job->job);
}

/* Its turn has come at once. */
static void begin(struct frontend_job *job)
{
    if (!job->is_repeatable || one_is_deferred ||
        !costs_is_short(&job->frontend->costs, job->cost_key)) {
        scheduler_submit(job->origin, &job->job);
        return;
    }
    one_is_deferred = true;
    job->task.run = run_on_loop;
    scheduler_defer(job->origin, &job->task);
}

/* --- Public ----------------------------------------------------------------------------------- */

static void start_timer(struct frontend_job *job)
{
    uint64_t left_ns =
        job->deadline_ns > job->submitted_ns ? job->deadline_ns - job->submitted_ns : 0;
    scheduler_timer_start(job->origin, &job->timer, left_ns / NANOSECONDS_PER_MILLISECOND + 1);
}

enum error_code frontend_submit(struct frontend *frontend, struct scheduler *loop,
                                struct frontend_job *job, struct error *error)
{
    struct frontend_queue *queue = &frontend->queue;
    enum error_code code = ERROR_NONE;
    job->frontend = frontend;
    job->origin = loop;
    job->waits_in = NULL;
    job->submitted_ns = clock_monotonic_ns(frontend->options.clock);
    job->started_ns = 0;
    job->cost_key = cost_key(&job->subject);
    job->job = (struct job){.run = job_run, .done = job_done, .class = JOB_QUERY};
    job->task = (struct task){.run = its_turn};
    job->timer = (struct timer){.fire = too_late, .heap_index = TIMER_IDLE};
    error_clear(&job->error);
    pthread_mutex_lock(&queue->lock);
    bool starts = queue->running_count < frontend->options.concurrency;
    if (starts)
        queue->running_count++;
    else
        code = waiting_add(&queue->waiting, job, frontend->options.waiting_max, error);
    if (code == ERROR_NONE)
        active_add(queue, job);
    pthread_mutex_unlock(&queue->lock);
    if (code != ERROR_NONE) {
        atomic_fetch_add_explicit(&frontend->refused_total, 1, memory_order_relaxed);
        return code;
    }
    atomic_fetch_add_explicit(&frontend->queries_total, 1, memory_order_relaxed);
    if (starts)
        begin(job);
    else if (job->deadline_ns > 0)
        start_timer(job);
    return ERROR_NONE;
}

void frontend_withdraw(struct frontend_job *job)
{
    assert(scheduler_on_loop(job->origin));
    atomic_store(&job->canceled, true);
    if (take_out_if_waiting(job))
        queue_end_waiting(job);
}
