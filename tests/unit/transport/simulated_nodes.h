/*
 * simulated_nodes - nodes with transports on a simulated network, for the tests of this folder.
 */
#ifndef TEST_SIMULATED_NODES_H
#define TEST_SIMULATED_NODES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "simulated_network.h"
#include "transport/transport.h"

enum { NODES_MAX = 4, NODE_LANES_MAX = 4 };

struct node {
    char name[16];
    size_t host;
    uint32_t lane_count;
    struct random_generator random;
    struct environment environments[NODE_LANES_MAX];
    struct transport *transports[NODE_LANES_MAX];
    struct transport_options options; /* of all lanes */
    unsigned connected, disconnected, drained;
    bool admits;
    bool is_open;
    unsigned closed;
};

static struct simulated_clock world_clock;
static struct simulated_scheduler world;
static struct simulated_network wires;
static struct node nodes[NODES_MAX];
static size_t node_count;

static inline void world_start(uint64_t seed)
{
    log_set_level(LOG_NOTHING);
    memset(nodes, 0, sizeof nodes);
    node_count = 0;
    simulated_clock_init(&world_clock);
    simulated_scheduler_init(&world, &world_clock, seed);
    simulated_network_init(&wires, &world, seed + 1000000);
}

static inline void run_ms(uint64_t duration_ms)
{
    simulated_scheduler_run_for(&world, duration_ms * 1000000);
}

static inline void node_connected(void *context, struct transport_peer *peer)
{
    (void)peer;
    ((struct node *)context)->connected++;
}

static inline void node_disconnected(void *context, struct transport_peer *peer)
{
    (void)peer;
    ((struct node *)context)->disconnected++;
}

static inline void node_drained(void *context, struct transport_peer *peer,
                                enum transport_class class)
{
    (void)peer;
    (void)class;
    ((struct node *)context)->drained++;
}

static inline bool node_admit(void *context, const struct transport_stranger *stranger)
{
    (void)stranger;
    return ((struct node *)context)->admits;
}

static const struct transport_events NODE_EVENTS = {
    .connected = node_connected,
    .disconnected = node_disconnected,
    .drained = node_drained,
    .admit = node_admit,
};

/* A node that is not open yet; change its options, then node_open. */
static inline struct node *node_add(const char *name, uint32_t lane_count)
{
    struct node *node = &nodes[node_count];
    node_count++;
    snprintf(node->name, sizeof node->name, "%s", name);
    node->host = simulated_network_add(&wires, name, lane_count);
    node->lane_count = lane_count;
    random_generator_init(&node->random, node->host + 77);
    node->options = (struct transport_options){
        .name = node->name,
        .listen_address = "x:1",
        .lane_count = lane_count,
        .incarnation = 1,
        .identity.node_id = node->host + 1,
        .events = &NODE_EVENTS,
        .context = node,
    };
    return node;
}

static inline void node_open(struct node *node)
{
    for (uint32_t lane = 0; lane < node->lane_count; lane++) {
        struct error error;
        node->environments[lane] = (struct environment){
            .scheduler = &world.base,
            .clock = &world_clock.base,
            .random = &node->random.base,
            .network = simulated_network_lane(&wires, node->host, lane),
        };
        node->options.environment = &node->environments[lane];
        node->options.lane = lane;
        assert_int_equal(transport_open(&node->options, &node->transports[lane], &error),
                         ERROR_NONE);
    }
    node->is_open = true;
}

static inline void node_knows(struct node *node, const struct node *other)
{
    char address[32];
    snprintf(address, sizeof address, "%s:1", other->name);
    for (uint32_t lane = 0; lane < node->lane_count; lane++) {
        struct transport_peer *peer;
        struct error error;
        assert_int_equal(
            transport_add_peer(node->transports[lane], other->name, address, &peer, &error),
            ERROR_NONE);
    }
}

/* Two of one lane each that know each other; not yet connected. */
static inline void pair_open(struct node **one, struct node **other)
{
    *one = node_add("a", 1);
    *other = node_add("b", 1);
    node_open(*one);
    node_open(*other);
    node_knows(*one, *other);
    node_knows(*other, *one);
}

static inline struct transport_peer *peer_of(struct node *node, uint32_t lane,
                                             const struct node *other)
{
    struct transport_peer *peer = transport_find_name(node->transports[lane], text_of(other->name));
    assert_non_null(peer);
    return peer;
}

static inline bool is_connected(struct node *node, uint32_t lane, const struct node *other)
{
    return transport_peer_is_connected(peer_of(node, lane, other));
}

struct statistics_of {
    const struct transport_peer *peer;
    struct transport_peer_statistics statistics;
};

static inline void statistics_visit(void *context, const struct transport_peer *peer,
                                    const struct transport_peer_statistics *statistics)
{
    struct statistics_of *of = context;
    if (peer == of->peer)
        of->statistics = *statistics;
}

static inline struct transport_peer_statistics statistics_of(struct node *node,
                                                             const struct node *other)
{
    struct statistics_of of = {.peer = peer_of(node, 0, other)};
    transport_visit_peers(node->transports[0], statistics_visit, &of);
    return of.statistics;
}

static inline void node_closed(void *context)
{
    ((struct node *)context)->closed++;
}

static inline void node_close(struct node *node, uint64_t patience_ms)
{
    for (uint32_t lane = 0; lane < node->lane_count; lane++)
        transport_close(node->transports[lane], patience_ms, node_closed, node);
    node->is_open = false;
}

/* Everything ends, nothing is left. */
static inline void world_end(void)
{
    for (size_t i = 0; i < node_count; i++)
        if (nodes[i].is_open)
            node_close(&nodes[i], 0);
    for (size_t i = 0; i < SIMULATED_HOSTS_MAX; i++)
        for (size_t j = 0; j < SIMULATED_HOSTS_MAX; j++)
            wires.links[i][j].is_stalled = false;
    while (simulated_scheduler_step(&world))
        ;
    for (size_t i = 0; i < node_count; i++)
        assert_true(nodes[i].closed >= nodes[i].lane_count);
    assert_int_equal(simulated_network_stream_count(&wires), 0);
    simulated_network_clear(&wires);
    simulated_scheduler_clear(&world);
}

#endif
