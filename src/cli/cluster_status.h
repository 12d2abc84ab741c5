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

/* What became of a split whose child is to be this shard. What is new since `before` is printed. */
enum cluster_split_progress {
    CLUSTER_SPLIT_UNKNOWN, /* to the node that was asked */
    CLUSTER_SPLIT_DECIDED, /* but nobody leads the child yet */
    CLUSTER_SPLIT_LED,
};
enum cluster_split_progress cluster_status_split(json_t *cluster, long long child,
                                                 enum cluster_split_progress before, FILE *out);

/*
 * Why a shard can't be split yet, on a line without an end; false: it is as desired, or not known.
 * `name` is its number, NULL: the one with the most slots.
 */
bool cluster_status_awaits(json_t *cluster, const char *name, char *text, size_t size);

#endif
