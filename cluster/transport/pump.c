#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* --- Queueing ------------------------------------------------------------------------------ */

static bool can_send(const struct connection *connection)
{
    return connection->state == CONNECTION_GREETING || connection->state == CONNECTION_STANDING ||
           connection->state == CONNECTION_REFUSING;
}

void peer_connection_pump_later(struct connection *connection)
{
    if (connection->is_pumping || !can_send(connection))
        return;
    connection->is_pumping = true;
    scheduler_defer(connection->transport->scheduler, &connection->pump);
}

void peer_connection_push(struct connection *connection, struct outgoing *outgoing)
{
    outgoing_push(&connection->queues, outgoing);
    peer_connection_pump_later(connection);
}

void peer_connection_say(struct connection *connection, enum frame_type type,
                         enum transport_class class, uint64_t id, const void *bytes, size_t size)
{
    struct outgoing *outgoing = outgoing_copy(type, class, bytes, size);
    if (outgoing == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "out of memory");
        peer_connection_close(connection, &error);
        return;
    }
    outgoing->id = id;
    peer_connection_push(connection, outgoing);
}

/* --- Budgets ------------------------------------------------------------------------------- */

/* Half of the smaller budget is free again after a refusal. */
static void tell_drained(struct transport_peer *peer, enum transport_class class)
{
    const struct transport_options *options = &peer->transport->options;
    uint64_t low = options->queued_bytes_max[class] < options->channel_bytes_max
                       ? options->queued_bytes_max[class] / 2
                       : options->channel_bytes_max / 2;
    if (!peer->was_refused[class] || peer->statistics.queued_bytes[class] > low)
        return;
    peer->was_refused[class] = false;
    if (options->events->drained != NULL)
        options->events->drained(options->context, peer, class);
}

static void release(struct connection *connection, struct outgoing *outgoing, uint64_t bytes)
{
    struct transport_peer *peer = connection->peer;
    if (bytes > outgoing->charged_bytes)
        bytes = outgoing->charged_bytes;
    if (bytes == 0 || peer == NULL)
        return;
    outgoing->charged_bytes -= bytes;
    assert(peer->statistics.queued_bytes[outgoing->class] >= bytes);
    peer->statistics.queued_bytes[outgoing->class] -= bytes;
    if (outgoing->account != NULL)
        channel_release(&peer->accounts, outgoing->account, bytes);
}

void peer_connection_drop(struct connection *connection, struct outgoing *outgoing)
{
    release(connection, outgoing, UINT64_MAX);
    if (outgoing->type == FRAME_MESSAGE && connection->peer != NULL)
        connection->peer->statistics.dropped_messages[TRANSPORT_DROP_LOST]++;
    request_detach(outgoing);
    outgoing_destroy(outgoing);
}

/* --- Frames -------------------------------------------------------------------------------- */

static void on_written(struct stream_write *write, const struct error *error)
{
    struct slot *slot = (struct slot *)((char *)write - offsetof(struct slot, write));
    (void)error; /* the stream tells */
    shared_bytes_unref(slot->bytes);
    slot->bytes = NULL;
    slot->next = slot->connection->free_slots;
    slot->connection->free_slots = slot;
}

/* What the next frame of `outgoing` has of its bytes: from where, how many. */
struct extent {
    struct shared_bytes *bytes;
    size_t head_bytes; /* of the head, before them */
    size_t position, size;
};

static struct extent next_extent(const struct outgoing *outgoing)
{
    if (outgoing->answer != NULL)
        return (struct extent){
            .bytes = outgoing->answer->pending,
            .position = outgoing->answer->position,
            .size = answer_next(outgoing->answer),
        };
    size_t left = outgoing->size - outgoing->position;
    size_t size = left < FRAME_PAYLOAD_BYTES_MAX ? left : FRAME_PAYLOAD_BYTES_MAX;
    size_t head_bytes = outgoing->position == 0 ? outgoing->head_bytes : 0;
    return (struct extent){
        .bytes = outgoing->bytes,
        .head_bytes = head_bytes,
        .position = outgoing->position == 0 ? 0 : outgoing->position - outgoing->head_bytes,
        .size = size - head_bytes,
    };
}

static struct frame next_frame(const struct outgoing *outgoing, const struct extent *extent)
{
    struct frame frame = {
        .type = outgoing->type,
        .class = outgoing->class,
        .kind = outgoing->kind,
        .id = outgoing->id,
        .payload_bytes = (uint32_t)(extent->head_bytes + extent->size),
    };
    if (outgoing->type != FRAME_MESSAGE && outgoing->type != FRAME_REQUEST)
        return frame;
    if (outgoing->position == 0) {
        frame.flags |= FRAME_FIRST;
        frame.message_bytes = (uint32_t)outgoing->size;
    }
    if (outgoing->position + frame.payload_bytes == outgoing->size)
        frame.flags |= FRAME_LAST;
    return frame;
}

static void count_sent(struct connection *connection, const struct outgoing *outgoing, size_t size)
{
    if (connection->peer == NULL)
        return;
    struct transport_peer_statistics *statistics = &connection->peer->statistics;
    statistics->sent_bytes[outgoing->class] += FRAME_HEADER_BYTES + size;
    if (outgoing->position + size == outgoing->size)
        statistics->sent_messages[outgoing->class]++;
}

static void send_frame(struct connection *connection, struct outgoing *outgoing)
{
    struct slot *slot = connection->free_slots;
    connection->free_slots = slot->next;
    struct extent extent = next_extent(outgoing);
    struct frame frame = next_frame(outgoing, &extent);
    memcpy(slot->head, outgoing->head, sizeof slot->head);
    const uint8_t *bytes = extent.bytes == NULL ? NULL : extent.bytes->bytes + extent.position;
    struct frame_part parts[2] = {{slot->head, extent.head_bytes}, {bytes, extent.size}};
    frame_encode(&frame, parts, 2, slot->header);
    slot->bytes = extent.size > 0 ? shared_bytes_ref(extent.bytes) : NULL;
    slot->vectors[0] = (struct stream_vector){slot->header, FRAME_HEADER_BYTES};
    slot->vectors[1] = (struct stream_vector){slot->head, extent.head_bytes};
    slot->vectors[2] = (struct stream_vector){bytes, extent.size};
    slot->write = (struct stream_write){
        .vectors = slot->vectors,
        .vector_count = extent.size > 0 ? 3 : 2,
        .done = on_written,
    };
    network_stream_write(connection->stream, &slot->write);
    connection->sent_ms = transport_now_ms(connection->transport);
    if (outgoing->class != TRANSPORT_CONTROL)
        connection->used_ms = connection->sent_ms;
    count_sent(connection, outgoing, frame.payload_bytes);
    outgoing_sent(&connection->queues, outgoing, FRAME_HEADER_BYTES + frame.payload_bytes);

    if (outgoing->answer != NULL) {
        outgoing_remove(&connection->queues, outgoing);
        answer_sent(outgoing->answer, frame.payload_bytes);
        return;
    }
    outgoing->position += frame.payload_bytes;
    release(connection, outgoing, frame.payload_bytes);
    if (outgoing->position == outgoing->size) {
        outgoing_remove(&connection->queues, outgoing);
        release(connection, outgoing, UINT64_MAX);
        request_detach(outgoing);
        outgoing_destroy(outgoing);
    }
}

static void pump_run(struct task *task)
{
    struct connection *connection =
        (struct connection *)((char *)task - offsetof(struct connection, pump));
    connection->is_pumping = false;
    while (can_send(connection) && connection->free_slots != NULL &&
           network_stream_queued_bytes(connection->stream) < WINDOW_BYTES) {
        struct outgoing *outgoing = outgoing_next(&connection->queues);
        if (outgoing == NULL)
            break;
        enum transport_class class = outgoing->class;
        send_frame(connection, outgoing);
        if (connection->peer != NULL)
            tell_drained(connection->peer, class);
    }
    peer_connection_close_if_done(connection);
}

bool pump_create(struct connection *connection)
{
    connection->pump.run = pump_run;
    connection->slots = calloc(SLOTS, sizeof *connection->slots);
    if (connection->slots == NULL)
        return false;
    for (size_t i = 0; i < SLOTS; i++) {
        connection->slots[i].connection = connection;
        connection->slots[i].next = connection->free_slots;
        connection->free_slots = &connection->slots[i];
    }
    return true;
}

void pump_destroy(struct connection *connection)
{
    free(connection->slots);
}
