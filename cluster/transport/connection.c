#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "internal.h"

/*
 *   dialed:   CONNECTING --connected, hello--> GREETING --hello--> STANDING
 *   accepted:                                  GREETING --hello, hello--> STANDING
 *   any --what may not be--> REFUSING --reason sent, time--> CLOSING --stream gone--> freed
 *   any --failure, end, silence--> CLOSING
 */

static void pump_run(struct task *task);

/* --- Sending ------------------------------------------------------------------------------- */

static bool can_send(const struct connection *connection)
{
    return connection->state == CONNECTION_GREETING || connection->state == CONNECTION_STANDING ||
           connection->state == CONNECTION_REFUSING;
}

void connection_pump_later(struct connection *connection)
{
    if (connection->is_pumping || !can_send(connection))
        return;
    connection->is_pumping = true;
    scheduler_defer(connection->transport->scheduler, &connection->pump);
}

void connection_push(struct connection *connection, struct outgoing *outgoing)
{
    outgoing_push(&connection->queues, outgoing);
    connection_pump_later(connection);
}

void connection_say(struct connection *connection, enum frame_type type, enum transport_class class,
                    uint64_t id, const void *bytes, size_t size)
{
    struct outgoing *outgoing = outgoing_copy(type, class, bytes, size);
    if (outgoing == NULL) {
        struct error error;
        error_set(&error, ERROR_OUT_OF_MEMORY, "out of memory");
        connection_close(connection, &error);
        return;
    }
    outgoing->id = id;
    connection_push(connection, outgoing);
}

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

void connection_drop(struct connection *connection, struct outgoing *outgoing)
{
    release(connection, outgoing, UINT64_MAX);
    if (outgoing->type == FRAME_MESSAGE && connection->peer != NULL)
        connection->peer->statistics.dropped_messages[TRANSPORT_DROP_LOST]++;
    request_detach(outgoing);
    outgoing_destroy(outgoing);
}

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
    connection_close_if_done(connection);
}

/* --- Ends ---------------------------------------------------------------------------------- */

void connection_greeted(struct connection *connection)
{
    connection->transport->greetings -= connection->is_greeting;
    connection->is_greeting = false;
}

/* Everything that depends on the connection ends. */
static void let_go(struct connection *connection, const struct error *error)
{
    connection_greeted(connection);
    struct link *link = connection->link;
    connection->link = NULL;
    requests_lost(connection, error);
    answers_lost(connection);
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        while (connection->queues.classes[i].first != NULL) {
            struct outgoing *outgoing = connection->queues.classes[i].first;
            outgoing_remove(&connection->queues, outgoing);
            connection_drop(connection, outgoing);
        }
    connection->peer = NULL;
    if (link != NULL)
        link_lost(link, connection, error);
}

void connection_close(struct connection *connection, const struct error *error)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    connection->state = CONNECTION_CLOSING;
    network_stream_close(connection->stream);
    let_go(connection, error);
}

void connection_refuse(struct connection *connection, enum refusal reason, const char *text)
{
    if (connection->state == CONNECTION_CLOSING || connection->state == CONNECTION_REFUSING)
        return;
    struct error error;
    uint8_t bytes[REFUSAL_BYTES_MAX];
    size_t size = refusal_encode(reason, text_of(text), bytes);
    error_set(&error, ERROR_CLOSED, "%s", text);
    connection->state = CONNECTION_REFUSING;
    connection->deadline_ms = transport_now_ms(connection->transport) + REFUSAL_LINGER_MS;
    let_go(connection, &error);
    connection_say(connection, FRAME_REFUSED, TRANSPORT_CONTROL, 0, bytes, size);
}

void connection_break(struct connection *connection, const struct error *error)
{
    static struct log_limit limit = {.interval_ms = 10000, .burst = 5};
    char reason[ERROR_MESSAGE_MAX + 2];
    uint64_t suppressed;
    if (connection->state == CONNECTION_CLOSING)
        return;
    uint64_t now_ms = transport_now_ms(connection->transport);
    if (log_limit_allow(&limit, (int64_t)now_ms, &suppressed)) {
        struct text remote = network_stream_remote_address(connection->stream);
        log_event(LOG_WARNING, "transport", "peer broke the protocol",
                  "peer=%s remote=%.*s reason=%s suppressed=%llu",
                  connection->peer == NULL ? "unknown" : connection->peer->name,
                  TEXT_ARGUMENTS(remote), log_quote(reason, sizeof reason, text_of(error->message)),
                  (unsigned long long)suppressed);
    }
    connection_refuse(connection, REFUSED_PROTOCOL, error->message);
}

static bool is_idle(const struct connection *connection)
{
    return connection->asked_count == 0 && connection->answer_count == 0 &&
           outgoing_is_empty(&connection->queues) &&
           network_stream_queued_bytes(connection->stream) == 0;
}

/* Who was told goodbye closes, so that nothing on its way is lost. */
void connection_close_if_done(struct connection *connection)
{
    if (connection->state != CONNECTION_STANDING || !connection->is_being_left ||
        !is_idle(connection))
        return;
    struct error error;
    error_set(&error, ERROR_CLOSED, "the other node said goodbye");
    connection_close(connection, &error);
}

void connection_leave(struct connection *connection)
{
    if (connection->state != CONNECTION_STANDING || connection->is_leaving)
        return;
    connection->is_leaving = true;
    connection->deadline_ms = transport_now_ms(connection->transport) + DEAD_AFTER_MS;
    connection_say(connection, FRAME_GOODBYE, TRANSPORT_CONTROL, 0, NULL, 0);
}

/* --- Receiving ----------------------------------------------------------------------------- */

static void take_ping(struct connection *connection, const struct frame *frame)
{
    struct error error;
    if (frame->payload_bytes != 8) {
        error_set(&error, ERROR_CORRUPT, "ping: %u bytes", frame->payload_bytes);
        connection_break(connection, &error);
    } else if (frame->type == FRAME_PING) {
        connection_say(connection, FRAME_PONG, TRANSPORT_CONTROL, 0, frame->payload, 8);
    } else {
        uint64_t sent_ns = load_u64(frame->payload);
        uint64_t now_ns = transport_now_ns(connection->transport);
        if (sent_ns <= now_ns && connection->peer != NULL)
            connection->peer->statistics.round_trip_ns = now_ns - sent_ns;
    }
}

/* Whether the frame may be on this connection at all. */
static bool has_right_class(const struct connection *connection, const struct frame *frame)
{
    switch (frame->type) {
    case FRAME_MESSAGE:
        return connection->kind == CONNECTION_MAIN && frame->class != TRANSPORT_FILE &&
               (frame->class != TRANSPORT_CONTROL || (frame->flags & FRAME_LAST) != 0);
    case FRAME_REQUEST:
        return frame->class ==
               (connection->kind == CONNECTION_MAIN ? TRANSPORT_REQUEST : TRANSPORT_FILE);
    default:
        return true;
    }
}

static void take_part(struct connection *connection, const struct frame *frame)
{
    struct error error;
    struct assembled assembled;
    if (!has_right_class(connection, frame)) {
        error_set(&error, ERROR_CORRUPT, "frame: type %d of class %d here", (int)frame->type,
                  (int)frame->class);
        connection_break(connection, &error);
        return;
    }
    size_t extra = frame->type == FRAME_REQUEST ? REQUEST_HEAD_BYTES : 0;
    if (assembly_take(&connection->assemblies[frame->class], frame,
                      connection->transport->options.message_bytes_max + extra, &assembled,
                      &error) != ERROR_NONE) {
        connection_break(connection, &error);
        return;
    }
    if (!assembled.is_complete)
        return;
    connection->peer->statistics.received_messages[frame->class]++;
    if (frame->type == FRAME_MESSAGE)
        transport_deliver(connection, frame, &assembled);
    else
        answer_serve(connection, frame, &assembled);
    shared_bytes_unref(assembled.whole);
}

static void take_standing(struct connection *connection, const struct frame *frame)
{
    struct error error;
    connection->peer->statistics.received_bytes[frame->class] +=
        FRAME_HEADER_BYTES + frame->payload_bytes;
    if (frame->class != TRANSPORT_CONTROL)
        connection->used_ms = connection->received_ms;
    switch (frame->type) {
    case FRAME_PING:
    case FRAME_PONG:
        take_ping(connection, frame);
        return;
    case FRAME_MESSAGE:
    case FRAME_REQUEST:
        take_part(connection, frame);
        return;
    case FRAME_PIECE:
        request_piece(connection, frame);
        return;
    case FRAME_END:
        request_end(connection, frame);
        return;
    case FRAME_CREDIT:
        answer_credit(connection, frame);
        return;
    case FRAME_CANCEL:
        answer_cancel(connection, frame->id);
        return;
    case FRAME_GOODBYE:
        connection->is_being_left = true;
        connection_pump_later(connection);
        return;
    case FRAME_IDENTITY:
        greeting_identity(connection, frame);
        return;
    case FRAME_REFUSED:
        greeting_refused(connection, frame);
        return;
    case FRAME_HELLO:
    case FRAME_TYPES:
        break;
    }
    error_set(&error, ERROR_CORRUPT, "frame: type %d where it may not be", (int)frame->type);
    connection_break(connection, &error);
}

static void take(struct connection *connection, const struct frame *frame)
{
    struct error error;
    if (connection->state == CONNECTION_STANDING) {
        take_standing(connection, frame);
    } else if (frame->type == FRAME_HELLO) {
        greeting_take(connection, frame);
    } else if (frame->type == FRAME_REFUSED) {
        greeting_refused(connection, frame);
    } else {
        error_set(&error, ERROR_CORRUPT, "frame: type %d before hello", (int)frame->type);
        connection_break(connection, &error);
    }
}

static bool can_receive(const struct connection *connection)
{
    return connection->state == CONNECTION_GREETING || connection->state == CONNECTION_STANDING;
}

static void on_received(void *context, size_t size)
{
    struct connection *connection = context;
    struct error error;
    connection->input_bytes += size;
    connection->received_ms = transport_now_ms(connection->transport);
    size_t position = 0;
    while (can_receive(connection)) {
        struct frame frame;
        size_t frame_bytes;
        if (frame_decode(connection->input + position, connection->input_bytes - position, &frame,
                         &frame_bytes, &error) != ERROR_NONE) {
            connection_break(connection, &error);
            break;
        }
        if (frame_bytes == 0)
            break;
        position += frame_bytes;
        take(connection, &frame);
    }
    if (!can_receive(connection))
        position = connection->input_bytes; /* nobody reads it */
    connection->input_bytes -= position;
    if (position > 0)
        memmove(connection->input, connection->input + position, connection->input_bytes);
}

/* --- Events of the stream ------------------------------------------------------------------ */

static void on_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct connection *connection = context;
    *target_out = connection->input + connection->input_bytes;
    *size_out = INPUT_BYTES - connection->input_bytes;
    assert(*size_out > 0);
}

static void on_ended(void *context)
{
    struct error error;
    error_set(&error, ERROR_CLOSED, "closed by the other node");
    connection_close(context, &error);
}

static void on_failed(void *context, const struct error *error)
{
    struct connection *connection = context;
    if (connection->link == NULL && connection->state == CONNECTION_GREETING) {
        struct transport *transport = connection->transport;
        char reason[ERROR_MESSAGE_MAX + 2];
        uint64_t suppressed;
        transport->strangers_refused++;
        if (error->code != ERROR_CLOSED &&
            log_limit_allow(&transport->stranger_log, (int64_t)transport_now_ms(transport),
                            &suppressed)) {
            struct text remote = network_stream_remote_address(connection->stream);
            log_event(LOG_WARNING, "transport", "connection of a node failed",
                      "remote=%.*s reason=%s suppressed=%llu", TEXT_ARGUMENTS(remote),
                      log_quote(reason, sizeof reason, text_of(error->message)),
                      (unsigned long long)suppressed);
        }
    }
    connection_close(connection, error);
}

static void on_closed(void *context)
{
    struct connection *connection = context;
    struct transport *transport = connection->transport;
    *connection->link_in_list = connection->next;
    if (connection->next != NULL)
        connection->next->link_in_list = connection->link_in_list;
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        assembly_clear(&connection->assemblies[i]);
    free(connection->slots);
    free(connection->input);
    free(connection);
    transport_check_closed(transport);
}

static void on_connected(void *context)
{
    struct connection *connection = context;
    if (connection->state != CONNECTION_CONNECTING)
        return;
    connection->state = CONNECTION_GREETING;
    connection->deadline_ms = transport_now_ms(connection->transport) + HELLO_TIMEOUT_MS;
    greeting_send(connection);
}

static void on_sent(void *context)
{
    connection_pump_later(context);
}

static const struct stream_events EVENTS = {
    .allocate = on_allocate,
    .received = on_received,
    .ended = on_ended,
    .failed = on_failed,
    .closed = on_closed,
    .connected = on_connected,
    .sent = on_sent,
};

/* --- Beginnings ---------------------------------------------------------------------------- */

static struct connection *create(struct transport *transport)
{
    struct connection *connection = calloc(1, sizeof *connection);
    struct slot *slots = calloc(SLOTS, sizeof *slots);
    uint8_t *input = malloc(INPUT_BYTES);
    if (connection == NULL || slots == NULL || input == NULL) {
        free(connection);
        free(slots);
        free(input);
        return NULL;
    }
    connection->transport = transport;
    connection->pump.run = pump_run;
    connection->slots = slots;
    connection->input = input;
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i].connection = connection;
        slots[i].next = connection->free_slots;
        connection->free_slots = &slots[i];
    }
    return connection;
}

static void begin(struct connection *connection, struct network_stream *stream)
{
    struct transport *transport = connection->transport;
    connection->stream = stream;
    connection->next = transport->connections;
    connection->link_in_list = &transport->connections;
    if (connection->next != NULL)
        connection->next->link_in_list = &connection->next;
    transport->connections = connection;
    network_stream_begin(stream, &EVENTS, connection);
}

static void discard(struct connection *connection)
{
    free(connection->slots);
    free(connection->input);
    free(connection);
}

enum error_code connection_dial(struct link *link, struct error *error)
{
    struct transport_peer *peer = link->peer;
    struct connection *connection = create(peer->transport);
    if (connection == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "out of memory");
    struct network_target target = {
        .address = peer->address,
        .lane = link->lane,
        .timeout_ms = CONNECT_TIMEOUT_MS,
    };
    struct network_stream *stream;
    enum error_code code = network_connect(peer->transport->network, &target, &stream, error);
    if (code != ERROR_NONE) {
        discard(connection);
        return code;
    }
    connection->state = CONNECTION_CONNECTING;
    connection->kind = link->kind;
    connection->is_dialed = true;
    connection->link = link;
    link->dialing = connection;
    begin(connection, stream);
    return ERROR_NONE;
}

void connection_accept(struct transport *transport, struct network_stream *stream)
{
    bool is_welcome = !transport->is_closing && transport->greetings < GREETINGS_MAX;
    struct connection *connection = is_welcome ? create(transport) : NULL;
    if (connection == NULL) {
        network_stream_close(stream);
        return;
    }
    connection->state = CONNECTION_GREETING;
    connection->deadline_ms = transport_now_ms(transport) + HELLO_TIMEOUT_MS;
    connection->is_greeting = true;
    transport->greetings++;
    begin(connection, stream);
}

/* --- Time ---------------------------------------------------------------------------------- */

static void ping(struct connection *connection, uint64_t now_ms)
{
    uint8_t bytes[8];
    connection->pinged_ms = now_ms;
    store_u64(bytes, transport_now_ns(connection->transport));
    connection_say(connection, FRAME_PING, TRANSPORT_CONTROL, 0, bytes, sizeof bytes);
}

static void tick_standing(struct connection *connection, uint64_t now_ms)
{
    struct error error;
    if (now_ms >= connection->received_ms + DEAD_AFTER_MS) {
        error_set(&error, ERROR_TIMEOUT, "nothing arrived for %d ms", DEAD_AFTER_MS);
        connection_close(connection, &error);
        return;
    }
    if (connection->is_leaving && now_ms >= connection->deadline_ms) {
        error_set(&error, ERROR_CLOSED, "left");
        connection_close(connection, &error);
        return;
    }
    /* Some traffic all the time still wants its round trip measured. */
    if ((now_ms >= connection->sent_ms + PING_AFTER_MS &&
         now_ms >= connection->pinged_ms + PING_AFTER_MS) ||
        now_ms >= connection->pinged_ms + DEAD_AFTER_MS)
        ping(connection, now_ms);
    if (connection->kind == CONNECTION_BULK && connection->is_dialed &&
        now_ms >= connection->used_ms + connection->transport->options.bulk_idle_ms &&
        is_idle(connection))
        connection_leave(connection);
}

void connection_tick(struct connection *connection, uint64_t now_ms)
{
    struct error error;
    switch (connection->state) {
    case CONNECTION_GREETING:
    case CONNECTION_REFUSING:
        if (now_ms < connection->deadline_ms)
            break;
        error_set(&error, ERROR_TIMEOUT, "no hello in %d ms", HELLO_TIMEOUT_MS);
        connection_close(connection, &error);
        break;
    case CONNECTION_STANDING:
        tick_standing(connection, now_ms);
        break;
    case CONNECTION_CONNECTING: /* the network has its own limit */
    case CONNECTION_CLOSING:
        break;
    }
}
