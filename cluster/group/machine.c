/*
 * machine - the state machine of the owner, seen by libraft as an FSM.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"
#include "log_view.h"
#include "members.h"
#include "payload.h"

static struct group *group_of(struct raft_fsm *fsm)
{
    return fsm->data;
}

bool group_machine_is_idle(const struct group *group)
{
    return !group->replaying &&
           group->machine->operations->applied_index(group->machine) >= group->delivered_index;
}

/* The highest index whose payload is not needed any more. */
static uint64_t consumed_index(const struct group *group)
{
    if (group_machine_is_idle(group))
        return group->raft.last_applied;
    uint64_t index = group->machine->operations->applied_index(group->machine);
    return index < group->raft.last_applied ? index : group->raft.last_applied;
}

/* --- Apply --------------------------------------------------------------------------------- */

enum error_code group_machine_deliver(struct group *group, uint64_t index, uint64_t term,
                                      const struct raft_buffer *buffer, struct error *error)
{
    struct group_entry entry = {.index = index, .term = term};
    enum error_code code = payload_from_bytes(buffer->base, buffer->len, &entry, error);
    if (code != ERROR_NONE)
        return code;
    group->delivered_index = index;
    group->host->statistics.entries_delivered++;
    group->machine->operations->apply(group->machine, &entry);
    return ERROR_NONE;
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
    struct group *group = group_of(fsm);
    *result = NULL;

    /* libraft tells no index; it applies in order, and counts after the call. */
    uint64_t index = group->raft.last_applied + 1;
    const struct raft_entry *stored = log_view_entry(&group->raft, index);
    assert(stored != NULL && stored->buf.base == buffer->base);

    /* Already there: below the frozen index, or given before a new start of consensus. Or not yet:
     * replay_ended hands it over, behind what is replayed. */
    if (index <= group->delivered_index || group->replaying)
        return 0;

    struct error error;
    if (group_machine_deliver(group, index, stored->term, buffer, &error) != ERROR_NONE) {
        group_stop(group, &error);
        return RAFT_CORRUPT;
    }
    return 0;
}

/* --- Snapshot ------------------------------------------------------------------------------ */

/*
 * The membership as of `index`: of the last change up to it, in the log or in the last snapshot.
 * Not libraft's current one, which may be uncommitted; and a change may wait for the very peer
 * that waits for a snapshot.
 */
static bool membership_at(const struct group *group, uint64_t index,
                          struct raft_configuration *configuration_out,
                          uint64_t *configuration_index_out)
{
    struct error error;
    for (uint64_t i = index; i > group->snapshot.index; i--) {
        const struct raft_entry *entry = log_view_entry(&group->raft, i);
        if (entry == NULL)
            return false;
        if (entry->type != RAFT_CHANGE)
            continue;
        *configuration_index_out = i;
        return members_decode_entry(&entry->buf, configuration_out, &error) == ERROR_NONE;
    }
    struct snapshot_view view;
    if (group->snapshot.index == 0 || index < group->snapshot.index ||
        snapshot_decode(group->snapshot_bytes, group->snapshot_size, &view, &error) != ERROR_NONE)
        return false;
    *configuration_out = view.configuration;
    *configuration_index_out = view.header.configuration_index;
    return true;
}

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

/* The whole at header->index, with the membership as of there. */
static bool encode_snapshot(struct group *group, struct snapshot_header *header,
                            const struct byte_buffer *state,
                            struct raft_configuration *configuration_out,
                            struct byte_buffer *buffer)
{
    struct error error;
    header->group_id = group->id;
    header->term = log_view_term(&group->raft, header->index);
    if (header->term == 0 ||
        !membership_at(group, header->index, configuration_out, &header->configuration_index))
        return false;
    snapshot_encode_head(header, configuration_out, buffer);
    byte_buffer_append(buffer, state->bytes, state->size);
    snapshot_encode_end(buffer, 0);
    if (!buffer->failed && buffer->size <= JOURNAL_PAYLOAD_BYTES_MAX)
        return true;
    error_set(&error, ERROR_LIMIT, "%zu bytes", buffer->size);
    byte_buffer_clear(buffer);
    raft_configuration_close(configuration_out);
    return report_no_snapshot(group, &error);
}

/*
 * How many entries before `index` stay in memory: those whose payload the state machine still
 * looks at, and, with peers, enough that one which is a little behind needs no snapshot.
 */
static unsigned trailing_entries(const struct group *group, uint64_t index)
{
    uint64_t first = consumed_index(group) + 1;
    if (group->raft.configuration.n > 1) {
        size_t budget_bytes = group->host->options.snapshot_log_bytes / 2;
        uint64_t kept = index + 1;
        while (kept > log_view_first_index(&group->raft)) {
            size_t bytes = log_view_bytes(&group->raft, kept - 1, kept - 1) + 64;
            if (bytes > budget_bytes)
                break;
            budget_bytes -= bytes;
            kept--;
        }
        if (kept < first)
            first = kept;
    }
    uint64_t count = first > index ? 0 : index - first + 1;
    return count == 0 ? 1 : (unsigned)count; /* 0 would mean an install */
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers_out[],
                        unsigned *count_out)
{
    struct group *group = group_of(fsm);
    if (group->parked != NULL || group->replaying)
        return RAFT_BUSY; /* it replaces everything; entries wait in the log to be handed over */

    struct snapshot_header header = {.index = group->raft.last_applied};
    struct byte_buffer state = {0}, buffer = {0};
    struct raft_configuration configuration;
    bool built =
        fill_state(group, group->machine->operations->snapshot, &state, &header.position) &&
        encode_snapshot(group, &header, &state, &configuration, &buffer);
    byte_buffer_clear(&state);
    if (!built)
        return RAFT_BUSY;
    raft_configuration_close(&configuration);

    *buffers_out = raft_malloc(sizeof **buffers_out);
    /* A byte_buffer's memory is from malloc, which is what libraft frees. */
    (*buffers_out)[0] = (struct raft_buffer){.base = buffer.bytes, .len = buffer.size};
    *count_out = 1;
    raft_set_snapshot_trailing(&group->raft, trailing_entries(group, header.index));
    group->snapshot_wanted = false;
    return 0;
}

bool group_machine_export(struct group *group, struct raft_snapshot **snapshot_out)
{
    struct snapshot_header header = {0};
    struct byte_buffer state = {0}, buffer = {0};
    struct raft_configuration configuration;
    machine_snapshot *fill = group->machine->operations->snapshot_for_peer;
    /* Started anew, consensus comes only by and by to where the state machine is already: under
     * a lower index the peer would apply the entries between them once more. */
    bool built = fill != NULL && fill_state(group, fill, &state, &header.position) &&
                 header.position.frozen_index == header.position.applied_index &&
                 header.position.applied_index <= group->raft.last_applied;
    if (built) {
        /* It ends where the state machine is, or behind the entries after it that are not for
         * it; the peer must not get less than what consensus has forgotten. */
        header.index = consumed_index(group);
        header.position.applied_index = header.position.frozen_index = header.index;
        built = header.index >= group->raft.log.snapshot.last_index &&
                encode_snapshot(group, &header, &state, &configuration, &buffer);
    }
    byte_buffer_clear(&state);
    if (!built)
        return false;

    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    snapshot->index = header.index;
    snapshot->term = header.term;
    snapshot->configuration = configuration;
    snapshot->configuration_index = header.configuration_index;
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    snapshot->bufs[0] = (struct raft_buffer){.base = buffer.bytes, .len = buffer.size};
    snapshot->n_bufs = 1;
    *snapshot_out = snapshot;
    return true;
}

void group_machine_keep_snapshot(struct group *group, const struct snapshot_header *header,
                                 uint8_t *bytes, size_t size_bytes)
{
    raft_free(group->snapshot_bytes);
    group->snapshot = *header;
    group->snapshot_bytes = bytes;
    group->snapshot_size = size_bytes;
}

/* --- Restore ------------------------------------------------------------------------------- */

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
    struct group *group = group_of(fsm);
    if (group->phase == GROUP_PHASE_REOPENING) {
        raft_free(buffer->base); /* the state machine has it, and more */
        return 0;
    }

    struct snapshot_view view;
    struct error error;
    enum error_code code = snapshot_decode(buffer->base, buffer->len, &view, &error);
    if (code == ERROR_NONE) {
        raft_configuration_close(&view.configuration);
        code = group->machine->operations->restore(group->machine, view.state, view.state_bytes,
                                                   &view.header.position, &error);
    }
    if (code == ERROR_NONE) {
        group->delivered_index = view.header.position.frozen_index;
        code = group_replay_begin(group, &view.header, &error);
    }
    if (code != ERROR_NONE) {
        error_wrap(&error, "restore");
        group_stop(group, &error);
        return RAFT_CORRUPT; /* the buffer stays libraft's */
    }
    raft_free(buffer->base);
    return 0;
}

void group_machine_init(struct group *group)
{
    group->fsm = (struct raft_fsm){
        .version = 1,
        .data = group,
        .apply = fsm_apply,
        .snapshot = fsm_snapshot,
        .restore = fsm_restore,
    };
}
