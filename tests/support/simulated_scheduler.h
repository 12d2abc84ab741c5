/*
 * simulated_scheduler - a scheduler and a clock on virtual time, from one seed.
 *
 * Nothing happens but by simulated_scheduler_step(). Deferred and posted tasks keep their order
 * (production's promise); what runs between them, how long a job waits and takes, and which of two
 * events due at the same time comes first, the seed decides. Jobs run inside a step.
 */
#ifndef SIMULATED_SCHEDULER_H
#define SIMULATED_SCHEDULER_H

#include <stdbool.h>

#include "platform/clock.h"
#include "platform/random.h"
#include "platform/scheduler.h"
#include "platform/timer_heap.h"

typedef void simulated_event_run(void *argument);

struct simulated_event {
    uint64_t due_ns;
    uint64_t order; /* between events due at the same time */
    simulated_event_run *run;
    void *argument;
};

struct simulated_clock {
    struct clock base;
    uint64_t now_ns;
    int64_t wall_offset_ms; /* may be changed at any time: the wall clock jumps */
};

struct simulated_scheduler {
    struct scheduler base;
    struct simulated_clock *clock;
    struct random_generator random;
    struct simulated_event *events; /* a binary heap */
    size_t event_count, event_capacity;
    struct task *first_task, *last_task;
    struct timer_heap timers;
    uint64_t steps;
    uint64_t jobs_running; /* submitted, `done` not called yet */
};

void simulated_clock_init(struct simulated_clock *clock);
void simulated_scheduler_init(struct simulated_scheduler *scheduler, struct simulated_clock *clock,
                              uint64_t seed);
void simulated_scheduler_clear(struct simulated_scheduler *scheduler);

/* Call run(argument) after `delay_ns`. For the other simulated parts and for tests. */
void simulated_scheduler_after(struct simulated_scheduler *scheduler, uint64_t delay_ns,
                               simulated_event_run *run, void *argument);

/* One task, timer or event; moves the clock to it. False when nothing is left to happen. */
bool simulated_scheduler_step(struct simulated_scheduler *scheduler);

/* Step until `*flag` is true; false when nothing is left to happen or `step_limit` was reached. */
bool simulated_scheduler_run_until(struct simulated_scheduler *scheduler, const bool *flag,
                                   uint64_t step_limit);

/* Step until virtual time has moved on by `duration_ns`. */
void simulated_scheduler_run_for(struct simulated_scheduler *scheduler, uint64_t duration_ns);

#endif
