/*
 * node_cluster_metrics - what a node knows of its cluster, as figures that any thread may read.
 *
 * Loop 0 notes them as it learns from the meta group; the age of what it heard is one of them, so
 * that figures that stand still can be told.
 */
#ifndef SERVER_NODE_CLUSTER_METRICS_H
#define SERVER_NODE_CLUSTER_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "membership/cluster_state.h"
#include "meta/meta.h"

struct node;

/* Zeros: nothing is known yet. */
struct cluster_figures {
    /* As the leader of the meta group sees it. */
    _Atomic uint64_t nodes_alive;
    _Atomic uint64_t nodes_dead; /* and have not left */
    _Atomic uint64_t shards_without_leader;
    _Atomic int64_t clock_ahead_ms; /* of this node's wall clock before the agreed time */
    _Atomic uint64_t observed_ms;   /* monotonic, when it was heard; 0: never */
    /* Of the shards that this node leads. */
    _Atomic uint64_t shards_led;
    _Atomic uint64_t replicas_missing; /* desired, and do not vote, or without the state (yet) */
    _Atomic uint64_t behind_bytes_max; /* what the worst of their replicas lacks */
    _Atomic uint64_t state_version;    /* in force */
};

/* Loop 0. */
void cluster_figures_observe(struct cluster_figures *figures, const struct cluster_state *state,
                             const struct meta_view *view, int64_t wall_ms, uint64_t now_ms);
void cluster_figures_report(struct cluster_figures *figures, const struct cluster_state *state,
                            const struct meta_report *report);

/* Nothing of a node that is alone. False: no memory. */
bool node_add_cluster_metrics(struct node *node);

#endif
