/* What is seen of groups while they run: in one term one node leads, whoever sees it and however
 * long ago that was; and no replica goes whose answers its leader counts. */
#include <assert.h>
#include <stdlib.h>

#include "cluster_world.h"

/* --- Leaders --------------------------------------------------------------------------------- */

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

/* --- Replicas that go ------------------------------------------------------------------------ */

/* Of the newest term; NULL: none is known. A reference. */
static struct replica *hold_leader(struct world *world, uint32_t shard_id, struct node **node_out)
{
    struct replica *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct replica *replica = node->is_alive ? replica_table_hold(node->table, shard_id) : NULL;
        struct group_status status;
        if (replica == NULL)
            continue;
        replica_group_status(replica, &status);
        if (replica_is_ready(replica) && status.term > term) {
            if (leader != NULL)
                replica_table_release((*node_out)->table, shard_id);
            term = status.term;
            leader = replica;
            *node_out = node;
        } else {
            replica_table_release(node->table, shard_id);
        }
    }
    return leader;
}

static void check_gone(struct node *gone, uint32_t shard_id)
{
    struct world *world = gone->world;
    struct group_peer peers[CONSENSUS_MEMBERS_MAX];
    struct node *node;
    struct replica *leader = hold_leader(world, shard_id, &node);
    if (leader == NULL)
        return;
    size_t count = replica_peers(leader, peers);
    for (size_t i = 0; i < count; i++)
        if (peers[i].node_id == gone->node_id && peers[i].matched_index > 0 && peers[i].is_heard)
            world_fail(world, "%s has removed its replica of shard %u, which %s counts on",
                       gone->name, shard_id, node->name);
    replica_table_release(node->table, shard_id);
}

static bool is_whole(struct world *world, uint32_t shard_id)
{
    struct group_peer peers[CONSENSUS_MEMBERS_MAX];
    struct node *node;
    struct replica *leader = hold_leader(world, shard_id, &node);
    if (leader == NULL)
        return false;
    size_t count = replica_peers(leader, peers);
    bool is_whole = count >= 3;
    for (size_t i = 0; i < count; i++)
        is_whole = is_whole && peers[i].role == CONSENSUS_ROLE_VOTER && peers[i].matched_index > 0;
    replica_table_release(node->table, shard_id);
    return is_whole;
}

bool world_children_are_whole(struct world *world)
{
    for (uint32_t shard = world->founding_shards; shard < world->shard_count; shard++)
        if (!is_whole(world, shard))
            return false;
    return true;
}

static void look_at_replicas(struct node *node)
{
    bool is_new = node->seen_life != node->life;
    for (uint32_t shard = 0; shard < node->world->shard_count; shard++) {
        struct replica *replica = replica_table_hold(node->table, shard);
        if (replica == NULL && node->seen_replicas[shard] && !is_new)
            check_gone(node, shard);
        node->seen_replicas[shard] = replica != NULL;
        if (replica != NULL)
            replica_table_release(node->table, shard);
    }
    node->seen_life = node->life;
}

/* --- All of it ------------------------------------------------------------------------------- */

void world_look_at_groups(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        size_t count = 0;
        if (!world->nodes[i].is_alive || world->nodes[i].meta == NULL)
            continue;
        (void)cluster_state_shards(meta_state(world->nodes[i].meta), &count);
        if (count > world->shard_count) {
            world->counts.splits += count - world->shard_count;
            world->shard_count = (uint32_t)count;
        }
    }
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].host != NULL)
            hosting_visit_loop(world->nodes[i].hosting, 0, look, &world->nodes[i]);
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].host != NULL)
            look_at_replicas(&world->nodes[i]);
}

void world_forget_leaders(struct world *world)
{
    for (size_t i = 0; i < WORLD_GROUPS; i++)
        free(world->leaders[i].items);
}
