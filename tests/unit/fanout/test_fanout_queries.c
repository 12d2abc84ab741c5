/*
 * Queries over three nodes give what they give over one source that has everything: by series,
 * which come bit for bit, and by sub-queries.
 */
#include "fanout_nodes.h"

#include <math.h>

#include "promql/engine.h"

enum { SERIES = 48, SAMPLES = 120, STEP_MS = 15000, QUERIES = 400 };

static struct arena *arena;
static struct series_memory *everything;
static struct worker_pool *pool;

/* --- Data ------------------------------------------------------------------------------------ */

static uint64_t random_state = 88172645463325252;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned choose(unsigned count)
{
    return (unsigned)(next_random() >> 33) % count;
}

static struct histogram *histogram_of(unsigned seed)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    struct histogram_span *span = arena_array(arena, 1, sizeof *span);
    union histogram_number *buckets = arena_array(arena, 3, sizeof *buckets);
    *span = (struct histogram_span){.offset = 1, .length = 3};
    for (unsigned i = 0; i < 3; i++)
        buckets[i].integer = seed + i;
    *histogram = (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = 1,
        .zero_threshold = 0.001,
        .zero_count.integer = seed,
        .count.integer = 4 * (uint64_t)seed + 3,
        .sum = seed * 2.5,
        .positive_span_count = 1,
        .positive_bucket_count = 3,
        .positive_spans = span,
        .positive_buckets = buckets,
    };
    return histogram;
}

/* Counters, gauges with gaps and stale markers, native histograms. */
static struct memory_sample sample_of(const char *name, unsigned series, int64_t k)
{
    struct memory_sample sample = {.timestamp_ms = k * STEP_MS + (int64_t)(series % 3) * 1000};
    if (strcmp(name, "requests_total") == 0) {
        sample.value = (double)((k % 50) * (series + 1));
        sample.start_timestamp_ms = k < 50 ? 1 : 50 * STEP_MS;
    } else if (strcmp(name, "load") == 0) {
        sample.value = (double)(next_random() % 1000) / 8 - 20;
        if (choose(20) == 0)
            sample.value = double_from_bits(choose(2) == 0 ? STALE_MARKER_BITS : NORMAL_NAN_BITS);
    } else {
        sample.histogram = histogram_of((unsigned)k + series);
    }
    return sample;
}

static void make_series(void)
{
    static const char *const NAMES[] = {"requests_total", "load", "latency"};
    everything = series_memory_create();
    for (size_t i = 0; i < SHARDS; i++)
        shard_series[i] = series_memory_create();
    /* In the order of shards, which is that of answers. */
    for (unsigned shard = 0; shard < SHARDS; shard++)
        for (unsigned i = shard; i < SERIES; i += SHARDS) {
            const char *name = NAMES[i / SHARDS % 3];
            struct labels labels = series_labels(arena, name, i);
            for (int64_t k = 0; k < SAMPLES; k++) {
                struct memory_sample sample = sample_of(name, i, k);
                if (choose(30) == 0)
                    continue;
                series_memory_add(shard_series[shard], labels, sample);
                series_memory_add(everything, labels, sample);
            }
        }
}

static int open_all(void **state)
{
    struct error error;
    (void)state;
    log_set_level(LOG_NOTHING);
    arena = arena_create(0);
    make_series();
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
    series_memory_destroy(everything);
    arena_destroy(arena);
    return 0;
}

static int settle(void **state)
{
    (void)state;
    lead_by_turns();
    return 0;
}

/* --- Expressions ----------------------------------------------------------------------------- */

static const char *pick(const char *const *texts, unsigned count)
{
    return texts[choose(count)];
}
#define PICK(...)                                                                                  \
    pick((const char *const[]){__VA_ARGS__},                                                       \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char *selector(void)
{
    const char *name = PICK("requests_total", "load", "latency");
    return arena_format(arena, "%s%s", name,
                        PICK("", "{job=\"job-1\"}", "{instance=~\"host-[12]\"}",
                             "{number!~\"1.*\"}", "{job=\"none\"}"))
        .data;
}

static const char *vector(unsigned depth);

static const char *per_series(void)
{
    switch (choose(4)) {
    case 0:
        return selector();
    case 1:
        return arena_format(arena, "%s(%s[%s])",
                            PICK("rate", "increase", "sum_over_time", "max_over_time",
                                 "count_over_time", "last_over_time"),
                            selector(), PICK("1m", "5m", "90s"))
            .data;
    case 2:
        return arena_format(arena, "%s %s %s", selector(), PICK("+", "*", ">", "<= bool"),
                            PICK("2", "10.5", "0"))
            .data;
    default:
        return arena_format(arena, "%s offset %s", selector(), PICK("1m", "5m", "-2m")).data;
    }
}

static const char *aggregation(unsigned depth)
{
    const char *modifier = PICK("", "by (job)", "by (instance, job)", "without (number)");
    const char *inner = depth == 0 ? per_series() : vector(depth - 1);
    if (choose(6) == 0)
        return arena_format(arena, "%s %s (%s, %s)", PICK("topk", "bottomk"), modifier,
                            PICK("1", "3"), inner)
            .data;
    if (choose(8) == 0)
        return arena_format(arena, "quantile %s (0.9, %s)", modifier, inner).data;
    return arena_format(arena, "%s %s (%s)",
                        PICK("sum", "count", "min", "max", "avg", "group", "stddev", "stdvar"),
                        modifier, inner)
        .data;
}

static const char *vector(unsigned depth)
{
    switch (choose(5)) {
    case 0:
        return per_series();
    case 1:
        if (depth > 0)
            return arena_format(arena, "(%s) %s on (job) group_left () (%s)", vector(depth - 1),
                                PICK("+", "/", "-"),
                                arena_format(arena, "sum by (job) (%s)", per_series()).data)
                .data;
        return per_series();
    default:
        return aggregation(depth);
    }
}

/* --- Comparing ------------------------------------------------------------------------------- */

enum way { BY_SERIES, BY_SUB_QUERIES };

struct asked {
    struct promql_execution *execution;
    const struct promql_result *result;
    struct error error;
    enum error_code code;
};

static struct asked ask(const char *query, bool is_range, struct series_source *source,
                        struct promql_distributor *distributor)
{
    struct promql_execution_options options = {
        .query = text_of(query),
        .tenant = TEXT("anonymous"),
        .start_ms = is_range ? 5 * 60 * 1000 : 20 * 60 * 1000,
        .end_ms = 20 * 60 * 1000,
        .step_ms = is_range ? 60 * 1000 : 0,
        .source = source,
        .distributor = distributor,
        .pool = pool,
        .clock = clock_system(),
    };
    struct asked asked = {0};
    error_clear(&asked.error);
    asked.code = promql_execution_create(&options, &asked.execution, &asked.error);
    if (asked.code == ERROR_NONE)
        asked.code = promql_execution_run(asked.execution, &asked.error);
    if (asked.code == ERROR_NONE)
        asked.result = promql_execution_result(asked.execution);
    return asked;
}

static int compare_series(const void *one, const void *other)
{
    return labels_compare((*(const struct promql_series *const *)one)->labels,
                          (*(const struct promql_series *const *)other)->labels);
}

static const struct promql_series **sorted(const struct promql_result *result)
{
    const struct promql_series **series = arena_array(arena, result->series_count, sizeof *series);
    for (size_t i = 0; i < result->series_count; i++)
        series[i] = &result->series[i];
    qsort(series, result->series_count, sizeof *series, compare_series);
    return series;
}

static bool values_agree(double one, double other, enum way way)
{
    if (way == BY_SERIES)
        return double_to_bits(one) == double_to_bits(other);
    if (isnan(one) || isnan(other))
        return isnan(one) && isnan(other);
    return one == other || fabs(one - other) <= 1e-11 * fmax(fabs(one), fabs(other)) ||
           fabs(one - other) < 1e-12;
}

static void expect_same_series(const char *query, const struct promql_series *one,
                               const struct promql_series *other, enum way way)
{
    if (!labels_equal(one->labels, other->labels) || one->point_count != other->point_count)
        fail_msg("%s: other series or points", query);
    for (size_t i = 0; i < one->point_count; i++) {
        bool is_histogram = one->histograms != NULL && one->histograms[i] != NULL;
        bool same = one->timestamps_ms[i] == other->timestamps_ms[i] &&
                    is_histogram == (other->histograms != NULL && other->histograms[i] != NULL);
        if (same && is_histogram)
            same = way == BY_SERIES
                       ? histogram_equal(one->histograms[i], other->histograms[i])
                       : values_agree(one->histograms[i]->sum, other->histograms[i]->sum, way);
        else if (same)
            same = values_agree(one->values[i], other->values[i], way);
        if (!same)
            fail_msg("%s: %g is not %g", query, one->values[i], other->values[i]);
    }
}

/* Whether there is something in the answer, which is the same. */
static bool expect_same(const char *query, bool is_range, uint64_t node_id, enum way way)
{
    struct fanout *fanout = node_of(node_id)->fanout;
    struct fanout_distributor distributor;
    struct promql_distributor *base =
        fanout_distributor_init(&distributor, fanout, FANOUT_READ_DEFAULT, NULL, NULL);
    struct asked one = ask(query, is_range, series_memory_source(everything), NULL);
    struct asked other = ask(query, is_range, fanout_source(fanout, FANOUT_READ_DEFAULT),
                             way == BY_SERIES ? NULL : base);
    if (one.code != other.code)
        fail_msg("%s: \"%s\" is not \"%s\"", query, one.error.message, other.error.message);
    if (one.code == ERROR_NONE) {
        if (one.result->series_count != other.result->series_count)
            fail_msg("%s: %zu series, not %zu", query, one.result->series_count,
                     other.result->series_count);
        assert_int_equal(one.result->annotation_count, other.result->annotation_count);
        const struct promql_series **ones = sorted(one.result), **others = sorted(other.result);
        for (size_t i = 0; i < one.result->series_count; i++)
            expect_same_series(query, ones[i], others[i], way);
    }
    bool has_series = one.code == ERROR_NONE && one.result->series_count > 0;
    promql_execution_destroy(one.execution);
    promql_execution_destroy(other.execution);
    return has_series;
}

static void compare_random_queries(enum way way)
{
    unsigned with_series = 0;
    for (unsigned i = 0; i < QUERIES; i++)
        with_series += expect_same(vector(2), i % 2 == 0, 1 + i % NODES, way);
    assert_true(with_series > QUERIES / 3);
}

static void series_of_all_nodes_make_the_same_answers(void **state)
{
    (void)state;
    compare_random_queries(BY_SERIES);
}

static void sub_queries_to_all_nodes_make_the_same_answers(void **state)
{
    struct fanout_statistics before, after;
    (void)state;
    fanout_statistics(node_of(1)->fanout, &before);
    compare_random_queries(BY_SUB_QUERIES);
    fanout_statistics(node_of(1)->fanout, &after);
    assert_true(after.asked > before.asked);
}

/* --- Sub-queries ----------------------------------------------------------------------------- */

static uint64_t received_bytes(const char *query, enum way way)
{
    struct fanout_statistics before, after;
    fanout_statistics(node_of(1)->fanout, &before);
    expect_same(query, true, 1, way);
    fanout_statistics(node_of(1)->fanout, &after);
    return after.received_bytes - before.received_bytes;
}

static void partial_aggregates_travel_in_place_of_series(void **state)
{
    (void)state;
    uint64_t series = received_bytes("sum(rate(requests_total[5m]))", BY_SERIES);
    uint64_t groups = received_bytes("sum(rate(requests_total[5m]))", BY_SUB_QUERIES);
    print_message("by series %llu bytes, by sub-queries %llu\n", (unsigned long long)series,
                  (unsigned long long)groups);
    assert_true(groups < series);
}

static void one_sub_query_goes_to_each_node(void **state)
{
    struct fanout_statistics before, after;
    (void)state;
    fanout_statistics(node_of(1)->fanout, &before);
    expect_same("sum by (job) (load)", true, 1, BY_SUB_QUERIES);
    fanout_statistics(node_of(1)->fanout, &after);
    assert_int_equal(after.asked - before.asked, NODES - 1);
}

/* What node 2 was asked for together is here and at node 3. */
static void a_group_falls_apart_when_a_node_lacks_a_shard(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++) {
        replica_of(id, 1)->is_ready = false;
        replica_of(id, 1)->is_readable = id == 3;
    }
    replica_of(1, 0)->is_ready = replica_of(1, 0)->is_readable = false;
    for (int i = 0; i < 5; i++)
        expect_same("sum by (job) (rate(requests_total[5m]))", true, 1, BY_SUB_QUERIES);
}

static void damage_is_evaluated_elsewhere(void **state)
{
    (void)state;
    replica_of(2, 4)->fails = true;
    replica_of(1, 0)->fails = true;
    expect_same("sum by (job) (load)", true, 1, BY_SUB_QUERIES);
    replica_of(2, 4)->fails = replica_of(1, 0)->fails = false;
}

/* Each node refuses the sub-query once; then they are asked for series. */
static void what_nodes_do_not_know_is_evaluated_here(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 2)->refusals = 1;
    assert_true(received_bytes("sum by (job) (load)", BY_SUB_QUERIES) > 1000);
    for (uint64_t id = 1; id <= NODES; id++)
        assert_int_equal(replica_of(id, 2)->refusals, 0);
}

static void a_silent_node_is_evaluated_elsewhere(void **state)
{
    (void)state;
    node_block(node_of(2));
    uint64_t began_ns = clock_monotonic_ns(clock_system());
    for (int i = 0; i < 10; i++)
        expect_same("sum by (job) (load)", true, 1, BY_SUB_QUERIES);
    assert_true(elapsed_ms_since(began_ns) < 4000);
    node_unblock(node_of(2));
}

static _Atomic int64_t charged_bytes;

static bool charge(struct arena_account *self, size_t size_bytes)
{
    (void)self;
    charged_bytes += (int64_t)size_bytes;
    return true;
}

static void release(struct arena_account *self, size_t size_bytes)
{
    (void)self;
    charged_bytes -= (int64_t)size_bytes;
}

static struct arena_account account = {.charge = charge, .release = release};

static void set_account(void *argument)
{
    fanout_set_memory(node_of(3)->fanout, argument);
}

static void *ask_in_thread(void *argument)
{
    struct fanout_distributor distributor;
    struct fanout *fanout = node_of(1)->fanout;
    struct promql_distributor *base =
        fanout_distributor_init(&distributor, fanout, FANOUT_READ_DEFAULT, NULL, NULL);
    struct asked asked =
        ask("rate(load[5m])", true, fanout_source(fanout, FANOUT_READ_DEFAULT), base);
    *(enum error_code *)argument = asked.code;
    promql_execution_destroy(asked.execution);
    return NULL;
}

/* Of node 3, which leads shard 2. */
static bool is_not_read(int reads_before)
{
    return replica_of(3, 2)->reads == reads_before;
}

static bool is_held(int unused)
{
    bool held = false;
    (void)unused;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        held |= replica_of(3, shard)->held > 0;
    return held;
}

static bool is_serving(int unused)
{
    struct fanout_statistics statistics;
    (void)unused;
    fanout_statistics(node_of(3)->fanout, &statistics);
    return statistics.serving > 0;
}

static void wait_while(bool (*is_so)(int argument), int argument)
{
    for (int waited_ms = 0; is_so(argument); waited_ms++) {
        assert_true(waited_ms < 10000);
        usleep(1000);
    }
}

/* Node 3 evaluates, and can't send: what waits is charged, and given back in the end. */
static void answers_that_wait_to_be_sent_are_paid_for(void **state)
{
    pthread_t thread;
    enum error_code code;
    (void)state;
    loop_call(node_of(3)->loop, set_account, &account);
    int reads_before = replica_of(3, 2)->reads;
    replica_of(3, 2)->is_stalled = true;
    assert_int_equal(pthread_create(&thread, NULL, ask_in_thread, &code), 0);
    wait_while(is_not_read, reads_before);
    node_block(node_of(3));
    replica_of(3, 2)->is_stalled = false;
    wait_while(is_held, 0);
    usleep(100 * 1000); /* what was allocated for the work is gone, the loop stands */
    int64_t waiting_bytes = charged_bytes;
    pthread_join(thread, NULL);
    node_unblock(node_of(3));
    assert_int_equal(code, ERROR_NONE);
    assert_true(waiting_bytes > 1000);
    wait_while(is_serving, 0);
    assert_int_equal(charged_bytes, 0);
    loop_call(node_of(3)->loop, set_account, NULL);
}

static void a_shard_that_is_missing_is_the_error_of_the_query(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= NODES; id++)
        replica_of(id, 5)->is_present = false;
    struct fanout_distributor distributor;
    struct fanout *fanout = node_of(1)->fanout;
    struct promql_distributor *base =
        fanout_distributor_init(&distributor, fanout, FANOUT_READ_DEFAULT, NULL, NULL);
    struct asked asked = ask("sum(load)", true, fanout_source(fanout, FANOUT_READ_DEFAULT), base);
    assert_int_equal(asked.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(asked.error.message, "shard 5"));
    promql_execution_destroy(asked.execution);
}

static void nothing_is_distributed_while_all_is_led_here(void **state)
{
    struct fanout_distributor distributor;
    (void)state;
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        replica_of(2, shard)->is_ready = true;
    assert_null(
        fanout_distributor_init(&distributor, node_of(2)->fanout, FANOUT_READ_DEFAULT, NULL, NULL));
    assert_non_null(
        fanout_distributor_init(&distributor, node_of(1)->fanout, FANOUT_READ_DEFAULT, NULL, NULL));
}

static void strong_sub_queries_are_confirmed(void **state)
{
    (void)state;
    struct fanout_distributor distributor;
    struct fanout *fanout = node_of(1)->fanout;
    struct promql_distributor *base =
        fanout_distributor_init(&distributor, fanout, FANOUT_READ_STRONG, NULL, NULL);
    int confirms = replica_of(2, 1)->confirms + replica_of(1, 0)->confirms;
    struct asked asked = ask("sum(load)", true, fanout_source(fanout, FANOUT_READ_STRONG), base);
    assert_int_equal(asked.code, ERROR_NONE);
    assert_int_equal(replica_of(2, 1)->confirms + replica_of(1, 0)->confirms, confirms + 2);
    promql_execution_destroy(asked.execution);
}

int main(void)
{
    alarm(250); /* a hang fails */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(series_of_all_nodes_make_the_same_answers, settle),
        cmocka_unit_test_setup(sub_queries_to_all_nodes_make_the_same_answers, settle),
        cmocka_unit_test_setup(partial_aggregates_travel_in_place_of_series, settle),
        cmocka_unit_test_setup(one_sub_query_goes_to_each_node, settle),
        cmocka_unit_test_setup(damage_is_evaluated_elsewhere, settle),
        cmocka_unit_test_setup(what_nodes_do_not_know_is_evaluated_here, settle),
        cmocka_unit_test_setup(nothing_is_distributed_while_all_is_led_here, settle),
        cmocka_unit_test_setup(strong_sub_queries_are_confirmed, settle),
        cmocka_unit_test_setup(a_group_falls_apart_when_a_node_lacks_a_shard, settle),
        cmocka_unit_test_setup(a_shard_that_is_missing_is_the_error_of_the_query, settle),
        cmocka_unit_test_setup(a_silent_node_is_evaluated_elsewhere, settle),
        cmocka_unit_test_setup(answers_that_wait_to_be_sent_are_paid_for, settle),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
