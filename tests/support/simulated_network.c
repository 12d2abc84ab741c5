#include "simulated_network.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simulated_memory.h"

/* --- Types --------------------------------------------------------------------------------- */

enum {
    PIECE_BYTES_MAX = 16 * 1024,
    BUFFER_BYTES = 64 * 1024,
    CONNECT_TIMEOUT_MS = 5000,
};

struct simulated_lane {
    struct network base;
    struct simulated_network *network;
    size_t host;
    struct network_listener *listener; /* NULL: none */
};

struct network_listener {
    void (*accepted)(void *context, struct network_stream *stream);
    void *context;
};

enum piece_kind { PIECE_BYTES, PIECE_END, PIECE_OPEN };

/* What travels from one end to the other, in order. */
struct piece {
    struct piece *next;
    enum piece_kind kind;
    size_t size;
    size_t position; /* bytes the receiver has taken */
    uint64_t due_ns;
    uint8_t bytes[];
};

/* One end. It lives until its owner closed it and nothing refers to it any more. */
struct simulated_stream {
    struct network_stream base;
    struct simulated_network *network;
    struct simulated_stream *other; /* NULL: gone */
    struct simulated_stream *next;  /* of the network */
    size_t from, to;                /* hosts: this end's, the other's */
    const struct stream_events *events;
    void *context;
    char remote[STREAM_ADDRESS_MAX];

    struct stream_write *first, *last; /* not taken wholly */
    size_t queued_bytes;
    size_t flying_bytes;      /* taken, not yet read into the other's buffer */
    struct piece *travelling; /* to this end, in order */
    struct piece *travelling_last;
    uint64_t due_ns;      /* of the last piece sent by this end */
    size_t references;    /* events under way that name it */
    struct task finish;   /* behind the tasks that are deferred already */
    uint64_t deadline_ns; /* of connecting */
    bool is_flushing;
    bool is_delivering;
    bool is_connecting;
    bool is_paused;
    bool is_over; /* ended, failed or reset: nothing more arrives */
    bool is_closing;
    bool is_closed;
    bool is_lost; /* the other end is not told */
};

static struct simulated_stream *stream_of(struct network_stream *self)
{
    return (struct simulated_stream *)self;
}

static struct simulated_link *link_of(const struct simulated_stream *stream)
{
    return &stream->network->links[stream->from][stream->to];
}

static uint64_t now_ns(const struct simulated_network *network)
{
    return network->scheduler->clock->now_ns;
}

static uint64_t random_between(struct simulated_network *network, uint64_t low, uint64_t high)
{
    return high <= low ? low
                       : low + random_below(&network->random.base, (uint32_t)(high - low) + 1);
}

/* Call run(stream) later; the stream stays until then. */
static void stream_after(struct simulated_stream *stream, uint64_t delay_ns,
                         simulated_event_run *run)
{
    stream->references++;
    simulated_scheduler_after(stream->network->scheduler, delay_ns, run, stream);
}

static void stream_free_when_gone(struct simulated_stream *stream)
{
    if (!stream->is_closed || stream->references > 0 || stream->other != NULL)
        return;
    struct simulated_stream **link = &stream->network->streams;
    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    while (stream->travelling != NULL) {
        struct piece *piece = stream->travelling;
        stream->travelling = piece->next;
        free(piece);
    }
    free(stream);
}

static void stream_unhold(struct simulated_stream *stream)
{
    assert(stream->references > 0);
    stream->references--;
    stream_free_when_gone(stream);
}

static void stream_fail(struct simulated_stream *stream, enum error_code code, const char *reason)
{
    struct error error;
    if (stream->is_over || stream->is_closing || stream->events == NULL)
        return;
    stream->is_over = true;
    error_set(&error, code, "connection: %s", reason);
    stream->events->failed(stream->context, &error);
}

/* --- Travelling ---------------------------------------------------------------------------- */

static void deliver_run(void *argument);
static void flush_run(void *argument);

static void deliver_later(struct simulated_stream *stream, uint64_t delay_ns)
{
    if (stream->is_delivering)
        return;
    stream->is_delivering = true;
    stream_after(stream, delay_ns, deliver_run);
}

/* Put a piece on the link; it arrives after those before it. */
static void send_piece(struct simulated_stream *stream, struct piece *piece)
{
    struct simulated_network *network = stream->network;
    struct simulated_link *link = link_of(stream);
    struct simulated_stream *to = stream->other;
    uint64_t now = now_ns(network);
    uint64_t start_ns = link->free_ns > now ? link->free_ns : now;
    uint64_t takes_ns = link->bytes_per_s == 0
                            ? 0
                            : (uint64_t)((double)piece->size * 1e9 / (double)link->bytes_per_s);
    link->free_ns = start_ns + takes_ns;
    uint64_t due_ns =
        link->free_ns + random_between(network, link->delay_ns_min, link->delay_ns_max);
    if (due_ns < stream->due_ns)
        due_ns = stream->due_ns;
    stream->due_ns = piece->due_ns = due_ns;
    piece->next = NULL;
    if (to->travelling == NULL)
        to->travelling = piece;
    else
        to->travelling_last->next = piece;
    to->travelling_last = piece;
    deliver_later(to, due_ns - now);
}

static struct piece *piece_create(enum piece_kind kind, size_t size)
{
    struct piece *piece = simulated_allocate(sizeof *piece + size);
    piece->kind = kind;
    piece->size = size;
    return piece;
}

static void flush_later(struct simulated_stream *stream, uint64_t delay_ns)
{
    if (stream->is_flushing || stream->is_closing)
        return;
    stream->is_flushing = true;
    stream_after(stream, delay_ns, flush_run);
}

/* Move bytes of the queue into a piece; writes that are complete are done. */
static void take_bytes(struct simulated_stream *stream, uint8_t *target, size_t size)
{
    static const struct error none = {.code = ERROR_NONE};
    stream->queued_bytes -= size;
    while (stream->first != NULL) {
        struct stream_write *write = stream->first;
        while (write->vector_position < write->vector_count) {
            const struct stream_vector *vector = &write->vectors[write->vector_position];
            size_t left = vector->size - write->byte_position;
            size_t part = left < size ? left : size;
            if (part > 0)
                memcpy(target, (const uint8_t *)vector->bytes + write->byte_position, part);
            target += part;
            size -= part;
            write->byte_position += part;
            if (part < left)
                return;
            write->vector_position++;
            write->byte_position = 0;
        }
        stream->first = write->next;
        if (stream->first == NULL)
            stream->last = NULL;
        write->done(write, &none);
    }
}

static void flush_run(void *argument)
{
    struct simulated_stream *stream = argument;
    struct simulated_network *network = stream->network;
    stream->is_flushing = false;
    bool has_sent = false;
    while (!stream->is_closing && !stream->is_over && stream->first != NULL) {
        size_t room = network->buffer_bytes > stream->flying_bytes
                          ? network->buffer_bytes - stream->flying_bytes
                          : 0;
        if (stream->other == NULL)
            break; /* its end is on the way here */
        size_t size = stream->queued_bytes < room ? stream->queued_bytes : room;
        if (size == 0 && stream->queued_bytes > 0)
            break;
        if (size > 1)
            size = 1 + random_below(&network->random.base,
                                    (uint32_t)(size < PIECE_BYTES_MAX ? size : PIECE_BYTES_MAX));
        struct piece *piece = piece_create(PIECE_BYTES, size);
        stream->flying_bytes += size;
        has_sent = true;
        take_bytes(stream, piece->bytes, size);
        if (stream->is_closing || size == 0)
            free(piece);
        else
            send_piece(stream, piece);
    }
    if (has_sent && !stream->is_closing && !stream->is_over && stream->events->sent != NULL)
        stream->events->sent(stream->context);
    stream_unhold(stream);
}

/* --- Receiving ----------------------------------------------------------------------------- */

/* Hand the first piece's bytes to the owner; false when it takes none. */
static bool receive_bytes(struct simulated_stream *stream, struct piece *piece)
{
    uint8_t *target = NULL;
    size_t room = 0;
    stream->events->allocate(stream->context, &target, &room);
    if (room == 0) {
        stream->is_paused = true;
        return false;
    }
    size_t size = piece->size - piece->position;
    if (size > room)
        size = room;
    if (size > 1 && random_below(&stream->network->random.base, 4) == 0)
        size = 1 + random_below(&stream->network->random.base, (uint32_t)size);
    memcpy(target, piece->bytes + piece->position, size);
    piece->position += size;
    stream->network->counts.delivered_bytes += size;
    struct simulated_stream *sender = stream->other;
    if (sender != NULL) {
        sender->flying_bytes -= size;
        if (sender->first != NULL)
            flush_later(sender, 0);
    }
    stream->events->received(stream->context, size);
    return true;
}

static void on_open(struct simulated_stream *stream)
{
    if (stream->is_connecting) {
        stream->is_connecting = false;
        if (!stream->is_over && !stream->is_closing && stream->events->connected != NULL)
            stream->events->connected(stream->context);
    }
}

/* One piece has arrived. */
static void arrive(struct simulated_stream *stream, enum piece_kind kind)
{
    switch (kind) {
    case PIECE_OPEN:
        on_open(stream);
        break;
    case PIECE_END:
        if (!stream->is_over && !stream->is_closing && stream->events != NULL) {
            stream->is_over = true;
            stream->events->ended(stream->context);
        }
        break;
    case PIECE_BYTES:
        break;
    }
}

static void piece_done(struct simulated_stream *stream)
{
    struct piece *piece = stream->travelling;
    stream->travelling = piece->next;
    if (piece->next == NULL)
        stream->travelling_last = NULL;
    free(piece);
}

static bool is_deaf(const struct simulated_stream *stream)
{
    return stream->is_closing || stream->is_over;
}

static void deliver_run(void *argument)
{
    enum { STALL_POLL_NS = 5000000 };
    struct simulated_stream *stream = argument;
    struct simulated_network *network = stream->network;
    struct simulated_link *link = &network->links[stream->to][stream->from];
    stream->is_delivering = false;
    while (stream->travelling != NULL) {
        struct piece *piece = stream->travelling;
        uint64_t now = now_ns(network);
        if (piece->due_ns > now) {
            deliver_later(stream, piece->due_ns - now);
            break;
        }
        if (link->is_stalled) {
            network->counts.delayed_pieces++;
            deliver_later(stream, STALL_POLL_NS);
            break;
        }
        if (piece->kind == PIECE_BYTES && !is_deaf(stream)) {
            if (stream->is_paused || stream->events == NULL)
                break; /* resume comes back here */
            if (piece->position < piece->size && !receive_bytes(stream, piece))
                break;
            if (piece->position < piece->size)
                continue;
            piece_done(stream);
            continue;
        }
        enum piece_kind kind = piece->kind;
        piece_done(stream);
        arrive(stream, kind);
    }
    stream_unhold(stream);
}

/* --- The face of a stream ------------------------------------------------------------------ */

static void simulated_begin(struct network_stream *self, const struct stream_events *events,
                            void *context)
{
    struct simulated_stream *stream = stream_of(self);
    stream->events = events;
    stream->context = context;
    if (stream->travelling != NULL)
        deliver_later(stream, 0);
}

static void simulated_write(struct network_stream *self, struct stream_write *write)
{
    struct simulated_stream *stream = stream_of(self);
    assert(!stream->is_connecting && !stream->is_closing);
    write->next = NULL;
    write->vector_position = write->byte_position = 0;
    for (size_t i = 0; i < write->vector_count; i++)
        stream->queued_bytes += write->vectors[i].size;
    if (stream->first == NULL)
        stream->first = write;
    else
        stream->last->next = write;
    stream->last = write;
    flush_later(stream, 0);
}

static void simulated_pause(struct network_stream *self)
{
    stream_of(self)->is_paused = true;
}

static void simulated_resume(struct network_stream *self)
{
    struct simulated_stream *stream = stream_of(self);
    stream->is_paused = false;
    if (stream->travelling != NULL)
        deliver_later(stream, 0);
}

static void finish_run(struct task *task)
{
    struct simulated_stream *stream =
        (struct simulated_stream *)((char *)task - offsetof(struct simulated_stream, finish));
    struct error error;
    error_set(&error, ERROR_CLOSED, "connection: closed");
    while (stream->first != NULL) {
        struct stream_write *write = stream->first;
        stream->first = write->next;
        write->done(write, &error);
    }
    if (stream->events != NULL)
        stream->events->closed(stream->context);
    stream->is_closed = true;
    if (stream->other != NULL) {
        struct simulated_stream *other = stream->other;
        stream->other = NULL;
        other->other = NULL;
        stream_free_when_gone(other);
    }
    stream_unhold(stream);
}

static void simulated_close(struct network_stream *self)
{
    struct simulated_stream *stream = stream_of(self);
    assert(!stream->is_closing);
    stream->is_closing = true;
    /* Writes that the system did not take are lost; what it took still arrives. */
    if (stream->other != NULL && !stream->is_lost)
        send_piece(stream, piece_create(PIECE_END, 0));
    stream->references++;
    stream->finish.run = finish_run;
    scheduler_defer(&stream->network->scheduler->base, &stream->finish);
}

static size_t simulated_queued_bytes(const struct network_stream *self)
{
    return ((const struct simulated_stream *)self)->queued_bytes;
}

static struct text simulated_remote_address(const struct network_stream *self)
{
    return text_of(((const struct simulated_stream *)self)->remote);
}

static const struct network_stream_operations STREAM_OPERATIONS = {
    .begin = simulated_begin,
    .write = simulated_write,
    .pause = simulated_pause,
    .resume = simulated_resume,
    .close = simulated_close,
    .queued_bytes = simulated_queued_bytes,
    .remote_address = simulated_remote_address,
};

static struct simulated_stream *stream_create(struct simulated_network *network, size_t from,
                                              size_t to)
{
    struct simulated_stream *stream = simulated_allocate(sizeof *stream);
    stream->base.operations = &STREAM_OPERATIONS;
    stream->network = network;
    stream->from = from;
    stream->to = to;
    stream->next = network->streams;
    network->streams = stream;
    snprintf(stream->remote, sizeof stream->remote, "%s:1",
             to < SIMULATED_HOSTS_MAX ? network->hosts[to].name : "unknown");
    return stream;
}

/* --- Connecting ---------------------------------------------------------------------------- */

static bool find_host(const struct simulated_network *network, const char *address,
                      size_t *host_out)
{
    for (size_t i = 0; i < network->host_count; i++) {
        size_t size = strlen(network->hosts[i].name);
        if (strncmp(address, network->hosts[i].name, size) == 0 && address[size] == ':') {
            *host_out = i;
            return true;
        }
    }
    return false;
}

struct knock {
    struct simulated_stream *stream;
    uint32_t lane;
};

static void knock_run(void *argument)
{
    enum { POLL_NS = 50000000 };
    struct knock *knock = argument;
    struct simulated_stream *stream = knock->stream;
    struct simulated_network *network = stream->network;
    bool is_there = stream->to < network->host_count;
    struct simulated_link *link = is_there ? link_of(stream) : NULL;
    if (!stream->is_closing && is_there && link->is_stalled &&
        now_ns(network) < stream->deadline_ns) {
        simulated_scheduler_after(network->scheduler, POLL_NS, knock_run, knock);
        return;
    }
    struct simulated_host *host = is_there ? &network->hosts[stream->to] : NULL;
    struct simulated_lane *lane = is_there ? host->lanes[knock->lane % host->lane_count] : NULL;
    if (stream->is_closing) {
        /* nobody waits */
    } else if (!is_there) {
        stream_fail(stream, ERROR_NOT_FOUND, "no such host");
    } else if (link->is_stalled) {
        network->counts.timeouts++;
        stream_fail(stream, ERROR_TIMEOUT, "timeout");
    } else if (link->is_refusing || lane->listener == NULL) {
        network->counts.refused++;
        stream_fail(stream, ERROR_IO, "connection refused");
    } else {
        struct simulated_stream *accepted = stream_create(network, stream->to, stream->from);
        accepted->other = stream;
        stream->other = accepted;
        network->counts.connects++;
        send_piece(accepted, piece_create(PIECE_OPEN, 0));
        lane->listener->accepted(lane->listener->context, &accepted->base);
    }
    free(knock);
    stream_unhold(stream);
}

static void connect_timeout(void *argument)
{
    struct simulated_stream *stream = argument;
    if (stream->is_connecting) {
        stream->network->counts.timeouts++;
        stream_fail(stream, ERROR_TIMEOUT, "timeout");
    }
    stream_unhold(stream);
}

static enum error_code simulated_connect(struct network *self, const struct network_target *target,
                                         struct network_stream **stream_out, struct error *error)
{
    struct simulated_lane *lane = (struct simulated_lane *)self;
    struct simulated_network *network = lane->network;
    size_t to = SIMULATED_HOSTS_MAX;
    if (strchr(target->address, ':') == NULL)
        return error_set(error, ERROR_INVALID, "connect '%s': must be host:port", target->address);
    find_host(network, target->address, &to);
    struct simulated_stream *stream = stream_create(network, lane->host, to);
    uint64_t timeout_ns =
        (target->timeout_ms > 0 ? target->timeout_ms : CONNECT_TIMEOUT_MS) * UINT64_C(1000000);
    stream->is_connecting = true;
    stream->deadline_ns = now_ns(network) + timeout_ns;
    struct knock *knock = simulated_allocate(sizeof *knock);
    *knock = (struct knock){.stream = stream, .lane = target->lane};
    uint64_t delay_ns = 1000;
    if (to < network->host_count)
        delay_ns =
            random_between(network, link_of(stream)->delay_ns_min, link_of(stream)->delay_ns_max);
    stream_after(stream, timeout_ns, connect_timeout);
    stream->references++;
    simulated_scheduler_after(network->scheduler, delay_ns, knock_run, knock);
    *stream_out = &stream->base;
    return ERROR_NONE;
}

static enum error_code simulated_listen(struct network *self,
                                        const struct network_listen_options *options,
                                        struct network_listener **listener_out, struct error *error)
{
    struct simulated_lane *lane = (struct simulated_lane *)self;
    (void)error;
    assert(lane->listener == NULL);
    struct network_listener *listener = simulated_allocate(sizeof *listener);
    *listener = (struct network_listener){options->accepted, options->context};
    lane->listener = *listener_out = listener;
    return ERROR_NONE;
}

static void simulated_listener_close(struct network *self, struct network_listener *listener)
{
    struct simulated_lane *lane = (struct simulated_lane *)self;
    assert(lane->listener == listener);
    lane->listener = NULL;
    free(listener);
}

static uint16_t simulated_listener_port(struct network *self,
                                        const struct network_listener *listener)
{
    (void)self;
    (void)listener;
    return 1;
}

static const struct network_operations OPERATIONS = {
    .connect = simulated_connect,
    .listen = simulated_listen,
    .listener_close = simulated_listener_close,
    .listener_port = simulated_listener_port,
};

/* --- The network --------------------------------------------------------------------------- */

void simulated_network_init(struct simulated_network *network,
                            struct simulated_scheduler *scheduler, uint64_t seed)
{
    *network = (struct simulated_network){
        .scheduler = scheduler,
        .buffer_bytes = BUFFER_BYTES,
    };
    random_generator_init(&network->random, seed);
    for (size_t i = 0; i < SIMULATED_HOSTS_MAX; i++)
        for (size_t j = 0; j < SIMULATED_HOSTS_MAX; j++)
            network->links[i][j] =
                (struct simulated_link){.delay_ns_min = 50000, .delay_ns_max = 500000};
}

void simulated_network_clear(struct simulated_network *network)
{
    assert(network->streams == NULL);
    for (size_t i = 0; i < network->host_count; i++)
        for (uint32_t j = 0; j < network->hosts[i].lane_count; j++) {
            assert(network->hosts[i].lanes[j]->listener == NULL);
            free(network->hosts[i].lanes[j]);
        }
    *network = (struct simulated_network){0};
}

size_t simulated_network_add(struct simulated_network *network, const char *name,
                             uint32_t lane_count)
{
    assert(network->host_count < SIMULATED_HOSTS_MAX && lane_count <= SIMULATED_LANES_MAX);
    size_t number = network->host_count++;
    struct simulated_host *host = &network->hosts[number];
    snprintf(host->name, sizeof host->name, "%s", name);
    host->lane_count = lane_count;
    for (uint32_t i = 0; i < lane_count; i++) {
        host->lanes[i] = simulated_allocate(sizeof *host->lanes[i]);
        host->lanes[i]->base.operations = &OPERATIONS;
        host->lanes[i]->network = network;
        host->lanes[i]->host = number;
    }
    return number;
}

struct network *simulated_network_lane(struct simulated_network *network, size_t host,
                                       uint32_t lane)
{
    assert(host < network->host_count && lane < network->hosts[host].lane_count);
    return &network->hosts[host].lanes[lane]->base;
}

void simulated_network_stall(struct simulated_network *network, size_t from, size_t to,
                             bool is_stalled)
{
    network->links[from][to].is_stalled = is_stalled;
}

void simulated_network_partition(struct simulated_network *network, size_t one, size_t other,
                                 bool is_apart)
{
    simulated_network_stall(network, one, other, is_apart);
    simulated_network_stall(network, other, one, is_apart);
}

static void cut_run(void *argument)
{
    struct simulated_stream *stream = argument;
    stream_fail(stream, ERROR_CLOSED, "reset by peer");
    stream_unhold(stream);
}

void simulated_network_cut(struct simulated_network *network, size_t one, size_t other)
{
    for (struct simulated_stream *stream = network->streams; stream != NULL; stream = stream->next)
        if ((stream->from == one && stream->to == other) ||
            (stream->from == other && stream->to == one)) {
            network->counts.cuts++;
            stream_after(stream, random_between(network, 0, 2000000), cut_run);
        }
}

void simulated_network_lose(struct simulated_network *network, size_t here, size_t there)
{
    for (struct simulated_stream *stream = network->streams; stream != NULL; stream = stream->next)
        if (stream->from == here && stream->to == there) {
            stream->is_lost = true;
            stream_after(stream, 0, cut_run);
        }
}

size_t simulated_network_stream_count(const struct simulated_network *network)
{
    size_t count = 0;
    for (const struct simulated_stream *stream = network->streams; stream != NULL;
         stream = stream->next)
        count++;
    return count;
}
