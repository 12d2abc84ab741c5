#include "placement/placement.h"

uint32_t placement_shard_to_split(const struct cluster_state *state)
{
    size_t count;
    const struct cluster_shard *shards = cluster_state_shards(state, &count);
    const struct cluster_shard *largest = NULL;
    for (size_t i = 0; i < count; i++)
        if (largest == NULL || shards[i].slot_count > largest->slot_count)
            largest = &shards[i];
    return largest == NULL || largest->slot_count < 2 ? CLUSTER_SHARD_NONE : largest->shard_id;
}

/* The slots of the shard behind its first `kept`, as ranges; how many. */
static size_t list_upper(const struct cluster_state *state, uint32_t shard_id, uint32_t kept,
                         struct slot_range *ranges)
{
    size_t count = 0;
    uint32_t from = 0;
    struct slot_range range;
    while (cluster_state_next_range(state, shard_id, from, &range)) {
        from = (uint32_t)range.first + range.count;
        uint32_t stays = kept < range.count ? kept : range.count;
        kept -= stays;
        if (stays == range.count)
            continue;
        ranges[count++] = (struct slot_range){.first = (uint16_t)(range.first + stays),
                                              .count = (uint16_t)(range.count - stays)};
    }
    return count;
}

enum error_code placement_split(const struct cluster_state *state, uint32_t shard_id,
                                struct arena *arena, struct cluster_entry *entry_out,
                                struct error *error)
{
    size_t shard_count;
    const struct cluster_shard *shard = cluster_state_find_shard(state, shard_id);
    cluster_state_shards(state, &shard_count);
    if (shard == NULL)
        return error_set(error, ERROR_NOT_FOUND, "shard %u", shard_id);
    if (shard->slot_count < 2)
        return error_set(error, ERROR_LIMIT, "shard %u has one slot only", shard_id);
    struct slot_range *ranges = arena_array(arena, SLOT_COUNT / 2, sizeof *ranges);
    if (ranges == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "split");
    uint32_t kept = (shard->slot_count + 1) / 2;
    *entry_out = (struct cluster_entry){
        .kind = CLUSTER_SPLIT,
        .split =
            {
                .shard_id = shard_id,
                .generation = shard->generation,
                .new_shard_id = (uint32_t)shard_count,
                .new_group_id = cluster_state_facts(state)->next_group_id,
                .ranges = ranges,
                .range_count = list_upper(state, shard_id, kept, ranges),
                .replicas = shard->replicas,
            },
    };
    return ERROR_NONE;
}
