/*
 * whole_cluster - the cluster of the group simulation, with logs in memory, for unit tests: nodes,
 * network and checker are the same, what happens is written down in the test.
 */
#ifndef UNIT_GROUP_WHOLE_CLUSTER_H
#define UNIT_GROUP_WHOLE_CLUSTER_H

#include "../../simulation/group/journal_in_memory.c"
#include "../../simulation/group_checker.c"
#include "../../simulation/group_cluster.c"
#include "../../simulation/group_healing.c"
#include "../../simulation/group_machine.c"
#include "../../simulation/group_network.c"
#include "../../simulation/group_wires.c"

#endif
