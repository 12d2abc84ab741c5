#include "platform/network_system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "connector.h"
#include "network_lanes.h"
#include "platform/tls.h"

/* --- Constants and types ------------------------------------------------------------------- */

enum {
    CONNECT_TIMEOUT_MS_DEFAULT = 5000,
    PREAMBLE_TIMEOUT_MS = 5000,
    ARRIVALS_MAX = 256, /* accepted, lane not known yet */
    /* What waits in the system in front of a heartbeat. It looks before each segment, so that there
     * may be 64 KiB more. */
    UNSENT_BYTES_MAX = 48 * 1024,
};

struct network_system {
    struct network base;
    struct loop *loop;
    struct network_lanes *lanes;
    uint32_t lane;
    struct tls_context *tls;
    struct network_listener *listener; /* NULL: none */
    struct arrival *arrivals;
    size_t arrival_count;
    struct task finish;
    bool is_closed;
    bool is_finished; /* the task of closing has run */
    void (*closed)(void *context);
    void *context;
};

struct network_listener {
    struct listener *listener;
    void (*accepted)(void *context, struct network_stream *stream);
    void *context;
};

/* A stream over a connector, then over a stream. */
struct system_stream {
    struct network_stream base;
    struct network_system *network;
    struct connector *connector; /* while connecting */
    struct stream *stream;       /* afterwards */
    const struct stream_events *events;
    void *context;
    struct task finish; /* closes what never had a stream */
    uint64_t deadline_ms;
    uint32_t lane;
    bool is_closing;
};

static struct system_stream *stream_of(struct network_stream *self)
{
    return (struct system_stream *)self;
}

static struct network_system *system_of(struct network *self)
{
    return (struct network_system *)self;
}

/* --- Events, handed on --------------------------------------------------------------------- */

static void on_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct system_stream *stream = context;
    stream->events->allocate(stream->context, target_out, size_out);
}

static void on_received(void *context, size_t size)
{
    struct system_stream *stream = context;
    stream->events->received(stream->context, size);
}

static void on_ended(void *context)
{
    struct system_stream *stream = context;
    stream->events->ended(stream->context);
}

static void on_failed(void *context, const struct error *error)
{
    struct system_stream *stream = context;
    stream->events->failed(stream->context, error);
}

static void on_closed(void *context)
{
    struct system_stream *stream = context;
    if (stream->events != NULL)
        stream->events->closed(stream->context);
    free(stream);
}

static void on_connected(void *context)
{
    struct system_stream *stream = context;
    if (stream->events->connected != NULL)
        stream->events->connected(stream->context);
}

static void on_sent(void *context)
{
    struct system_stream *stream = context;
    if (stream->events->sent != NULL)
        stream->events->sent(stream->context);
}

static const struct stream_events EVENTS = {
    .allocate = on_allocate,
    .received = on_received,
    .ended = on_ended,
    .failed = on_failed,
    .closed = on_closed,
    .connected = on_connected,
    .sent = on_sent,
};

/* --- Streams ------------------------------------------------------------------------------- */

static void stream_run_finish(struct task *task)
{
    on_closed((char *)task - offsetof(struct system_stream, finish));
}

static void system_stream_begin(struct network_stream *self, const struct stream_events *events,
                                void *context)
{
    struct system_stream *stream = stream_of(self);
    assert(stream->events == NULL && !stream->is_closing);
    stream->events = events;
    stream->context = context;
    if (stream->stream != NULL)
        stream_begin(stream->stream, &EVENTS, stream);
}

static void system_stream_write(struct network_stream *self, struct stream_write *write)
{
    assert(stream_of(self)->stream != NULL);
    stream_write(stream_of(self)->stream, write);
}

static void system_stream_pause(struct network_stream *self)
{
    assert(stream_of(self)->stream != NULL);
    stream_pause(stream_of(self)->stream);
}

static void system_stream_resume(struct network_stream *self)
{
    assert(stream_of(self)->stream != NULL);
    stream_resume(stream_of(self)->stream);
}

static void system_stream_close(struct network_stream *self)
{
    struct system_stream *stream = stream_of(self);
    assert(!stream->is_closing);
    stream->is_closing = true;
    if (stream->connector != NULL)
        connector_cancel(stream->connector);
    stream->connector = NULL;
    if (stream->stream != NULL && stream->events == NULL)
        stream_begin(stream->stream, &EVENTS, stream); /* for `closed` */
    if (stream->stream != NULL)
        stream_close(stream->stream);
    else
        scheduler_defer(loop_scheduler(stream->network->loop), &stream->finish);
}

static size_t system_stream_queued_bytes(const struct network_stream *self)
{
    const struct system_stream *stream = (const struct system_stream *)self;
    return stream->stream == NULL ? 0 : stream_queued_bytes(stream->stream);
}

static struct text system_stream_remote_address(const struct network_stream *self)
{
    const struct system_stream *stream = (const struct system_stream *)self;
    return stream->stream == NULL ? TEXT("unknown") : stream_remote_address(stream->stream);
}

static const struct network_stream_operations STREAM_OPERATIONS = {
    .begin = system_stream_begin,
    .write = system_stream_write,
    .pause = system_stream_pause,
    .resume = system_stream_resume,
    .close = system_stream_close,
    .queued_bytes = system_stream_queued_bytes,
    .remote_address = system_stream_remote_address,
};

static struct system_stream *stream_create(struct network_system *network)
{
    struct system_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->base.operations = &STREAM_OPERATIONS;
    stream->network = network;
    stream->finish.run = stream_run_finish;
    return stream;
}

/* --- Connecting ---------------------------------------------------------------------------- */

static uint64_t steady_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* The socket is new: its buffer takes the few bytes. */
static enum error_code send_preamble(int descriptor, uint32_t lane, struct error *error)
{
    uint8_t preamble[PREAMBLE_BYTES];
    preamble_encode(preamble, lane);
    if (send(descriptor, preamble, sizeof preamble, MSG_NOSIGNAL) != sizeof preamble)
        return error_set(error, ERROR_IO, "connect: the preamble was not taken");
    return ERROR_NONE;
}

static void on_connect_done(void *context, int descriptor, const struct error *failure)
{
    struct system_stream *stream = context;
    stream->connector = NULL;
    if (descriptor < 0) {
        stream->events->failed(stream->context, failure);
        return;
    }
    struct error error;
    uint64_t now = steady_ms();
    struct stream_socket socket = {
        .descriptor = descriptor,
        .side = STREAM_CLIENT,
        .tls = stream->network->tls,
        .tls_handshake_timeout_ms = stream->deadline_ms > now ? stream->deadline_ms - now : 1,
        .unsent_bytes_max = UNSENT_BYTES_MAX,
    };
    enum error_code code = send_preamble(descriptor, stream->lane, &error);
    if (code != ERROR_NONE)
        close(descriptor);
    else
        code = stream_adopt(stream->network->loop, &socket, &stream->stream, &error);
    if (code != ERROR_NONE)
        stream->events->failed(stream->context, &error);
    else
        stream_begin(stream->stream, &EVENTS, stream);
}

static enum error_code system_connect(struct network *self, const struct network_target *target,
                                      struct network_stream **stream_out, struct error *error)
{
    struct network_system *network = system_of(self);
    assert(scheduler_on_loop(loop_scheduler(network->loop)) && !network->is_closed);
    assert(target->lane < NETWORK_LANES_MAX);
    struct system_stream *stream = stream_create(network);
    if (stream == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "connect: out of memory");
    uint64_t timeout_ms = target->timeout_ms > 0 ? target->timeout_ms : CONNECT_TIMEOUT_MS_DEFAULT;
    stream->lane = target->lane;
    stream->deadline_ms = steady_ms() + timeout_ms;
    struct connector_options options = {
        .address = target->address,
        .timeout_ms = timeout_ms,
        .done = on_connect_done,
        .context = stream,
    };
    enum error_code code = connector_start(network->loop, &options, &stream->connector, error);
    if (code != ERROR_NONE) {
        free(stream);
        return code;
    }
    *stream_out = &stream->base;
    return ERROR_NONE;
}

/* --- Arrivals: connections whose lane is not known yet --------------------------------------- */

struct arrival {
    struct network_system *network;
    struct stream *stream;
    struct arrival *next;
    struct arrival **link;
    struct timer timer;
    size_t size;
    uint8_t preamble[PREAMBLE_BYTES];
    bool is_closing;
};

static void arrival_close(struct arrival *arrival)
{
    if (arrival->is_closing)
        return;
    arrival->is_closing = true;
    scheduler_timer_stop(loop_scheduler(arrival->network->loop), &arrival->timer);
    stream_close(arrival->stream);
}

static void arrival_refuse(struct arrival *arrival, const char *reason)
{
    static struct log_limit limit = {.interval_ms = 10000, .burst = 5};
    char quoted[ERROR_MESSAGE_MAX + 2];
    uint64_t suppressed;
    if (log_limit_allow(&limit, (int64_t)steady_ms(), &suppressed)) {
        struct text remote = stream_remote_address(arrival->stream);
        log_event(LOG_WARNING, "platform", "peer connection not taken",
                  "remote=%.*s reason=%s suppressed=%llu", TEXT_ARGUMENTS(remote),
                  log_quote(quoted, sizeof quoted, text_of(reason)),
                  (unsigned long long)suppressed);
    }
    arrival_close(arrival);
}

static void arrival_timeout(struct timer *timer)
{
    arrival_refuse((struct arrival *)((char *)timer - offsetof(struct arrival, timer)),
                   "no preamble in time");
}

static void arrival_allocate(void *context, uint8_t **target_out, size_t *size_out)
{
    struct arrival *arrival = context;
    *target_out = arrival->preamble + arrival->size;
    *size_out = PREAMBLE_BYTES - arrival->size; /* not a byte of what follows */
}

static void arrival_received(void *context, size_t size)
{
    struct arrival *arrival = context;
    struct network_system *network = arrival->network;
    struct error error;
    arrival->size += size;
    if (arrival->size < PREAMBLE_BYTES)
        return;
    uint32_t lane;
    int descriptor;
    enum error_code code = preamble_decode(arrival->preamble, &lane, &error);
    if (code == ERROR_NONE)
        code = stream_release(arrival->stream, &descriptor, &error);
    if (code != ERROR_NONE) {
        arrival_refuse(arrival, error.message);
        return;
    }
    arrival_close(arrival);
    network_lanes_hand_over(network->lanes, lane, descriptor);
}

static void arrival_ended(void *context)
{
    arrival_close(context);
}

static void arrival_failed(void *context, const struct error *error)
{
    (void)error; /* somebody looked whether the port is open */
    arrival_close(context);
}

static void free_when_idle(struct network_system *network)
{
    if (!network->is_finished || network->arrivals != NULL)
        return;
    if (network->closed != NULL)
        network->closed(network->context);
    free(network);
}

static void finish_run(struct task *task)
{
    struct network_system *network =
        (struct network_system *)((char *)task - offsetof(struct network_system, finish));
    network->is_finished = true;
    free_when_idle(network);
}

static void arrival_closed(void *context)
{
    struct arrival *arrival = context;
    struct network_system *network = arrival->network;
    *arrival->link = arrival->next;
    if (arrival->next != NULL)
        arrival->next->link = arrival->link;
    network->arrival_count--;
    free(arrival);
    free_when_idle(network);
}

static const struct stream_events ARRIVAL_EVENTS = {
    .allocate = arrival_allocate,
    .received = arrival_received,
    .ended = arrival_ended,
    .failed = arrival_failed,
    .closed = arrival_closed,
};

static void on_accepted(void *context, struct stream *stream)
{
    struct network_system *network = context;
    struct arrival *arrival = NULL;
    if (network->arrival_count < ARRIVALS_MAX)
        arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL) {
        stream_close(stream);
        return;
    }
    *arrival = (struct arrival){
        .network = network,
        .stream = stream,
        .next = network->arrivals,
        .link = &network->arrivals,
        .timer = {.fire = arrival_timeout, .heap_index = TIMER_IDLE},
    };
    if (arrival->next != NULL)
        arrival->next->link = &arrival->next;
    network->arrivals = arrival;
    network->arrival_count++;
    scheduler_timer_start(loop_scheduler(network->loop), &arrival->timer, PREAMBLE_TIMEOUT_MS);
    stream_begin(stream, &ARRIVAL_EVENTS, arrival);
}

/* A socket of this lane, whichever loop accepted it. */
static void on_handed_over(void *context, int descriptor)
{
    struct network_system *network = context;
    struct error error;
    struct system_stream *stream = network->listener == NULL ? NULL : stream_create(network);
    if (stream == NULL) {
        close(descriptor);
        return;
    }
    struct stream_socket socket = {
        .descriptor = descriptor,
        .side = STREAM_SERVER,
        .tls = network->tls,
        .unsent_bytes_max = UNSENT_BYTES_MAX,
    };
    if (stream_adopt(network->loop, &socket, &stream->stream, &error) != ERROR_NONE) {
        free(stream); /* the other end sees the socket closed, and tries again */
        return;
    }
    network->listener->accepted(network->listener->context, &stream->base);
}

/* --- Listening ----------------------------------------------------------------------------- */

static enum error_code system_listen(struct network *self,
                                     const struct network_listen_options *options,
                                     struct network_listener **listener_out, struct error *error)
{
    struct network_system *network = system_of(self);
    assert(network->listener == NULL && options->accepted != NULL);
    struct network_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "listen: out of memory");
    listener->accepted = options->accepted;
    listener->context = options->context;
    struct listener_options plain = {
        .address = options->address,
        .accepted = on_accepted,
        .context = network,
    };
    enum error_code code = listener_open(network->loop, &plain, &listener->listener, error);
    if (code != ERROR_NONE) {
        free(listener);
        return code;
    }
    network->listener = listener;
    *listener_out = listener;
    return ERROR_NONE;
}

static void system_listener_close(struct network *self, struct network_listener *listener)
{
    struct network_system *network = system_of(self);
    assert(network->listener == listener);
    network->listener = NULL;
    listener_close(listener->listener);
    for (struct arrival *arrival = network->arrivals; arrival != NULL; arrival = arrival->next)
        arrival_close(arrival);
    free(listener);
}

static uint16_t system_listener_port(struct network *self, const struct network_listener *listener)
{
    (void)self;
    return listener_port(listener->listener);
}

static const struct network_operations OPERATIONS = {
    .connect = system_connect,
    .listen = system_listen,
    .listener_close = system_listener_close,
    .listener_port = system_listener_port,
};

/* --- Public -------------------------------------------------------------------------------- */

enum error_code network_system_open(struct loop *loop, const struct network_system_options *options,
                                    struct network **network_out, struct error *error)
{
    assert(scheduler_on_loop(loop_scheduler(loop)));
    struct network_system *network = calloc(1, sizeof *network);
    if (network == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "network: out of memory");
    *network = (struct network_system){
        .base.operations = &OPERATIONS,
        .loop = loop,
        .lanes = options->lanes,
        .lane = options->lane,
        .tls = options->tls,
        .finish.run = finish_run,
        .closed = options->closed,
        .context = options->context,
    };
    network_lanes_register(options->lanes, options->lane,
                           &(struct lane_owner){
                               .scheduler = loop_scheduler(loop),
                               .taken = on_handed_over,
                               .context = network,
                           });
    *network_out = &network->base;
    return ERROR_NONE;
}

void network_system_close(struct network *self)
{
    if (self == NULL)
        return;
    struct network_system *network = system_of(self);
    assert(network->listener == NULL);
    network_lanes_unregister(network->lanes, network->lane);
    network->is_closed = true;
    scheduler_defer(loop_scheduler(network->loop), &network->finish);
}
