/*
 * paths - which chain of moves makes loads of nodes more even.
 *
 * A move from a full node to an empty one may be impossible, while one from the full node to a
 * third and one from there to the empty one are not. As for semi-matchings (Harvey, Ladner, Lovász,
 * Tamir, "Semi-matchings for bipartite graphs and load balancing", 2006): loads are as even as they
 * can be when there is no path of moves from a node to one that has two less.
 */
#ifndef PLACEMENT_PATHS_H
#define PLACEMENT_PATHS_H

#include "planner.h"

struct path_step {
    uint32_t shard; /* place */
    uint16_t from;
    uint16_t to;
};

struct paths {
    struct planner *planner;

    /* Call paths_reach for each node that one move from `from` leads to. */
    void (*visit)(struct paths *paths, uint16_t from);

    /* Whether a chain of moves from `from` to `to` is worth it. */
    bool (*wanted)(const struct paths *paths, uint16_t from, uint16_t to);

    uint16_t start;
    bool *reached;           /* [node_count] */
    struct path_step *steps; /* [node_count]: how each was reached */
    uint16_t *queue;         /* [node_count] */
    size_t queued;
    uint32_t *depths; /* [node_count] */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code paths_init(struct paths *paths, struct planner *planner, struct error *error);

/* Nodes that were reached before are not looked at again until then. */
void paths_reset(struct paths *paths);

/* A move of the shard leads from `from` to `to`. */
void paths_reach(struct paths *paths, uint16_t from, uint16_t to, uint32_t shard);

/*
 * The shortest chain from `start` to a node that is wanted, by `load` the least of them. Its last
 * step is *step_out, the others are found by going on from its `from` (paths_before). Chains are
 * at most `depth_max` long. False: none.
 */
bool paths_find(struct paths *paths, uint16_t start, uint32_t depth_max,
                uint32_t (*load)(const struct planner_node *node), struct path_step *step_out);

/* The step before; false: *step is the first. */
bool paths_before(const struct paths *paths, struct path_step *step);

#endif
