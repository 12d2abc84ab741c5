/*
 * A run that loses an acknowledged write where answers cover more than was compared: a replica that
 * was alone with entries of an old term answers a heartbeat with its last index, and the leader
 * takes that for its own entries of the same index. canonical/raft 0.15.0 does it.
 */
#include "whole_cluster.h"

#include "consensus/consensus.h"

#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A run that fails is left by a jump, out of the delivery of a message. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:letter_send\nleak:deliver\n";
}

static void cut_both_ways(struct cluster *cluster, size_t left, size_t right, bool cut)
{
    cluster->cut[left][right] = cluster->cut[right][left] = cut;
}

static void isolate(struct cluster *cluster, size_t node, bool cut)
{
    for (size_t i = 0; i < 3; i++)
        if (i != node)
            cut_both_ways(cluster, node, i, cut);
}

/* Leader of the newest term, ready or not. */
static size_t newest_leader(struct cluster *cluster)
{
    size_t leader = SIZE_MAX;
    uint64_t term = 0;
    for (size_t i = 0; i < 3; i++) {
        struct group_status status;
        if (!cluster->nodes[i].alive)
            continue;
        group_status(cluster->nodes[i].machines[0].group, &status);
        if (status.state == GROUP_STATE_LEADER && status.term > term) {
            term = status.term;
            leader = i;
        }
    }
    return leader;
}

static struct group_status status_of(struct cluster *cluster, size_t node)
{
    struct group_status status;
    group_status(cluster->nodes[node].machines[0].group, &status);
    return status;
}

/* False when it was the old leader that won again. */
static bool run_until_followed(struct cluster *cluster, size_t old, size_t *leader_out)
{
    while (status_of(cluster, old).state == GROUP_STATE_LEADER)
        simulated_scheduler_step(&cluster->world->scheduler);
    isolate(cluster, old, false); /* it is heard again, but late */
    for (size_t i = 0; i < 100000; i++) {
        simulated_scheduler_step(&cluster->world->scheduler);
        *leader_out = newest_leader(cluster);
        if (*leader_out != SIZE_MAX && *leader_out != old &&
            status_of(cluster, old).leader_id == *leader_out + 1)
            return true;
    }
    return false;
}

static void play(struct cluster *cluster)
{
    for (size_t i = 0; i < 3; i++)
        cluster_start(cluster, i);
    assert_true(cluster_await_leader(cluster, 0, 20000));
    size_t old = newest_leader(cluster), leader = old;
    assert_int_equal(cluster_propose(cluster, old, 0, 8), ERROR_NONE);
    cluster_run_for(cluster, 1000);

    /* Alone, the old leader stores what it is given. The others elect a new one. */
    isolate(cluster, old, true);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(cluster_propose(cluster, old, 0, 8), ERROR_NONE);
    cluster_run_for(cluster, 1000);
    cluster->slow_ms[old] = 900;
    for (size_t i = 0; i < 3; i++)
        cluster->cut[i][old] = false;

    /* Its first heartbeat, without entries, is the last thing that the old one receives. */
    if (!run_until_followed(cluster, old, &leader))
        return;
    cluster->cut[leader][old] = true;
    for (size_t i = 0; i < 100 && cluster_leader(cluster, 0) != leader; i++)
        cluster_run_for(cluster, 1);

    /* From here on only its late answers reach the new leader, who takes one write. */
    isolate(cluster, 3 - old - leader, true);
    (void)cluster_propose(cluster, leader, 0, 8);
    cluster_run_for(cluster, 1100);

    /* One failure: the new leader. The other two go on without it. */
    cluster_crash(cluster, leader);
    memset(cluster->cut, 0, sizeof cluster->cut);
    cluster->slow_ms[old] = 0;
    assert_true(cluster_await_leader(cluster, 0, 60000));
    for (size_t i = 0; i < 5; i++)
        (void)cluster_propose(cluster, cluster_leader(cluster, 0), 0, 8);
    cluster_run_for(cluster, 5000);
    cluster_heal_and_check(cluster);
}

/* Whether the checker found a contradiction. */
static bool fails(uint64_t seed, uint32_t disabled_rules)
{
    struct cluster_settings settings = {
        .seed = seed,
        .node_count = 3,
        .group_count = 1,
        .founder_count = 3,
        .disabled_rules = disabled_rules,
    };
    struct cluster *volatile cluster = cluster_create(&settings);
    volatile bool failed = false;
    jmp_buf on_failure;
    cluster->on_failure = &on_failure;
    if (setjmp(on_failure) == 0)
        play(cluster);
    else
        failed = true;
    cluster_destroy(cluster);
    return failed;
}

enum { SEEDS = 20, WITHOUT = 1 << RULE_ANSWER_ONLY_MATCHED };

static void nothing_that_was_acknowledged_is_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        assert_false(fails(seed, 0));
}

static void without_the_rule_of_answers_it_is(void **state)
{
    (void)state;
    size_t failures = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        failures += fails(seed, WITHOUT);
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_that_was_acknowledged_is_lost),
        cmocka_unit_test(without_the_rule_of_answers_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
