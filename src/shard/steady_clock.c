#include "steady_clock.h"

#include "base/log.h"

enum {
    MINUTE_MS = 60 * 1000,
    DAY_MS = 24 * 60 * MINUTE_MS,
    PACE = 2, /* of a clock in doubt */
    /* Two looks lie apart by less than what the process may have been stopped for. */
    SLACK_MS = 10 * MINUTE_MS,
};

static void trust(struct steady_clock *steady, int64_t wall_ms)
{
    steady->is_doubted = false;
    steady->now_ms = wall_ms;
}

static void doubt(struct steady_clock *steady, int64_t wall_ms, uint64_t monotonic_ms)
{
    log_event(LOG_WARNING, "shard",
              "the clock jumped ahead: nothing more is deleted by age until it stands for a day",
              "seconds=%lld", (long long)(wall_ms - steady->now_ms) / 1000);
    steady->is_doubted = true;
    steady->doubted_from_ms = monotonic_ms;
}

int64_t steady_clock_now_ms(struct steady_clock *steady, struct clock *clock)
{
    int64_t wall_ms = clock_now_ms(clock);
    uint64_t monotonic_ms = clock_monotonic_ms(clock);
    int64_t passed_ms = (int64_t)(monotonic_ms - steady->looked_at_ms);
    steady->looked_at_ms = monotonic_ms;
    if (!steady->is_set ||
        wall_ms <= steady->now_ms + PACE * passed_ms + (steady->is_doubted ? 0 : SLACK_MS)) {
        steady->is_set = true;
        trust(steady, wall_ms);
        return wall_ms;
    }
    if (!steady->is_doubted)
        doubt(steady, wall_ms, monotonic_ms);
    steady->now_ms += PACE * passed_ms;
    if (monotonic_ms - steady->doubted_from_ms >= DAY_MS)
        trust(steady, wall_ms);
    return steady->now_ms;
}
