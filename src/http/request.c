#include "http/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "intake.h"
#include "platform/clock.h"
#include "request_state.h"
#include "server_state.h"

enum { BODY_BYTES_FIRST = 256 * 1024, CHUNKED_BYTES_FIRST = 4 * 1024 };

/* --- Life -------------------------------------------------------------------------------- */

static void report(struct http_request *request)
{
    struct http_server *server = request->server;
    server_count(&server->counters.requests, 1);
    if (request->is_gone)
        server_count(&server->counters.clients_gone, 1);
    if (server->options.hooks.finished == NULL)
        return;
    struct http_access access = {
        .route = request->match.pattern,
        .method = request->head.method,
        .path = request->path,
        .remote_address = request->remote_address,
        .status = request->status,
        .duration_ns = clock_monotonic_ns(clock_system()) - request->start_ns,
        .request_bytes = request->body_bytes,
        .response_bytes = request->response_bytes,
        .client_gone = request->is_gone,
    };
    server->options.hooks.finished(server->options.hooks.context, &access);
}

void request_release(struct http_request *request)
{
    assert(request->holds > 0);
    if (--request->holds > 0)
        return;
    struct http_server *server = request->server;
    if (request->answer != ANSWER_NONE)
        report(request);
    if (request->was_dispatched)
        server_count(&server->counters.requests_active, (uint64_t)-1);
    atomic_fetch_sub_explicit(&server->options.budget->body_bytes, request->body_charged,
                              memory_order_relaxed);
    free(request->body);
    arena_destroy(request->arena); /* the request is in it */
    server->requests_open--;
    server_check_drained(server);
}

static void gone_run(struct task *task)
{
    struct http_request *request =
        (struct http_request *)((char *)task - offsetof(struct http_request, gone_task));
    request->gone_deferred = false;
    if (request->gone != NULL && request->answer != ANSWER_ENDED)
        request->gone(request->gone_context);
    request_release(request);
}

/* Never at once: the news may come from inside a call of the one who wants to know. */
static void gone_defer(struct http_request *request)
{
    if (request->gone == NULL || request->gone_deferred)
        return;
    request->gone_task.run = gone_run;
    request->gone_deferred = true;
    request->holds++;
    scheduler_defer(request->server->scheduler, &request->gone_task);
}

void request_notify_gone(struct http_request *request)
{
    if (request->is_gone)
        return;
    request->is_gone = true;
    gone_defer(request);
}

void http_request_on_gone(struct http_request *request, void (*gone)(void *context), void *context)
{
    request->gone = gone;
    request->gone_context = context;
    if (request->is_gone)
        gone_defer(request);
}

bool http_request_is_gone(const struct http_request *request)
{
    return request->is_gone;
}

/* --- Body -------------------------------------------------------------------------------- */

static bool charge(struct http_request *request, uint64_t bytes)
{
    struct http_budget *budget = request->server->options.budget;
    uint64_t before = atomic_fetch_add_explicit(&budget->body_bytes, bytes, memory_order_relaxed);
    if (before + bytes > budget->body_bytes_max) {
        atomic_fetch_sub_explicit(&budget->body_bytes, bytes, memory_order_relaxed);
        return false;
    }
    request->body_charged += bytes;
    return true;
}

/*
 * Grow by doubling, never beyond a length that was announced, so that a body up to
 * BODY_BYTES_FIRST has its exact size from the start and no announcement alone takes memory.
 */
unsigned request_reserve_body(struct http_request *request, size_t needed)
{
    if (needed <= request->body_capacity)
        return 0;
    uint64_t announced = request->head.content_length;
    size_t first = request->head.is_chunked ? CHUNKED_BYTES_FIRST : BODY_BYTES_FIRST;
    size_t capacity = request->body_capacity == 0 ? first : request->body_capacity * 2;
    if (capacity < needed)
        capacity = needed;
    if (!request->head.is_chunked && capacity > announced)
        capacity = announced;
    assert(capacity >= needed);
    if (!charge(request, capacity - request->body_capacity))
        return 503;
    uint8_t *body = realloc(request->body, capacity);
    if (body == NULL)
        return 503;
    request->body = body;
    request->body_capacity = capacity;
    return 0;
}

struct text http_request_body(const struct http_request *request)
{
    return (struct text){.data = (const char *)request->body, .size = request->body_size};
}

uint8_t *http_request_take_body(struct http_request *request, size_t *size_out)
{
    uint8_t *body = request->body;
    *size_out = request->body_size;
    request->body = NULL;
    request->body_size = 0;
    request->body_capacity = 0;
    return body;
}

/* --- Head -------------------------------------------------------------------------------- */

static enum http_method method_of(struct text name)
{
    static const struct {
        struct text name;
        enum http_method method;
    } METHODS[] = {
        {TEXT("GET"), HTTP_GET},         {TEXT("POST"), HTTP_POST}, {TEXT("HEAD"), HTTP_HEAD},
        {TEXT("OPTIONS"), HTTP_OPTIONS}, {TEXT("PUT"), HTTP_PUT},   {TEXT("DELETE"), HTTP_DELETE},
        {TEXT("PATCH"), HTTP_PATCH},
    };
    for (size_t i = 0; i < sizeof METHODS / sizeof METHODS[0]; i++)
        if (text_equal(METHODS[i].name, name))
            return METHODS[i].method;
    return HTTP_OTHER;
}

/* RFC 9112 3.2.2: a server takes the absolute form, "http://host/path", as well. */
static struct text without_authority(struct text target)
{
    static const struct text SCHEMES[] = {TEXT("http://"), TEXT("https://")};
    for (size_t i = 0; i < 2; i++) {
        if (!text_starts_with(target, SCHEMES[i]))
            continue;
        struct text rest = {target.data + SCHEMES[i].size, target.size - SCHEMES[i].size};
        size_t host = 0;
        while (host < rest.size && rest.data[host] != '/' && rest.data[host] != '?')
            host++;
        return (struct text){rest.data + host, rest.size - host};
    }
    return target;
}

static size_t count_headers(const struct http_request *request, struct text name)
{
    size_t count = 0;
    for (size_t i = 0; i < request->head.header_count; i++)
        count += text_equal_ignoring_case(request->head.headers[i].name, name);
    return count;
}

unsigned request_read_head(struct http_request *request, const char **reason_out)
{
    request->method = method_of(request->head.method);
    struct text target = without_authority(request->head.target);
    struct text fragment;
    text_split(target, '#', &target, &fragment);
    text_split(target, '?', &request->path, &request->query);
    bool is_whole_server = request->method == HTTP_OPTIONS && text_equal(target, TEXT("*"));
    if (request->path.size == 0 || is_whole_server)
        request->path = TEXT("/");
    /* RFC 9112 3.2: one of it, or proxies and servers see different hosts. */
    size_t host_count = count_headers(request, TEXT("Host"));
    if (host_count > 1 || (host_count == 0 && request->head.minor >= 1)) {
        *reason_out = host_count == 0 ? "missing Host header" : "more than one Host header";
        return 400;
    }
    if (request->path.data[0] != '/') {
        *reason_out = "malformed request target";
        return request->method == HTTP_OTHER ? 405 : 400;
    }
    return 0;
}

enum http_method http_request_method(const struct http_request *request)
{
    return request->method;
}

struct text http_request_method_name(const struct http_request *request)
{
    return request->head.method;
}

struct text http_request_path(const struct http_request *request)
{
    return request->path;
}

struct text http_request_query(const struct http_request *request)
{
    return request->query;
}

struct text http_request_segment(const struct http_request *request, struct text name)
{
    for (size_t i = 0; i < request->match.variable_count; i++)
        if (text_equal(request->match.variables[i].name, name))
            return request->match.variables[i].value;
    return (struct text){0};
}

bool http_request_header(const struct http_request *request, struct text name,
                         struct text *value_out)
{
    for (size_t i = 0; i < request->head.header_count; i++) {
        const struct http_header *header = &request->head.headers[i];
        if (text_equal_ignoring_case(header->name, name)) {
            *value_out = header->value;
            return true;
        }
    }
    *value_out = (struct text){0};
    return false;
}

const struct http_header *http_request_headers(const struct http_request *request,
                                               size_t *count_out)
{
    *count_out = request->head.header_count;
    return request->head.headers;
}

bool http_request_has_media_type(const struct http_request *request, struct text media_type)
{
    struct text value, type, parameters;
    if (!http_request_header(request, TEXT("Content-Type"), &value))
        return false;
    text_split(value, ';', &type, &parameters);
    return text_equal_ignoring_case(text_trim(type), media_type);
}

/* --- Parameters -------------------------------------------------------------------------- */

static enum error_code decode_parameters(struct http_request *request, struct error *error)
{
    struct http_parameters form = {0}, query = {0};
    enum error_code code = ERROR_NONE;
    if (http_request_has_media_type(request, TEXT("application/x-www-form-urlencoded")))
        code = http_parameters_decode(http_request_body(request), request->arena, &form, error);
    if (code == ERROR_NONE)
        code = http_parameters_decode(request->query, request->arena, &query, error);
    if (code == ERROR_NONE)
        code = http_parameters_join(form, query, request->arena, &request->parameters, error);
    return code;
}

enum error_code http_request_parameters(struct http_request *request,
                                        const struct http_parameters **parameters_out,
                                        struct error *error)
{
    if (!request->has_parameters) {
        enum error_code code = decode_parameters(request, error);
        if (code != ERROR_NONE)
            return code;
        request->has_parameters = true;
    }
    *parameters_out = &request->parameters;
    return ERROR_NONE;
}

/* --- Surroundings ------------------------------------------------------------------------ */

struct text http_request_remote_address(const struct http_request *request)
{
    return request->remote_address;
}

bool http_request_is_encrypted(const struct http_request *request)
{
    return request->is_encrypted;
}

struct arena *http_request_arena(struct http_request *request)
{
    return request->arena;
}

struct scheduler *http_request_scheduler(const struct http_request *request)
{
    return request->server->scheduler;
}

void http_request_set_identity(struct http_request *request, struct http_identity identity)
{
    request->identity = identity;
}

struct http_identity http_request_identity(const struct http_request *request)
{
    return request->identity;
}

void http_request_admit(struct http_request *request)
{
    assert(scheduler_on_loop(request->server->scheduler));
    assert(request->is_held && request->answer == ANSWER_NONE);
    request->is_held = false;
    struct connection *connection = request->connection;
    if (connection != NULL && !connection->is_closing) {
        intake_admitted(connection);
        return;
    }
    if (connection != NULL)
        connection->active = NULL;
    request->connection = NULL;
    request_release(request);
}

void *http_request_context(const struct http_request *request)
{
    return request->match.route == NULL ? NULL : request->match.route->context;
}

const char *http_request_route(const struct http_request *request)
{
    return request->match.pattern;
}

uint64_t http_request_age_ms(const struct http_request *request)
{
    return (clock_monotonic_ns(clock_system()) - request->start_ns) / 1000000;
}
