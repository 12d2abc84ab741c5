/*
 * server_state - the inside of a server, shared with its connections and answers.
 */
#ifndef HTTP_SERVER_STATE_H
#define HTTP_SERVER_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "connection.h"
#include "http/gzip.h"
#include "http/server.h"
#include "platform/stream.h"

/* As struct http_statistics; written on the loop only. */
struct server_counters {
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_refused;
    _Atomic uint64_t connections_open;
    _Atomic uint64_t connections_failed;
    _Atomic uint64_t requests;
    _Atomic uint64_t requests_active;
    _Atomic uint64_t requests_malformed;
    _Atomic uint64_t timeouts_head;
    _Atomic uint64_t timeouts_body;
    _Atomic uint64_t timeouts_idle;
    _Atomic uint64_t timeouts_write;
    _Atomic uint64_t clients_gone;
    _Atomic uint64_t received_bytes;
    _Atomic uint64_t sent_bytes;
};

enum {
    DATE_BYTES = 32,
    /* A server that drains still takes what is on its way to it: closing a socket with unread
     * bytes, or a listener with clients in its queue, resets them. */
    LAST_MOMENT_MS = 100,
};

struct http_server {
    struct loop *loop;
    struct scheduler *scheduler;
    struct http_server_options options; /* defaults filled in */
    struct listener *listener;
    struct connection *connections;
    size_t connections_refused_open;
    size_t requests_open; /* not ended, their connection may be closed */
    struct server_counters counters;
    uint8_t *read_buffer; /* [HTTP_READ_BYTES], used within one callback */

    struct gzip_encoder *gzip; /* for small bodies; NULL until needed */
    uint64_t date_ms;          /* loop time at which `date` was made */
    char date[DATE_BYTES];

    bool is_draining;
    struct timer grace;
    struct timer last_moment;
    bool last_moment_over;
    void (*drained)(void *context);
    void *drained_context;
    struct task drained_task;
    bool drained_deferred;
};

static inline void server_count(_Atomic uint64_t *counter, uint64_t amount)
{
    /* One writer: no read-modify-write is needed. */
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + amount, memory_order_relaxed);
}

/* A connection or request has ended: perhaps the last one of a drain. */
void server_check_drained(struct http_server *server);

/* "Fri, 20 Nov 2026 23:18:03 GMT", made once a second. */
struct text server_date(struct http_server *server);

#endif
