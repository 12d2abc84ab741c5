#include "group_wires.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../cluster/group/message.h"
#include "group/link.h"
#include "group_checker.h"
#include "transport/transport.h"

enum { CUT_ONE_IN_STEPS = 20000 };

struct wire_node {
    struct cluster_wires *wires;
    struct cluster_node *node;
    struct group_transport base; /* checks, then sends by the link */
    struct environment environment;
    struct transport *transport;
    struct group_link *link;
};

struct cluster_wires {
    struct cluster *cluster;
    struct simulated_network network;
    struct wire_node nodes[CLUSTER_NODES_MAX];
};

/* --- Events -------------------------------------------------------------------------------- */

static void wire_disconnected(void *context, struct transport_peer *peer)
{
    struct wire_node *wire = context;
    group_link_disconnected(wire->link, peer);
}

static void wire_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    struct wire_node *wire = context;
    (void)class;
    group_link_drained(wire->link, peer);
}

static const struct transport_events EVENTS = {
    .disconnected = wire_disconnected,
    .drained = wire_drained,
};

static bool checked_send(struct group_transport *self, uint64_t group_id, uint64_t node_id,
                         uint8_t *bytes, size_t size_bytes)
{
    struct wire_node *wire = (struct wire_node *)((char *)self - offsetof(struct wire_node, base));
    struct cluster *cluster = wire->wires->cluster;
    struct received_message message;
    struct error error;
    if (message_decode(bytes, size_bytes, &message, &error) != ERROR_NONE)
        cluster_fail(cluster, "node %llu sent: %s", (unsigned long long)wire->node->id,
                     error.message);
    cluster->counts.messages++;
    if (wire->node->alive)
        checker_sent(cluster, wire->node->id - 1, group_id - 1, &message.message, node_id - 1);
    received_message_clear(&message);
    struct group_transport *link = group_link_transport(wire->link);
    return link->operations->send(link, group_id, node_id, bytes, size_bytes);
}

static const struct group_transport_operations CHECKED = {.send = checked_send};

/* --- Life ---------------------------------------------------------------------------------- */

static void name_of(uint64_t node_id, char name[16])
{
    snprintf(name, 16, "node-%llu", (unsigned long long)node_id);
}

struct cluster_wires *wires_create(struct cluster *cluster)
{
    struct cluster_wires *wires = calloc(1, sizeof *wires);
    assert(wires != NULL);
    wires->cluster = cluster;
    simulated_network_init(&wires->network, &cluster->world->scheduler, cluster->settings.seed + 1);
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        char name[16];
        name_of(i + 1, name);
        (void)simulated_network_add(&wires->network, name, 1);
    }
    return wires;
}

void wires_destroy(struct cluster_wires *wires)
{
    simulated_network_clear(&wires->network);
    free(wires);
}

static void add_peers(struct wire_node *wire)
{
    struct cluster *cluster = wire->wires->cluster;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        char name[16], address[32];
        struct transport_peer *peer;
        struct error error;
        if (i + 1 == wire->node->id)
            continue;
        name_of(i + 1, name);
        snprintf(address, sizeof address, "%s:1", name);
        if (transport_add_peer(wire->transport, name, address, &peer, &error) != ERROR_NONE)
            cluster_fail(cluster, "peer: %s", error.message);
    }
}

struct group_transport *wires_open(struct cluster_wires *wires, struct cluster_node *node)
{
    struct wire_node *wire = &wires->nodes[node->id - 1];
    char name[16];
    name_of(node->id, name);
    *wire = (struct wire_node){
        .wires = wires,
        .node = node,
        .base = {.operations = &CHECKED},
        .environment = wires->cluster->world->base,
    };
    wire->environment.network = simulated_network_lane(&wires->network, node->id - 1, 0);
    struct transport_options options = {
        .environment = &wire->environment,
        .name = name,
        .listen_address = "x:1",
        .lane_count = 1,
        .incarnation = node->incarnation,
        .identity = {.cluster_id = {1}, .node_id = node->id},
        .events = &EVENTS,
        .context = wire,
    };
    struct error error;
    if (transport_open(&options, &wire->transport, &error) != ERROR_NONE ||
        group_link_create(wire->transport, &wire->link, &error) != ERROR_NONE)
        cluster_fail(wires->cluster, "transport: %s", error.message);
    add_peers(wire);
    return &wire->base;
}

void wires_attach(struct cluster_wires *wires, struct cluster_node *node)
{
    group_link_deliver_to(wires->nodes[node->id - 1].link, node->host);
}

void wires_detach(struct cluster_wires *wires, struct cluster_node *node)
{
    group_link_deliver_to(wires->nodes[node->id - 1].link, NULL);
}

static void transport_closed(void *context)
{
    ((struct cluster_node *)context)->closing--;
}

void wires_close(struct cluster_wires *wires, struct cluster_node *node, bool is_crash)
{
    struct wire_node *wire = &wires->nodes[node->id - 1];
    for (size_t i = 0; is_crash && i < wires->cluster->settings.node_count; i++)
        if (i + 1 != node->id)
            simulated_network_cut(&wires->network, node->id - 1, i);
    node->closing++;
    transport_close(wire->transport, 0, transport_closed, node);
    while (node->closing > 0)
        if (!simulated_scheduler_step(&wires->cluster->world->scheduler))
            cluster_fail(wires->cluster, "the transport of node %llu does not close",
                         (unsigned long long)node->id);
    group_link_destroy(wire->link);
    wire->link = NULL;
    wire->transport = NULL;
}

void wires_follow(struct cluster_wires *wires)
{
    struct cluster *cluster = wires->cluster;
    size_t count = cluster->settings.node_count;
    for (size_t from = 0; from < count; from++)
        for (size_t to = 0; to < count; to++)
            if (wires->network.links[from][to].is_stalled != cluster->cut[from][to])
                simulated_network_stall(&wires->network, from, to, cluster->cut[from][to]);
    if (cluster->loss_per_thousand == 0 || cluster_below(cluster, CUT_ONE_IN_STEPS) != 0)
        return;
    cluster->counts.cuts++;
    simulated_network_cut(&wires->network, cluster_below(cluster, (uint32_t)count),
                          cluster_below(cluster, (uint32_t)count));
}
