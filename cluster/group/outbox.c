/*
 * outbox - messages on their way out of a group.
 *
 * Rule 13: a vote or a term that is told to others must survive a crash. Consensus sets both
 * without waiting; the record goes to the journal, and every message that consensus sends until
 * it is durable is kept here, in order. No sync on the loop.
 */
#include <assert.h>
#include <stdlib.h>

#include "group_private.h"
#include "message.h"

enum {
    MESSAGE_PAYLOAD_BYTES_MAX = 1024 * 1024, /* of one AppendEntries */
    OUTBOX_BYTES_MAX = 16 * 1024 * 1024,     /* beyond it, messages are lost as on a network */
};

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

static bool send_run(struct group *group, const struct raft_message *message, size_t first,
                     size_t count)
{
    struct byte_buffer buffer = {0};
    message_encode(message, first, count, &buffer);
    if (buffer.failed) {
        byte_buffer_clear(&buffer);
        return false;
    }
    /* The memory of a byte_buffer is from malloc; it moves on. */
    bool held = group->metadata_in_flight > 0 && group_rule_on(group, RULE_HOLD_UNTIL_DURABLE);
    return held ? hold(group, message->server_id, buffer.bytes, buffer.size)
                : transmit(group, message->server_id, buffer.bytes, buffer.size);
}

bool outbox_send(struct group *group, const struct raft_message *message)
{
    if (group->host->options.transport == NULL)
        return false;
    if (message->type != RAFT_IO_APPEND_ENTRIES || message->append_entries.n_entries == 0)
        return send_run(group, message, 0, 0);

    /* Consensus sends all that a peer lacks at once; cut it into messages of their own. */
    const struct raft_append_entries *append = &message->append_entries;
    for (size_t first = 0; first < append->n_entries;) {
        size_t count = message_run_of_entries(append, first, MESSAGE_PAYLOAD_BYTES_MAX);
        assert(count > 0);
        if (!send_run(group, message, first, count))
            return false;
        first += count;
    }
    return true;
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
