#include "simulated_write.h"

#include "offered_samples.h"

void simulated_write_init(struct shard_write *write, struct arena *arena, size_t samples_max)
{
    *write = (struct shard_write){
        .tenant = TEXT("anonymous"),
        .new_series = arena_array(arena, samples_max, sizeof *write->new_series),
        .ids = arena_array(arena, samples_max, sizeof *write->ids),
        .timestamps_ms = arena_array(arena, samples_max, sizeof *write->timestamps_ms),
        .values = arena_array(arena, samples_max, sizeof *write->values),
        .origins = arena_array(arena, samples_max, sizeof *write->origins),
        .stale_origins = arena_array(arena, samples_max, sizeof *write->stale_origins),
    };
}

void simulated_write_add(struct shard_write *write, uint64_t id, unsigned series, int64_t time_ms,
                         uint32_t origin)
{
    size_t at = write->float_count++;
    write->ids[at] = id;
    write->timestamps_ms[at] = time_ms;
    write->values[at] = offered_value(series, time_ms);
    write->origins[at] = origin;
}

int64_t simulated_write_time(struct random *random, struct clock *clock)
{
    enum { RECENT_MS = 5000, LATE_PERCENT = 8, LATE_MS_MAX = 6 * 3600 * 1000 };
    int64_t time_ms = clock_now_ms(clock) - random_below(random, RECENT_MS);
    if (random_below(random, 100) < LATE_PERCENT)
        time_ms -= random_below(random, LATE_MS_MAX);
    return time_ms - time_ms % 10;
}
