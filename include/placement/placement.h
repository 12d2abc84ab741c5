/*
 * placement - where the replicas and leaders of shards shall be, and the next step towards it.
 *
 * Pure functions of what is desired (the state of the cluster) and what is observed: the same
 * arguments give the same answer. Nothing is remembered between calls; what was planned and did
 * not happen is planned again, or not, from what is then the case.
 */
#ifndef PLACEMENT_PLACEMENT_H
#define PLACEMENT_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "membership/cluster_state.h"

/* --- What is observed ---------------------------------------------------------------------- */

enum {
    PLACEMENT_MEMBERS_MAX = 16,
    /* A member that has not got the state of its group yet, be it a voter, is so far behind at
     * least: further than any limit for one that has caught up. */
    PLACEMENT_BYTES_LACKING = 64 * 1024 * 1024,
};

/* As in consensus. */
enum placement_role {
    PLACEMENT_STANDBY, /* gets the log, has no vote */
    PLACEMENT_VOTER,
    PLACEMENT_SPARE, /* known, but nothing is sent to it */
};

struct placement_member {
    uint64_t node_id;
    enum placement_role role;
    uint64_t
        bytes_behind; /* what it lacks of the leader's files and log; PLACEMENT_BYTES_LACKING */
};

/* What the leader of a shard's group tells of it. */
struct placement_shard_view {
    uint64_t leader;         /* node; 0: none is known, and nothing below counts */
    int64_t leader_since_ms; /* when it began to lead */
    bool transferring;       /* leadership is being handed over */
    uint64_t size_bytes;     /* of a whole replica */
    size_t member_count;
    struct placement_member members[PLACEMENT_MEMBERS_MAX]; /* [member_count] */
};

/* A node without a view is taken for one that has just died. */
struct placement_node_view {
    uint64_t node_id;
    bool alive;
    bool slow_disk;        /* shall not lead */
    int64_t dead_since_ms; /* unless alive */
};

struct placement_observation {
    int64_t now_ms;
    const struct placement_node_view *nodes; /* [node_count], by rising id */
    size_t node_count;
    const struct placement_shard_view *shards; /* [shard_count], by shard id; those beyond have no
                                                * leader */
    size_t shard_count;
};

struct placement_limits {
    int64_t replace_after_ms;  /* a node dead for so long gets substitutes */
    uint64_t caught_up_bytes;  /* a member that is not further behind may have a vote; below
                                * PLACEMENT_BYTES_LACKING */
    uint32_t moves_total;      /* shards with a replica being made, > 0 */
    uint32_t moves_per_node;   /* of them to one node, and from one node, > 0 */
    uint32_t transfers_total;  /* leaders handed over at a time, > 0 */
    int64_t transfer_pause_ms; /* so long a leader is left alone, unless its node drains */
};

/* --- The plan of the cluster: for the leader of the meta group ------------------------------ */

struct placement_transfer {
    uint32_t shard_id;
    uint64_t from;
    uint64_t to;
};

struct placement_plan {
    struct cluster_assign *assigns; /* [assign_count], by shard id: to be proposed */
    size_t assign_count;
    struct placement_transfer *transfers; /* [transfer_count]: to be asked of the leaders */
    size_t transfer_count;
};

/*
 * What to change next. In this order: replicas on nodes that left or are dead for too long get
 * substitutes, missing ones are added, draining nodes are emptied, superfluous replicas go; those
 * that share a zone while another is free are moved, then counts per node are evened. One replica
 * of a shard at a time, and what could stay where it is only where the whole shard is healthy. A
 * replica is given up without a substitute only when its node has left. Leaders leave draining
 * nodes and slow disks, and are evened over nodes, then over zones of equal size.
 *
 * An empty plan is a steady state, or one that waits. Memory is from `arena`.
 *
 * Errors: OUT_OF_MEMORY.
 */
enum error_code placement_plan(const struct cluster_state *state,
                               const struct placement_observation *observation,
                               const struct placement_limits *limits, struct arena *arena,
                               struct placement_plan *plan_out, struct error *error);

/* --- The next step of one group: for the leader of the shard -------------------------------- */

enum placement_step_kind {
    PLACEMENT_STEP_NONE,     /* as desired, or something has to come first */
    PLACEMENT_STEP_ADD,      /* as a spare */
    PLACEMENT_STEP_CATCH_UP, /* the spare becomes a standby */
    PLACEMENT_STEP_PROMOTE,  /* the standby becomes a voter */
    PLACEMENT_STEP_TRANSFER, /* the node shall lead, since the leader is to go */
    PLACEMENT_STEP_DEMOTE,   /* the voter becomes a standby */
    PLACEMENT_STEP_REMOVE,   /* it has no vote */
};

struct placement_step {
    enum placement_step_kind kind;
    uint64_t node_id; /* unless NONE */
};

/*
 * A node that comes gets its vote before one that goes loses it. The healthy voters are a majority
 * before and after each step, and a healthy one goes only when all desired ones are healthy; so
 * does a copy without a vote that has caught up.
 * The same step may come again until it is observed: take it only when no change is under way.
 */
struct placement_step placement_next_step(const struct cluster_state *state,
                                          const struct placement_observation *observation,
                                          const struct placement_limits *limits, uint32_t shard_id);

/* Whether the members of the shard's group are those desired, each with a vote and, as far as the
 * leader knows, with the state: a founder of a shard that was split off may have the one without
 * the other. */
bool placement_is_settled(const struct cluster_state *state,
                          const struct placement_observation *observation, uint32_t shard_id);

/* --- Splitting ----------------------------------------------------------------------------- */

/* The shard with the most slots, the first of them; CLUSTER_SHARD_NONE when none has two. */
uint32_t placement_shard_to_split(const struct cluster_state *state);

/*
 * An entry that gives the upper half of a shard's slots to a new one on the same nodes, from where
 * it moves like any other. Ranges are from `arena`.
 *
 * Errors: NOT_FOUND (shard), LIMIT (one slot), OUT_OF_MEMORY.
 */
enum error_code placement_split(const struct cluster_state *state, uint32_t shard_id,
                                struct arena *arena, struct cluster_entry *entry_out,
                                struct error *error);

/* --- For display --------------------------------------------------------------------------- */

struct placement_progress {
    uint32_t planned;    /* replicas */
    uint32_t done;       /* of them */
    uint64_t bytes_left; /* to be copied for the others */
};

/* How far a node is emptied: replicas that it had when its draining began, and those gone. */
struct placement_progress placement_drain_progress(const struct cluster_state *state,
                                                   const struct placement_observation *observation,
                                                   const struct placement_limits *limits,
                                                   uint64_t node_id);

/* All desired replicas of the cluster, and those that are healthy voters. */
struct placement_progress placement_progress(const struct cluster_state *state,
                                             const struct placement_observation *observation,
                                             const struct placement_limits *limits);

#endif
