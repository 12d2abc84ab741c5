/*
 * outbox - messages on their way out of a group.
 *
 * A vote or a term that is told to others must survive a crash. Consensus sets both without
 * waiting; the record goes to the journal, and every message that consensus sends until it is
 * durable is kept here, in order. No sync on the loop.
 */
#include <assert.h>
#include <stdlib.h>

#include "group_private.h"
#include "message.h"

enum { OUTBOX_BYTES_MAX = 16 * 1024 * 1024 }; /* beyond it, messages are lost as on a network */

static bool transmit(struct group *group, uint64_t node_id, uint8_t *bytes, size_t size_bytes)
{
    struct group_transport *transport = group->host->options.transport;
    group->host->statistics.messages_sent++;
    return transport->operations->send(transport, group->id, node_id, bytes, size_bytes);
}

static bool hold(struct group *group, uint64_t node_id, uint8_t *bytes, size_t size_bytes)
{
    struct group_outgoing *outgoing = malloc(sizeof *outgoing);
    if (outgoing == NULL || group->outbox_bytes + size_bytes > OUTBOX_BYTES_MAX) {
        free(outgoing);
        free(bytes);
        return false;
    }
    *outgoing = (struct group_outgoing){
        .node_id = node_id,
        .bytes = bytes,
        .size_bytes = size_bytes,
    };
    *group->outbox_end = outgoing;
    group->outbox_end = &outgoing->next;
    group->outbox_bytes += size_bytes;
    return true;
}

static bool is_held(const struct group *group)
{
    uint32_t disabled = group->host->options.unsafe_disabled_rules;
    return group->metadata_in_flight > 0 &&
           (disabled & (UINT32_C(1) << RULE_HOLD_UNTIL_DURABLE)) == 0;
}

bool outbox_send(struct group *group, uint64_t node_id, const struct consensus_message *message)
{
    if (group->host->options.transport == NULL || group->phase == GROUP_PHASE_CLOSING)
        return false;
    struct byte_buffer buffer = {0};
    message_encode(message, &buffer);
    if (buffer.failed) {
        byte_buffer_clear(&buffer);
        return false;
    }
    /* The memory of a byte_buffer is from malloc; it moves on. */
    return is_held(group) ? hold(group, node_id, buffer.bytes, buffer.size)
                          : transmit(group, node_id, buffer.bytes, buffer.size);
}

void outbox_flush(struct group *group)
{
    assert(group->metadata_in_flight == 0);
    while (group->outbox != NULL) {
        struct group_outgoing *outgoing = group->outbox;
        group->outbox = outgoing->next;
        (void)transmit(group, outgoing->node_id, outgoing->bytes,
                       outgoing->size_bytes); /* lost is lost: consensus repeats it */
        free(outgoing);
    }
    group->outbox_end = &group->outbox;
    group->outbox_bytes = 0;
}

void outbox_clear(struct group *group)
{
    while (group->outbox != NULL) {
        struct group_outgoing *outgoing = group->outbox;
        group->outbox = outgoing->next;
        free(outgoing->bytes);
        free(outgoing);
    }
    group->outbox_end = &group->outbox;
    group->outbox_bytes = 0;
}
