/*
 * server - HTTP/1.1 for the API, one per loop, all with the same router.
 *
 *   http_budget, http_router                shared by the servers of all loops
 *   http_server_open on every loop          SO_REUSEPORT spreads the connections
 *   http_server_drain on every loop         then http_server_close
 *
 * One request of a connection is in work at a time; pipelined ones wait in the socket, so answers
 * are in order. A request reaches its handler with its body complete. Everything on the loop's
 * thread but for http_server_statistics.
 *
 * Answered here, in the words of `hooks.error_body`:
 *   400 malformed   404 no route   405 other methods (Allow)   408 too slow   413 body
 *   414 target   417 unknown Expect   431 headers   501 unknown transfer coding
 *   503 connections or body memory used up   505 version
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/request.h"
#include "http/router.h"
#include "platform/loop.h"

struct tls_context;
struct http_server;

/* What the servers of all loops may use together. Set the maxima, the rest to zero. */
struct http_budget {
    size_t connections_max;
    uint64_t body_bytes_max; /* of request bodies being received or handled */
    _Atomic size_t connections;
    _Atomic uint64_t body_bytes;
};

/* One finished request, for metrics and access logs. Texts live during the call. */
struct http_access {
    const char *route; /* pattern; NULL: none matched or malformed */
    struct text method;
    struct text path;
    struct text remote_address;
    unsigned status;
    uint64_t duration_ns;    /* from its first byte to the answer taken by the system */
    uint64_t request_bytes;  /* of the body */
    uint64_t response_bytes; /* head and body */
    bool client_gone;        /* before the answer was complete */
};

enum http_admission {
    HTTP_ADMITTED,
    HTTP_REFUSED, /* the hook has answered by http_respond */
    HTTP_HELD,    /* guards only: http_request_admit or an answer follows, whatever happens */
};

/*
 * Who may ask at all. Each may be NULL.
 *
 * `authenticate` runs when the head is complete and well formed, before anything else is said about
 * it: whether a path exists is for those who may ask. Nothing of the body is read while a request
 * is held, but for what came with the head.
 */
struct http_guard {
    void *context;
    enum http_admission (*authenticate)(void *context, struct http_request *request);
    /* As http_hooks.decorate, after it. */
    size_t (*decorate)(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity);
};

/* Each may be NULL. */
struct http_hooks {
    void *context;
    /*
     * The route is known and the head complete, the guard let it pass, the body is not read: the
     * place to shed load. No body, no form parameters here. Never HTTP_HELD.
     */
    enum http_admission (*admit)(void *context, struct http_request *request);
    /*
     * The body of an answer that the server itself gives, in memory of `arena`, with its
     * content type. Default: plain text.
     */
    struct text (*error_body)(void *context, unsigned status, const char *reason,
                              struct arena *arena, struct text *content_type_out);
    /*
     * Headers added to every answer (CORS). Returns how many of `headers` [capacity] it filled;
     * texts are static or in the request's arena.
     */
    size_t (*decorate)(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity);
    /* OPTIONS on a path, known or not, that no route takes: answer it. Default: 204, with Allow
     * when the path is known. */
    void (*preflight)(void *context, struct http_request *request);
    void (*finished)(void *context, const struct http_access *access);
};

/* 0 is the default given. */
struct http_server_options {
    const char *address;     /* as platform/stream.h has it */
    struct tls_context *tls; /* NULL: plain */
    const struct http_router *router;
    struct http_budget *budget;
    struct http_hooks hooks;
    struct http_guard guard;

    size_t target_bytes_max;   /* of the request target; 64 KiB; 414 */
    size_t header_bytes_max;   /* of all headers; 64 KiB; 431 */
    size_t header_count_max;   /* 128; 431 */
    uint64_t body_bytes_max;   /* 32 MiB; 413 */
    size_t arena_bytes_max;    /* 64 MiB */
    size_t queued_bytes_max;   /* of one answer; 256 KiB */
    size_t compress_bytes_min; /* smaller bodies are sent as they are; 1 KiB */

    uint64_t head_timeout_ms;  /* from the first byte to the last of the head; 10 s; 408 */
    uint64_t body_timeout_ms;  /* from the head to the end of the body; 60 s; 408 */
    uint64_t idle_timeout_ms;  /* between requests; 120 s */
    uint64_t write_timeout_ms; /* without the client reading anything; 60 s */
    uint64_t linger_ms;        /* after the last answer, for the client to close; 1 s */
};

/* Since the server was opened. */
struct http_statistics {
    uint64_t connections_accepted;
    uint64_t connections_refused; /* over the limit */
    uint64_t connections_open;    /* now */
    uint64_t connections_failed;  /* TLS refused or broken, network errors; not resets */
    uint64_t requests;            /* answered */
    uint64_t requests_active;     /* with a handler, now */
    uint64_t requests_malformed;
    uint64_t timeouts_head;
    uint64_t timeouts_body;
    uint64_t timeouts_idle;
    uint64_t timeouts_write;
    uint64_t clients_gone; /* before their answer was complete */
    uint64_t received_bytes;
    uint64_t sent_bytes;
};

/* Listen and serve. On the loop's owner. Errors: as listener_open. `options` is copied, what it
 * points to outlives the server. */
enum error_code http_server_open(struct loop *loop, const struct http_server_options *options,
                                 struct http_server **server_out, struct error *error);

uint16_t http_server_port(const struct http_server *server);

/*
 * Stop: from now on every answer says `Connection: close`; a tenth of a second later, so that what
 * clients have just sent is still answered, accept no more and close idle connections; cut what is
 * left after `grace_ms`. `drained` runs in a later turn, when no connection is left and every
 * request is answered; then call http_server_close. Once.
 */
void http_server_drain(struct http_server *server, uint64_t grace_ms,
                       void (*drained)(void *context), void *context);

/* After `drained`. NULL is fine. */
void http_server_close(struct http_server *server);

/* Any thread, as long as the server is open. */
void http_server_statistics(const struct http_server *server,
                            struct http_statistics *statistics_out);

#endif
