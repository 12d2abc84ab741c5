/*
 * cluster_version - `gnomon cluster version`: the state-machine version in force, and what nodes
 * know.
 *
 * Returns the exit code: 0, or 1 when it was refused.
 */
#ifndef CLI_CLUSTER_VERSION_H
#define CLI_CLUSTER_VERSION_H

#include "cli/node_client.h"

enum cluster_version_order { CLUSTER_VERSION_SHOW, CLUSTER_VERSION_HOLD, CLUSTER_VERSION_RAISE };

int cluster_version(const struct node_client *client, enum cluster_version_order order);

#endif
