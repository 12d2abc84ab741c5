#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "internal.h"

/* --- Ends ---------------------------------------------------------------------------------- */

static void finish_run(struct task *task)
{
    struct transport_request *request =
        (struct transport_request *)((char *)task - offsetof(struct transport_request, finish));
    request->done(request, &request->error);
}

static void unlink_request(struct transport_request *request)
{
    if (request->link == NULL)
        return;
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
    request->link = NULL;
    if (request->connection == NULL)
        return;
    request->connection->asked_count--;
    peer_connection_pump_later(request->connection); /* it may have been the last */
}

static void insert(struct transport_request *request, struct transport_request **list)
{
    request->next = *list;
    request->link = list;
    if (request->next != NULL)
        request->next->link = &request->next;
    *list = request;
}

/* With request->error; `done` comes in a task of its own. */
static void finish(struct transport_request *request)
{
    if (request->is_over)
        return;
    struct scheduler *scheduler = request->peer->transport->scheduler;
    request->is_over = true;
    unlink_request(request);
    scheduler_timer_stop(scheduler, &request->timer);
    if (request->outgoing != NULL)
        request->outgoing->request = NULL;
    request->outgoing = NULL;
    shared_bytes_unref(request->body);
    request->body = NULL;
    scheduler_defer(scheduler, &request->finish);
}

/* Nobody waits any more: the other side need not begin, or is told. */
static void withdraw(struct transport_request *request)
{
    struct connection *connection = request->connection;
    struct outgoing *outgoing = request->outgoing;
    if (connection == NULL)
        return;
    if (outgoing != NULL && outgoing->position == 0) {
        outgoing_remove(&connection->queues, outgoing);
        peer_connection_drop(connection, outgoing);
    } else {
        /* In the class of the request, so that it does not come before it. */
        peer_connection_say(connection, FRAME_CANCEL, request->class, request->id, NULL, 0);
    }
}

static void on_timeout(struct timer *timer)
{
    struct transport_request *request =
        (struct transport_request *)((char *)timer - offsetof(struct transport_request, timer));
    error_set(&request->error, ERROR_TIMEOUT, "node %s: no answer in %llu ms", request->peer->name,
              (unsigned long long)request->timeout_ms);
    withdraw(request);
    finish(request);
}

void transport_cancel(struct transport_request *request)
{
    if (request->is_over)
        return;
    request->peer->statistics.requests_cancelled++;
    error_set(&request->error, ERROR_CANCELED, "canceled");
    withdraw(request);
    finish(request);
}

void request_detach(struct outgoing *outgoing)
{
    if (outgoing->request == NULL)
        return;
    outgoing->request->outgoing = NULL;
    outgoing->request = NULL;
}

void requests_lost(struct connection *connection, const struct error *error)
{
    for (size_t i = 0; i < EXCHANGE_BUCKETS; i++)
        while (connection->asked[i] != NULL) {
            struct transport_request *request = connection->asked[i];
            error_set(&request->error, ERROR_CLOSED, "node %s: connection lost: %s",
                      request->peer->name, error->message);
            finish(request);
            request->connection = NULL;
        }
}

/* --- Beginnings ---------------------------------------------------------------------------- */

static void fail(struct transport_request *request, enum error_code code, const char *reason)
{
    error_set(&request->error, code, "node %s: %s", request->peer->name, reason);
    finish(request);
}

static bool has_room(const struct transport_peer *peer, enum transport_class class, size_t size)
{
    uint64_t queued = peer->statistics.queued_bytes[class];
    return queued == 0 || queued + size <= peer->transport->options.queued_bytes_max[class];
}

static void start(struct transport_request *request, struct connection *connection)
{
    struct transport_peer *peer = request->peer;
    size_t size = REQUEST_HEAD_BYTES + (request->body == NULL ? 0 : request->body->size);
    if (!has_room(peer, request->class, size)) {
        peer->statistics.dropped_messages[TRANSPORT_DROP_BUDGET]++;
        peer->was_refused[request->class] = true;
        fail(request, ERROR_UNAVAILABLE, "too much is queued for it");
        return;
    }
    struct outgoing *outgoing = outgoing_create(FRAME_REQUEST, request->class, request->body);
    if (outgoing == NULL) {
        fail(request, ERROR_OUT_OF_MEMORY, "out of memory");
        return;
    }
    uint64_t now_ms = transport_now_ms(peer->transport);
    struct request_head head = {
        .timeout_ms = request->deadline_ms > now_ms ? request->deadline_ms - now_ms : 1,
        .window_bytes = request->window_bytes,
    };
    request_head_encode(&head, outgoing->head);
    outgoing->head_bytes = REQUEST_HEAD_BYTES;
    outgoing->size = size;
    outgoing->kind = request->kind;
    outgoing->id = request->id;
    outgoing->charged_bytes = size;
    outgoing->request = request;
    peer->statistics.queued_bytes[request->class] += size;
    request->outgoing = outgoing;
    request->connection = connection;
    insert(request, &connection->asked[request->id % EXCHANGE_BUCKETS]);
    connection->asked_count++;
    peer_connection_push(connection, outgoing);
}

static void start_bulk(struct transport_request *request)
{
    struct transport_peer *peer = request->peer;
    struct connection *connection = peer_bulk(peer);
    if (connection != NULL) {
        start(request, connection);
        return;
    }
    struct link *link = peer_link(peer, CONNECTION_BULK, peer->transport->options.lane);
    if (link == NULL) {
        fail(request, ERROR_OUT_OF_MEMORY, "out of memory");
    } else if (peer->address[0] == '\0' && link->standing == NULL) {
        fail(request, ERROR_UNAVAILABLE, "its address is not known");
    } else {
        insert(request, &link->waiting);
        if (link->redial.heap_index == TIMER_IDLE)
            link_dial_later(link, 0);
    }
}

void requests_start(struct link *link)
{
    while (link->waiting != NULL) {
        struct transport_request *request = link->waiting;
        unlink_request(request);
        start(request, link->standing);
    }
}

void requests_fail(struct link *link, const struct error *error)
{
    while (link->waiting != NULL)
        fail(link->waiting, ERROR_UNAVAILABLE, error->message);
}

void transport_ask(struct transport_peer *peer, struct transport_request *request)
{
    struct transport *transport = peer->transport;
    assert(scheduler_on_loop(transport->scheduler));
    assert(request->class == TRANSPORT_REQUEST || request->class == TRANSPORT_FILE);
    assert(request->kind < TRANSPORT_KINDS_MAX && request->timeout_ms > 0);
    assert(request->body == NULL || request->body->size <= transport->options.message_bytes_max);
    if (request->window_bytes == 0)
        request->window_bytes = REQUEST_WINDOW_BYTES;
    assert(request->window_bytes >= REQUEST_WINDOW_BYTES_MIN);
    if (request->body != NULL)
        shared_bytes_ref(request->body);
    request->peer = peer;
    request->connection = NULL;
    request->outgoing = NULL;
    request->link = NULL;
    request->timer = (struct timer){.fire = on_timeout, .heap_index = TIMER_IDLE};
    request->finish.run = finish_run;
    request->deadline_ms = transport_now_ms(transport) + request->timeout_ms;
    request->id = ++transport->request_id_last;
    request->consumed_bytes = 0;
    request->unconsumed_bytes = 0;
    request->is_over = false;
    peer->statistics.requests_asked++;
    scheduler_timer_start(transport->scheduler, &request->timer, request->timeout_ms);
    struct connection *connection = peer_main(peer, transport->options.lane);
    if (transport->is_closing)
        fail(request, ERROR_UNAVAILABLE, "this node is stopping");
    else if (request->class == TRANSPORT_FILE)
        start_bulk(request);
    else if (connection == NULL)
        fail(request, ERROR_UNAVAILABLE, "not connected");
    else if (connection->is_leaving || connection->is_being_left)
        fail(request, ERROR_UNAVAILABLE, "it is stopping");
    else
        start(request, connection);
}

/* --- Answers ------------------------------------------------------------------------------- */

static struct transport_request *find(struct connection *connection, uint64_t id)
{
    struct transport_request *request = connection->asked[id % EXCHANGE_BUCKETS];
    while (request != NULL && request->id != id)
        request = request->next;
    return request; /* NULL: it ended here before the other side knew */
}

void request_piece(struct connection *connection, const struct frame *frame)
{
    struct transport_request *request = find(connection, frame->id);
    if (request == NULL)
        return;
    if (frame->payload_bytes == 0 ||
        frame->payload_bytes > request->window_bytes - request->unconsumed_bytes) {
        struct error error;
        error_set(&error, ERROR_CORRUPT, "answer: %u bytes beyond its window",
                  frame->payload_bytes);
        peer_connection_break(connection, &error);
        return;
    }
    request->unconsumed_bytes += frame->payload_bytes;
    if (request->piece != NULL)
        request->piece(request, frame->payload, frame->payload_bytes);
    else
        transport_consume(request, frame->payload_bytes);
}

void transport_consume(struct transport_request *request, size_t size)
{
    uint8_t bytes[4];
    assert(size <= request->unconsumed_bytes - request->consumed_bytes);
    if (request->is_over)
        return;
    /* What is granted is told at once to the window's half; what is not told is not granted. */
    request->consumed_bytes += (uint32_t)size;
    if (request->consumed_bytes < request->window_bytes / 2)
        return;
    store_u32(bytes, request->consumed_bytes);
    request->unconsumed_bytes -= request->consumed_bytes;
    request->consumed_bytes = 0;
    peer_connection_say(request->connection, FRAME_CREDIT, TRANSPORT_CONTROL, request->id, bytes,
                        sizeof bytes);
}

void request_end(struct connection *connection, const struct frame *frame)
{
    struct error error;
    struct transport_request *request = find(connection, frame->id);
    if (request == NULL)
        return;
    if (end_decode(frame->payload, frame->payload_bytes, &request->error, &error) != ERROR_NONE)
        peer_connection_break(connection, &error);
    else
        finish(request);
}
