/*
 * receive - messages and time on their way into consensus.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"
#include "message.h"

/* Whether the snapshot in an InstallSnapshot is one of this group, at the index it claims. */
static bool snapshot_is_sound(const struct group *group,
                              const struct raft_install_snapshot *install)
{
    struct snapshot_view view;
    struct error error;
    if (snapshot_decode(install->data.base, install->data.len, &view, &error) != ERROR_NONE)
        return false;
    const struct snapshot_header *header = &view.header;
    bool sound = header->group_id == group->id && header->index == install->last_index &&
                 header->term == install->last_term &&
                 header->configuration_index == install->conf_index &&
                 header->position.frozen_index == header->index &&
                 header->position.applied_index == header->index &&
                 install->data.len <= JOURNAL_PAYLOAD_BYTES_MAX;
    raft_configuration_close(&view.configuration);
    return sound;
}

static void deliver(struct group *group, struct raft_message *message)
{
    filter_answer_begin(group, message);
    if (message->type == RAFT_IO_APPEND_ENTRIES)
        filter_cut_known_entries(group, &message->append_entries);
    bool installed = group->install_in_flight;
    group->on_receive(&group->io, message); /* owns what the message holds */
    if (group->install_in_flight && !installed)
        filter_install_began(group);
    filter_answer_end(group);
    group_after_step(group);
}

/* One InstallSnapshot waits, the newest: the leader repeats older ones in vain. */
static void park(struct group *group, struct raft_message *message)
{
    if (group->parked == NULL) {
        group->parked = raft_malloc(sizeof *group->parked);
    } else if (message->install_snapshot.term < group->parked->install_snapshot.term ||
               (message->install_snapshot.term == group->parked->install_snapshot.term &&
                message->install_snapshot.last_index <=
                    group->parked->install_snapshot.last_index)) {
        message_clear(message);
        return;
    } else {
        message_clear(group->parked);
    }
    *group->parked = *message;
}

static void decide(struct group *group, struct raft_message *message)
{
    uint64_t cut_index = 0;
    if (message->type == RAFT_IO_APPEND_ENTRIES)
        filter_cut_own_demotion(group, &message->append_entries);
    switch (filter_receive(group, message->server_id, message, &cut_index)) {
    case FILTER_DELIVER:
        deliver(group, message);
        break;
    case FILTER_PARK:
        park(group, message);
        break;
    case FILTER_REOPEN:
        group->host->statistics.messages_filtered++;
        if (message->type == RAFT_IO_INSTALL_SNAPSHOT)
            park(group, message);
        else
            message_clear(message);
        group_reopen(group, cut_index);
        break;
    case FILTER_DROP:
        group->host->statistics.messages_filtered++;
        message_clear(message);
        break;
    }
}

void group_receive(struct group *group, uint64_t from_node, const uint8_t *bytes, size_t size_bytes)
{
    struct group_statistics *statistics = &group->host->statistics;
    if (group->phase != GROUP_PHASE_RUNNING) {
        statistics->messages_dropped++;
        return;
    }
    struct raft_message message;
    struct error error;
    enum error_code code = message_decode(bytes, size_bytes, &message, &error);
    if (code == ERROR_NONE && message.type == RAFT_IO_INSTALL_SNAPSHOT &&
        !snapshot_is_sound(group, &message.install_snapshot)) {
        message_clear(&message);
        code = error_set(&error, ERROR_CORRUPT, "raft message: snapshot");
    }
    if (code != ERROR_NONE) {
        statistics->messages_dropped++;
        log_event(LOG_WARNING, "group", "message dropped", "group=%llu from=%llu message=\"%s\"",
                  (unsigned long long)group->id, (unsigned long long)from_node, error.message);
        return;
    }
    statistics->messages_received++;
    message.server_id = from_node;
    message.server_address = "-";
    decide(group, &message);
}

void group_receive_parked(struct group *group)
{
    if (group->parked == NULL || group->phase != GROUP_PHASE_RUNNING)
        return;
    uint64_t cut_index;
    if (filter_receive(group, group->parked->server_id, group->parked, &cut_index) == FILTER_PARK)
        return; /* not yet */
    struct raft_message message = *group->parked;
    raft_free(group->parked);
    group->parked = NULL;
    decide(group, &message);
}

void group_tick(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    filter_forget_silent_leader(group);
    if (filter_tick_allowed(group)) {
        group->on_tick(&group->io);
        group_after_step(group);
    }
    group_receive_parked(group);
    /* A snapshot is taken when something is applied; a leader can see to that. */
    if (group->phase == GROUP_PHASE_RUNNING && group->snapshot_wanted && group->ready_term != 0 &&
        group->raft.snapshot.pending.term == 0)
        (void)group_own_barrier(group);
}
