/*
 * storage - what consensus asks of the world: the shared journal and the outbox.
 *
 * No write fails: the journal ends the process when it can't. No completion runs inside the call
 * that submitted it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "group_private.h"

enum {
    ENTRY_PAYLOAD_VERSION = 1,
    MEMBERSHIP_PAYLOAD_VERSION = 2, /* 1 was in the layout of a library */
    ENTRY_OVERHEAD_BYTES = 64,      /* counted for each, so that tiny entries fill a log too */
};

static struct group *group_of(struct consensus_world *world)
{
    return (struct group *)((char *)world - offsetof(struct group, world));
}

/* --- Writes -------------------------------------------------------------------------------- */

static void unlink_write(struct group_write *write)
{
    struct group *group = write->group;
    if (write->previous != NULL)
        write->previous->next = write->next;
    else
        group->writes = write->next;
    if (write->next != NULL)
        write->next->previous = write->previous;
    group->metadata_in_flight -= write->kind == GROUP_WRITE_METADATA;
    if (write->kind == GROUP_WRITE_SNAPSHOT || write->kind == GROUP_WRITE_ORIGIN)
        group->snapshot_in_flight = false;
    if (write->kind == GROUP_WRITE_INSTALL || write->kind == GROUP_WRITE_ADOPTION)
        group->install_in_flight = false;
}

static void keep_snapshot(struct group_write *write)
{
    struct group *group = write->group;
    struct group_statistics *statistics = &group->host->statistics;
    statistics->snapshots_stored++;
    statistics->snapshot_bytes += write->size_bytes;
    group_machine_keep_snapshot(group, &write->header, write->bytes, write->size_bytes);
    write->bytes = NULL;
}

static void snapshot_taken(struct group_write *write)
{
    struct group *group = write->group;
    keep_snapshot(write);
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    group->machine->operations->snapshot_stored(group->machine, &group->snapshot.position);
    consensus_forget(group->consensus, group->snapshot.position.frozen_index < group->snapshot.index
                                           ? group->snapshot.position.frozen_index
                                           : group->snapshot.index);
    group_machine_compact(group);
}

static void snapshot_installed(struct group_write *write)
{
    struct group *group = write->group;
    keep_snapshot(write);
    group->host->statistics.snapshots_installed++;
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    struct error error;
    if (group_machine_restore(group, &error) != ERROR_NONE) {
        error_wrap(&error, "restore");
        group_stop(group, &error);
        return;
    }
    consensus_written(group->consensus);
}

static void write_done(struct journal_request *base)
{
    struct group_write *write = (struct group_write *)base;
    struct group *group = write->group;
    unlink_write(write);
    switch (write->kind) {
    case GROUP_WRITE_METADATA:
        if (group->metadata_in_flight == 0)
            outbox_flush(group);
        break;
    case GROUP_WRITE_ENTRIES:
        if (group->phase == GROUP_PHASE_RUNNING)
            consensus_written(group->consensus);
        break;
    case GROUP_WRITE_SNAPSHOT:
    case GROUP_WRITE_ORIGIN:
        snapshot_taken(write);
        break;
    case GROUP_WRITE_INSTALL:
        snapshot_installed(write);
        break;
    case GROUP_WRITE_ADOPTION:
        keep_snapshot(write);
        if (group->phase == GROUP_PHASE_RUNNING)
            group_adopted(group);
        break;
    }
    free(write->bytes);
    free(write);
    group_after_step(group);
    group_wake(group);
}

static struct group_write *write_begin(struct group *group, enum group_write_kind kind)
{
    struct group_write *write = group_memory(sizeof *write);
    *write = (struct group_write){
        .base.done = write_done,
        .group = group,
        .next = group->writes,
        .kind = kind,
    };
    if (group->writes != NULL)
        group->writes->previous = write;
    group->writes = write;
    return write;
}

void group_writes_cancel(struct group *group)
{
    while (group->writes != NULL) {
        struct group_write *write = group->writes;
        unlink_write(write);
        free(write->bytes);
        free(write);
    }
}

/* --- Entries ------------------------------------------------------------------------------- */

static void world_store_metadata(struct consensus_world *world, uint64_t term, uint64_t vote)
{
    struct group *group = group_of(world);
    struct group_write *write = write_begin(group, GROUP_WRITE_METADATA);
    group->metadata_in_flight++;
    journal_set_metadata(group->host->options.journal, group->id, term, vote, &write->base);
}

static void world_append(struct consensus_world *world, uint64_t first_index, size_t count)
{
    struct group *group = group_of(world);
    struct group_write *write = write_begin(group, GROUP_WRITE_ENTRIES);
    struct journal_entry *records = group_memory(count * sizeof *records);
    for (size_t i = 0; i < count; i++) {
        const struct consensus_entry *entry = consensus_entry(group->consensus, first_index + i);
        assert(entry->size_bytes <= JOURNAL_PAYLOAD_BYTES_MAX);
        records[i] = (struct journal_entry){
            .index = first_index + i,
            .term = entry->term,
            .kind = (uint8_t)entry->kind,
            .version = entry->kind == CONSENSUS_MEMBERSHIP ? MEMBERSHIP_PAYLOAD_VERSION
                                                           : ENTRY_PAYLOAD_VERSION,
            .payload = entry->bytes,
            .payload_bytes = entry->size_bytes,
        };
        group->bytes_since_snapshot += entry->size_bytes + ENTRY_OVERHEAD_BYTES;
    }
    journal_append(group->host->options.journal, group->id, records, count, &write->base);
    free(records);
}

void group_store_founders(struct group *group, const uint8_t *bytes, size_t size_bytes)
{
    struct journal_entry record = {
        .index = 1,
        .term = 1,
        .kind = CONSENSUS_MEMBERSHIP,
        .version = MEMBERSHIP_PAYLOAD_VERSION,
        .payload = bytes,
        .payload_bytes = (uint32_t)size_bytes,
    };
    journal_append(group->host->options.journal, group->id, &record, 1, NULL);
    /* Behind the entry in the journal, and nothing is sent before it is durable. */
    group_store_term(group, 1);
}

void group_store_term(struct group *group, uint64_t term)
{
    world_store_metadata(&group->world, term, 0);
}

static void world_truncate(struct consensus_world *world, uint64_t index)
{
    struct group *group = group_of(world);
    journal_truncate(group->host->options.journal, group->id, index, NULL);
}

/* --- Snapshots ----------------------------------------------------------------------------- */

void group_store_snapshot(struct group *group, const struct snapshot_header *header, uint8_t *bytes,
                          size_t size_bytes, enum group_write_kind kind)
{
    struct group_write *write = write_begin(group, kind);
    write->header = *header;
    write->bytes = bytes;
    write->size_bytes = size_bytes;
    bool installs = kind == GROUP_WRITE_INSTALL || kind == GROUP_WRITE_ADOPTION;
    bool keeps_log = kind == GROUP_WRITE_SNAPSHOT || kind == GROUP_WRITE_ADOPTION;
    group->install_in_flight |= installs;
    group->snapshot_in_flight |= !installs;

    uint64_t frozen_index = header->position.frozen_index;
    struct journal_snapshot record = {
        .index = header->index,
        .term = header->term,
        /* Entries above the frozen index are replayed, entries above the snapshot loaded. */
        .low_water = frozen_index < header->index ? frozen_index : header->index,
        .mode = keeps_log ? JOURNAL_SNAPSHOT_TAKEN : JOURNAL_SNAPSHOT_INSTALLED,
        .version = header->frozen_term > 0 ? SNAPSHOT_VERSION : 1,
        .payload = bytes,
        .payload_bytes = (uint32_t)size_bytes,
    };
    struct consensus_status status;
    consensus_status(group->consensus, &status);
    group->bytes_since_snapshot =
        consensus_bytes(group->consensus, header->index, status.last_index);
    journal_set_snapshot(group->host->options.journal, group->id, &record, &write->base);
}

/* --- Reading ------------------------------------------------------------------------------- */

static bool entry_of(const struct journal_entry *record, struct consensus_entry *entry_out)
{
    if (record->kind < CONSENSUS_COMMAND || record->kind > CONSENSUS_MEMBERSHIP ||
        record->version != (record->kind == CONSENSUS_MEMBERSHIP ? MEMBERSHIP_PAYLOAD_VERSION
                                                                 : ENTRY_PAYLOAD_VERSION))
        return false;
    *entry_out = (struct consensus_entry){
        .term = record->term,
        .kind = (enum consensus_kind)record->kind,
        .size_bytes = record->payload_bytes,
        .bytes = record->payload,
    };
    return true;
}

static void entries_read(struct journal_read *base, const struct journal_entry *records,
                         size_t count, const struct error *error)
{
    struct group_read *read = (struct group_read *)base;
    struct group *group = read->group;
    struct consensus_entry *entries = group_memory((count + 1) * sizeof *entries);
    for (size_t i = 0; i < count; i++)
        if (!entry_of(&records[i], &entries[i]))
            count = i;
    if (count == 0 && error->code != ERROR_NOT_FOUND)
        log_event(LOG_WARNING, "group", "entries for a peer can't be read",
                  "group=%llu index=%llu message=\"%s\"", (unsigned long long)group->id,
                  (unsigned long long)base->first_index, error->message);
    if (group->phase == GROUP_PHASE_RUNNING) {
        group->host->statistics.entries_read_back += count;
        consensus_send_stored(group->consensus, read->node_id, base->first_index, entries, count);
    }
    group->reads_in_flight--;
    free(entries);
    free(read);
    group_wake(group);
}

static void world_entries_needed(struct consensus_world *world, uint64_t node_id,
                                 uint64_t first_index, uint64_t end_index)
{
    struct group *group = group_of(world);
    struct group_read *read = group_memory(sizeof *read);
    *read = (struct group_read){
        .base =
            {
                .group = group->id,
                .first_index = first_index,
                .end_index = end_index,
                .done = entries_read,
            },
        .group = group,
        .node_id = node_id,
    };
    group->reads_in_flight++;
    journal_read(group->host->options.journal, &read->base);
}

/* --- Snapshots for peers ------------------------------------------------------------------- */

static void world_snapshot_needed(struct consensus_world *world, uint64_t node_id)
{
    struct group *group = group_of(world);
    for (size_t i = 0; i < group->snapshots_asked_count; i++)
        if (group->snapshots_asked[i] == node_id)
            return;
    if (group->snapshots_asked_count < CONSENSUS_MEMBERS_MAX)
        group->snapshots_asked[group->snapshots_asked_count++] = node_id;
    group_wake(group);
}

static void world_snapshot_offered(struct consensus_world *world, uint64_t from_node,
                                   const struct consensus_install *install)
{
    struct group *group = group_of(world);
    group_offer_keep(group, from_node, install);
    group_wake(group);
}

/* --- Messages ------------------------------------------------------------------------------ */

static bool world_send(struct consensus_world *world, uint64_t node_id,
                       const struct consensus_message *message)
{
    return outbox_send(group_of(world), node_id, message);
}

const struct consensus_world_operations group_world_operations = {
    .store_metadata = world_store_metadata,
    .append = world_append,
    .truncate = world_truncate,
    .send = world_send,
    .entries_needed = world_entries_needed,
    .snapshot_needed = world_snapshot_needed,
    .snapshot_offered = world_snapshot_offered,
};
