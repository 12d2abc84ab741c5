/*
 * Nodes that come and go. One change at a time, and the next one when all replicas are where they
 * shall be: each of them takes a disk away, which the others must be able to make up for.
 *
 *     join      a new node; it gets replicas
 *     wipe      a node crashes and comes back with an empty disk, under its name
 *     lose      a node crashes for good; the operator removes it
 *     drain     a node is emptied, then removed, or drained no longer
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster_world.h"

/* --- Looking --------------------------------------------------------------------------------- */

struct looking {
    struct meta_observe observe; /* first */
    struct world *world;
    uint64_t change; /* the number of the latest when it began */
};

/* Under the id that the cluster has for it: not that of a disk which is gone. */
static bool is_known(const struct cluster_state *state, const struct node *node)
{
    const struct cluster_node *known =
        node->node_id == 0 ? NULL : cluster_state_find_node(state, node->node_id);
    return known != NULL && known->state != CLUSTER_NODE_LEFT;
}

/* Its group has the members that the state wants, all of them on nodes that are there. */
static bool shard_is_settled(const struct meta_observation *observation, uint32_t shard_id)
{
    const struct cluster_shard *shard = cluster_state_find_shard(observation->state, shard_id);
    if (shard == NULL || shard->replicas.count < 3)
        return false;
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        const struct cluster_node *node =
            cluster_state_find_node(observation->state, shard->replicas.node_ids[i]);
        if (node == NULL || node->state == CLUSTER_NODE_LEFT)
            return false;
    }
    return placement_is_settled(observation->state, &observation->placement, shard_id);
}

/* Every node is alive and of the meta group; every shard has the replicas that it shall have. NULL:
 * it is so, or else what is not. */
static const char *find_unrest(struct world *world, const struct meta_observation *observation)
{
    size_t node_count, voters = 0, members = 0, machines = 0;
    const struct cluster_node *nodes = cluster_state_nodes(observation->state, &node_count);
    for (size_t i = 0; i < world->node_count; i++) {
        const struct node *node = &world->nodes[i];
        if (node->exists && (!node->is_alive || !is_known(observation->state, node)))
            return "a machine is not a node";
        machines += node->exists;
    }
    for (size_t i = 0; i < node_count; i++) {
        const struct meta_observed_node *observed = &observation->nodes[i];
        if (nodes[i].state == CLUSTER_NODE_LEFT && observed->is_member)
            return "a node that left is of the meta group";
        if (nodes[i].state == CLUSTER_NODE_LEFT)
            continue;
        if (!observed->is_member || observed->role == PLACEMENT_SPARE)
            return "a node is not of the meta group";
        if (nodes[i].state == CLUSTER_NODE_JOINING || !observation->placement.nodes[i].alive)
            return "a node is not there";
        members++;
        voters += observed->role == PLACEMENT_VOTER;
    }
    if (voters < 3 || members != machines)
        return "the meta group lacks voters or has others";
    for (uint32_t i = 0; i < world->shard_count; i++)
        if (!shard_is_settled(observation, i))
            return "a shard is not as desired";
    return NULL;
}

static void looked(struct meta_observe *observe, const struct meta_observation *observation,
                   const struct error *error)
{
    struct looking *looking = (struct looking *)observe;
    struct world *world = looking->world;
    world->change.is_looking = false;
    world->change.unrest = error->code == ERROR_NONE ? find_unrest(world, observation)
                                                     : "nobody tells what is the case";
    world->change.is_settled =
        world->change.unrest == NULL && looking->change == world->change.number;
    world->requests_out--;
    free(looking);
}

bool world_is_settled(struct world *world)
{
    enum { LOOK_EACH_MS = 1000, LOOK_TIMEOUT_MS = 3000 };
    struct node *node = world_any(world);
    bool was_settled = world->change.is_settled;
    if (was_settled && world->change.kind != CHANGE_NONE) {
        world->change.is_settled = false;
        return true;
    }
    if (world->change.is_looking || node == NULL ||
        world_now_ms(world) - world->change.looked_ms < LOOK_EACH_MS)
        return false;
    world->change.is_settled = false;
    world->change.looked_ms = world_now_ms(world);
    struct looking *looking = calloc(1, sizeof *looking);
    assert(looking != NULL);
    looking->world = world;
    looking->change = world->change.number;
    looking->observe = (struct meta_observe){.timeout_ms = LOOK_TIMEOUT_MS, .done = looked};
    world->change.is_looking = true;
    world->requests_out++;
    meta_observe(node->meta, &looking->observe);
    return was_settled;
}

/* --- Commands -------------------------------------------------------------------------------- */

struct asking {
    struct meta_command command; /* first */
    struct world *world;
    enum change_kind next; /* when it is done */
};

static void asked(struct meta_command *command, const struct error *error)
{
    struct asking *asking = (struct asking *)command;
    struct world *world = asking->world;
    struct world_change *change = &world->change;
    change->is_asking = false;
    bool is_gone = error->code == ERROR_NOT_FOUND && command->kind == META_REMOVE_NODE;
    if ((error->code == ERROR_NONE || is_gone) && change->node != NULL) {
        world->counts.drained += command->kind == META_DRAIN_NODE;
        world->counts.undrained += command->kind == META_UNDRAIN_NODE;
        world->counts.removed += command->kind == META_REMOVE_NODE;
        change->kind = asking->next;
    }
    world->requests_out--;
    free(asking);
}

static void ask(struct world *world, enum meta_command_kind kind, enum change_kind next)
{
    struct node *node = world_any(world);
    if (node == NULL || node == world->change.node || world->change.is_asking)
        return; /* later, another */
    struct asking *asking = calloc(1, sizeof *asking);
    assert(asking != NULL);
    asking->world = world;
    asking->next = next;
    asking->command = (struct meta_command){
        .kind = kind,
        .force = world->change.forced ? META_FORCED : META_ASKED,
        .timeout_ms = 5000,
        .done = asked,
    };
    snprintf(asking->command.node_name, sizeof asking->command.node_name, "%s",
             world->change.node->name);
    world->change.is_asking = true;
    world->requests_out++;
    meta_command(node->meta, &asking->command);
}

/* --- Beginning ------------------------------------------------------------------------------- */

static size_t count_existing(const struct world *world)
{
    size_t count = 0;
    for (size_t i = 0; i < world->node_count; i++)
        count += world->nodes[i].exists;
    return count;
}

static struct node *choose(struct world *world)
{
    struct node *node = &world->nodes[world_below(world, (uint32_t)world->node_count)];
    return node->exists && !node->is_dismissed ? node : NULL;
}

static void join(struct world *world)
{
    node_start(world_add(world));
    world->counts.joined++;
    world->change.kind = CHANGE_SETTLING;
}

static void wipe(struct world *world, struct node *node)
{
    if (node->is_alive)
        node_crash(node);
    node_wipe(node);
    world->counts.wiped++;
    world->change.kind = CHANGE_SETTLING;
    if (world_chance(world, 70))
        node_start(node); /* or it is started by chance, later */
}

static void lose(struct world *world, struct node *node)
{
    if (node->is_alive)
        node_crash(node);
    node_wipe(node);
    node->exists = false;
    world->counts.lost_for_good++;
    world->change.node = node;
    world->change.forced = true;
    world->change.kind = CHANGE_REMOVING;
}

void world_begin_change(struct world *world)
{
    struct node *node = choose(world);
    size_t existing = count_existing(world);
    if (world->change.kind != CHANGE_NONE || node == NULL || !world_is_settled(world))
        return;
    world->change = (struct world_change){.looked_ms = world->change.looked_ms,
                                          .is_looking = world->change.is_looking,
                                          .number = world->change.number + 1};
    uint32_t dice = world_below(world, 100);
    if (dice < 30 && world->node_count < WORLD_NODES_MAX && existing < 7) {
        join(world);
    } else if (dice < 60 && !world_has_rot(world)) {
        wipe(world, node);
    } else if (existing > 3 && dice < 75 && !world_has_rot(world)) {
        lose(world, node);
    } else if (existing > 3) {
        world->change.node = node;
        world->change.kind = CHANGE_DRAINING;
    }
}

/* --- Going on -------------------------------------------------------------------------------- */

static void check_is_empty(struct node *node)
{
    struct hosting_statistics hosting;
    hosting_read_statistics(node->hosting, &hosting);
    if (hosting.replicas > 0 && !node->world->change.forced)
        world_fail(node->world, "%s was removed and has %llu replicas", node->name,
                   (unsigned long long)hosting.replicas);
}

/* It has left: the machine goes. Then it is removed once more, as an operator would who sees it in
 * the list again: a hello that was on its way when it left has brought it back. */
static void end_removal(struct world *world)
{
    struct node *node = world->change.node;
    if (node->is_alive) {
        check_is_empty(node);
        node_stop(node);
    }
    node_wipe(node);
    node->exists = false;
    world->change.forced = true;
}

/* Just started it does not know yet what it shall have, and its leader may take it for dead. */
static bool is_empty(const struct node *node)
{
    struct hosting_statistics hosting;
    if (!node->is_alive || !node->was_ready)
        return false;
    hosting_read_statistics(node->hosting, &hosting);
    return hosting.replicas == 0 && hosting.missing == 0;
}

void world_go_on_changing(struct world *world)
{
    struct world_change *change = &world->change;
    switch (change->kind) {
    case CHANGE_NONE:
        break;
    case CHANGE_DRAINING:
        ask(world, META_DRAIN_NODE, CHANGE_EMPTYING);
        break;
    case CHANGE_EMPTYING:
        if (world_chance(world, 1)) /* an answer to the contrary may have been late */
            change->kind = CHANGE_DRAINING;
        else if (is_empty(change->node))
            ask(world, META_REMOVE_NODE, CHANGE_REMOVING);
        else if (!world->is_ending && world_chance(world, 6))
            ask(world, META_UNDRAIN_NODE, CHANGE_SETTLING);
        break;
    case CHANGE_REMOVING:
        if (change->node->exists)
            end_removal(world);
        else
            ask(world, META_REMOVE_NODE, CHANGE_SETTLING);
        break;
    case CHANGE_SETTLING:
        if (world_is_settled(world))
            change->kind = CHANGE_NONE;
        break;
    }
}
