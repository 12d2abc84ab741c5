#include "planner.h"

#include <assert.h>

#include "view.h"

/* --- Making -------------------------------------------------------------------------------- */

static void number_zones(struct planner *planner)
{
    for (size_t i = 0; i < planner->node_count; i++) {
        struct planner_node *node = &planner->nodes[i];
        node->zone = (uint16_t)planner->zone_count;
        for (size_t k = 0; k < i && node->zone == planner->zone_count; k++)
            if (strcmp(planner->nodes[k].node->traits.zone, node->node->traits.zone) == 0)
                node->zone = planner->nodes[k].zone;
        if (node->zone == planner->zone_count)
            planner->zone_count++;
    }
}

static void copy_replicas(struct planner *planner, struct planner_shard *shard)
{
    shard->leader = PLACE_NONE;
    for (uint32_t i = 0; i < shard->shard->replicas.count; i++) {
        uint16_t place = planner_place(planner, shard->shard->replicas.node_ids[i]);
        assert(place != PLACE_NONE); /* an invariant of the state */
        shard->replicas[shard->count++] = place;
        planner->nodes[place].replicas++;
    }
}

enum error_code planner_init(struct planner *planner, const struct cluster_node *nodes,
                             size_t node_count, const struct cluster_shard *shards,
                             size_t shard_count, struct arena *arena, struct error *error)
{
    *planner = (struct planner){
        .arena = arena,
        .nodes = arena_array(arena, node_count, sizeof *planner->nodes),
        .node_count = node_count,
        .shards = arena_array(arena, shard_count, sizeof *planner->shards),
        .shard_count = shard_count,
    };
    if (planner->nodes == NULL || planner->shards == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "placement");
    for (size_t i = 0; i < node_count; i++)
        planner->nodes[i].node = &nodes[i];
    number_zones(planner);
    for (size_t i = 0; i < shard_count; i++) {
        planner->shards[i].shard = &shards[i];
        copy_replicas(planner, &planner->shards[i]);
    }
    return ERROR_NONE;
}

/* --- Observing ----------------------------------------------------------------------------- */

static void observe_node(struct planner *planner, struct planner_node *node,
                         const struct placement_observation *observation)
{
    const struct placement_node_view *view = view_of_node(observation, node->node->node_id);
    bool member = cluster_node_takes_replicas(node->node);
    bool dead_for_long = view != NULL && !view->alive &&
                         planner->now_ms - view->dead_since_ms >= planner->limits->replace_after_ms;
    node->alive = view != NULL && view->alive;
    node->gone = node->node->state == CLUSTER_NODE_LEFT;
    node->leaves_soon = node->gone || dead_for_long;
    node->stays = member && !dead_for_long;
    node->takes = member && node->alive;
    node->may_lead = node->takes && !view->slow_disk;
}

/* A desired replica without a vote yet, on a node that is there to get it. */
static bool is_being_made(const struct planner_shard *shard, const struct planner_node *node)
{
    const struct placement_member *member = view_of_member(shard->view, node->node->node_id);
    return node->alive && !node->leaves_soon && (member == NULL || member->role != PLACEMENT_VOTER);
}

/* What is being made uses up the limits. Members that are only to go do not: they may have to wait
 * for a node that is dead, and nothing else may wait for them. Nor do voters that lag. */
static void count_moves(struct planner *planner, struct planner_shard *shard)
{
    for (uint32_t i = 0; i < shard->count; i++) {
        struct planner_node *node = &planner->nodes[shard->replicas[i]];
        if (!is_being_made(shard, node))
            continue;
        node->coming++;
        shard->moving = true;
    }
    planner->moves += shard->moving;
    for (size_t i = 0; i < shard->view->member_count && shard->moving; i++) {
        uint16_t place = planner_place(planner, shard->view->members[i].node_id);
        if (place != PLACE_NONE && !shard_has(shard, place))
            planner->nodes[place].going++;
    }
}

static void observe_shard(struct planner *planner, struct planner_shard *shard,
                          const struct placement_observation *observation)
{
    shard->view = view_of_shard(observation, shard->shard->shard_id);
    if (shard->view == NULL)
        return;
    for (uint32_t i = 0; i < shard->count; i++) {
        shard->is_healthy[i] = member_is_healthy(observation, planner->limits, shard->view,
                                                 planner->nodes[shard->replicas[i]].node->node_id);
        shard->healthy += shard->is_healthy[i];
    }
    shard->whole = shard->healthy == shard->count && shard->view->member_count == shard->count;
    shard->leader = planner_place(planner, shard->view->leader);
    if (shard->leader != PLACE_NONE)
        planner->nodes[shard->leader].leads++;
    planner->transfers += shard->view->transferring;
    count_moves(planner, shard);
    shard->calm = !shard->moving;
}

/* A shard that was split off is founded by the replicas of its parent: they stay until it is led.
 */
static void hold_parents(struct planner *planner)
{
    for (size_t i = 0; i < planner->shard_count; i++) {
        const struct planner_shard *child = &planner->shards[i];
        uint32_t parent = child->shard->parent;
        if (parent == CLUSTER_SHARD_NONE || (child->view != NULL && child->view->leader != 0))
            continue;
        planner->shards[parent].calm = planner->shards[parent].whole = false;
    }
}

void planner_observe(struct planner *planner, const struct placement_observation *observation)
{
    planner->now_ms = observation->now_ms;
    for (size_t i = 0; i < planner->node_count; i++)
        observe_node(planner, &planner->nodes[i], observation);
    for (size_t i = 0; i < planner->shard_count; i++)
        observe_shard(planner, &planner->shards[i], observation);
    hold_parents(planner);
}

/* --- Looking ------------------------------------------------------------------------------- */

uint16_t planner_place(const struct planner *planner, uint64_t node_id)
{
    size_t low = 0, high = planner->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (planner->nodes[middle].node->node_id < node_id)
            low = middle + 1;
        else
            high = middle;
    }
    bool there = low < planner->node_count && planner->nodes[low].node->node_id == node_id;
    return there ? (uint16_t)low : PLACE_NONE;
}

bool shard_has(const struct planner_shard *shard, uint16_t place)
{
    for (uint32_t i = 0; i < shard->count; i++)
        if (shard->replicas[i] == place)
            return true;
    return false;
}

uint32_t count_in_zone(const struct planner *planner, const struct planner_shard *shard,
                       uint16_t zone, uint16_t without)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < shard->count; i++)
        count += shard->replicas[i] != without && planner->nodes[shard->replicas[i]].zone == zone;
    return count;
}

uint16_t best_target(const struct planner *planner, const struct planner_shard *shard, uint16_t out,
                     bool with_room_only)
{
    uint16_t best = PLACE_NONE;
    uint32_t best_in_zone = 0;
    for (size_t i = 0; i < planner->node_count; i++) {
        const struct planner_node *node = &planner->nodes[i];
        if (!node->takes || shard_has(shard, (uint16_t)i) ||
            (with_room_only && node->coming >= planner->limits->moves_per_node))
            continue;
        uint32_t in_zone = count_in_zone(planner, shard, node->zone, out);
        if (best == PLACE_NONE || in_zone < best_in_zone ||
            (in_zone == best_in_zone && node->replicas < planner->nodes[best].replicas)) {
            best = (uint16_t)i;
            best_in_zone = in_zone;
        }
    }
    return best;
}

/* --- Moving -------------------------------------------------------------------------------- */

bool may_move(const struct planner *planner, const struct planner_shard *shard, uint16_t out,
              uint16_t in)
{
    uint32_t per_node = planner->limits->moves_per_node;
    if (!shard->moving && planner->moves >= planner->limits->moves_total)
        return false;
    if (in != PLACE_NONE && planner->nodes[in].coming >= per_node)
        return false;
    return out == PLACE_NONE || !planner->nodes[out].alive || planner->nodes[out].going < per_node;
}

void move_replica(struct planner *planner, struct planner_shard *shard, uint16_t out, uint16_t in)
{
    uint32_t kept = 0;
    assert(in == PLACE_NONE || !shard_has(shard, in));
    for (uint32_t i = 0; i < shard->count; i++)
        if (shard->replicas[i] != out)
            shard->replicas[kept++] = shard->replicas[i];
    shard->count = kept;
    if (out != PLACE_NONE) {
        planner->nodes[out].replicas--;
        planner->nodes[out].going++;
    }
    if (in != PLACE_NONE) {
        shard->replicas[shard->count++] = in;
        planner->nodes[in].replicas++;
        planner->nodes[in].coming++;
    }
    assert(shard->count <= CLUSTER_REPLICAS_MAX);
    shard->touched = true;
    planner->moves += !shard->moving;
    shard->moving = true;
}

/* --- The plan ------------------------------------------------------------------------------ */

/* By rising id, as the state keeps them. */
static struct cluster_replicas replicas_of(const struct planner *planner,
                                           const struct planner_shard *shard)
{
    struct cluster_replicas replicas = {0};
    for (uint32_t i = 0; i < shard->count; i++)
        cluster_replicas_add(&replicas, planner->nodes[shard->replicas[i]].node->node_id);
    return replicas;
}

static enum error_code list_assigns(const struct planner *planner, struct placement_plan *plan,
                                    struct error *error)
{
    plan->assigns = arena_array(planner->arena, planner->shard_count, sizeof *plan->assigns);
    if (plan->assigns == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "placement");
    for (size_t i = 0; i < planner->shard_count; i++)
        if (planner->shards[i].touched)
            plan->assigns[plan->assign_count++] = (struct cluster_assign){
                .shard_id = planner->shards[i].shard->shard_id,
                .generation = planner->shards[i].shard->generation,
                .replicas = replicas_of(planner, &planner->shards[i]),
            };
    return ERROR_NONE;
}

enum error_code placement_plan(const struct cluster_state *state,
                               const struct placement_observation *observation,
                               const struct placement_limits *limits, struct arena *arena,
                               struct placement_plan *plan_out, struct error *error)
{
    size_t node_count, shard_count;
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    const struct cluster_shard *shards = cluster_state_shards(state, &shard_count);
    struct planner planner;
    struct placement_plan plan = {0};
    assert(limits->moves_total > 0 && limits->moves_per_node > 0 && limits->transfers_total > 0);
    assert(limits->caught_up_bytes < PLACEMENT_BYTES_LACKING);
    enum error_code code =
        planner_init(&planner, nodes, node_count, shards, shard_count, arena, error);
    if (code != ERROR_NONE)
        return code;
    planner.limits = limits;
    planner.replication = cluster_state_facts(state)->replication;
    planner_observe(&planner, observation);
    plan_repairs(&planner);
    plan_drains(&planner);
    plan_zones(&planner);
    code = plan_balance(&planner, error);
    if (code == ERROR_NONE)
        code = plan_leaders(&planner, &plan, error);
    if (code == ERROR_NONE)
        code = list_assigns(&planner, &plan, error);
    if (code == ERROR_NONE)
        *plan_out = plan;
    return code;
}
