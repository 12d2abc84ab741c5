#include "connection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "platform/clock.h"
#include "server_state.h"

/* --- Constants ---------------------------------------------------------------------------------
 */

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

/* --- Deadlines ---------------------------------------------------------------------------------
 */

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

static void enter(struct connection *connection, enum connection_phase phase, uint64_t timeout_ms)
{
    connection->phase = phase;
    connection->deadline_ms =
        timeout_ms == UINT64_MAX ? UINT64_MAX : now_ms(connection) + timeout_ms;
}

/* --- Ending ------------------------------------------------------------------------------------
 */

/* Answer nothing more; the client may close first. */
static void finish(struct connection *connection)
{
    enter(connection, PHASE_LAST, options_of(connection)->linger_ms);
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
    if (request->was_dispatched) {
        request_notify_gone(request);
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

/* --- Between requests --------------------------------------------------------------------------
 */

static void resume_later(struct connection *connection)
{
    if (connection->is_feeding || connection->resume_deferred)
        return;
    connection->resume_deferred = true;
    scheduler_defer(scheduler_of(connection), &connection->resume);
}

/* The next request may begin, when not too much of the last answers is unsent. */
static void next_request(struct connection *connection)
{
    if (stream_queued_bytes(connection->stream) >= options_of(connection)->queued_bytes_max) {
        enter(connection, PHASE_FULL, UINT64_MAX);
        return;
    }
    enter(connection, PHASE_IDLE, options_of(connection)->idle_timeout_ms);
    resume_later(connection);
}

bool connection_can_continue(const struct connection *connection,
                             const struct http_request *request)
{
    if (!request->head.keep_alive || connection->server->is_draining || connection->is_ended)
        return false;
    if (connection->phase == PHASE_HANDLING)
        return true;
    if (connection->phase != PHASE_BODY)
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
    if (!request->keep_alive)
        finish(connection);
    else if (connection->phase == PHASE_BODY)
        connection->phase = PHASE_SKIP; /* with the body's deadline */
    else
        next_request(connection);
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
        next_request(connection);
    if (connection->phase == PHASE_LAST && queued == 0) {
        if (connection->is_ended)
            connection_close(connection);
        else
            enter(connection, PHASE_LAST, options_of(connection)->linger_ms);
    }
    connection_arm(connection);
}

void connection_drain(struct connection *connection)
{
    if (connection->phase == PHASE_IDLE && stream_queued_bytes(connection->stream) == 0)
        connection_close(connection);
    else if (connection->phase == PHASE_IDLE || connection->phase == PHASE_FULL ||
             connection->phase == PHASE_SKIP)
        finish(connection);
    connection_arm(connection);
}

/* --- Steps of a request ------------------------------------------------------------------------
 */

static bool begin_request(struct connection *connection)
{
    struct http_server *server = connection->server;
    struct arena *arena = arena_create(server->options.arena_bytes_max);
    struct http_request *request =
        arena == NULL ? NULL : arena_array(arena, 1, sizeof(struct http_request));
    if (request == NULL) {
        arena_destroy(arena);
        return false;
    }
    request->server = server;
    request->connection = connection;
    request->arena = arena;
    request->holds = 1;
    request->start_ns = clock_monotonic_ns(clock_system());
    request->remote_address = arena_copy_text(arena, stream_remote_address(connection->stream));
    request->is_encrypted = stream_is_encrypted(connection->stream);
    server->requests_open++;
    message_parser_begin(connection->parser, arena);
    connection->active = request;
    connection->body_failure = 0;
    enter(connection, PHASE_HEAD, server->options.head_timeout_ms);
    return true;
}

static uint64_t body_bytes_max(const struct http_request *request)
{
    uint64_t of_route = request->match.route == NULL ? 0 : request->match.route->body_bytes_max;
    return of_route > 0 ? of_route : request->server->options.body_bytes_max;
}

static enum http_admission admit(struct http_request *request)
{
    const struct http_hooks *hooks = &request->server->options.hooks;
    return hooks->admit == NULL ? HTTP_ADMITTED : hooks->admit(hooks->context, request);
}

/* Decide from the head alone. 0, or the status to answer. */
static unsigned check_head(struct http_request *request, const char **reason_out)
{
    struct http_server *server = request->server;
    struct error error;
    unsigned status = request_read_head(request, reason_out);
    if (status != 0)
        return status;
    enum error_code code = http_router_match(server->options.router, request->method, request->path,
                                             request->arena, &request->match, &error);
    *reason_out = code == ERROR_INVALID ? "malformed path" : "out of memory";
    if (code != ERROR_NONE)
        return code == ERROR_INVALID ? 400 : 503;
    *reason_out = "no such path";
    if (request->match.pattern == NULL)
        return 404;
    *reason_out = "method not allowed";
    if (request->match.route == NULL && request->method != HTTP_OPTIONS)
        return 405;
    *reason_out = "request body too large";
    if (request->head.content_length > body_bytes_max(request))
        return 413;
    struct text expect;
    *reason_out = "unknown expectation";
    if (http_request_header(request, TEXT("Expect"), &expect) &&
        !text_equal_ignoring_case(expect, TEXT("100-continue")))
        return 417;
    return 0;
}

static void on_head(struct connection *connection)
{
    struct http_request *request = connection->active;
    request->head = *message_parser_head(connection->parser);
    enter(connection, PHASE_BODY, options_of(connection)->body_timeout_ms);
    const char *reason;
    unsigned status = check_head(request, &reason);
    if (status != 0) {
        answer_error(request, status, reason);
        return;
    }
    if (admit(request) == HTTP_REFUSED) {
        assert(connection->active != request || request->answer != ANSWER_NONE);
        return;
    }
    assert(connection->active == request && request->answer == ANSWER_NONE);
    struct text expect;
    if (request->head.has_body && request->head.minor >= 1 &&
        http_request_header(request, TEXT("Expect"), &expect))
        answer_continue(request);
}

/* From inside the parser: no answer here, see body_failure. */
static void on_body(void *context, const uint8_t *bytes, size_t size)
{
    struct connection *connection = context;
    struct http_request *request = connection->active;
    if (request == NULL || connection->phase != PHASE_BODY || connection->body_failure != 0)
        return;
    request->body_bytes += size;
    if (size > body_bytes_max(request) - request->body_size) {
        connection->body_failure = 413;
        return;
    }
    bool is_in_place = request->body != NULL && bytes == request->body + request->body_size;
    if (!is_in_place) {
        connection->body_failure = request_reserve_body(request, request->body_size + size);
        if (connection->body_failure != 0)
            return;
        memcpy(request->body + request->body_size, bytes, size);
    }
    request->body_size += size;
}

static void on_message(struct connection *connection)
{
    struct http_request *request = connection->active;
    enter(connection, PHASE_HANDLING, UINT64_MAX);
    request->was_dispatched = true;
    server_count(&connection->server->counters.requests_active, 1);
    const struct http_hooks *hooks = &connection->server->options.hooks;
    if (request->match.route != NULL)
        request->match.route->handler(request);
    else if (hooks->preflight != NULL)
        hooks->preflight(hooks->context, request);
    else
        answer_error(request, 204, "");
}

static void on_malformed(struct connection *connection)
{
    server_count(&connection->server->counters.requests_malformed, 1);
    struct http_request *request = connection->active;
    if (request == NULL) { /* while skipping: the answer is out already */
        finish(connection);
        return;
    }
    struct message_failure failure = message_parser_failure(connection->parser);
    request->head = *message_parser_head(connection->parser);
    request->head.keep_alive = false;
    answer_error(request, failure.status, failure.reason);
}

/* One step of the parser; false when it needs more bytes. */
static bool step(struct connection *connection, const uint8_t **bytes, size_t *size)
{
    size_t consumed;
    enum message_step result = message_parser_feed(connection->parser, *bytes, *size, &consumed);
    *bytes += consumed;
    *size -= consumed;
    if (connection->body_failure != 0 && connection->active != NULL) {
        connection->active->head.keep_alive = false;
        answer_error(connection->active, connection->body_failure,
                     connection->body_failure == 413 ? "request body too large"
                                                     : "no memory for request bodies");
        return true;
    }
    switch (result) {
    case MESSAGE_MORE:
        return false;
    case MESSAGE_HEAD:
        on_head(connection);
        return true;
    case MESSAGE_COMPLETE:
        if (connection->phase == PHASE_SKIP)
            next_request(connection);
        else if (connection->phase == PHASE_BODY)
            on_message(connection);
        return true;
    case MESSAGE_FAILED:
        on_malformed(connection);
        return true;
    }
    return false;
}

/* Keep what belongs to later requests until the active one is answered. */
static void keep_pending(struct connection *connection, const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        connection->pending_size = 0;
        return;
    }
    assert(size <= HTTP_READ_BYTES);
    if (connection->pending == NULL)
        connection->pending = malloc(HTTP_READ_BYTES);
    if (connection->pending == NULL) {
        connection_close(connection);
        return;
    }
    memmove(connection->pending, bytes, size);
    connection->pending_size = size;
}

static void feed(struct connection *connection, const uint8_t *bytes, size_t size)
{
    assert(!connection->is_feeding);
    connection->is_feeding = true;
    bool goes_on = true;
    while (goes_on && !connection->is_closing) {
        switch (connection->phase) {
        case PHASE_IDLE:
            goes_on = size > 0;
            if (goes_on && !begin_request(connection))
                connection_close(connection);
            break;
        case PHASE_HEAD:
        case PHASE_BODY:
        case PHASE_SKIP:
            goes_on = step(connection, &bytes, &size);
            break;
        case PHASE_HANDLING:
        case PHASE_FULL:
            goes_on = false;
            break;
        case PHASE_LAST:
            size = 0;
            goes_on = false;
            break;
        }
    }
    if (!connection->is_closing)
        keep_pending(connection, bytes, size);
    connection->is_feeding = false;
    connection_arm(connection);
}

static void resume_run(struct task *task)
{
    struct connection *connection =
        (struct connection *)((char *)task - offsetof(struct connection, resume));
    connection->resume_deferred = false;
    if (connection->is_closing)
        return;
    if (connection->pending_size > 0)
        feed(connection, connection->pending, connection->pending_size);
    if (!connection->is_closing)
        stream_resume(connection->stream);
}

/* --- Events of the stream ----------------------------------------------------------------------
 */

/* Room in the body itself, once the parser has seen everything before it. */
static bool allocate_body(struct connection *connection, uint8_t **target_out, size_t *size_out)
{
    struct http_request *request = connection->active;
    if (connection->phase != PHASE_BODY || request == NULL || request->head.is_chunked ||
        connection->body_failure != 0)
        return false;
    assert(request->body_size < request->head.content_length);
    if (request->body_size == request->body_capacity &&
        request_reserve_body(request, request->body_size + 1) != 0)
        return false; /* on_body finds out and answers */
    *target_out = request->body + request->body_size;
    *size_out = request->body_capacity - request->body_size;
    return true;
}

static void on_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct connection *connection = context;
    bool waits = connection->phase == PHASE_HANDLING || connection->phase == PHASE_FULL ||
                 connection->pending_size > 0;
    if (waits && connection->phase != PHASE_LAST) {
        /* Reading goes on to see the client leave. */
        if (connection->pending == NULL)
            connection->pending = malloc(HTTP_READ_BYTES);
        if (connection->pending == NULL)
            return; /* no room: reading pauses until the answer */
        connection->target = READ_PENDING;
        *target_out = connection->pending + connection->pending_size;
        *size_out = HTTP_READ_BYTES - connection->pending_size;
    } else if (allocate_body(connection, target_out, size_out)) {
        connection->target = READ_BODY;
    } else {
        connection->target = READ_SHARED;
        *target_out = connection->server->read_buffer;
        *size_out = HTTP_READ_BYTES;
    }
}

static void on_received(void *context, size_t size)
{
    struct connection *connection = context;
    server_count(&connection->server->counters.received_bytes, size);
    switch (connection->target) {
    case READ_SHARED:
        feed(connection, connection->server->read_buffer, size);
        break;
    case READ_BODY:
        feed(connection, connection->active->body + connection->active->body_size, size);
        break;
    case READ_PENDING:
        connection->pending_size += size;
        break;
    }
}

static void on_ended(void *context)
{
    struct connection *connection = context;
    connection->is_ended = true;
    switch (connection->phase) {
    case PHASE_HEAD:
    case PHASE_BODY:
        connection_close(connection); /* half a request */
        break;
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
            finish(connection);
        break;
    }
}

static void on_failed(void *context, const struct error *error)
{
    (void)error; /* resets are what clients do */
    connection_close(context);
}

static const struct stream_events events = {
    .allocate = on_allocate,
    .received = on_received,
    .ended = on_ended,
    .failed = on_failed,
    .closed = on_closed,
};

/* --- Time --------------------------------------------------------------------------------------
 */

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

/* --- Opening -----------------------------------------------------------------------------------
 */

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
    connection->parser = message_parser_create(&limits, on_body, connection);
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
    /* The first request is waited for like its head: no client connects to keep silent. */
    enter(connection, PHASE_IDLE, server->options.idle_timeout_ms);
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
    if (!begin_request(connection)) {
        connection_close(connection);
        return;
    }
    connection->active->head.minor = 1;
    answer_error(connection->active, 503, "too many connections");
    connection_arm(connection);
}
