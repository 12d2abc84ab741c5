/*
 * scheduler - the work of one loop thread: deferred and posted tasks, timers,
 * and jobs that a bounded pool of workers does for it.
 *
 * A seam: production runs it on libuv (platform/loop.h), the simulation on a
 * virtual clock, from one seed. Everything that a loop owns is touched from
 * its thread only; other threads reach it by `post`. All structures are the
 * caller's and stay in place until their callback ran; callbacks never run
 * inside the call that asks for them.
 */
#ifndef PLATFORM_SCHEDULER_H
#define PLATFORM_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Something to run once on a loop. One task may be queued once at a time. */
struct task {
    void (*run)(struct task *task);
    struct task *next; /* the queue's */
};

struct timer {
    void (*fire)(struct timer *timer);
    uint64_t due_ms;   /* the scheduler's, on its monotonic clock */
    size_t heap_index; /* the scheduler's; TIMER_IDLE when not started */
};

#define TIMER_IDLE SIZE_MAX

/* Who waits longer when the workers are busy: the pool has a bounded share for each class. */
enum job_class {
    JOB_QUERY,      /* a user waits for it */
    JOB_SUBQUERY,   /* a query of another node waits for it; it waits for none */
    JOB_STORAGE,    /* freeze: the write path waits for it in the end */
    JOB_BACKGROUND, /* merges, verification */
    JOB_TRANSFER,   /* uploads: it mostly waits for another machine */
    JOB_CLASSES
};

/* `run` on a worker thread, then `done` on the loop that submitted it. */
struct job {
    void (*run)(struct job *job);
    void (*done)(struct job *job);
    enum job_class class;
    struct scheduler *origin; /* the scheduler's */
    struct job *next;         /* the scheduler's */
};

struct scheduler;

struct scheduler_operations {
    void (*defer)(struct scheduler *self, struct task *task);
    void (*post)(struct scheduler *self, struct task *task);
    void (*timer_start)(struct scheduler *self, struct timer *timer, uint64_t delay_ms);
    void (*timer_stop)(struct scheduler *self, struct timer *timer);
    void (*submit)(struct scheduler *self, struct job *job);
    bool (*on_loop)(struct scheduler *self);
};

struct scheduler {
    const struct scheduler_operations *operations;
};

/* Run `task` on this loop after the current callback. From the loop's thread only. */
static inline void scheduler_defer(struct scheduler *self, struct task *task)
{
    self->operations->defer(self, task);
}

/* Run `task` on this loop, from any thread; tasks of one thread run in the order posted. */
static inline void scheduler_post(struct scheduler *self, struct task *task)
{
    self->operations->post(self, task);
}

/* Fire once, after `delay_ms`; starting a started timer moves it. From the loop's thread only. */
static inline void scheduler_timer_start(struct scheduler *self, struct timer *timer,
                                         uint64_t delay_ms)
{
    self->operations->timer_start(self, timer, delay_ms);
}

/* The timer will not fire; fine when it is idle. From the loop's thread only. */
static inline void scheduler_timer_stop(struct scheduler *self, struct timer *timer)
{
    self->operations->timer_stop(self, timer);
}

/* Hand `job` to the workers. From the loop's thread only. Jobs are never refused: who submits
 * bounds how many it has. */
static inline void scheduler_submit(struct scheduler *self, struct job *job)
{
    self->operations->submit(self, job);
}

/* Whether the caller runs on this loop's thread (for asserts). */
static inline bool scheduler_on_loop(struct scheduler *self)
{
    return self->operations->on_loop(self);
}

#endif
