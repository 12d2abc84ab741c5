/*
 * timer_heap - the started timers of a scheduler, earliest first.
 *
 * A 4-ary heap over the caller's `struct timer`s. Timers due at the same millisecond fire in the
 * order in which they were started, so a simulation is repeatable. Not thread-safe: owned by the
 * scheduler's thread.
 */
#ifndef PLATFORM_TIMER_HEAP_H
#define PLATFORM_TIMER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/scheduler.h"

/* Key beside the pointer: sifting reads no timer. */
struct timer_heap_entry {
    uint64_t due_ms;
    uint64_t sequence; /* order of starting */
    struct timer *timer;
};

/* Zero-initialised is empty and valid. */
struct timer_heap {
    struct timer_heap_entry *entries; /* [capacity], owned */
    size_t count;
    size_t capacity;
    uint64_t sequence_next;
};

/* Releases the memory; the timers in it become idle. */
void timer_heap_clear(struct timer_heap *heap);

/*
 * Start `timer`, or move it when it is started, to fire at `due_ms`. False when memory is out,
 * with a started timer left as it was; moving a started timer never fails.
 *
 * A timer that was never started has heap_index TIMER_IDLE, set by its owner.
 */
bool timer_heap_start(struct timer_heap *heap, struct timer *timer, uint64_t due_ms);

/* Fine when the timer is idle. */
void timer_heap_stop(struct timer_heap *heap, struct timer *timer);

/* When the earliest timer is due; UINT64_MAX when none is started. */
uint64_t timer_heap_next_due_ms(const struct timer_heap *heap);

/*
 * Take out the earliest timer if it is due at `now_ms` and was started before `sequence_end`
 * (heap->sequence_next at the start of a round, so that a timer which restarts itself with no
 * delay waits for the next round; UINT64_MAX: any). NULL when there is none. The caller fires it.
 */
struct timer *timer_heap_take_due(struct timer_heap *heap, uint64_t now_ms, uint64_t sequence_end);

#endif
