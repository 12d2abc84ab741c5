/* What is planned for a cluster in which nothing gets lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model.c" /* only one file of a unit test is compiled */

enum { TICKS_MAX = 2000 };

static struct model *settled_model(uint32_t nodes, uint32_t zones, uint32_t shards,
                                   uint32_t replication)
{
    struct model_options options = {nodes, zones, shards, replication};
    struct model *model = model_create(1, &options);
    model->reliable = true;
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(model->assigns, 0); /* a cluster is founded balanced */
    return model;
}

static size_t replicas_of_node(const struct model *model, uint64_t node_id)
{
    return cluster_state_replica_count(model->state, node_id);
}

static uint32_t leads_of_node(const struct model *model, uint64_t node_id)
{
    uint32_t leads = 0;
    for (size_t i = 0; i < model_group_count(model); i++)
        leads += model->groups[i].view.leader == node_id;
    return leads;
}

static void a_node_that_joins_gets_its_share_and_nothing_else_moves(void **state)
{
    (void)state;
    struct model *model = settled_model(3, 1, 32, 3);
    uint64_t joined = model_join(model, "zone-0");
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, joined), 24);
    assert_int_equal(model->assigns, 24);
    assert_int_equal(leads_of_node(model, joined), 8);
    print_message("24 replicas to a fourth node: %zu s, %zu steps, %zu transfers\n", model->ticks,
                  model->steps, model->transfers);
    model_destroy(model);
}

static void one_node_grows_to_three(void **state)
{
    (void)state;
    struct model *model = settled_model(1, 1, 8, 1);
    struct cluster_entry entry = {.kind = CLUSTER_SET_REPLICATION, .set_replication = {3}};
    model_join(model, "zone-0");
    model_join(model, "zone-0");
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    assert_true(model_settle(model, TICKS_MAX));
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(replicas_of_node(model, id), 8);
        assert_in_range(leads_of_node(model, id), 2, 3);
    }
    assert_int_equal(model->assigns, 16);
    /* And back. */
    entry.set_replication.replication = 1;
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    assert_true(model_settle(model, TICKS_MAX));
    for (uint64_t id = 1; id <= 3; id++)
        assert_in_range(replicas_of_node(model, id), 2, 3);
    model_destroy(model);
}

static void a_draining_node_is_emptied(void **state)
{
    (void)state;
    struct model *model = settled_model(4, 1, 16, 3);
    size_t held = replicas_of_node(model, 2);
    struct placement_progress progress;
    assert_int_equal(model_set_state(model, 2, CLUSTER_NODE_DRAINING), CLUSTER_ACCEPTED);
    model_tick(model);
    progress = placement_drain_progress(model->state, &model->sight.observation, &model->limits, 2);
    assert_int_equal(progress.planned, held);
    assert_int_equal(progress.done, 0);
    assert_int_equal(progress.bytes_left, held * MODEL_SHARD_BYTES);
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, 2), 0);
    assert_int_equal(leads_of_node(model, 2), 0);
    assert_int_equal(model->assigns, held);
    progress = placement_drain_progress(model->state, &model->sight.observation, &model->limits, 2);
    assert_int_equal(progress.done, held);
    assert_int_equal(progress.bytes_left, 0);
    model_destroy(model);
}

/* Three copies stay three, even if that leaves the drain unfinished. */
static void a_drain_without_a_substitute_waits(void **state)
{
    (void)state;
    struct model *model = settled_model(3, 3, 8, 3);
    assert_int_equal(model_set_state(model, 2, CLUSTER_NODE_DRAINING), CLUSTER_ACCEPTED);
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, 2), 8);
    assert_int_equal(leads_of_node(model, 2), 0); /* leaders need no copy */
    uint64_t joined = model_join(model, "zone-1");
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, 2), 0);
    assert_int_equal(replicas_of_node(model, joined), 8);
    model_destroy(model);
}

static void a_dead_node_is_replaced_after_a_while(void **state)
{
    (void)state;
    struct model *model = settled_model(5, 1, 20, 3);
    model_kill(model, 4);
    for (int i = 0; i < 28; i++)
        model_tick(model);
    assert_int_equal(model->assigns, 0);
    model_settle(model, TICKS_MAX);
    assert_int_equal(replicas_of_node(model, 4), 0);
    for (uint64_t id = 1; id <= 5; id++)
        if (id != 4)
            assert_int_equal(replicas_of_node(model, id), 15);
    model_start(model, 4);
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, 4), 12);
    model_destroy(model);
}

static void a_node_that_left_is_given_up_without_a_substitute(void **state)
{
    (void)state;
    struct model *model = settled_model(3, 3, 8, 3);
    struct cluster_entry removal = {.kind = CLUSTER_REMOVE_NODE, .remove_node = {2}};
    model_kill(model, 2);
    assert_int_equal(model_set_state(model, 2, CLUSTER_NODE_LEFT), CLUSTER_ACCEPTED);
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(model_apply(model, &removal), CLUSTER_ACCEPTED);
    model_join(model, "zone-1");
    assert_true(model_settle(model, TICKS_MAX));
    for (size_t i = 0; i < model_group_count(model); i++)
        assert_int_equal(model->groups[i].view.member_count, 3);
    model_destroy(model);
}

static void a_new_zone_is_used(void **state)
{
    (void)state;
    struct model *model = settled_model(4, 2, 12, 3); /* two replicas in one of two zones */
    uint64_t joined = model_join(model, "zone-new");
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(replicas_of_node(model, joined), 12); /* one of each */
    assert_int_equal(model->assigns, 12);
    model_destroy(model);
}

static void leaders_leave_a_slow_disk_and_return(void **state)
{
    (void)state;
    struct model *model = settled_model(3, 3, 9, 3);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(leads_of_node(model, id), 3);
    model->nodes[1].slow_disk = true;
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(leads_of_node(model, 1), 0);
    assert_in_range(leads_of_node(model, 2), 4, 5);
    model->nodes[1].slow_disk = false;
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(leads_of_node(model, 1), 3);
    model_destroy(model);
}

/* Nodes 1 and 3 of one zone lead two shards each, 2 and 4 of the other one each. */
static void leaders_are_even_over_zones_too(void **state)
{
    (void)state;
    static const uint64_t LEADERS[] = {1, 1, 3, 3, 2, 4};
    struct model *model = settled_model(4, 2, 6, 4);
    for (size_t i = 0; i < 6; i++)
        model->groups[i].view.leader = LEADERS[i];
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(leads_of_node(model, 1) + leads_of_node(model, 3), 3);
    for (uint64_t id = 1; id <= 4; id++)
        assert_in_range(leads_of_node(model, id), 1, 2);
    model_destroy(model);
}

static void set_zone(struct model *model, uint64_t node_id, const char *zone)
{
    struct cluster_entry entry = {
        .kind = CLUSTER_UPDATE_NODE,
        .update_node = {node_id, cluster_state_find_node(model->state, node_id)->traits}};
    snprintf(entry.update_node.traits.zone, sizeof entry.update_node.traits.zone, "%s", zone);
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
}

/*
 * Node 1 has three replicas, 2, 3 and 4 one each, in a zone of their own: all shards of node 1 are
 * there as well, so none can go there. By way of 5 or 6 it can.
 */
static void a_chain_of_moves_evens_what_one_cannot(void **state)
{
    (void)state;
    static const struct cluster_replicas REPLICAS[] = {
        {2, {1, 2}}, {2, {1, 3}}, {2, {1, 4}}, {2, {5, 6}}, {2, {5, 6}}};
    static const char *const ZONES[] = {"a", "b", "b", "b", "c", "d"};
    struct model *model = settled_model(6, 1, 5, 2);
    for (uint64_t id = 1; id <= 6; id++)
        set_zone(model, id, ZONES[id - 1]);
    for (uint32_t i = 0; i < 5; i++) {
        const struct cluster_shard *shard = cluster_state_find_shard(model->state, i);
        struct cluster_entry entry = {.kind = CLUSTER_ASSIGN,
                                      .assign = {i, shard->generation, REPLICAS[i]}};
        assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
        begin_group(model, i);
    }
    assert_int_equal(replicas_of_node(model, 1), 3);
    assert_true(model_settle(model, TICKS_MAX));
    for (uint64_t id = 1; id <= 6; id++)
        assert_in_range(replicas_of_node(model, id), 1, 2);
    assert_int_equal(model->assigns, 2);
    model_destroy(model);
}

static void few_shards_move_at_a_time(void **state)
{
    (void)state;
    struct model *model = settled_model(6, 1, 60, 3);
    model->limits.moves_total = 3;
    model->limits.moves_per_node = 1;
    for (uint64_t id = 1; id <= 3; id++)
        model_join(model, "zone-0");
    for (int i = 0; i < 100; i++) {
        uint32_t moving = 0, coming[MODEL_NODES_MAX] = {0};
        model_tick(model);
        for (size_t k = 0; k < model_group_count(model); k++) {
            const struct cluster_shard *shard = cluster_state_find_shard(model->state, (uint32_t)k);
            for (uint32_t r = 0; r < shard->replicas.count; r++) {
                struct placement_member *member =
                    find_member(&model->groups[k], shard->replicas.node_ids[r]);
                if (member == NULL || member->role != PLACEMENT_VOTER) {
                    moving++;
                    assert_int_equal(coming[shard->replicas.node_ids[r]]++, 0);
                }
            }
        }
        assert_true(moving <= 3);
    }
    assert_true(model->assigns > 10);
    model_destroy(model);
}

static void a_split_shard_moves_like_any_other(void **state)
{
    (void)state;
    struct model *model = settled_model(4, 1, 2, 2);
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    uint32_t shard_id = placement_shard_to_split(model->state);
    assert_int_equal(shard_id, 0);
    assert_int_equal(placement_split(model->state, shard_id, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    assert_int_equal(cluster_state_find_shard(model->state, 0)->slot_count, 1024);
    assert_int_equal(cluster_state_find_shard(model->state, 2)->slot_count, 1024);
    assert_int_equal(cluster_state_shard_of(model->state, 1023), 0);
    assert_int_equal(cluster_state_shard_of(model->state, 1024), 2);
    assert_int_equal(placement_shard_to_split(model->state), 1);
    model->groups[2] = model->groups[0];
    assert_true(model_settle(model, TICKS_MAX));
    for (uint64_t id = 1; id <= 4; id++)
        assert_in_range(replicas_of_node(model, id), 1, 2);
    assert_int_equal(placement_split(model->state, 7, arena, &entry, &error), ERROR_NOT_FOUND);
    arena_destroy(arena);
    model_destroy(model);
}

/* They found the child from the parent's files. */
static void the_replicas_of_a_parent_stay_until_its_child_is_led(void **state)
{
    (void)state;
    struct model *model = settled_model(4, 1, 2, 2);
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    assert_int_equal(placement_split(model->state, 0, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    struct cluster_replicas before = cluster_state_find_shard(model->state, 0)->replicas;
    assert_int_equal(model_set_state(model, before.node_ids[0], CLUSTER_NODE_DRAINING),
                     CLUSTER_ACCEPTED);
    for (int i = 0; i < 100; i++)
        model_tick(model); /* nobody leads the child */
    assert_memory_equal(&cluster_state_find_shard(model->state, 0)->replicas, &before,
                        sizeof before);
    model->groups[2] = model->groups[0];
    assert_true(model_settle(model, TICKS_MAX));
    assert_false(cluster_replicas_has(&cluster_state_find_shard(model->state, 0)->replicas,
                                      before.node_ids[0]));
    arena_destroy(arena);
    model_destroy(model);
}

/* A member of the shard that does not lead, nor is `but`. */
static struct placement_member *other_member(struct model *model, uint64_t but)
{
    struct placement_shard_view *view = &model->groups[0].view;
    for (size_t i = 0; i < view->member_count; i++)
        if (view->members[i].node_id != view->leader && view->members[i].node_id != but)
            return &view->members[i];
    fail_msg("no other member");
    return NULL;
}

/* A founder that was down when the shard was split off: it has a vote and is alive, and the shard
 * is so small that it lacks less than others lag. */
static void nothing_whole_goes_while_a_voter_lacks_the_state(void **state)
{
    (void)state;
    struct model *model = settled_model(4, 1, 1, 3);
    model->groups[0].view.size_bytes = 100;
    struct placement_member *lacks = other_member(model, 0);
    uint64_t drained = other_member(model, lacks->node_id)->node_id;
    assert_int_equal(model_set_state(model, drained, CLUSTER_NODE_DRAINING), CLUSTER_ACCEPTED);
    for (int i = 0; i < 20; i++) {
        lacks->bytes_behind = 2 * (uint64_t)PLACEMENT_BYTES_LACKING;
        model_tick(model);
    }
    assert_int_equal(model->assigns, 0);
    lacks->bytes_behind = 0;
    assert_true(model_settle(model, TICKS_MAX));
    assert_int_equal(model->assigns, 1);
    model_destroy(model);
}

/* A node that has just died comes back with what it has, which may be needed. */
static void a_superfluous_copy_that_died_stays_while_another_lacks_the_state(void **state)
{
    (void)state;
    struct model *model = settled_model(3, 1, 1, 3);
    struct cluster_entry entry = {.kind = CLUSTER_SET_REPLICATION, .set_replication = {2}};
    struct placement_member *lacks = other_member(model, 0);
    model_kill(model, other_member(model, lacks->node_id)->node_id);
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    for (int i = 0; i < 20; i++) {
        lacks->bytes_behind = 2 * (uint64_t)PLACEMENT_BYTES_LACKING;
        model_tick(model);
    }
    assert_int_equal(model->assigns, 0);
    lacks->bytes_behind = 0;
    model_tick(model);
    model_tick(model);
    assert_int_equal(model->assigns, 1);
    model_destroy(model);
}

static void a_shard_of_one_slot_is_not_split(void **state)
{
    (void)state;
    struct model *model = settled_model(1, 1, 1, 1);
    struct arena *arena = arena_create(0);
    struct cluster_entry entry;
    struct error error;
    for (uint32_t id = 1; id <= 12; id++) { /* shard 0 is halved until one slot is left */
        assert_int_equal(placement_split(model->state, 0, arena, &entry, &error), ERROR_NONE);
        assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    }
    assert_int_equal(cluster_state_find_shard(model->state, 0)->slot_count, 1);
    assert_int_equal(placement_split(model->state, 0, arena, &entry, &error), ERROR_LIMIT);
    arena_destroy(arena);
    model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_joins_gets_its_share_and_nothing_else_moves),
        cmocka_unit_test(one_node_grows_to_three),
        cmocka_unit_test(a_draining_node_is_emptied),
        cmocka_unit_test(a_drain_without_a_substitute_waits),
        cmocka_unit_test(a_dead_node_is_replaced_after_a_while),
        cmocka_unit_test(a_node_that_left_is_given_up_without_a_substitute),
        cmocka_unit_test(a_new_zone_is_used),
        cmocka_unit_test(leaders_leave_a_slow_disk_and_return),
        cmocka_unit_test(leaders_are_even_over_zones_too),
        cmocka_unit_test(a_chain_of_moves_evens_what_one_cannot),
        cmocka_unit_test(few_shards_move_at_a_time),
        cmocka_unit_test(a_split_shard_moves_like_any_other),
        cmocka_unit_test(the_replicas_of_a_parent_stay_until_its_child_is_led),
        cmocka_unit_test(nothing_whole_goes_while_a_voter_lacks_the_state),
        cmocka_unit_test(a_superfluous_copy_that_died_stays_while_another_lacks_the_state),
        cmocka_unit_test(a_shard_of_one_slot_is_not_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
