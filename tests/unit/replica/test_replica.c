/* One replica on the real group and journal, over the simulated world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "journal/journal.h"
#include "replica/replica.h"
#include "simulated_environment.h"

enum { STEPS_MAX = 1000000 };

struct node {
    struct simulated_environment *environment;
    struct page_cache *cache;
    struct journal_recovery *recovery;
    struct journal *journal;
    struct group_host *host;
    struct replica *replica;
    struct replica_node limits;
    bool closed;
    size_t answered;
};

static void on_fatal(void *context, const struct error *error)
{
    (void)context;
    fail_msg("%s", error->message);
}

/* The log of a machine that crashed fails, as it should. */
static void on_journal_fatal(void *context, const struct error *error)
{
    if (!((struct node *)context)->environment->disk.crashed)
        on_fatal(context, error);
}

static void on_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    on_fatal(context, error);
}

static void on_closed(void *context)
{
    *(bool *)context = true;
}

static void node_open(struct node *node)
{
    static const struct consensus_member FOUNDER = {
        .node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "node-1"};
    struct error error;
    struct journal_recovery_options recovery = {.directory = "journal"};
    assert_int_equal(page_cache_create(1 << 20, &node->cache, &error), ERROR_NONE);
    assert_int_equal(
        journal_recover(node->environment->base.disk, &recovery, &node->recovery, &error),
        ERROR_NONE);
    const uint64_t group = 1;
    size_t count = journal_recovery_group_count(node->recovery);
    struct journal_options options = {
        .directory = "journal", .segment_bytes_min = 64 * 1024, .segment_bytes_max = 64 * 1024};
    struct journal_events events = {.context = node, .fatal = on_journal_fatal};
    assert_int_equal(journal_open(&node->environment->base, &options, &events, node->recovery,
                                  &group, count, &node->journal, &error),
                     ERROR_NONE);
    struct group_host_options host = {.environment = &node->environment->base,
                                      .journal = node->journal,
                                      .node_id = 1,
                                      .fatal = on_group_fatal};
    assert_int_equal(group_host_create(&host, &node->host, &error), ERROR_NONE);
    node->limits = (struct replica_node){.unfrozen_bytes_max = 1 << 20,
                                         .unfrozen_age_max_ms = INT64_MAX,
                                         .queued_bytes_max = 1 << 20};
    struct replica_options replica = {
        .environment = &node->environment->base,
        .host = node->host,
        .node = &node->limits,
        .shard = {.cache = node->cache,
                  .directory = "shards/0000",
                  .hash_seed = 3,
                  .future_window_ms = 600000,
                  .exemplars_max = 10,
                  .metadata_max = 10},
        .group_id = 1,
        .recovery = node->recovery,
        .founders = &FOUNDER,
        .founder_count = 1,
        .fatal = on_fatal,
    };
    assert_int_equal(replica_create(&replica, &node->replica, &error), ERROR_NONE);
    assert_int_equal(replica_start(node->replica, &error), ERROR_NONE);
}

static void await_ready(struct node *node)
{
    for (size_t i = 0; !replica_is_ready(node->replica); i++) {
        assert_true(i < STEPS_MAX);
        assert_true(simulated_scheduler_step(&node->environment->scheduler));
    }
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
}

static struct node *node_create(uint64_t seed)
{
    struct node *node = calloc(1, sizeof *node);
    assert_non_null(node);
    node->environment = simulated_environment_create(seed);
    node_open(node);
    await_ready(node);
    return node;
}

static void node_close(struct node *node)
{
    node->closed = false;
    replica_close(node->replica, on_closed, &node->closed);
    assert_true(
        simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
    group_host_destroy(node->host);
    node->closed = false;
    journal_close(node->journal, on_closed, &node->closed);
    assert_true(
        simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
    page_cache_destroy(node->cache);
}

static void node_destroy(struct node *node)
{
    node_close(node);
    simulated_environment_destroy(node->environment);
    free(node);
}

/* --- Writes ------------------------------------------------------------------------------------
 */

struct request {
    struct replica_write write; /* first */
    struct node *node;
    struct arena *arena;
    bool done;
    uint64_t samples_stored; /* by the shard when it was answered */
};

static void on_written(struct replica_write *write)
{
    struct request *request = (struct request *)write;
    assert_false(request->done);
    request->done = true;
    request->node->answered++;
    struct shard_statistics statistics;
    shard_read_statistics(replica_shard(request->node->replica), &statistics);
    request->samples_stored = statistics.samples_appended;
}

static struct request *request_send(struct node *node, unsigned series, int64_t time_ms)
{
    struct request *request = calloc(1, sizeof *request);
    assert_non_null(request);
    struct arena *arena = request->arena = arena_create(0);
    struct shard_write *write = &request->write.write;
    struct label labels[] = {{LABEL_METRIC_NAME, arena_format(arena, "metric_%u", series)}};
    write->tenant = TEXT("anonymous");
    write->new_series = arena_array(arena, 1, sizeof *write->new_series);
    write->new_series[0] = (struct shard_new_series){
        .labels = labels_build(arena, labels, 1), .slot = 1, .id = SHARD_ID_UNKNOWN};
    write->new_series_count = 1;
    write->ids = arena_array(arena, 1, sizeof *write->ids);
    write->ids[0] = SHARD_SERIES_NEW;
    write->timestamps_ms = arena_array(arena, 1, sizeof *write->timestamps_ms);
    write->timestamps_ms[0] = time_ms;
    write->values = arena_array(arena, 1, sizeof *write->values);
    write->origins = arena_array(arena, 1, sizeof *write->origins);
    write->stale_origins = arena_array(arena, 1, sizeof *write->stale_origins);
    write->float_count = 1;
    request->node = node;
    request->write.origin = node->environment->base.scheduler;
    request->write.done = on_written;
    replica_write(node->replica, &request->write);
    return request;
}

static void request_await(struct request *request)
{
    assert_true(simulated_scheduler_run_until(&request->node->environment->scheduler,
                                              &request->done, STEPS_MAX));
}

static void request_free(struct request *request)
{
    arena_destroy(request->arena);
    free(request);
}

static uint64_t series_count(struct node *node)
{
    struct shard_statistics statistics;
    shard_read_statistics(replica_shard(node->replica), &statistics);
    return statistics.series_count;
}

/* --- Tests -------------------------------------------------------------------------------------
 */

static void a_write_is_answered_after_it_is_durable_and_applied(void **state)
{
    (void)state;
    struct node *node = node_create(1);
    struct request *request = request_send(node, 1, clock_now_ms(node->environment->base.clock));
    assert_false(request->done); /* never inside the call */
    request_await(request);
    assert_int_equal(request->write.error.code, ERROR_NONE);
    assert_int_equal(request->samples_stored, 1);
    request_free(request);
    /* What was answered survives the loss of everything that was not synced. */
    simulated_environment_crash(node->environment, SIMULATED_POWER_FAILURE);
    group_host_journal_lost(node->host);
    node->closed = false;
    journal_close(node->journal, on_closed, &node->closed);
    assert_true(
        simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
    node->closed = false;
    replica_close(node->replica, on_closed, &node->closed);
    assert_true(
        simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
    group_host_destroy(node->host);
    page_cache_destroy(node->cache);
    simulated_environment_restart(node->environment);
    node_open(node);
    await_ready(node);
    assert_int_equal(series_count(node), 1);
    node_destroy(node);
}

static void many_writes_share_few_entries(void **state)
{
    (void)state;
    enum { WRITES = 200 };
    struct node *node = node_create(2);
    struct request *requests[WRITES];
    for (unsigned i = 0; i < WRITES; i++)
        requests[i] = request_send(node, i, clock_now_ms(node->environment->base.clock));
    for (unsigned i = 0; i < WRITES; i++) {
        request_await(requests[i]);
        assert_int_equal(requests[i]->write.error.code, ERROR_NONE);
        request_free(requests[i]);
    }
    struct group_status status;
    replica_group_status(node->replica, &status);
    assert_true(status.last_index < 20);
    assert_int_equal(series_count(node), WRITES);
    node_destroy(node);
}

static void a_restart_replays_what_was_acknowledged(void **state)
{
    (void)state;
    struct node *node = node_create(3);
    for (unsigned life = 0; life < 3; life++) {
        for (unsigned i = 0; i < 20; i++) {
            struct request *request =
                request_send(node, life * 20 + i, clock_now_ms(node->environment->base.clock));
            request_await(request);
            request_free(request);
        }
        node_close(node);
        node_open(node);
        await_ready(node);
        assert_int_equal(series_count(node), (life + 1) * 20);
    }
    node_destroy(node);
}

static void what_is_replayed_is_counted_until_the_replica_is_ready(void **state)
{
    (void)state;
    enum { WRITES = 50 };
    struct node *node = node_create(7);
    for (unsigned i = 0; i < WRITES; i++) {
        struct request *request =
            request_send(node, i, clock_now_ms(node->environment->base.clock));
        request_await(request);
        request_free(request);
    }
    node_close(node);
    node_open(node);
    struct replica_replay before = replica_replay(node->replica);
    assert_true(before.entries >= WRITES);
    assert_int_equal(before.applied, 0);
    while (!replica_is_ready(node->replica)) {
        assert_true(simulated_scheduler_step(&node->environment->scheduler));
        struct replica_replay replay = replica_replay(node->replica);
        assert_int_equal(replay.entries, before.entries);
        assert_in_range(replay.applied, before.applied, replay.entries);
        assert_true(series_count(node) >= WRITES || replay.applied < replay.entries);
        before = replay;
    }
    assert_int_equal(before.applied, before.entries);
    await_ready(node);
    node_destroy(node);
}

/* Whatever a close interrupts is answered, once, and nothing of it is leaked. */
static void a_close_answers_everything_in_flight(void **state)
{
    (void)state;
    enum { WRITES = 30 };
    for (uint64_t seed = 10; seed < 30; seed++) {
        struct node *node = node_create(seed);
        struct request *requests[WRITES];
        for (unsigned i = 0; i < WRITES; i++) {
            requests[i] = request_send(node, i, clock_now_ms(node->environment->base.clock));
            for (uint64_t k = 0; k < seed % 7; k++)
                simulated_scheduler_step(&node->environment->scheduler);
        }
        if (seed % 2 == 0)
            shard_freeze(replica_shard(node->replica));
        for (uint64_t k = 0; k < seed; k++)
            simulated_scheduler_step(&node->environment->scheduler);
        /* The answers come while the replica closes: it is still there for on_written. */
        node->closed = false;
        replica_close(node->replica, on_closed, &node->closed);
        assert_true(
            simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
        for (unsigned i = 0; i < WRITES; i++) {
            assert_true(requests[i]->done);
            request_free(requests[i]);
        }
        group_host_destroy(node->host);
        node->closed = false;
        journal_close(node->journal, on_closed, &node->closed);
        assert_true(
            simulated_scheduler_run_until(&node->environment->scheduler, &node->closed, STEPS_MAX));
        page_cache_destroy(node->cache);
        simulated_environment_destroy(node->environment);
        free(node);
    }
}

static void writes_beyond_the_queue_are_refused_at_once(void **state)
{
    (void)state;
    struct node *node = node_create(4);
    node->limits.queued_bytes_max = 1000;
    struct request *requests[20];
    size_t refused = 0;
    for (unsigned i = 0; i < 20; i++)
        requests[i] = request_send(node, i, clock_now_ms(node->environment->base.clock));
    for (unsigned i = 0; i < 20; i++) {
        request_await(requests[i]);
        refused += requests[i]->write.error.code == ERROR_UNAVAILABLE;
        request_free(requests[i]);
    }
    assert_true(refused > 0 && refused < 20);
    assert_int_equal(atomic_load(&node->limits.queued_bytes), 0);
    node_destroy(node);
}

static void a_settled_replica_has_nothing_to_replay(void **state)
{
    (void)state;
    struct node *node = node_create(5);
    struct request *request = request_send(node, 1, clock_now_ms(node->environment->base.clock));
    request_await(request);
    request_free(request);
    bool settled = false;
    replica_settle(node->replica, on_closed, &settled);
    assert_true(simulated_scheduler_run_until(&node->environment->scheduler, &settled, STEPS_MAX));
    struct group_status status;
    replica_group_status(node->replica, &status);
    assert_true(status.frozen_index + 1 >= status.last_index);
    node_close(node);
    node_open(node);
    await_ready(node);
    assert_int_equal(series_count(node), 1);
    node_destroy(node);
}

/* A freeze that is under way is waited for, with nothing in memory as well. */
static void a_replica_settles_with_the_freeze_before(void **state)
{
    (void)state;
    struct node *node = node_create(8);
    struct request *request = request_send(node, 1, clock_now_ms(node->environment->base.clock));
    request_await(request);
    request_free(request);
    struct shard *shard = replica_shard(node->replica);
    shard_freeze(shard);
    while (shard_unfrozen_bytes(shard) > 0)
        assert_true(simulated_scheduler_step(&node->environment->scheduler));
    bool settled = false;
    replica_settle(node->replica, on_closed, &settled);
    assert_false(settled);
    assert_true(simulated_scheduler_run_until(&node->environment->scheduler, &settled, STEPS_MAX));
    struct group_status status;
    replica_group_status(node->replica, &status);
    assert_int_equal(status.frozen_index, shard_freeze_index(shard));
    node_close(node);
    node_open(node);
    await_ready(node);
    assert_int_equal(series_count(node), 1);
    node_destroy(node);
}

/* Write one series until so much log was applied since the last freeze, or a freeze came. */
static uint64_t freezes_within(struct node *node, uint64_t log_bytes)
{
    int64_t time_ms = clock_now_ms(node->environment->base.clock) - 10000000;
    for (struct shard_statistics statistics = {0};;) {
        struct request *request = request_send(node, 1, time_ms++);
        request_await(request);
        request_free(request);
        shard_read_statistics(replica_shard(node->replica), &statistics);
        if (statistics.freezes_total > 0 || statistics.unfrozen_log_bytes >= log_bytes)
            return statistics.freezes_total;
    }
}

static void a_node_with_few_series_freezes_at_half_of_the_limit(void **state)
{
    (void)state;
    enum { LIMIT = 20000, HALF_AND_MORE = 12000 };
    static const struct {
        uint64_t series_bytes;
        uint64_t freezes;
    } NODES[] = {{0, 0}, {1, 1}, {HALF_AND_MORE + 2000, 0}, {2 * LIMIT, 0}};
    for (size_t i = 0; i < sizeof NODES / sizeof *NODES; i++) {
        struct node *node = node_create(6);
        node->limits.unfrozen_bytes_max = LIMIT;
        node->limits.unfrozen_series_bytes = NODES[i].series_bytes;
        assert_int_equal(freezes_within(node, HALF_AND_MORE), NODES[i].freezes);
        node_destroy(node);
    }
}

static void the_shard_with_the_most_freezes_and_no_other(void **state)
{
    (void)state;
    enum { LIMIT = 8000, ALONE_NOT_ENOUGH = 3000, OF_ANOTHER = 6000 };
    struct node *node = node_create(6);
    node->limits.unfrozen_bytes_max = LIMIT;
    /* As if another shard had told of so much. */
    atomic_store(&node->limits.unfrozen_bytes, OF_ANOTHER);
    atomic_store(&node->limits.largest_unfrozen_bytes, OF_ANOTHER);
    assert_int_equal(freezes_within(node, ALONE_NOT_ENOUGH), 0);
    assert_true(atomic_load(&node->limits.unfrozen_bytes) > LIMIT);
    assert_int_equal(atomic_load(&node->limits.largest_unfrozen_bytes), OF_ANOTHER);
    /* The other one froze, and what was heard of is forgotten: now this one is the largest. */
    atomic_store(&node->limits.largest_unfrozen_bytes, 0);
    assert_int_equal(freezes_within(node, LIMIT), 1);
    /* Its own share went with its freeze. */
    assert_in_range(atomic_load(&node->limits.unfrozen_bytes), OF_ANOTHER, LIMIT - 1);
    assert_in_range(atomic_load(&node->limits.largest_unfrozen_bytes), 0, LIMIT - OF_ANOTHER);
    node_destroy(node);
}

/* Others hold more than the limit, but nothing was heard of who has the most; what this one had is
 * about to be frozen, and it is asked again meanwhile. */
static void a_shard_with_nothing_to_freeze_does_not_freeze(void **state)
{
    (void)state;
    enum { LIMIT = 8000 };
    struct node *node = node_create(6);
    node->limits.unfrozen_bytes_max = LIMIT;
    struct request *request = request_send(node, 1, 1000);
    request_await(request);
    request_free(request);
    atomic_store(&node->limits.unfrozen_bytes, 4 * LIMIT);
    atomic_store(&node->limits.largest_unfrozen_bytes, 0);
    for (int64_t time_ms = 2000; time_ms < 2020; time_ms++) {
        request = request_send(node, 1, time_ms);
        atomic_store(&node->limits.largest_unfrozen_bytes, 0);
        request_await(request);
        request_free(request);
    }
    node_destroy(node);
}

struct confirming {
    struct replica_confirm confirm; /* first */
    bool done;
    struct error error;
};

static void on_confirmed(struct replica_confirm *confirm, const struct error *error)
{
    struct confirming *confirming = (struct confirming *)confirm;
    assert_false(confirming->done);
    confirming->done = true;
    confirming->error = *error;
}

static void a_leader_is_confirmed_when_all_before_is_applied(void **state)
{
    (void)state;
    struct node *node = node_create(11);
    int64_t now_ms = clock_now_ms(node->environment->base.clock);
    struct request *request = request_send(node, 1, now_ms);
    request_await(request);
    struct confirming confirming = {.confirm.done = on_confirmed};
    replica_confirm(node->replica, &confirming.confirm);
    assert_false(confirming.done); /* never inside the call */
    assert_true(
        simulated_scheduler_run_until(&node->environment->scheduler, &confirming.done, STEPS_MAX));
    assert_int_equal(confirming.error.code, ERROR_NONE);
    assert_true(replica_applied_index(node->replica) >= request->write.index);
    request_free(request);
    node_destroy(node);
}

static void a_replica_that_closes_confirms_nothing(void **state)
{
    (void)state;
    struct node *node = node_create(12);
    struct confirming confirming = {.confirm.done = on_confirmed};
    replica_confirm(node->replica, &confirming.confirm);
    node_destroy(node);
    assert_true(confirming.done);
    assert_int_equal(confirming.error.code, ERROR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_answered_after_it_is_durable_and_applied),
        cmocka_unit_test(many_writes_share_few_entries),
        cmocka_unit_test(a_restart_replays_what_was_acknowledged),
        cmocka_unit_test(what_is_replayed_is_counted_until_the_replica_is_ready),
        cmocka_unit_test(a_close_answers_everything_in_flight),
        cmocka_unit_test(writes_beyond_the_queue_are_refused_at_once),
        cmocka_unit_test(a_replica_settles_with_the_freeze_before),
        cmocka_unit_test(a_settled_replica_has_nothing_to_replay),
        cmocka_unit_test(a_node_with_few_series_freezes_at_half_of_the_limit),
        cmocka_unit_test(the_shard_with_the_most_freezes_and_no_other),
        cmocka_unit_test(a_shard_with_nothing_to_freeze_does_not_freeze),
        cmocka_unit_test(a_leader_is_confirmed_when_all_before_is_applied),
        cmocka_unit_test(a_replica_that_closes_confirms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
