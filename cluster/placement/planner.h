/*
 * planner - what is desired and observed, as numbers: nodes are places in an array, and the desired
 * replicas are a working copy that moves are tried on.
 */
#ifndef PLACEMENT_PLANNER_H
#define PLACEMENT_PLANNER_H

#include "placement/placement.h"

enum { PLACE_NONE = UINT16_MAX };

struct planner_node {
    const struct cluster_node *node;
    uint16_t zone;    /* number of its zone */
    bool alive;       /* answers now */
    bool takes;       /* may be given a replica now */
    bool stays;       /* may keep those that it has */
    bool leaves_soon; /* left, or dead for too long: does not wait for health */
    bool gone;        /* left: need not be replaced to be given up */
    bool may_lead;
    uint32_t replicas; /* that are desired here, in the working copy */
    uint32_t leads;    /* shards that it leads, with transfers that are planned */
    uint32_t coming;   /* replicas that are being made here */
    uint32_t going;    /* members that are to go when another has come */
};

struct planner_shard {
    const struct cluster_shard *shard;
    const struct placement_shard_view *view; /* NULL: no leader is known */
    bool calm;                               /* there is a leader, and no replica is being made */
    bool whole;                              /* members are those desired, all are healthy */
    bool moving;                             /* a replica is being made, or is to be by this plan */
    bool touched;                            /* its replicas, by this plan */
    bool handed_over;                        /* its leadership, by this plan */
    uint32_t healthy;
    uint32_t count;
    uint16_t replicas[CLUSTER_REPLICAS_MAX + 1]; /* [count] places; one more while it moves */
    bool is_healthy[CLUSTER_REPLICAS_MAX];       /* of each, until it is touched */
    uint16_t leader;                             /* place; PLACE_NONE: none */
};

struct planner {
    const struct placement_limits *limits;
    struct arena *arena;
    int64_t now_ms;
    uint32_t replication;
    struct planner_node *nodes; /* [node_count], by id */
    size_t node_count;
    struct planner_shard *shards; /* [shard_count], by id */
    size_t shard_count;
    size_t zone_count;
    uint32_t moves; /* shards whose members change now, with those that are planned */
    uint32_t transfers;
};

/* Nodes and shards as they are desired, nothing observed. Errors: OUT_OF_MEMORY. */
enum error_code planner_init(struct planner *planner, const struct cluster_node *nodes,
                             size_t node_count, const struct cluster_shard *shards,
                             size_t shard_count, struct arena *arena, struct error *error);

void planner_observe(struct planner *planner, const struct placement_observation *observation);

/* PLACE_NONE: no such node. */
uint16_t planner_place(const struct planner *planner, uint64_t node_id);

bool shard_has(const struct planner_shard *shard, uint16_t place);

/* Replicas of the shard in the zone, but for the one at `without` (PLACE_NONE: all). */
uint32_t count_in_zone(const struct planner *planner, const struct planner_shard *shard,
                       uint16_t zone, uint16_t without);

/* The best node for a replica in the place of `out` (PLACE_NONE: one more): in the zone with the
 * fewest of the shard, then the one that has the fewest, then the first. PLACE_NONE: none. */
uint16_t best_target(const struct planner *planner, const struct planner_shard *shard, uint16_t out,
                     bool with_room_only);

/* Whether the limits allow it; either may be PLACE_NONE. A shard that moves already, and may wait
 * for just this, counts once. */
bool may_move(const struct planner *planner, const struct planner_shard *shard, uint16_t out,
              uint16_t in);
void move_replica(struct planner *planner, struct planner_shard *shard, uint16_t out, uint16_t in);

/* The passes of a plan, in their order. */
void plan_repairs(struct planner *planner);
void plan_drains(struct planner *planner);
void plan_zones(struct planner *planner);

/* Errors: OUT_OF_MEMORY. */
enum error_code plan_balance(struct planner *planner, struct error *error);
enum error_code plan_leaders(struct planner *planner, struct placement_plan *plan,
                             struct error *error);

#endif
