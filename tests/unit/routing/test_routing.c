/* Writes reach whoever leads their shard, from any node, while leaders and connections go. */
#include "routing_cluster.h"

#include "shard/entry.h"

static void start(uint64_t seed)
{
    cluster_open(seed);
}

/* --- Ways ------------------------------------------------------------------------------------- */

static void what_this_node_leads_is_not_sent(void **state)
{
    (void)state;
    start(1);
    struct member *leader = leader_of(0);
    uint64_t ids[WRITE_SERIES];
    assert_int_equal(write_new(leader, 0, wall_ms(), ids), ERROR_NONE);
    struct routing_statistics statistics = statistics_of_member(leader);
    assert_int_equal(statistics.local, 1);
    assert_int_equal(statistics.sent, 0);
    assert_int_equal(samples_of(leader, 0), WRITE_SERIES);
    assert_int_equal(cluster_board_leader(leader->board, 0), leader->node_id);
    assert_true(cluster_board_written(leader->board, 0) > 0);
    assert_int_equal(cluster_board_written(leader->board, 1), 0);
    cluster_close();
}

static void every_node_writes_to_every_shard(void **state)
{
    (void)state;
    start(2);
    for (uint32_t shard = 0; shard < CLUSTER_SHARDS; shard++) {
        uint64_t ids[WRITE_SERIES], again[WRITE_SERIES];
        for (size_t i = 0; i < MEMBERS; i++) {
            assert_int_equal(write_new(&members[i], shard, wall_ms(), i == 0 ? ids : again),
                             ERROR_NONE);
            assert_true(i == 0 || memcmp(ids, again, sizeof ids) == 0);
            assert_int_equal(cluster_board_leader(members[i].board, shard),
                             leader_of(shard)->node_id);
            assert_true(cluster_board_written(members[i].board, shard) > 0);
            run_ms(100);
            struct written *known = written_build(again[0] == 0 ? ids : ids, wall_ms());
            written_send(&members[i], shard, known);
            assert_int_equal(written_await(known), ERROR_NONE);
            assert_int_equal(known->write.write.floats_written, WRITE_SERIES);
            assert_true(known->write.index >= cluster_board_written(members[i].board, shard));
            written_free(known);
            run_ms(100);
        }
        assert_int_equal(samples_of(leader_of(shard), shard), 2 * MEMBERS * WRITE_SERIES);
        assert_int_equal(shard_series_count(replica_shard(leader_of(shard)->replicas[shard])),
                         WRITE_SERIES);
    }
    uint64_t sent = 0, received = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        struct routing_statistics statistics = statistics_of_member(&members[i]);
        sent += statistics.sent;
        received += statistics.received;
        assert_int_equal(statistics.unavailable + statistics.malformed, 0);
    }
    assert_true(sent >= 2 * 2 * CLUSTER_SHARDS);
    assert_int_equal(sent, received);
    cluster_close();
}

/* Origins are the asker's own numbers, whatever the other side knows of them. */
static void what_is_refused_or_unknown_is_told_with_the_askers_numbers(void **state)
{
    (void)state;
    start(3);
    struct member *asker = follower_of(0);
    int64_t time_ms = wall_ms();
    uint64_t ids[WRITE_SERIES];
    assert_int_equal(write_new(asker, 0, time_ms, ids), ERROR_NONE);
    ids[7] = 1000000; /* nobody gave it */
    struct written *written = written_build(ids, time_ms + 1);
    struct shard_write *write = &written->write.write;
    write->timestamps_ms[3] = time_ms + 3600 * 1000;
    write->timestamps_ms[5] = time_ms;
    write->values[5] = -1;
    written_send(asker, 0, written);
    assert_int_equal(written_await(written), ERROR_NONE);
    assert_int_equal(write->floats_written, WRITE_SERIES - 3);
    assert_int_equal(write->stale_count, 1);
    assert_int_equal(write->stale_origins[0], 1000 + 3 * 7);
    assert_int_equal(write->refused_counts[SHARD_REFUSED_FUTURE], 1);
    assert_int_equal(write->refused_counts[SHARD_REFUSED_CONFLICT], 1);
    assert_int_equal(write->refusal_count, 2);
    assert_int_equal(write->refusals[0].origin, 1000 + 3 * 3);
    assert_int_equal(write->refusals[0].reason, SHARD_REFUSED_FUTURE);
    assert_int_equal(write->refusals[1].origin, 1000 + 3 * 5);
    assert_int_equal(write->refusals[1].timestamp_ms, time_ms);
    written_free(written);
    cluster_close();
}

/* --- Who leads -------------------------------------------------------------------------------- */

static void a_wrong_hint_is_corrected(void **state)
{
    (void)state;
    start(4);
    struct member *leader = leader_of(0), *asker = follower_of(0);
    for (size_t i = 0; i < MEMBERS; i++)
        if (&members[i] != leader && &members[i] != asker)
            cluster_board_note_leader(asker->board, 0, members[i].node_id);
    assert_int_equal(write_new(asker, 0, wall_ms(), NULL), ERROR_NONE);
    struct routing_statistics statistics = statistics_of_member(asker);
    assert_int_equal(statistics.redirected, 1);
    assert_int_equal(statistics.sent, 2);
    assert_int_equal(statistics.retried, 1);
    assert_int_equal(cluster_board_leader(asker->board, 0), leader->node_id);
    /* That it leads itself is as wrong. */
    cluster_board_note_leader(asker->board, 0, asker->node_id);
    assert_int_equal(write_new(asker, 0, wall_ms(), NULL), ERROR_NONE);
    assert_int_equal(cluster_board_leader(asker->board, 0), leader->node_id);
    cluster_close();
}

static void without_any_hint_replicas_are_asked_in_turn(void **state)
{
    (void)state;
    start(5);
    struct member *asker = &members[0];
    for (unsigned i = 0; i < 4; i++) {
        cluster_board_note_leader(asker->board, 2, 0);
        assert_int_equal(write_new(asker, 2, wall_ms() + i, NULL), ERROR_NONE);
    }
    struct routing_statistics statistics = statistics_of_member(asker);
    assert_int_equal(statistics.redirected, 2); /* every other time */
    assert_int_equal(statistics.sent, 6);
    assert_int_equal(statistics.local, 0);
    cluster_close();
}

static void without_anybody_to_ask_it_is_unavailable(void **state)
{
    (void)state;
    start(6);
    struct member *alone = &members[0];
    isolate(alone, true);
    run_ms(8000);
    struct written *written = written_build(NULL, wall_ms());
    written_send(alone, 2, written);
    assert_int_equal(written_await(written), ERROR_UNAVAILABLE);
    assert_string_equal(written->write.error.message, "no leader can be reached");
    written_free(written);
    written = written_build(NULL, wall_ms());
    written_send(alone, 9, written);
    assert_int_equal(written_await(written), ERROR_UNAVAILABLE);
    assert_string_equal(written->write.error.message, "no leader is known");
    written_free(written);
    written = written_build(NULL, wall_ms());
    written_send(alone, UINT32_MAX, written);
    assert_int_equal(written_await(written), ERROR_UNAVAILABLE);
    written_free(written);
    assert_int_equal(statistics_of_member(alone).sent, 0);
    isolate(alone, false);
    cluster_close();
}

/* --- Failures --------------------------------------------------------------------------------- */

/* As ingest does: built anew until it is stored, or the time is over. */
static bool write_until_stored(struct member *member, uint32_t shard, int64_t time_ms,
                               unsigned *attempts_out)
{
    uint64_t end_ms = clock_monotonic_ms(&world_clock.base) + 20000;
    for (*attempts_out = 1; clock_monotonic_ms(&world_clock.base) < end_ms; ++*attempts_out) {
        if (write_new(member, shard, time_ms, NULL) == ERROR_NONE)
            return true;
        run_ms(200);
    }
    return false;
}

static void writes_go_on_with_the_next_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 16; seed++) {
        start(seed);
        struct member *former = leader_of(0), *asker = follower_of(0);
        unsigned attempts;
        int64_t time_ms = wall_ms();
        assert_int_equal(write_new(asker, 0, time_ms, NULL), ERROR_NONE);
        isolate(former, true);
        assert_true(write_until_stored(asker, 0, time_ms + 1, &attempts));
        assert_true(attempts > 1);
        uint64_t leader_id = cluster_board_leader(asker->board, 0);
        assert_true(leader_id != former->node_id && leader_id != 0);
        /* The one that was cut off knows nobody, and comes back. */
        struct written *written = written_build(NULL, time_ms + 2);
        written_send(former, 0, written);
        assert_int_equal(written_await(written), ERROR_UNAVAILABLE);
        written_free(written);
        isolate(former, false);
        assert_true(write_until_stored(former, 0, time_ms + 2, &attempts));
        run_ms(5000);
        for (size_t i = 0; i < MEMBERS; i++)
            assert_int_equal(samples_of(&members[i], 0), 3 * WRITE_SERIES);
        cluster_close();
    }
}

/* The connection goes at some moment while a write is under way: what came of it nobody knows, and
 * when it is sent again it is there once. */
static void an_unknown_outcome_is_a_duplicate_later(void **state)
{
    (void)state;
    unsigned unknown = 0, stored_before = 0;
    start(7);
    struct member *leader = leader_of(0), *asker = follower_of(0);
    int64_t time_ms = wall_ms();
    uint64_t samples = 0;
    for (unsigned steps = 1; steps < 60; steps++) {
        struct written *written = written_build(NULL, ++time_ms);
        written_send(asker, 0, written);
        for (unsigned i = 0; i < steps; i++)
            simulated_scheduler_step(&world);
        simulated_network_cut(&wires, asker->node->host, leader->node->host);
        unsigned attempts;
        if (written_await(written) != ERROR_NONE) {
            unknown++;
            run_ms(3000);
            stored_before += samples_of(leader, 0) > samples;
            assert_true(write_until_stored(asker, 0, time_ms, &attempts));
        }
        written_free(written);
        samples += WRITE_SERIES;
        assert_int_equal(samples_of(leader, 0), samples);
        run_ms(3000);
        assert_ptr_equal(leader_of(0), leader);
    }
    assert_true(unknown > 5);
    assert_true(stored_before > 0 && stored_before < unknown);
    cluster_close();
}

/* The answer does not come in time; the write does not end for that. */
static void what_nobody_waits_for_any_more_is_finished(void **state)
{
    (void)state;
    for (size_t i = 0; i < MEMBERS; i++)
        members[i].options.timeout_ms = 400;
    start(8);
    struct member *leader = leader_of(0), *asker = follower_of(0);
    struct written *written = written_build(NULL, wall_ms());
    /* What the leader sends to others waits: the entry and the answer. */
    for (size_t i = 0; i < MEMBERS; i++)
        if (&members[i] != leader)
            simulated_network_stall(&wires, leader->node->host, members[i].node->host, true);
    written_send(asker, 0, written);
    assert_int_equal(written_await(written), ERROR_UNAVAILABLE);
    assert_non_null(strstr(written->write.error.message, "no answer in 400 ms"));
    assert_int_equal(samples_of(leader, 0), 0);
    for (size_t i = 0; i < MEMBERS; i++)
        if (&members[i] != leader)
            simulated_network_stall(&wires, leader->node->host, members[i].node->host, false);
    run_ms(1000);
    assert_int_equal(samples_of(leader, 0), WRITE_SERIES);
    assert_int_equal(statistics_of_member(leader).under_way, 0);
    written_free(written);
    cluster_close();
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void only_so_much_is_on_its_way(void **state)
{
    (void)state;
    enum { WRITES = 10 };
    for (size_t i = 0; i < MEMBERS; i++)
        members[i].options.sent_bytes_max = 4000;
    start(9);
    struct member *asker = follower_of(0);
    struct written *writes[WRITES];
    unsigned refused = 0;
    for (size_t i = 0; i < WRITES; i++) {
        writes[i] = written_build(NULL, wall_ms() + (int64_t)i);
        written_send(asker, 0, writes[i]);
    }
    for (size_t i = 0; i < WRITES; i++) {
        if (written_await(writes[i]) != ERROR_NONE) {
            refused++;
            assert_string_equal(writes[i]->write.error.message,
                                "too much is on its way to other nodes");
        }
        written_free(writes[i]);
    }
    assert_in_range(refused, 1, WRITES - 1);
    assert_int_equal(statistics_of_member(asker).unavailable, refused);
    assert_int_equal(write_new(asker, 0, wall_ms(), NULL), ERROR_NONE);
    cluster_close();
}

static void only_so_much_is_taken_from_others(void **state)
{
    (void)state;
    enum { WRITES = 10 };
    for (size_t i = 0; i < MEMBERS; i++)
        members[i].options.received_bytes_max = 20000;
    start(17);
    struct member *asker = follower_of(0);
    struct written *writes[WRITES];
    unsigned refused = 0;
    for (size_t i = 0; i < WRITES; i++) {
        writes[i] = written_build(NULL, wall_ms() + (int64_t)i);
        written_send(asker, 0, writes[i]);
    }
    for (size_t i = 0; i < WRITES; i++) {
        refused += written_await(writes[i]) != ERROR_NONE;
        written_free(writes[i]);
    }
    assert_in_range(refused, 1, WRITES - 1);
    assert_int_equal(write_new(asker, 0, wall_ms(), NULL), ERROR_NONE);
    cluster_close();
}

/* --- Deletions and flushes -------------------------------------------------------------------- */

struct proposed {
    struct replica_entry entry; /* first */
    unsigned done;
};

static void on_proposed(struct replica_entry *entry)
{
    ((struct proposed *)entry)->done++;
}

static enum error_code propose(struct member *member, uint32_t shard, struct proposed *proposed)
{
    proposed->entry.origin = &world.base;
    proposed->entry.done = on_proposed;
    write_router_propose(routing_router(member->routing), shard, &proposed->entry);
    assert_int_equal(proposed->done, 0);
    for (size_t step = 0; proposed->done == 0; step++) {
        assert_true(step < CLUSTER_STEPS_MAX);
        assert_true(simulated_scheduler_step(&world));
    }
    byte_buffer_clear(&proposed->entry.bytes);
    return proposed->entry.error.code;
}

static void deletions_are_proposed_by_the_leader(void **state)
{
    (void)state;
    start(18);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct proposed proposed = {0};
        struct error error;
        assert_int_equal(write_new(&members[i], 0, wall_ms(), NULL), ERROR_NONE);
        uint64_t before = shard_freeze_index(replica_shard(leader_of(0)->replicas[0]));
        assert_int_equal(shard_encode_delete(&proposed.entry.bytes, wall_ms(), TEXT("anonymous"),
                                             NULL, 0, 0, INT64_MAX, &error),
                         ERROR_NONE);
        assert_int_equal(propose(&members[i], 0, &proposed), ERROR_NONE);
        assert_true(proposed.entry.index > before);
        assert_true(cluster_board_written(members[i].board, 0) >= proposed.entry.index);
        assert_true(shard_freeze_index(replica_shard(leader_of(0)->replicas[0])) > before);
        run_ms(1000);
    }
    cluster_close();
}

/* What would stop every replica of the shard is not put into its log. */
static void only_deletions_are_taken_from_others(void **state)
{
    (void)state;
    start(19);
    struct member *asker = follower_of(0);
    for (unsigned i = 0; i < 4; i++) {
        struct proposed proposed = {0};
        struct error error;
        struct byte_buffer *bytes = &proposed.entry.bytes;
        if (i == 0) {
            entry_encode_header(bytes, ENTRY_FREEZE, wall_ms());
        } else if (i == 1) {
            byte_buffer_text(bytes, TEXT("what is this"));
        } else {
            assert_int_equal(
                shard_encode_delete(bytes, wall_ms(), TEXT("a"), NULL, 0, 0, 1, &error),
                ERROR_NONE);
            if (i == 2)
                bytes->size--;
            else
                byte_buffer_u8(bytes, 0);
        }
        assert_int_equal(propose(asker, 0, &proposed), ERROR_UNAVAILABLE);
    }
    assert_int_equal(statistics_of_member(leader_of(0)).malformed, 4);
    assert_int_equal(write_new(asker, 0, wall_ms(), NULL), ERROR_NONE);
    cluster_close();
}

static unsigned flushes_done;

static void on_flushed(struct routing_flush *flush)
{
    (void)flush;
    flushes_done++;
}

static void a_shard_is_flushed_from_any_node(void **state)
{
    (void)state;
    start(20);
    for (size_t i = 0; i < MEMBERS; i++) {
        struct routing_flush flush = {.reach = FLUSH_SAMPLES, .done = on_flushed};
        struct member *leader = leader_of(0);
        flushes_done = 0;
        assert_int_equal(write_new(&members[i], 0, wall_ms(), NULL), ERROR_NONE);
        uint64_t before = shard_freeze_index(replica_shard(leader->replicas[0]));
        unsigned flushed = leader->flushed;
        routing_flush(members[i].routing, 0, &flush);
        assert_int_equal(flushes_done, 0);
        for (size_t step = 0; flushes_done == 0; step++) {
            assert_true(step < CLUSTER_STEPS_MAX);
            assert_true(simulated_scheduler_step(&world));
        }
        assert_int_equal(flush.error.code, ERROR_NONE);
        assert_int_equal(leader->flushed, flushed + 1);
        assert_true(shard_freeze_index(replica_shard(leader->replicas[0])) > before);
        run_ms(1000);
    }
    cluster_close();
}

/* --- Strangers -------------------------------------------------------------------------------- */

struct asked {
    struct transport_request request; /* first */
    unsigned done;
    enum error_code code;
};

static void on_asked(struct transport_request *request, const struct error *error)
{
    struct asked *asked = (struct asked *)request;
    asked->done++;
    asked->code = error->code;
}

static void questions_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    start(21);
    struct member *leader = leader_of(0), *asker = follower_of(0);
    for (uint16_t kind = 10; kind <= 12; kind++)
        for (size_t size = 0; size < 60; size++) {
            struct asked asked = {0};
            struct shared_bytes *body = shared_bytes_create(size);
            memset(body->bytes, size % 2 == 0 ? 1 : 0xff, size);
            asked.request.kind = kind;
            asked.request.class = TRANSPORT_REQUEST;
            asked.request.body = body;
            asked.request.timeout_ms = 1000;
            asked.request.done = on_asked;
            transport_ask(peer_of(asker->node, 0, leader->node), &asked.request);
            shared_bytes_unref(body);
            while (asked.done == 0)
                assert_true(simulated_scheduler_step(&world));
            assert_true(asked.code == ERROR_CORRUPT || asked.code == ERROR_UNSUPPORTED);
        }
    assert_int_equal(statistics_of_member(leader).malformed, 3 * 60);
    assert_int_equal(statistics_of_member(leader).received_bytes_under_way, 0);
    cluster_close();
}

/* --- Life ------------------------------------------------------------------------------------- */

static void one_that_drains_ends_what_it_began_and_takes_no_more(void **state)
{
    (void)state;
    start(22);
    struct member *leader = leader_of(0), *asker = follower_of(0);
    struct written *local = written_build(NULL, wall_ms()),
                   *remote = written_build(NULL, wall_ms() + 1);
    written_send(leader, 0, local);
    written_send(asker, 0, remote);
    routing_drain(asker->routing, member_routing_drained, asker);
    routing_drain(leader->routing, member_routing_drained, leader);
    assert_false(leader->drained || asker->drained);
    assert_int_equal(written_await(local), ERROR_NONE);
    assert_int_equal(written_await(remote), ERROR_UNAVAILABLE); /* it came too late */
    run_ms(1);
    assert_true(leader->drained && asker->drained);
    written_free(local);
    written_free(remote);
    local = written_build(NULL, wall_ms());
    written_send(leader, 0, local);
    assert_int_equal(written_await(local), ERROR_UNAVAILABLE);
    assert_string_equal(local->write.error.message, "shutting down");
    written_free(local);
    cluster_close();
}

static void a_node_alone_knows_its_own_replicas_only(void **state)
{
    (void)state;
    start(23);
    struct member *leader = leader_of(0), *follower = follower_of(0);
    struct error error;
    struct member *of[] = {leader, follower};
    for (size_t i = 0; i < 2; i++) {
        struct routing *alone;
        struct routing_options options = {.scheduler = &world.base, .table = of[i]->table};
        assert_int_equal(routing_create(&options, &alone, &error), ERROR_NONE);
        struct written *written = written_build(NULL, wall_ms());
        write_router_write(routing_router(alone), 0, &written->write);
        assert_int_equal(written_await(written), i == 0 ? ERROR_NONE : ERROR_UNAVAILABLE);
        if (i == 1)
            assert_string_equal(written->write.error.message, "this shard has no leader here");
        written_free(written);
        routing_destroy(alone);
    }
    cluster_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_this_node_leads_is_not_sent),
        cmocka_unit_test(every_node_writes_to_every_shard),
        cmocka_unit_test(what_is_refused_or_unknown_is_told_with_the_askers_numbers),
        cmocka_unit_test(a_wrong_hint_is_corrected),
        cmocka_unit_test(without_any_hint_replicas_are_asked_in_turn),
        cmocka_unit_test(without_anybody_to_ask_it_is_unavailable),
        cmocka_unit_test(writes_go_on_with_the_next_leader),
        cmocka_unit_test(an_unknown_outcome_is_a_duplicate_later),
        cmocka_unit_test(what_nobody_waits_for_any_more_is_finished),
        cmocka_unit_test(only_so_much_is_on_its_way),
        cmocka_unit_test(only_so_much_is_taken_from_others),
        cmocka_unit_test(deletions_are_proposed_by_the_leader),
        cmocka_unit_test(only_deletions_are_taken_from_others),
        cmocka_unit_test(a_shard_is_flushed_from_any_node),
        cmocka_unit_test(questions_that_make_no_sense_are_refused),
        cmocka_unit_test(one_that_drains_ends_what_it_began_and_takes_no_more),
        cmocka_unit_test(a_node_alone_knows_its_own_replicas_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
