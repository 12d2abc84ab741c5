/*
 * connection - one client: reads requests, keeps their order, watches the time.
 *
 *            first byte        head          message          answered
 *     IDLE ------------> HEAD ------> BODY ----------> HANDLING ------> IDLE, or FULL while too
 *      ^                               | answered early                 much is unsent
 *      |                               v
 *      +------------------------------ SKIP (the rest of the body is passed over)
 *
 *     HEAD -> GUARD -> BODY, or SKIP: while the guard finds out who asks, nothing is parsed.
 *     any -> LAST: nothing more is read, what is queued is sent, then the client is given a
 *     moment to close first, so that our closing does not destroy the answer on its way.
 *
 * Owned by its server; on the server's loop.
 */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message_parser.h"
#include "platform/stream.h"
#include "request_state.h"

enum connection_phase {
    PHASE_IDLE,
    PHASE_HEAD,
    PHASE_GUARD,
    PHASE_BODY,
    PHASE_SKIP,
    PHASE_HANDLING,
    PHASE_FULL,
    PHASE_LAST,
};

/* Where the bytes being read go. */
enum read_target { READ_SHARED, READ_BODY, READ_PENDING };

struct connection {
    struct http_server *server;
    struct stream *stream;
    struct message_parser *parser;
    struct connection *next; /* the server's list */
    struct connection **link;

    enum connection_phase phase;
    struct http_request *active; /* begun and not answered */
    enum read_target target;
    unsigned body_failure; /* status to answer instead of handling; 0: none */
    uint8_t *pending;      /* [HTTP_READ_BYTES] bytes of requests after the active one */
    size_t pending_size;
    struct task resume; /* parse what is pending */
    bool resume_deferred;
    bool is_feeding; /* inside the parser's loop */

    struct timer timer;
    uint64_t deadline_ms; /* of the phase; UINT64_MAX: none */
    uint64_t progress_bytes;
    uint64_t progress_ms; /* when the client last took something */

    bool is_fresh;   /* it had no request yet */
    bool is_ended;   /* the client sends no more */
    bool is_closing; /* stream_close was called */
    bool is_refused; /* over the limit */
};

enum { HTTP_READ_BYTES = 16 * 1024 };

/* Takes over the stream; when memory is out it is closed. */
void connection_open(struct http_server *server, struct stream *stream);

/* Over the limit: says so and closes. */
void connection_refuse(struct http_server *server, struct stream *stream);

/* Close at once; an active request learns that its client is gone. */
void connection_close(struct connection *connection);

/* The server drains: close when idle. Who has just connected may still ask one thing. */
void connection_drain(struct connection *connection);

/* Change the phase; its deadline is `timeout_ms` from now, UINT64_MAX: never. */
void connection_enter(struct connection *connection, enum connection_phase phase,
                      uint64_t timeout_ms);

/* Read and answer nothing more; the client may close first. */
void connection_finish(struct connection *connection);

/* The message before is over: the next may begin, when not too much of the answers is unsent. */
void connection_next_request(struct connection *connection);

/* Whether a next request may follow an answer that is being made now. */
bool connection_can_continue(const struct connection *connection,
                             const struct http_request *request);

/* The answer of the active request is complete and queued. */
void connection_answered(struct connection *connection, struct http_request *request);

/* Send; `write` as stream_write has it. */
void connection_queue(struct connection *connection, struct stream_write *write);

/* Something queued was sent. */
void connection_sent(struct connection *connection);

/* Look at the deadlines again, after something was queued. */
void connection_arm(struct connection *connection);

#endif
