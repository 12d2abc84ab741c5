#include "view.h"

/* What the desired replicas of a shard still have to copy, and how many are done. */
static void add_shard(const struct placement_observation *observation,
                      const struct placement_limits *limits, const struct cluster_shard *shard,
                      struct placement_progress *progress)
{
    const struct placement_shard_view *view = view_of_shard(observation, shard->shard_id);
    progress->planned += shard->replicas.count;
    if (view == NULL)
        return;
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        uint64_t node_id = shard->replicas.node_ids[i];
        const struct placement_member *member = view_of_member(view, node_id);
        if (member_is_healthy(observation, limits, view, node_id))
            progress->done++;
        else if (member == NULL || member->role == PLACEMENT_SPARE)
            progress->bytes_left += view->size_bytes;
        else
            progress->bytes_left += member->bytes_behind;
    }
}

struct placement_progress placement_progress(const struct cluster_state *state,
                                             const struct placement_observation *observation,
                                             const struct placement_limits *limits)
{
    struct placement_progress progress = {0};
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    for (size_t i = 0; i < count; i++)
        add_shard(observation, limits, &shards[i], &progress);
    return progress;
}

struct placement_progress placement_drain_progress(const struct cluster_state *state,
                                                   const struct placement_observation *observation,
                                                   const struct placement_limits *limits,
                                                   uint64_t node_id)
{
    struct placement_progress progress = {0};
    const struct cluster_node *node = cluster_state_find_node(state, node_id);
    size_t count;
    uint32_t left = 0;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    for (size_t i = 0; i < count; i++) {
        const struct placement_shard_view *view = view_of_shard(observation, (uint32_t)i);
        bool desired = cluster_replicas_has(&shards[i].replicas, node_id);
        struct placement_progress of_shard = {0};
        if (!desired && (view == NULL || view_of_member(view, node_id) == NULL))
            continue;
        left++;
        add_shard(observation, limits, &shards[i], &of_shard);
        /* Not begun: a whole copy is to be made. */
        progress.bytes_left += desired && view != NULL ? view->size_bytes : of_shard.bytes_left;
    }
    uint32_t began_with = node == NULL ? 0 : node->draining_from;
    progress.planned = began_with > left ? began_with : left;
    progress.done = progress.planned - left;
    return progress;
}
