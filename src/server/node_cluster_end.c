/* The end of a node in a cluster, in steps of node_drain.c. */
#include "base/log.h"

#include "node_cluster.h"

enum { HAND_OVER_MS = 8 * 1000, TRANSPORT_PATIENCE_MS = 1000 };

void node_cluster_hand_over(struct node_loop *loop, void (*done)(void *context), void *context)
{
    hosting_hand_over(loop->node->hosting, loop->number, HAND_OVER_MS, done, context);
}

/* --- Meta ------------------------------------------------------------------------------------ */

static void rescue_closed(void *context)
{
    struct node_cluster *cluster = context;
    struct meta *meta = cluster->meta;
    cluster->meta = NULL; /* nobody asks it any more */
    meta_close(meta, cluster->meta_closed, cluster->meta_closed_context);
}

void node_cluster_close_meta(struct node *node, void (*done)(void *context), void *context)
{
    struct node_cluster *cluster = node->cluster;
    struct rescue *rescue = cluster->rescue;
    cluster->rescue = NULL;
    cluster->meta_closed = done;
    cluster->meta_closed_context = context;
    rescue_close(rescue, rescue_closed, cluster);
}

/* --- Network --------------------------------------------------------------------------------- */

static void transfer_closed(void *context)
{
    struct node_loop *loop = context;
    network_system_close(loop->environment.network);
    loop->environment.network = NULL;
}

static void transport_closed(void *context)
{
    struct node_loop *loop = context;
    struct transfer *transfer = loop->transfer;
    loop->transfer = NULL;
    transfer_close(transfer, transfer_closed, loop);
}

void node_cluster_close_network(struct node_loop *loop, void (*done)(void *context), void *context)
{
    fanout_detach(loop->node->fanout, loop->number);
    struct transport *transport = loop->transport;
    loop->network_closed = done;
    loop->network_closed_context = context;
    group_link_deliver_to(loop->link, NULL);
    loop->transport = NULL;
    transport_close(transport, TRANSPORT_PATIENCE_MS, transport_closed, loop);
}
