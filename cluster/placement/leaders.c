/* Who leads: not who drains or is slow; as many shards on each node, then in each zone. */
#include "paths.h"

static uint32_t leads_on(const struct planner_node *node)
{
    return node->leads;
}

/* Desired, with a vote, alive and caught up: true of all replicas of a whole shard. */
static bool may_lead(const struct planner *planner, const struct planner_shard *shard,
                     uint16_t place)
{
    const struct planner_node *node = &planner->nodes[place];
    const struct placement_member *member = NULL;
    for (size_t i = 0; i < shard->view->member_count; i++)
        if (shard->view->members[i].node_id == node->node->node_id)
            member = &shard->view->members[i];
    return node->may_lead && member != NULL && member->role == PLACEMENT_VOTER &&
           member->bytes_behind <= planner->limits->caught_up_bytes;
}

static bool may_transfer(const struct planner *planner, const struct planner_shard *shard)
{
    return shard->leader != PLACE_NONE && !shard->view->transferring && !shard->touched &&
           !shard->handed_over && planner->transfers < planner->limits->transfers_total;
}

static bool is_rested(const struct planner *planner, const struct planner_shard *shard)
{
    return planner->now_ms - shard->view->leader_since_ms >= planner->limits->transfer_pause_ms;
}

static void transfer(struct planner *planner, struct placement_plan *plan,
                     struct planner_shard *shard, uint16_t to)
{
    plan->transfers[plan->transfer_count++] = (struct placement_transfer){
        .shard_id = shard->shard->shard_id,
        .from = planner->nodes[shard->leader].node->node_id,
        .to = planner->nodes[to].node->node_id,
    };
    planner->nodes[shard->leader].leads--;
    planner->nodes[to].leads++;
    planner->transfers++;
    shard->leader = to;
    shard->handed_over = true;
}

/* --- Leaders that shall not lead ------------------------------------------------------------ */

static uint16_t best_leader(const struct planner *planner, const struct planner_shard *shard)
{
    uint16_t best = PLACE_NONE;
    for (uint32_t i = 0; i < shard->count; i++) {
        uint16_t place = shard->replicas[i];
        if (place == shard->leader || !may_lead(planner, shard, place))
            continue;
        uint32_t leads = planner->nodes[place].leads;
        if (best == PLACE_NONE || leads < planner->nodes[best].leads ||
            (leads == planner->nodes[best].leads && place < best))
            best = place;
    }
    return best;
}

static void relieve_leaders(struct planner *planner, struct placement_plan *plan)
{
    for (size_t i = 0; i < planner->shard_count; i++) {
        struct planner_shard *shard = &planner->shards[i];
        if (!may_transfer(planner, shard) || planner->nodes[shard->leader].may_lead)
            continue;
        bool drains = planner->nodes[shard->leader].node->state != CLUSTER_NODE_ACTIVE;
        uint16_t to = best_leader(planner, shard);
        if (to != PLACE_NONE && (drains || is_rested(planner, shard)))
            transfer(planner, plan, shard, to);
    }
}

/* --- Even counts --------------------------------------------------------------------------- */

static void visit_transfers(struct paths *paths, uint16_t from)
{
    const struct planner *planner = paths->planner;
    for (size_t i = 0; i < planner->shard_count; i++) {
        const struct planner_shard *shard = &planner->shards[i];
        if (shard->leader != from || !shard->whole || !may_transfer(planner, shard) ||
            !is_rested(planner, shard))
            continue;
        for (uint32_t k = 0; k < shard->count; k++)
            if (may_lead(planner, shard, shard->replicas[k]))
                paths_reach(paths, from, shard->replicas[k], (uint32_t)i);
    }
}

static bool leads_two_less(const struct paths *paths, uint16_t from, uint16_t to)
{
    const struct planner_node *nodes = paths->planner->nodes;
    return nodes[to].leads + 2 <= nodes[from].leads;
}

/* How many nodes of a zone may lead, and how many shards they do. */
static uint32_t count_zone(const struct planner *planner, uint16_t zone, uint32_t *leads_out)
{
    uint32_t count = 0;
    *leads_out = 0;
    for (size_t i = 0; i < planner->node_count; i++)
        if (planner->nodes[i].may_lead && planner->nodes[i].zone == zone) {
            count++;
            *leads_out += planner->nodes[i].leads;
        }
    return count;
}

/* Counts of nodes are exchanged, and those of their zones come closer. */
static bool zone_leads_two_less(const struct paths *paths, uint16_t from, uint16_t to)
{
    const struct planner_node *nodes = paths->planner->nodes;
    uint32_t from_leads, to_leads;
    if (nodes[to].leads + 1 != nodes[from].leads || nodes[from].zone == nodes[to].zone)
        return false;
    uint32_t from_count = count_zone(paths->planner, nodes[from].zone, &from_leads);
    uint32_t to_count = count_zone(paths->planner, nodes[to].zone, &to_leads);
    return from_count == to_count && to_leads + 2 <= from_leads;
}

enum chain {
    CHAIN_IN_PARTS, /* from its end: each step is good, or at least no loss */
    CHAIN_WHOLE,    /* a part of it would make counts less even */
};

/* A shard has one leader, so none is in a chain twice. */
static bool take_chain(struct paths *paths, struct placement_plan *plan, struct path_step step,
                       enum chain chain)
{
    struct planner *planner = paths->planner;
    uint32_t room = planner->limits->transfers_total - planner->transfers;
    if (room == 0 || (chain == CHAIN_WHOLE && paths->depths[step.to] > room))
        return false;
    do
        transfer(planner, plan, &planner->shards[step.shard], step.to);
    while (--room > 0 && paths_before(paths, &step));
    return true;
}

static bool even_once(struct paths *paths, struct placement_plan *plan, enum chain chain)
{
    struct planner *planner = paths->planner;
    for (size_t start = 0; start < planner->node_count; start++) {
        struct path_step step;
        paths_reset(paths);
        if (planner->nodes[start].may_lead && planner->nodes[start].leads > 0 &&
            paths_find(paths, (uint16_t)start, UINT32_MAX, leads_on, &step) &&
            take_chain(paths, plan, step, chain))
            return true;
    }
    return false;
}

enum error_code plan_leaders(struct planner *planner, struct placement_plan *plan,
                             struct error *error)
{
    struct paths paths = {.visit = visit_transfers, .wanted = leads_two_less};
    enum error_code code = paths_init(&paths, planner, error);
    plan->transfers = arena_array(planner->arena, planner->shard_count, sizeof *plan->transfers);
    if (code != ERROR_NONE || plan->transfers == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "placement");
    relieve_leaders(planner, plan);
    while (even_once(&paths, plan, CHAIN_IN_PARTS))
        ;
    if (plan->transfer_count > 0 || planner->moves > 0)
        return ERROR_NONE; /* zones when nothing else is to be done */
    paths.wanted = zone_leads_two_less;
    while (even_once(&paths, plan, CHAIN_WHOLE))
        ;
    return ERROR_NONE;
}
