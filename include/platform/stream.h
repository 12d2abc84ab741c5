/*
 * stream - byte streams on a loop, plain TCP or TLS behind one face.
 *
 * A listener hands each connection to its owner as a `struct stream`, at once: a TLS handshake
 * runs behind it, and what is written meanwhile waits. Reads go straight into memory that the
 * owner names (decrypted there with TLS). Writes are the owner's until their callback; those of
 * one turn leave in one system call. All on the loop's thread; no callback runs inside the call
 * that causes it.
 *
 *   accepted -> reading <-> paused -> ended (peer sent its last byte) -> ...
 *                  \-> failed (reset, TLS error)                         |
 *   stream_close at any time  ->  pending writes done(CLOSED)  ->  closed, the last callback
 */
#ifndef PLATFORM_STREAM_H
#define PLATFORM_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "platform/loop.h"

struct tls_context;
struct listener;
struct stream;

/* --- Streams ----------------------------------------------------------------------------- */

enum { STREAM_ADDRESS_MAX = 64 };

/* The owner's callbacks, given when the stream is accepted; `context` is the owner's. */
struct stream_events {
    /* Where the next bytes go: *target_out has *size_out > 0 bytes of room, stable until
     * `received` or the next `allocate`. Both start as NULL and 0; left so, reading pauses
     * (stream_resume continues). */
    void (*allocate)(void *context, uint8_t **target_out, size_t *size_out);
    /* `size` > 0 bytes are at the target named last. */
    void (*received)(void *context, size_t size);
    /* The peer will send no more; it may still read. */
    void (*ended)(void *context);
    /* Nothing works any more: close it. Not called after stream_close. */
    void (*failed)(void *context, const struct error *error);
    /* After stream_close and the last `done`: the stream is gone. */
    void (*closed)(void *context);
    /* An outgoing connection stands, TLS included; before any `received`. NULL: nobody asks. */
    void (*connected)(void *context);
    /* The system took bytes: stream_queued_bytes is less than it was. NULL: nobody asks. */
    void (*sent)(void *context);
};

struct stream_vector {
    const void *bytes;
    size_t size;
};

enum { STREAM_VECTORS_MAX = 8 };

struct stream_write {
    const struct stream_vector *vectors; /* [vector_count], stable until `done`, with their bytes */
    size_t vector_count;                 /* at most STREAM_VECTORS_MAX */
    /* All bytes were taken by the system (with TLS: encrypted), or an error (CLOSED, IO). Not a
     * promise of arrival. */
    void (*done)(struct stream_write *write, const struct error *error);
    struct stream_write *next; /* the stream's */
    size_t vector_position;    /* the stream's */
    size_t byte_position;      /* the stream's */
};

/* Reading starts in the next turn. Once, from inside `accepted`. */
void stream_begin(struct stream *stream, const struct stream_events *events, void *context);

void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

/* In order. */
void stream_write(struct stream *stream, struct stream_write *write);

/* After the writes queued so far, tell the peer that nothing follows (TLS close_notify, FIN).
 * Reading goes on. No write afterwards. */
void stream_shutdown(struct stream *stream);

/* Close now; writes not done fail with CLOSED. Once. */
void stream_close(struct stream *stream);

/* "192.0.2.1:4711", "[2001:db8::1]:4711"; lives as long as the stream. */
struct text stream_remote_address(const struct stream *stream);

/* Bytes accepted by stream_write and not yet done. */
size_t stream_queued_bytes(const struct stream *stream);

/* Bytes of stream_write that have left so far: tells a stalled peer from a slow one. */
uint64_t stream_sent_bytes(const struct stream *stream);

bool stream_is_encrypted(const struct stream *stream);

/*
 * A stream over a connected socket, which is the stream's from now on, also on failure. It is the
 * client's side when it was connected here (`connected` is called then).
 * Errors: IO, OUT_OF_MEMORY.
 */
enum stream_side { STREAM_SERVER, STREAM_CLIENT };

struct stream_socket {
    int descriptor;
    enum stream_side side;
    struct tls_context *tls;           /* NULL: plain; outlives the stream */
    uint64_t tls_handshake_timeout_ms; /* 0: 10 s */
    int unsent_bytes_max;              /* in the system, roughly; 0: as many as it likes */
};

enum error_code stream_adopt(struct loop *loop, const struct stream_socket *socket,
                             struct stream **stream_out, struct error *error);

/* The socket leaves the stream, which must not have written and is then only to be closed; a
 * connection whose first bytes say which loop it belongs to. Errors: IO, LIMIT. */
enum error_code stream_release(struct stream *stream, int *descriptor_out, struct error *error);

/* --- Listeners --------------------------------------------------------------------------- */

struct listener_options {
    const char *address;               /* "127.0.0.1:9009", "[::1]:9009", "host:9009",
                                        * ":9009" (all addresses); port 0: any free one */
    int backlog;                       /* 0: 1024 */
    struct tls_context *tls;           /* NULL: plain; outlives the listener */
    uint64_t tls_handshake_timeout_ms; /* 0: 10 s */
    /* A connection: call stream_begin, or stream_close to refuse it. */
    void (*accepted)(void *context, struct stream *stream);
    void *context;
};

/*
 * Several loops may listen on one address (SO_REUSEPORT); the system spreads connections over
 * them. Resolves names, so it may block: for start-up. On the loop's owner.
 * Errors: INVALID (address), IO (in use, not permitted), OUT_OF_MEMORY; they name the address.
 */
enum error_code listener_open(struct loop *loop, const struct listener_options *options,
                              struct listener **listener_out, struct error *error);

/*
 * Whether nobody listens on the address, in any process. SO_REUSEPORT lets a second process of the
 * same user in without a word, so a program asks before it opens its first listener.
 * Errors: as of listener_open.
 */
enum error_code listener_check_free(const char *address, struct error *error);

/* Accept no more; accepted streams live on, who waits to be accepted is reset. NULL is fine. */
void listener_close(struct listener *listener);

/* Accept who waits, then close. NULL is fine. */
void listener_finish(struct listener *listener);

/* The port in use, host byte order. */
uint16_t listener_port(const struct listener *listener);

#endif
