/* The next step of one group, from what it is to what is desired: nodes 2, 3, 4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model.c" /* only one file of a unit test is compiled */

enum { NODES = 5, LAGS = 1 << 20 };
static const enum placement_role VOTER = PLACEMENT_VOTER, STANDBY = PLACEMENT_STANDBY,
                                 SPARE = PLACEMENT_SPARE;

/* One shard, desired on 2, 3, 4; nothing is observed yet but that nodes are alive. */
static struct model *one_shard(void)
{
    struct model_options options = {NODES, 1, 1, 3};
    struct model *model = model_create(1, &options);
    struct cluster_entry entry = {.kind = CLUSTER_ASSIGN, .assign = {0, 1, {3, {2, 3, 4}}}};
    assert_int_equal(model_apply(model, &entry), CLUSTER_ACCEPTED);
    model->groups[0].view.member_count = 0;
    model->groups[0].view.leader = 1;
    return model;
}

static void add_member(struct model *model, uint64_t node_id, enum placement_role role,
                       uint64_t bytes_behind)
{
    struct placement_shard_view *view = &model->groups[0].view;
    view->members[view->member_count++] = (struct placement_member){node_id, role, bytes_behind};
}

static void assert_step(struct model *model, enum placement_step_kind kind, uint64_t node_id)
{
    look(model);
    struct placement_step step =
        placement_next_step(model->state, &model->sight.observation, &model->limits, 0);
    assert_int_equal(step.kind, kind);
    assert_int_equal(step.node_id, node_id);
}

/* Node 1, which leads, gives way to node 4. */
static void a_swap_adds_first_and_hands_the_lead_over(void **state)
{
    (void)state;
    struct model *model = one_shard();
    struct placement_shard_view *view = &model->groups[0].view;
    add_member(model, 1, VOTER, 0);
    add_member(model, 2, VOTER, 0);
    add_member(model, 3, VOTER, 0);
    assert_step(model, PLACEMENT_STEP_ADD, 4);
    add_member(model, 4, SPARE, MODEL_SHARD_BYTES);
    assert_step(model, PLACEMENT_STEP_CATCH_UP, 4);
    view->members[3].role = STANDBY;
    assert_step(model, PLACEMENT_STEP_NONE, 0); /* still lags */
    view->members[3].bytes_behind = 0;
    assert_step(model, PLACEMENT_STEP_PROMOTE, 4);
    view->members[3].role = VOTER;
    assert_step(model, PLACEMENT_STEP_TRANSFER, 2);
    view->transferring = true;
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    view->transferring = false;
    view->leader = 2;
    assert_step(model, PLACEMENT_STEP_DEMOTE, 1);
    view->members[0].role = STANDBY;
    assert_false(placement_is_settled(model->state, &model->sight.observation, 0));
    assert_step(model, PLACEMENT_STEP_REMOVE, 1);
    view->members[0] = view->members[--view->member_count];
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    assert_true(placement_is_settled(model->state, &model->sight.observation, 0));
    model_destroy(model);
}

static void the_lead_is_not_given_to_a_slow_disk_if_it_can_be_helped(void **state)
{
    (void)state;
    struct model *model = one_shard();
    for (uint64_t id = 1; id <= 4; id++)
        add_member(model, id, VOTER, 0);
    model->nodes[2].slow_disk = true;
    assert_step(model, PLACEMENT_STEP_TRANSFER, 3);
    model_kill(model, 3);
    model_kill(model, 4);
    assert_step(model, PLACEMENT_STEP_NONE, 0); /* no majority */
    model_destroy(model);
}

static void a_healthy_voter_stays_until_all_desired_are_healthy(void **state)
{
    (void)state;
    struct model *model = one_shard();
    struct placement_shard_view *view = &model->groups[0].view;
    for (uint64_t id = 1; id <= 4; id++)
        add_member(model, id, VOTER, 0);
    view->leader = 2;
    model_kill(model, 3);
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    model_start(model, 3);
    view->members[2].bytes_behind = LAGS;
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    view->members[2].bytes_behind = 0;
    assert_step(model, PLACEMENT_STEP_DEMOTE, 1);
    model_destroy(model);
}

/* However small the shard is. */
static void a_vote_without_the_state_is_not_settled(void **state)
{
    (void)state;
    struct model *model = one_shard();
    struct placement_shard_view *view = &model->groups[0].view;
    view->leader = 2;
    view->size_bytes = 100;
    for (uint64_t id = 2; id <= 4; id++)
        add_member(model, id, VOTER, 0);
    look(model);
    assert_true(placement_is_settled(model->state, &model->sight.observation, 0));
    view->members[1].bytes_behind = PLACEMENT_BYTES_LACKING;
    look(model);
    assert_false(placement_is_settled(model->state, &model->sight.observation, 0));
    struct placement_progress progress =
        placement_progress(model->state, &model->sight.observation, &model->limits);
    assert_int_equal(progress.done, 2);
    model_destroy(model);
}

/* It was to go when all were healthy, and one of them is not any more. */
static void a_copy_that_has_caught_up_stays_beside_desired_ones_that_have_not(void **state)
{
    (void)state;
    struct model *model = one_shard();
    struct placement_shard_view *view = &model->groups[0].view;
    view->leader = 2;
    add_member(model, 1, STANDBY, 0);
    for (uint64_t id = 2; id <= 4; id++)
        add_member(model, id, VOTER, 0);
    view->members[3].bytes_behind = PLACEMENT_BYTES_LACKING;
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    view->members[3].bytes_behind = 0;
    model_kill(model, 4);
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    model_start(model, 4);
    assert_step(model, PLACEMENT_STEP_REMOVE, 1);
    view->members[3].bytes_behind = LAGS;
    view->members[0].bytes_behind = LAGS; /* it is no better */
    assert_step(model, PLACEMENT_STEP_REMOVE, 1);
    view->members[0].bytes_behind = 0;
    model_kill(model, 1);
    assert_step(model, PLACEMENT_STEP_REMOVE, 1);
    model_destroy(model);
}

static void a_dead_voter_goes_before_a_healthy_one_but_not_before_its_substitute(void **state)
{
    (void)state;
    struct model *model = one_shard();
    struct placement_shard_view *view = &model->groups[0].view;
    add_member(model, 1, VOTER, 0);
    add_member(model, 2, VOTER, 0);
    add_member(model, 3, VOTER, 0);
    add_member(model, 4, STANDBY, LAGS);
    view->leader = 2;
    model_kill(model, 1);
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    view->members[3].bytes_behind = 0;
    assert_step(model, PLACEMENT_STEP_PROMOTE, 4);
    view->members[3].role = VOTER;
    add_member(model, 5, VOTER, 0);
    assert_step(model, PLACEMENT_STEP_DEMOTE, 1);
    view->members[0].role = STANDBY;
    assert_step(model, PLACEMENT_STEP_REMOVE, 1);
    model_destroy(model);
}

static void without_a_leader_or_a_majority_nothing_is_done(void **state)
{
    (void)state;
    struct model *model = one_shard();
    add_member(model, 1, VOTER, 0);
    add_member(model, 2, VOTER, 0);
    add_member(model, 3, VOTER, 0);
    model->groups[0].view.leader = 0;
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    model->groups[0].view.leader = 1;
    model_kill(model, 2);
    model_kill(model, 3);
    assert_step(model, PLACEMENT_STEP_NONE, 0);
    model_destroy(model);
}

static void a_dead_node_is_not_begun_with(void **state)
{
    (void)state;
    struct model *model = one_shard();
    add_member(model, 1, VOTER, 0);
    model_kill(model, 2);
    assert_step(model, PLACEMENT_STEP_ADD, 3);
    model_destroy(model);
}

static void an_unknown_shard_has_no_step(void **state)
{
    (void)state;
    struct model *model = one_shard();
    look(model);
    assert_int_equal(
        placement_next_step(model->state, &model->sight.observation, &model->limits, 9).kind,
        PLACEMENT_STEP_NONE);
    assert_false(placement_is_settled(model->state, &model->sight.observation, 9));
    model_destroy(model);
}

static void progress_counts_what_is_to_be_copied(void **state)
{
    (void)state;
    struct model *model = one_shard();
    model->groups[0].view.size_bytes = 1000000;
    add_member(model, 2, VOTER, 0);
    add_member(model, 3, STANDBY, 400000);
    look(model);
    struct placement_progress progress =
        placement_progress(model->state, &model->sight.observation, &model->limits);
    assert_int_equal(progress.planned, 3);
    assert_int_equal(progress.done, 1);
    assert_int_equal(progress.bytes_left, 1400000);
    model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swap_adds_first_and_hands_the_lead_over),
        cmocka_unit_test(the_lead_is_not_given_to_a_slow_disk_if_it_can_be_helped),
        cmocka_unit_test(a_healthy_voter_stays_until_all_desired_are_healthy),
        cmocka_unit_test(a_vote_without_the_state_is_not_settled),
        cmocka_unit_test(a_copy_that_has_caught_up_stays_beside_desired_ones_that_have_not),
        cmocka_unit_test(a_dead_voter_goes_before_a_healthy_one_but_not_before_its_substitute),
        cmocka_unit_test(without_a_leader_or_a_majority_nothing_is_done),
        cmocka_unit_test(a_dead_node_is_not_begun_with),
        cmocka_unit_test(an_unknown_shard_has_no_step),
        cmocka_unit_test(progress_counts_what_is_to_be_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
