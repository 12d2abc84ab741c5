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

/* --- Ends ---------------------------------------------------------------------------------- */

void peer_connection_greeted(struct connection *connection)
{
    connection->transport->greetings -= connection->is_greeting;
    connection->is_greeting = false;
}

/* Everything that depends on the connection ends. */
static void let_go(struct connection *connection, const struct error *error)
{
    peer_connection_greeted(connection);
    struct link *link = connection->link;
    connection->link = NULL;
    requests_lost(connection, error);
    answers_lost(connection);
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        while (connection->queues.classes[i].first != NULL) {
            struct outgoing *outgoing = connection->queues.classes[i].first;
            outgoing_remove(&connection->queues, outgoing);
            peer_connection_drop(connection, outgoing);
        }
    connection->peer = NULL;
    if (link != NULL)
        link_lost(link, connection, error);
}

void peer_connection_close(struct connection *connection, const struct error *error)
{
    if (connection->state == CONNECTION_CLOSING)
        return;
    connection->state = CONNECTION_CLOSING;
    network_stream_close(connection->stream);
    let_go(connection, error);
}

void peer_connection_refuse(struct connection *connection, enum refusal reason, const char *text)
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
    peer_connection_say(connection, FRAME_REFUSED, TRANSPORT_CONTROL, 0, bytes, size);
}

void peer_connection_break(struct connection *connection, const struct error *error)
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
    peer_connection_refuse(connection, REFUSED_PROTOCOL, error->message);
}

static bool is_idle(const struct connection *connection)
{
    return connection->asked_count == 0 && connection->answer_count == 0 &&
           outgoing_is_empty(&connection->queues) &&
           network_stream_queued_bytes(connection->stream) == 0;
}

/* Who was told goodbye closes, so that nothing on its way is lost. */
void peer_connection_close_if_done(struct connection *connection)
{
    if (connection->state != CONNECTION_STANDING || !connection->is_being_left ||
        !is_idle(connection))
        return;
    struct error error;
    error_set(&error, ERROR_CLOSED, "the other node said goodbye");
    peer_connection_close(connection, &error);
}

void peer_connection_leave(struct connection *connection)
{
    if (connection->state != CONNECTION_STANDING || connection->is_leaving)
        return;
    connection->is_leaving = true;
    connection->deadline_ms = transport_now_ms(connection->transport) + DEAD_AFTER_MS;
    peer_connection_say(connection, FRAME_GOODBYE, TRANSPORT_CONTROL, 0, NULL, 0);
}

/* --- Receiving ----------------------------------------------------------------------------- */

static void take_ping(struct connection *connection, const struct frame *frame)
{
    struct error error;
    if (frame->payload_bytes != 8) {
        error_set(&error, ERROR_CORRUPT, "ping: %u bytes", frame->payload_bytes);
        peer_connection_break(connection, &error);
    } else if (frame->type == FRAME_PING) {
        peer_connection_say(connection, FRAME_PONG, TRANSPORT_CONTROL, 0, frame->payload, 8);
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
        peer_connection_break(connection, &error);
        return;
    }
    size_t extra = frame->type == FRAME_REQUEST ? REQUEST_HEAD_BYTES : 0;
    if (assembly_take(&connection->assemblies[frame->class], frame,
                      connection->transport->options.message_bytes_max + extra, &assembled,
                      &error) != ERROR_NONE) {
        peer_connection_break(connection, &error);
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
        peer_connection_pump_later(connection);
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
    peer_connection_break(connection, &error);
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
        peer_connection_break(connection, &error);
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
            peer_connection_break(connection, &error);
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
    peer_connection_close(context, &error);
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
    peer_connection_close(connection, error);
}

static void destroy(struct connection *connection)
{
    pump_destroy(connection);
    free(connection->input);
    free(connection);
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
    destroy(connection);
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
    peer_connection_pump_later(context);
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
    if (connection == NULL)
        return NULL;
    connection->transport = transport;
    connection->input = malloc(INPUT_BYTES);
    if (connection->input == NULL || !pump_create(connection)) {
        destroy(connection);
        return NULL;
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

enum error_code peer_connection_dial(struct link *link, struct error *error)
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
        destroy(connection);
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

void peer_connection_accept(struct transport *transport, struct network_stream *stream)
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
    peer_connection_say(connection, FRAME_PING, TRANSPORT_CONTROL, 0, bytes, sizeof bytes);
}

static void tick_standing(struct connection *connection, uint64_t now_ms)
{
    struct error error;
    if (now_ms >= connection->received_ms + DEAD_AFTER_MS) {
        error_set(&error, ERROR_TIMEOUT, "nothing arrived for %d ms", DEAD_AFTER_MS);
        peer_connection_close(connection, &error);
        return;
    }
    if (connection->is_leaving && now_ms >= connection->deadline_ms) {
        error_set(&error, ERROR_CLOSED, "left");
        peer_connection_close(connection, &error);
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
        peer_connection_leave(connection);
}

void peer_connection_tick(struct connection *connection, uint64_t now_ms)
{
    struct error error;
    switch (connection->state) {
    case CONNECTION_GREETING:
    case CONNECTION_REFUSING:
        if (now_ms < connection->deadline_ms)
            break;
        error_set(&error, ERROR_TIMEOUT, "no hello in %d ms", HELLO_TIMEOUT_MS);
        peer_connection_close(connection, &error);
        break;
    case CONNECTION_STANDING:
        tick_standing(connection, now_ms);
        break;
    case CONNECTION_CONNECTING: /* the network has its own limit */
    case CONNECTION_CLOSING:
        break;
    }
}
