/*
 * machine - the state machine of the owner: what it is given, and snapshots of it.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "group_private.h"
#include "payload.h"

bool group_machine_is_idle(const struct group *group)
{
    return !group->replaying &&
           group->machine->operations->applied_index(group->machine) >= group->delivered_index;
}

/* The highest index whose payload is not needed any more. */
static uint64_t consumed_index(const struct group *group)
{
    if (group_machine_is_idle(group))
        return group->handled_index;
    uint64_t index = group->machine->operations->applied_index(group->machine);
    return index < group->handled_index ? index : group->handled_index;
}

/* --- Apply --------------------------------------------------------------------------------- */

enum error_code group_machine_deliver(struct group *group, uint64_t index, uint64_t term,
                                      const uint8_t *bytes, size_t size_bytes, struct error *error)
{
    struct group_entry entry = {.index = index, .term = term};
    enum error_code code = payload_from_bytes(bytes, size_bytes, &entry, error);
    if (code != ERROR_NONE)
        return code;
    group->delivered_index = index;
    group->host->statistics.entries_delivered++;
    group->machine->operations->apply(group->machine, &entry);
    return ERROR_NONE;
}

void group_machine_deliver_committed(struct group *group)
{
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    /* What is replayed comes first; what an install replaces, never. */
    if (group->replaying || group->install_in_flight)
        return;
    while (group->handled_index < status.commit_index && group->phase == GROUP_PHASE_RUNNING) {
        uint64_t index = ++group->handled_index;
        const struct consensus_entry *entry = consensus_entry(group->consensus, index);
        assert(entry != NULL); /* nothing is compacted that was not handled */
        /* Up to the frozen index the state machine was restored with all. */
        if (entry->kind != CONSENSUS_COMMAND || index <= group->delivered_index)
            continue;
        struct error error;
        if (group_machine_deliver(group, index, entry->term, entry->bytes, entry->size_bytes,
                                  &error) != ERROR_NONE)
            group_stop(group, &error);
    }
}

bool group_newest_command(const struct group *group, struct group_entry *entry_out)
{
    struct consensus_status status;
    if (group->phase != GROUP_PHASE_RUNNING)
        return false;
    consensus_status(group->consensus, &status);
    for (uint64_t index = status.last_index; index > status.base_index; index--) {
        const struct consensus_entry *entry = consensus_entry(group->consensus, index);
        struct error error;
        if (entry == NULL || entry->kind != CONSENSUS_COMMAND)
            continue;
        *entry_out = (struct group_entry){.index = index, .term = entry->term};
        return payload_from_bytes(entry->bytes, entry->size_bytes, entry_out, &error) == ERROR_NONE;
    }
    return false;
}

/* --- Snapshot ------------------------------------------------------------------------------ */

typedef enum error_code machine_snapshot(struct state_machine *, struct byte_buffer *,
                                         struct state_machine_position *, struct error *);

static bool report_no_snapshot(const struct group *group, const struct error *error)
{
    if (error->code != ERROR_UNAVAILABLE)
        log_event(LOG_WARNING, "group", "no snapshot", "group=%llu reason=%s message=\"%s\"",
                  (unsigned long long)group->id, error_code_name(error->code), error->message);
    return false;
}

/* The state machine's part; false when it has none now. */
static bool fill_state(struct group *group, machine_snapshot *fill, struct byte_buffer *state,
                       struct state_machine_position *position_out)
{
    struct error error = {0};
    enum error_code code = fill(group->machine, state, position_out, &error);
    if (code == ERROR_NONE && state->failed)
        code = error_set(&error, ERROR_OUT_OF_MEMORY, "state");
    error.code = code;
    return code == ERROR_NONE ? true : report_no_snapshot(group, &error);
}

/* What was at the frozen index, which the log in memory may not reach back to after a restart. */
static const struct membership *look_at_frozen(struct group *group, struct snapshot_header *header)
{
    uint64_t frozen_index = header->position.frozen_index;
    if (frozen_index == 0 || frozen_index >= header->index)
        return NULL;
    const struct membership *membership =
        consensus_membership_at(group->consensus, frozen_index, &header->frozen_membership_index);
    if (header->frozen_membership_index <= frozen_index)
        header->frozen_term = consensus_term_at(group->consensus, frozen_index);
    if (header->frozen_term == 0)
        header->frozen_membership_index = 0;
    return membership;
}

bool group_machine_encode_snapshot(struct group *group, struct snapshot_header *header,
                                   const struct byte_buffer *state, struct byte_buffer *buffer)
{
    struct error error;
    header->group_id = group->id;
    header->term = consensus_term_at(group->consensus, header->index);
    if (header->term == 0)
        return false;
    const struct membership *membership =
        consensus_membership_at(group->consensus, header->index, &header->membership_index);
    if (header->membership_index > header->index)
        return false;
    snapshot_encode_head(header, membership, look_at_frozen(group, header), buffer);
    byte_buffer_append(buffer, state->bytes, state->size);
    snapshot_encode_end(buffer, 0);
    if (!buffer->failed && buffer->size <= JOURNAL_PAYLOAD_BYTES_MAX)
        return true;
    error_set(&error, ERROR_LIMIT, "%zu bytes", buffer->size);
    byte_buffer_clear(buffer);
    return report_no_snapshot(group, &error);
}

/* With peers, so much of the log stays in memory that one which is a little behind needs no
 * snapshot. */
void group_machine_compact(struct group *group)
{
    uint64_t index = consumed_index(group);
    if (index > group->snapshot.index)
        index = group->snapshot.index;
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    if (consensus_membership(group->consensus)->count > 1) {
        uint64_t budget_bytes = group->host->options.snapshot_log_bytes / 2;
        uint64_t kept = index;
        while (kept > status.base_index &&
               consensus_bytes(group->consensus, kept - 1, index) <= budget_bytes)
            kept--;
        index = kept;
    }
    consensus_compact(group->consensus, index);
}

void group_machine_snapshot(struct group *group)
{
    bool due = group->snapshot_wanted ||
               group->bytes_since_snapshot >= group->host->options.snapshot_log_bytes;
    if (!due || group->snapshot_failed || group->snapshot_in_flight || group->install_in_flight ||
        (group->offer.bytes != NULL && group->offer.state == GROUP_OFFER_PREPARED) ||
        group->replaying || group->handled_index == 0)
        return;
    struct snapshot_header header = {.index = group->handled_index};
    struct byte_buffer state = {0}, buffer = {0};
    bool built =
        fill_state(group, group->machine->operations->snapshot, &state, &header.position) &&
        group_machine_encode_snapshot(group, &header, &state, &buffer);
    byte_buffer_clear(&state);
    group->snapshot_failed = !built;
    if (!built)
        return;
    group->snapshot_wanted = false;
    /* The memory of a byte_buffer is from malloc; it moves on. */
    group_store_snapshot(group, &header, buffer.bytes, buffer.size, GROUP_WRITE_SNAPSHOT);
}

void group_machine_export(struct group *group, uint64_t node_id)
{
    struct snapshot_header header = {0};
    struct byte_buffer state = {0}, buffer = {0};
    machine_snapshot *fill = group->machine->operations->snapshot_for_peer;
    bool built = fill != NULL && !group->replaying && !group->install_in_flight &&
                 fill_state(group, fill, &state, &header.position) &&
                 header.position.frozen_index == header.position.applied_index &&
                 header.position.applied_index > 0 &&
                 header.position.applied_index <= group->handled_index;
    if (built) {
        /* What is behind it is in the journal. */
        header.index = header.position.applied_index;
        built = group_machine_encode_snapshot(group, &header, &state, &buffer);
    }
    byte_buffer_clear(&state);
    if (!built)
        return;
    uint64_t membership_index;
    const struct membership *membership =
        consensus_membership_at(group->consensus, header.index, &membership_index);
    struct consensus_install install = {
        .index = header.index,
        .term = header.term,
        .membership_index = membership_index,
        .membership = membership,
        .bytes = buffer.bytes,
        .size_bytes = buffer.size,
    };
    consensus_send_snapshot(group->consensus, node_id, &install);
    byte_buffer_clear(&buffer);
}

void group_machine_keep_snapshot(struct group *group, const struct snapshot_header *header,
                                 uint8_t *bytes, size_t size_bytes)
{
    free(group->snapshot_bytes);
    group->snapshot = *header;
    group->snapshot_bytes = bytes;
    group->snapshot_size = size_bytes;
}

/* --- Restore ------------------------------------------------------------------------------- */

enum error_code group_machine_restore(struct group *group, struct error *error)
{
    struct snapshot_view view;
    enum error_code code =
        snapshot_decode(group->snapshot_bytes, group->snapshot_size, &view, error);
    group->restore_prepared = false;
    if (code == ERROR_NONE)
        code = group->machine->operations->restore(group->machine, view.state, view.state_bytes,
                                                   &view.header.position, error);
    if (code != ERROR_NONE)
        return code;
    group->handled_index = view.header.index;
    group->delivered_index = view.header.position.frozen_index;
    return group_replay_begin(group, &view.header, error);
}
