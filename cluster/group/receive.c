/*
 * receive - messages and time on their way into consensus.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "group_private.h"
#include "message.h"

/* Whether the snapshot in a message is one of this group, at the index it claims. */
static enum error_code check_snapshot(const struct group *group,
                                      const struct consensus_install *install, struct error *error)
{
    struct snapshot_view view;
    enum error_code code = snapshot_decode(install->bytes, install->size_bytes, &view, error);
    if (code != ERROR_NONE)
        return code;
    const struct snapshot_header *header = &view.header;
    bool sound = header->group_id == group->id && header->index == install->index &&
                 header->term == install->term &&
                 header->membership_index == install->membership_index &&
                 header->position.frozen_index == header->index &&
                 header->position.applied_index == header->index &&
                 install->size_bytes <= JOURNAL_PAYLOAD_BYTES_MAX;
    return sound ? ERROR_NONE : error_set(error, ERROR_CORRUPT, "raft message: snapshot");
}

/* The disk is full: what is refused here comes again when there is room; a heartbeat passes. */
static bool is_refused_for_space(const struct group *group, const struct consensus_message *message)
{
    return message->type == CONSENSUS_APPEND && message->append.entry_count > 0 &&
           journal_space(group->host->options.journal) != JOURNAL_SPACE_OK;
}

void group_receive(struct group *group, uint64_t from_node, const uint8_t *bytes, size_t size_bytes)
{
    struct group_statistics *statistics = &group->host->statistics;
    if (group->phase != GROUP_PHASE_RUNNING) {
        statistics->messages_dropped++;
        return;
    }
    struct received_message received;
    struct error error;
    enum error_code code = message_decode(bytes, size_bytes, &received, &error);
    if (code == ERROR_NONE && received.message.type == CONSENSUS_INSTALL)
        code = check_snapshot(group, &received.message.install, &error);
    if (code != ERROR_NONE) {
        statistics->messages_dropped++;
        log_event(LOG_WARNING, "group", "message dropped", "group=%llu from=%llu message=\"%s\"",
                  (unsigned long long)group->id, (unsigned long long)from_node, error.message);
        return;
    }
    statistics->messages_received++;
    if (is_refused_for_space(group, &received.message))
        received.message.append.entry_count = 0;
    consensus_receive(group->consensus, group_now_ms(group), from_node, &received.message);
    received_message_clear(&received);
    group_after_step(group);
}

void group_stand(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    consensus_stand(group->consensus, group_now_ms(group));
    group_after_step(group);
}

/* --- Time ---------------------------------------------------------------------------------- */

void group_tick(struct group *group)
{
    if (group->phase != GROUP_PHASE_RUNNING)
        return;
    group->snapshot_failed = false;
    consensus_tick(group->consensus, group_now_ms(group));
    group_after_step(group);
    group_offer_try(group);
}
