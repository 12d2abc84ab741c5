#include "intake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "platform/clock.h"
#include "server_state.h"

/* --- Steps of a request ------------------------------------------------------------------ */

bool intake_begin(struct connection *connection)
{
    struct http_server *server = connection->server;
    struct arena *arena = arena_create(server->options.arena_bytes_max);
    struct http_request *request =
        arena == NULL ? NULL : arena_array(arena, 1, sizeof(struct http_request));
    if (request == NULL) {
        arena_destroy(arena);
        return false;
    }
    connection->is_fresh = false;
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
    connection_enter(connection, PHASE_HEAD, server->options.head_timeout_ms);
    return true;
}

static uint64_t body_bytes_max(const struct http_request *request)
{
    uint64_t of_route = request->match.route == NULL ? 0 : request->match.route->body_bytes_max;
    return of_route > 0 ? of_route : request->server->options.body_bytes_max;
}

static enum http_admission authenticate(struct http_request *request)
{
    const struct http_guard *guard = &request->server->options.guard;
    return guard->authenticate == NULL ? HTTP_ADMITTED
                                       : guard->authenticate(guard->context, request);
}

static enum http_admission admit(struct http_request *request)
{
    const struct http_hooks *hooks = &request->server->options.hooks;
    return hooks->admit == NULL ? HTTP_ADMITTED : hooks->admit(hooks->context, request);
}

/* What is asked for, if anything. 0, or the status to answer. */
static unsigned find_route(struct http_request *request, const char **reason_out)
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
    return 0;
}

/* Decide from the head alone. 0, or the status to answer. */
static unsigned check_head(struct http_request *request, const char **reason_out)
{
    *reason_out = "no such path";
    if (request->match.pattern == NULL && request->method != HTTP_OPTIONS)
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

/* The guard has let it pass. */
static void receive_body(struct connection *connection)
{
    struct http_request *request = connection->active;
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

static void on_head(struct connection *connection)
{
    struct http_request *request = connection->active;
    request->head = *message_parser_head(connection->parser);
    connection_enter(connection, PHASE_BODY, connection->server->options.body_timeout_ms);
    const char *reason;
    unsigned status = find_route(request, &reason);
    if (status != 0) {
        answer_error(request, status, reason);
        return;
    }
    switch (authenticate(request)) {
    case HTTP_ADMITTED:
        receive_body(connection);
        break;
    case HTTP_HELD:
        assert(connection->active == request && request->answer == ANSWER_NONE);
        request->is_held = true;
        connection_enter(connection, PHASE_GUARD, UINT64_MAX);
        break;
    case HTTP_REFUSED:
        assert(connection->active != request || request->answer != ANSWER_NONE);
        break;
    }
}

void intake_admitted(struct connection *connection)
{
    assert(connection->phase == PHASE_GUARD && !connection->is_feeding);
    connection_enter(connection, PHASE_BODY, connection->server->options.body_timeout_ms);
    receive_body(connection);
    if (!connection->is_closing)
        intake_resume(connection); /* at once: a head without a body is a whole message */
}

/* From inside the parser: no answer here, see body_failure. */
void intake_body(void *context, const uint8_t *bytes, size_t size)
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
    connection_enter(connection, PHASE_HANDLING, UINT64_MAX);
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
        connection_finish(connection);
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
            connection_next_request(connection);
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
    if (size == 0) { /* idle connections hold no buffers */
        free(connection->pending);
        connection->pending = NULL;
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
            if (goes_on && !intake_begin(connection))
                connection_close(connection);
            break;
        case PHASE_HEAD:
        case PHASE_BODY:
        case PHASE_SKIP:
            goes_on = step(connection, &bytes, &size);
            break;
        case PHASE_GUARD:
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

void intake_resume(struct connection *connection)
{
    bool is_within = connection->phase == PHASE_BODY || connection->phase == PHASE_SKIP;
    if (connection->pending_size > 0)
        feed(connection, connection->pending, connection->pending_size);
    else if (is_within)
        feed(connection, connection->server->read_buffer, 0);
    if (connection->is_closing)
        return;
    if (connection->is_ended &&
        (connection->phase == PHASE_HEAD || connection->phase == PHASE_BODY)) {
        connection_close(connection); /* half a request, and its client left while it was held */
        return;
    }
    stream_resume(connection->stream);
}

/* --- Bytes --------------------------------------------------------------------------- */

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

void intake_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct connection *connection = context;
    bool waits = connection->phase == PHASE_GUARD || connection->phase == PHASE_HANDLING ||
                 connection->phase == PHASE_FULL || connection->pending_size > 0;
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

void intake_received(void *context, size_t size)
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
