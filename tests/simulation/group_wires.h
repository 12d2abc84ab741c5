/*
 * group_wires - the nodes of a cluster joined by their real transports, over a simulated network,
 * in place of letters: what is cut off waits or loses its connection, and nothing else gets lost.
 */
#ifndef GROUP_WIRES_H
#define GROUP_WIRES_H

#include "group_cluster.h"
#include "simulated_network.h"

struct cluster_wires;

struct cluster_wires *wires_create(struct cluster *cluster);
void wires_destroy(struct cluster_wires *wires);

/* The node's transport and link; its host sends by the transport returned. */
struct group_transport *wires_open(struct cluster_wires *wires, struct cluster_node *node);
void wires_attach(struct cluster_wires *wires, struct cluster_node *node);

/* Nothing is delivered to the node's host from now on. */
void wires_detach(struct cluster_wires *wires, struct cluster_node *node);

/* After its host. A node that crashed says no goodbye. */
void wires_close(struct cluster_wires *wires, struct cluster_node *node, bool is_crash);

/* Follow what the cluster says is cut off; now and then break a connection. */
void wires_follow(struct cluster_wires *wires);

#endif
