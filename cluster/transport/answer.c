#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "internal.h"

/*
 *   SERVED --end, all sent--> END said --> freed
 *      \--cancelled: asker, deadline, connection--> handler is told --its end--> freed
 */

enum { DEADLINE_MS_MAX = 24 * 3600 * 1000 };

/* --- Ends ---------------------------------------------------------------------------------- */

/* When neither the handler nor a task refers to it. */
static void free_when_done(struct transport_answer *answer)
{
    struct transport *transport = answer->transport;
    if (!answer->is_ended || answer->connection != NULL || answer->notify_deferred)
        return;
    assert(answer->pending == NULL && !answer->is_queued);
    free(answer);
    transport->held--;
    transport_check_closed(transport);
}

static void detach(struct transport_answer *answer)
{
    struct connection *connection = answer->connection;
    scheduler_timer_stop(answer->transport->scheduler, &answer->deadline);
    if (answer->is_queued)
        outgoing_remove(&connection->queues, &answer->turn);
    answer->is_queued = false;
    shared_bytes_unref(answer->pending);
    answer->pending = NULL;
    *answer->link = answer->next;
    if (answer->next != NULL)
        answer->next->link = answer->link;
    connection->answer_count--;
    answer->connection = NULL;
    peer_connection_pump_later(connection); /* it may have been the last */
}

static void notify_run(struct task *task)
{
    struct transport_answer *answer =
        (struct transport_answer *)((char *)task - offsetof(struct transport_answer, notify));
    const struct transport_answer_events *events = answer->events;
    answer->notify_deferred = false;
    if (answer->is_ended || events == NULL) {
        free_when_done(answer);
    } else if (answer->is_cancelled) {
        bool is_owed = answer->owes_cancelled;
        answer->owes_cancelled = false;
        if (is_owed && events->cancelled != NULL)
            events->cancelled(answer->context, answer);
    } else if (answer->owes_writable) {
        answer->owes_writable = false;
        if (events->writable != NULL)
            events->writable(answer->context, answer);
    }
}

static void notify(struct transport_answer *answer)
{
    if (answer->notify_deferred)
        return;
    answer->notify_deferred = true;
    scheduler_defer(answer->transport->scheduler, &answer->notify);
}

static void cancel(struct transport_answer *answer)
{
    detach(answer);
    answer->is_cancelled = true;
    if (answer->is_ended) {
        free_when_done(answer);
        return;
    }
    answer->owes_cancelled = true;
    notify(answer);
}

static void on_deadline(struct timer *timer)
{
    cancel(
        (struct transport_answer *)((char *)timer - offsetof(struct transport_answer, deadline)));
}

void answers_lost(struct connection *connection)
{
    for (size_t i = 0; i < EXCHANGE_BUCKETS; i++)
        while (connection->answers[i] != NULL)
            cancel(connection->answers[i]);
}

/* --- Sending ------------------------------------------------------------------------------- */

static void say_end(struct connection *connection, enum transport_class class, uint64_t id,
                    const struct error *error)
{
    uint8_t bytes[END_BYTES_MAX];
    size_t size = end_encode(error, bytes);
    peer_connection_say(connection, FRAME_END, class, id, bytes, size);
}

static void finish(struct transport_answer *answer)
{
    struct connection *connection = answer->connection;
    connection->peer->statistics.requests_answered++;
    detach(answer);
    say_end(connection, answer->class, answer->id, &answer->end);
    free_when_done(answer);
}

static void queue_turn(struct transport_answer *answer)
{
    if (answer->is_queued || answer->connection == NULL || answer->pending == NULL ||
        answer->credit_bytes == 0)
        return;
    answer->is_queued = true;
    peer_connection_push(answer->connection, &answer->turn);
}

size_t answer_next(const struct transport_answer *answer)
{
    size_t left = answer->pending->size - answer->position;
    if (left > answer->credit_bytes)
        left = answer->credit_bytes;
    return left < FRAME_PAYLOAD_BYTES_MAX ? left : FRAME_PAYLOAD_BYTES_MAX;
}

void answer_sent(struct transport_answer *answer, size_t size)
{
    answer->is_queued = false;
    answer->position += size;
    answer->credit_bytes -= size;
    if (answer->position < answer->pending->size) {
        queue_turn(answer);
        return;
    }
    shared_bytes_unref(answer->pending);
    answer->pending = NULL;
    if (answer->is_ended) {
        finish(answer);
        return;
    }
    answer->owes_writable = true;
    notify(answer);
}

/* --- The handler's calls ------------------------------------------------------------------- */

void transport_answer_begin(struct transport_answer *answer,
                            const struct transport_answer_events *events, void *context)
{
    answer->events = events;
    answer->context = context;
}

void transport_answer_write(struct transport_answer *answer, struct shared_bytes *bytes)
{
    assert(!answer->is_ended && answer->pending == NULL && !answer->owes_writable);
    if (answer->is_cancelled)
        return;
    if (bytes->size == 0) {
        answer->owes_writable = true;
        notify(answer);
        return;
    }
    answer->pending = shared_bytes_ref(bytes);
    answer->position = 0;
    queue_turn(answer);
}

void transport_answer_end(struct transport_answer *answer, const struct error *error)
{
    assert(!answer->is_ended);
    answer->is_ended = true;
    error_clear(&answer->end);
    if (error != NULL)
        answer->end = *error;
    if (answer->connection == NULL)
        free_when_done(answer);
    else if (answer->pending == NULL)
        finish(answer);
}

/* --- Frames -------------------------------------------------------------------------------- */

static struct transport_answer *find(struct connection *connection, uint64_t id)
{
    struct transport_answer *answer = connection->answers[id % EXCHANGE_BUCKETS];
    while (answer != NULL && answer->id != id)
        answer = answer->next;
    return answer; /* NULL: it ended before the other side knew */
}

static struct transport_answer *create(struct connection *connection, const struct frame *frame,
                                       const struct request_head *head)
{
    struct transport_answer *answer = calloc(1, sizeof *answer);
    if (answer == NULL)
        return NULL;
    struct transport_answer **bucket = &connection->answers[frame->id % EXCHANGE_BUCKETS];
    *answer = (struct transport_answer){
        .transport = connection->transport,
        .connection = connection,
        .next = *bucket,
        .link = bucket,
        .id = frame->id,
        .class = frame->class,
        .credit_bytes = head->window_bytes,
        .deadline = {.fire = on_deadline, .heap_index = TIMER_IDLE},
        .notify.run = notify_run,
    };
    answer->turn = (struct outgoing){
        .type = FRAME_PIECE, .class = frame->class, .id = frame->id, .answer = answer};
    if (answer->next != NULL)
        answer->next->link = &answer->next;
    *bucket = answer;
    connection->answer_count++;
    connection->transport->held++;
    uint64_t timeout_ms = head->timeout_ms < DEADLINE_MS_MAX ? head->timeout_ms : DEADLINE_MS_MAX;
    scheduler_timer_start(connection->transport->scheduler, &answer->deadline, timeout_ms);
    return answer;
}

static void turn_away(struct connection *connection, const struct frame *frame,
                      enum error_code code, const char *reason)
{
    struct error error;
    error_set(&error, code, "node %s: %s", connection->transport->name, reason);
    say_end(connection, frame->class, frame->id, &error);
}

void answer_serve(struct connection *connection, const struct frame *frame,
                  const struct assembled *assembled)
{
    struct transport *transport = connection->transport;
    struct request_head head;
    struct error error;
    enum error_code code = request_head_decode(assembled->bytes, assembled->size, &head, &error);
    if (code == ERROR_NONE && head.window_bytes < REQUEST_WINDOW_BYTES_MIN)
        code = error_set(&error, ERROR_CORRUPT, "request: a window of %u", head.window_bytes);
    if (code == ERROR_NONE && find(connection, frame->id) != NULL)
        code = error_set(&error, ERROR_CORRUPT, "request: its number is in use");
    if (code != ERROR_NONE) {
        peer_connection_break(connection, &error);
        return;
    }
    const struct handler *handler =
        frame->kind < TRANSPORT_KINDS_MAX ? &transport->servers[frame->kind] : NULL;
    if (handler == NULL || handler->serve == NULL) {
        connection->peer->statistics.dropped_messages[TRANSPORT_DROP_UNKNOWN_KIND]++;
        turn_away(connection, frame, ERROR_UNSUPPORTED, "it does not know this request");
        return;
    }
    if (connection->is_leaving || connection->answer_count >= transport->options.answers_max) {
        turn_away(connection, frame, ERROR_UNAVAILABLE,
                  connection->is_leaving ? "it is stopping" : "too many requests at once");
        return;
    }
    struct transport_answer *answer = create(connection, frame, &head);
    if (answer == NULL) {
        turn_away(connection, frame, ERROR_OUT_OF_MEMORY, "out of memory");
        return;
    }
    struct transport_question question = {
        .peer = connection->peer,
        .kind = frame->kind,
        .class = frame->class,
        .body = assembled->bytes + REQUEST_HEAD_BYTES,
        .size = assembled->size - REQUEST_HEAD_BYTES,
        .whole = assembled->whole,
        .timeout_ms = head.timeout_ms,
    };
    handler->serve(handler->context, answer, &question);
}

void answer_credit(struct connection *connection, const struct frame *frame)
{
    struct transport_answer *answer = find(connection, frame->id);
    if (frame->payload_bytes != 4) {
        struct error error;
        error_set(&error, ERROR_CORRUPT, "credit: %u bytes", frame->payload_bytes);
        peer_connection_break(connection, &error);
        return;
    }
    if (answer == NULL)
        return;
    answer->credit_bytes += load_u32(frame->payload);
    queue_turn(answer);
}

void answer_cancel(struct connection *connection, uint64_t id)
{
    struct transport_answer *answer = find(connection, id);
    if (answer == NULL)
        return;
    connection->peer->statistics.requests_cancelled++;
    cancel(answer);
}
