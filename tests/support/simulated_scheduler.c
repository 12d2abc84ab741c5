#include "simulated_scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "simulated_memory.h"

static struct simulated_scheduler *scheduler_of(struct scheduler *self)
{
    return (struct simulated_scheduler *)self;
}

/* --- Clock ----------------------------------------------------------------------------------- */

static int64_t clock_wall_ms(struct clock *self)
{
    struct simulated_clock *clock = (struct simulated_clock *)self;
    return (int64_t)(clock->now_ns / 1000000) + clock->wall_offset_ms;
}

static uint64_t clock_now_ns(struct clock *self)
{
    return ((struct simulated_clock *)self)->now_ns;
}

void simulated_clock_init(struct simulated_clock *clock)
{
    *clock = (struct simulated_clock){
        .base = {.now_ms = clock_wall_ms, .monotonic_ns = clock_now_ns},
        .now_ns = 1000000000,
        .wall_offset_ms = INT64_C(1700000000000),
    };
}

/* --- Events, a heap --------------------------------------------------------------------------- */

static bool event_before(const struct simulated_event *left, const struct simulated_event *right)
{
    return left->due_ns != right->due_ns ? left->due_ns < right->due_ns
                                         : left->order < right->order;
}

static void event_push(struct simulated_scheduler *scheduler, struct simulated_event event)
{
    if (scheduler->event_count == scheduler->event_capacity) {
        size_t capacity = scheduler->event_capacity * 2 + 64;
        scheduler->events =
            simulated_grow(scheduler->events, scheduler->event_count * sizeof *scheduler->events,
                           capacity * sizeof *scheduler->events);
        scheduler->event_capacity = capacity;
    }
    size_t position = scheduler->event_count++;
    while (position > 0) {
        size_t parent = (position - 1) / 2;
        if (!event_before(&event, &scheduler->events[parent]))
            break;
        scheduler->events[position] = scheduler->events[parent];
        position = parent;
    }
    scheduler->events[position] = event;
}

static struct simulated_event event_pop(struct simulated_scheduler *scheduler)
{
    struct simulated_event *events = scheduler->events;
    struct simulated_event first = events[0];
    struct simulated_event last = events[--scheduler->event_count];
    size_t position = 0;
    for (;;) {
        size_t child = position * 2 + 1;
        if (child >= scheduler->event_count)
            break;
        if (child + 1 < scheduler->event_count && event_before(&events[child + 1], &events[child]))
            child++;
        if (!event_before(&events[child], &last))
            break;
        events[position] = events[child];
        position = child;
    }
    events[position] = last;
    return first;
}

void simulated_scheduler_after(struct simulated_scheduler *scheduler, uint64_t delay_ns,
                               simulated_event_run *run, void *argument)
{
    event_push(scheduler, (struct simulated_event){
                              .due_ns = scheduler->clock->now_ns + delay_ns,
                              .order = random_next(&scheduler->random.base),
                              .run = run,
                              .argument = argument,
                          });
}

/* --- The scheduler's operations ----------------------------------------------------------------
 */

static void scheduler_add_task(struct scheduler *self, struct task *task)
{
    struct simulated_scheduler *scheduler = scheduler_of(self);
    task->next = NULL;
    if (scheduler->last_task == NULL)
        scheduler->first_task = task;
    else
        scheduler->last_task->next = task;
    scheduler->last_task = task;
}

static void scheduler_start_timer(struct scheduler *self, struct timer *timer, uint64_t delay_ms)
{
    struct simulated_scheduler *scheduler = scheduler_of(self);
    bool started =
        timer_heap_start(&scheduler->timers, timer, scheduler->clock->now_ns / 1000000 + delay_ms);
    assert(started);
}

static void scheduler_stop_timer(struct scheduler *self, struct timer *timer)
{
    timer_heap_stop(&scheduler_of(self)->timers, timer);
}

static void job_finish(void *argument)
{
    struct job *job = argument;
    scheduler_of(job->origin)->jobs_running--;
    job->done(job);
}

/* Mostly fast; now and then a worker is busy for long. */
static uint64_t job_delay_ns(struct simulated_scheduler *scheduler)
{
    uint32_t unit = random_below(&scheduler->random.base, 20) == 0 ? 50000000 : 500000;
    return random_below(&scheduler->random.base, unit);
}

static void job_start(void *argument)
{
    struct job *job = argument;
    struct simulated_scheduler *scheduler = scheduler_of(job->origin);
    job->run(job);
    simulated_scheduler_after(scheduler, job_delay_ns(scheduler), job_finish, job);
}

static void scheduler_add_job(struct scheduler *self, struct job *job)
{
    struct simulated_scheduler *scheduler = scheduler_of(self);
    job->origin = self;
    scheduler->jobs_running++;
    simulated_scheduler_after(scheduler, job_delay_ns(scheduler), job_start, job);
}

static bool scheduler_is_here(struct scheduler *self)
{
    (void)self;
    return true;
}

static const struct scheduler_operations OPERATIONS = {
    .defer = scheduler_add_task,
    .post = scheduler_add_task,
    .timer_start = scheduler_start_timer,
    .timer_stop = scheduler_stop_timer,
    .submit = scheduler_add_job,
    .on_loop = scheduler_is_here,
};

/* --- Running -----------------------------------------------------------------------------------
 */

void simulated_scheduler_init(struct simulated_scheduler *scheduler, struct simulated_clock *clock,
                              uint64_t seed)
{
    *scheduler = (struct simulated_scheduler){.base = {.operations = &OPERATIONS}, .clock = clock};
    random_generator_init(&scheduler->random, seed);
}

void simulated_scheduler_clear(struct simulated_scheduler *scheduler)
{
    timer_heap_clear(&scheduler->timers);
    free(scheduler->events);
    *scheduler = (struct simulated_scheduler){0};
}

static void task_run(struct simulated_scheduler *scheduler)
{
    struct task *task = scheduler->first_task;
    scheduler->first_task = task->next;
    if (scheduler->first_task == NULL)
        scheduler->last_task = NULL;
    task->run(task);
}

bool simulated_scheduler_step(struct simulated_scheduler *scheduler)
{
    struct simulated_clock *clock = scheduler->clock;
    uint64_t timer_due_ms = timer_heap_next_due_ms(&scheduler->timers);
    uint64_t timer_due_ns = timer_due_ms == UINT64_MAX ? UINT64_MAX : timer_due_ms * 1000000;
    uint64_t event_due_ns = scheduler->event_count == 0 ? UINT64_MAX : scheduler->events[0].due_ns;
    scheduler->steps++;
    if (scheduler->first_task != NULL) {
        /* Time hardly moves between tasks, yet what is due already may come in between. */
        bool event_due = event_due_ns <= clock->now_ns;
        if (!event_due || random_below(&scheduler->random.base, 2) == 0) {
            task_run(scheduler);
            return true;
        }
    }
    if (timer_due_ns == UINT64_MAX && event_due_ns == UINT64_MAX)
        return false;
    if (timer_due_ns <= event_due_ns) {
        if (timer_due_ns > clock->now_ns)
            clock->now_ns = timer_due_ns;
        struct timer *timer = timer_heap_take_due(&scheduler->timers, timer_due_ms, UINT64_MAX);
        timer->fire(timer);
    } else {
        struct simulated_event event = event_pop(scheduler);
        if (event.due_ns > clock->now_ns)
            clock->now_ns = event.due_ns;
        event.run(event.argument);
    }
    return true;
}

bool simulated_scheduler_run_until(struct simulated_scheduler *scheduler, const bool *flag,
                                   uint64_t step_limit)
{
    for (uint64_t i = 0; i < step_limit && !*flag; i++)
        if (!simulated_scheduler_step(scheduler))
            break;
    return *flag;
}

void simulated_scheduler_run_for(struct simulated_scheduler *scheduler, uint64_t duration_ns)
{
    uint64_t end_ns = scheduler->clock->now_ns + duration_ns;
    while (scheduler->clock->now_ns < end_ns)
        if (!simulated_scheduler_step(scheduler)) {
            scheduler->clock->now_ns = end_ns;
            break;
        }
}
