/*
 * steady_clock - the wall clock without its jumps ahead, for who deletes by age. Private to shard.
 *
 *   trusted --jump ahead--> doubted: goes at twice the pace --stands for a day--> trusted
 *      ^----------------------- the jump was taken back -----------------------'
 *
 * A clock that is wrong for hours must not end what was to be kept for weeks. It is taken on trust
 * when a process starts: a node that was away for weeks has to follow it. One thread.
 */
#ifndef SHARD_STEADY_CLOCK_H
#define SHARD_STEADY_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/clock.h"

/* Zero-initialised is before the first look. */
struct steady_clock {
    bool is_set;
    bool is_doubted;
    int64_t now_ms;           /* at the last look */
    uint64_t looked_at_ms;    /* by the monotonic clock */
    uint64_t doubted_from_ms; /* by the monotonic clock, while it is */
};

/* Milliseconds since the Unix epoch, at most what the wall clock says. */
int64_t steady_clock_now_ms(struct steady_clock *steady, struct clock *clock);

#endif
