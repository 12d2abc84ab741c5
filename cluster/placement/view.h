/*
 * view - questions about what was observed.
 */
#ifndef PLACEMENT_VIEW_H
#define PLACEMENT_VIEW_H

#include "placement/placement.h"

/* NULL: nothing is known of it. */
const struct placement_node_view *view_of_node(const struct placement_observation *observation,
                                               uint64_t node_id);

bool node_is_alive(const struct placement_observation *observation, uint64_t node_id);

/* NULL: no leader is known. */
const struct placement_shard_view *view_of_shard(const struct placement_observation *observation,
                                                 uint32_t shard_id);

/* NULL: it is no member. */
const struct placement_member *view_of_member(const struct placement_shard_view *view,
                                              uint64_t node_id);

/* A vote, alive and caught up. */
bool member_is_healthy(const struct placement_observation *observation,
                       const struct placement_limits *limits,
                       const struct placement_shard_view *view, uint64_t node_id);

#endif
