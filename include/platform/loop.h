/*
 * loop - one thread with an event loop: sockets, timers, tasks, and jobs given to workers.
 *
 * A loop implements `struct scheduler` (platform/scheduler.h) on libuv. It belongs to the thread
 * that created it until it runs, then to the thread that runs it, and after loop_join to the
 * joining thread. Only its owner touches what lives on it (timers, streams, servers, disks);
 * other threads reach it by scheduler_post, loop_call and loop_stop.
 *
 * One turn: timers that are due, posted tasks and finished jobs, sockets and files, then the
 * tasks deferred by all of these, then everything they asked to be written is submitted at once.
 * A task that defers itself runs once a turn, so long work can be sliced without starving others.
 */
#ifndef PLATFORM_LOOP_H
#define PLATFORM_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/scheduler.h"

struct loop;
struct worker_pool;

enum { LOOP_NAME_MAX = 15 };

struct loop_options {
    const char *name;            /* of the thread, cut to LOOP_NAME_MAX; NULL: "loop" */
    struct worker_pool *workers; /* runs submitted jobs, outlives the loop; NULL: none may be
                                  * submitted */
};

/* Since the loop was created. */
struct loop_statistics {
    uint64_t busy_ns;     /* outside of waiting for events */
    uint64_t turn_ns_max; /* the longest turn: how late everything else on the loop was */
    uint64_t turns;
    uint64_t tasks;  /* deferred and posted */
    uint64_t timers; /* fired */
    uint64_t jobs;   /* finished */
};

/* Errors: OUT_OF_MEMORY, IO (no descriptors). Ignores SIGPIPE for the process. */
enum error_code loop_create(const struct loop_options *options, struct loop **loop_out,
                            struct error *error);

/*
 * The loop must not be running, and what lives on it must have been closed; pending close
 * callbacks run inside. Tasks still queued are forgotten. NULL is fine.
 */
void loop_destroy(struct loop *loop);

/* Run in a thread of its own until loop_stop. Errors: OUT_OF_MEMORY, IO. */
enum error_code loop_start(struct loop *loop, struct error *error);

/* Wait until a started loop has stopped; the caller owns the loop then. Fine when not started. */
void loop_join(struct loop *loop);

/* Run on the calling thread until loop_stop. */
void loop_run(struct loop *loop);

/* Leave the run after the current turn. Any thread. A stop before the run makes it return at
 * once; a stopped loop may be run again. */
void loop_stop(struct loop *loop);

/*
 * Run `function(argument)` on the loop and wait for it. From a thread other than the loop's, for
 * setting up and taking down; the loop must be running or about to.
 */
void loop_call(struct loop *loop, void (*function)(void *argument), void *argument);

/* The loop as its users should see it; lives as long as the loop. */
struct scheduler *loop_scheduler(struct loop *loop);

/* Milliseconds on the loop's monotonic clock, as timers count; as of the current turn. */
uint64_t loop_now_ms(const struct loop *loop);

struct worker_pool *loop_workers(const struct loop *loop);

/* Any thread. */
void loop_statistics(const struct loop *loop, struct loop_statistics *statistics_out);

#endif
