/* In one term one node leads a group, whoever sees it and however long ago that was. */
#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"

static void note(struct world *world, size_t group, uint64_t term, uint64_t node_id)
{
    struct seen_leaders *seen = &world->leaders[group];
    size_t place = seen->count;
    while (place > 0 && seen->items[place - 1].term > term)
        place--;
    if (place > 0 && seen->items[place - 1].term == term) {
        if (seen->items[place - 1].node_id != node_id)
            world_fail(world, "group %zu has leaders %llu and %llu in term %llu", group,
                       (unsigned long long)seen->items[place - 1].node_id,
                       (unsigned long long)node_id, (unsigned long long)term);
        return;
    }
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity * 2 + 16;
        seen->items = realloc(seen->items, seen->capacity * sizeof *seen->items);
        assert(seen->items != NULL);
    }
    for (size_t i = seen->count; i > place; i--)
        seen->items[i] = seen->items[i - 1];
    seen->items[place] = (struct seen_leader){term, node_id};
    seen->count++;
}

static void look(void *context, uint32_t shard_id, struct replica *replica)
{
    struct node *node = context;
    struct group_status status;
    replica_group_status(replica, &status);
    if (status.state == GROUP_STATE_LEADER)
        note(node->world, shard_id, status.term, node->node_id);
    else if (status.leader_id != 0)
        note(node->world, shard_id, status.term, status.leader_id);
}

void world_look_at_leaders(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].host != NULL)
            hosting_visit_loop(world->nodes[i].hosting, 0, look, &world->nodes[i]);
}

void world_forget_leaders(struct world *world)
{
    for (size_t i = 0; i < WORLD_GROUPS; i++)
        free(world->leaders[i].items);
}
