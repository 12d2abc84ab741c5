#include "platform/clock.h"

#include <time.h>

static int64_t system_now_ms(struct clock *self)
{
    (void)self;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t system_monotonic_ns(struct clock *self)
{
    (void)self;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct clock system_clock = {
    .now_ms = system_now_ms,
    .monotonic_ns = system_monotonic_ns,
};

struct clock *clock_system(void)
{
    return &system_clock;
}
