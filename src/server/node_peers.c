/* The network of each loop: transport, groups' messages, and the nodes to be connected to. */
#include <string.h>

#include "base/log.h"

#include "node_cluster.h"

/* --- What the transport says ----------------------------------------------------------------- */

static void on_disconnected(void *context, struct transport_peer *peer)
{
    struct node_loop *loop = context;
    group_link_disconnected(loop->link, peer);
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    struct node_loop *loop = context;
    if (class == TRANSPORT_APPEND || class == TRANSPORT_CONTROL)
        group_link_drained(loop->link, peer);
}

/* Meta's loop asks meta, which knows of nodes that join; the others go by the state. */
static bool on_admit(void *context, const struct transport_stranger *stranger)
{
    struct node_loop *loop = context;
    struct node_cluster *cluster = loop->node->cluster;
    if (loop->number == 0 && cluster->meta != NULL && meta_admit(cluster->meta, stranger))
        return true;
    (void)cluster_board_refresh(cluster->board, &loop->view);
    const struct cluster_node *node =
        loop->view == NULL
            ? NULL
            : cluster_state_find_name(cluster_view_state(loop->view), stranger->name);
    return node != NULL && node->state != CLUSTER_NODE_LEFT;
}

static const struct transport_events TRANSPORT_EVENTS = {
    .disconnected = on_disconnected,
    .drained = on_drained,
    .admit = on_admit,
};

/* --- Opening --------------------------------------------------------------------------------- */

static void network_closed(void *context)
{
    struct node_loop *loop = context;
    loop->network_closed(loop->network_closed_context);
}

enum error_code node_peers_open(struct node_loop *loop, struct error *error)
{
    struct node *node = loop->node;
    struct node_cluster *cluster = node->cluster;
    struct network_system_options network = {
        .lanes = cluster->lanes,
        .lane = (uint32_t)loop->number,
        .tls = cluster->tls,
        .closed = network_closed,
        .context = loop,
    };
    enum error_code code =
        network_system_open(loop->loop, &network, &loop->environment.network, error);
    if (code != ERROR_NONE)
        return code;
    struct transport_options options = {
        .environment = &loop->environment,
        .name = node->settings->cluster_node,
        .listen_address = cluster->addresses.listen,
        .advertise_address = cluster->addresses.advertise,
        .lane = (uint32_t)loop->number,
        .lane_count = (uint32_t)node->loop_count,
        .incarnation = cluster->incarnation,
        .events = &TRANSPORT_EVENTS,
        .context = loop,
    };
    code = transport_open(&options, &loop->transport, error);
    if (code == ERROR_NONE)
        code = group_link_create(loop->transport, &loop->link, error);
    if (code == ERROR_NONE) {
        struct transfer_options transfer = {
            .environment = &loop->environment,
            .transport = loop->transport,
            .budget = &cluster->transfer_budget,
        };
        code = transfer_create(&transfer, &loop->transfer, error);
    }
    return code;
}

/* --- Identity -------------------------------------------------------------------------------- */

enum error_code node_peers_identified(struct node_loop *loop, struct error *error)
{
    struct node *node = loop->node;
    struct node_cluster *cluster = node->cluster;
    struct transport_identity identity = {.node_id = cluster->node_id};
    memcpy(identity.cluster_id, cluster->cluster_id, sizeof identity.cluster_id);
    transport_set_identity(loop->transport, &identity);
    routing_set_node(loop->routing, cluster->node_id);
    fanout_set_node(node->fanout, cluster->node_id);
    enum error_code code = node_open_host(loop, cluster->node_id, error);
    if (code == ERROR_NONE)
        code = hosting_open(node->hosting, loop->number, loop->host, cluster->node_id,
                            node->recovery, error);
    if (code == ERROR_NONE)
        atomic_fetch_add(&cluster->loops_opened, 1);
    return code;
}

/* --- Slots ----------------------------------------------------------------------------------- */

/* Writes go by the slot map of the cluster. */
static void node_follow_slots(struct node_loop *loop, const struct cluster_state *state)
{
    const struct cluster_board *board = loop->node->cluster->board;
    size_t shard_count;
    (void)cluster_state_shards(state, &shard_count);
    if (shard_count == 0)
        return; /* not founded yet */
    struct slot_map slots = {
        .version = cluster_state_facts(state)->slot_map_version + 1,
        .shard_count = (uint32_t)shard_count,
    };
    cluster_board_slots(board, state, slots.shards);
    ingest_set_slots(loop->ingest, &slots);
    ingest_set_spread(loop->ingest, cluster_state_facts(state)->spread);
}

/* --- Peers ----------------------------------------------------------------------------------- */

void node_peers_follow(struct node_loop *loop)
{
    struct node *node = loop->node;
    (void)cluster_board_refresh(node->cluster->board, &loop->view);
    if (loop->view == NULL || loop->transport == NULL)
        return;
    const struct cluster_state *state = cluster_view_state(loop->view);
    node_follow_slots(loop, state);
    size_t count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = nodes[i].identity.name;
        struct transport_peer *peer;
        struct error error;
        if (strcmp(name, node->settings->cluster_node) == 0 || nodes[i].replaced_by != 0)
            continue;
        if (nodes[i].state == CLUSTER_NODE_LEFT) {
            peer = transport_find_name(loop->transport, text_of(name));
            if (peer != NULL)
                transport_remove_peer(peer);
            continue;
        }
        if (transport_add_peer(loop->transport, name, nodes[i].traits.address, &peer, &error) !=
            ERROR_NONE)
            log_event(LOG_ERROR, "server", "a node of the cluster can't be reached",
                      "node=%s error=\"%s\"", name, error.message);
    }
}
