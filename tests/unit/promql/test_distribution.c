#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "distribute_plan.h"
#include "platform/no_wait.h"
#include "promql/engine.h"
#include "split_places.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, PLACES = 3 };

/* --- Data ------------------------------------------------------------------------------------ */

struct fixture {
    struct series_memory *memory;
    struct split_places *places;
    struct promql_execution *execution;
    struct error error;
};

static void series_add(struct series_memory *memory, const char *name, int number)
{
    struct arena *arena = arena_create(0);
    struct label array[] = {
        {LABEL_METRIC_NAME, text_of(name)},
        {TEXT("job"), arena_format(arena, "j%d", number % 3)},
        {TEXT("z"), arena_format(arena, "%d", number)},
    };
    struct labels labels = labels_build(arena, array, 3);
    for (int i = 0; i < 40; i++)
        series_memory_add(
            memory, labels,
            (struct memory_sample){(int64_t)i * 15 * SECOND_MS, i * 1.1 + number, NULL, 0});
    arena_destroy(arena);
}

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->memory = series_memory_create();
    for (int i = 0; i < 20; i++) {
        series_add(fixture->memory, "a", i);
        series_add(fixture->memory, "b_total", i);
    }
    fixture->places = split_places_create(fixture->memory, PLACES, NULL);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    promql_execution_destroy(fixture->execution);
    split_places_destroy(fixture->places);
    series_memory_destroy(fixture->memory);
    free(fixture);
    return 0;
}

static struct promql_execution_options range(struct fixture *fixture, const char *query)
{
    return (struct promql_execution_options){
        .query = text_of(query),
        .start_ms = 3 * MINUTE_MS,
        .end_ms = 9 * MINUTE_MS,
        .step_ms = 30 * SECOND_MS,
        .source = series_memory_source(fixture->memory),
        .distributor = split_places_distributor(fixture->places),
        .clock = clock_system(),
    };
}

static enum error_code run(struct fixture *fixture, const struct promql_execution_options *options)
{
    promql_execution_destroy(fixture->execution);
    fixture->execution = NULL;
    enum error_code code = promql_execution_create(options, &fixture->execution, &fixture->error);
    return code == ERROR_NONE ? promql_execution_run(fixture->execution, &fixture->error) : code;
}

static const struct promql_result *ask(struct fixture *fixture, const char *query)
{
    struct promql_execution_options options = range(fixture, query);
    if (run(fixture, &options) != ERROR_NONE)
        fail_msg("%s: %s", query, fixture->error.message);
    return promql_execution_result(fixture->execution);
}

/* --- Planning -------------------------------------------------------------------------------- */

struct plan_case {
    const char *query;
    enum promql_features features;
    enum distribution_kind kind;
    bool needs_plain_names;
};

static const struct plan_case PLAN_CASES[] = {
    {"a", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"(a)", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"rate(a[5m])", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"rate({job=\"x\"}[5m])", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    /* What loses its name may collide as long as nothing more is done to it. */
    {"abs(rate(a[5m]))", PROMQL_STABLE, DISTRIBUTE_SERIES, true},
    {"abs(rate({job=\"x\"}[5m]))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"abs(rate({job=\"x\"}[5m]))", PROMQL_EXPERIMENTAL, DISTRIBUTE_SERIES, false},
    {"sum(rate(a[5m]))", PROMQL_STABLE, DISTRIBUTE_GROUPS, true},
    {"sum(rate({job=\"x\"}[5m]))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"sum by (job) (rate(a[5m]))", PROMQL_EXPERIMENTAL, DISTRIBUTE_GROUPS, false},
    {"sum(a)", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"sum({job=\"x\"} > 3)", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"sum({job=\"x\"} > bool 3)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"sum(last_over_time({job=\"x\"}[5m]))", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"label_replace(a, \"x\", \"$1\", \"job\", \"(.*)\")", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"sum(label_replace(a, \"x\", \"$1\", \"job\", \"(.*)\"))", PROMQL_EXPERIMENTAL, DISTRIBUTE_NOT,
     false},
    {"avg(a)", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"stddev(a)", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"count_values(\"v\", a)", PROMQL_STABLE, DISTRIBUTE_GROUPS, false},
    {"quantile(0.5, a)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"topk(3, a)", PROMQL_STABLE, DISTRIBUTE_SELECTED, false},
    {"topk(scalar(b), a)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"topk(time() % 3, a)", PROMQL_STABLE, DISTRIBUTE_SELECTED, false},
    {"limit_ratio(0.5, a)", PROMQL_EXPERIMENTAL, DISTRIBUTE_SERIES, false},
    {"sum(limit_ratio(0.5, a))", PROMQL_EXPERIMENTAL, DISTRIBUTE_GROUPS, false},
    {"sum(sum by (job) (a))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"absent(a)", PROMQL_STABLE, DISTRIBUTE_ABSENT, false},
    {"absent_over_time(a[5m])", PROMQL_STABLE, DISTRIBUTE_ABSENT, false},
    {"absent(sum(a))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"a + 1", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"2 ^ a", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"a * scalar(b)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"a + b", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"a and b", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"vector(1)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"sum(vector(1))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"sort(a)", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"histogram_quantile(0.9, rate(a[5m]))", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"histogram_count(a)", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"clamp_max(a, 3)", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"max_over_time(rate(a[5m])[1h:1m])", PROMQL_STABLE, DISTRIBUTE_SERIES, true},
    {"max_over_time(sum(a)[1h:1m])", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"info(a)", PROMQL_EXPERIMENTAL, DISTRIBUTE_NOT, false},
    {"timestamp(a @ 100 offset 5m)", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"minute()", PROMQL_STABLE, DISTRIBUTE_NOT, false},
    {"-a", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
    {"+a", PROMQL_STABLE, DISTRIBUTE_SERIES, false},
};

static void what_distributes_is_known_from_the_tree(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof PLAN_CASES / sizeof PLAN_CASES[0]; i++) {
        const struct plan_case *expected = &PLAN_CASES[i];
        struct arena *arena = arena_create(0);
        struct promql_query query = {0};
        struct promql_options options = {.features = expected->features};
        struct error error;
        assert_int_equal(promql_parse(text_of(expected->query), &options, arena, &query, &error),
                         ERROR_NONE);
        struct distribution_plan plan = distribution_plan_of(query.root, expected->features);
        if (plan.kind != expected->kind || plan.needs_plain_names != expected->needs_plain_names)
            fail_msg("%s: %d, %d", expected->query, plan.kind, plan.needs_plain_names);
        promql_query_clear(&query);
        arena_destroy(arena);
    }
}

static void all_that_a_query_has_is_begun_before_the_first_answer_is_read(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, "sum(rate(a[2m])) / sum(rate(b_total[2m])) + scalar(max(a)) > min(a @ end())");
    assert_int_equal(split_places_request_count(fixture->places), 4);
    assert_int_equal(split_places_under_way_max(fixture->places), 4);
    assert_int_equal(split_places_under_way(fixture->places), 0);
}

static void what_is_in_a_sub_query_is_asked_for_at_its_steps(void **state)
{
    struct fixture *fixture = *state;
    const struct promql_result *result = ask(fixture, "max_over_time(sum(a)[2m:30s])");
    assert_int_equal(result->series_count, 1);
    assert_int_equal(split_places_request_count(fixture->places), 1);
    assert_true(text_equal(split_places_latest(fixture->places), TEXT("sum(a)")));
}

static void samples_are_counted_for_the_steps_that_look_at_them(void **state)
{
    struct fixture *fixture = *state;
    static const char *const QUERIES[] = {
        "max_over_time(sum(a)[2m:30s] offset 30s)",
        "sum(rate(a[2m])) + max_over_time(count(b_total)[1m:15s] @ end())",
        "max(a @ 300) + min_over_time(max(a @ start())[1m:])",
    };
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        struct promql_step_count counts[2][13];
        for (size_t spread = 0; spread < 2; spread++) {
            struct promql_execution_options options = range(fixture, QUERIES[i]);
            options.counts_steps = true;
            options.distributor = spread ? options.distributor : NULL;
            assert_int_equal(run(fixture, &options), ERROR_NONE);
            const struct promql_statistics *statistics =
                &promql_execution_result(fixture->execution)->statistics;
            assert_int_equal(statistics->step_count, 13);
            memcpy(counts[spread], statistics->step_counts, sizeof counts[spread]);
        }
        assert_memory_equal(counts[0], counts[1], sizeof counts[0]);
    }
}

static void an_answer_has_the_same_bits_in_whichever_order_places_answer(void **state)
{
    struct fixture *fixture = *state;
    static const char *const QUERIES[] = {"sum by (job) (rate(a[2m]) * 0.1)", "stddev(a ^ 0.3)",
                                          "avg without (z) (b_total ^ 0.7)"};
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        double values[2][13];
        for (size_t in_order = 0; in_order < 2; in_order++) {
            split_places_set_faults(fixture->places,
                                    (struct split_faults){.reads_in_order = in_order == 1});
            const struct promql_result *result = ask(fixture, QUERIES[i]);
            assert_int_equal(result->series[0].point_count, 13);
            memcpy(values[in_order], result->series[0].values, sizeof values[in_order]);
        }
        assert_memory_equal(values[0], values[1], sizeof values[0]);
    }
}

/* --- Places that do not answer as they should ----------------------------------------------------
 */

static void a_place_that_cannot_be_reached_fails_the_query(void **state)
{
    struct fixture *fixture = *state;
    split_places_set_faults(fixture->places, (struct split_faults){.refused_place = 2});
    struct promql_execution_options options = range(fixture, "sum(a)");
    assert_int_equal(run(fixture, &options), ERROR_UNAVAILABLE);
    assert_string_equal(fixture->error.message, "place 2 can't be reached");
    assert_int_equal(split_places_under_way(fixture->places), 0);
}

static void a_place_that_is_left_out_is_a_warning(void **state)
{
    struct fixture *fixture = *state;
    uint64_t count = ask(fixture, "count(a)")->series[0].values[0];
    assert_int_equal(count, 20);
    split_places_set_faults(fixture->places, (struct split_faults){.left_out_place = 2});
    const struct promql_result *result = ask(fixture, "count(a)");
    assert_true(result->series[0].values[0] > 0 && result->series[0].values[0] < 20);
    assert_int_equal(result->annotation_count, 1);
    assert_true(
        text_equal(result->annotations[0].message, TEXT("PromQL warning: a place is not there")));
    assert_int_equal(ask(fixture, "absent(a)")->series_count, 0);
    assert_int_equal(ask(fixture, "absent(nothing)")->series_count, 1);
}

static void an_answer_cut_anywhere_fails_the_query(void **state)
{
    struct fixture *fixture = *state;
    static const char *const QUERIES[] = {"sum by (job) (rate(a[2m]))", "topk(1, a)", "absent(a)"};
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        uint64_t before = split_places_answer_bytes(fixture->places);
        ask(fixture, QUERIES[i]);
        /* One of the answers is at least so long. */
        uint64_t size = (split_places_answer_bytes(fixture->places) - before) / PLACES;
        struct promql_execution_options options = range(fixture, QUERIES[i]);
        for (size_t cut = 1; cut < size; cut++) {
            split_places_set_faults(fixture->places, (struct split_faults){.cut_after_bytes = cut});
            assert_int_equal(run(fixture, &options), ERROR_UNAVAILABLE);
        }
        split_places_set_faults(fixture->places, (struct split_faults){0});
    }
}

static void what_a_distributor_declines_is_read_from_the_source(void **state)
{
    struct fixture *fixture = *state;
    split_places_set_faults(fixture->places, (struct split_faults){.declines = true});
    assert_int_equal(
        (int)ask(fixture, "sum(count by (job) (a)) + count(b_total)")->series[0].values[0], 40);
    assert_int_equal(split_places_request_count(fixture->places), 0);
}

static void what_goes_wrong_in_a_place_is_the_error_of_the_query(void **state)
{
    struct fixture *fixture = *state;
    split_places_set_faults(fixture->places, (struct split_faults){.samples_max = 10});
    struct promql_execution_options options = range(fixture, "sum(rate(a[5m]))");
    assert_int_equal(run(fixture, &options), ERROR_LIMIT);
    assert_non_null(strstr(fixture->error.message, "too many samples"));
    split_places_set_faults(fixture->places, (struct split_faults){.memory_bytes = 10000});
    assert_int_equal(run(fixture, &options), ERROR_LIMIT);
}

/* --- Limits of the query -------------------------------------------------------------------------
 */

static void a_query_pays_for_the_points_that_come_from_places(void **state)
{
    struct fixture *fixture = *state;
    struct promql_execution_options options = range(fixture, "-a");
    options.samples_max = 50;
    assert_int_equal(run(fixture, &options), ERROR_LIMIT);
    options.samples_max = 0;
    options.memory_max_bytes = 120000;
    assert_int_equal(run(fixture, &options), ERROR_LIMIT);
    assert_int_equal(split_places_under_way(fixture->places), 0);
    assert_int_equal(
        atomic_load(&promql_execution_memory(fixture->execution)->used_bytes) <= 120000, 1);
}

static void a_canceled_query_reads_no_more_answers(void **state)
{
    struct fixture *fixture = *state;
    atomic_bool canceled = true;
    struct promql_execution_options options = range(fixture, "sum(a)");
    options.canceled = &canceled;
    assert_int_equal(run(fixture, &options), ERROR_CANCELED);
    assert_int_equal(split_places_under_way(fixture->places), 0);
}

static void a_query_on_a_loop_asks_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct promql_execution_options options = range(fixture, "sum(a)");
    no_wait_begin(UINT64_MAX);
    enum error_code code = run(fixture, &options);
    no_wait_end();
    assert_int_equal(code, ERROR_WOULD_WAIT);
    assert_int_equal(split_places_request_count(fixture->places), 0);
}

/* --- Annotations ---------------------------------------------------------------------------------
 */

static void annotations_name_places_in_the_whole_query(void **state)
{
    struct fixture *fixture = *state;
    static const char QUERY[] = "sum(b_total)\n  + # why\n max(\n  rate(a[2m]))";
    const struct promql_result *result = ask(fixture, QUERY);
    assert_int_equal(result->annotation_count, 1);
    assert_non_null(memmem(result->annotations[0].message.data, result->annotations[0].message.size,
                           "\"a\" (4:8)", 9));
}

/* --- How much travels ----------------------------------------------------------------------------
 */

static void sums_travel_as_less_than_a_hundredth_of_their_series(void **state)
{
    struct fixture *fixture = *state;
    struct series_memory *memory = series_memory_create();
    for (int i = 0; i < 5000; i++)
        series_add(memory, "a", i);
    struct split_places *places = split_places_create(memory, PLACES, NULL);
    struct promql_execution_options options = range(fixture, "rate(a[2m])");
    options.distributor = split_places_distributor(places);
    assert_int_equal(run(fixture, &options), ERROR_NONE);
    uint64_t series_bytes = split_places_answer_bytes(places);
    options.query = TEXT("sum by (job) (rate(a[2m]))");
    assert_int_equal(run(fixture, &options), ERROR_NONE);
    uint64_t sum_bytes = split_places_answer_bytes(places) - series_bytes;
    assert_true(sum_bytes * 100 < series_bytes);
    split_places_destroy(places);
    series_memory_destroy(memory);
}

/* --- Requests ------------------------------------------------------------------------------------
 */

static struct promql_partial_request request_make(void)
{
    return (struct promql_partial_request){
        .mode = PROMQL_PARTIAL_GROUPS,
        .packing = PROMQL_PARTIAL_SHORT,
        .tenant = TEXT("t"),
        .expression = TEXT("sum(a)"),
        .line = 2,
        .column = 3,
        .features = PROMQL_EXPERIMENTAL,
        .query_start_ms = -1,
        .query_end_ms = 60000,
        .query_step_ms = 1000,
        .start_ms = -2000,
        .step_ms = 500,
        .step_count = 61,
        .lookback_ms = 300000,
        .subquery_step_default_ms = 60000,
        .samples_max = 1000,
        .timeout_ms = 120000,
        .counts_steps = true,
        .sample_weight = 1,
        .sample_shift_ms = INT64_MIN,
    };
}

/* docs/protocols/sub-query.md; version 1 has these bytes for ever. */
static const uint8_t REQUEST_BYTES[] = {
    1,    2,    7,    1,    't',  6,    's',  'u',  'm',  '(',  'a',  ')',  2,    3,    1,    0xc0,
    0xa9, 0x07, 0xd0, 0x0f, 0x9f, 0x1f, 0xe8, 0x07, 61,   0xc0, 0xcf, 0x24, 0xc0, 0xa9, 0x07, 0xe8,
    0x07, 0xc0, 0xa9, 0x07, 1,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
};

static void a_request_has_the_bytes_of_its_version(void **state)
{
    (void)state;
    struct promql_partial_request request = request_make();
    struct byte_buffer buffer = {0};
    promql_partial_request_encode(&request, &buffer);
    assert_int_equal(buffer.size, sizeof REQUEST_BYTES);
    assert_memory_equal(buffer.bytes, REQUEST_BYTES, sizeof REQUEST_BYTES);
    struct promql_partial_request decoded;
    struct error error;
    assert_int_equal(
        promql_partial_request_decode(REQUEST_BYTES, sizeof REQUEST_BYTES, &decoded, &error),
        ERROR_NONE);
    assert_int_equal(decoded.mode, request.mode);
    assert_true(text_equal(decoded.expression, request.expression));
    assert_int_equal(decoded.query_start_ms, request.query_start_ms);
    assert_int_equal(decoded.query_end_ms, request.query_end_ms);
    assert_int_equal(decoded.start_ms, request.start_ms);
    assert_int_equal(decoded.step_count, request.step_count);
    assert_int_equal(decoded.sample_shift_ms, request.sample_shift_ms);
    assert_int_equal(decoded.features, request.features);
    assert_true(decoded.counts_steps);
    byte_buffer_clear(&buffer);
}

static enum error_code decode(const struct byte_buffer *buffer)
{
    struct promql_partial_request decoded;
    struct error error;
    return promql_partial_request_decode(buffer->bytes, buffer->size, &decoded, &error);
}

static void a_request_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof REQUEST_BYTES; size++) {
        struct promql_partial_request decoded;
        struct error error;
        assert_int_equal(promql_partial_request_decode(REQUEST_BYTES, size, &decoded, &error),
                         ERROR_CORRUPT);
    }
}

static void expect_refusal(struct promql_partial_request request, enum error_code expected)
{
    struct byte_buffer buffer = {0};
    promql_partial_request_encode(&request, &buffer);
    assert_int_equal(decode(&buffer), expected);
    byte_buffer_clear(&buffer);
}

static void a_request_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct promql_partial_request request = request_make();
    request.step_count = 0;
    expect_refusal(request, ERROR_LIMIT);
    request.step_count = (uint64_t)PROMQL_STEPS_MAX + 1;
    expect_refusal(request, ERROR_LIMIT);
    request = request_make();
    request.step_ms = 0;
    expect_refusal(request, ERROR_CORRUPT);
    request.step_ms = INT64_MAX;
    expect_refusal(request, ERROR_CORRUPT);
    request = request_make();
    request.query_end_ms = -2;
    expect_refusal(request, ERROR_CORRUPT);
    request = request_make();
    request.line = 0;
    expect_refusal(request, ERROR_CORRUPT);
    request = request_make();
    request.lookback_ms = 0;
    expect_refusal(request, ERROR_CORRUPT);
    /* Samples would be counted for steps that the query does not have. */
    request = request_make();
    request.step_count = 62;
    expect_refusal(request, ERROR_CORRUPT);
    request = request_make();
    request.sample_weight = 2;
    expect_refusal(request, ERROR_CORRUPT);
    request = request_make();
    request.sample_shift_ms = INT64_MAX;
    expect_refusal(request, ERROR_CORRUPT);
}

static void an_unknown_version_or_mode_is_told_apart(void **state)
{
    (void)state;
    for (size_t offset = 0; offset < 3; offset++) {
        struct byte_buffer buffer = {0};
        byte_buffer_append(&buffer, REQUEST_BYTES, sizeof REQUEST_BYTES);
        buffer.bytes[offset] = 77;
        assert_int_equal(decode(&buffer), ERROR_UNSUPPORTED);
        byte_buffer_clear(&buffer);
    }
}

int main(void)
{
#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_distributes_is_known_from_the_tree),
        WITH_FIXTURE(all_that_a_query_has_is_begun_before_the_first_answer_is_read),
        WITH_FIXTURE(what_is_in_a_sub_query_is_asked_for_at_its_steps),
        WITH_FIXTURE(samples_are_counted_for_the_steps_that_look_at_them),
        WITH_FIXTURE(an_answer_has_the_same_bits_in_whichever_order_places_answer),
        WITH_FIXTURE(a_place_that_cannot_be_reached_fails_the_query),
        WITH_FIXTURE(a_place_that_is_left_out_is_a_warning),
        WITH_FIXTURE(an_answer_cut_anywhere_fails_the_query),
        WITH_FIXTURE(what_a_distributor_declines_is_read_from_the_source),
        WITH_FIXTURE(what_goes_wrong_in_a_place_is_the_error_of_the_query),
        WITH_FIXTURE(a_query_pays_for_the_points_that_come_from_places),
        WITH_FIXTURE(a_canceled_query_reads_no_more_answers),
        WITH_FIXTURE(a_query_on_a_loop_asks_nobody),
        WITH_FIXTURE(annotations_name_places_in_the_whole_query),
        WITH_FIXTURE(sums_travel_as_less_than_a_hundredth_of_their_series),
        cmocka_unit_test(a_request_has_the_bytes_of_its_version),
        cmocka_unit_test(a_request_cut_anywhere_is_refused),
        cmocka_unit_test(a_request_that_makes_no_sense_is_refused),
        cmocka_unit_test(an_unknown_version_or_mode_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
