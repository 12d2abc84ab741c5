/* Nodes are ready, by the rule that the server answers by, soon after they were started: however
 * many of them were started, in whatever order. */
#include "cluster_world.h"

/* What a freeze waits for, others may have done with: it is tried once a minute. */
enum { READY_MS_MAX = 30000, READY_WITH_ROT_MS_MAX = 90000 };

/* --- Who is ready ---------------------------------------------------------------------------- */

void world_look_at_readiness(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct error error;
        if (node->is_alive && node->host != NULL && !node->was_ready)
            node->was_ready = hosting_check_ready(node->hosting, &error) == ERROR_NONE;
    }
}

static bool all_are_ready(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->is_alive && !node->was_ready && !node->is_dismissed && !node_is_leaving(node))
            return false;
    }
    return true;
}

/* Soon after a start is the time to see what was acknowledged before it. */
static void read_all(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].node_id != 0)
            node_read_own(&world->nodes[i]);
}

/* A start that was refused for a file, which is sound again. */
static void start_the_refused(struct world *world)
{
    struct node *node = world->rotting;
    if (node != NULL && node->exists && !node->is_alive && !node_is_leaving(node))
        node_start(node);
}

static bool all_are_ready_that_read(struct world *world)
{
    start_the_refused(world);
    read_all(world);
    return all_are_ready(world);
}

static void fail(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        struct error error;
        if (!node->is_alive || node->was_ready)
            continue;
        if (node->host == NULL)
            world_fail(world, "%s is not in the cluster %d ms after the last start", node->name,
                       READY_MS_MAX);
        if (hosting_check_ready(node->hosting, &error) != ERROR_NONE)
            world_fail(world, "%s is not ready %d ms after the last start: %s", node->name,
                       READY_MS_MAX, error.message);
    }
    world_fail(world, "nodes come and go, and are not ready");
}

void world_await_ready(struct world *world)
{
    uint64_t began_ms = world_now_ms(world);
    uint64_t patience_ms = world->rotting == NULL ? READY_MS_MAX : READY_WITH_ROT_MS_MAX;
    if (!world_await(world, all_are_ready_that_read, patience_ms))
        fail(world);
    uint64_t waited_ms = world_now_ms(world) - began_ms;
    if (waited_ms > world->slowest_ready_ms)
        world->slowest_ready_ms = waited_ms;
    world->counts.awaited_ready++;
}

/* --- All at once ----------------------------------------------------------------------------- */

static size_t list_startable(struct world *world, struct node *nodes[WORLD_NODES_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (!node->exists || node->is_alive || node_is_leaving(node))
            continue;
        size_t place = world_below(world, (uint32_t)++count);
        nodes[count - 1] = nodes[place];
        nodes[place] = node;
    }
    return count;
}

/* Within three seconds, or all in one instant. */
static void start_in_any_order(struct world *world, size_t left_out)
{
    struct node *nodes[WORLD_NODES_MAX];
    size_t count = list_startable(world, nodes);
    uint32_t spread_ms = world_chance(world, 30) ? 1 : 3000;
    for (size_t i = left_out; i < count; i++) {
        node_start(nodes[i]);
        if (i + 1 < count)
            world_run_ms(world, world_below(world, 1 + spread_ms / (uint32_t)count));
    }
}

/* Whoever has much to do at a start answers late. */
static void slow_answers(struct world *world)
{
    enum { SLOW_NS = 400 * 1000 * 1000 };
    for (size_t i = 0; i < world->node_count; i++)
        for (size_t k = 0; k < world->node_count; k++)
            world->network.links[i][k].delay_ns_max = SLOW_NS;
}

void world_crash_all(struct world *world)
{
    /* As long as no disk or replica is missing, and no file of another rots, one of them may be. */
    bool leaves_one_out = world->change.kind == CHANGE_NONE && world->rotting == NULL &&
                          world_children_are_whole(world) && world_chance(world, 25);
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive)
            node_crash(&world->nodes[i]);
    world->counts.crashes_of_all++;
    world_mend(world);
    if (world_chance(world, 50))
        slow_answers(world);
    start_in_any_order(world, leaves_one_out ? 1 : 0);
    world_run_ms(world, world_below(world, 2000));
    world_mend(world);
    world_await_ready(world);
}
