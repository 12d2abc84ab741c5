/* One voter on the journal: proposals, restarts, snapshots, closing. */
#include "whole_cluster.h"

#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

static struct cluster *one_node(uint64_t seed)
{
    struct cluster_settings settings = {
        .seed = seed,
        .node_count = 1,
        .group_count = 2,
        .founder_count = 1,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    return cluster;
}

static struct group *group_one(struct cluster *cluster)
{
    return cluster->nodes[0].machines[0].group;
}

static struct group_status status_of(struct cluster *cluster)
{
    struct group_status status;
    group_status(group_one(cluster), &status);
    return status;
}

static void propose_many(struct cluster *cluster, size_t count, size_t payload_bytes)
{
    for (size_t i = 0; i < count; i++) {
        while (cluster_propose(cluster, 0, 0, payload_bytes) == ERROR_LIMIT)
            cluster_run_for(cluster, 1);
    }
    cluster_run_for(cluster, 1000);
}

/* --- Proposals ----------------------------------------------------------------------------- */

static void a_single_voter_leads_without_waiting_for_an_election(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(1);
    assert_int_equal(status_of(cluster).state, GROUP_STATE_LEADER);
    assert_false(status_of(cluster).ready); /* its barrier is not applied */
    assert_int_equal(cluster_propose(cluster, 0, 0, 8), ERROR_UNAVAILABLE);
    cluster_run_for(cluster, 100);
    assert_true(status_of(cluster).ready);
    assert_true(cluster->nodes[0].machines[0].leads);
    cluster_destroy(cluster);
}

static void proposals_are_applied_once_in_order_and_then_answered(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(2);
    cluster_run_for(cluster, 100);
    propose_many(cluster, 200, 33);
    const struct cluster_values *values = &cluster->nodes[0].machines[0].values;
    assert_int_equal(values->count, 200);
    for (size_t i = 1; i < values->count; i++) {
        assert_true(values->items[i].index > values->items[i - 1].index);
        assert_true(values->items[i].value > values->items[i - 1].value);
    }
    assert_int_equal(cluster->counts.acknowledged, 200);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

struct order {
    struct group_request base;
    uint64_t delivered_index;
    bool done;
};

static void note_delivered(struct group_request *base, enum group_outcome outcome)
{
    struct order *order = (struct order *)base;
    struct group_status status;
    group_status(base->group, &status);
    order->delivered_index = status.delivered_index;
    order->done = true;
    assert_int_equal(outcome, GROUP_OUTCOME_COMMITTED);
}

static void the_answer_comes_after_the_entry_was_delivered_and_not_inside_the_call(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(3);
    cluster_run_for(cluster, 100);
    struct order order = {.base.done = note_delivered};
    struct error error;
    uint8_t *payload = group_payload_create(8);
    machine_fill_payload(payload, 8, cluster->next_value++);
    assert_int_equal(group_propose(group_one(cluster), &order.base, payload, &error), ERROR_NONE);
    assert_false(order.done);
    cluster_run_for(cluster, 100);
    assert_true(order.done);
    assert_true(order.base.index > 0 && order.delivered_index >= order.base.index);

    struct order barrier = {.base.done = note_delivered};
    assert_int_equal(group_barrier(group_one(cluster), &barrier.base, &error), ERROR_NONE);
    cluster_run_for(cluster, 100);
    assert_true(barrier.done && barrier.base.index > order.base.index);
    cluster_destroy(cluster);
}

struct confirmation {
    struct group_request base;
    enum group_outcome outcome;
    bool done;
};

static void note_confirmation(struct group_request *base, enum group_outcome outcome)
{
    struct confirmation *confirmation = (struct confirmation *)base;
    confirmation->outcome = outcome;
    confirmation->done = true;
}

static struct confirmation confirm(struct cluster *cluster, size_t node, uint64_t milliseconds)
{
    struct confirmation confirmation = {.base.done = note_confirmation};
    struct error error;
    assert_int_equal(
        group_confirm_lead(cluster->nodes[node].machines[0].group, &confirmation.base, &error),
        ERROR_NONE);
    assert_false(confirmation.done); /* not inside the call */
    cluster_run_for(cluster, milliseconds);
    assert_true(confirmation.done);
    return confirmation;
}

static void a_leader_that_is_heard_may_answer_reads_and_one_that_is_not_may_not(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 5, .node_count = 3, .group_count = 1, .founder_count = 3};
    struct cluster *cluster = cluster_create(&settings);
    for (size_t i = 0; i < 3; i++)
        cluster_start(cluster, i);
    assert_true(cluster_await_leader(cluster, 0, 20000));
    size_t leader = cluster_leader(cluster, 0);
    assert_int_equal(cluster_propose(cluster, leader, 0, 8), ERROR_NONE);
    cluster_run_for(cluster, 100);
    struct confirmation heard = confirm(cluster, leader, 50); /* less than a heartbeat */
    assert_int_equal(heard.outcome, GROUP_OUTCOME_COMMITTED);
    assert_true(heard.base.index > 0);
    for (size_t i = 0; i < 3; i++)
        cluster->cut[leader][i] = cluster->cut[i][leader] = true;
    assert_int_equal(confirm(cluster, leader, 5000).outcome, GROUP_OUTCOME_FAILED);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

static void what_is_in_flight_is_limited(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 4,
        .node_count = 1,
        .group_count = 1,
        .founder_count = 1,
        .in_flight_bytes_max = 100 * 1000,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    cluster_run_for(cluster, 100);
    size_t taken = 0;
    while (cluster_propose(cluster, 0, 0, 10 * 1000) == ERROR_NONE)
        taken++;
    assert_int_equal(taken, 9); /* each with its frame */
    cluster_run_for(cluster, 100);
    assert_int_equal(status_of(cluster).in_flight_bytes, 0);
    assert_int_equal(cluster_propose(cluster, 0, 0, 200 * 1000), ERROR_NONE); /* one is taken */
    assert_int_equal(cluster_propose(cluster, 0, 0, 8), ERROR_LIMIT);
    struct group_statistics statistics;
    group_host_statistics(cluster->nodes[0].host, &statistics);
    assert_int_equal(statistics.proposals_refused_limit, 2);
    cluster_destroy(cluster);
}

static void payloads_of_no_or_too_many_bytes_are_refused(void **state)
{
    (void)state;
    assert_null(group_payload_create(0));
    assert_null(group_payload_create((size_t)GROUP_PAYLOAD_BYTES_MAX + 1));
    uint8_t *payload = group_payload_create(GROUP_PAYLOAD_BYTES_MAX);
    assert_non_null(payload);
    assert_int_equal((uintptr_t)payload % 8, 0);
    group_payload_destroy(payload);
    group_payload_destroy(NULL);
}

/* --- Restarts ------------------------------------------------------------------------------ */

static void a_restart_applies_exactly_what_was_committed(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 20; seed++) {
        struct cluster *cluster = one_node(seed);
        for (size_t round = 0; round < 5; round++) {
            assert_true(cluster_await_leader(cluster, 0, 1000));
            for (size_t i = 0; i < 40; i++) {
                (void)cluster_propose(cluster, 0, 0, 8 + i);
                cluster_run_for(cluster, i % 3);
            }
            cluster_crash(cluster, 0);
            cluster_start(cluster, 0);
        }
        cluster_heal_and_check(cluster);
        assert_true(cluster->counts.acknowledged > 50);
        cluster_destroy(cluster);
    }
}

static void every_start_of_a_single_voter_is_a_new_term(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(21);
    uint64_t term = status_of(cluster).term;
    for (size_t i = 0; i < 3; i++) {
        cluster_run_for(cluster, 500);
        cluster_stop(cluster, 0);
        cluster_start(cluster, 0);
        assert_true(status_of(cluster).term > term);
        term = status_of(cluster).term;
    }
    cluster_destroy(cluster);
}

static void a_snapshot_bounds_the_log_in_memory_and_replay_starts_at_the_frozen_index(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 30,
        .node_count = 1,
        .group_count = 1,
        .founder_count = 1,
        .snapshot_log_bytes = 20 * 1000,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    cluster_run_for(cluster, 100);
    propose_many(cluster, 50, 1000);
    cluster_freeze(cluster, 0, 0);
    uint64_t frozen_index = cluster->nodes[0].machines[0].frozen_index;
    for (size_t i = 0; i < 30; i++)
        propose_many(cluster, 10, 1000);

    struct group_status status = status_of(cluster);
    assert_true(status.snapshot_index > frozen_index);
    assert_int_equal(status.frozen_index, frozen_index);
    assert_true(status.log_bytes < 50 * 1000);
    /* The journal keeps all from the frozen index on, and nothing before. */
    assert_int_equal(stored_group(cluster->nodes[0].medium, 1)->view.first_index, frozen_index + 1);

    cluster_crash(cluster, 0);
    cluster_start(cluster, 0);
    assert_true(status_of(cluster).replaying);
    assert_false(status_of(cluster).ready);
    while (status_of(cluster).replaying) {
        assert_false(cluster->nodes[0].machines[0].leads);
        cluster_run_for(cluster, 1);
    }
    struct group_statistics statistics;
    group_host_statistics(cluster->nodes[0].host, &statistics);
    assert_true(statistics.entries_replayed > 200);
    assert_int_equal(cluster->nodes[0].machines[0].restores, 1);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

/* What is handed over again is on its way from the journal when the group ends. */
static void a_group_can_end_while_it_is_replayed(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 33,
        .node_count = 1,
        .group_count = 2,
        .founder_count = 1,
        .snapshot_log_bytes = 20 * 1000,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    cluster_run_for(cluster, 100);
    for (size_t i = 0; i < 30; i++)
        propose_many(cluster, 10, 1000);
    cluster_crash(cluster, 0);
    for (unsigned ms = 0; ms < 6; ms++) {
        cluster_start(cluster, 0);
        cluster_run_for(cluster, ms);
        assert_true(status_of(cluster).replaying);
        if (ms % 2 == 0)
            cluster_stop(cluster, 0);
        else
            cluster_crash(cluster, 0);
    }
    cluster_start(cluster, 0);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

static void a_state_frozen_beyond_the_snapshot_is_not_applied_twice(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(31);
    cluster_run_for(cluster, 100);
    propose_many(cluster, 30, 16);
    cluster_freeze(cluster, 0, 0);
    cluster_run_for(cluster, 2000);
    assert_true(status_of(cluster).snapshot_index >= cluster->nodes[0].machines[0].frozen_index);
    assert_true(cluster->nodes[0].machines[0].snapshots_stored >= 1);
    for (size_t i = 0; i < 3; i++) {
        propose_many(cluster, 5, 16);
        cluster_crash(cluster, 0);
        cluster_start(cluster, 0);
        cluster_run_for(cluster, 500);
    }
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

static void a_slow_state_machine_keeps_its_payloads(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 32,
        .node_count = 1,
        .group_count = 1,
        .founder_count = 1,
        .snapshot_log_bytes = 5000,
    };
    struct cluster *cluster = cluster_create(&settings);
    cluster_start(cluster, 0);
    cluster_run_for(cluster, 100);
    propose_many(cluster, 20, 500);
    cluster->nodes[0].machines[0].stalled = true;
    for (size_t i = 0; i < 20; i++)
        propose_many(cluster, 5, 500); /* snapshots are taken meanwhile */
    assert_true(status_of(cluster).snapshot_index > 60);
    assert_int_equal(cluster->nodes[0].machines[0].values.count, 20);
    cluster->nodes[0].machines[0].stalled = false;
    propose_many(cluster, 1, 8); /* the checker compares each payload with what was sent */
    assert_int_equal(cluster->nodes[0].machines[0].values.count, 121);
    cluster_destroy(cluster);
}

/* --- Going on with the state of another ------------------------------------------------------ */

static struct cluster *three_nodes(uint64_t seed, uint64_t snapshot_log_bytes)
{
    struct cluster_settings settings = {
        .seed = seed,
        .node_count = 3,
        .group_count = 1,
        .founder_count = 3,
        .snapshot_log_bytes = snapshot_log_bytes,
    };
    struct cluster *cluster = cluster_create(&settings);
    for (size_t i = 0; i < 3; i++)
        cluster_start(cluster, i);
    assert_true(cluster_await_leader(cluster, 0, 20000));
    return cluster;
}

static void propose_to(struct cluster *cluster, size_t node, size_t count, size_t payload_bytes)
{
    for (size_t i = 0; i < count; i++)
        while (cluster_propose(cluster, node, 0, payload_bytes) == ERROR_LIMIT)
            cluster_run_for(cluster, 10);
    cluster_run_for(cluster, 1000);
}

/* Log, vote and acknowledgements stay; what follows the state is applied, once. */
static void a_machine_that_is_stuck_goes_on_with_the_state_of_another(void **state)
{
    (void)state;
    for (uint64_t seed = 70; seed < 76; seed++) {
        struct cluster *cluster = three_nodes(seed, 5000);
        size_t leader = cluster_leader(cluster, 0), stuck = (leader + 1) % 3;
        struct cluster_machine *machine = &cluster->nodes[stuck].machines[0];
        propose_to(cluster, leader, 10, 500);
        assert_false(cluster_adopt(cluster, stuck, leader, 0)); /* it is as far by itself */
        machine->stalled = true;
        propose_to(cluster, leader, 20, 500);
        assert_false(cluster_adopt(cluster, leader, stuck, 0)); /* who leads, does not */
        assert_int_equal(machine->values.count, 10);
        struct group_status before, after;
        group_status(machine->group, &before);
        uint64_t restores = machine->restores;
        assert_true(cluster_adopt(cluster, stuck, leader, 0));
        assert_int_equal(machine->restores, restores); /* not before it is durable */
        assert_false(cluster_adopt(cluster, stuck, leader, 0));
        propose_to(cluster, leader, 10, 500);
        assert_int_equal(machine->restores, restores + 1);
        assert_int_equal(machine->values.count, 30);
        machine->stalled = false;
        propose_to(cluster, leader, 10, 500);
        assert_int_equal(machine->values.count, 50);
        group_status(machine->group, &after);
        assert_int_equal(after.term, before.term);
        assert_true(after.frozen_index > before.frozen_index);
        if (seed % 2 == 0) {
            cluster_crash(cluster, stuck);
            cluster_start(cluster, stuck);
        }
        cluster_heal_and_check(cluster);
        cluster_destroy(cluster);
    }
}

/* What is replayed after a start may be what the machine can't do. */
static void a_replay_that_is_stuck_is_left_for_the_state_of_another(void **state)
{
    (void)state;
    for (uint64_t seed = 80; seed < 84; seed++) {
        struct cluster *cluster = three_nodes(seed, 5000);
        size_t leader = cluster_leader(cluster, 0), stuck = (leader + 1) % 3;
        struct cluster_machine *machine = &cluster->nodes[stuck].machines[0];
        propose_to(cluster, leader, 3000, 8);
        cluster_crash(cluster, stuck);
        cluster_start(cluster, stuck);
        machine->stalled = true;
        cluster_run_for(cluster, 500); /* it hears the leader, and is not through */
        struct group_status status;
        group_status(machine->group, &status);
        assert_true(status.replaying);
        assert_true(cluster_adopt(cluster, stuck, leader, 0));
        group_status(machine->group, &status);
        assert_false(status.replaying);
        machine->stalled = false;
        propose_to(cluster, leader, 5, 500);
        assert_int_equal(machine->values.count, 3005);
        cluster_heal_and_check(cluster);
        cluster_destroy(cluster);
    }
}

/* Killed between the order and its end, it is what it was or what it is to be. */
static void a_crash_in_an_adoption_leaves_the_one_state_or_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = 90; seed < 110; seed++) {
        struct cluster *cluster = three_nodes(seed, 5000);
        size_t leader = cluster_leader(cluster, 0), stuck = (leader + 1) % 3;
        struct cluster_machine *machine = &cluster->nodes[stuck].machines[0];
        propose_to(cluster, leader, 10, 500);
        machine->stalled = true;
        propose_to(cluster, leader, 30, 500);
        assert_true(cluster_adopt(cluster, stuck, leader, 0));
        cluster_run_for(cluster, seed % 7);
        if (seed % 2 == 0)
            cluster_stop(cluster, stuck);
        else
            cluster_crash(cluster, stuck);
        propose_to(cluster, leader, 5, 500);
        cluster_start(cluster, stuck);
        machine->stalled = false;
        cluster_heal_and_check(cluster);
        assert_true(machine->values.count >= 45);
        cluster_destroy(cluster);
    }
}

/* --- Closing ------------------------------------------------------------------------------- */

static void closing_answers_every_request_first(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(40);
    cluster_run_for(cluster, 100);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(cluster_propose(cluster, 0, 0, 64), ERROR_NONE);
    assert_int_equal(cluster->requests_out, 20);
    cluster_stop(cluster, 0);
    assert_int_equal(cluster->requests_out, 0);
    assert_int_equal(cluster->counts.unknown, 20);
    cluster_start(cluster, 0);
    cluster_heal_and_check(cluster);
    /* Unknown is not lost: they were on their way. */
    assert_int_equal(cluster->nodes[0].machines[0].values.count, 21);
    cluster_destroy(cluster);
}

static void a_group_that_closes_ends_when_the_journal_is_lost(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(42);
    cluster_run_for(cluster, 100);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(cluster_propose(cluster, 0, 0, 64), ERROR_NONE);
    cluster_crash_over_stop(cluster, 0); /* their writes are on their way, and never end */
    assert_int_equal(cluster->requests_out, 0);
    cluster_start(cluster, 0);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

static void a_group_that_was_never_started_closes(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(41);
    struct cluster_node *node = &cluster->nodes[0];
    struct cluster_machine machine = {.base.operations = &MACHINE_OPERATIONS, .node = node};
    struct group_options options = {.group_id = 9};
    struct error error;
    struct group *group;
    assert_int_equal(group_create(node->host, &options, &machine.base, &group, &error), ERROR_NONE);
    struct group *again;
    assert_int_equal(group_create(node->host, &options, &machine.base, &again, &error),
                     ERROR_EXISTS);
    node->closing++;
    group_close(group, part_closed, node);
    assert_int_equal(node->closing, 1);
    await_closed(node);
    cluster_destroy(cluster);
}

/* --- Damaged and foreign input ------------------------------------------------------------- */

static enum error_code start_again(struct cluster *cluster, struct error *error)
{
    struct cluster_node *node = &cluster->nodes[0];
    struct journal_recovery *recovery = group_medium_recover(node->medium, error);
    struct journal *journal = group_medium_open(node->medium, recovery, error);
    struct group_host_options host_options = {
        .environment = &cluster->world->base,
        .journal = journal,
        .node_id = 1,
    };
    struct cluster_machine *machine = &node->machines[0]; /* stays for late slices */
    *machine = (struct cluster_machine){.base.operations = &MACHINE_OPERATIONS, .node = node};
    struct group_options options = {.group_id = 1, .recovery = recovery};
    struct group *group;
    struct group_host *host;
    assert_int_equal(group_host_create(&host_options, &host, error), ERROR_NONE);
    assert_int_equal(group_create(host, &options, &machine->base, &group, error), ERROR_NONE);
    enum error_code code = group_start(group, error);
    node->closing++;
    group_close(group, part_closed, node);
    await_closed(node);
    group_host_destroy(host);
    node->closing++;
    journal_close(journal, part_closed, node);
    await_closed(node);
    journal_recovery_close(recovery);
    free(machine->queue);
    free(machine->values.items);
    return code;
}

static void a_group_with_damage_refuses_to_start(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(50);
    cluster_run_for(cluster, 100);
    propose_many(cluster, 20, 100);
    cluster_freeze(cluster, 0, 0);
    propose_many(cluster, 20, 100);
    cluster_stop(cluster, 0);
    struct stored_group *stored = stored_group(cluster->nodes[0].medium, 1);
    assert_true(stored->view.has_snapshot);
    struct error error;

    stored->view.damaged = true;
    assert_int_equal(start_again(cluster, &error), ERROR_CORRUPT);
    stored->view.damaged = false;

    stored->snapshot_payload[stored->view.snapshot.payload_bytes / 2] ^= 1;
    assert_int_equal(start_again(cluster, &error), ERROR_CORRUPT);
    stored->snapshot_payload[stored->view.snapshot.payload_bytes / 2] ^= 1;

    stored->view.snapshot.term++;
    assert_int_equal(start_again(cluster, &error), ERROR_CORRUPT);
    stored->view.snapshot.term--;

    uint64_t term = stored->view.term;
    stored->view.term = 0;
    assert_int_equal(start_again(cluster, &error), ERROR_CORRUPT);
    stored->view.term = term;

    uint8_t kind = stored->entries[0].entry.kind;
    stored->entries[0].entry.kind = 77;
    enum error_code code = start_again(cluster, &error);
    assert_true(code == ERROR_UNSUPPORTED || code == ERROR_NONE);
    stored->entries[0].entry.kind = kind;

    cluster_start(cluster, 0);
    cluster_heal_and_check(cluster);
    cluster_destroy(cluster);
}

static void messages_that_make_no_sense_are_dropped(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(51);
    cluster_run_for(cluster, 100);
    uint8_t bytes[64] = {1, 3};
    for (size_t size = 0; size < sizeof bytes; size++)
        group_host_receive(cluster->nodes[0].host, 1, 2, bytes, size);
    group_host_receive(cluster->nodes[0].host, 99, 2, bytes, 48);
    struct group_statistics statistics;
    group_host_statistics(cluster->nodes[0].host, &statistics);
    assert_true(statistics.messages_dropped >= 63);
    assert_true(status_of(cluster).ready);
    cluster_destroy(cluster);
}

static void founders_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct cluster *cluster = one_node(52);
    struct consensus_member founders[2] = {
        {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "a"},
        {.node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "b"},
    };
    struct group_options options = {.group_id = 9, .founders = founders, .founder_count = 2};
    struct cluster_machine machine = {.base.operations = &MACHINE_OPERATIONS};
    struct group *group;
    struct error error;
    assert_int_equal(group_create(cluster->nodes[0].host, &options, &machine.base, &group, &error),
                     ERROR_INVALID);
    options.group_id = 0;
    assert_int_equal(group_create(cluster->nodes[0].host, &options, &machine.base, &group, &error),
                     ERROR_INVALID);
    cluster_destroy(cluster);
}

/* --- A state to begin with ------------------------------------------------------------------- */

struct begun_machine {
    struct state_machine base; /* first */
    uint64_t applied_index;
    char state[8];
    size_t restored, stored;
    bool leads, closed;
};

static void begun_apply(struct state_machine *self, const struct group_entry *entry)
{
    ((struct begun_machine *)self)->applied_index = entry->index;
}

static uint64_t begun_applied_index(struct state_machine *self)
{
    return ((struct begun_machine *)self)->applied_index;
}

static enum error_code begun_snapshot(struct state_machine *self, struct byte_buffer *bytes,
                                      struct state_machine_position *position_out,
                                      struct error *error)
{
    (void)self, (void)bytes, (void)position_out;
    return error_set(error, ERROR_UNAVAILABLE, "none is taken");
}

static void begun_stored(struct state_machine *self, const struct state_machine_position *position)
{
    (void)position;
    ((struct begun_machine *)self)->stored++;
}

static enum error_code begun_restore(struct state_machine *self, const uint8_t *bytes, size_t size,
                                     const struct state_machine_position *position,
                                     struct error *error)
{
    struct begun_machine *machine = (struct begun_machine *)self;
    (void)error;
    assert_true(size < sizeof machine->state);
    memcpy(machine->state, bytes, size);
    machine->applied_index = position->frozen_index;
    machine->restored++;
    return ERROR_NONE;
}

static void begun_lead(struct state_machine *self, uint64_t term)
{
    (void)term;
    ((struct begun_machine *)self)->leads = true;
}

static void begun_follow(struct state_machine *self, uint64_t term)
{
    (void)term;
    ((struct begun_machine *)self)->leads = false;
}

static void begun_closed(void *context)
{
    ((struct begun_machine *)context)->closed = true;
}

static void a_group_that_begins_with_a_state_goes_on_behind_its_index(void **state)
{
    (void)state;
    static const struct state_machine_operations OPERATIONS = {
        .apply = begun_apply,
        .applied_index = begun_applied_index,
        .snapshot = begun_snapshot,
        .snapshot_stored = begun_stored,
        .restore = begun_restore,
        .leader_started = begun_lead,
        .leader_stopped = begun_follow,
    };
    struct cluster *cluster = one_node(53);
    struct consensus_member founder = {
        .node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "node-1"};
    struct group_options options = {
        .group_id = 9,
        .founders = &founder,
        .founder_count = 1,
        .origin_index = 500,
        .origin_state = (const uint8_t *)"begun",
        .origin_bytes = 5,
    };
    struct begun_machine machine = {.base.operations = &OPERATIONS};
    struct group_status status;
    struct group *group;
    struct error error;
    assert_int_equal(group_create(cluster->nodes[0].host, &options, &machine.base, &group, &error),
                     ERROR_NONE);
    assert_int_equal(group_start(group, &error), ERROR_NONE);
    assert_int_equal(machine.restored, 1);
    assert_string_equal(machine.state, "begun");
    assert_int_equal(machine.applied_index, 500);
    assert_int_equal(machine.stored, 0); /* not yet */
    cluster_run_for(cluster, 1000);
    assert_int_equal(machine.stored, 1);
    assert_int_equal(machine.restored, 1);
    assert_true(machine.leads);
    group_status(group, &status);
    assert_int_equal(status.snapshot_index, 500);
    assert_int_equal(status.commit_index, 501); /* the barrier of its term */
    assert_true(status.term > 1);
    group_close(group, begun_closed, &machine);
    cluster_run_for(cluster, 1000);
    assert_true(machine.closed);
    cluster_destroy(cluster);
}

/* As a shard that was split off: its beginning is no entry of the log, but a state. */
static enum error_code begun_offer(struct state_machine *self, struct byte_buffer *bytes,
                                   struct state_machine_position *position_out, struct error *error)
{
    (void)self, (void)error;
    byte_buffer_append(bytes, "begun", 5);
    *position_out = (struct state_machine_position){.applied_index = 500, .frozen_index = 500};
    return ERROR_NONE;
}

enum { BEGUN_GROUP = 2, BEGUN_NODES = 3 };

struct begun {
    struct cluster *cluster;
    struct begun_machine machines[BEGUN_NODES];
    struct group *groups[BEGUN_NODES]; /* NULL: not made */
};

/* With the state, or without anything, as after a split that it missed. */
static void begin_on(struct begun *begun, size_t node, bool has_state)
{
    static const struct state_machine_operations OPERATIONS = {
        .apply = begun_apply,
        .applied_index = begun_applied_index,
        .snapshot = begun_snapshot,
        .snapshot_for_peer = begun_offer,
        .snapshot_stored = begun_stored,
        .restore = begun_restore,
        .leader_started = begun_lead,
        .leader_stopped = begun_follow,
    };
    struct consensus_member founders[BEGUN_NODES];
    for (size_t i = 0; i < BEGUN_NODES; i++) {
        founders[i] = (struct consensus_member){.node_id = i + 1, .role = CONSENSUS_ROLE_VOTER};
        snprintf(founders[i].address, sizeof founders[i].address, "node-%zu", i + 1);
    }
    struct group_options options = {.group_id = BEGUN_GROUP};
    struct error error;
    if (has_state) {
        options.founders = founders;
        options.founder_count = BEGUN_NODES;
        options.origin_index = 500;
        options.origin_state = (const uint8_t *)"begun";
        options.origin_bytes = 5;
    }
    begun->machines[node] = (struct begun_machine){.base.operations = &OPERATIONS};
    assert_int_equal(group_create(begun->cluster->nodes[node].host, &options,
                                  &begun->machines[node].base, &begun->groups[node], &error),
                     ERROR_NONE);
    /* Where the checker of votes looks. */
    begun->cluster->nodes[node].machines[BEGUN_GROUP - 1].group = begun->groups[node];
    assert_int_equal(group_start(begun->groups[node], &error), ERROR_NONE);
}

/* The one that leads; SIZE_MAX: none. */
static size_t begun_leader(const struct begun *begun)
{
    for (size_t i = 0; i < BEGUN_NODES; i++)
        if (begun->groups[i] != NULL && begun->machines[i].leads)
            return i;
    return SIZE_MAX;
}

static void cut_off(struct begun *begun, size_t node, bool cut)
{
    for (size_t i = 0; i < BEGUN_NODES; i++)
        begun->cluster->cut[node][i] = begun->cluster->cut[i][node] = cut;
}

static struct group_peer begun_peer(const struct begun *begun, size_t leader, size_t node)
{
    struct group_peer peers[CONSENSUS_MEMBERS_MAX];
    size_t count = group_peers(begun->groups[leader], peers);
    for (size_t i = 0; i < count; i++)
        if (peers[i].node_id == node + 1)
            return peers[i];
    fail_msg("no such member");
    return peers[0];
}

/* Until its leader has installed it, one node more that is away leaves no leader; and that it lacks
 * the state is what tells. */
static void a_founder_without_the_state_has_a_vote_and_is_no_copy(void **state)
{
    (void)state;
    struct cluster_settings settings = {
        .seed = 54, .node_count = BEGUN_NODES, .group_count = 1, .founder_count = BEGUN_NODES};
    struct begun begun = {.cluster = cluster_create(&settings)};
    for (size_t i = 0; i < BEGUN_NODES; i++)
        cluster_start(begun.cluster, i);
    begin_on(&begun, 0, true);
    begin_on(&begun, 1, true);
    cluster_run_for(begun.cluster, 10000);
    size_t leader = begun_leader(&begun);
    assert_true(leader < 2);
    struct group_peer peer = begun_peer(&begun, leader, 2);
    assert_int_equal(peer.role, CONSENSUS_ROLE_VOTER);
    assert_true(peer.lacks_state);
    assert_false(begun_peer(&begun, leader, 1 - leader).lacks_state);
    assert_false(begun_peer(&begun, leader, leader).lacks_state);

    cut_off(&begun, 1 - leader, true);
    cluster_run_for(begun.cluster, 10000);
    assert_int_equal(begun_leader(&begun), SIZE_MAX);
    cut_off(&begun, 1 - leader, false);
    cluster_run_for(begun.cluster, 10000);
    leader = begun_leader(&begun);
    assert_true(leader < 2);

    begin_on(&begun, 2, false);
    cluster_run_for(begun.cluster, 5000);
    assert_string_equal(begun.machines[2].state, "begun");
    leader = begun_leader(&begun);
    for (size_t i = 0; i < BEGUN_NODES; i++)
        assert_false(begun_peer(&begun, leader, i).lacks_state);
    cut_off(&begun, leader, true);
    cluster_run_for(begun.cluster, 20000);
    assert_true(begun_leader(&begun) != SIZE_MAX && begun_leader(&begun) != leader);
    for (size_t i = 0; i < BEGUN_NODES; i++)
        group_close(begun.groups[i], begun_closed, &begun.machines[i]);
    cluster_run_for(begun.cluster, 1000);
    for (size_t i = 0; i < BEGUN_NODES; i++)
        assert_true(begun.machines[i].closed);
    cluster_destroy(begun.cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_voter_leads_without_waiting_for_an_election),
        cmocka_unit_test(proposals_are_applied_once_in_order_and_then_answered),
        cmocka_unit_test(the_answer_comes_after_the_entry_was_delivered_and_not_inside_the_call),
        cmocka_unit_test(a_leader_that_is_heard_may_answer_reads_and_one_that_is_not_may_not),
        cmocka_unit_test(what_is_in_flight_is_limited),
        cmocka_unit_test(payloads_of_no_or_too_many_bytes_are_refused),
        cmocka_unit_test(a_restart_applies_exactly_what_was_committed),
        cmocka_unit_test(every_start_of_a_single_voter_is_a_new_term),
        cmocka_unit_test(a_snapshot_bounds_the_log_in_memory_and_replay_starts_at_the_frozen_index),
        cmocka_unit_test(a_group_can_end_while_it_is_replayed),
        cmocka_unit_test(a_state_frozen_beyond_the_snapshot_is_not_applied_twice),
        cmocka_unit_test(a_slow_state_machine_keeps_its_payloads),
        cmocka_unit_test(a_machine_that_is_stuck_goes_on_with_the_state_of_another),
        cmocka_unit_test(a_replay_that_is_stuck_is_left_for_the_state_of_another),
        cmocka_unit_test(a_crash_in_an_adoption_leaves_the_one_state_or_the_other),
        cmocka_unit_test(closing_answers_every_request_first),
        cmocka_unit_test(a_group_that_closes_ends_when_the_journal_is_lost),
        cmocka_unit_test(a_group_that_was_never_started_closes),
        cmocka_unit_test(a_group_with_damage_refuses_to_start),
        cmocka_unit_test(messages_that_make_no_sense_are_dropped),
        cmocka_unit_test(founders_that_make_no_sense_are_refused),
        cmocka_unit_test(a_group_that_begins_with_a_state_goes_on_behind_its_index),
        cmocka_unit_test(a_founder_without_the_state_has_a_vote_and_is_no_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
