#include "platform/worker_pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "loop_uv.h"
#include "platform/no_wait.h"

/* Beside the workers that were asked for: those who wait for other machines take none of them. */
enum { TRANSFERS_MAX = 2, THREAD_COUNT_MAX = WORKER_COUNT_MAX + TRANSFERS_MAX };

/* --- Types ------------------------------------------------------------------------------- */

/* Jobs of one class, oldest first. */
struct job_queue {
    struct job *first;
    struct job *last;
    size_t running_max; /* workers at once */
    struct worker_class_statistics statistics;
    uint64_t changed_ns; /* when `waiting` changed last; waited_ns counts until then */
};

struct worker {
    struct worker_pool *pool;
    pthread_t thread;
    pthread_cond_t called;    /* is_called became true */
    bool is_called;           /* under the mutex, as is `idle_next` */
    struct worker *idle_next; /* who went idle before it */
};

/* One call of parallel_run, on its caller's stack. */
struct region {
    void (*body)(void *context, size_t part, size_t lane);
    void *context;
    size_t part_count;
    _Atomic size_t part_next;
    enum job_class class;
    size_t lanes_used; /* under the mutex, as all below */
    size_t lanes_max;
    size_t helpers; /* inside now */
    bool lane_busy[WORKER_COUNT_MAX];
    pthread_cond_t left; /* helpers became 0 */
    struct region *next;
    struct region **link;
};

struct worker_pool {
    pthread_mutex_t mutex;
    struct worker *idle; /* the latest first: its caches are warm */
    struct job_queue queues[JOB_CLASSES];
    struct region *regions; /* with parts not handed out */
    _Atomic size_t waiting; /* jobs in all queues, for helpers to look at */
    bool ending;
    size_t worker_count; /* for work: TRANSFERS_MAX threads fewer than there are */
    struct worker workers[THREAD_COUNT_MAX];
};

/* The class of the job that this thread runs. */
static _Thread_local enum job_class current_class = JOB_QUERY;

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- Waking workers -------------------------------------------------------------------------- */

/* The worker that went idle last, to be woken by the caller; NULL: all are busy, and look for more
 * before they rest. Mutex held. */
static struct worker *call_worker(struct worker_pool *pool)
{
    struct worker *worker = pool->idle;
    if (worker != NULL) {
        pool->idle = worker->idle_next;
        worker->is_called = true;
    }
    return worker;
}

/* Workers outlive every caller, so this needs no mutex. */
static void wake_worker(struct worker *worker)
{
    if (worker != NULL)
        pthread_cond_signal(&worker->called);
}

static void wake_workers(struct worker_pool *pool, size_t count)
{
    for (size_t i = 0; i < count && pool->idle != NULL; i++)
        wake_worker(call_worker(pool));
}

static void rest(struct worker_pool *pool, struct worker *worker)
{
    worker->idle_next = pool->idle;
    worker->is_called = false;
    pool->idle = worker;
    while (!worker->is_called)
        pthread_cond_wait(&worker->called, &pool->mutex);
}

/* --- Choosing work (mutex held) ---------------------------------------------------------- */

static bool class_has_room(const struct job_queue *queue)
{
    return queue->statistics.running < queue->running_max;
}

/* The class with a job, room under its cap and the fewest running; NULL when there is none. */
static struct job_queue *choose_queue(struct worker_pool *pool)
{
    struct job_queue *chosen = NULL;
    for (size_t class = 0; class < JOB_CLASSES; class ++) {
        struct job_queue *queue = &pool->queues[class];
        if (queue->first == NULL || !class_has_room(queue))
            continue;
        if (chosen == NULL || queue->statistics.running < chosen->statistics.running)
            chosen = queue;
    }
    return chosen;
}

static struct region *choose_region(struct worker_pool *pool)
{
    for (struct region *region = pool->regions; region != NULL; region = region->next)
        if (region->lanes_used < region->lanes_max && class_has_room(&pool->queues[region->class]))
            return region;
    return NULL;
}

/* The area below the number of waiting jobs over time is the time that they waited together. */
static void count_waiting(struct job_queue *queue, uint64_t now_ns)
{
    if (now_ns > queue->changed_ns)
        queue->statistics.waited_ns += queue->statistics.waiting * (now_ns - queue->changed_ns);
    queue->changed_ns = now_ns;
}

static struct job *queue_take(struct worker_pool *pool, struct job_queue *queue)
{
    struct job *job = queue->first;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    count_waiting(queue, monotonic_ns());
    queue->statistics.waiting--;
    atomic_fetch_sub_explicit(&pool->waiting, 1, memory_order_relaxed);
    return job;
}

/* --- Working ----------------------------------------------------------------------------- */

static void run_job(struct worker_pool *pool, struct job_queue *queue)
{
    struct job *job = queue_take(pool, queue);
    queue->statistics.running++;
    /* Each wakes the next while there is work, so one call a job is enough. */
    struct worker *next = choose_queue(pool) != NULL ? call_worker(pool) : NULL;
    pthread_mutex_unlock(&pool->mutex);
    wake_worker(next);

    current_class = job->class;
    uint64_t start_ns = monotonic_ns();
    job->run(job);
    loop_job_finished(job->origin, job); /* the job may be gone now */
    uint64_t busy_ns = monotonic_ns() - start_ns;

    pthread_mutex_lock(&pool->mutex);
    queue->statistics.running--;
    queue->statistics.finished++;
    queue->statistics.busy_ns += busy_ns;
}

static bool take_part(struct region *region, size_t *part_out)
{
    size_t part = atomic_fetch_add_explicit(&region->part_next, 1, memory_order_relaxed);
    *part_out = part;
    return part < region->part_count;
}

static void region_unlink(struct region *region)
{
    if (region->link == NULL)
        return;
    *region->link = region->next;
    if (region->next != NULL)
        region->next->link = region->link;
    region->link = NULL;
}

static size_t region_take_lane(struct region *region)
{
    size_t lane = 0;
    while (region->lane_busy[lane])
        lane++;
    assert(lane < region->lanes_max);
    region->lane_busy[lane] = true;
    region->lanes_used++;
    return lane;
}

/* Take parts of `region` until there are none, or a job waits for a worker. */
static void help_region(struct worker_pool *pool, struct region *region)
{
    struct job_queue *queue = &pool->queues[region->class];
    size_t lane = region_take_lane(region);
    region->helpers++;
    queue->statistics.running++;
    pthread_mutex_unlock(&pool->mutex);

    current_class = region->class;
    uint64_t start_ns = monotonic_ns();
    bool exhausted = false;
    size_t part;
    do {
        if (!take_part(region, &part)) {
            exhausted = true;
            break;
        }
        region->body(region->context, part, lane);
    } while (atomic_load_explicit(&pool->waiting, memory_order_relaxed) == 0);
    uint64_t busy_ns = monotonic_ns() - start_ns;

    pthread_mutex_lock(&pool->mutex);
    queue->statistics.running--;
    queue->statistics.busy_ns += busy_ns;
    if (exhausted)
        region_unlink(region);
    region->lane_busy[lane] = false;
    region->lanes_used--;
    if (--region->helpers == 0)
        pthread_cond_signal(&region->left); /* the caller may return now */
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct worker_pool *pool = worker->pool;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct job_queue *queue = choose_queue(pool);
        struct region *region = queue == NULL ? choose_region(pool) : NULL;
        if (queue != NULL)
            run_job(pool, queue);
        else if (region != NULL)
            help_region(pool, region);
        else if (pool->ending && atomic_load_explicit(&pool->waiting, memory_order_relaxed) == 0)
            break;
        else
            rest(pool, worker);
    }
    /* The others leave too. */
    wake_workers(pool, THREAD_COUNT_MAX);
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* --- Public: jobs ------------------------------------------------------------------------ */

void worker_pool_submit(struct worker_pool *pool, struct job *job)
{
    assert(job->class < JOB_CLASSES && job->run != NULL && job->done != NULL);
    assert(job->origin != NULL);
    job->next = NULL;
    uint64_t now_ns = monotonic_ns();
    pthread_mutex_lock(&pool->mutex);
    assert(!pool->ending);
    struct job_queue *queue = &pool->queues[job->class];
    if (queue->first == NULL)
        queue->first = job;
    else
        queue->last->next = job;
    queue->last = job;
    count_waiting(queue, now_ns);
    queue->statistics.waiting++;
    atomic_fetch_add_explicit(&pool->waiting, 1, memory_order_relaxed);
    struct worker *worker = call_worker(pool);
    pthread_mutex_unlock(&pool->mutex);
    /* Not under the mutex, which the worker would wake up only to wait for. */
    wake_worker(worker);
}

static void end_workers(struct worker_pool *pool, size_t started)
{
    pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    wake_workers(pool, started);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < started; i++)
        pthread_join(pool->workers[i].thread, NULL);
}

static enum error_code start_workers(struct worker_pool *pool, struct error *error)
{
    for (size_t i = 0; i < pool->worker_count + TRANSFERS_MAX; i++) {
        struct worker *worker = &pool->workers[i];
        worker->pool = pool;
        int status = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (status != 0) {
            end_workers(pool, i);
            return error_set_errno(error, status, "worker pool: thread %zu", i);
        }
        char name[16];
        snprintf(name, sizeof name, "worker-%zu", i);
        pthread_setname_np(worker->thread, name);
    }
    return ERROR_NONE;
}

static size_t default_worker_count(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = processors < 1 ? 1 : (size_t)processors;
    count++;
    if (count < WORKER_COUNT_MIN)
        return WORKER_COUNT_MIN;
    return count > WORKER_COUNT_MAX ? WORKER_COUNT_MAX : count;
}

static void pool_free(struct worker_pool *pool)
{
    for (size_t i = 0; i < THREAD_COUNT_MAX; i++)
        pthread_cond_destroy(&pool->workers[i].called);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

enum error_code worker_pool_create(const struct worker_pool_options *options,
                                   struct worker_pool **pool_out, struct error *error)
{
    size_t count = options->worker_count == 0 ? default_worker_count() : options->worker_count;
    if (count < WORKER_COUNT_MIN || count > WORKER_COUNT_MAX)
        return error_set(error, ERROR_INVALID, "worker pool: %zu workers, must be %d to %d", count,
                         WORKER_COUNT_MIN, WORKER_COUNT_MAX);
    struct worker_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "worker pool: out of memory");
    pthread_mutex_init(&pool->mutex, NULL);
    for (size_t i = 0; i < THREAD_COUNT_MAX; i++)
        pthread_cond_init(&pool->workers[i].called, NULL);
    pool->worker_count = count;
    size_t background_max = count - 2 < count / 2 ? count - 2 : count / 2;
    pool->queues[JOB_QUERY].running_max = count - 1;
    pool->queues[JOB_SUBQUERY].running_max = count - 1;
    pool->queues[JOB_STORAGE].running_max = count - 1;
    pool->queues[JOB_BACKGROUND].running_max = background_max;
    pool->queues[JOB_TRANSFER].running_max = TRANSFERS_MAX;

    enum error_code code = start_workers(pool, error);
    if (code != ERROR_NONE) {
        pool_free(pool);
        return code;
    }
    *pool_out = pool;
    return ERROR_NONE;
}

void worker_pool_destroy(struct worker_pool *pool)
{
    if (pool == NULL)
        return;
    end_workers(pool, pool->worker_count + TRANSFERS_MAX);
    assert(pool->regions == NULL);
    pool_free(pool);
}

void worker_pool_statistics(struct worker_pool *pool, struct worker_pool_statistics *statistics_out)
{
    pthread_mutex_lock(&pool->mutex);
    statistics_out->worker_count = pool->worker_count;
    for (size_t class = 0; class < JOB_CLASSES; class ++)
        statistics_out->classes[class] = pool->queues[class].statistics;
    pthread_mutex_unlock(&pool->mutex);
}

/* --- Public: one job on several workers -------------------------------------------------- */

size_t parallel_lanes(struct worker_pool *pool)
{
    return pool == NULL ? 1 : pool->worker_count;
}

static void region_link(struct worker_pool *pool, struct region *region)
{
    region->next = pool->regions;
    region->link = &pool->regions;
    if (region->next != NULL)
        region->next->link = &region->next;
    pool->regions = region;
}

void parallel_run(struct worker_pool *pool, size_t part_count,
                  void (*body)(void *context, size_t part, size_t lane), void *context)
{
    if (pool == NULL || part_count < 2 || no_wait_applies()) {
        for (size_t part = 0; part < part_count; part++)
            body(context, part, 0);
        return;
    }
    enum job_class class = current_class;
    struct region region = {
        .body = body,
        .context = context,
        .part_count = part_count,
        .class = class,
        .lanes_max = pool->worker_count,
        .left = PTHREAD_COND_INITIALIZER,
    };
    pthread_mutex_lock(&pool->mutex);
    size_t lane = region_take_lane(&region);
    region_link(pool, &region);
    wake_workers(pool, part_count - 1);
    pthread_mutex_unlock(&pool->mutex);

    size_t part;
    while (take_part(&region, &part))
        body(context, part, lane);

    pthread_mutex_lock(&pool->mutex);
    region_unlink(&region);
    while (region.helpers > 0)
        pthread_cond_wait(&region.left, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    pthread_cond_destroy(&region.left);
    current_class = class; /* a body may have run other regions inside */
}
