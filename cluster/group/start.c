/*
 * start - from what the journal recovered to a running consensus, its state machine restored.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "group_private.h"

/* --- Consensus ----------------------------------------------------------------------------- */

enum {
    MESSAGE_BYTES_MAX = 1024 * 1024,    /* of entries in one message */
    WINDOW_BYTES_MAX = 4 * 1024 * 1024, /* to one peer; what its channel in the transport holds */
};

static enum error_code make_consensus(struct group *group, const struct consensus_stored *stored,
                                      struct error *error)
{
    const struct group_host_options *host = &group->host->options;
    struct consensus_options options = {
        .node_id = host->node_id,
        .world = &group->world,
        .random = host->environment->random,
        .heartbeat_ms = host->heartbeat_ms,
        .election_ms = host->election_ms,
        .window_bytes = WINDOW_BYTES_MAX,
        .message_bytes = MESSAGE_BYTES_MAX,
        .unsafe_disabled_rules = host->unsafe_disabled_rules,
    };
    return consensus_create(&options, stored, &group->consensus, error);
}

static enum error_code load_entry(struct group *group, const struct journal_entry *record,
                                  struct error *error)
{
    if (record->kind < CONSENSUS_COMMAND || record->kind > CONSENSUS_MEMBERSHIP ||
        record->version != (record->kind == CONSENSUS_MEMBERSHIP ? 2 : 1))
        return error_set(error, ERROR_UNSUPPORTED, "entry %llu is of kind %u, version %u",
                         (unsigned long long)record->index, record->kind, record->version);
    struct consensus_entry entry = {
        .term = record->term,
        .kind = (enum consensus_kind)record->kind,
        .size_bytes = record->payload_bytes,
    };
    if (record->payload_bytes > 0) {
        entry.batch = consensus_batch_create(record->payload_bytes);
        if (entry.batch == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "entry");
        memcpy(entry.batch->bytes, record->payload, record->payload_bytes);
        entry.bytes = entry.batch->bytes;
    }
    enum error_code code = consensus_load(group->consensus, &entry, error);
    consensus_batch_unref(entry.batch);
    return code;
}

/* --- A new group --------------------------------------------------------------------------- */

/* The membership in term 1 is entry 1, on every founder the same. */
static enum error_code found(struct group *group, struct error *error)
{
    struct byte_buffer buffer = {0};
    membership_encode(&group->founders, &buffer);
    if (buffer.failed) {
        byte_buffer_clear(&buffer);
        return error_set(error, ERROR_OUT_OF_MEMORY, "founders");
    }
    struct consensus_stored stored = {.term = 1};
    enum error_code code = make_consensus(group, &stored, error);
    struct journal_entry record = {
        .index = 1,
        .term = 1,
        .kind = CONSENSUS_MEMBERSHIP,
        .version = 2,
        .payload = buffer.bytes,
        .payload_bytes = (uint32_t)buffer.size,
    };
    if (code == ERROR_NONE)
        code = load_entry(group, &record, error);
    if (code == ERROR_NONE)
        group_store_founders(group, buffer.bytes, buffer.size);
    byte_buffer_clear(&buffer);
    return code;
}

/* The same of a group that begins with a state: as if the entry at its index had said who the
 * members are, and all of them had taken a snapshot there. */
static enum error_code found_with_state(struct group *group, struct error *error)
{
    struct snapshot_header header = {
        .group_id = group->id,
        .index = group->origin_index,
        .term = 1,
        .membership_index = group->origin_index,
        .position = {.applied_index = group->origin_index, .frozen_index = group->origin_index},
    };
    struct byte_buffer buffer = {0};
    snapshot_encode_head(&header, &group->founders, NULL, &buffer);
    byte_buffer_append(&buffer, group->origin_state, group->origin_bytes);
    snapshot_encode_end(&buffer, 0);
    uint8_t *kept = buffer.failed ? NULL : malloc(buffer.size);
    enum error_code code = ERROR_NONE;
    if (kept == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "state of a new group");
    else if (buffer.size > JOURNAL_PAYLOAD_BYTES_MAX)
        code = error_set(error, ERROR_LIMIT, "a state of %zu bytes", buffer.size);
    struct consensus_stored stored = {
        .term = 1,
        .snapshot_index = header.index,
        .snapshot_term = header.term,
        .membership_index = header.membership_index,
        .membership = &group->founders,
    };
    if (code == ERROR_NONE)
        code = make_consensus(group, &stored, error);
    if (code != ERROR_NONE) {
        free(kept);
        byte_buffer_clear(&buffer);
        return code;
    }
    memcpy(kept, buffer.bytes, buffer.size);
    group_machine_keep_snapshot(group, &header, kept, buffer.size);
    group_store_snapshot(group, &header, buffer.bytes, buffer.size, GROUP_WRITE_ORIGIN);
    /* Behind it in the journal, and nothing is sent before it is durable. */
    group_store_term(group, 1);
    return ERROR_NONE;
}

/* --- What is stored ------------------------------------------------------------------------ */

static enum error_code read_entry(void *context, const struct journal_entry *record,
                                  struct error *error)
{
    return load_entry(context, record, error);
}

/* The snapshot is kept, its membership given to `stored`. */
static enum error_code read_snapshot(struct group *group, const struct journal_group *recovered,
                                     struct consensus_stored *stored, struct snapshot_view *view,
                                     struct error *error)
{
    const struct journal_snapshot *record = &recovered->snapshot;
    enum error_code code = snapshot_decode(record->payload, record->payload_bytes, view, error);
    if (code != ERROR_NONE)
        return code;
    const struct snapshot_header *header = &view->header;
    uint64_t frozen_index = header->position.frozen_index;
    uint64_t needed_index = frozen_index < header->index ? frozen_index : header->index;
    if (header->group_id != group->id || header->index != record->index ||
        header->term != record->term)
        return error_set(error, ERROR_CORRUPT, "the snapshot is of another group or index");
    if (recovered->first_index > needed_index + 1 || recovered->next_index < header->index + 1)
        return error_set(error, ERROR_CORRUPT,
                         "snapshot at %llu needs entries from %llu, the journal has %llu to %llu",
                         (unsigned long long)header->index, (unsigned long long)needed_index + 1,
                         (unsigned long long)recovered->first_index,
                         (unsigned long long)recovered->next_index - 1);
    uint8_t *bytes = malloc(record->payload_bytes);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "snapshot");
    memcpy(bytes, record->payload, record->payload_bytes);
    group_machine_keep_snapshot(group, header, bytes, record->payload_bytes);
    stored->snapshot_index = header->index;
    stored->snapshot_term = header->term;
    stored->membership_index = header->membership_index;
    stored->membership = &view->membership;
    return ERROR_NONE;
}

static enum error_code read_stored(struct group *group, const struct journal_group *recovered,
                                   struct error *error)
{
    struct consensus_stored stored = {
        .term = recovered->term, .vote = recovered->vote, .promise = group->promise};
    struct snapshot_view view;
    enum error_code code = ERROR_NONE;
    if (recovered->has_snapshot)
        code = read_snapshot(group, recovered, &stored, &view, error);
    else if (recovered->first_index != 1)
        code = error_set(error, ERROR_CORRUPT, "the first entry is %llu, without a snapshot",
                         (unsigned long long)recovered->first_index);
    if (code == ERROR_NONE && stored.term == 0) {
        bool was_founded =
            recovered->has_snapshot
                ? stored.snapshot_term == 1 && recovered->next_index == stored.snapshot_index + 1
                : recovered->next_index == 2;
        if (!was_founded)
            return error_set(error, ERROR_CORRUPT, "entries without a term");
        /* The founders became durable, but not the term behind them; so nothing was sent. */
        stored.term = 1;
        group_store_term(group, 1);
    }
    if (code == ERROR_NONE)
        code = make_consensus(group, &stored, error);
    /* A snapshot is taken so often that the entries behind it are few. */
    if (code == ERROR_NONE)
        code = journal_recovery_read(group->recovery, recovered, stored.snapshot_index + 1,
                                     recovered->next_index, read_entry, group, error);
    return code;
}

/* Not yet in the group, but perhaps asked for its vote. */
static enum error_code read_vote_only(struct group *group, const struct journal_group *recovered,
                                      struct error *error)
{
    struct consensus_stored stored = {.promise = group->promise};
    if (recovered != NULL) {
        stored.term = recovered->term;
        stored.vote = recovered->vote;
    }
    return make_consensus(group, &stored, error);
}

enum error_code group_bring_up(struct group *group, struct error *error)
{
    const struct journal_group *recovered =
        group->recovery == NULL ? NULL : journal_recovery_find(group->recovery, group->id);
    if (recovered != NULL && recovered->damaged)
        return error_set(error, ERROR_CORRUPT, "acknowledged records are lost");
    if (recovered != NULL &&
        (recovered->first_index == 0 || recovered->next_index < recovered->first_index))
        return error_set(error, ERROR_CORRUPT, "range of entries");

    bool has_log = recovered != NULL && (recovered->has_snapshot || recovered->next_index > 1);
    bool has_voted = recovered != NULL && (recovered->term > 1 || recovered->vote != 0);
    enum error_code code;
    if (has_log)
        code = read_stored(group, recovered, error);
    else if (group->founders.count > 0 && !has_voted)
        code = group->origin_index > 0 ? found_with_state(group, error) : found(group, error);
    else
        code = read_vote_only(group, recovered, error);
    if (code == ERROR_NONE && group->snapshot.index > 0)
        code = group_machine_restore(group, error);
    if (code == ERROR_NONE) {
        group->phase = GROUP_PHASE_RUNNING;
        consensus_start(group->consensus, group_now_ms(group));
    }
    return code;
}
