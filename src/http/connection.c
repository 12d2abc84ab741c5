#include "connection.h"

#include <assert.h>
#include <stdlib.h>

#include "answer.h"
#include "base/log.h"
#include "intake.h"
#include "server_state.h"

/* --- Constants --------------------------------------------------------------------------- */

enum {
    /* A body that nobody wants is read up to here to keep the connection; beyond, it is closed. */
    SKIP_BYTES_MAX = 64 * 1024,
    REFUSED_OPEN_MAX = 64,
};

static struct scheduler *scheduler_of(const struct connection *connection)
{
    return connection->server->scheduler;
}

static const struct http_server_options *options_of(const struct connection *connection)
{
    return &connection->server->options;
}

/* As of this turn: exact enough for time limits, and free. */
static uint64_t now_ms(const struct connection *connection)
{
    return loop_now_ms(connection->server->loop);
}

/* --- Deadlines --------------------------------------------------------------------------- */

/*
 * The timer is lazy: it fires at the earliest deadline there was when it was started, looks, and
 * starts again. So a busy connection does not move it with every request.
 */

static uint64_t write_deadline(struct connection *connection)
{
    if (stream_queued_bytes(connection->stream) == 0)
        return UINT64_MAX;
    uint64_t sent = stream_sent_bytes(connection->stream);
    if (sent != connection->progress_bytes) {
        connection->progress_bytes = sent;
        connection->progress_ms = now_ms(connection);
    }
    return connection->progress_ms + options_of(connection)->write_timeout_ms;
}

static uint64_t deadline_of(struct connection *connection)
{
    uint64_t write_ms = write_deadline(connection);
    /* What is queued has its own deadline; then the client gets its moment. */
    bool waits_for_writes = connection->phase == PHASE_LAST || connection->phase == PHASE_IDLE;
    if (write_ms != UINT64_MAX && waits_for_writes)
        return write_ms;
    return write_ms < connection->deadline_ms ? write_ms : connection->deadline_ms;
}

void connection_arm(struct connection *connection)
{
    if (connection->is_closing)
        return;
    uint64_t deadline_ms = deadline_of(connection);
    if (deadline_ms == UINT64_MAX)
        return;
    if (connection->timer.heap_index != TIMER_IDLE && connection->timer.due_ms <= deadline_ms)
        return;
    uint64_t now = now_ms(connection);
    scheduler_timer_start(scheduler_of(connection), &connection->timer,
                          deadline_ms > now ? deadline_ms - now : 0);
}

void connection_enter(struct connection *connection, enum connection_phase phase,
                      uint64_t timeout_ms)
{
    connection->phase = phase;
    connection->deadline_ms =
        timeout_ms == UINT64_MAX ? UINT64_MAX : now_ms(connection) + timeout_ms;
}

/* --- Ending ------------------------------------------------------------------------------ */

/* Answer nothing more; the client may close first. */
void connection_finish(struct connection *connection)
{
    connection_enter(connection, PHASE_LAST, options_of(connection)->linger_ms);
    if (connection->is_ended && stream_queued_bytes(connection->stream) == 0) {
        connection_close(connection);
        return;
    }
    stream_shutdown(connection->stream);
    stream_resume(connection->stream); /* to see its end */
}

void connection_close(struct connection *connection)
{
    if (connection->is_closing)
        return;
    connection->is_closing = true;
    scheduler_timer_stop(scheduler_of(connection), &connection->timer);
    stream_close(connection->stream);
    struct http_request *request = connection->active;
    if (request == NULL)
        return;
    if (request->was_dispatched || request->is_held || request->answer != ANSWER_NONE) {
        request_notify_gone(request); /* whoever answers it ends it */
    } else {
        connection->active = NULL;
        request->connection = NULL;
        request_release(request);
    }
}

static void on_closed(void *context)
{
    struct connection *connection = context;
    struct http_server *server = connection->server;
    if (connection->active != NULL)
        connection->active->connection = NULL;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    *connection->link = connection->next;
    if (connection->is_refused)
        server->connections_refused_open--;
    else
        atomic_fetch_sub_explicit(&server->options.budget->connections, 1, memory_order_relaxed);
    server_count(&server->counters.connections_open, (uint64_t)-1);
    server_count(&server->counters.sent_bytes, stream_sent_bytes(connection->stream));
    message_parser_destroy(connection->parser);
    free(connection->pending);
    free(connection);
    server_check_drained(server);
}

/* --- Between requests -------------------------------------------------------------------- */

static void resume_later(struct connection *connection)
{
    if (connection->is_feeding || connection->resume_deferred)
        return;
    connection->resume_deferred = true;
    scheduler_defer(scheduler_of(connection), &connection->resume);
}

/* The next request may begin, when not too much of the last answers is unsent. */
void connection_next_request(struct connection *connection)
{
    if (stream_queued_bytes(connection->stream) >= options_of(connection)->queued_bytes_max) {
        connection_enter(connection, PHASE_FULL, UINT64_MAX);
        return;
    }
    connection_enter(connection, PHASE_IDLE, options_of(connection)->idle_timeout_ms);
    resume_later(connection);
}

bool connection_can_continue(const struct connection *connection,
                             const struct http_request *request)
{
    if (!request->head.keep_alive || connection->server->is_draining || connection->is_ended)
        return false;
    if (connection->phase == PHASE_HANDLING)
        return true;
    if (connection->phase != PHASE_BODY && connection->phase != PHASE_GUARD)
        return false; /* in the middle of a head */
    if (!request->head.has_body)
        return true;
    /* Answered before its end: nobody knows whether a client that asked first still sends it. */
    struct text expect;
    return !request->head.is_chunked && request->head.content_length <= SKIP_BYTES_MAX &&
           !http_request_header(request, TEXT("Expect"), &expect);
}

void connection_answered(struct connection *connection, struct http_request *request)
{
    assert(connection->active == request);
    connection->active = NULL;
    request->connection = NULL;
    if (connection->is_closing)
        return;
    if (!request->keep_alive || connection->server->is_draining) {
        connection_finish(connection);
    } else if (connection->phase == PHASE_BODY) {
        connection->phase = PHASE_SKIP; /* with the body's deadline */
    } else if (connection->phase == PHASE_GUARD) {
        connection_enter(connection, PHASE_SKIP, options_of(connection)->body_timeout_ms);
        resume_later(connection);
    } else {
        connection_next_request(connection);
    }
    if (!connection->is_feeding)
        connection_arm(connection);
}

void connection_queue(struct connection *connection, struct stream_write *write)
{
    if (stream_queued_bytes(connection->stream) == 0)
        connection->progress_ms = now_ms(connection); /* the time to take it begins now */
    stream_write(connection->stream, write);
    if (!connection->is_feeding)
        connection_arm(connection);
}

void connection_sent(struct connection *connection)
{
    if (connection->is_closing)
        return;
    size_t queued = stream_queued_bytes(connection->stream);
    if (connection->phase == PHASE_FULL && queued <= options_of(connection)->queued_bytes_max / 2)
        connection_next_request(connection);
    if (connection->phase == PHASE_LAST && queued == 0) {
        if (connection->is_ended)
            connection_close(connection);
        else
            connection_enter(connection, PHASE_LAST, options_of(connection)->linger_ms);
    }
    connection_arm(connection);
}

void connection_drain(struct connection *connection)
{
    /* One that was kept is made anew by its client, one that is new is not. */
    if (connection->phase == PHASE_IDLE && connection->is_fresh)
        connection_enter(connection, PHASE_IDLE, options_of(connection)->linger_ms);
    else if (connection->phase == PHASE_IDLE && stream_queued_bytes(connection->stream) == 0)
        connection_close(connection);
    else if (connection->phase == PHASE_IDLE || connection->phase == PHASE_FULL ||
             connection->phase == PHASE_SKIP)
        connection_finish(connection);
    connection_arm(connection);
}

/* --- Events of the stream ---------------------------------------------------------------- */

static void on_ended(void *context)
{
    struct connection *connection = context;
    connection->is_ended = true;
    switch (connection->phase) {
    case PHASE_HEAD:
    case PHASE_BODY:
        connection_close(connection); /* half a request */
        break;
    case PHASE_GUARD:
    case PHASE_HANDLING:
        /* It may still want the answer, but nobody can tell: work for it is given up. */
        request_notify_gone(connection->active);
        break;
    case PHASE_IDLE:
    case PHASE_SKIP:
    case PHASE_FULL:
    case PHASE_LAST:
        if (stream_queued_bytes(connection->stream) == 0)
            connection_close(connection);
        else if (connection->phase != PHASE_LAST)
            connection_finish(connection);
        break;
    }
}

/* Resets are what clients do; the rest is for the operator (a wrong CA, an expired certificate). */
static void report_failure(struct connection *connection, const struct error *error)
{
    static struct log_limit limit = {.interval_ms = 10000, .burst = 5};
    char reason[ERROR_MESSAGE_MAX + 2];
    uint64_t suppressed;
    if (error->code == ERROR_CLOSED)
        return;
    server_count(&connection->server->counters.connections_failed, 1);
    if (!log_limit_allow(&limit, (int64_t)now_ms(connection), &suppressed))
        return;
    struct text remote = stream_remote_address(connection->stream);
    log_event(LOG_INFO, "http", "connection failed", "remote=%.*s reason=%s suppressed=%llu",
              TEXT_ARGUMENTS(remote), log_quote(reason, sizeof reason, text_of(error->message)),
              (unsigned long long)suppressed);
}

static void on_failed(void *context, const struct error *error)
{
    report_failure(context, error);
    connection_close(context);
}

static const struct stream_events events = {
    .allocate = intake_allocate,
    .received = intake_received,
    .ended = on_ended,
    .failed = on_failed,
    .closed = on_closed,
};

/* --- Time -------------------------------------------------------------------------------- */

static void on_overdue(struct connection *connection)
{
    struct server_counters *counters = &connection->server->counters;
    if (write_deadline(connection) <= now_ms(connection)) {
        server_count(&counters->timeouts_write, 1);
        connection_close(connection);
        return;
    }
    switch (connection->phase) {
    case PHASE_HEAD:
    case PHASE_BODY:
        server_count(connection->phase == PHASE_HEAD ? &counters->timeouts_head
                                                     : &counters->timeouts_body,
                     1);
        connection->active->head.keep_alive = false;
        answer_error(connection->active, 408,
                     connection->phase == PHASE_HEAD ? "request head took too long"
                                                     : "request body took too long");
        break;
    case PHASE_IDLE:
        server_count(&counters->timeouts_idle, 1);
        connection_close(connection);
        break;
    case PHASE_SKIP:
    case PHASE_LAST:
        connection_close(connection);
        break;
    case PHASE_GUARD:
    case PHASE_HANDLING:
    case PHASE_FULL:
        break; /* whoever answers has its own time limit */
    }
}

static void on_timer(struct timer *timer)
{
    struct connection *connection =
        (struct connection *)((char *)timer - offsetof(struct connection, timer));
    if (deadline_of(connection) <= now_ms(connection))
        on_overdue(connection);
    connection_arm(connection);
}

/* --- Opening ----------------------------------------------------------------------------- */

static void resume_run(struct task *task)
{
    struct connection *connection =
        (struct connection *)((char *)task - offsetof(struct connection, resume));
    connection->resume_deferred = false;
    if (!connection->is_closing)
        intake_resume(connection);
}

static struct connection *create(struct http_server *server, struct stream *stream)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return NULL;
    struct message_limits limits = {
        .target_bytes_max = server->options.target_bytes_max,
        .header_bytes_max = server->options.header_bytes_max,
        .header_count_max = server->options.header_count_max,
    };
    connection->parser = message_parser_create(&limits, intake_body, connection);
    if (connection->parser == NULL) {
        free(connection);
        return NULL;
    }
    connection->server = server;
    connection->stream = stream;
    connection->resume.run = resume_run;
    connection->timer = (struct timer){.fire = on_timer, .heap_index = TIMER_IDLE};
    connection->progress_ms = now_ms(connection);
    connection->next = server->connections;
    connection->link = &server->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    server->connections = connection;
    server_count(&server->counters.connections_open, 1);
    stream_begin(stream, &events, connection);
    return connection;
}

void connection_open(struct http_server *server, struct stream *stream)
{
    struct connection *connection = create(server, stream);
    if (connection == NULL) {
        atomic_fetch_sub_explicit(&server->options.budget->connections, 1, memory_order_relaxed);
        stream_close(stream);
        return;
    }
    connection->is_fresh = true;
    connection_enter(connection, PHASE_IDLE, server->options.idle_timeout_ms);
    connection_arm(connection);
}

void connection_refuse(struct http_server *server, struct stream *stream)
{
    struct connection *connection = NULL;
    if (server->connections_refused_open < REFUSED_OPEN_MAX)
        connection = create(server, stream);
    if (connection == NULL) {
        stream_close(stream);
        return;
    }
    server->connections_refused_open++;
    connection->is_refused = true;
    if (!intake_begin(connection)) {
        connection_close(connection);
        return;
    }
    connection->active->head.minor = 1;
    answer_error(connection->active, 503, "too many connections");
    connection_arm(connection);
}
