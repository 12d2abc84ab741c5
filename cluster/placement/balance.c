/* As many replicas on each node, as far as zones allow. */
#include "paths.h"

#include <assert.h>

static uint32_t replicas_on(const struct planner_node *node)
{
    return node->replicas;
}

static bool has_two_less(const struct paths *paths, uint16_t from, uint16_t to)
{
    const struct planner_node *nodes = paths->planner->nodes;
    return nodes[to].replicas + 2 <= nodes[from].replicas;
}

/* A shard stays as spread over zones as it is. */
static bool zones_allow(const struct planner *planner, const struct planner_shard *shard,
                        uint16_t from, uint16_t to)
{
    uint16_t from_zone = planner->nodes[from].zone, to_zone = planner->nodes[to].zone;
    return from_zone == to_zone || count_in_zone(planner, shard, to_zone, PLACE_NONE) <
                                       count_in_zone(planner, shard, from_zone, PLACE_NONE);
}

static void visit_moves_of(struct paths *paths, uint16_t from, uint32_t shard_place)
{
    const struct planner *planner = paths->planner;
    const struct planner_shard *shard = &planner->shards[shard_place];
    for (size_t to = 0; to < planner->node_count; to++)
        if (planner->nodes[to].takes && !paths->reached[to] && !shard_has(shard, (uint16_t)to) &&
            zones_allow(planner, shard, from, (uint16_t)to))
            paths_reach(paths, from, (uint16_t)to, shard_place);
}

/* Shards that the node leads come last: they would be handed over first. */
static void visit_moves(struct paths *paths, uint16_t from)
{
    const struct planner *planner = paths->planner;
    for (int led = 0; led < 2; led++)
        for (size_t i = 0; i < planner->shard_count; i++) {
            const struct planner_shard *shard = &planner->shards[i];
            if (shard->whole && !shard->touched && shard_has(shard, from) &&
                (shard->leader == from) == (led == 1))
                visit_moves_of(paths, from, (uint32_t)i);
        }
}

/* --- Moves --------------------------------------------------------------------------------- */

/* The fullest node that was not tried yet, the first of them; PLACE_NONE: none. */
static uint16_t next_fullest(const struct planner *planner, const bool *tried)
{
    uint16_t fullest = PLACE_NONE;
    for (size_t i = 0; i < planner->node_count; i++)
        if (planner->nodes[i].takes && !tried[i] &&
            (fullest == PLACE_NONE ||
             planner->nodes[i].replicas > planner->nodes[fullest].replicas))
            fullest = (uint16_t)i;
    return fullest;
}

static uint32_t fewest_replicas(const struct planner *planner)
{
    uint32_t fewest = UINT32_MAX;
    for (size_t i = 0; i < planner->node_count; i++)
        if (planner->nodes[i].takes && planner->nodes[i].replicas < fewest)
            fewest = planner->nodes[i].replicas;
    return fewest;
}

/* The steps of a chain from its last one on, each of which is good by itself: what is before it
 * becomes shorter. */
static bool take_chain(struct paths *paths, struct path_step step)
{
    struct planner *planner = paths->planner;
    bool taken = false;
    do {
        struct planner_shard *shard = &planner->shards[step.shard];
        if (shard->touched || !may_move(planner, shard, step.from, step.to))
            break;
        move_replica(planner, shard, step.from, step.to);
        taken = true;
    } while (paths_before(paths, &step));
    return taken;
}

/* One move, or chain of moves, that makes counts more even. */
static bool even_once(struct paths *paths, bool *tried, uint32_t depth_max)
{
    struct planner *planner = paths->planner;
    uint32_t fewest = fewest_replicas(planner);
    memset(tried, 0, planner->node_count * sizeof *tried);
    paths_reset(paths);
    for (;;) {
        uint16_t start = next_fullest(planner, tried);
        struct path_step step;
        if (start == PLACE_NONE || planner->nodes[start].replicas < fewest + 2)
            return false;
        tried[start] = true;
        /* What a fuller node has reached leads to nothing that is empty enough for this one; only
         * when chains are cut short may it. */
        if (depth_max == 1)
            paths_reset(paths);
        if (paths_find(paths, start, depth_max, replicas_on, &step) && take_chain(paths, step))
            return true;
    }
}

enum error_code plan_balance(struct planner *planner, struct error *error)
{
    struct paths paths = {.visit = visit_moves, .wanted = has_two_less};
    enum error_code code = paths_init(&paths, planner, error);
    bool *tried = arena_array(planner->arena, planner->node_count, sizeof *tried);
    if (code != ERROR_NONE || tried == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "placement");
    bool quiet = planner->moves == 0;
    while (planner->moves < planner->limits->moves_total && even_once(&paths, tried, 1))
        quiet = false;
    /* Chains only when nothing else goes on that may make them needless. */
    if (quiet)
        even_once(&paths, tried, UINT32_MAX);
    return ERROR_NONE;
}
