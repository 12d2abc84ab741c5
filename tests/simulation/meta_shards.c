/* Groups of shards that only count members: a leader where most voters are alive, one step of
 * placement at a time, a transfer when it is asked for. */
#include <string.h>

#include "meta_world.h"

/* --- What is ------------------------------------------------------------------------------- */

static bool is_healthy(struct world *world, uint64_t node_id)
{
    return world_find(world, node_id) != NULL;
}

static struct placement_member *find_member(struct world_shard *shard, uint64_t node_id)
{
    for (size_t i = 0; i < shard->member_count; i++)
        if (shard->members[i].node_id == node_id)
            return &shard->members[i];
    return NULL;
}

/* The newest state that anybody has. */
static const struct cluster_state *newest_state(struct world *world)
{
    const struct cluster_state *newest = NULL;
    for (size_t i = 0; i < world->node_count; i++) {
        if (!world->nodes[i].is_alive)
            continue;
        const struct cluster_state *state = meta_state(world->nodes[i].meta);
        if (cluster_state_facts(state)->founded &&
            (newest == NULL ||
             cluster_state_facts(state)->index > cluster_state_facts(newest)->index))
            newest = state;
    }
    return newest;
}

static void elect(struct world *world, struct world_shard *shard)
{
    uint64_t alive[PLACEMENT_MEMBERS_MAX];
    size_t alive_count = 0, voters = 0;
    for (size_t i = 0; i < shard->member_count; i++) {
        if (shard->members[i].role != PLACEMENT_VOTER)
            continue;
        voters++;
        if (is_healthy(world, shard->members[i].node_id))
            alive[alive_count++] = shard->members[i].node_id;
    }
    shard->leader = 0;
    if (alive_count * 2 <= voters)
        return;
    shard->leader = alive[world_below(world, (uint32_t)alive_count)];
    shard->leader_since_ms = world_now_ms(world);
}

/* --- Steps --------------------------------------------------------------------------------- */

static void fill_view(struct world *world, struct world_shard *shard,
                      struct placement_shard_view *view_out)
{
    *view_out = (struct placement_shard_view){
        .leader = shard->leader,
        .leader_since_ms = (int64_t)shard->leader_since_ms,
        .size_bytes = 1000,
        .member_count = shard->member_count,
    };
    for (size_t i = 0; i < shard->member_count; i++) {
        shard->members[i].bytes_behind =
            is_healthy(world, shard->members[i].node_id) ? 0 : 1000000000;
        view_out->members[i] = shard->members[i];
    }
}

static void take_step(struct world *world, struct world_shard *shard,
                      const struct placement_step *step)
{
    struct placement_member *member = find_member(shard, step->node_id);
    switch (step->kind) {
    case PLACEMENT_STEP_NONE:
        return;
    case PLACEMENT_STEP_ADD:
        shard->members[shard->member_count++] =
            (struct placement_member){step->node_id, PLACEMENT_SPARE, 0};
        return;
    case PLACEMENT_STEP_CATCH_UP:
    case PLACEMENT_STEP_DEMOTE:
        member->role = PLACEMENT_STANDBY;
        return;
    case PLACEMENT_STEP_PROMOTE:
        member->role = PLACEMENT_VOTER;
        return;
    case PLACEMENT_STEP_TRANSFER:
        shard->leader = step->node_id;
        shard->leader_since_ms = world_now_ms(world);
        return;
    case PLACEMENT_STEP_REMOVE:
        *member = shard->members[--shard->member_count];
        return;
    }
}

static void step_shard(struct world *world, struct world_shard *shard, uint32_t shard_id)
{
    struct node *leader = world_find(world, shard->leader);
    struct placement_shard_view views[WORLD_SHARDS_MAX] = {0};
    struct placement_node_view nodes[WORLD_NODES_MAX * 4];
    size_t count;
    const struct cluster_state *state = meta_state(leader->meta);
    const struct cluster_node *known = cluster_state_nodes(state, &count);
    if (!cluster_state_facts(state)->founded || count > sizeof nodes / sizeof nodes[0])
        return;
    for (size_t i = 0; i < count; i++)
        nodes[i] = (struct placement_node_view){
            .node_id = known[i].node_id,
            .alive = is_healthy(world, known[i].node_id),
        };
    fill_view(world, shard, &views[shard_id]);
    struct placement_observation observation = {
        .now_ms = (int64_t)world_now_ms(world),
        .nodes = nodes,
        .node_count = count,
        .shards = views,
        .shard_count = shard_id + 1,
    };
    static const struct placement_limits LIMITS = {1000, 1000, 10, 10, 10, 1000};
    struct placement_step step = placement_next_step(state, &observation, &LIMITS, shard_id);
    take_step(world, shard, &step);
}

void shards_step(struct world *world)
{
    size_t count;
    const struct cluster_state *state = newest_state(world);
    if (state == NULL)
        return;
    const struct cluster_shard *desired = cluster_state_shards(state, &count);
    for (size_t i = 0; i < count && i < WORLD_SHARDS_MAX; i++) {
        struct world_shard *shard = &world->shards[i];
        if (!shard->exists) {
            shard->exists = true;
            for (uint32_t k = 0; k < desired[i].replicas.count; k++)
                shard->members[shard->member_count++] =
                    (struct placement_member){desired[i].replicas.node_ids[k], PLACEMENT_VOTER, 0};
        }
        if (!is_healthy(world, shard->leader))
            elect(world, shard);
        else
            step_shard(world, shard, (uint32_t)i);
    }
}

bool shards_are_settled(struct world *world)
{
    size_t count, node_count, takers = 0;
    const struct cluster_state *state = newest_state(world);
    const struct cluster_shard *desired = cluster_state_shards(state, &count);
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    for (size_t i = 0; i < node_count; i++)
        takers += cluster_node_takes_replicas(&nodes[i]) && is_healthy(world, nodes[i].node_id);
    uint32_t replication = cluster_state_facts(state)->replication;
    size_t wanted = takers < replication ? takers : replication;
    for (size_t i = 0; i < count; i++) {
        struct world_shard *shard = &world->shards[i];
        if (!shard->exists || !is_healthy(world, shard->leader) ||
            shard->member_count != desired[i].replicas.count || shard->member_count != wanted)
            return false;
        for (size_t k = 0; k < shard->member_count; k++)
            if (shard->members[k].role != PLACEMENT_VOTER ||
                !is_healthy(world, shard->members[k].node_id) ||
                !cluster_replicas_has(&desired[i].replicas, shard->members[k].node_id))
                return false;
    }
    return true;
}

/* --- What is told -------------------------------------------------------------------------- */

void shards_report(struct node *node, struct meta_report *report_out)
{
    struct world *world = node->world;
    size_t count = 0;
    for (uint32_t i = 0; i < WORLD_SHARDS_MAX; i++) {
        struct world_shard *shard = &world->shards[i];
        struct placement_shard_view view;
        if (!shard->exists || shard->leader != node->node_id)
            continue;
        fill_view(world, shard, &view);
        struct meta_shard_report *report = &node->reports[count++];
        *report = (struct meta_shard_report){
            .shard_id = i,
            .leading_ms = world_now_ms(world) - shard->leader_since_ms,
            .size_bytes = view.size_bytes,
            .member_count = view.member_count,
        };
        memcpy(report->members, view.members, sizeof view.members);
    }
    *report_out = (struct meta_report){
        .slow_disk = node->slow_disk,
        .stopping = node->stopping,
        .shards = node->reports,
        .shard_count = count,
    };
}

void shards_transfer(struct node *node, uint32_t shard_id, uint64_t to_node)
{
    struct world *world = node->world;
    struct world_shard *shard = &world->shards[shard_id];
    struct placement_member *member = find_member(shard, to_node);
    if (!shard->exists || shard->leader != node->node_id || member == NULL ||
        member->role != PLACEMENT_VOTER || !is_healthy(world, to_node))
        return;
    world->counts->transfers++;
    shard->leader = to_node;
    shard->leader_since_ms = world_now_ms(world);
}
