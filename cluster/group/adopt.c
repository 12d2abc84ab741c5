/*
 * adopt - a state that others have in the place of what the machine could not do itself.
 *
 * An install brings what the log of this replica lacks. Here the log is whole and stays, with the
 * votes and acknowledgements that were given for it; only the machine is behind, and can't go on.
 * The state is one that the log leads to, at an entry that is committed here, so the snapshot of it
 * is as if the machine had taken it itself. Once it is durable the machine is restored, and given
 * what follows; that is in memory, since the machine had not applied it. A replay is over by that:
 * the state is behind all that it would have handed over.
 */
#include <assert.h>

#include "group_private.h"

static bool may_adopt(const struct group *group, uint64_t index)
{
    struct consensus_status status;
    if (group->phase != GROUP_PHASE_RUNNING || group->install_in_flight ||
        group->snapshot_in_flight || group->offer.bytes != NULL)
        return false;
    consensus_status(group->consensus, &status);
    return status.state != CONSENSUS_LEADER && index <= status.commit_index &&
           index >= status.base_index &&
           index > group->machine->operations->applied_index(group->machine) &&
           index > group->snapshot.position.frozen_index;
}

enum error_code group_adopt(struct group *group, uint64_t index, const uint8_t *state,
                            size_t size_bytes, struct error *error)
{
    if (!may_adopt(group, index))
        return error_set(error, ERROR_UNAVAILABLE, "group %llu is at another place than %llu",
                         (unsigned long long)group->id, (unsigned long long)index);
    struct snapshot_header header = {
        .index = group->snapshot.index > index ? group->snapshot.index : index,
        .position = {.applied_index = index, .frozen_index = index},
    };
    struct byte_buffer bytes = {0}, buffer = {0};
    byte_buffer_append(&bytes, state, size_bytes);
    bool built = !bytes.failed && group_machine_encode_snapshot(group, &header, &bytes, &buffer);
    byte_buffer_clear(&bytes);
    if (!built)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snapshot of group %llu",
                         (unsigned long long)group->id);
    (void)group_replay_leave(group); /* what is read for it still, nobody gets */
    group_past_clear(group);
    /* The memory of a byte_buffer is from malloc; it moves on. */
    group_store_snapshot(group, &header, buffer.bytes, buffer.size, GROUP_WRITE_ADOPTION);
    return ERROR_NONE;
}

void group_adopted(struct group *group)
{
    struct consensus_status status;
    struct snapshot_view view;
    struct error error;
    consensus_status(group->consensus, &status);
    enum error_code code =
        snapshot_decode(group->snapshot_bytes, group->snapshot_size, &view, &error);
    if (code == ERROR_NONE)
        code = group->machine->operations->restore(group->machine, view.state, view.state_bytes,
                                                   &view.header.position, &error);
    if (code != ERROR_NONE) {
        error_wrap(&error, "adopt");
        group_stop(group, &error);
        return;
    }
    uint64_t index = view.header.position.frozen_index;
    assert(index >= status.base_index); /* nothing was compacted meanwhile */
    group->handled_index = group->delivered_index = index;
    group->host->statistics.snapshots_adopted++;
    group->machine->operations->snapshot_stored(group->machine, &group->snapshot.position);
    consensus_forget(group->consensus, index);
    group_machine_compact(group);
}
