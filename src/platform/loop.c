#include "platform/loop.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "loop_uv.h"
#include "platform/timer_heap.h"
#include "platform/worker_pool.h"

/* --- Types ------------------------------------------------------------------------------- */

/* Tasks in the order in which they were added. */
struct task_list {
    struct task *first;
    struct task *last;
};

struct counters {
    _Atomic uint64_t busy_ns;
    _Atomic uint64_t turn_ns_max;
    _Atomic uint64_t turns;
    _Atomic uint64_t tasks;
    _Atomic uint64_t timers;
    _Atomic uint64_t jobs;
};

struct loop {
    struct scheduler scheduler;
    uv_loop_t uv;
    uv_async_t wake;     /* other threads have posted, finished a job, or want a stop */
    uv_timer_t alarm;    /* armed for the earliest timer of the heap */
    uv_prepare_t before; /* the end of a turn */
    uv_idle_t spin;      /* active while deferred tasks wait: the next turn doesn't */

    struct task_list deferred;
    struct timer_heap timers;
    uint64_t alarm_due_ms; /* UINT64_MAX: not armed */
    struct loop_hook *hooks;
    struct worker_pool *workers;

    /* Other threads push at the head; the loop takes the whole list and turns it around. */
    struct task *_Atomic posted;
    struct job *_Atomic finished;
    atomic_bool stop;

    _Atomic(pthread_t) owner;
    pthread_t thread;
    bool started; /* by loop_start, not yet joined */
    char name[LOOP_NAME_MAX + 1];

    struct counters counters; /* written by the owner only */
    uint64_t turn_start_ns;
    uint64_t turn_start_idle_ns;
    uint8_t scratch[LOOP_SCRATCH_BYTES];
};

/* --- Counting ---------------------------------------------------------------------------- */

/* One writer, so no read-modify-write is needed. */
static void count(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

static void count_turn(struct loop *loop)
{
    uint64_t now_ns = uv_hrtime();
    uint64_t idle_ns = uv_metrics_idle_time(&loop->uv);
    uint64_t waited_ns = idle_ns - loop->turn_start_idle_ns;
    uint64_t passed_ns = now_ns - loop->turn_start_ns;
    uint64_t turn_ns = passed_ns > waited_ns ? passed_ns - waited_ns : 0;
    loop->turn_start_ns = now_ns;
    loop->turn_start_idle_ns = idle_ns;
    count(&loop->counters.turns, 1);
    count(&loop->counters.busy_ns, turn_ns);
    if (turn_ns > atomic_load_explicit(&loop->counters.turn_ns_max, memory_order_relaxed))
        atomic_store_explicit(&loop->counters.turn_ns_max, turn_ns, memory_order_relaxed);
}

/* --- Scheduler --------------------------------------------------------------------------- */

static struct loop *loop_of(struct scheduler *self)
{
    return (struct loop *)((char *)self - offsetof(struct loop, scheduler));
}

static bool loop_is_owner(struct loop *loop)
{
    return pthread_equal(atomic_load_explicit(&loop->owner, memory_order_acquire), pthread_self());
}

static bool loop_on_loop(struct scheduler *self)
{
    return loop_is_owner(loop_of(self));
}

static void loop_defer(struct scheduler *self, struct task *task)
{
    struct loop *loop = loop_of(self);
    assert(loop_is_owner(loop));
    task->next = NULL;
    if (loop->deferred.first == NULL)
        loop->deferred.first = task;
    else
        loop->deferred.last->next = task;
    loop->deferred.last = task;
}

static void loop_post(struct scheduler *self, struct task *task)
{
    struct loop *loop = loop_of(self);
    struct task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task, memory_order_acq_rel,
                                                  memory_order_relaxed));
    /* Who makes the list non-empty wakes the loop for everybody. Its own thread is awake, and looks
     * at the list before it waits. */
    if (head == NULL && !loop_is_owner(loop))
        uv_async_send(&loop->wake);
}

static void loop_timer_start(struct scheduler *self, struct timer *timer, uint64_t delay_ms)
{
    struct loop *loop = loop_of(self);
    assert(loop_is_owner(loop));
    /* The clock itself, not the turn's time: a long callback must not shorten the delay. */
    uint64_t now_ms = uv_hrtime() / 1000000;
    uint64_t due_ms = now_ms > UINT64_MAX - delay_ms - 1 ? UINT64_MAX - 1 : now_ms + delay_ms;
    if (!timer_heap_start(&loop->timers, timer, due_ms)) {
        /* A timer that never fires is a hang somewhere else; an end is easier to see. */
        log_event(LOG_ERROR, "platform", "out of memory for timers", "count=%zu",
                  loop->timers.count);
        abort();
    }
}

static void loop_timer_stop(struct scheduler *self, struct timer *timer)
{
    struct loop *loop = loop_of(self);
    assert(loop_is_owner(loop));
    timer_heap_stop(&loop->timers, timer);
}

static void loop_submit(struct scheduler *self, struct job *job)
{
    struct loop *loop = loop_of(self);
    assert(loop_is_owner(loop));
    assert(loop->workers != NULL);
    job->origin = self;
    worker_pool_submit(loop->workers, job);
}

static const struct scheduler_operations operations = {
    .defer = loop_defer,
    .post = loop_post,
    .timer_start = loop_timer_start,
    .timer_stop = loop_timer_stop,
    .submit = loop_submit,
    .on_loop = loop_on_loop,
};

void loop_job_finished(struct scheduler *origin, struct job *job)
{
    struct loop *loop = loop_of(origin);
    struct job *head = atomic_load_explicit(&loop->finished, memory_order_relaxed);
    do
        job->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->finished, &head, job, memory_order_acq_rel,
                                                  memory_order_relaxed));
    if (head == NULL)
        uv_async_send(&loop->wake);
}

/* --- Parts of a turn --------------------------------------------------------------------- */

static bool has_posted(struct loop *loop)
{
    return atomic_load_explicit(&loop->posted, memory_order_relaxed) != NULL;
}

static void run_posted(struct loop *loop)
{
    if (!has_posted(loop))
        return;
    struct task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct task *oldest = NULL;
    while (newest != NULL) {
        struct task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct task *task = oldest;
        oldest = task->next;
        count(&loop->counters.tasks, 1);
        task->run(task);
    }
}

static void run_finished(struct loop *loop)
{
    struct job *newest = atomic_exchange_explicit(&loop->finished, NULL, memory_order_acquire);
    struct job *oldest = NULL;
    while (newest != NULL) {
        struct job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct job *job = oldest;
        oldest = job->next;
        count(&loop->counters.jobs, 1);
        job->done(job);
    }
}

/* Those deferred until now; what they defer waits for the next turn. */
static void run_deferred(struct loop *loop)
{
    struct task *first = loop->deferred.first;
    loop->deferred = (struct task_list){0};
    while (first != NULL) {
        struct task *task = first;
        first = task->next;
        count(&loop->counters.tasks, 1);
        task->run(task);
    }
}

static void run_timers(struct loop *loop)
{
    uint64_t now_ms = uv_hrtime() / 1000000;
    uint64_t sequence_end = loop->timers.sequence_next;
    struct timer *timer;
    while ((timer = timer_heap_take_due(&loop->timers, now_ms, sequence_end)) != NULL) {
        count(&loop->counters.timers, 1);
        timer->fire(timer);
    }
}

static void on_wake(uv_async_t *handle)
{
    struct loop *loop = handle->data;
    run_posted(loop);
    run_finished(loop);
    if (atomic_load_explicit(&loop->stop, memory_order_acquire))
        uv_stop(&loop->uv);
}

static void on_alarm(uv_timer_t *handle)
{
    struct loop *loop = handle->data;
    loop->alarm_due_ms = UINT64_MAX;
    run_timers(loop);
}

static void on_spin(uv_idle_t *handle)
{
    (void)handle;
}

/* libuv's timer once a turn, however often the heap's first changed. */
static void arm_alarm(struct loop *loop)
{
    uint64_t due_ms = timer_heap_next_due_ms(&loop->timers);
    if (due_ms == loop->alarm_due_ms)
        return;
    loop->alarm_due_ms = due_ms;
    if (due_ms == UINT64_MAX) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    uint64_t now_ms = uv_now(&loop->uv);
    uv_timer_start(&loop->alarm, on_alarm, due_ms > now_ms ? due_ms - now_ms : 0, 0);
}

static void on_before(uv_prepare_t *handle)
{
    struct loop *loop = handle->data;
    run_posted(loop);
    run_deferred(loop);
    for (struct loop_hook *hook = loop->hooks; hook != NULL; hook = hook->next)
        hook->run(hook);
    arm_alarm(loop);
    if (loop->deferred.first != NULL || has_posted(loop))
        uv_idle_start(&loop->spin, on_spin);
    else
        uv_idle_stop(&loop->spin);
    count_turn(loop);
}

/* --- Life -------------------------------------------------------------------------------- */

enum error_code error_set_uv(struct error *error, int status, const char *context)
{
    assert(status < 0);
    if (status == UV_ENOMEM)
        return error_set(error, ERROR_OUT_OF_MEMORY, "%s: out of memory", context);
    return error_set(error, ERROR_IO, "%s: %s", context, uv_strerror(status));
}

/* None of these can fail once the loop is initialised, but for the descriptor of the first. */
static int init_handles(struct loop *loop)
{
    int status = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (status < 0)
        return status;
    uv_timer_init(&loop->uv, &loop->alarm);
    uv_prepare_init(&loop->uv, &loop->before);
    uv_idle_init(&loop->uv, &loop->spin);
    loop->wake.data = loop->alarm.data = loop->before.data = loop->spin.data = loop;
    uv_prepare_start(&loop->before, on_before);
    loop->alarm_due_ms = UINT64_MAX;
    return 0;
}

enum error_code loop_create(const struct loop_options *options, struct loop **loop_out,
                            struct error *error)
{
    assert(options != NULL && loop_out != NULL);
    struct loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "loop: out of memory");
    loop->scheduler.operations = &operations;
    loop->workers = options->workers;
    snprintf(loop->name, sizeof loop->name, "%s", options->name == NULL ? "loop" : options->name);
    atomic_store(&loop->owner, pthread_self());

    int status = uv_loop_init(&loop->uv);
    if (status < 0) {
        free(loop);
        return error_set_uv(error, status, "loop");
    }
    uv_loop_configure(&loop->uv, UV_METRICS_IDLE_TIME);
    status = init_handles(loop);
    if (status < 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return error_set_uv(error, status, "loop");
    }
    /* A peer that hangs up must not end the process. */
    signal(SIGPIPE, SIG_IGN);
    loop->turn_start_ns = uv_hrtime();
    *loop_out = loop;
    return ERROR_NONE;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->started);
    assert(loop_is_owner(loop));
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_close((uv_handle_t *)&loop->before, NULL);
    uv_close((uv_handle_t *)&loop->spin, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT); /* only close callbacks are left */
    int status = uv_loop_close(&loop->uv);
    assert(status == 0); /* otherwise something on the loop was not closed */
    timer_heap_clear(&loop->timers);
    free(loop);
}

void loop_run(struct loop *loop)
{
    atomic_store_explicit(&loop->owner, pthread_self(), memory_order_release);
    loop->turn_start_ns = uv_hrtime();
    loop->turn_start_idle_ns = uv_metrics_idle_time(&loop->uv);
    uv_update_time(&loop->uv);
    while (!atomic_load_explicit(&loop->stop, memory_order_acquire))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_store_explicit(&loop->stop, false, memory_order_release);
}

static void *thread_main(void *argument)
{
    struct loop *loop = argument;
    pthread_setname_np(pthread_self(), loop->name);
    loop_run(loop);
    return NULL;
}

enum error_code loop_start(struct loop *loop, struct error *error)
{
    assert(!loop->started);
    int status = pthread_create(&loop->thread, NULL, thread_main, loop);
    if (status != 0)
        return error_set_errno(error, status, "loop '%s': thread", loop->name);
    loop->started = true;
    return ERROR_NONE;
}

void loop_join(struct loop *loop)
{
    if (loop == NULL || !loop->started)
        return;
    pthread_join(loop->thread, NULL);
    loop->started = false;
    atomic_store_explicit(&loop->owner, pthread_self(), memory_order_release);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    uv_async_send(&loop->wake);
}

/* --- Calls from other threads ------------------------------------------------------------ */

struct call {
    struct task task;
    void (*function)(void *argument);
    void *argument;
    uv_sem_t done;
};

static void call_run(struct task *task)
{
    struct call *call = (struct call *)((char *)task - offsetof(struct call, task));
    call->function(call->argument);
    uv_sem_post(&call->done);
}

void loop_call(struct loop *loop, void (*function)(void *argument), void *argument)
{
    struct call call = {
        .task.run = call_run,
        .function = function,
        .argument = argument,
    };
    int status = uv_sem_init(&call.done, 0);
    assert(status == 0);
    loop_post(&loop->scheduler, &call.task);
    uv_sem_wait(&call.done);
    uv_sem_destroy(&call.done);
}

/* --- Parts ------------------------------------------------------------------------------- */

struct scheduler *loop_scheduler(struct loop *loop)
{
    return &loop->scheduler;
}

struct loop *loop_of_scheduler(struct scheduler *scheduler)
{
    assert(scheduler->operations == &operations);
    return loop_of(scheduler);
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return uv_now(&loop->uv);
}

struct worker_pool *loop_workers(const struct loop *loop)
{
    return loop->workers;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

uint8_t *loop_scratch(struct loop *loop)
{
    return loop->scratch;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
    hook->next = loop->hooks;
    loop->hooks = hook;
}

void loop_hook_remove(struct loop *loop, struct loop_hook *hook)
{
    struct loop_hook **link = &loop->hooks;
    while (*link != hook) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = hook->next;
    hook->next = NULL;
}

void loop_statistics(const struct loop *loop, struct loop_statistics *statistics_out)
{
    const struct counters *counters = &loop->counters;
    *statistics_out = (struct loop_statistics){
        .busy_ns = atomic_load_explicit(&counters->busy_ns, memory_order_relaxed),
        .turn_ns_max = atomic_load_explicit(&counters->turn_ns_max, memory_order_relaxed),
        .turns = atomic_load_explicit(&counters->turns, memory_order_relaxed),
        .tasks = atomic_load_explicit(&counters->tasks, memory_order_relaxed),
        .timers = atomic_load_explicit(&counters->timers, memory_order_relaxed),
        .jobs = atomic_load_explicit(&counters->jobs, memory_order_relaxed),
    };
}
