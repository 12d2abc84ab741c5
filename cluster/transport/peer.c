#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* --- Who dials ----------------------------------------------------------------------------- */

/*
 * Both nodes may know each other, or only one the other. The one with the lesser name dials at
 * once, the other a grace later. When there are two connections all the same, each side keeps the
 * one that the lesser name dialed; of two by the same node, the newer: who dials again has lost the
 * older.
 */

static bool is_lesser(const struct transport_peer *peer)
{
    return strcmp(peer->transport->name, peer->name) < 0;
}

/* By the node with the lesser name. */
static bool is_rightful(const struct transport_peer *peer, const struct connection *connection)
{
    return connection->is_dialed == is_lesser(peer);
}

bool link_prefers(const struct link *link, const struct connection *connection)
{
    const struct connection *standing = link->standing;
    if (standing == NULL || standing == connection)
        return true;
    if (standing->incarnation != connection->incarnation)
        return true; /* the node was started anew */
    if (standing->is_dialed == connection->is_dialed)
        return true;
    if (standing->is_leaving || standing->is_being_left)
        return true;
    if (transport_now_ms(link->peer->transport) >= standing->received_ms + DOUBT_AFTER_MS)
        return true; /* the other side gave it up, and the word of it was lost */
    return is_rightful(link->peer, connection);
}

static bool may_dial(const struct link *link)
{
    const struct transport_peer *peer = link->peer;
    const struct transport *transport = peer->transport;
    return link->lane == transport->options.lane && peer->address[0] != '\0' &&
           !transport->is_closing && link->standing == NULL && link->dialing == NULL &&
           (link->kind == CONNECTION_MAIN || link->waiting != NULL);
}

static uint64_t random_until(const struct transport *transport, uint64_t bound_ms)
{
    struct random *random = transport->options.environment->random;
    return random_below(random, (uint32_t)bound_ms + 1);
}

static uint64_t grace_ms(const struct link *link)
{
    return link->kind == CONNECTION_BULK || is_lesser(link->peer) ? 0 : GRACE_MS;
}

void link_dial_later(struct link *link, uint64_t delay_ms)
{
    if (may_dial(link))
        scheduler_timer_start(link->peer->transport->scheduler, &link->redial, delay_ms);
}

static void dial_again(struct link *link)
{
    uint64_t delay_ms = link->backoff_ms / 2;
    delay_ms += random_until(link->peer->transport, delay_ms);
    link->backoff_ms *= 2;
    if (link->backoff_ms > BACKOFF_MS_MAX)
        link->backoff_ms = BACKOFF_MS_MAX;
    link_dial_later(link, delay_ms);
}

static void report(struct link *link, enum log_level level, const char *what,
                   const struct error *error)
{
    struct transport *transport = link->peer->transport;
    char reason[ERROR_MESSAGE_MAX + 2];
    uint64_t suppressed;
    if (transport->is_closing)
        return;
    if (log_limit_allow(&link->log, (int64_t)transport_now_ms(transport), &suppressed))
        log_event(level, "transport", what, "peer=%s address=%s lane=%u reason=%s suppressed=%llu",
                  link->peer->name, link->peer->address, link->lane,
                  log_quote(reason, sizeof reason, text_of(error->message)),
                  (unsigned long long)suppressed);
}

static void on_redial(struct timer *timer)
{
    struct link *link = (struct link *)((char *)timer - offsetof(struct link, redial));
    struct error error;
    if (!may_dial(link) || peer_connection_dial(link, &error) == ERROR_NONE)
        return;
    link->peer->statistics.failures++;
    report(link, LOG_WARNING, "no connection to peer", &error);
    requests_fail(link, &error);
    dial_again(link);
}

/* --- Links --------------------------------------------------------------------------------- */

struct link *peer_link(struct transport_peer *peer, enum connection_kind kind, uint32_t lane)
{
    struct link **end = &peer->links;
    for (; *end != NULL; end = &(*end)->next)
        if ((*end)->kind == kind && (*end)->lane == lane)
            return *end;
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return NULL;
    *link = (struct link){
        .peer = peer,
        .kind = kind,
        .lane = lane,
        .redial = {.fire = on_redial, .heap_index = TIMER_IDLE},
        .backoff_ms = BACKOFF_MS_MIN,
        .log = {.interval_ms = 30000, .burst = 2},
    };
    *end = link;
    return link;
}

static void replace(struct link *link, struct connection *former)
{
    struct error error;
    error_set(&error, ERROR_CLOSED, "another connection took its place");
    link->standing = NULL;
    former->link = NULL; /* nothing is to be dialed for it */
    link->peer->statistics.disconnects++;
    peer_connection_close(former, &error);
}

void link_stand(struct link *link, struct connection *connection)
{
    struct transport_peer *peer = link->peer;
    struct transport *transport = peer->transport;
    struct connection *dialing = link->dialing;
    if (dialing == connection)
        link->dialing = dialing = NULL;
    if (link->standing != NULL)
        replace(link, link->standing);
    link->standing = connection;
    connection->peer = peer;
    connection->state = CONNECTION_STANDING;
    peer_connection_greeted(connection);
    connection->received_ms = connection->sent_ms = connection->used_ms =
        transport_now_ms(transport);
    if (dialing != NULL && is_rightful(peer, connection)) {
        struct error error;
        error_set(&error, ERROR_CLOSED, "not needed");
        link->dialing = NULL;
        dialing->link = NULL;
        peer_connection_close(dialing, &error);
    }
    link->backoff_ms = BACKOFF_MS_MIN;
    scheduler_timer_stop(transport->scheduler, &link->redial);
    peer->statistics.connects++;
    peer_notify(peer);
    requests_start(link);
}

void link_lost(struct link *link, struct connection *connection, const struct error *error)
{
    if (link->standing == connection) {
        link->standing = NULL;
        link->peer->statistics.disconnects++;
        /* What was refused has its line already. */
        if (!connection->was_refused && connection->state != CONNECTION_REFUSING)
            report(link, LOG_INFO, "connection to peer lost", error);
        peer_notify(link->peer);
        link_dial_later(link, grace_ms(link) + random_until(link->peer->transport, BACKOFF_MS_MIN));
    } else if (link->dialing == connection) {
        link->dialing = NULL;
        if (link->standing != NULL)
            return;
        link->peer->statistics.failures++;
        if (!connection->was_refused && connection->state != CONNECTION_REFUSING)
            report(link, LOG_WARNING, "no connection to peer", error);
        requests_fail(link, error);
        dial_again(link);
    }
}

/* --- Peers --------------------------------------------------------------------------------- */

static void notify_run(struct task *task)
{
    struct transport_peer *peer =
        (struct transport_peer *)((char *)task - offsetof(struct transport_peer, notify));
    const struct transport_options *options = &peer->transport->options;
    peer->notify_deferred = false;
    if (peer->is_removed) {
        free(peer);
        return;
    }
    bool is_connected = transport_peer_is_connected(peer);
    if (is_connected == peer->is_connected)
        return;
    peer->is_connected = is_connected;
    for (size_t i = 0; i < TRANSPORT_CLASSES; i++)
        peer->was_refused[i] = false;
    if (is_connected && options->events->connected != NULL)
        options->events->connected(options->context, peer);
    else if (!is_connected && options->events->disconnected != NULL)
        options->events->disconnected(options->context, peer);
}

void peer_notify(struct transport_peer *peer)
{
    if (peer->notify_deferred)
        return;
    peer->notify_deferred = true;
    scheduler_defer(peer->transport->scheduler, &peer->notify);
}

struct transport_peer *peer_create(struct transport *transport, struct text name)
{
    struct transport_peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->transport = transport;
    peer->notify.run = notify_run;
    snprintf(peer->name, sizeof peer->name, "%.*s", TEXT_ARGUMENTS(name));
    /* The first link is the one that this lane dials. */
    if (peer_link(peer, CONNECTION_MAIN, transport->options.lane) == NULL) {
        free(peer);
        return NULL;
    }
    peer->next = transport->peers;
    transport->peers = peer;
    return peer;
}

/* Forget one that has no connections any more. */
void peer_destroy(struct transport_peer *peer)
{
    struct transport_peer **at = &peer->transport->peers;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    while (peer->links != NULL) {
        struct link *link = peer->links;
        peer->links = link->next;
        assert(link->standing == NULL && link->dialing == NULL && link->waiting == NULL);
        scheduler_timer_stop(peer->transport->scheduler, &link->redial);
        free(link);
    }
    peer->is_removed = true;
    if (!peer->notify_deferred)
        free(peer);
}

static void close_one(struct connection **connection, const struct error *error)
{
    struct connection *closing = *connection;
    *connection = NULL;
    if (closing == NULL)
        return;
    closing->link = NULL;
    peer_connection_close(closing, error);
}

void transport_remove_peer(struct transport_peer *peer)
{
    struct error error;
    error_set(&error, ERROR_CLOSED, "node %s was removed", peer->name);
    for (struct link *link = peer->links; link != NULL; link = link->next) {
        close_one(&link->standing, &error);
        close_one(&link->dialing, &error);
        requests_fail(link, &error);
    }
    peer_destroy(peer);
}

enum error_code transport_add_peer(struct transport *transport, const char *name,
                                   const char *address, struct transport_peer **peer_out,
                                   struct error *error)
{
    if (!transport_name_is_valid(text_of(name)))
        return error_set(error, ERROR_INVALID, "'%s' is no name of a node", name);
    if (strcmp(name, transport->name) == 0)
        return error_set(error, ERROR_INVALID, "node %s is this node", name);
    if (strlen(address) > TRANSPORT_ADDRESS_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "node %s: its address is too long", name);
    struct transport_peer *peer = transport_find_name(transport, text_of(name));
    if (peer == NULL)
        peer = peer_create(transport, text_of(name));
    if (peer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "node %s: out of memory", name);
    if (address[0] != '\0') {
        snprintf(peer->address, sizeof peer->address, "%s", address);
        peer->has_own_address = true;
    }
    link_dial_later(peer->links, grace_ms(peer->links));
    *peer_out = peer;
    return ERROR_NONE;
}

struct transport_peer *transport_find_name(struct transport *transport, struct text name)
{
    struct transport_peer *peer = transport->peers;
    while (peer != NULL && !text_equal(text_of(peer->name), name))
        peer = peer->next;
    return peer;
}

struct transport_peer *transport_find_node(struct transport *transport, uint64_t node_id)
{
    struct transport_peer *peer = transport->peers;
    while (peer != NULL && (peer->node_id != node_id || node_id == 0))
        peer = peer->next;
    return peer;
}

struct text transport_peer_name(const struct transport_peer *peer)
{
    return text_of(peer->name);
}

struct text transport_peer_address(const struct transport_peer *peer)
{
    return text_of(peer->address);
}

uint64_t transport_peer_node_id(const struct transport_peer *peer)
{
    return peer->node_id;
}

uint64_t transport_peer_incarnation(const struct transport_peer *peer)
{
    return peer->incarnation;
}

struct connection *peer_main(struct transport_peer *peer, uint32_t lane)
{
    struct connection *any = NULL;
    for (struct link *link = peer->links; link != NULL; link = link->next) {
        if (link->kind != CONNECTION_MAIN || link->standing == NULL)
            continue;
        if (link->lane == lane)
            return link->standing;
        if (any == NULL) /* the first is this lane's own */
            any = link->standing;
    }
    return any;
}

struct connection *peer_bulk(struct transport_peer *peer)
{
    for (struct link *link = peer->links; link != NULL; link = link->next)
        if (link->kind == CONNECTION_BULK && link->standing != NULL &&
            !link->standing->is_leaving && !link->standing->is_being_left)
            return link->standing;
    return NULL;
}

bool transport_peer_is_connected(const struct transport_peer *peer)
{
    for (const struct link *link = peer->links; link != NULL; link = link->next)
        if (link->kind == CONNECTION_MAIN && link->standing != NULL)
            return true;
    return false;
}
