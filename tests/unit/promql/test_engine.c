#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "platform/worker_pool.h"
#include "promql/engine.h"
#include "series_memory.h"

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS };

/* --- Data ------------------------------------------------------------------------------------ */

struct fixture {
    struct series_memory *memory;
    struct arena *arena;
};

static struct labels labels_of(struct arena *arena, const char *name, int number)
{
    struct label array[] = {
        {LABEL_METRIC_NAME, text_of(name)},
        {TEXT("group"), arena_format(arena, "g%d", number % 7)},
        {TEXT("number"), arena_format(arena, "%d", number)},
    };
    return labels_build(arena, array, sizeof array / sizeof array[0]);
}

/* Counters of which some are reset now and then. */
static void counters_add(struct fixture *fixture, const char *name, int series_count,
                         int sample_count)
{
    for (int i = 0; i < series_count; i++) {
        struct labels labels = labels_of(fixture->arena, name, i);
        double value = i * 0.37;
        for (int j = 0; j < sample_count; j++) {
            value = (i * 7 + j) % 50 == 0 ? 0 : value + 1.1 * (i % 5) + 0.003 * j;
            series_memory_add(fixture->memory, labels,
                              (struct memory_sample){(int64_t)j * 15 * SECOND_MS, value, NULL, 0});
        }
    }
}

static void sample_add(struct fixture *fixture, const char *name, int number, int64_t timestamp_ms,
                       double value)
{
    series_memory_add(fixture->memory, labels_of(fixture->arena, name, number),
                      (struct memory_sample){timestamp_ms, value, NULL, 0});
}

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->memory = series_memory_create();
    fixture->arena = arena_create(0);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    series_memory_destroy(fixture->memory);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

/* --- Queries --------------------------------------------------------------------------------- */

static struct promql_execution_options instant(struct fixture *fixture, const char *query,
                                               int64_t time_ms)
{
    return (struct promql_execution_options){
        .query = text_of(query),
        .start_ms = time_ms,
        .end_ms = time_ms,
        .source = series_memory_source(fixture->memory),
        .clock = clock_system(),
    };
}

static struct promql_execution_options range(struct fixture *fixture, const char *query,
                                             int64_t end_ms, int64_t step_ms)
{
    struct promql_execution_options options = instant(fixture, query, 0);
    options.end_ms = end_ms;
    options.step_ms = step_ms;
    return options;
}

static struct promql_execution *run(const struct promql_execution_options *options)
{
    struct promql_execution *execution;
    struct error error = {0};
    assert_int_equal(promql_execution_create(options, &execution, &error), ERROR_NONE);
    if (promql_execution_run(execution, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    return execution;
}

static enum error_code run_code(const struct promql_execution_options *options, struct error *error)
{
    struct promql_execution *execution = NULL;
    enum error_code code = promql_execution_create(options, &execution, error);
    if (code == ERROR_NONE)
        code = promql_execution_run(execution, error);
    promql_execution_destroy(execution);
    return code;
}

static void assert_same_bits(const struct promql_result *left, const struct promql_result *right)
{
    assert_int_equal(left->series_count, right->series_count);
    for (size_t i = 0; i < left->series_count; i++) {
        const struct promql_series *first = &left->series[i];
        const struct promql_series *second = &right->series[i];
        assert_true(labels_equal(first->labels, second->labels));
        assert_int_equal(first->point_count, second->point_count);
        assert_memory_equal(first->values, second->values,
                            first->point_count * sizeof *first->values);
    }
}

/* --- Tests ----------------------------------------------------------------------------------- */

static const char *const QUERIES[] = {
    "sum(rate(requests_total[5m]))",
    "sum by (group) (rate(requests_total[5m]))",
    "avg without (number) (requests_total)",
    "stddev by (group) (requests_total)",
    "topk(3, rate(requests_total[2m]))",
    "quantile by (group) (0.9, requests_total)",
    "count_values(\"value\", round(requests_total))",
    "requests_total / on (number) group_left () sum by (number) (requests_total)",
    "requests_total and on (number) (requests_total > 100)",
    "max_over_time(sum by (group) (rate(requests_total[1m]))[10m:1m])",
};

static void results_have_the_same_bits_with_any_number_of_threads(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "requests_total", 300, 60);
    struct worker_pool *pool;
    struct error error;
    struct worker_pool_options pool_options = {.worker_count = 4};
    assert_int_equal(worker_pool_create(&pool_options, &pool, &error), ERROR_NONE);
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        struct promql_execution_options options =
            range(fixture, QUERIES[i], 15 * MINUTE_MS, 30 * SECOND_MS);
        struct promql_execution *alone = run(&options);
        options.pool = pool;
        struct promql_execution *shared = run(&options);
        assert_true(promql_execution_result(alone)->series_count > 0);
        assert_same_bits(promql_execution_result(alone), promql_execution_result(shared));
        promql_execution_destroy(alone);
        promql_execution_destroy(shared);
    }
    worker_pool_destroy(pool);
}

static void a_sum_over_parts_is_the_sum_of_all_series(void **state)
{
    struct fixture *fixture = *state;
    double expected = 0;
    for (int i = 0; i < 1000; i++) {
        sample_add(fixture, "value", i, 0, i % 2 == 0 ? 1e16 + i : -1e16);
        expected += i % 2 == 0 ? i : 0;
    }
    struct promql_execution_options options = instant(fixture, "sum(value)", 0);
    struct promql_execution *execution = run(&options);
    assert_true(promql_execution_result(execution)->series[0].values[0] == expected);
    promql_execution_destroy(execution);
}

static void an_average_whose_sum_overflows_is_still_right(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 100; i++)
        sample_add(fixture, "value", i, 0, i % 2 == 0 ? 1.7e308 : 1.5e308);
    struct promql_execution_options options = instant(fixture, "avg(value)", 0);
    struct promql_execution *execution = run(&options);
    double average = promql_execution_result(execution)->series[0].values[0];
    assert_true(fabs(average / 1.6e308 - 1) < 1e-12);
    promql_execution_destroy(execution);
}

static void ties_of_topk_are_broken_by_labels(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 9; i > 0; i--)
        sample_add(fixture, "value", i, 0, 1);
    struct promql_execution_options options = instant(fixture, "topk(2, value)", 0);
    struct promql_execution *execution = run(&options);
    const struct promql_result *result = promql_execution_result(execution);
    assert_int_equal(result->series_count, 2);
    struct labels first = labels_of(fixture->arena, "value", 7);  /* g0 */
    struct labels second = labels_of(fixture->arena, "value", 1); /* g1 */
    assert_true(labels_equal(result->series[0].labels, first));
    assert_true(labels_equal(result->series[1].labels, second));
    promql_execution_destroy(execution);
}

static void a_range_vector_is_answered_with_its_samples(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 5; i++)
        sample_add(fixture, "value", 1, (int64_t)i * MINUTE_MS, i);
    struct promql_execution_options options =
        instant(fixture, "value[2m]", 3 * MINUTE_MS + SECOND_MS);
    struct promql_execution *execution = run(&options);
    const struct promql_result *result = promql_execution_result(execution);
    assert_int_equal(result->type, VALUE_MATRIX);
    assert_int_equal(result->series[0].point_count, 2);
    assert_int_equal(result->series[0].timestamps_ms[0], 2 * MINUTE_MS);
    assert_true(result->series[0].values[1] == 3);
    promql_execution_destroy(execution);
}

/* Without experimental features names go at once, with them at the end of the query. */
static void dropped_names_that_collide_are_an_error_when_series_meet(void **state)
{
    struct fixture *fixture = *state;
    sample_add(fixture, "a", 1, 0, 1);
    sample_add(fixture, "b", 1, 0, 2);
    sample_add(fixture, "c", 1, 10 * MINUTE_MS, 3);
    for (int features = PROMQL_STABLE; features <= PROMQL_EXPERIMENTAL; features++) {
        struct promql_execution_options options = instant(fixture, "-{__name__=~'a|b'}", 0);
        options.features = (enum promql_features)features;
        struct error error;
        assert_int_equal(run_code(&options, &error), ERROR_INVALID);
        assert_string_equal(error.message, "vector cannot contain metrics with the same labelset");
        options = range(fixture, "-{__name__=~'a|c'}", 10 * MINUTE_MS, 10 * MINUTE_MS);
        options.features = (enum promql_features)features;
        struct promql_execution *execution = run(&options);
        assert_int_equal(promql_execution_result(execution)->series_count, 1);
        assert_int_equal(promql_execution_result(execution)->series[0].point_count, 2);
        promql_execution_destroy(execution);
    }
}

static void a_name_is_kept_by_label_replace_only_with_delayed_names(void **state)
{
    struct fixture *fixture = *state;
    sample_add(fixture, "a", 1, 0, 1);
    static const char QUERY[] = "sum by (old) (label_replace(-a, 'old', '$1', '__name__', '(.*)'))";
    struct promql_execution_options options = instant(fixture, QUERY, 0);
    struct promql_execution *execution = run(&options);
    assert_int_equal(promql_execution_result(execution)->series[0].labels.size, 0);
    promql_execution_destroy(execution);
    options.features = PROMQL_EXPERIMENTAL;
    execution = run(&options);
    struct text old = labels_get(promql_execution_result(execution)->series[0].labels, TEXT("old"));
    assert_true(text_equal(old, TEXT("a")));
    promql_execution_destroy(execution);
}

/* --- Ranges and instants --------------------------------------------------------------------- */

static const char *const STEP_QUERIES[] = {
    "sum_over_time(gauge[5m])",
    "avg_over_time(gauge[5m])",
    "min_over_time(gauge[5m])",
    "max_over_time(gauge[5m])",
    "ts_of_max_over_time(gauge[3m])",
    "ts_of_min_over_time(gauge[3m])",
    "count_over_time(gauge[1m])",
    "stdvar_over_time(gauge[2m])",
    "quantile_over_time(0.3, gauge[2m])",
    "first_over_time(gauge[2m])",
    "last_over_time(gauge[1m])",
    "changes(gauge[4m])",
    "resets(gauge[4m])",
    "rate(gauge[2m])",
    "increase(gauge[90s])",
    "delta(gauge[2m])",
    "irate(gauge[2m])",
    "deriv(gauge[2m])",
    "increase(gauge[2m] anchored)",
    "delta(gauge[2m] smoothed)",
    "gauge smoothed",
    "gauge offset 1m",
    "max_over_time(sum(gauge)[3m:20s])",
    "sum_over_time(gauge[2m] @ 300)",
    "topk(2, gauge)",
    "gauge > on (number) group_left () (gauge offset 2m)",
    "timestamp(gauge)",
};

/* Gaps, stale markers, NaN, infinities, falls: the same on each run. */
static void gauges_add(struct fixture *fixture)
{
    uint32_t random = 12345;
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 80; j++) {
            random = random * 1664525 + 1013904223;
            uint32_t dice = random >> 24;
            double value = (double)(random >> 8 & 0xff) - 60;
            if (dice < 40)
                continue;
            if (dice < 50)
                value = double_from_bits(STALE_MARKER_BITS);
            else if (dice < 56 && i == 1)
                value = NAN;
            else if (dice < 54 && i == 2)
                value = INFINITY;
            int64_t jitter_ms = i == 3 ? random % 900 : 0;
            sample_add(fixture, "gauge", i, (int64_t)j * 10 * SECOND_MS + jitter_ms, value);
        }
    }
}

static const struct promql_series *series_find(const struct promql_result *result,
                                               struct labels labels)
{
    for (size_t i = 0; i < result->series_count; i++)
        if (labels_equal(result->series[i].labels, labels))
            return &result->series[i];
    return NULL;
}

static bool nearly_equal(double left, double right)
{
    if (isnan(left) || isnan(right))
        return isnan(left) && isnan(right);
    return left == right || fabs(left - right) <= 1e-12 * fmax(fabs(left), fabs(right));
}

/* The points of `whole` at one time are those of the instant query there. */
static void assert_same_step(const char *query, const struct promql_result *whole,
                             const struct promql_result *step, int64_t time_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < whole->series_count; i++) {
        const struct promql_series *series = &whole->series[i];
        for (size_t j = 0; j < series->point_count; j++) {
            if (series->timestamps_ms[j] != time_ms)
                continue;
            const struct promql_series *other = series_find(step, series->labels);
            if (other == NULL || !nearly_equal(other->values[0], series->values[j]))
                fail_msg("%s at %lld: %.17g in the range, %.17g alone", query, (long long)time_ms,
                         series->values[j], other == NULL ? NAN : other->values[0]);
            count++;
        }
    }
    if (count != step->series_count)
        fail_msg("%s at %lld: %zu series in the range, %zu alone", query, (long long)time_ms, count,
                 step->series_count);
}

static void each_step_of_a_range_is_the_instant_query_there(void **state)
{
    struct fixture *fixture = *state;
    gauges_add(fixture);
    for (size_t i = 0; i < sizeof STEP_QUERIES / sizeof STEP_QUERIES[0]; i++) {
        struct promql_execution_options options =
            range(fixture, STEP_QUERIES[i], 14 * MINUTE_MS, 7 * SECOND_MS);
        options.features = PROMQL_EXPERIMENTAL;
        struct promql_execution *whole = run(&options);
        assert_true(promql_execution_result(whole)->series_count > 0);
        for (int64_t time_ms = 0; time_ms <= 14 * MINUTE_MS; time_ms += 7 * SECOND_MS) {
            options = instant(fixture, STEP_QUERIES[i], time_ms);
            options.features = PROMQL_EXPERIMENTAL;
            struct promql_execution *step = run(&options);
            assert_same_step(STEP_QUERIES[i], promql_execution_result(whole),
                             promql_execution_result(step), time_ms);
            promql_execution_destroy(step);
        }
        promql_execution_destroy(whole);
    }
}

/* --- Limits ---------------------------------------------------------------------------------- */

/* Each allocation of a query fails once as the budget grows; nothing leaks, no other error. */
static void every_budget_is_enough_or_a_clear_limit(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "requests_total", 40, 20);
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        bool was_enough = false;
        for (uint64_t limit = 20000; limit < 4000000; limit += limit / 16) {
            struct promql_execution_options options =
                range(fixture, QUERIES[i], 5 * MINUTE_MS, MINUTE_MS);
            options.memory_max_bytes = limit;
            struct error error;
            enum error_code code = run_code(&options, &error);
            assert_true(code == ERROR_NONE || code == ERROR_LIMIT || code == ERROR_OUT_OF_MEMORY);
            was_enough |= code == ERROR_NONE;
        }
        assert_true(was_enough);
    }
}

struct counted_account {
    struct arena_account account;
    int64_t used_bytes;
    int64_t used_bytes_max;
};

static bool account_charge(struct arena_account *self, size_t size_bytes)
{
    struct counted_account *account = (struct counted_account *)self;
    account->used_bytes += (int64_t)size_bytes;
    if (account->used_bytes > account->used_bytes_max)
        account->used_bytes_max = account->used_bytes;
    return true;
}

static void account_release(struct arena_account *self, size_t size_bytes)
{
    ((struct counted_account *)self)->used_bytes -= (int64_t)size_bytes;
}

static void all_memory_is_charged_and_given_back(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "requests_total", 40, 20);
    struct counted_account account = {{account_charge, account_release}, 0, 0};
    struct promql_execution_options options = range(fixture, QUERIES[1], 5 * MINUTE_MS, MINUTE_MS);
    options.memory = &account.account;
    struct promql_execution *execution = run(&options);
    const struct promql_statistics *statistics = &promql_execution_result(execution)->statistics;
    assert_int_equal(statistics->memory_bytes_max, account.used_bytes_max);
    assert_int_equal(statistics->series_selected, 40);
    assert_int_equal(statistics->samples_read, 40 * 20);
    promql_execution_destroy(execution);
    assert_int_equal(account.used_bytes, 0);
}

/* What an aggregation holds depends on its groups, not on how many series it reads. */
static void memory_of_a_sum_does_not_grow_with_the_series(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "few_total", 100, 10);
    counters_add(fixture, "many_total", 2000, 10);
    uint64_t memory[2];
    static const char *const SUMS[] = {"sum(rate(few_total[1m]))", "sum(rate(many_total[1m]))"};
    for (int i = 0; i < 2; i++) {
        struct promql_execution_options options = range(fixture, SUMS[i], 2 * MINUTE_MS, SECOND_MS);
        struct promql_execution *execution = run(&options);
        memory[i] = promql_execution_result(execution)->statistics.memory_bytes_max;
        promql_execution_destroy(execution);
    }
    assert_true(memory[1] < memory[0] + memory[0] / 2);
}

static void too_many_samples_end_the_query(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "requests_total", 40, 20);
    struct promql_execution_options options =
        range(fixture, "requests_total", 5 * MINUTE_MS, MINUTE_MS);
    options.samples_max = 100;
    struct error error;
    assert_int_equal(run_code(&options, &error), ERROR_LIMIT);
    assert_string_equal(error.message, "query processing would load too many samples into memory "
                                       "in query execution");
}

static void a_canceled_query_ends(void **state)
{
    struct fixture *fixture = *state;
    atomic_bool canceled = true;
    struct promql_execution_options options = instant(fixture, "sum(up)", 0);
    options.canceled = &canceled;
    struct error error;
    assert_int_equal(run_code(&options, &error), ERROR_CANCELED);
}

static void a_query_past_its_deadline_ends(void **state)
{
    struct fixture *fixture = *state;
    struct promql_execution_options options = instant(fixture, "sum(up)", 0);
    options.deadline_ns = 1;
    struct error error;
    assert_int_equal(run_code(&options, &error), ERROR_TIMEOUT);
}

static void labels_that_cannot_be_read_fail_the_query(void **state)
{
    struct fixture *fixture = *state;
    counters_add(fixture, "requests_total", 50, 20);
    series_memory_spoil_labels(fixture->memory);
    static const char *const READING[] = {
        "requests_total",
        "sum by (group) (rate(requests_total[5m]))",
        "rate({number=~\".+\"}[5m])",
        "sum(rate({number=~\".+\"}[5m]))",
        "topk(3, requests_total)",
        "requests_total + on (number) requests_total",
        "requests_total or vector(1)",
        "requests_total unless requests_total",
        "sort(requests_total)",
        "label_replace(requests_total, \"a\", \"b\", \"number\", \".*\")",
        "max_over_time(requests_total[5m:1m])",
        "requests_total[5m]",
    };
    for (size_t i = 0; i < sizeof READING / sizeof READING[0]; i++) {
        struct promql_execution_options options = instant(fixture, READING[i], 5 * MINUTE_MS);
        struct error error = {0};
        if (run_code(&options, &error) != ERROR_CORRUPT)
            fail_msg("%s: %s", READING[i], error.message);
    }
    struct promql_execution_options options =
        instant(fixture, "sum(rate(requests_total[5m]))", 5 * MINUTE_MS);
    struct error error = {0};
    assert_int_equal(run_code(&options, &error), ERROR_NONE); /* reads none */
}

static void many_series_are_sorted_by_all_threads(void **state)
{
    enum { MANY_SERIES = 20000 };
    struct fixture *fixture = *state;
    struct worker_pool *pool = NULL;
    struct worker_pool_options pool_options = {.worker_count = 3};
    struct error error;
    for (int i = 0; i < MANY_SERIES; i++)
        sample_add(fixture, "gauge", (int)((unsigned)i * 7919u % MANY_SERIES), 0, i % 100);
    assert_int_equal(worker_pool_create(&pool_options, &pool, &error), ERROR_NONE);
    struct promql_execution_options options = instant(fixture, "sort(gauge)", 0);
    options.pool = pool;
    struct promql_execution *sorted = run(&options);
    const struct promql_result *result = promql_execution_result(sorted);
    assert_int_equal(result->series_count, MANY_SERIES);
    for (size_t i = 1; i < MANY_SERIES; i++) {
        const struct promql_series *before = &result->series[i - 1], *after = before + 1;
        assert_true(before->values[0] < after->values[0] ||
                    (before->values[0] == after->values[0] &&
                     labels_compare(before->labels, after->labels) < 0));
    }
    promql_execution_destroy(sorted);
    options = range(fixture, "gauge", MINUTE_MS, MINUTE_MS);
    options.pool = pool;
    sorted = run(&options);
    result = promql_execution_result(sorted);
    assert_int_equal(result->series_count, MANY_SERIES);
    for (size_t i = 1; i < MANY_SERIES; i++)
        assert_true(labels_compare(result->series[i - 1].labels, result->series[i].labels) < 0);
    promql_execution_destroy(sorted);
    worker_pool_destroy(pool);
}

static void a_range_query_of_a_range_vector_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct promql_execution_options options = range(fixture, "up[5m]", MINUTE_MS, MINUTE_MS);
    struct error error;
    assert_int_equal(run_code(&options, &error), ERROR_INVALID);
    assert_string_equal(error.message, "invalid expression type \"range vector\" for range query, "
                                       "must be Scalar or instant Vector");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_have_the_same_bits_with_any_number_of_threads,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_sum_over_parts_is_the_sum_of_all_series, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(an_average_whose_sum_overflows_is_still_right, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(ties_of_topk_are_broken_by_labels, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(a_range_vector_is_answered_with_its_samples, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(dropped_names_that_collide_are_an_error_when_series_meet,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_name_is_kept_by_label_replace_only_with_delayed_names,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(each_step_of_a_range_is_the_instant_query_there,
                                        fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(every_budget_is_enough_or_a_clear_limit, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(all_memory_is_charged_and_given_back, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(memory_of_a_sum_does_not_grow_with_the_series, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(too_many_samples_end_the_query, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(a_canceled_query_ends, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_query_past_its_deadline_ends, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(labels_that_cannot_be_read_fail_the_query, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(many_series_are_sorted_by_all_threads, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(a_range_query_of_a_range_vector_is_refused, fixture_open,
                                        fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
