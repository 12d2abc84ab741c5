#include "view.h"

const struct placement_node_view *view_of_node(const struct placement_observation *observation,
                                               uint64_t node_id)
{
    size_t low = 0, high = observation->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (observation->nodes[middle].node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < observation->node_count && observation->nodes[low].node_id == node_id;
    return there ? &observation->nodes[low] : NULL;
}

bool node_is_alive(const struct placement_observation *observation, uint64_t node_id)
{
    const struct placement_node_view *view = view_of_node(observation, node_id);
    return view != NULL && view->alive;
}

const struct placement_shard_view *view_of_shard(const struct placement_observation *observation,
                                                 uint32_t shard_id)
{
    if (shard_id >= observation->shard_count || observation->shards[shard_id].leader == 0)
        return NULL;
    return &observation->shards[shard_id];
}

const struct placement_member *view_of_member(const struct placement_shard_view *view,
                                              uint64_t node_id)
{
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].node_id == node_id)
            return &view->members[i];
    return NULL;
}

bool member_is_healthy(const struct placement_observation *observation,
                       const struct placement_limits *limits,
                       const struct placement_shard_view *view, uint64_t node_id)
{
    const struct placement_member *member = view_of_member(view, node_id);
    return member != NULL && member->role == PLACEMENT_VOTER &&
           member->bytes_behind <= limits->caught_up_bytes && node_is_alive(observation, node_id);
}

bool placement_is_settled(const struct cluster_state *state,
                          const struct placement_observation *observation, uint32_t shard_id)
{
    const struct cluster_shard *shard = cluster_state_find_shard(state, shard_id);
    const struct placement_shard_view *view = view_of_shard(observation, shard_id);
    if (shard == NULL || view == NULL || view->member_count != shard->replicas.count)
        return false;
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].role != PLACEMENT_VOTER ||
            view->members[i].bytes_behind >= PLACEMENT_BYTES_LACKING ||
            !cluster_replicas_has(&shard->replicas, view->members[i].node_id))
            return false;
    return true;
}
