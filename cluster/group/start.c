/*
 * start - from what is stored to a running consensus, at the start of a process and when
 * consensus is started anew within it (rules 7 and 10).
 */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"
#include "log_view.h"
#include "members.h"

/* --- Stored state -------------------------------------------------------------------------- */

void group_stored_clear(struct group *group)
{
    struct group_stored *stored = &group->stored;
    if (stored->snapshot != NULL) {
        raft_configuration_close(&stored->snapshot->configuration);
        raft_free(stored->snapshot->bufs[0].base);
        raft_free(stored->snapshot->bufs);
        raft_free(stored->snapshot);
    }
    for (size_t i = 0; i < stored->entry_count; i++)
        raft_free(stored->entries[i].buf.base);
    raft_free(stored->entries);
    *stored = (struct group_stored){0};
}

static void *copy_bytes(const void *bytes, size_t size_bytes)
{
    void *copy = raft_malloc(size_bytes == 0 ? 8 : size_bytes);
    if (size_bytes > 0)
        memcpy(copy, bytes, size_bytes);
    return copy;
}

static struct raft_snapshot *copy_snapshot(const struct snapshot_view *view, const uint8_t *bytes,
                                           size_t size_bytes)
{
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    snapshot->index = view->header.index;
    snapshot->term = view->header.term;
    snapshot->configuration = view->configuration;
    snapshot->configuration_index = view->header.configuration_index;
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    snapshot->bufs[0] = (struct raft_buffer){
        .base = copy_bytes(bytes, size_bytes),
        .len = size_bytes,
    };
    snapshot->n_bufs = 1;
    return snapshot;
}

/* A new group: the membership in term 1 is entry 1, on every founder the same. */
static void write_founders(struct group *group)
{
    struct raft_buffer encoded;
    int result = raft_configuration_encode(&group->founders, &encoded);
    assert(result == 0); /* out of memory ends the process */
    (void)result;

    struct journal_entry record = {
        .index = 1,
        .term = 1,
        .kind = RAFT_CHANGE,
        .version = 1,
        .payload = encoded.base,
        .payload_bytes = (uint32_t)encoded.len,
    };
    journal_append(group->host->options.journal, group->id, &record, 1, NULL);
    struct group_stored *stored = &group->stored;
    stored->term = 1;
    stored->start_index = 1;
    stored->entries = raft_calloc(1, sizeof *stored->entries);
    stored->entries[0] = (struct raft_entry){.term = 1, .type = RAFT_CHANGE, .buf = encoded};
    stored->entry_count = 1;

    /* Behind the entry in the journal, and nothing is sent before it is durable. */
    group_store_metadata(group, 1, 0);
}

static enum error_code read_entry(void *context, const struct journal_entry *record,
                                  struct error *error)
{
    struct group_stored *stored = context;
    if (record->kind < RAFT_COMMAND || record->kind > RAFT_CHANGE || record->version != 1 ||
        record->term == 0)
        return error_set(error, ERROR_UNSUPPORTED, "entry %llu is of kind %u, version %u",
                         (unsigned long long)record->index, record->kind, record->version);
    stored->entries[stored->entry_count++] = (struct raft_entry){
        .term = record->term,
        .type = record->kind,
        .buf = {.base = copy_bytes(record->payload, record->payload_bytes),
                .len = record->payload_bytes},
    };
    return ERROR_NONE;
}

/* Entries (after_index, last] as libraft wants them: a snapshot is taken so often that they are
 * few. */
static enum error_code read_entries(struct group *group, const struct journal_group *recovered,
                                    uint64_t after_index, struct error *error)
{
    struct group_stored *stored = &group->stored;
    size_t count = recovered->next_index - after_index - 1;
    stored->start_index = after_index + 1;
    stored->entries = count == 0 ? NULL : raft_calloc(count, sizeof *stored->entries);
    return journal_recovery_read(group->recovery, recovered, after_index + 1, recovered->next_index,
                                 read_entry, stored, error);
}

static enum error_code read_snapshot(struct group *group, const struct journal_group *recovered,
                                     struct error *error)
{
    const struct journal_snapshot *record = &recovered->snapshot;
    struct snapshot_view view;
    enum error_code code = snapshot_decode(record->payload, record->payload_bytes, &view, error);
    if (code != ERROR_NONE)
        return code;

    const struct snapshot_header *header = &view.header;
    uint64_t frozen_index = header->position.frozen_index;
    uint64_t needed_index = frozen_index < header->index ? frozen_index : header->index;
    if (header->group_id != group->id || header->index != record->index ||
        header->term != record->term)
        code = error_set(error, ERROR_CORRUPT, "the snapshot is of another group or index");
    else if (recovered->first_index > needed_index + 1 || recovered->next_index < header->index + 1)
        code = error_set(error, ERROR_CORRUPT,
                         "snapshot at %llu needs entries from %llu, the journal has %llu to %llu",
                         (unsigned long long)header->index, (unsigned long long)needed_index + 1,
                         (unsigned long long)recovered->first_index,
                         (unsigned long long)recovered->next_index - 1);
    if (code != ERROR_NONE) {
        raft_configuration_close(&view.configuration);
        return code;
    }
    group->stored.snapshot = copy_snapshot(&view, record->payload, record->payload_bytes);
    group_machine_keep_snapshot(group, header, copy_bytes(record->payload, record->payload_bytes),
                                record->payload_bytes);
    return ERROR_NONE;
}

enum error_code group_stored_read(struct group *group, struct error *error)
{
    const struct journal_group *recovered =
        group->recovery == NULL ? NULL : journal_recovery_find(group->recovery, group->id);
    group->next_index = 1;
    group->stored.start_index = 1;
    if (recovered != NULL) {
        if (recovered->damaged)
            return error_set(error, ERROR_CORRUPT, "acknowledged records are lost");
        if (recovered->first_index == 0 || recovered->next_index < recovered->first_index)
            return error_set(error, ERROR_CORRUPT, "range of entries");
        enum error_code code = ERROR_NONE;
        if (recovered->has_snapshot)
            code = read_snapshot(group, recovered, error);
        else if (recovered->first_index != 1)
            code = error_set(error, ERROR_CORRUPT, "the first entry is %llu, without a snapshot",
                             (unsigned long long)recovered->first_index);
        if (code == ERROR_NONE)
            code = read_entries(group, recovered, group->snapshot.index, error);
        if (code != ERROR_NONE)
            return code;
        group->next_index = recovered->next_index;
        group->stored.term = group->stored_term = recovered->term;
        group->stored.vote = recovered->vote;
    }

    if (group->stored.term == 0 && group->next_index == 2 && group->snapshot.index == 0) {
        /* The founders became durable, but not the term behind them; so nothing was sent. */
        group->stored.term = 1;
        group_store_metadata(group, 1, 0);
    }
    bool nothing = group->next_index == 1 && group->snapshot.index == 0;
    if (nothing && group->stored.term <= 1 && group->stored.vote == 0 && group->founders.n > 0) {
        write_founders(group);
        group->next_index = 2;
    } else if (!nothing && group->stored.term == 0) {
        return error_set(error, ERROR_CORRUPT, "entries without a term");
    }
    return ERROR_NONE;
}

/* libraft's own tracer formats into static buffers, shared by all threads, and is switched on by
 * an environment variable. This one never is. */
static void trace_nothing(struct raft_tracer *tracer, const char *file, int line,
                          const char *message)
{
    (void)tracer;
    (void)file;
    (void)line;
    (void)message;
}

static struct raft_tracer silent_tracer = {.enabled = false, .emit = trace_nothing};

/* --- Start --------------------------------------------------------------------------------- */

enum error_code group_raft_start(struct group *group, struct error *error)
{
    const struct group_host_options *options = &group->host->options;
    struct raft *raft = &group->raft;

    /* The address is for messages, which find their way by id. */
    int result = raft_init(raft, &group->io, &group->fsm, options->node_id, "-");
    if (result != 0)
        return error_set(error, ERROR_INVALID, "init: %s", raft_strerror(result));
    raft->data = group;
    group->initialized = true;
    raft->tracer = &silent_tracer;
    raft_set_heartbeat_timeout(raft, options->heartbeat_ms);
    raft_set_election_timeout(raft, options->election_ms);
    raft_set_pre_vote(raft, true);
    raft_set_snapshot_threshold(raft, UINT_MAX);
    raft_set_snapshot_trailing(raft, 1);

    result = raft_start(raft);
    group_stored_clear(group); /* what was not taken */
    if (result == 0 && raft->state != RAFT_UNAVAILABLE)
        return ERROR_NONE;
    return error_set(error, result == RAFT_NOMEM ? ERROR_OUT_OF_MEMORY : ERROR_CORRUPT, "start: %s",
                     result != 0 ? raft_strerror(result) : raft_errmsg(raft));
}

/* --- Starting anew ------------------------------------------------------------------------- */

void group_stored_copy(struct group *group, uint64_t cut_index)
{
    struct raft *raft = &group->raft;
    struct group_stored *stored = &group->stored;
    assert(stored->entries == NULL && stored->snapshot == NULL);

    stored->term = raft->current_term;
    stored->vote = raft->voted_for;
    if (group->snapshot.index > 0) {
        struct snapshot_view view;
        struct error error;
        enum error_code code =
            snapshot_decode(group->snapshot_bytes, group->snapshot_size, &view, &error);
        assert(code == ERROR_NONE); /* it was encoded or checked here */
        (void)code;
        stored->snapshot = copy_snapshot(&view, group->snapshot_bytes, group->snapshot_size);
    }
    uint64_t first_index = group->snapshot.index + 1;
    size_t count = cut_index > first_index ? cut_index - first_index : 0;
    stored->start_index = first_index;
    stored->entries = count == 0 ? NULL : raft_calloc(count, sizeof *stored->entries);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = log_view_entry(raft, first_index + i);
        assert(entry != NULL);
        stored->entries[i] = (struct raft_entry){
            .term = entry->term,
            .type = entry->type,
            .buf = {.base = copy_bytes(entry->buf.base, entry->buf.len), .len = entry->buf.len},
        };
    }
    stored->entry_count = count;
}

static void reopen_closed(struct raft *raft)
{
    struct group *group = raft->data;
    group->consensus_closing = false;
    group->initialized = false;
    if (group->phase == GROUP_PHASE_CLOSING) {
        group_finish_close(group);
        return;
    }
    if (group->phase == GROUP_PHASE_STOPPED)
        return; /* the journal was lost meanwhile */
    assert(group->phase == GROUP_PHASE_REOPENING);
    struct error error;
    enum error_code code = group_raft_start(group, &error);
    if (code != ERROR_NONE) {
        error_wrap(&error, "start anew");
        group_stop(group, &error);
        return;
    }
    group->phase = GROUP_PHASE_RUNNING;
    group_after_step(group);
    group_receive_parked(group);
}

void group_reopen(struct group *group, uint64_t cut_index)
{
    assert(group->phase == GROUP_PHASE_RUNNING);
    assert(cut_index > group->raft.commit_index && group_machine_is_idle(group));
    log_event(LOG_INFO, "group", "starting consensus anew", "group=%llu cut_index=%llu",
              (unsigned long long)group->id, (unsigned long long)cut_index);

    group_stored_copy(group, cut_index);
    journal_truncate(group->host->options.journal, group->id, cut_index, NULL);
    group->next_index = cut_index;
    group->phase = GROUP_PHASE_REOPENING;
    group->filter = (struct raft_filter){0};
    group->host->statistics.reopened++;
    group->consensus_closing = true;
    raft_close(&group->raft, reopen_closed);
}
