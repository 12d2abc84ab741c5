/*
 * loop_uv - what the other files of this module need from a loop: libuv and the end of a turn.
 *
 * From the loop's owner only. Every handle must be closed with uv_close before loop_destroy,
 * which runs the close callbacks that are left.
 */
#ifndef PLATFORM_LOOP_UV_H
#define PLATFORM_LOOP_UV_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "platform/loop.h"

uv_loop_t *loop_uv(struct loop *loop);

/* The loop behind a scheduler that loop_scheduler returned. */
struct loop *loop_of_scheduler(struct scheduler *scheduler);

/*
 * Called at the end of every turn, after the deferred tasks and before waiting for events: the
 * place to submit what the turn collected (one io_uring_enter a turn). Use this rather than a
 * uv_prepare of your own, whose order against the deferred tasks is not defined. A hook may defer
 * tasks; they run in the next turn, without waiting in between.
 */
struct loop_hook {
    void (*run)(struct loop_hook *hook);
    struct loop_hook *next; /* the loop's */
};

/* Not from inside a hook. */
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_remove(struct loop *loop, struct loop_hook *hook);

/* A buffer that any reader on the loop may use within one callback. */
enum { LOOP_SCRATCH_BYTES = 16 * 1024 };
uint8_t *loop_scratch(struct loop *loop);

/* From a worker: `job` has run, its `done` is due on the loop that submitted it. */
void loop_job_finished(struct scheduler *origin, struct job *job);

/* error_set for a libuv status: "<context>: <reason>". */
enum error_code error_set_uv(struct error *error, int status, const char *context);

#endif
