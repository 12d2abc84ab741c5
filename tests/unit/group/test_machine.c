/* Snapshots for other replicas. */
#include "whole_cluster.h"

#include "../../../cluster/group/group_private.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

enum { PROPOSALS = 20 };

static int make_group(void **state)
{
    struct cluster_settings settings = {
        .seed = 31484, /* of the simulation that met it */
        .node_count = 1,
        .group_count = 1,
        .founder_count = 1,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    cluster_run_for(cluster, 100);
    for (size_t i = 0; i < PROPOSALS; i++)
        assert_int_equal(cluster_propose(cluster, 0, 0, 8), ERROR_NONE);
    cluster_run_for(cluster, 100);
    *state = cluster;
    return 0;
}

static int end_group(void **state)
{
    cluster_destroy(*state);
    return 0;
}

static void a_peer_gets_the_state_at_the_index_it_is_said_to_be_of(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_machine *machine = &cluster->nodes[0].machines[0];
    struct raft_snapshot *snapshot;
    assert_true(group_machine_export(machine->group, &snapshot));
    assert_int_equal(snapshot->index, machine->applied_index);
    raft_configuration_close(&snapshot->configuration);
    raft_free(snapshot->bufs[0].base);
    raft_free(snapshot->bufs);
    raft_free(snapshot);
}

/* Rules 7 and 10 start consensus anew under a state machine that goes on: it then applies what is
 * known there for a second time, and is behind until it has. */
static void a_peer_gets_nothing_while_consensus_is_behind_the_state_machine(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_machine *machine = &cluster->nodes[0].machines[0];
    struct raft_snapshot *snapshot;
    uint64_t last_applied = machine->group->raft.last_applied;
    machine->group->raft.last_applied = machine->applied_index - 5;
    assert_false(group_machine_export(machine->group, &snapshot));
    machine->group->raft.last_applied = last_applied;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_peer_gets_the_state_at_the_index_it_is_said_to_be_of,
                                        make_group, end_group),
        cmocka_unit_test_setup_teardown(
            a_peer_gets_nothing_while_consensus_is_behind_the_state_machine, make_group, end_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
