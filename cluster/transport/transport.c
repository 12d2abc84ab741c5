#include "transport/transport.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* --- Options ------------------------------------------------------------------------------- */

static const uint64_t QUEUED_BYTES_MAX[TRANSPORT_CLASSES] = {
    [TRANSPORT_CONTROL] = 1024 * 1024,
    [TRANSPORT_APPEND] = 16 * 1024 * 1024,
    [TRANSPORT_REQUEST] = 32 * 1024 * 1024,
    [TRANSPORT_FILE] = 8 * 1024 * 1024,
};

static uint64_t number_or(uint64_t value, uint64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static void fill_options(struct transport_options *options)
{
    static const struct transport_events NONE = {0};
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        options->queued_bytes_max[i] = number_or(options->queued_bytes_max[i], QUEUED_BYTES_MAX[i]);
    options->channel_bytes_max = number_or(options->channel_bytes_max, 4 * 1024 * 1024);
    options->message_bytes_max =
        (uint32_t)number_or(options->message_bytes_max, TRANSPORT_MESSAGE_BYTES_MAX);
    options->answers_max = (uint32_t)number_or(options->answers_max, 1024);
    options->bulk_idle_ms = number_or(options->bulk_idle_ms, 30000);
    options->version_min = (uint16_t)number_or(options->version_min, TRANSPORT_VERSION_MIN);
    options->version_max = (uint16_t)number_or(options->version_max, TRANSPORT_VERSION_MAX);
    if (options->events == NULL)
        options->events = &NONE;
    assert(options->message_bytes_max <= TRANSPORT_MESSAGE_BYTES_MAX);
    assert(options->lane_count > 0 && options->lane_count <= NETWORK_LANES_MAX);
    assert(options->lane < options->lane_count);
}

/* --- Closing ------------------------------------------------------------------------------- */

static void finish_run(struct task *task)
{
    struct transport *transport =
        (struct transport *)((char *)task - offsetof(struct transport, finish));
    while (transport->peers != NULL)
        peer_destroy(transport->peers);
    scheduler_timer_stop(transport->scheduler, &transport->tick);
    void (*closed)(void *) = transport->closed;
    void *context = transport->closed_context;
    free(transport);
    closed(context);
}

void transport_check_closed(struct transport *transport)
{
    if (!transport->is_closing || transport->is_finishing || transport->connections != NULL ||
        transport->held > 0)
        return;
    transport->is_finishing = true;
    scheduler_defer(transport->scheduler, &transport->finish);
}

static void close_all(struct transport *transport)
{
    struct error error;
    struct connection *next;
    error_set(&error, ERROR_CLOSED, "node %s is stopping", transport->name);
    for (struct connection *one = transport->connections; one != NULL; one = next) {
        next = one->next;
        peer_connection_close(one, &error);
    }
}

void transport_close(struct transport *transport, uint64_t patience_ms,
                     void (*closed)(void *context), void *context)
{
    struct error error;
    assert(!transport->is_closing);
    transport->is_closing = true;
    transport->closed = closed;
    transport->closed_context = context;
    transport->close_deadline_ms = transport_now_ms(transport) + patience_ms;
    network_listener_close(transport->network, transport->listener);
    transport->listener = NULL;
    error_set(&error, ERROR_CLOSED, "node %s is stopping", transport->name);
    for (struct transport_peer *peer = transport->peers; peer != NULL; peer = peer->next)
        for (struct link *link = peer->links; link != NULL; link = link->next) {
            scheduler_timer_stop(transport->scheduler, &link->redial);
            requests_fail(link, &error);
        }
    for (struct connection *one = transport->connections; one != NULL; one = one->next)
        if (one->state != CONNECTION_STANDING || patience_ms == 0)
            peer_connection_close(one, &error);
        else
            peer_connection_leave(one);
    for (struct connection *one = transport->connections; one != NULL; one = one->next)
        one->deadline_ms = transport->close_deadline_ms;
    transport_check_closed(transport);
}

/* --- Time ---------------------------------------------------------------------------------- */

static void on_tick(struct timer *timer)
{
    struct transport *transport =
        (struct transport *)((char *)timer - offsetof(struct transport, tick));
    uint64_t now_ms = transport_now_ms(transport);
    uint64_t late_ms = now_ms - transport->last_tick_ms;
    transport->last_tick_ms = now_ms;
    for (struct connection *one = transport->connections; one != NULL; one = one->next) {
        /* While this loop stood still nobody read what may well have arrived. */
        if (late_ms > PING_AFTER_MS && one->received_ms + late_ms <= now_ms)
            one->received_ms += late_ms;
        peer_connection_tick(one, now_ms);
    }
    if (transport->is_closing && now_ms >= transport->close_deadline_ms)
        close_all(transport);
    if (!transport->is_finishing)
        scheduler_timer_start(transport->scheduler, &transport->tick, TICK_MS);
}

/* --- Opening ------------------------------------------------------------------------------- */

static void on_accepted(void *context, struct network_stream *stream)
{
    peer_connection_accept(context, stream);
}

static enum error_code check_options(const struct transport_options *options, struct error *error)
{
    if (!transport_name_is_valid(text_of(options->name)))
        return error_set(error, ERROR_INVALID,
                         "'%s' is no name of a node: up to %d characters, "
                         "no spaces",
                         options->name, TRANSPORT_NAME_BYTES_MAX);
    if (options->advertise_address != NULL &&
        strlen(options->advertise_address) > TRANSPORT_ADDRESS_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "'%s': too long", options->advertise_address);
    return ERROR_NONE;
}

enum error_code transport_open(const struct transport_options *options,
                               struct transport **transport_out, struct error *error)
{
    enum error_code code = check_options(options, error);
    if (code != ERROR_NONE)
        return code;
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "transport: out of memory");
    transport->options = *options;
    fill_options(&transport->options);
    transport->scheduler = options->environment->scheduler;
    transport->network = options->environment->network;
    transport->stranger_log = (struct log_limit){.interval_ms = 10000, .burst = 5};
    transport->finish.run = finish_run;
    transport->tick = (struct timer){.fire = on_tick, .heap_index = TIMER_IDLE};
    snprintf(transport->name, sizeof transport->name, "%s", options->name);
    if (options->advertise_address != NULL)
        snprintf(transport->address, sizeof transport->address, "%s", options->advertise_address);
    if (options->listen_address != NULL) {
        struct network_listen_options listen = {
            .address = options->listen_address,
            .accepted = on_accepted,
            .context = transport,
        };
        code = network_listen(transport->network, &listen, &transport->listener, error);
    }
    if (code != ERROR_NONE) {
        free(transport);
        return code;
    }
    transport->last_tick_ms = transport_now_ms(transport);
    scheduler_timer_start(transport->scheduler, &transport->tick, TICK_MS);
    *transport_out = transport;
    return ERROR_NONE;
}

uint16_t transport_port(const struct transport *transport)
{
    return network_listener_port(transport->network, transport->listener);
}

void transport_on_message(struct transport *transport, uint16_t kind, transport_receive *receive,
                          void *context)
{
    assert(kind < TRANSPORT_KINDS_MAX && transport->receivers[kind].receive == NULL);
    transport->receivers[kind] = (struct handler){.receive = receive, .context = context};
}

void transport_on_request(struct transport *transport, uint16_t kind, transport_serve *serve,
                          void *context)
{
    assert(kind < TRANSPORT_KINDS_MAX);
    assert(serve == NULL || transport->servers[kind].serve == NULL);
    transport->servers[kind] = (struct handler){.serve = serve, .context = context};
}

/* --- Messages ------------------------------------------------------------------------------ */

static bool has_room(const struct transport_peer *peer, enum transport_class class,
                     struct transport_channel channel, size_t size)
{
    const struct transport_options *options = &peer->transport->options;
    uint64_t queued = peer->statistics.queued_bytes[class];
    uint64_t of_channel = channel_bytes(&peer->accounts, channel);
    return (queued == 0 || queued + size <= options->queued_bytes_max[class]) &&
           (of_channel == 0 || of_channel + size <= options->channel_bytes_max);
}

static bool refuse(struct transport_peer *peer, enum transport_drop reason)
{
    peer->statistics.dropped_messages[reason]++;
    return false;
}

bool transport_send(struct transport_peer *peer, enum transport_class class,
                    struct transport_channel channel, struct shared_bytes *bytes)
{
    struct transport *transport = peer->transport;
    assert(scheduler_on_loop(transport->scheduler));
    assert(class < TRANSPORT_FILE && channel.kind < TRANSPORT_KINDS_MAX);
    assert(bytes->size <= (class == TRANSPORT_CONTROL ? (size_t)TRANSPORT_FRAME_BYTES_MAX
                                                      : transport->options.message_bytes_max));
    /* Where the other node has more lanes, several connections come here: the one of the channel.
     */
    uint32_t lane = transport->options.lane;
    if (peer->lane_count > transport->options.lane_count)
        lane = (uint32_t)(channel.id % peer->lane_count);
    struct connection *connection = peer_main(peer, lane);
    if (connection == NULL)
        return refuse(peer, TRANSPORT_DROP_DISCONNECTED);
    /* A message costs something even if it is empty. */
    size_t size = FRAME_HEADER_BYTES + bytes->size;
    if (!has_room(peer, class, channel, size)) {
        peer->was_refused[class] = true;
        return refuse(peer, TRANSPORT_DROP_BUDGET);
    }
    struct outgoing *outgoing = outgoing_create(FRAME_MESSAGE, class, bytes);
    struct channel_account *account =
        outgoing == NULL ? NULL : channel_charge(&peer->accounts, channel, size);
    if (account == NULL) {
        if (outgoing != NULL)
            outgoing_destroy(outgoing);
        return refuse(peer, TRANSPORT_DROP_BUDGET);
    }
    outgoing->kind = channel.kind;
    outgoing->id = channel.id;
    outgoing->account = account;
    outgoing->charged_bytes = size;
    peer->statistics.queued_bytes[class] += size;
    peer_connection_push(connection, outgoing);
    return true;
}

void transport_deliver(struct connection *connection, const struct frame *frame,
                       const struct assembled *assembled)
{
    struct transport *transport = connection->transport;
    const struct handler *handler =
        frame->kind < TRANSPORT_KINDS_MAX ? &transport->receivers[frame->kind] : NULL;
    if (handler == NULL || handler->receive == NULL) {
        connection->peer->statistics.dropped_messages[TRANSPORT_DROP_UNKNOWN_KIND]++;
        return;
    }
    struct transport_message message = {
        .peer = connection->peer,
        .channel = {.kind = frame->kind, .id = frame->id},
        .class = frame->class,
        .bytes = assembled->bytes,
        .size = assembled->size,
        .whole = assembled->whole,
    };
    handler->receive(handler->context, &message);
}

/* --- Looking ------------------------------------------------------------------------------- */

void transport_visit_peers(struct transport *transport, transport_visit *visit, void *context)
{
    for (const struct transport_peer *peer = transport->peers; peer != NULL; peer = peer->next)
        visit(context, peer, &peer->statistics);
}

uint64_t transport_strangers_refused(const struct transport *transport)
{
    return transport->strangers_refused;
}
