/*
 * request - what a handler gets, and how it answers: now or later.
 *
 * A request belongs to the loop of its connection; every function here is called on that loop.
 * It lives from the call of the handler until it is answered: every request is answered exactly
 * once, even when its client has gone (the answer is then dropped). Answering ends the handler's
 * use of it: nothing of the request may be touched after http_respond, http_respond_produced or
 * http_response_end, except by callbacks named below.
 *
 * Three ways to answer, from simple to free:
 *   http_respond           the whole body at once
 *   http_respond_produced  a producer makes pieces on a worker, as fast as the client reads
 *   http_response_begin, _write, _end   pieces from the loop, with a `writable` callback
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "http/header.h"
#include "http/parameters.h"
#include "platform/scheduler.h"

struct http_request;

enum http_method {
    HTTP_GET = 1 << 0,
    HTTP_HEAD = 1 << 1,
    HTTP_POST = 1 << 2,
    HTTP_PUT = 1 << 3,
    HTTP_DELETE = 1 << 4,
    HTTP_OPTIONS = 1 << 5,
    HTTP_PATCH = 1 << 6,
    HTTP_OTHER = 1 << 7, /* no route takes it */
};

/* --- What was asked ---------------------------------------------------------------------- */

enum http_method http_request_method(const struct http_request *request);

/* "GET", as sent. */
struct text http_request_method_name(const struct http_request *request);

/* The path as sent, without the query, not decoded. */
struct text http_request_path(const struct http_request *request);

/* What follows '?', not decoded; empty when there is none. */
struct text http_request_query(const struct http_request *request);

/* What matched {name} of the route, decoded; "*" is the rest that a prefix route matched. Empty
 * when the route has no such segment. */
struct text http_request_segment(const struct http_request *request, struct text name);

/*
 * Parameters of a form body (POST, application/x-www-form-urlencoded), then those of the query,
 * decoded once; they live as long as the request, unless the body is taken.
 * Errors: INVALID, LIMIT, OUT_OF_MEMORY.
 */
enum error_code http_request_parameters(struct http_request *request,
                                        const struct http_parameters **parameters_out,
                                        struct error *error);

/* The first header of that name, any case, value trimmed; false, and empty, when there is none. */
bool http_request_header(const struct http_request *request, struct text name,
                         struct text *value_out);

/* All headers as received. */
const struct http_header *http_request_headers(const struct http_request *request,
                                               size_t *count_out);

/* Whether Content-Type is `media_type`, parameters ignored. */
bool http_request_has_media_type(const struct http_request *request, struct text media_type);

/* The whole body, as sent (transfer coding removed, content coding not). */
struct text http_request_body(const struct http_request *request);

/* Take over the body: free() it. The request has an empty body afterwards. NULL when empty. The
 * budget counts it until the request ends: free it before that, or soon after. */
uint8_t *http_request_take_body(struct http_request *request, size_t *size_out);

/* "192.0.2.1:4711" of the connection. */
struct text http_request_remote_address(const struct http_request *request);

bool http_request_is_encrypted(const struct http_request *request);

/* Memory of the request's life, at most http_server_options.arena_bytes_max. */
struct arena *http_request_arena(struct http_request *request);

/* The loop that the request belongs to. */
struct scheduler *http_request_scheduler(const struct http_request *request);

/* `context` of its route. */
void *http_request_context(const struct http_request *request);

/* The pattern of its route, NULL when none matched. */
const char *http_request_route(const struct http_request *request);

/* Milliseconds since its first byte arrived. */
uint64_t http_request_age_ms(const struct http_request *request);

/*
 * Call `gone` when the client hangs up before the answer is complete, so that work for it can
 * stop; not when the request is answered. The request must still be answered. Called in a turn of
 * its own, also when the client has gone already. NULL takes the callback back.
 */
void http_request_on_gone(struct http_request *request, void (*gone)(void *context), void *context);

/* Whether the client has gone. */
bool http_request_is_gone(const struct http_request *request);

/* --- Who asks ---------------------------------------------------------------------------- */

/* As the guard of the server (http/server.h) found out. Empty texts: it does not matter. */
struct http_identity {
    struct text name;
    struct text tenant; /* the only one that this client may read and write */
};

/* The texts live as long as the request. */
void http_request_set_identity(struct http_request *request, struct http_identity identity);
struct http_identity http_request_identity(const struct http_request *request);

/* Let a held request go on. On its loop, in a turn of its own; the request may be over, and its
 * memory gone, when this returns. */
void http_request_admit(struct http_request *request);

/* --- The answer, whole ------------------------------------------------------------------- */

enum http_body_life {
    HTTP_BODY_BORROWED, /* static, or in the request's arena */
    HTTP_BODY_OWNED,    /* from malloc; the server frees it */
};

/* Content-Length, Date, Connection, Content-Encoding, Vary and Transfer-Encoding are the
 * server's. */
struct http_response {
    unsigned status;
    struct text content_type;          /* empty: none */
    const struct http_header *headers; /* [header_count], copied */
    size_t header_count;
    struct text body;
    enum http_body_life body_life;
};

/*
 * Answer. The body is compressed when the client accepts gzip and it is worth it; large ones on
 * a worker. HEAD sends what GET would, without the body.
 */
void http_respond(struct http_request *request, const struct http_response *response);

/* --- The answer, produced on workers ----------------------------------------------------- */

enum http_production {
    HTTP_PRODUCTION_MORE,
    HTTP_PRODUCTION_END,
    HTTP_PRODUCTION_BROKEN, /* cut the connection: the client must not take this for the whole */
};

enum { HTTP_PIECE_BYTES = 64 * 1024 };

/*
 * A body made piece by piece. No worker waits for a slow client: `produce` is called only while
 * less than http_server_options.queued_bytes_max wait to be sent, at most once at a time.
 */
struct http_producer {
    /* On a worker (on the loop when it has none): append about HTTP_PIECE_BYTES to `piece`. */
    enum http_production (*produce)(struct http_producer *producer, struct byte_buffer *piece);
    /* On the loop, once, last: all is sent, or the client has gone. The producer's memory. */
    void (*finished)(struct http_producer *producer);
    enum job_class class; /* of its jobs */
};

/*
 * Answer with what `producer` makes; `response->body` must be empty. A body that is one piece is
 * sent with its length, a longer one chunked. Compressed on the workers when the client accepts
 * it. The request's arena and body live until `finished` returns; the handler's other use of the
 * request ends with the call.
 */
void http_respond_produced(struct http_request *request, const struct http_response *response,
                           struct http_producer *producer);

/* --- The answer, in pieces from the loop ------------------------------------------------- */

/* Send status and headers; `response->body` must be empty. Chunked, not compressed. */
void http_response_begin(struct http_request *request, const struct http_response *response);

/*
 * Queue a piece. True: go on. False: enough is queued (or the client has gone): wait for
 * `writable`. The piece is taken in any case; with HTTP_BODY_BORROWED it is copied.
 */
bool http_response_write(struct http_request *request, struct text piece, enum http_body_life life);

/* `writable` runs each time the queue has drained to half after a write that returned false. */
void http_response_on_writable(struct http_request *request, void (*writable)(void *context),
                               void *context);

/* Bytes queued and not yet sent. */
size_t http_response_queued_bytes(const struct http_request *request);

/* Complete the answer. */
void http_response_end(struct http_request *request);

/* Give up after begin: the connection is cut, so that the client sees an incomplete answer. */
void http_response_abort(struct http_request *request);

#endif
