#include "paths.h"

enum error_code paths_init(struct paths *paths, struct planner *planner, struct error *error)
{
    size_t count = planner->node_count;
    paths->planner = planner;
    paths->reached = arena_array(planner->arena, count, sizeof *paths->reached);
    paths->steps = arena_array(planner->arena, count, sizeof *paths->steps);
    paths->queue = arena_array(planner->arena, count, sizeof *paths->queue);
    paths->depths = arena_array(planner->arena, count, sizeof *paths->depths);
    if (paths->reached == NULL || paths->steps == NULL || paths->queue == NULL ||
        paths->depths == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "placement");
    return ERROR_NONE;
}

void paths_reset(struct paths *paths)
{
    memset(paths->reached, 0, paths->planner->node_count * sizeof *paths->reached);
}

void paths_reach(struct paths *paths, uint16_t from, uint16_t to, uint32_t shard)
{
    if (paths->reached[to])
        return;
    paths->reached[to] = true;
    paths->steps[to] = (struct path_step){.shard = shard, .from = from, .to = to};
    paths->depths[to] = paths->depths[from] + 1;
    paths->queue[paths->queued++] = to;
}

bool paths_find(struct paths *paths, uint16_t start, uint32_t depth_max,
                uint32_t (*load)(const struct planner_node *node), struct path_step *step_out)
{
    uint16_t best = PLACE_NONE;
    const struct planner_node *nodes = paths->planner->nodes;
    if (paths->reached[start])
        return false;
    paths->reached[start] = true;
    paths->start = start;
    paths->depths[start] = 0;
    paths->queue[0] = start;
    paths->queued = 1;
    for (size_t i = 0; i < paths->queued; i++) {
        uint16_t node = paths->queue[i];
        if (best != PLACE_NONE && paths->depths[node] > paths->depths[best])
            break; /* longer than what was found */
        if (node != start && paths->wanted(paths, start, node) &&
            (best == PLACE_NONE || load(&nodes[node]) < load(&nodes[best])))
            best = node;
        if (best == PLACE_NONE && paths->depths[node] < depth_max)
            paths->visit(paths, node);
    }
    if (best != PLACE_NONE)
        *step_out = paths->steps[best];
    return best != PLACE_NONE;
}

bool paths_before(const struct paths *paths, struct path_step *step)
{
    if (step->from == paths->start)
        return false;
    *step = paths->steps[step->from];
    return true;
}
