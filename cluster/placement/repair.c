/* Replicas that have to go, or are missing, or are in the wrong zone: one a shard and plan. */
#include "planner.h"

/* --- Repairs ------------------------------------------------------------------------------- */

/* A replica that does not wait for health to be replaced; PLACE_NONE: none. */
static uint16_t find_leaving_soon(const struct planner *planner, const struct planner_shard *shard)
{
    for (uint32_t i = 0; i < shard->count; i++)
        if (planner->nodes[shard->replicas[i]].leaves_soon)
            return shard->replicas[i];
    return PLACE_NONE;
}

/* Something that left for good and has no substitute is given up: its vote can't come back. */
static uint16_t find_gone(const struct planner *planner, const struct planner_shard *shard)
{
    for (uint32_t i = 0; i < shard->count; i++)
        if (planner->nodes[shard->replicas[i]].gone)
            return shard->replicas[i];
    return PLACE_NONE;
}

static void repair_shard(struct planner *planner, struct planner_shard *shard)
{
    bool missing = shard->count < planner->replication;
    uint16_t out = find_leaving_soon(planner, shard);
    if (!shard->calm || (out == PLACE_NONE && !missing))
        return;
    if (out != PLACE_NONE && shard->count > planner->replication)
        return; /* it is superfluous as well, see drop_shard */
    uint16_t best = best_target(planner, shard, out, false);
    if (best == PLACE_NONE) {
        out = find_gone(planner, shard);
        if (out != PLACE_NONE && shard->count > 1)
            move_replica(planner, shard, out, PLACE_NONE);
        return;
    }
    /* Rather a node that has room than the emptiest, but not in a worse zone. */
    uint16_t in = best_target(planner, shard, out, true);
    if (in != PLACE_NONE &&
        count_in_zone(planner, shard, planner->nodes[in].zone, out) ==
            count_in_zone(planner, shard, planner->nodes[best].zone, out) &&
        may_move(planner, shard, out, in))
        move_replica(planner, shard, out, in);
}

void plan_repairs(struct planner *planner)
{
    /* Those with the fewest healthy replicas first. */
    for (uint32_t healthy = 0; healthy <= CLUSTER_REPLICAS_MAX; healthy++)
        for (size_t i = 0; i < planner->shard_count; i++)
            if (planner->shards[i].healthy == healthy)
                repair_shard(planner, &planner->shards[i]);
}

/* --- Drains -------------------------------------------------------------------------------- */

static uint16_t find_draining(const struct planner *planner, const struct planner_shard *shard)
{
    for (uint32_t i = 0; i < shard->count; i++)
        if (!planner->nodes[shard->replicas[i]].stays)
            return shard->replicas[i];
    return PLACE_NONE;
}

static void drain_shard(struct planner *planner, struct planner_shard *shard)
{
    uint16_t out = find_draining(planner, shard);
    if (out == PLACE_NONE || !shard->whole || shard->touched || shard->count > planner->replication)
        return;
    uint16_t in = best_target(planner, shard, out, false);
    if (in != PLACE_NONE && may_move(planner, shard, out, in))
        move_replica(planner, shard, out, in);
}

/* How much rather a replica goes than others, when there are too many. */
static uint32_t superfluity(const struct planner *planner, const struct planner_shard *shard,
                            uint16_t place)
{
    const struct planner_node *node = &planner->nodes[place];
    uint32_t in_zone = count_in_zone(planner, shard, node->zone, PLACE_NONE);
    return (uint32_t)(node->gone << 7 | node->leaves_soon << 6 | !node->stays << 5 |
                      !node->alive << 4) +
           in_zone;
}

/* One replica goes when there are too many: one that is dead for long, or any if all others are
 * healthy. */
static void drop_shard(struct planner *planner, struct planner_shard *shard)
{
    uint16_t out = PLACE_NONE;
    bool is_healthy = false;
    if (shard->count <= planner->replication || !shard->calm || shard->touched)
        return;
    for (uint32_t i = 0; i < shard->count; i++) {
        uint16_t place = shard->replicas[i];
        uint32_t best = out == PLACE_NONE ? 0 : superfluity(planner, shard, out);
        uint32_t other = superfluity(planner, shard, place);
        if (out == PLACE_NONE || other > best ||
            (other == best && planner->nodes[place].replicas > planner->nodes[out].replicas)) {
            out = place;
            is_healthy = shard->is_healthy[i];
        }
    }
    /* A node that died a moment ago may have the only whole copy beside the leader's. */
    const struct planner_node *node = &planner->nodes[out];
    bool others_wait = !node->leaves_soon && shard->healthy - is_healthy < shard->count - 1;
    if (!others_wait && may_move(planner, shard, out, PLACE_NONE))
        move_replica(planner, shard, out, PLACE_NONE);
}

void plan_drains(struct planner *planner)
{
    for (size_t i = 0; i < planner->shard_count; i++) {
        drain_shard(planner, &planner->shards[i]);
        drop_shard(planner, &planner->shards[i]);
    }
}

/* --- Zones --------------------------------------------------------------------------------- */

/* The replica in the fullest zone; of those the one on the fullest node. */
static uint16_t most_crowded(const struct planner *planner, const struct planner_shard *shard)
{
    uint16_t worst = shard->replicas[0];
    uint32_t worst_in_zone = 0;
    for (uint32_t i = 0; i < shard->count; i++) {
        const struct planner_node *node = &planner->nodes[shard->replicas[i]];
        uint32_t in_zone = count_in_zone(planner, shard, node->zone, PLACE_NONE);
        if (in_zone > worst_in_zone ||
            (in_zone == worst_in_zone && node->replicas > planner->nodes[worst].replicas)) {
            worst = shard->replicas[i];
            worst_in_zone = in_zone;
        }
    }
    return worst;
}

static void spread_shard(struct planner *planner, struct planner_shard *shard)
{
    if (!shard->whole || shard->touched)
        return;
    uint16_t out = most_crowded(planner, shard);
    uint16_t in = best_target(planner, shard, out, false);
    if (in == PLACE_NONE)
        return;
    uint32_t before = count_in_zone(planner, shard, planner->nodes[out].zone, PLACE_NONE);
    uint32_t after = count_in_zone(planner, shard, planner->nodes[in].zone, out) + 1;
    if (after < before && may_move(planner, shard, out, in))
        move_replica(planner, shard, out, in);
}

void plan_zones(struct planner *planner)
{
    for (size_t i = 0; i < planner->shard_count; i++)
        spread_shard(planner, &planner->shards[i]);
}
