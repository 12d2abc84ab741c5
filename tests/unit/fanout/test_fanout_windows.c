/* What a query tells of the windows that it read: over three nodes, by series and by sub-queries.
 */
#include "fanout_nodes.h"

#include "base/state_version.h"
#include "fanout/windows.h"
#include "promql/engine.h"

enum { WINDOWS = 4, SAMPLES_EACH = 20, APPLIED = 1000 };

static struct arena *arena;
static struct worker_pool *pool;

static int open_all(void **state)
{
    struct error error;
    (void)state;
    log_set_level(LOG_NOTHING);
    cluster_version = STATE_VERSION_WINDOWS;
    arena = arena_create(0);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        shard_series[shard] = series_memory_create();
        for (int64_t k = 0; k < WINDOWS * SAMPLES_EACH; k++)
            series_memory_add(
                shard_series[shard], series_labels(arena, "load", shard),
                (struct memory_sample){.timestamp_ms = k * (SHARD_WINDOW_MS / SAMPLES_EACH),
                                       .value = (double)k});
    }
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){0}, &pool, &error),
                     ERROR_NONE);
    nodes_open();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    nodes_close();
    worker_pool_destroy(pool);
    for (size_t i = 0; i < SHARDS; i++)
        series_memory_destroy(shard_series[i]);
    arena_destroy(arena);
    return 0;
}

static void set_changed(uint32_t shard, uint64_t version)
{
    for (uint64_t id = 1; id <= NODES; id++)
        node_of(id)->replicas.replicas[shard].changed = version;
}

static int settle(void **state)
{
    (void)state;
    lead_by_turns();
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        set_changed(shard, 100 + shard);
    return 0;
}

enum way { BY_SERIES, BY_SUB_QUERIES };

static struct fanout_windows *run(uint64_t node_id, const char *query, enum way way)
{
    struct fanout *fanout = node_of(node_id)->fanout;
    struct fanout_windows *windows;
    struct fanout_source source;
    struct fanout_distributor distributor;
    struct promql_execution *execution;
    struct error error;
    assert_int_equal(fanout_windows_create(&windows, &error), ERROR_NONE);
    struct promql_distributor *base =
        fanout_distributor_init(&distributor, fanout, FANOUT_READ_DEFAULT, NULL, NULL);
    distributor.windows = windows;
    struct promql_execution_options options = {
        .query = text_of(query),
        .tenant = TEXT("anonymous"),
        .start_ms = SHARD_WINDOW_MS / 2,
        .end_ms = SHARD_WINDOW_MS + SHARD_WINDOW_MS / 2,
        .step_ms = 60 * 1000,
        .source = fanout_source_init(&source, fanout, FANOUT_READ_DEFAULT, windows),
        .distributor = way == BY_SERIES ? NULL : base,
        .pool = pool,
        .clock = clock_system(),
    };
    if (promql_execution_create(&options, &execution, &error) != ERROR_NONE ||
        promql_execution_run(execution, &error) != ERROR_NONE)
        fail_msg("%s: %s", query, error.message);
    assert_true(promql_execution_result(execution)->series_count > 0);
    promql_execution_destroy(execution);
    return windows;
}

static uint64_t version_in(struct fanout_windows *windows, uint32_t shard, int64_t window)
{
    size_t count;
    const struct fanout_window *list = fanout_windows_list(windows, &count);
    for (size_t i = 0; i < count; i++)
        if (list[i].shard_id == shard && list[i].window == window)
            return list[i].version;
    return 0;
}

static void each_window_that_was_read_has_its_version(void **state)
{
    static const char *const QUERIES[] = {"sum(load)", "load", "sum(load) / count(load)",
                                          "max(max_over_time(load[30m]))"};
    (void)state;
    for (int way = BY_SERIES; way <= BY_SUB_QUERIES; way++)
        for (uint64_t node_id = 1; node_id <= NODES; node_id++)
            for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
                size_t count;
                struct fanout_windows *windows = run(node_id, QUERIES[i], (enum way)way);
                assert_true(fanout_windows_is_complete(windows));
                (void)fanout_windows_list(windows, &count);
                assert_int_equal(count, 2 * SHARDS);
                for (uint32_t shard = 0; shard < SHARDS; shard++) {
                    assert_int_equal(version_in(windows, shard, 0), 100 + shard);
                    assert_int_equal(version_in(windows, shard, 1), 1);
                }
                fanout_windows_destroy(windows);
            }
}

/* Look-back, ranges and offsets are part of what is read. */
static void what_a_selector_looks_back_at_is_told(void **state)
{
    (void)state;
    for (int way = BY_SERIES; way <= BY_SUB_QUERIES; way++) {
        struct fanout_windows *windows = run(2, "sum(rate(load[2h] offset -4h))", (enum way)way);
        assert_true(fanout_windows_is_complete(windows));
        assert_int_equal(version_in(windows, 5, 0), 0);
        for (int64_t window = 1; window <= 3; window++)
            assert_int_equal(version_in(windows, 5, window), 1);
        fanout_windows_destroy(windows);
    }
}

static void a_window_that_changed_meanwhile_has_no_version(void **state)
{
    (void)state;
    set_changed(3, APPLIED + 1); /* above what was applied when the reading began */
    for (int way = BY_SERIES; way <= BY_SUB_QUERIES; way++) {
        struct fanout_windows *windows = run(1, "sum(load)", (enum way)way);
        assert_true(fanout_windows_is_complete(windows));
        assert_true(version_in(windows, 3, 0) == SHARD_WINDOW_UNVERSIONED);
        assert_int_equal(version_in(windows, 2, 0), 102);
        fanout_windows_destroy(windows);
    }
}

static void a_node_that_knows_no_sub_queries_tells_by_series(void **state)
{
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        node_of(2)->replicas.replicas[shard].refusals = 1;
    struct fanout_windows *windows = run(1, "sum(load)", BY_SUB_QUERIES);
    assert_true(fanout_windows_is_complete(windows));
    assert_int_equal(version_in(windows, 4, 0), 104);
    fanout_windows_destroy(windows);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        node_of(2)->replicas.replicas[shard].refusals = 0;
}

static void post_version(uint32_t version)
{
    struct error error;
    cluster_version = version;
    struct cluster_state *cluster = cluster_of_three();
    for (uint64_t id = 1; id <= NODES; id++)
        assert_int_equal(
            cluster_board_post(node_of(id)->board, cluster, CLUSTER_VIEW_CURRENT, &error),
            ERROR_NONE);
    cluster_state_destroy(cluster);
}

static void nodes_of_an_older_version_are_not_asked(void **state)
{
    (void)state;
    post_version(STATE_VERSION_FIRST);
    for (int way = BY_SERIES; way <= BY_SUB_QUERIES; way++) {
        struct fanout_windows *windows = run(1, "sum(load)", (enum way)way);
        assert_false(fanout_windows_is_complete(windows));
        fanout_windows_destroy(windows);
    }
    post_version(STATE_VERSION_WINDOWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_window_that_was_read_has_its_version, settle),
        cmocka_unit_test_setup(what_a_selector_looks_back_at_is_told, settle),
        cmocka_unit_test_setup(a_window_that_changed_meanwhile_has_no_version, settle),
        cmocka_unit_test_setup(a_node_that_knows_no_sub_queries_tells_by_series, settle),
        cmocka_unit_test_setup(nodes_of_an_older_version_are_not_asked, settle),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
