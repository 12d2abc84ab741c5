/*
 * clock - wall and monotonic time, a seam for the simulation.
 */
#ifndef PLATFORM_CLOCK_H
#define PLATFORM_CLOCK_H

#include <stdint.h>

struct clock {
    /* Milliseconds since the Unix epoch; may jump in both directions. Any thread. */
    int64_t (*now_ms)(struct clock *self);
    /* Nanoseconds since some start; never goes back. Any thread. */
    uint64_t (*monotonic_ns)(struct clock *self);
};

static inline int64_t clock_now_ms(struct clock *self)
{
    return self->now_ms(self);
}

static inline uint64_t clock_monotonic_ns(struct clock *self)
{
    return self->monotonic_ns(self);
}

static inline uint64_t clock_monotonic_ms(struct clock *self)
{
    return self->monotonic_ns(self) / 1000000;
}

/* The machine's clocks. */
struct clock *clock_system(void);

#endif
