/* Who may read from this replica: one that leads, or is as new as its leader was a moment ago. */
#include "replica_private.h"

void replica_show(struct replica *replica)
{
    struct group_status status;
    group_status(replica->group, &status);
    atomic_store(&replica->shown_index, replica->applied_index);
    atomic_store(&replica->leader_id, status.leader_id);
    replica_replay_check(replica, &status);
    if (status.leader_id != 0 && status.is_current && replica->entries == NULL &&
        !replica->closing && !replica->stopped)
        atomic_store(&replica->fresh_until_ms, status.leader_heard_ms + REPLICA_STALE_MS);
}

bool replica_is_readable(const struct replica *replica, uint64_t least_index)
{
    if (atomic_load(&replica->ready))
        return true;
    return atomic_load(&replica->shown_index) >= least_index &&
           clock_monotonic_ms(replica->options.environment->clock) <
               atomic_load(&replica->fresh_until_ms);
}

uint64_t replica_leader(const struct replica *replica)
{
    return atomic_load(&replica->leader_id);
}

uint64_t replica_applied_index(const struct replica *replica)
{
    return atomic_load(&replica->shown_index);
}
