/*
 * model - a cluster as the planner sees it, without data: groups with members that catch up, nodes
 * that die and come back, entries and steps that are carried out late, twice or not at all.
 *
 * It checks each step as it is taken: whatever dies by itself, nothing that was decided may take a
 * majority away. A run is its seed.
 */
#ifndef UNIT_PLACEMENT_MODEL_H
#define UNIT_PLACEMENT_MODEL_H

#include "placement/formation.h"
#include "placement/placement.h"
#include "platform/random.h"

enum {
    MODEL_NODES_MAX = 64, /* that ever were */
    MODEL_SHARDS_MAX = 96,
    MODEL_TICK_MS = 1000,
    MODEL_SHARD_BYTES = 4 << 20,
};

struct model_node {
    bool known;
    bool alive;
    bool slow_disk;
    int64_t dead_since_ms;
};

struct model_group {
    struct placement_shard_view view; /* the truth */
    uint64_t transfer_to;
};

/* What somebody once saw. */
struct model_sight {
    struct placement_node_view nodes[MODEL_NODES_MAX];
    struct placement_shard_view shards[MODEL_SHARDS_MAX];
    struct placement_observation observation;
};

struct model {
    struct random_generator random;
    struct cluster_state *state;
    uint64_t log_index;
    int64_t now_ms;
    struct placement_limits limits;
    struct model_node nodes[MODEL_NODES_MAX]; /* by id */
    struct model_group groups[MODEL_SHARDS_MAX];
    struct model_sight sight; /* fresh */
    struct model_sight old_sight;
    struct cluster_assign late;       /* an entry on its way; shard CLUSTER_SHARD_NONE: none */
    size_t assigns, transfers, steps; /* carried out */
    size_t ticks;
    bool reliable; /* nothing gets lost */
};

struct model_options {
    uint32_t node_count, zone_count, shard_count, replication;
};

struct model *model_create(uint64_t seed, const struct model_options *options);
void model_destroy(struct model *model);

uint32_t model_below(struct model *model, uint32_t bound);

/* Accepted or refused. */
enum cluster_refusal model_apply(struct model *model, const struct cluster_entry *entry);

/* A second passes: elections, copies, a plan, steps. Whether anything was decided or done. */
bool model_tick(struct model *model);

/* Until nothing was done for a while; false: not within `ticks_max`. */
bool model_settle(struct model *model, size_t ticks_max);

/* The id of a new node, active. */
uint64_t model_join(struct model *model, const char *zone);
void model_kill(struct model *model, uint64_t node_id);
void model_start(struct model *model, uint64_t node_id);
enum cluster_refusal model_set_state(struct model *model, uint64_t node_id,
                                     enum cluster_node_state state);

/* Whether all groups have a majority of voters that are alive, also without the node. */
bool model_can_spare(const struct model *model, uint64_t node_id);

size_t model_group_count(const struct model *model);

#endif
