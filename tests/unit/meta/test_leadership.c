/* What a leader makes of reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "../../../cluster/meta/meta_private.h"
#include "simulated_scheduler.h"

/* --- A leader of three nodes and two shards ----------------------------------------------------
 */

struct fixture {
    struct simulated_clock clock;
    struct environment environment;
    struct meta meta;
    struct arena *arena;
};

static struct cluster_state *make_state(struct arena *arena)
{
    struct cluster_founder founders[3] = {0};
    struct cluster_state *state;
    struct cluster_entry entry;
    struct cluster_outcome outcome;
    struct byte_buffer bytes = {0};
    struct error error;
    for (int i = 0; i < 3; i++) {
        founders[i].identity.name[0] = (char)('a' + i);
        founders[i].traits = (struct cluster_node_traits){
            .address = "x:1", .roles = CLUSTER_ROLES_ALL, .version_min = 1, .version_max = 1};
    }
    struct formation_options options = {.name = "east",
                                        .shard_count = 2,
                                        .replication = 3,
                                        .version = 1,
                                        .spread = 4,
                                        .first_group = 1};
    assert_int_equal(formation_found(founders, 3, &options, arena, &entry, &error), ERROR_NONE);
    assert_int_equal(cluster_entry_encode(&entry, &bytes, &error), ERROR_NONE);
    assert_int_equal(cluster_state_create(1, &state, &error), ERROR_NONE);
    assert_int_equal(cluster_state_apply(state, 1, bytes.bytes, bytes.size, &outcome, &error),
                     ERROR_NONE);
    byte_buffer_clear(&bytes);
    return state;
}

static int begin(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    simulated_clock_init(&fixture->clock);
    fixture->clock.now_ns = UINT64_C(100000) * 1000000;
    fixture->environment.clock = &fixture->clock.base;
    fixture->arena = arena_create(0);
    fixture->meta.options.environment = &fixture->environment;
    fixture->meta.options.alive_ms = 3000;
    fixture->meta.node_id = 1;
    fixture->meta.state = make_state(fixture->arena);
    fixture->meta.leadership = leadership_create(&fixture->meta);
    *state = fixture;
    return 0;
}

static int end(void **state)
{
    struct fixture *fixture = *state;
    leadership_destroy(fixture->meta.leadership);
    cluster_state_destroy(fixture->meta.state);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

static void pass_ms(struct fixture *fixture, uint64_t milliseconds)
{
    fixture->clock.now_ns += milliseconds * 1000000;
}

/* A node that leads shard 0 for so long; 0 ms: it leads nothing. */
static void hear(struct fixture *fixture, uint64_t node_id, uint64_t leading_ms)
{
    struct meta_shard_report shard = {
        .leading_ms = leading_ms, .member_count = 1, .members = {{node_id, PLACEMENT_VOTER, 0}}};
    struct report report = {
        .node_id = node_id,
        .clock_ms = 1000000 * (int64_t)node_id,
        .contents = {.shards = &shard, .shard_count = leading_ms > 0},
    };
    assert_true(leadership_hear(&fixture->meta, &report));
}

static struct placement_observation observe(struct fixture *fixture)
{
    struct placement_observation observation;
    assert_true(leadership_observe(&fixture->meta, fixture->arena, &observation));
    assert_int_equal(observation.node_count, 3);
    assert_int_equal(observation.shard_count, 2);
    return observation;
}

/* --- Nodes --------------------------------------------------------------------------------- */

static void silence_is_death_only_when_it_was_heard(void **state)
{
    struct fixture *fixture = *state;
    assert_true(observe(fixture).nodes[2].alive);
    pass_ms(fixture, 2000);
    hear(fixture, 2, 0);
    hear(fixture, 1, 0);
    pass_ms(fixture, 2000);
    struct placement_observation observation = observe(fixture);
    assert_true(observation.nodes[0].alive);
    assert_true(observation.nodes[1].alive);
    assert_false(observation.nodes[2].alive);
    assert_int_equal(observation.nodes[2].dead_since_ms, 100000);
    pass_ms(fixture, 2000);
    observation = observe(fixture);
    assert_false(observation.nodes[1].alive);
    assert_int_equal(observation.nodes[1].dead_since_ms, 102000);
}

static void the_middle_clock_is_agreed_on(void **state)
{
    struct fixture *fixture = *state;
    hear(fixture, 3, 0);
    hear(fixture, 1, 0);
    hear(fixture, 2, 0);
    assert_int_equal(leadership_agreed_ms(&fixture->meta), 2000000);
    pass_ms(fixture, 500);
    assert_int_equal(leadership_agreed_ms(&fixture->meta), 2000500);
    hear(fixture, 1, 0); /* slower by half a second than it was */
    assert_int_equal(leadership_agreed_ms(&fixture->meta), 2000500);
    pass_ms(fixture, 2700); /* the others are silent for too long */
    assert_int_equal(leadership_agreed_ms(&fixture->meta), 1002700);
}

/* --- Shards -------------------------------------------------------------------------------- */

static void of_two_leaders_the_later_counts(void **state)
{
    struct fixture *fixture = *state;
    hear(fixture, 1, 5000);
    hear(fixture, 2, 100);
    assert_int_equal(observe(fixture).shards[0].leader, 2);
    pass_ms(fixture, 50);
    hear(fixture, 1, 5050); /* it does not know yet */
    assert_int_equal(observe(fixture).shards[0].leader, 2);
    pass_ms(fixture, 4000); /* the later one is silent */
    hear(fixture, 1, 9050);
    assert_int_equal(observe(fixture).shards[0].leader, 1);
    assert_int_equal(observe(fixture).shards[0].leader_since_ms, 95000);
}

static void who_does_not_name_a_shard_leads_it_no_more(void **state)
{
    struct fixture *fixture = *state;
    hear(fixture, 1, 5000);
    assert_int_equal(observe(fixture).shards[0].leader, 1);
    assert_int_equal(observe(fixture).shards[1].leader, 0);
    hear(fixture, 2, 0);
    assert_int_equal(observe(fixture).shards[0].leader, 1);
    hear(fixture, 1, 0); /* at the same time, too */
    assert_int_equal(observe(fixture).shards[0].leader, 0);
}

static void what_was_told_long_ago_does_not_count(void **state)
{
    struct fixture *fixture = *state;
    hear(fixture, 1, 5000);
    pass_ms(fixture, 3000);
    assert_int_equal(observe(fixture).shards[0].leader, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(silence_is_death_only_when_it_was_heard, begin, end),
        cmocka_unit_test_setup_teardown(the_middle_clock_is_agreed_on, begin, end),
        cmocka_unit_test_setup_teardown(of_two_leaders_the_later_counts, begin, end),
        cmocka_unit_test_setup_teardown(who_does_not_name_a_shard_leads_it_no_more, begin, end),
        cmocka_unit_test_setup_teardown(what_was_told_long_ago_does_not_count, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
