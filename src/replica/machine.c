/* The shard as the state machine of its group: snapshots, restore, leadership. */
#include "replica_private.h"

static uint64_t machine_applied_index(struct state_machine *self)
{
    return replica_of(self)->applied_index;
}

/* --- Snapshots ------------------------------------------------------------------------------ */

static enum error_code machine_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                        struct state_machine_position *position_out,
                                        struct error *error)
{
    struct replica *replica = replica_of(self);
    uint64_t frozen_index;
    enum error_code code = shard_snapshot(replica->shard, bytes, &frozen_index, error);
    if (code == ERROR_NONE)
        *position_out = (struct state_machine_position){.applied_index = replica->applied_index,
                                                        .frozen_index = frozen_index};
    return code;
}

static void machine_snapshot_stored(struct state_machine *self,
                                    const struct state_machine_position *position)
{
    struct replica *replica = replica_of(self);
    replica->is_stored = true;
    shard_snapshot_stored(replica->shard, position->frozen_index);
    replica_settle_check(replica);
}

/* The last freeze that is durable here; what follows, the peer gets from the log. */
static enum error_code machine_snapshot_for_peer(struct state_machine *self,
                                                 struct byte_buffer *bytes,
                                                 struct state_machine_position *position_out,
                                                 struct error *error)
{
    uint64_t frozen_index;
    enum error_code code = shard_snapshot(replica_of(self)->shard, bytes, &frozen_index, error);
    if (code == ERROR_NONE && frozen_index == 0)
        code = error_set(error, ERROR_UNAVAILABLE, "nothing is frozen yet");
    if (code == ERROR_NONE)
        *position_out = (struct state_machine_position){.applied_index = frozen_index,
                                                        .frozen_index = frozen_index};
    return code;
}

/* --- Leadership ----------------------------------------------------------------------------- */

static void machine_leader_started(struct state_machine *self, uint64_t term)
{
    struct replica *replica = replica_of(self);
    (void)term;
    replica->elected = true;
    replica_lead_when_applied(replica);
}

static void machine_leader_stopped(struct state_machine *self, uint64_t term)
{
    struct replica *replica = replica_of(self);
    (void)term;
    replica->elected = false;
    atomic_store(&replica->ready, false);
    replica_refuse_waiting(replica, "leadership was lost");
    shard_follow(replica->shard);
}

const struct state_machine_operations REPLICA_MACHINE_OPERATIONS = {
    .apply = replica_machine_apply,
    .applied_index = machine_applied_index,
    .snapshot = machine_snapshot,
    .snapshot_for_peer = machine_snapshot_for_peer,
    .snapshot_stored = machine_snapshot_stored,
    .prepare_restore = replica_prepare_restore,
    .cancel_restore = replica_cancel_restore,
    .restore = replica_restore,
    .leader_started = machine_leader_started,
    .leader_stopped = machine_leader_stopped,
};
