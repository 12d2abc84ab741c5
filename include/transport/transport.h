/*
 * transport - what nodes say to each other: messages and requests over one connection a peer and
 * lane, and a second one for files.
 *
 * One transport a loop, its lane; all on the loop's thread. Peers are named; each lane of a node
 * keeps one main connection to each peer by itself, whoever of the two can reach the other. On it
 * four classes share the way: CONTROL goes first and never waits behind more than 256 KiB; the
 * others take turns. A peer that is slow costs the bytes of its budgets and no more: what does not
 * fit is refused at once.
 *
 *     message    one way, in order within class and connection, at most once, lost with it
 *     request    ends exactly once: with success after any number of pieces, or with an error
 *
 * Callbacks never run inside the call that causes them. Bytes on the wire:
 * docs/protocols/transport.md.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/shared_bytes.h"
#include "base/text.h"
#include "platform/environment.h"

struct transport;
struct transport_peer;
struct transport_answer;

enum {
    TRANSPORT_CLUSTER_ID_BYTES = 16,
    TRANSPORT_NAME_BYTES_MAX = 63,
    TRANSPORT_ADDRESS_BYTES_MAX = 255,
    TRANSPORT_KINDS_MAX = 64,              /* kinds of messages, and of requests */
    TRANSPORT_FRAME_BYTES_MAX = 64 * 1024, /* of payload */
    TRANSPORT_MESSAGE_BYTES_MAX = 64 * 1024 * 1024,
};

/* The order is that of importance; its numbers are on the wire. */
enum transport_class {
    TRANSPORT_CONTROL, /* votes, heartbeats: at most one frame each */
    TRANSPORT_APPEND,  /* entries of logs */
    TRANSPORT_REQUEST, /* writes, sub-queries and their answers */
    TRANSPORT_FILE,    /* on the connection for files only: requests and their answers */
    TRANSPORT_CLASSES
};

/* --- Life ---------------------------------------------------------------------------------- */

/* Whom the node says it is. Zeroes are "not yet": such a node may talk to any cluster. */
struct transport_identity {
    uint8_t cluster_id[TRANSPORT_CLUSTER_ID_BYTES];
    uint64_t node_id;
};

/* Who knocks. */
struct transport_stranger {
    struct text name;
    struct text address; /* where it listens; may be empty */
    uint64_t node_id;
    uint64_t incarnation;
    bool is_joining; /* it has no cluster id */
};

/* Each may be NULL. */
struct transport_events {
    /* The first main connection to a peer stands; the last one is gone. */
    void (*connected)(void *context, struct transport_peer *peer);
    void (*disconnected)(void *context, struct transport_peer *peer);
    /* A message of this class was refused for the budget, and half of it is free again. */
    void (*drained)(void *context, struct transport_peer *peer, enum transport_class class);
    /* Whether a node nobody told us of may connect; it becomes a peer. NULL: none may. */
    bool (*admit)(void *context, const struct transport_stranger *stranger);
};

/* Strings are copied. A number that is 0 stands for the default. */
struct transport_options {
    struct environment *environment; /* scheduler, clock, random, network; outlives it */
    const char *name;
    const char *listen_address;    /* NULL: only connect to others */
    const char *advertise_address; /* where others find this node; NULL: nowhere */
    uint32_t lane;                 /* < lane_count */
    uint32_t lane_count;           /* of this node, at most NETWORK_LANES_MAX */
    uint64_t incarnation;          /* another one each time the process starts; the same in all
                                    * lanes */
    struct transport_identity identity;
    uint64_t queued_bytes_max[TRANSPORT_CLASSES]; /* for one peer: 1, 16, 32, 8 MiB */
    uint64_t channel_bytes_max;                   /* for one peer: 4 MiB */
    uint32_t message_bytes_max;                   /* TRANSPORT_MESSAGE_BYTES_MAX, the most */
    uint32_t answers_max;                         /* of one connection at once: 1024 */
    uint64_t bulk_idle_ms;                        /* then it is closed: 30 s */
    uint16_t version_min, version_max;            /* what it speaks; others for tests of upgrades */
    const struct transport_events *events;
    void *context;
};

/* Errors: INVALID (name, address), IO (address in use), OUT_OF_MEMORY. */
enum error_code transport_open(const struct transport_options *options,
                               struct transport **transport_out, struct error *error);

/* The port it listens on. */
uint16_t transport_port(const struct transport *transport);

/*
 * Tell the peers, let what was asked be answered for up to `patience_ms` (0: close now), close. No
 * new requests either way meanwhile. Then `closed`, and the transport is gone.
 */
void transport_close(struct transport *transport, uint64_t patience_ms,
                     void (*closed)(void *context), void *context);

/* From now on, also on connections that stand. A cluster id never changes again. */
void transport_set_identity(struct transport *transport, const struct transport_identity *identity);

/* --- Peers --------------------------------------------------------------------------------- */

/*
 * Keep connected to a node. `address` is resolved anew each time; empty: wait for it to come. A
 * peer that is known already gets the address. It is the transport's until it is removed.
 * Errors: INVALID (name, address, the node itself), OUT_OF_MEMORY.
 */
enum error_code transport_add_peer(struct transport *transport, const char *name,
                                   const char *address, struct transport_peer **peer_out,
                                   struct error *error);

/* Its connections are closed, its requests end. It is gone when the call returns, without
 * `disconnected`. */
void transport_remove_peer(struct transport_peer *peer);

/* NULL when there is none. */
struct transport_peer *transport_find_name(struct transport *transport, struct text name);
struct transport_peer *transport_find_node(struct transport *transport, uint64_t node_id);

struct text transport_peer_name(const struct transport_peer *peer);
struct text transport_peer_address(const struct transport_peer *peer);
uint64_t transport_peer_node_id(const struct transport_peer *peer); /* 0: not known */
uint64_t transport_peer_incarnation(const struct transport_peer *peer);
bool transport_peer_is_connected(const struct transport_peer *peer);

/* --- Messages ------------------------------------------------------------------------------ */

/* What a message is about: one group's log, say. */
struct transport_channel {
    uint16_t kind; /* < TRANSPORT_KINDS_MAX: who receives it */
    uint64_t id;
};

struct transport_message {
    struct transport_peer *peer;
    struct transport_channel channel;
    enum transport_class class;
    const uint8_t *bytes; /* [size], until the callback returns */
    size_t size;
    struct shared_bytes *whole; /* where the bytes are, to take a reference; NULL: copy them */
};

typedef void transport_receive(void *context, const struct transport_message *message);

/* Once for each kind, before the first connection. */
void transport_on_message(struct transport *transport, uint16_t kind, transport_receive *receive,
                          void *context);

/*
 * Send `bytes` (a reference is taken, if it is sent). False: not connected, or no room in the
 * budget of the class or the channel; an empty queue takes any message. CONTROL takes one frame.
 */
bool transport_send(struct transport_peer *peer, enum transport_class class,
                    struct transport_channel channel, struct shared_bytes *bytes);

/* --- Requests: asking ---------------------------------------------------------------------- */

/* The caller's memory until `done`. */
struct transport_request {
    uint16_t kind;
    enum transport_class class; /* REQUEST or FILE */
    struct shared_bytes *body;  /* NULL: none; a reference is taken, and gone at the end */
    uint64_t timeout_ms;        /* > 0 */
    uint32_t window_bytes;      /* pieces on their way or not consumed; 0: 256 KiB, at least
                                 * 64 KiB */
    /* A piece of the answer, its bytes until the callback returns. */
    void (*piece)(struct transport_request *request, const uint8_t *bytes, size_t size);
    /* The end, exactly once: NONE, what the other side says, UNAVAILABLE (not connected, budget),
     * TIMEOUT, CANCELED, CLOSED (the connection; it may have been served). */
    void (*done)(struct transport_request *request, const struct error *error);

    /* The transport's. */
    struct transport_peer *peer;
    struct connection *connection;
    struct outgoing *outgoing; /* while some of the body is not sent */
    struct transport_request *next, **link;
    struct timer timer;
    struct task finish;
    struct error error;
    uint64_t id;
    uint64_t deadline_ms;
    uint32_t consumed_bytes;
    uint64_t unconsumed_bytes;
    bool is_over;
};

/* Whatever happens, `done` will tell. */
void transport_ask(struct transport_peer *peer, struct transport_request *request);

/* Room for `size` more bytes of pieces, which were taken or thrown away. */
void transport_consume(struct transport_request *request, size_t size);

/* `done` follows with CANCELED; no piece does. Not after `done`. */
void transport_cancel(struct transport_request *request);

/* --- Requests: answering ------------------------------------------------------------------- */

struct transport_question {
    struct transport_peer *peer;
    uint16_t kind;
    enum transport_class class;
    const uint8_t *body; /* [size], until the callback returns */
    size_t size;
    struct shared_bytes *whole; /* to take a reference; NULL: copy */
    uint64_t timeout_ms;        /* what is left of it */
};

/* Both may be NULL. */
struct transport_answer_events {
    /* What was written last has been taken: write on. */
    void (*writable)(void *context, struct transport_answer *answer);
    /* Nobody waits any more: asker, deadline or connection. No other callback follows; end it. */
    void (*cancelled)(void *context, struct transport_answer *answer);
};

/* Answer now or later: transport_answer_end releases the answer, always. */
typedef void transport_serve(void *context, struct transport_answer *answer,
                             const struct transport_question *question);

/* Once for each kind, before the first connection. Others are answered UNSUPPORTED. NULL: no more
 * of them, from now on; answers that were begun are still to be ended. */
void transport_on_request(struct transport *transport, uint16_t kind, transport_serve *serve,
                          void *context);

/* From inside the handler, if it does not end it there. */
void transport_answer_begin(struct transport_answer *answer,
                            const struct transport_answer_events *events, void *context);

/* Send `bytes`, of any size, as fast as the asker takes them (a reference is taken). One at a time:
 * wait for `writable` before the next. */
void transport_answer_write(struct transport_answer *answer, struct shared_bytes *bytes);

/* After what was written. `error` is told to the asker; NULL or NONE: success. The answer is gone
 * for the caller. */
void transport_answer_end(struct transport_answer *answer, const struct error *error);

/* --- Looking ------------------------------------------------------------------------------- */

enum transport_drop {
    TRANSPORT_DROP_DISCONNECTED, /* sent while there was no connection */
    TRANSPORT_DROP_BUDGET,       /* refused for class or channel */
    TRANSPORT_DROP_LOST,         /* queued when the connection went */
    TRANSPORT_DROP_UNKNOWN_KIND, /* received, nobody for it */
    TRANSPORT_DROPS
};

struct transport_peer_statistics {
    uint64_t connects;    /* that came to stand */
    uint64_t disconnects; /* of these */
    uint64_t refusals;    /* by either side */
    uint64_t failures;    /* to connect */
    uint64_t sent_messages[TRANSPORT_CLASSES], sent_bytes[TRANSPORT_CLASSES];
    uint64_t received_messages[TRANSPORT_CLASSES], received_bytes[TRANSPORT_CLASSES];
    uint64_t dropped_messages[TRANSPORT_DROPS];
    uint64_t queued_bytes[TRANSPORT_CLASSES]; /* now */
    uint64_t requests_asked, requests_answered, requests_cancelled;
    uint64_t round_trip_ns; /* of the latest ping; 0: none yet */
};

typedef void transport_visit(void *context, const struct transport_peer *peer,
                             const struct transport_peer_statistics *statistics);

/* Each peer, on the loop. */
void transport_visit_peers(struct transport *transport, transport_visit *visit, void *context);

/* Connections of nodes that never became peers and were refused. */
uint64_t transport_strangers_refused(const struct transport *transport);

#endif
