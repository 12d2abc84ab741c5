/*
 * cluster_status - the answer of GET /api/v1/cluster as tables for people.
 */
#ifndef CLI_CLUSTER_STATUS_H
#define CLI_CLUSTER_STATUS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

void cluster_status_print(json_t *cluster, FILE *out);

/* How far a node is emptied; false when it is not draining any more or has nothing left. */
bool cluster_status_drain(json_t *cluster, const char *node, FILE *out);

#endif
