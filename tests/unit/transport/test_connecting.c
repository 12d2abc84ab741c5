#include "simulated_nodes.h"

/* Who connects to whom, who is refused, what becomes of connections. */

static struct node *one, *other;

/* --- One connection ------------------------------------------------------------------------ */

static void two_that_know_each_other_keep_one_connection(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world_start(seed);
        wires.links[0][1].delay_ns_max = wires.links[1][0].delay_ns_max =
            seed % 3 == 0 ? 1500000000 : 2000000;
        pair_open(&one, &other);
        run_ms(15000);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        assert_int_equal(simulated_network_stream_count(&wires), 2);
        uint64_t connects = statistics_of(one, other).connects;
        assert_true(connects <= (seed % 3 == 0 ? 4 : 1));
        run_ms(10000);
        assert_int_equal(statistics_of(one, other).connects, connects); /* no flapping */
        assert_int_equal(one->connected, one->disconnected + 1);
        assert_true(statistics_of(one, other).round_trip_ns > 0);
        world_end();
    }
}

static void one_that_knows_the_other_is_enough(void **state)
{
    (void)state;
    for (int lesser = 0; lesser < 2; lesser++) {
        world_start(7);
        one = node_add("a", 1);
        other = node_add("b", 1);
        one->admits = other->admits = true;
        one->options.advertise_address = "a:1";
        node_open(one);
        node_open(other);
        if (lesser)
            node_knows(one, other);
        else
            node_knows(other, one);
        run_ms(2500);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        assert_int_equal(transport_peer_node_id(peer_of(one, 0, other)), 2);
        assert_ptr_equal(transport_find_node(one->transports[0], 2), peer_of(one, 0, other));
        /* What it said of itself is where it is found. */
        struct text address = transport_peer_address(peer_of(other, 0, one));
        assert_true(text_equal(address, TEXT("a:1")));
        world_end();
    }
}

static void lanes_meet_their_like(void **state)
{
    (void)state;
    static const uint32_t COUNTS[][2] = {{4, 4}, {4, 2}, {1, 4}, {2, 3}};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        world_start(i + 1);
        one = node_add("a", COUNTS[i][0]);
        other = node_add("b", COUNTS[i][1]);
        node_open(one);
        node_open(other);
        node_knows(one, other);
        node_knows(other, one);
        run_ms(4000);
        for (uint32_t lane = 0; lane < one->lane_count; lane++)
            assert_true(is_connected(one, lane, other));
        for (uint32_t lane = 0; lane < other->lane_count; lane++)
            assert_true(is_connected(other, lane, one));
        uint32_t most = COUNTS[i][0] > COUNTS[i][1] ? COUNTS[i][0] : COUNTS[i][1];
        assert_int_equal(simulated_network_stream_count(&wires), 2 * most);
        world_end();
    }
}

static void a_lost_connection_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_start(seed);
        pair_open(&one, &other);
        run_ms(3000);
        simulated_network_cut(&wires, one->host, other->host);
        run_ms(1500);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        assert_int_equal(simulated_network_stream_count(&wires), 2);
        world_end();
    }
}

static void silence_is_noticed_and_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_start(seed);
        pair_open(&one, &other);
        run_ms(3000);
        /* One way is lost: both give up, as each must hear the other. */
        simulated_network_stall(&wires, seed % 2, 1 - seed % 2, true);
        run_ms(6500);
        assert_false(is_connected(seed % 2 ? one : other, 0, seed % 2 ? other : one));
        run_ms(6000);
        assert_false(is_connected(one, 0, other) && is_connected(other, 0, one));
        simulated_network_stall(&wires, seed % 2, 1 - seed % 2, false);
        run_ms(10000);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        run_ms(6000); /* for what was half open */
        assert_int_equal(simulated_network_stream_count(&wires), 2);
        world_end();
    }
}

static void a_node_that_starts_anew_is_met_again(void **state)
{
    (void)state;
    world_start(3);
    pair_open(&one, &other);
    run_ms(3000);
    node_close(other, 0);
    run_ms(500);
    assert_false(is_connected(one, 0, other));
    other->options.incarnation = 2;
    node_open(other);
    node_knows(other, one);
    run_ms(4000);
    assert_true(is_connected(one, 0, other));
    assert_int_equal(transport_peer_incarnation(peer_of(one, 0, other)), 2);
    world_end();
}

static void a_loop_that_stood_still_keeps_its_connections(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world_start(seed);
        pair_open(&one, &other);
        run_ms(3000);
        world_clock.now_ns += UINT64_C(20000000000); /* nobody ran, nobody read */
        run_ms(3000);
        assert_int_equal(one->disconnected + other->disconnected, 0);
        world_end();
    }
}

static void who_lost_a_connection_alone_is_let_in_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        world_start(seed);
        pair_open(&one, &other);
        run_ms(3000);
        /* One end goes, and the other hears nothing of it: a firewall forgot the connection. */
        simulated_network_lose(&wires, seed % 2, 1 - seed % 2);
        run_ms(4500);
        assert_true(statistics_of(seed % 2 ? other : one, seed % 2 ? one : other).disconnects > 0);
        assert_true(is_connected(one, 0, other) && is_connected(other, 0, one));
        world_end();
    }
}

/* --- Refusals ------------------------------------------------------------------------------ */

static void assert_refused(void)
{
    run_ms(3000);
    assert_false(is_connected(one, 0, other));
    assert_true(statistics_of(one, other).refusals > 0);
    world_end();
}

static void set_cluster(struct node *node, uint8_t value)
{
    memset(node->options.identity.cluster_id, value, TRANSPORT_CLUSTER_ID_BYTES);
}

static void pair_add(void)
{
    world_start(1);
    one = node_add("a", 1);
    other = node_add("b", 1);
}

static void pair_connect(void)
{
    node_open(one);
    node_open(other);
    node_knows(one, other);
    node_knows(other, one);
}

static void another_cluster_is_refused(void **state)
{
    (void)state;
    pair_add();
    set_cluster(one, 1);
    set_cluster(other, 2);
    pair_connect();
    assert_refused();
}

static void who_has_no_cluster_yet_may_talk_to_any(void **state)
{
    (void)state;
    pair_add();
    set_cluster(one, 1);
    pair_connect();
    run_ms(2000);
    assert_true(is_connected(one, 0, other));
    /* It learns the cluster and its number, and its peers learn the number. */
    struct transport_identity identity = {.node_id = 17};
    memset(identity.cluster_id, 1, sizeof identity.cluster_id);
    transport_set_identity(other->transports[0], &identity);
    run_ms(100);
    assert_int_equal(transport_peer_node_id(peer_of(one, 0, other)), 17);
    assert_true(is_connected(one, 0, other));
    world_end();
}

/* Whoever dialed has said hello, and waits for the answer: neither has the number in it. */
static void who_learns_its_number_at_any_moment_is_known_by_it(void **state)
{
    (void)state;
    for (uint64_t after_us = 0; after_us < 1200000; after_us += after_us < 40000 ? 500 : 25000) {
        for (size_t who = 0; who < 2; who++) {
            pair_add();
            wires.links[0][1].delay_ns_min = wires.links[1][0].delay_ns_min = 5000000;
            wires.links[0][1].delay_ns_max = wires.links[1][0].delay_ns_max = 6000000;
            one->options.identity.node_id = other->options.identity.node_id = 0;
            pair_connect();
            simulated_scheduler_run_for(&world, after_us * 1000);
            struct transport_identity identity = {.node_id = 17};
            memset(identity.cluster_id, 1, sizeof identity.cluster_id);
            struct node *knows = who == 0 ? one : other, *hears = who == 0 ? other : one;
            transport_set_identity(knows->transports[0], &identity);
            run_ms(3000);
            assert_int_equal(transport_peer_node_id(peer_of(hears, 0, knows)), 17);
            world_end();
        }
    }
}

static void who_joins_another_cluster_is_left(void **state)
{
    (void)state;
    pair_add();
    set_cluster(one, 1);
    pair_connect();
    run_ms(2000);
    struct transport_identity identity = {.node_id = 17};
    memset(identity.cluster_id, 2, sizeof identity.cluster_id);
    transport_set_identity(other->transports[0], &identity);
    assert_refused();
}

static void another_node_than_expected_is_refused(void **state)
{
    (void)state;
    pair_add();
    node_open(one);
    node_open(other);
    struct transport_peer *peer;
    struct error error;
    assert_int_equal(transport_add_peer(one->transports[0], "c", "b:1", &peer, &error), ERROR_NONE);
    run_ms(3000);
    assert_false(transport_peer_is_connected(peer));
    assert_int_equal(transport_strangers_refused(other->transports[0]) > 0, true);
    world_end();
}

static void a_stranger_is_refused(void **state)
{
    (void)state;
    pair_add();
    node_open(one);
    node_open(other);
    node_knows(one, other);
    assert_refused();
}

static void the_node_itself_is_no_peer(void **state)
{
    (void)state;
    struct transport_peer *peer;
    struct error error;
    pair_add();
    node_open(one);
    assert_int_equal(transport_add_peer(one->transports[0], "a", "a:1", &peer, &error),
                     ERROR_INVALID);
    assert_int_equal(transport_add_peer(one->transports[0], "", "a:1", &peer, &error),
                     ERROR_INVALID);
    /* Another name for its own address is noticed when it answers. */
    assert_int_equal(transport_add_peer(one->transports[0], "c", "a:1", &peer, &error), ERROR_NONE);
    run_ms(3000);
    assert_false(transport_peer_is_connected(peer));
    node_count--; /* the other was not opened */
    world_end();
}

static void no_common_version_is_refused(void **state)
{
    (void)state;
    pair_add();
    one->options.version_min = one->options.version_max = 2;
    pair_connect();
    assert_refused();
}

static void a_newer_node_talks_to_an_older(void **state)
{
    (void)state;
    pair_add();
    one->options.version_max = 3;
    pair_connect();
    run_ms(2000);
    assert_true(is_connected(one, 0, other));
    world_end();
}

/* --- Ends ---------------------------------------------------------------------------------- */

static void a_removed_peer_is_gone(void **state)
{
    (void)state;
    world_start(5);
    pair_open(&one, &other);
    run_ms(2000);
    transport_remove_peer(peer_of(one, 0, other));
    assert_null(transport_find_name(one->transports[0], TEXT("b")));
    run_ms(3000);
    assert_false(is_connected(other, 0, one)); /* it is a stranger there now */
    world_end();
}

static void closing_at_any_moment_leaves_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        world_start(seed);
        pair_open(&one, &other);
        for (uint64_t i = 0; i < seed * 3; i++)
            simulated_scheduler_step(&world);
        node_close(one, seed % 3 * 100);
        run_ms(300);
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_that_know_each_other_keep_one_connection),
        cmocka_unit_test(one_that_knows_the_other_is_enough),
        cmocka_unit_test(lanes_meet_their_like),
        cmocka_unit_test(a_lost_connection_comes_back),
        cmocka_unit_test(silence_is_noticed_and_ends),
        cmocka_unit_test(a_node_that_starts_anew_is_met_again),
        cmocka_unit_test(a_loop_that_stood_still_keeps_its_connections),
        cmocka_unit_test(who_lost_a_connection_alone_is_let_in_again),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(who_has_no_cluster_yet_may_talk_to_any),
        cmocka_unit_test(who_learns_its_number_at_any_moment_is_known_by_it),
        cmocka_unit_test(who_joins_another_cluster_is_left),
        cmocka_unit_test(another_node_than_expected_is_refused),
        cmocka_unit_test(a_stranger_is_refused),
        cmocka_unit_test(the_node_itself_is_no_peer),
        cmocka_unit_test(no_common_version_is_refused),
        cmocka_unit_test(a_newer_node_talks_to_an_older),
        cmocka_unit_test(a_removed_peer_is_gone),
        cmocka_unit_test(closing_at_any_moment_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
