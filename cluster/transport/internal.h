/*
 * internal - the parts of a transport and how they hang together.
 *
 *   transport --- peers --- links (main: one a lane label; bulk) --- connection that stands,
 *                                                                    connection being dialed
 *
 * A connection belongs to its stream: it is freed by the stream's last callback.
 */
#ifndef TRANSPORT_INTERNAL_H
#define TRANSPORT_INTERNAL_H

#include "assembly.h"
#include "base/log.h"
#include "frame.h"
#include "outgoing.h"
#include "platform/network.h"
#include "transport/transport.h"

enum {
    TICK_MS = 250,
    PING_AFTER_MS = 1000,  /* without sending anything else */
    DOUBT_AFTER_MS = 2000, /* without receiving anything a new connection is as good */
    DEAD_AFTER_MS = 5000,  /* without receiving anything */
    CONNECT_TIMEOUT_MS = 3000,
    HELLO_TIMEOUT_MS = 5000,
    REFUSAL_LINGER_MS = 1000, /* for the other end to read why */
    GRACE_MS = 1000,          /* the greater name lets the lesser dial first */
    BACKOFF_MS_MIN = 100,
    BACKOFF_MS_MAX = 2000,

    /* With one more frame and what the system holds unsent (48 KiB and a segment of 64 KiB) this
     * is what a control frame waits behind: less than 256 KiB. */
    WINDOW_BYTES = 64 * 1024,
    SLOTS = 64,
    GREETINGS_MAX = 128, /* accepted, hello not read */
    INPUT_BYTES = 2 * FRAME_BYTES_MAX,
    EXCHANGE_BUCKETS = 64,
    REQUEST_WINDOW_BYTES = 256 * 1024,
    REQUEST_WINDOW_BYTES_MIN = FRAME_PAYLOAD_BYTES_MAX,
};

struct handler {
    union {
        transport_receive *receive;
        transport_serve *serve;
    };
    void *context;
};

struct transport {
    struct transport_options options;
    char name[TRANSPORT_NAME_BYTES_MAX + 1];
    char address[TRANSPORT_ADDRESS_BYTES_MAX + 1];
    struct scheduler *scheduler;
    struct network *network;
    struct network_listener *listener;
    struct handler receivers[TRANSPORT_KINDS_MAX];
    struct handler servers[TRANSPORT_KINDS_MAX];
    struct transport_peer *peers;
    struct connection *connections; /* all, until they are freed */
    struct timer tick;
    uint64_t last_tick_ms;
    uint64_t request_id_last;
    uint64_t strangers_refused;
    size_t greetings; /* of accepted connections */
    struct log_limit stranger_log;
    bool is_closing;
    uint64_t close_deadline_ms;
    struct task finish;
    bool is_finishing;
    size_t held; /* answers that handlers have not ended yet */
    void (*closed)(void *context);
    void *closed_context;
};

/* One connection that there should be, or may be, to a peer. */
struct link {
    struct link *next;
    struct transport_peer *peer;
    enum connection_kind kind;
    uint32_t lane; /* as it is named in the hello; this lane's own are dialed */
    struct connection *standing;
    struct connection *dialing;
    struct timer redial;
    uint64_t backoff_ms;
    struct transport_request *waiting; /* bulk: until it stands */
    struct log_limit log;
};

struct transport_peer {
    struct transport *transport;
    struct transport_peer *next;
    char name[TRANSPORT_NAME_BYTES_MAX + 1];
    char address[TRANSPORT_ADDRESS_BYTES_MAX + 1];
    uint64_t node_id;
    uint64_t incarnation;
    uint32_t lane_count;  /* 0: not known */
    bool has_own_address; /* as the owner said, not as the node itself does */
    struct link *links;
    struct channel_accounts accounts;
    bool was_refused[TRANSPORT_CLASSES]; /* `drained` is owed */
    bool is_connected;                   /* as was told */
    struct task notify;                  /* tells it */
    bool notify_deferred;
    bool is_removed; /* freed by the task */
    struct transport_peer_statistics statistics;
};

enum connection_state {
    CONNECTION_CONNECTING, /* dialed: no stream yet */
    CONNECTION_GREETING,   /* hello sent (dialed) or awaited (accepted) */
    CONNECTION_STANDING,
    CONNECTION_REFUSING, /* a refusal is on its way out */
    CONNECTION_CLOSING,  /* until the stream is gone */
};

/* A frame in the stream's hands. */
struct slot {
    struct connection *connection;
    struct slot *next; /* free ones */
    struct stream_write write;
    struct stream_vector vectors[3];
    struct shared_bytes *bytes;
    uint8_t header[FRAME_HEADER_BYTES];
    uint8_t head[REQUEST_HEAD_BYTES];
};

struct connection {
    struct transport *transport;
    struct connection *next, **link_in_list;
    struct network_stream *stream;
    struct link *link; /* dialed: from the start; accepted: when it stands. NULL: let go */
    struct transport_peer *peer; /* with whom it stood; NULL: gone */
    enum connection_state state;
    enum connection_kind kind;
    bool is_dialed;
    bool is_leaving;      /* we said goodbye */
    bool is_being_left;   /* the other side did */
    bool is_pumping;      /* the task is deferred */
    bool is_greeting;     /* counted as such */
    bool said_identity;   /* our hello had it */
    bool was_refused;     /* by the other side, which said so in its own words */
    uint64_t incarnation; /* of the other side, when it stands */
    uint64_t features;    /* that both have */
    uint64_t deadline_ms; /* of greeting, refusing, leaving */
    uint64_t sent_ms, received_ms, pinged_ms, used_ms;

    struct outgoing_queues queues;
    struct task pump;
    struct slot *free_slots;
    struct slot *slots; /* [SLOTS] */

    uint8_t *input; /* [INPUT_BYTES] */
    size_t input_bytes;
    struct assembly assemblies[TRANSPORT_CLASSES];

    struct transport_request *asked[EXCHANGE_BUCKETS];
    struct transport_answer *answers[EXCHANGE_BUCKETS];
    size_t asked_count, answer_count;
};

struct transport_answer {
    struct transport *transport;
    struct connection *connection; /* NULL: it is gone */
    struct transport_answer *next, **link;
    uint64_t id;
    enum transport_class class;
    const struct transport_answer_events *events;
    void *context;
    struct shared_bytes *pending;
    size_t position;
    uint64_t credit_bytes;
    struct outgoing turn;
    bool is_queued; /* the turn is */
    struct timer deadline;
    struct task notify;
    bool notify_deferred;
    bool owes_writable;
    bool owes_cancelled;
    bool is_ended; /* by the handler */
    bool is_cancelled;
    struct error end;
};

/* --- Time ---------------------------------------------------------------------------------- */

static inline uint64_t transport_now_ms(const struct transport *transport)
{
    return clock_monotonic_ms(transport->options.environment->clock);
}

static inline uint64_t transport_now_ns(const struct transport *transport)
{
    return clock_monotonic_ns(transport->options.environment->clock);
}

/* --- connection.c -------------------------------------------------------------------------- */

/* Dial for `link`. Errors: as of network_connect. */
enum error_code peer_connection_dial(struct link *link, struct error *error);
void peer_connection_accept(struct transport *transport, struct network_stream *stream);

/* Close now; everything on it is lost. */
void peer_connection_close(struct connection *connection, const struct error *error);

/* Say why, then close. */
void peer_connection_refuse(struct connection *connection, enum refusal reason, const char *text);

/* Say goodbye, close when nothing is open any more. */
void peer_connection_leave(struct connection *connection);
void peer_connection_close_if_done(struct connection *connection);

/* It stands or is over: no longer one of those whose hello is awaited. */
void peer_connection_greeted(struct connection *connection);

/* Pings and deadlines. */
void peer_connection_tick(struct connection *connection, uint64_t now_ms);

/* The other side does not keep to the protocol. */
void peer_connection_break(struct connection *connection, const struct error *error);

/* --- pump.c -------------------------------------------------------------------------------- */

/* The slots; false when memory is out. */
bool pump_create(struct connection *connection);
void pump_destroy(struct connection *connection);

/* Queue; the frames leave at the end of the turn. */
void peer_connection_push(struct connection *connection, struct outgoing *outgoing);
void peer_connection_pump_later(struct connection *connection);

/* A frame of the transport's own. When memory is out the connection is closed. */
void peer_connection_say(struct connection *connection, enum frame_type type,
                         enum transport_class class, uint64_t id, const void *bytes, size_t size);

/* Give one up that is in no queue any more: budgets, the memory. */
void peer_connection_drop(struct connection *connection, struct outgoing *outgoing);

/* --- greeting.c ---------------------------------------------------------------------------- */

void greeting_send(struct connection *connection);

/* Either side's hello. */
void greeting_take(struct connection *connection, const struct frame *frame);
void greeting_refused(struct connection *connection, const struct frame *frame);
void greeting_identity(struct connection *connection, const struct frame *frame);

/* --- peer.c -------------------------------------------------------------------------------- */

struct transport_peer *peer_create(struct transport *transport, struct text name);

/* NULL when memory is out. */
struct link *peer_link(struct transport_peer *peer, enum connection_kind kind, uint32_t lane);

/* The main connection, rather the one named `lane`; NULL: not connected. */
struct connection *peer_main(struct transport_peer *peer, uint32_t lane);
struct connection *peer_bulk(struct transport_peer *peer);

/* Begin to dial, if it is this side's to do, `delay_ms` from now. */
void link_dial_later(struct link *link, uint64_t delay_ms);

/* Whether `connection`, from a hello just read, may take the place of what the link has. */
bool link_prefers(const struct link *link, const struct connection *connection);
void link_stand(struct link *link, struct connection *connection);

/* The connection is closing. */
void link_lost(struct link *link, struct connection *connection, const struct error *error);

/* Tell the owner what changed. */
void peer_notify(struct transport_peer *peer);
void peer_destroy(struct transport_peer *peer);

/* --- request.c ----------------------------------------------------------------------------- */

/* Those that wait for a bulk connection. */
void requests_start(struct link *link);
void requests_fail(struct link *link, const struct error *error);

/* Of a connection that closes. */
void requests_lost(struct connection *connection, const struct error *error);
void request_piece(struct connection *connection, const struct frame *frame);
void request_end(struct connection *connection, const struct frame *frame);

/* Its body was sent, or never will be. */
void request_detach(struct outgoing *outgoing);

/* --- answer.c ------------------------------------------------------------------------------ */

void answer_serve(struct connection *connection, const struct frame *frame,
                  const struct assembled *assembled);
void answer_credit(struct connection *connection, const struct frame *frame);
void answer_cancel(struct connection *connection, uint64_t id);
void answers_lost(struct connection *connection);

/* The next piece, at most a frame: where it is and its size. After answer_sent the turn is over. */
size_t answer_next(const struct transport_answer *answer);
void answer_sent(struct transport_answer *answer, size_t size);

/* --- transport.c --------------------------------------------------------------------------- */

/* A connection was freed, or an answer. */
void transport_check_closed(struct transport *transport);
void transport_deliver(struct connection *connection, const struct frame *frame,
                       const struct assembled *assembled);

#endif
