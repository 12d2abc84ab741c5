/* How many series may be alive: of the node, whichever shard they fall to. */
#include "shard_private.h"

/* Alive, or in flight and about to be. */
static uint64_t own_series(const struct shard *shard)
{
    uint64_t proposed = shard->proposed_next_id, applied = shard->registry.next_id;
    return shard_series_count(shard) + (proposed > applied ? proposed - applied : 0);
}

void shard_count_series(struct shard *shard)
{
    uint64_t own = own_series(shard);
    shard->counters.series_count = shard_series_count(shard);
    if (shard->options.node_series != NULL && own != shard->series_counted)
        atomic_fetch_add_explicit(shard->options.node_series, own - shard->series_counted,
                                  memory_order_relaxed);
    shard->series_counted = own;
}

bool shard_series_are_full(struct shard *shard)
{
    if (shard->options.series_max == 0)
        return false;
    shard_count_series(shard);
    uint64_t count = shard->options.node_series == NULL
                         ? shard->series_counted
                         : atomic_load_explicit(shard->options.node_series, memory_order_relaxed);
    return count >= shard->options.series_max;
}
