#include "scrub_schedule.h"

#include <stddef.h>

enum {
    TURN_MS_MAX = 60 * 1000,
    TURN_MS_MIN = 100,
    TURNS_PER_INTERVAL = 64,
};

/* --- A turn ----------------------------------------------------------------------------------- */

static void wait_for_turn(struct scrub_schedule *schedule)
{
    int64_t wait_ms = schedule->options.interval_ms / TURNS_PER_INTERVAL;
    if (wait_ms > TURN_MS_MAX)
        wait_ms = TURN_MS_MAX;
    if (wait_ms < TURN_MS_MIN)
        wait_ms = TURN_MS_MIN;
    scheduler_timer_start(schedule->options.environment->scheduler, &schedule->timer,
                          (uint64_t)wait_ms);
}

/* How long until what the turn has read is no more than the rate allows. */
static uint64_t ahead_ms(const struct scrub_schedule *schedule)
{
    uint64_t rate = schedule->options.bytes_per_second;
    if (rate == 0)
        return 0;
    uint64_t due_ms =
        schedule->turn_began_ms + (uint64_t)((double)schedule->turn_bytes * 1000 / (double)rate);
    uint64_t now_ms = clock_monotonic_ms(schedule->options.environment->clock);
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

static void shard_read(struct shard_scrub *scrub, const struct error *error);

/* The next replica of the loop, or the end of the turn. */
static void read_next(struct scrub_schedule *schedule)
{
    const struct scrub_schedule_options *options = &schedule->options;
    while (schedule->next_shard < replica_table_end(options->table)) {
        uint32_t shard_id = schedule->next_shard++;
        struct replica *replica = options->is_here(options->context, shard_id)
                                      ? replica_table_hold(options->table, shard_id)
                                      : NULL;
        if (replica == NULL)
            continue;
        schedule->scrub = (struct shard_scrub){
            .done = shard_read,
            .bytes_per_second = options->bytes_per_second,
            .window = {.interval_ms = options->interval_ms,
                       .from_ms = atomic_load(&schedule->done_until_ms),
                       .until_ms = schedule->until_ms,
                       .seed = options->seed},
        };
        shard_scrub(replica_shard(replica), &schedule->scrub);
        /* A scrub under way ends by itself when the shard closes. */
        replica_table_release(options->table, shard_id);
        return;
    }
    schedule->is_turning = false;
    atomic_store(&schedule->done_until_ms, schedule->until_ms);
    wait_for_turn(schedule);
}

static void shard_read(struct shard_scrub *scrub, const struct error *error)
{
    struct scrub_schedule *schedule =
        (struct scrub_schedule *)((char *)scrub - offsetof(struct scrub_schedule, scrub));
    (void)error; /* a replica that closes has no files to be read any more */
    atomic_fetch_add(&schedule->files, scrub->files);
    atomic_fetch_add(&schedule->bytes, scrub->bytes);
    atomic_fetch_add(&schedule->damaged, scrub->damaged);
    schedule->turn_bytes += scrub->bytes;
    uint64_t wait_ms = ahead_ms(schedule);
    if (schedule->is_stopped)
        return;
    if (wait_ms == 0)
        read_next(schedule);
    else
        scheduler_timer_start(schedule->options.environment->scheduler, &schedule->timer, wait_ms);
}

static void turn(struct timer *timer)
{
    struct scrub_schedule *schedule =
        (struct scrub_schedule *)((char *)timer - offsetof(struct scrub_schedule, timer));
    if (schedule->is_turning) { /* it was ahead of its rate */
        read_next(schedule);
        return;
    }
    int64_t now_ms = clock_now_ms(schedule->options.environment->clock);
    int64_t oldest_ms = now_ms - schedule->options.interval_ms;
    if (now_ms <= atomic_load(&schedule->done_until_ms)) { /* a clock that was set back */
        wait_for_turn(schedule);
        return;
    }
    if (atomic_load(&schedule->done_until_ms) < oldest_ms) /* more would be all files again */
        atomic_store(&schedule->done_until_ms, oldest_ms);
    schedule->until_ms = now_ms;
    schedule->next_shard = 0;
    schedule->is_turning = true;
    schedule->turn_began_ms = clock_monotonic_ms(schedule->options.environment->clock);
    schedule->turn_bytes = 0;
    read_next(schedule);
}

/* --- Public ----------------------------------------------------------------------------------- */

void scrub_schedule_start(struct scrub_schedule *schedule,
                          const struct scrub_schedule_options *options)
{
    *schedule = (struct scrub_schedule){
        .options = *options,
        .timer = {.fire = turn, .heap_index = TIMER_IDLE},
        .is_started = true,
    };
    atomic_store(&schedule->done_until_ms, options->from_ms);
    wait_for_turn(schedule);
}

void scrub_schedule_stop(struct scrub_schedule *schedule)
{
    if (!schedule->is_started)
        return;
    schedule->is_stopped = true;
    scheduler_timer_stop(schedule->options.environment->scheduler, &schedule->timer);
}
