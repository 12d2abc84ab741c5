/*
 * request_state - the inside of a request: what connection, answer and production share.
 *
 * A request is allocated in its own arena. It ends when it is answered and everything it has
 * queued is sent or dropped: `holds` counts the unanswered state, each output under way and each
 * task or job that will come back to it.
 */
#ifndef HTTP_REQUEST_STATE_H
#define HTTP_REQUEST_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "http/request.h"
#include "message_parser.h"
#include "platform/scheduler.h"
#include "router_match.h"

struct connection;
struct http_server;

enum answer_state {
    ANSWER_NONE,
    ANSWER_BEGUN, /* nobody may begin another */
    ANSWER_ENDED, /* complete, or dropped */
};

/* How the end of the body is marked. */
enum answer_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct http_request {
    struct http_server *server;
    struct connection *connection; /* NULL when it is closed */
    struct arena *arena;
    size_t holds;

    /* The question. */
    struct message_head head;
    enum http_method method;
    struct text path;
    struct text query;
    struct route_match match;
    struct text remote_address;
    bool is_encrypted;
    bool is_held; /* by the guard */
    struct http_identity identity;
    uint64_t start_ns;
    uint8_t *body; /* [body_capacity], malloc */
    size_t body_size;
    size_t body_capacity;
    uint64_t body_bytes;   /* received, for the access record */
    uint64_t body_charged; /* to the budget */
    bool has_parameters;
    struct http_parameters parameters;

    /* The client going away. */
    bool is_gone;
    bool was_dispatched;
    void (*gone)(void *context);
    void *gone_context;
    struct task gone_task;
    bool gone_deferred;

    /* The answer. */
    enum answer_state answer;
    enum answer_framing framing;
    unsigned status;
    bool keep_alive;
    bool has_no_body; /* HEAD, 204, 304 */
    uint64_t response_bytes;
    size_t queued_bytes;
    bool is_full; /* a write returned false */
    void (*writable)(void *context);
    void *writable_context;
};

/* Drop a hold; the last one ends the request. */
void request_release(struct http_request *request);

/* The client is away: tell who wants to know, in the next turn. */
void request_notify_gone(struct http_request *request);

/* Room for `needed` bytes of body. 0, or the status to answer. */
unsigned request_reserve_body(struct http_request *request, size_t needed);

/* Fill method, path and query from the head. 0, or the status to answer and *reason_out. */
unsigned request_read_head(struct http_request *request, const char **reason_out);

#endif
