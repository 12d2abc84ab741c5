/* What shall come true, whatever the seed makes of delays, crashes and partitions. */
#include <assert.h>
#include <string.h>

#include "meta_world.h"

enum { FORMS_MS = 30000, CALM_MS = 60000, LONG_MS = 180000 };

static void start_all(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (!world->nodes[i].is_alive)
            node_start(&world->nodes[i]);
}

/* One after the other, within some seconds. */
static void start_in_turns(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        node_start(&world->nodes[i]);
        world_run_ms(world, world_below(world, 3000));
    }
}

static void form(struct world *world, size_t founders)
{
    world_add_founders(world, founders);
    start_in_turns(world);
    world_require(world, all_are_members, FORMS_MS, "a cluster of all");
}

static void propose_some(struct world *world, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        node_propose(world_any(world));
        world_run_ms(world, world_below(world, 300));
    }
}

static bool requests_are_over(struct world *world)
{
    return world->requests_out == 0;
}

static void check_all(struct world *world)
{
    world_require(world, requests_are_over, CALM_MS, "the end of requests");
    world_require(world, all_is_settled, LONG_MS, "all is as desired");
    world_run_ms(world, 5000); /* what was heard before a partition is old by then */
    world_require(world, all_is_settled, LONG_MS, "all is as desired");
    world_check_settings(world);
    node_observe(world_any(world));
}

static void require_command(struct node *node, const struct meta_command *command)
{
    struct error error;
    if (node_command(node, command, &error) != ERROR_NONE)
        world_fail(node->world, "command %d: %s", command->kind, error.message);
}

/* As an operator does, who is refused until what is reported has arrived. */
static void insist_on(struct world *world, const struct meta_command *command)
{
    struct error error;
    for (int i = 0; i < 15; i++) {
        enum error_code code = node_command(world_any(world), command, &error);
        if (code == ERROR_NONE)
            return;
        if (code != ERROR_CONFLICT)
            break;
        world_run_ms(world, 1000);
    }
    world_fail(world, "command %d: %s", command->kind, error.message);
}

static void expect_refusal(struct node *node, const struct meta_command *command,
                           enum error_code code)
{
    struct error error;
    if (node_command(node, command, &error) != code)
        world_fail(node->world, "command %d ended with %s: %s", command->kind,
                   error_code_name(error.code), error.message);
}

/* --- Forming --------------------------------------------------------------------------------- */

static void three_form(struct world *world)
{
    form(world, 3);
    propose_some(world, 10);
    check_all(world);
}

static void five_form(struct world *world)
{
    form(world, 5);
    propose_some(world, 10);
    check_all(world);
}

static void one_forms_alone(struct world *world)
{
    (void)world_add(world, "a", "a");
    if (world_below(world, 2) == 0)
        node_knows(&world->nodes[0], &world->nodes[0]);
    start_all(world);
    world_require(world, all_are_members, FORMS_MS, "a cluster of one");
    if (world->nodes[0].node_id != 1)
        world_fail(world, "the only node is not the first");
    propose_some(world, 5);
    check_all(world);
}

/* A founder comes late, or crashes at any moment of the forming, with or without its identity. */
static void founders_crash(struct world *world)
{
    world_add_founders(world, 3 + world_below(world, 3));
    world->store_delay_ms_max = 1000;
    world->store_failures_per_hundred = 20;
    start_in_turns(world);
    uint32_t crashes = 1 + world_below(world, 6);
    for (uint32_t i = 0; i < crashes; i++) {
        struct node *node = world_any(world);
        world_run_ms(world, world_below(world, 1500));
        node_crash(node);
        world_run_ms(world, world_below(world, 2000));
        node_start(node);
    }
    world_require(world, all_are_members, CALM_MS, "a cluster of all");
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].node_id != i + 1)
            world_fail(world, "node %s is not the founder it was", world->nodes[i].name);
    check_all(world);
}

static void partitions_while_forming(struct world *world)
{
    world_add_founders(world, 3 + world_below(world, 3));
    world->store_delay_ms_max = 500;
    start_all(world);
    for (int i = 0; i < 10; i++) {
        struct node *one = world_any(world), *other = world_any(world);
        if (one != other)
            world_partition(world, one, other, world_below(world, 3) != 0);
        world_run_ms(world, world_below(world, 1000));
    }
    world_heal(world);
    world_require(world, all_are_members, CALM_MS, "a cluster of all");
    check_all(world);
}

static void different_settings_do_not_form(struct world *world)
{
    world_add_founders(world, 3);
    struct node *other = &world->nodes[world_below(world, 3)];
    switch (world_below(world, 4)) {
    case 0:
        other->shard_count = 16;
        break;
    case 1:
        other->cluster_name = "west";
        break;
    case 2:
        other->replication = 1;
        break;
    default:
        other->peer_count = 2;
        break;
    }
    start_in_turns(world);
    world_run_ms(world, 10000);
    if (world->has_cluster && other->peer_count == 3)
        world_fail(world, "formed with different settings");
}

/* A directory is emptied while a cluster forms: its name becomes another node. */
static void a_founder_is_wiped(struct world *world)
{
    world_add_founders(world, 3);
    world->store_delay_ms_max = 1000;
    start_in_turns(world);
    struct node *node = world_any(world);
    world_run_ms(world, world_below(world, 2000));
    node_crash(node);
    node_wipe(node);
    node_start(node);
    world_require(world, all_are_members, CALM_MS, "a cluster of all");
    check_all(world);
}

static bool is_seeking(const struct node *node)
{
    struct meta_status status;
    meta_status(node->meta, &status);
    return status.phase == META_PHASE_SEEKING;
}

/*
 * a hears b and c; b hears a only, and then the c that came after. Were it enough to hear from all,
 * a would found with the one c, and b with the other and with what a said before.
 */
static void two_see_different_founders(struct world *world)
{
    world_add_founders(world, 3);
    struct node *a = &world->nodes[0], *b = &world->nodes[1], *c = &world->nodes[2];
    world_partition(world, b, c, true);
    node_start(a);
    node_start(b);
    world_run_ms(world, 1000 + world_below(world, 1000));
    node_start(c);
    for (int i = 0; i < 40 && is_seeking(a); i++)
        world_run_ms(world, 50);
    world_isolate(world, a, true);
    node_crash(c);
    node_wipe(c);
    world_heal(world);
    world_isolate(world, a, true);
    node_start(c);
    world_run_ms(world, world_below(world, 10000));
    world_heal(world);
    world_require(world, all_are_members, CALM_MS, "a cluster of all");
    check_all(world);
}

/* --- Joining --------------------------------------------------------------------------------- */

static void a_fourth_joins(struct world *world)
{
    form(world, 3);
    struct node *fourth = world_add(world, "d", "d");
    node_knows(fourth, &world->nodes[world_below(world, 3)]);
    if (world_below(world, 2) == 0)
        world->store_failures_per_hundred = 50;
    node_start(fourth);
    if (world_below(world, 2) == 0) {
        world_run_ms(world, world_below(world, 3000));
        node_crash(fourth);
        world_run_ms(world, world_below(world, 3000));
        node_start(fourth);
    }
    world_require(world, all_are_members, CALM_MS, "four members");
    world->counts->joins++;
    check_all(world);
}

static void others_join_one(struct world *world)
{
    struct node *first = world_add(world, "a", "a");
    first->directory = META_DIRECTORY_HOLDS_SHARDS;
    first->replication = 1;
    node_start(first);
    for (size_t i = 1; i < 4; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        struct node *node = world_add(world, name, name);
        node_knows(node, &world->nodes[world_below(world, (uint32_t)i)]);
        node_start(node);
        world_run_ms(world, world_below(world, 4000));
    }
    world_require(world, all_are_members, CALM_MS, "four members");
    if (first->node_id != 1)
        world_fail(world, "who was alone is not the first");
    require_command(world_any(world),
                    &(struct meta_command){.kind = META_SET_REPLICATION, .replication = 3});
    check_all(world);
    world->counts->joins += 3;
}

/* Another directory under a known name: not while the node is alive. */
static void a_name_is_taken(struct world *world)
{
    form(world, 4);
    struct node *old = &world->nodes[3];
    uint64_t old_id = old->node_id;
    struct node *rival = world_add(world, "d", "d2");
    node_knows(rival, &world->nodes[0]);
    /* Whoever reaches the leader second is the one that is refused; the first is alive. */
    node_start(rival);
    world_run_ms(world, 15000);
    const struct cluster_node *known =
        cluster_state_find_node(meta_state(world->nodes[0].meta), old_id);
    if (rival->is_identified || known == NULL || known->state != CLUSTER_NODE_ACTIVE)
        world_fail(world, "the name of a node that is alive was taken");
    node_crash(old);
    world_require(world, all_are_members, CALM_MS, "the other directory is a member");
    known = cluster_state_find_node(meta_state(world->nodes[0].meta), old_id);
    if (known->state != CLUSTER_NODE_LEFT || known->replaced_by != rival->node_id)
        world_fail(world, "who was replaced has not left");
    world->counts->takeovers++;
    check_all(world);
}

static void a_node_comes_back_empty(struct world *world)
{
    form(world, 4);
    struct node *node = &world->nodes[world_below(world, 4)];
    uint64_t old_id = node->node_id;
    node_crash(node);
    node_wipe(node);
    node_start(node);
    world_require(world, all_are_members, CALM_MS, "members again");
    if (node->node_id == old_id)
        world_fail(world, "an empty directory has an old id");
    world->counts->takeovers++;
    check_all(world);
}

static void a_node_moves(struct world *world)
{
    form(world, 3);
    struct node *node = &world->nodes[world_below(world, 3)];
    node_stop(node);
    strcpy(node->zone, "elsewhere");
    world_run_ms(world, world_below(world, 3000));
    node_start(node);
    world_require(world, all_are_members, CALM_MS, "members again");
    const struct cluster_node *known =
        cluster_state_find_node(meta_state(world->nodes[0].meta), node->node_id);
    if (strcmp(known->traits.zone, "elsewhere") != 0)
        world_fail(world, "nobody knows of the new zone");
    check_all(world);
}

/* --- Failing --------------------------------------------------------------------------------- */

static struct node *await_leader(struct world *world)
{
    for (int i = 0; i < 600; i++) {
        struct node *leader = world_leader(world);
        if (leader != NULL)
            return leader;
        world_run_ms(world, 50);
    }
    world_fail(world, "no leader");
}

static void leaders_crash(struct world *world)
{
    form(world, 3 + 2 * world_below(world, 2));
    for (int i = 0; i < 4; i++) {
        struct node *leader = await_leader(world);
        propose_some(world, world_below(world, 5));
        if (world_below(world, 2) == 0)
            node_crash(leader);
        else
            node_stop(leader);
        propose_some(world, world_below(world, 5));
        world_run_ms(world, world_below(world, 5000));
        node_start(leader);
        world->counts->leaders++;
    }
    world_require(world, all_are_members, CALM_MS, "members again");
    check_all(world);
}

/* Who stops hands over: nobody waits for an election. */
static void leaders_stop(struct world *world)
{
    form(world, 3);
    for (int i = 0; i < 3; i++) {
        struct node *leader = await_leader(world);
        node_stop(leader);
        world_run_ms(world, 300);
        if (world_leader(world) == NULL)
            world_fail(world, "nobody leads after an orderly end");
        node_start(leader);
        world_require(world, all_are_members, CALM_MS, "members again");
    }
    check_all(world);
}

/* One that leads and is alone takes nothing, says so in time, and others go on. */
static void leaders_are_cut_off(struct world *world)
{
    form(world, 3 + 2 * world_below(world, 2));
    for (int i = 0; i < 3; i++) {
        struct node *leader = await_leader(world);
        world_isolate(world, leader, true);
        node_propose(leader);
        propose_some(world, 3);
        world_run_ms(world, 4000); /* longer than a proposal waits */
        if (world->requests_out > 0)
            world_fail(world, "%llu proposals without an answer",
                       (unsigned long long)world->requests_out);
        world_run_ms(world, world_below(world, 10000));
        world_heal(world);
        world_require(world, all_are_members, CALM_MS, "members again");
    }
    check_all(world);
}

static void all_restart(struct world *world)
{
    form(world, 3 + world_below(world, 3));
    propose_some(world, 10);
    for (int i = 0; i < 3; i++) {
        bool is_crash = world_below(world, 2) == 0;
        for (size_t k = 0; k < world->node_count; k++)
            if (is_crash)
                node_crash(&world->nodes[k]);
            else
                node_stop(&world->nodes[k]);
        world_run_ms(world, world_below(world, 3000));
        start_all(world);
        world_require(world, all_are_members, CALM_MS, "members again");
    }
    check_all(world);
}

static void the_dead_are_replaced(struct world *world)
{
    world_add_founders(world, 5);
    for (size_t i = 0; i < 5; i++)
        world->nodes[i].zone[0] = (char)('0' + i % 3);
    start_in_turns(world);
    world_require(world, all_is_settled, CALM_MS, "all is as desired");
    struct node *dead = world_any(world);
    uint64_t dead_id = dead->node_id;
    node_crash(dead);
    world_run_ms(world, 15000);
    const struct cluster_state *state = meta_state(await_leader(world)->meta);
    if (cluster_state_replica_count(state, dead_id) == 0)
        world_fail(world, "replaced too soon");
    world_require(world, all_is_settled, LONG_MS, "replicas elsewhere");
    state = meta_state(await_leader(world)->meta);
    if (cluster_state_replica_count(state, dead_id) != 0)
        world_fail(world, "a dead node keeps replicas");
    world->counts->assigns++;
    node_start(dead);
    check_all(world);
}

static size_t count_votes(struct world *world, const char *zone)
{
    size_t count = 0;
    for (size_t i = 0; i < world->node_count; i++)
        count +=
            world->nodes[i].has_vote && (zone == NULL || strcmp(world->nodes[i].zone, zone) == 0);
    return count;
}

/* Five votes, in all zones; who is dead for long gives his to another. */
static void votes_follow_the_living(struct world *world)
{
    world_add_founders(world, 5);
    for (size_t i = 0; i < 5; i++)
        strcpy(world->nodes[i].zone, i < 3 ? "x" : "y");
    start_in_turns(world);
    world_require(world, all_are_members, CALM_MS, "five");
    for (int i = 0; i < 2; i++) {
        char name[2] = {(char)('f' + i), '\0'};
        struct node *node = world_add(world, name, name);
        strcpy(node->zone, "w");
        node_knows(node, &world->nodes[world_below(world, 5)]);
        node_start(node);
    }
    world_require(world, all_are_members, CALM_MS, "seven");
    check_all(world);
    world_run_ms(world, 10000);
    node_observe(world_any(world));
    size_t in_w = count_votes(world, "w"), in_y = count_votes(world, "y");
    if (count_votes(world, NULL) != 5 || count_votes(world, "x") > 2 || in_w == 0 || in_y == 0)
        world_fail(world, "%zu votes, %zu in zone w, %zu in zone y", count_votes(world, NULL), in_w,
                   in_y);
    struct node *dead = world_any(world);
    while (!dead->has_vote)
        dead = world_any(world);
    node_crash(dead);
    world_run_ms(world, world->replace_after_ms + 20000);
    node_observe(world_any(world));
    if (dead->has_vote || count_votes(world, NULL) != 5)
        world_fail(world, "%zu votes%s", count_votes(world, NULL),
                   dead->has_vote ? ", one of the dead" : "");
    node_start(dead);
    check_all(world);
}

/* --- Commands -------------------------------------------------------------------------------- */

static uint64_t drained_id;

static bool is_drained(struct world *world)
{
    struct node *leader = world_leader(world);
    return leader != NULL &&
           cluster_state_replica_count(meta_state(leader->meta), drained_id) == 0 &&
           shards_are_settled(world);
}

static void nodes_are_drained_and_removed(struct world *world)
{
    form(world, 4);
    world_require(world, all_is_settled, CALM_MS, "all is as desired");
    struct node *node = &world->nodes[world_below(world, 4)];
    struct meta_command command = {.kind = META_REMOVE_NODE, .node_id = node->node_id};
    expect_refusal(world_any(world), &command, ERROR_CONFLICT);
    command = (struct meta_command){.kind = META_DRAIN_NODE};
    memcpy(command.node_name, node->name, sizeof node->name);
    require_command(world_any(world), &command);
    require_command(world_any(world), &command); /* again: nothing new */
    drained_id = node->node_id;
    world_require(world, is_drained, LONG_MS, "the node is empty");
    world->counts->drains++;
    command.kind = META_REMOVE_NODE;
    require_command(world_any(world), &command);
    for (int i = 0; !node->is_dismissed; i++) {
        if (i == 600)
            world_fail(world, "nobody told the node that it has left");
        world_run_ms(world, 50);
    }
    if (world_below(world, 2) == 0) {
        /* It is forgotten, and comes back as nobody. */
        node_stop(node);
        require_command(world_any(world), &command);
        expect_refusal(world_any(world), &command, ERROR_NOT_FOUND);
        world_run_ms(world, 5000);
        check_all(world);
        return;
    }
    node_stop(node);
    world_run_ms(world, 5000);
    node_start(node); /* by itself: it is back */
    world_require(world, all_are_members, CALM_MS, "it has come back");
    check_all(world);
}

static uint32_t version_in_force(struct world *world)
{
    return cluster_state_facts(meta_state(world_any(world)->meta))->version;
}

static bool version_is_newest(struct world *world)
{
    return version_in_force(world) == CLUSTER_VERSION_MAX;
}

static void shards_are_split(struct world *world)
{
    form(world, 3);
    world_require(world, all_is_settled, CALM_MS, "all is as desired");
    world_require(world, version_is_newest, CALM_MS, "the version that splits");
    struct meta_command command = {.kind = META_SPLIT_SHARD, .shard_id = CLUSTER_SHARD_NONE};
    for (int i = 0; i < 4; i++)
        require_command(world_any(world), &command);
    command.shard_id = 500;
    expect_refusal(world_any(world), &command, ERROR_NOT_FOUND);
    command = (struct meta_command){.kind = META_SET_REPLICATION, .replication = 9};
    expect_refusal(world_any(world), &command, ERROR_INVALID);
    command = (struct meta_command){.kind = META_DRAIN_NODE, .node_id = 77};
    expect_refusal(world_any(world), &command, ERROR_NOT_FOUND);
    command = (struct meta_command){.kind = META_REBALANCE};
    require_command(world_any(world), &command);
    size_t count;
    world_require(world, all_is_settled, LONG_MS, "all is as desired");
    cluster_state_shards(meta_state(world->nodes[0].meta), &count);
    if (count != 12)
        world_fail(world, "%zu shards", count);
    /* A founder that is down would have a vote and nothing else. */
    struct node *down = world_any(world);
    node_crash(down);
    world_run_ms(world, 8000);
    command = (struct meta_command){.kind = META_SPLIT_SHARD, .shard_id = 0};
    expect_refusal(world_any(world), &command, ERROR_CONFLICT);
    node_start(down);
    world_require(world, all_is_settled, LONG_MS, "all is as desired");
    insist_on(world, &command);
    check_all(world);
}

/* Also the one that leads. */
static void a_leader_is_removed(struct world *world)
{
    form(world, 4);
    struct node *leader = await_leader(world);
    struct meta_command command = {
        .kind = META_REMOVE_NODE, .node_id = leader->node_id, .force = META_FORCED};
    require_command(world_any(world), &command);
    command.kind = META_UNDRAIN_NODE; /* what the log says to it is what is answered */
    expect_refusal(world_any(world), &command, ERROR_CONFLICT);
    for (int i = 0; !leader->is_dismissed || world_leader(world) == leader; i++) {
        if (i == 1200)
            world_fail(world, "who has left still leads");
        world_run_ms(world, 50);
    }
    world_run_ms(world, 3000);
    node_stop(leader);
    check_all(world);
}

/* --- Many ------------------------------------------------------------------------------------ */

/* More nodes than the group has members: the others follow. */
static void more_nodes_than_members(struct world *world)
{
    world->members_max = 3;
    form(world, 5);
    struct node *sixth = world_add(world, "f", "f");
    node_knows(sixth, &world->nodes[4]);
    node_start(sixth);
    world_require(world, all_are_members, CALM_MS, "six");
    propose_some(world, 10);
    check_all(world);
    struct node *node = world_any(world);
    node_crash(node);
    propose_some(world, 5);
    node_start(node);
    check_all(world);
    /* A place becomes free. */
    struct meta_command command = {.kind = META_REMOVE_NODE, .node_id = 1, .force = META_FORCED};
    require_command(&world->nodes[3], &command);
    world_run_ms(world, 5000);
    node_stop(&world->nodes[0]);
    check_all(world);
    world_run_ms(world, 5000);
    node_observe(world_any(world));
    if (count_votes(world, NULL) != 3 || world->nodes[0].has_vote)
        world_fail(world, "nobody took the place of who left");
}

/* --- Programs and clocks -----------------------------------------------------------------------
 */

static bool version_is_next(struct world *world)
{
    return version_in_force(world) == CLUSTER_VERSION_MAX + 1;
}

static void a_version_rises_when_all_have_it(struct world *world)
{
    form(world, 3);
    world_require(world, version_is_newest, CALM_MS, "the version that all have");
    for (size_t i = 0; i < 3; i++) {
        if (version_is_next(world))
            world_fail(world, "a version that a node does not support");
        node_stop(&world->nodes[i]);
        world->nodes[i].version_max = CLUSTER_VERSION_MAX + 1;
        world_run_ms(world, world_below(world, 3000));
        node_start(&world->nodes[i]);
        world_require(world, all_are_members, CALM_MS, "members again");
        world_run_ms(world, 3000);
    }
    world_require(world, version_is_next, CALM_MS, "the new version");
    check_all(world);
}

static void run_program(struct world *world, size_t i, uint32_t version_max)
{
    node_stop(&world->nodes[i]);
    world->nodes[i].version_max = version_max;
    world_run_ms(world, world_below(world, 2000));
    node_start(&world->nodes[i]);
    world_require(world, all_are_members, CALM_MS, "members again");
}

static void require_held(struct world *world)
{
    world_run_ms(world, 8000);
    if (!version_is_newest(world))
        world_fail(world, "a version that was held has risen");
}

static void a_held_version_leaves_the_way_back_open(struct world *world)
{
    struct meta_command hold = {.kind = META_HOLD_VERSION}, raise = {.kind = META_RAISE_VERSION};
    form(world, 3);
    world_require(world, version_is_newest, CALM_MS, "the version that all have");
    require_command(world_any(world), &hold);
    for (size_t i = 0; i < 3; i++)
        run_program(world, i, CLUSTER_VERSION_MAX + 1);
    require_held(world);
    size_t back = world_below(world, 3);
    run_program(world, back, CLUSTER_VERSION_MAX);
    require_held(world);
    expect_refusal(world_any(world), &raise, ERROR_CONFLICT);
    run_program(world, back, CLUSTER_VERSION_MAX + 1);
    require_held(world);
    require_command(world_any(world), &raise);
    world_require(world, version_is_next, CALM_MS, "the version that was held");
    require_command(world_any(world), &raise); /* it is the newest: nothing is to be done */
    check_all(world);
}

/* Who is away may come back with the program of before. */
static void a_version_waits_for_who_is_away(struct world *world)
{
    form(world, 3);
    world_require(world, version_is_newest, CALM_MS, "the version that all have");
    for (size_t i = 0; i < 2; i++)
        run_program(world, i, CLUSTER_VERSION_MAX + 1);
    node_stop(&world->nodes[2]);
    require_held(world);
    node_start(&world->nodes[2]);
    world_require(world, all_are_members, CALM_MS, "members again");
    require_held(world);
    run_program(world, 2, CLUSTER_VERSION_MAX + 1);
    world_require(world, version_is_next, CALM_MS, "the new version");
    check_all(world);
}

static void one_clock_does_not_count(struct world *world)
{
    form(world, 3);
    world->nodes[world_below(world, 3)].clock.ahead_ms = 86400000;
    world_run_ms(world, 5000);
    for (size_t i = 0; i < 3; i++) {
        struct clock *clock = &world->base->clock.base;
        int64_t away_ms = world->nodes[i].agreed_ms - clock_now_ms(clock);
        if (away_ms > 5000 || away_ms < -5000)
            world_fail(world, "the agreed time is %lld ms away", (long long)away_ms);
    }
    check_all(world);
}

static uint64_t slow_id;

static bool slow_leads_nothing(struct world *world)
{
    for (size_t i = 0; i < 8; i++)
        if (world->shards[i].leader == slow_id)
            return false;
    return true;
}

static bool all_know_the_leaders(struct world *world)
{
    for (size_t k = 0; k < world->node_count; k++)
        for (size_t i = 0; i < 8; i++)
            if (world->nodes[k].shard_leaders[i] != world->shards[i].leader)
                return false;
    return true;
}

static void slow_disks_do_not_lead(struct world *world)
{
    form(world, 3);
    world_require(world, all_is_settled, CALM_MS, "all is as desired");
    struct node *node = world_any(world);
    slow_id = node->node_id;
    node->slow_disk = true;
    world_require(world, slow_leads_nothing, LONG_MS, "others lead");
    world_require(world, all_know_the_leaders, CALM_MS, "all nodes know the leaders");
    check_all(world);
    if (!slow_leads_nothing(world))
        world_fail(world, "a slow disk leads");
}

/* --- Chance ---------------------------------------------------------------------------------- */

/* Somebody asks for something, wherever it may be. */
static void command(struct world *world)
{
    struct node *node = world_any(world), *other = world_any(world);
    static const enum meta_command_kind KINDS[] = {META_DRAIN_NODE,   META_UNDRAIN_NODE,
                                                   META_SPLIT_SHARD,  META_REBALANCE,
                                                   META_HOLD_VERSION, META_RAISE_VERSION};
    if (node == NULL)
        return;
    node_command_later(node, &(struct meta_command){
                                 .kind = KINDS[world_below(world, 6)],
                                 .node_id = other->node_id,
                                 .shard_id = CLUSTER_SHARD_NONE,
                             });
}

/* One directory of a cluster may be lost at a time, and is in a run: more would be a majority. */
static void lose_directory(struct world *world, struct node *node)
{
    if (!node->is_alive && world->wipes == 0 && world_below(world, 4) == 0)
        node_wipe(node);
}

static void undrain_all(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive)
            require_command(world_any(world),
                            &(struct meta_command){.kind = META_UNDRAIN_NODE,
                                                   .node_id = world->nodes[i].node_id});
}

static void disturb(struct world *world)
{
    struct node *node = &world->nodes[world_below(world, (uint32_t)world->node_count)];
    struct node *other = &world->nodes[world_below(world, (uint32_t)world->node_count)];
    switch (world_below(world, 10)) {
    case 0:
    case 1:
        if (node->is_alive)
            node_crash(node);
        return;
    case 8:
        command(world);
        return;
    case 9:
        lose_directory(world, node);
        return;
    case 2:
        if (node->is_alive)
            node_stop(node);
        return;
    case 3:
    case 4:
        if (!node->is_alive)
            node_start(node);
        return;
    case 5:
        if (node != other)
            world_partition(world, node, other, true);
        return;
    case 6:
        world_heal(world);
        return;
    default:
        world->counts->cuts++;
        simulated_network_cut(&world->network, node->host, other->host);
        return;
    }
}

static void chance(struct world *world)
{
    size_t founders = 3 + world_below(world, 3);
    world_add_founders(world, founders);
    for (size_t i = 0; i < founders; i++)
        world->nodes[i].zone[0] = (char)('0' + world_below(world, 3));
    size_t joiners = world_below(world, 3);
    for (size_t i = 0; i < joiners; i++) {
        char name[2] = {(char)('f' + i), '\0'};
        struct node *node = world_add(world, name, name);
        node_knows(node, &world->nodes[world_below(world, (uint32_t)founders)]);
        node_knows(node, &world->nodes[0]);
        if (strcmp(node->peer_names[0], node->peer_names[1]) == 0)
            node->peer_count = 1;
    }
    world->store_failures_per_hundred = 10;
    start_in_turns(world);
    for (int i = 0; i < 60; i++) {
        disturb(world);
        struct node *node = world_any(world);
        if (node != NULL && world_below(world, 2) == 0)
            node_propose(node);
        world_run_ms(world, world_below(world, 2) == 0 ? world_below(world, 200)
                                                       : world_below(world, 5000));
    }
    world_heal(world);
    start_all(world);
    world_require(world, all_are_members, LONG_MS, "all are members");
    undrain_all(world);
    check_all(world);
}

const struct scenario SCENARIOS[] = {
    {"three_form", three_form},
    {"five_form", five_form},
    {"one_forms_alone", one_forms_alone},
    {"founders_crash", founders_crash},
    {"partitions_while_forming", partitions_while_forming},
    {"different_settings_do_not_form", different_settings_do_not_form},
    {"a_founder_is_wiped", a_founder_is_wiped},
    {"two_see_different_founders", two_see_different_founders},
    {"a_fourth_joins", a_fourth_joins},
    {"others_join_one", others_join_one},
    {"a_name_is_taken", a_name_is_taken},
    {"a_node_comes_back_empty", a_node_comes_back_empty},
    {"a_node_moves", a_node_moves},
    {"leaders_crash", leaders_crash},
    {"leaders_stop", leaders_stop},
    {"leaders_are_cut_off", leaders_are_cut_off},
    {"all_restart", all_restart},
    {"the_dead_are_replaced", the_dead_are_replaced},
    {"votes_follow_the_living", votes_follow_the_living},
    {"nodes_are_drained_and_removed", nodes_are_drained_and_removed},
    {"shards_are_split", shards_are_split},
    {"a_leader_is_removed", a_leader_is_removed},
    {"more_nodes_than_members", more_nodes_than_members},
    {"a_version_rises_when_all_have_it", a_version_rises_when_all_have_it},
    {"a_held_version_leaves_the_way_back_open", a_held_version_leaves_the_way_back_open},
    {"a_version_waits_for_who_is_away", a_version_waits_for_who_is_away},
    {"one_clock_does_not_count", one_clock_does_not_count},
    {"slow_disks_do_not_lead", slow_disks_do_not_lead},
    {"chance", chance},
};
const size_t SCENARIO_COUNT = sizeof SCENARIOS / sizeof SCENARIOS[0];
