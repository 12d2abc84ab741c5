/* When the shard freezes: too much log, too old, or on the way to a quick next start. */
#include <stddef.h>

#include "base/log.h"

#include "replica_private.h"

/* --- How much is unfrozen ------------------------------------------------------------------- */

/* The total of a node after this shard's share of it became `now`. */
static uint64_t count_share(_Atomic uint64_t *total, uint64_t *counted, uint64_t now)
{
    uint64_t change = now - *counted;
    *counted = now;
    return atomic_fetch_add_explicit(total, change, memory_order_relaxed) + change;
}

/* How much log may be unfrozen with so many series on the node. */
static uint64_t unfrozen_limit(const struct replica_node *node, uint64_t series_count)
{
    uint64_t most = node->unfrozen_bytes_max;
    uint64_t wanted = series_count * node->unfrozen_series_bytes;
    if (node->unfrozen_series_bytes == 0 || wanted > most)
        return most;
    return wanted > most / 2 ? wanted : most / 2;
}

/* Tell the node what this shard holds, and whether none holds more. */
static bool is_largest(struct replica *replica, uint64_t now)
{
    _Atomic uint64_t *largest = &replica->options.node->largest_unfrozen_bytes;
    uint64_t known = atomic_load_explicit(largest, memory_order_relaxed);
    while (known < now && !atomic_compare_exchange_weak_explicit(
                              largest, &known, now, memory_order_relaxed, memory_order_relaxed))
        ;
    return now >= known;
}

/* What is about to be frozen counts no more: shards shall not freeze because of what another one
 * lets go of anyway. One by one, the largest first, they come to freeze in turns. */
void replica_count_unfrozen(struct replica *replica)
{
    struct replica_node *node = replica->options.node;
    struct shard *shard = replica->shard;
    uint64_t before = replica->counted_unfrozen_bytes;
    uint64_t now = shard_freeze_is_proposed(shard) ? 0 : shard_unfrozen_bytes(shard);
    uint64_t series =
        count_share(&node->series_count, &replica->counted_series, shard_series_count(shard));
    uint64_t total = count_share(&node->unfrozen_bytes, &replica->counted_unfrozen_bytes, now);
    if (now < before) {
        atomic_store_explicit(&node->largest_unfrozen_bytes, 0, memory_order_relaxed);
        return;
    }
    /* Without anything of its own it has nothing to give, even when nobody is known to have more.
     */
    if (now == 0 || !atomic_load(&replica->ready) || !is_largest(replica, now) ||
        total <= unfrozen_limit(node, series))
        return;
    shard_freeze(shard);
    if (shard_freeze_is_proposed(shard))
        replica_count_unfrozen(replica);
}

/* For less than this a freeze gives no room worth its files. */
enum { FREEZE_FOR_ROOM_BYTES_MIN = 1024 * 1024 };

static bool freeze_is_due(const struct replica *replica)
{
    const struct replica_node *node = replica->options.node;
    return shard_unfrozen_age_ms(replica->shard) > node->unfrozen_age_max_ms ||
           (atomic_load(&node->journals_low) > 0 &&
            shard_unfrozen_bytes(replica->shard) >= FREEZE_FOR_ROOM_BYTES_MIN);
}

static void settle_end(struct replica *replica)
{
    void (*settled)(void *) = replica->settled;
    replica->settled = NULL;
    settled(replica->settled_context);
}

/* Who waits for a freeze that can't be written, for want of room say, would wait for nothing. */
static void settle_without(struct replica *replica)
{
    if (replica->settled == NULL || !shard_freeze_is_stuck(replica->shard))
        return;
    log_event(LOG_WARNING, "replica",
              "the last freeze can't be written: the next start replays more", "shard=%u",
              replica->options.shard.shard_id);
    settle_end(replica);
}

void replica_upkeep(struct timer *timer)
{
    struct replica *replica = (struct replica *)((char *)timer - offsetof(struct replica, upkeep));
    replica_show(replica);
    replica_adoption_tend(replica);
    scheduler_timer_start(loop_of(replica), timer, SHOW_MS);
    if (++replica->shown_count % SHOWS_PER_UPKEEP != 0)
        return;
    settle_without(replica);
    replica_count_unfrozen(replica);
    if (atomic_load(&replica->ready)) {
        if (freeze_is_due(replica))
            shard_freeze(replica->shard);
        shard_maintain(replica->shard);
    } else if (!replica->closing) {
        shard_tend(replica->shard);
    }
}

/* --- Settling ------------------------------------------------------------------------------- */

void replica_settle_check(struct replica *replica)
{
    if (replica->settled == NULL)
        return;
    struct group_status status;
    group_status(replica->group, &status);
    if (status.frozen_index < replica->settle_index)
        return;
    settle_end(replica);
}

void replica_shard_durable(void *context, uint64_t frozen_index)
{
    struct replica *replica = context;
    if (replica->closing)
        return;
    group_snapshot_soon(replica->group);
    if (replica->settled != NULL && frozen_index < replica->settle_index)
        shard_freeze(replica->shard); /* that one was under way before */
}

void replica_settle(struct replica *replica, void (*done)(void *context), void *context)
{
    struct group_status status;
    group_status(replica->group, &status);
    replica->settled = done;
    replica->settled_context = context;
    replica->settle_index = status.last_index;
    if (shard_unfrozen_bytes(replica->shard) == 0) {
        /* What it wrote may not be in a snapshot yet, nor what that replaces be deleted. */
        replica->settle_index = shard_freeze_index(replica->shard);
        replica_settle_check(replica);
        return;
    }
    shard_freeze(replica->shard);
}
