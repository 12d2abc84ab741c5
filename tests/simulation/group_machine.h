/*
 * group_machine - the state machine of the simulated groups: a list of values, by index. Each goes
 * to the checker as it is applied.
 */
#ifndef GROUP_MACHINE_H
#define GROUP_MACHINE_H

#include "group_cluster.h"

extern const struct state_machine_operations MACHINE_OPERATIONS;

/* Bytes that tell the value and whether any of them was altered. */
void machine_fill_payload(uint8_t *payload, size_t size_bytes, uint64_t value);

/* A replica that follows goes on with the state of another one, as far as that has applied; whether
 * it does. */
bool cluster_adopt(struct cluster *cluster, size_t node, size_t from, size_t group_number);

/* What recovery read is dropped when every group of the node has applied it. */
void machine_close_recovery(struct cluster_node *node);

#endif
