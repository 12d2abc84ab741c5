/*
 * network - byte streams between nodes: a seam, so that the transport runs over sockets
 * (platform/network_system.h) and over a simulated network alike.
 *
 * A node has one `struct network` a loop; their streams live on that loop. Every connection names
 * the lane it is for: the accepting node hands it to the loop that owns the lane (lane modulo its
 * number of lanes), so both ends find it where the groups of that lane are.
 *
 * Streams have the events and writes of platform/stream.h, with the same rules: no callback runs
 * inside the call that causes it, `closed` is the last.
 *
 *   connect -> begin -> connected -> reading ... close -> closed
 *                 \-> failed (no such name, refused, timeout, TLS)
 *   accepted -> begin -> reading ...
 */
#ifndef PLATFORM_NETWORK_H
#define PLATFORM_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "platform/stream.h"

struct network;
struct network_listener;
struct network_stream;

enum { NETWORK_LANES_MAX = 1024 };

struct network_target {
    const char
        *address;  /* "host:port", "[::1]:port"; the name is resolved anew each time; copied */
    uint32_t lane; /* at the other node modulo its number of lanes; < NETWORK_LANES_MAX */
    uint64_t timeout_ms; /* for name, connection and TLS together; 0: 5 s */
};

struct network_listen_options {
    const char *address; /* as of listener_open */
    /* A connection for this loop's lane: begin it, or close it to refuse it. */
    void (*accepted)(void *context, struct network_stream *stream);
    void *context;
};

struct network_stream_operations {
    void (*begin)(struct network_stream *self, const struct stream_events *events, void *context);
    void (*write)(struct network_stream *self, struct stream_write *write);
    void (*pause)(struct network_stream *self);
    void (*resume)(struct network_stream *self);
    void (*close)(struct network_stream *self);
    size_t (*queued_bytes)(const struct network_stream *self);
    struct text (*remote_address)(const struct network_stream *self);
};

struct network_stream {
    const struct network_stream_operations *operations;
};

struct network_operations {
    enum error_code (*connect)(struct network *self, const struct network_target *target,
                               struct network_stream **stream_out, struct error *error);
    enum error_code (*listen)(struct network *self, const struct network_listen_options *options,
                              struct network_listener **listener_out, struct error *error);
    void (*listener_close)(struct network *self, struct network_listener *listener);
    uint16_t (*listener_port)(struct network *self, const struct network_listener *listener);
};

struct network {
    const struct network_operations *operations;
};

/* --- Connections --------------------------------------------------------------------------- */

/*
 * Begin to connect. Whatever goes wrong later, a name that does not exist included, is `failed`.
 * Call network_stream_begin at once, write when `connected` came.
 * Errors: INVALID (not host:port), OUT_OF_MEMORY, IO.
 */
static inline enum error_code network_connect(struct network *self,
                                              const struct network_target *target,
                                              struct network_stream **stream_out,
                                              struct error *error)
{
    return self->operations->connect(self, target, stream_out, error);
}

/*
 * Take connections for this loop's lane. Each lane of a node listens on the same address; who
 * accepts a connection of another lane hands it over. Resolves names: for start-up.
 * Errors: as of listener_open.
 */
static inline enum error_code network_listen(struct network *self,
                                             const struct network_listen_options *options,
                                             struct network_listener **listener_out,
                                             struct error *error)
{
    return self->operations->listen(self, options, listener_out, error);
}

/* No `accepted` afterwards; accepted streams live on. NULL is fine. */
static inline void network_listener_close(struct network *self, struct network_listener *listener)
{
    if (listener != NULL)
        self->operations->listener_close(self, listener);
}

static inline uint16_t network_listener_port(struct network *self,
                                             const struct network_listener *listener)
{
    return self->operations->listener_port(self, listener);
}

/* --- Streams ------------------------------------------------------------------------------- */

/* Once, before anything else but close. */
static inline void network_stream_begin(struct network_stream *self,
                                        const struct stream_events *events, void *context)
{
    self->operations->begin(self, events, context);
}

/* In order. An outgoing stream takes writes after `connected`. */
static inline void network_stream_write(struct network_stream *self, struct stream_write *write)
{
    self->operations->write(self, write);
}

static inline void network_stream_pause(struct network_stream *self)
{
    self->operations->pause(self);
}

static inline void network_stream_resume(struct network_stream *self)
{
    self->operations->resume(self);
}

/* Close now; writes not done fail with CLOSED. Once. */
static inline void network_stream_close(struct network_stream *self)
{
    self->operations->close(self);
}

/* Bytes of writes (with TLS: as they were encrypted) that the system did not take yet. */
static inline size_t network_stream_queued_bytes(const struct network_stream *self)
{
    return self->operations->queued_bytes(self);
}

/* Of the other end, "unknown" while connecting; lives as long as the stream. */
static inline struct text network_stream_remote_address(const struct network_stream *self)
{
    return self->operations->remote_address(self);
}

#endif
