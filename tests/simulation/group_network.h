/*
 * group_network - the letters between the nodes of a cluster: lost, doubled, late, cut off, or held
 * back by a scenario until it lets them go.
 */
#ifndef GROUP_NETWORK_H
#define GROUP_NETWORK_H

#include "group_cluster.h"

extern const struct group_transport_operations NETWORK_OPERATIONS;

#endif
