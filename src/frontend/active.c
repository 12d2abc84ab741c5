/* Jobs under way: who looks at them, who ends one, and what is said of slow ones. */
#include "frontend_private.h"

enum { NANOSECONDS_PER_MILLISECOND = 1000000, LOGGED_TEXT_BYTES = 1024 };

void active_add(struct frontend_queue *queue, struct frontend_job *job)
{
    job->id = ++queue->last_id;
    job->is_killed = false;
    job->previous_active = queue->last_active;
    job->next_active = NULL;
    if (queue->last_active != NULL)
        queue->last_active->next_active = job;
    else
        queue->first_active = job;
    queue->last_active = job;
}

void active_remove(struct frontend_queue *queue, struct frontend_job *job)
{
    if (job->previous_active != NULL)
        job->previous_active->next_active = job->next_active;
    else
        queue->first_active = job->next_active;
    if (job->next_active != NULL)
        job->next_active->previous_active = job->previous_active;
    else
        queue->last_active = job->previous_active;
}

/* --- Looking ---------------------------------------------------------------------------------- */

static struct frontend_active describe(const struct frontend_job *job, uint64_t now_ns)
{
    uint64_t started_ns = atomic_load(&job->started_ns);
    bool is_running = started_ns != 0;
    return (struct frontend_active){
        .id = job->id,
        .subject = &job->subject,
        .is_running = is_running,
        .waited_ns = (is_running ? started_ns : now_ns) - job->submitted_ns,
        .ran_ns = is_running && now_ns > started_ns ? now_ns - started_ns : 0,
        .memory_bytes = job->memory == NULL ? 0 : atomic_load(&job->memory->used_bytes),
    };
}

void frontend_visit_active(struct frontend *frontend, frontend_active_visit *visit, void *context)
{
    uint64_t now_ns = clock_monotonic_ns(frontend->options.clock);
    pthread_mutex_lock(&frontend->queue.lock);
    for (struct frontend_job *job = frontend->queue.first_active; job != NULL;
         job = job->next_active) {
        struct frontend_active active = describe(job, now_ns);
        visit(context, &active);
    }
    pthread_mutex_unlock(&frontend->queue.lock);
}

/* --- Ending one ------------------------------------------------------------------------------- */

bool frontend_kill(struct frontend *frontend, uint64_t id, const struct text *tenant)
{
    struct frontend_queue *queue = &frontend->queue;
    bool waited = false;
    pthread_mutex_lock(&queue->lock);
    struct frontend_job *job = queue->first_active;
    while (job != NULL && job->id != id)
        job = job->next_active;
    if (job != NULL && tenant != NULL && !text_equal(job->subject.tenant, *tenant))
        job = NULL;
    if (job != NULL) {
        job->is_killed = true;
        atomic_store(&job->canceled, true);
        waited = job->waits_in != NULL;
        if (waited)
            waiting_remove(&queue->waiting, job);
    }
    pthread_mutex_unlock(&queue->lock);
    if (job == NULL)
        return false;
    atomic_fetch_add_explicit(&frontend->killed_total, 1, memory_order_relaxed);
    if (waited)
        queue_end_waiting(job); /* nobody else will */
    return true;
}

/* --- Slow ones -------------------------------------------------------------------------------- */

void active_tell_slow(struct frontend_job *job)
{
    struct frontend *frontend = job->frontend;
    uint64_t now_ns = clock_monotonic_ns(frontend->options.clock);
    struct frontend_active active = describe(job, now_ns);
    const struct frontend_subject *subject = &job->subject;
    int64_t ran_ms = (int64_t)(active.ran_ns / NANOSECONDS_PER_MILLISECOND);
    if (frontend->options.slow_ms == 0 || ran_ms < frontend->options.slow_ms ||
        subject->kind == NULL)
        return;
    atomic_fetch_add_explicit(&frontend->slow_total, 1, memory_order_relaxed);
    uint64_t suppressed;
    if (!log_limit_allow(&frontend->slow_log, (int64_t)(now_ns / NANOSECONDS_PER_MILLISECOND),
                         &suppressed))
        return;
    char text[LOGGED_TEXT_BYTES], outcome[LOGGED_TEXT_BYTES];
    uint64_t memory_bytes_max = job->memory == NULL ? 0 : atomic_load(&job->memory->used_bytes_max);
    log_event(
        LOG_WARNING, "frontend", "a query was slow",
        "kind=%s tenant=%.*s query=%s start_ms=%lld end_ms=%lld step_ms=%lld "
        "ran_ms=%lld waited_ms=%llu memory_bytes=%llu outcome=%s suppressed=%llu",
        subject->kind, TEXT_ARGUMENTS(subject->tenant), log_quote(text, sizeof text, subject->text),
        (long long)subject->start_ms, (long long)subject->end_ms, (long long)subject->step_ms,
        (long long)ran_ms, (unsigned long long)(active.waited_ns / NANOSECONDS_PER_MILLISECOND),
        (unsigned long long)memory_bytes_max,
        log_quote(outcome, sizeof outcome,
                  job->error.code == ERROR_NONE ? TEXT("answered") : text_of(job->error.message)),
        (unsigned long long)suppressed);
}
