#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "platform/worker_pool.h"
#include "promql/engine.h"
#include "split_places.h"

/*
 * Random expressions give the same over series in one place and over the same series spread over
 * several: values, labels, annotations, errors, counts of samples. The numbers are a fixed
 * sequence; what fails prints its query.
 *
 * DISTRIBUTION_ROUNDS in the environment: so many expressions instead of the usual number.
 */

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, SAMPLES = 60, ROUNDS = 10000 };

/* --- Chance ---------------------------------------------------------------------------------- */

struct chance {
    uint64_t state;
};

static uint64_t chance_next(struct chance *chance)
{
    uint64_t value = chance->state += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

static size_t chance_below(struct chance *chance, size_t bound)
{
    return (size_t)(chance_next(chance) % bound);
}

#define PICK(chance, list) (list)[chance_below(chance, sizeof(list) / sizeof((list)[0]))]

/* --- Series ---------------------------------------------------------------------------------- */

static struct labels labels_make(struct arena *arena, const char *name, int number, const char *le)
{
    struct label array[5] = {
        {LABEL_METRIC_NAME, text_of(name)},
        {TEXT("instance"), arena_format(arena, "i%d", number % 4)},
        {TEXT("job"), arena_format(arena, "j%d", number / 4 % 3)},
        {TEXT("z"), arena_format(arena, "%d", number)},
    };
    size_t count = 4;
    if (le != NULL)
        array[count++] = (struct label){TEXT("le"), text_of(le)};
    return labels_build(arena, array, count);
}

static void histogram_add(struct series_memory *memory, struct labels labels, int number,
                          int sample, bool is_custom)
{
    struct histogram_span span = {is_custom ? 0 : number % 3 - 1, 2};
    union histogram_number buckets[2] = {{.real = sample + number}, {.real = 1}};
    static const double BOUNDS[2][3] = {{1, 5, 10}, {1, 10, 20}};
    struct histogram histogram = {
        .kind = HISTOGRAM_FLOAT,
        .schema = is_custom ? HISTOGRAM_SCHEMA_CUSTOM : number % 2,
        .reset = (enum histogram_reset)(sample % 7 == 0 ? number % 4 : 0),
        .count.real = sample + number + 1,
        .sum = sample * number,
        .positive_span_count = 1,
        .positive_bucket_count = 2,
        .positive_spans = &span,
        .positive_buckets = buckets,
    };
    if (is_custom) {
        histogram.custom_bound_count = 3;
        histogram.custom_bounds = BOUNDS[number % 2];
    }
    series_memory_add(memory, labels,
                      (struct memory_sample){(int64_t)sample * 15000, 0, &histogram, 0});
}

/* Sums of these numbers are exact, so comparisons of sums don't turn on the last digit. */
static double gauge_value(int number, int sample)
{
    if (number == 5 && sample % 9 == 0)
        return NAN;
    if (number == 6 && sample % 11 == 0)
        return sample % 2 == 0 ? INFINITY : -INFINITY;
    return (number * 13 + sample * 7) % 29 * 0.25 - 3;
}

static struct series_memory *series_make(void)
{
    static const char *const LES[] = {"1", "2", "5", "+Inf"};
    struct series_memory *memory = series_memory_create();
    struct arena *arena = arena_create(0);
    for (int number = 0; number < 13; number++) {
        for (int sample = 0; sample < SAMPLES; sample++) {
            int64_t time_ms = (int64_t)sample * 15000;
            bool is_gone = number % 5 == 2 && sample % 20 > 12;
            double gauge = gauge_value(number, sample);
            double counter = (sample + number) % 25 * (number + 1) * 16;
            if (is_gone && sample % 20 == 13)
                gauge = counter = double_from_bits(STALE_MARKER_BITS);
            else if (is_gone)
                continue;
            series_memory_add(memory, labels_make(arena, "gauge", number, NULL),
                              (struct memory_sample){time_ms, gauge, NULL, 0});
            series_memory_add(memory, labels_make(arena, "counter_total", number, NULL),
                              (struct memory_sample){time_ms, counter, NULL, time_ms - 1000});
            if (number < 8)
                histogram_add(memory, labels_make(arena, "native", number, NULL), number, sample,
                              number == 7);
            if (number < 4)
                histogram_add(memory, labels_make(arena, "custom", number, NULL), number, sample,
                              true);
            if (number < 6 && sample % 4 == 0)
                series_memory_add(memory, labels_make(arena, "mixed", number, NULL),
                                  (struct memory_sample){time_ms, gauge, NULL, 0});
            else if (number < 6)
                histogram_add(memory, labels_make(arena, "mixed", number, NULL), number, sample,
                              false);
            for (size_t i = 0; i < 4 && number < 6; i++)
                series_memory_add(
                    memory, labels_make(arena, "classic_bucket", number, LES[i]),
                    (struct memory_sample){time_ms, (double)(sample * 16 * (int)(i + 1)), NULL, 0});
        }
    }
    /* Equal but for labels that go with the name. */
    for (int i = 0; i < 4; i++) {
        struct label array[] = {{LABEL_METRIC_NAME, TEXT("typed")},
                                {TEXT("__type__"), i % 2 == 0 ? TEXT("gauge") : TEXT("counter")},
                                {TEXT("job"), i < 2 ? TEXT("j0") : TEXT("j1")}};
        for (int sample = 0; sample < SAMPLES; sample++)
            series_memory_add(memory, labels_build(arena, array, 3),
                              (struct memory_sample){(int64_t)sample * 15000, sample, NULL, 0});
    }
    arena_destroy(arena);
    return memory;
}

/* --- Expressions ----------------------------------------------------------------------------- */

struct writer {
    struct chance *chance;
    struct byte_buffer text;
    bool is_experimental;
};

static void say(struct writer *writer, const char *text)
{
    byte_buffer_append(&writer->text, text, strlen(text));
}

static void write_vector(struct writer *writer, int depth);

static void write_shift(struct writer *writer)
{
    static const char *const SHIFTS[] = {
        " offset 1m",
        " offset -30s",
        " @ 300",
        " @ start()",
        " @ end()",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        "",
        " @ 400 offset 2m",
    };
    say(writer, PICK(writer->chance, SHIFTS));
}

static void write_selector(struct writer *writer)
{
    static const char *const NAMES[] = {
        "gauge",
        "gauge",
        "counter_total",
        "counter_total",
        "native",
        "custom",
        "mixed",
        "classic_bucket",
        "typed",
        "absent",
        "{__name__=~\"gauge|counter_total\"}",
    };
    static const char *const MATCHERS[] = {
        "", "", "", "{job=\"j0\"}", "{instance=~\"i[12]\"}", "{z!=\"3\"}", "{job!~\"j1|j2\"}",
    };
    const char *name = PICK(writer->chance, NAMES);
    say(writer, name);
    if (name[0] != '{')
        say(writer, PICK(writer->chance, MATCHERS));
}

static void write_scalar(struct writer *writer, int depth)
{
    static const char *const NUMBERS[] = {"1", "2",  "0.5", "3",   "-1",
                                          "0", "64", "Inf", "NaN", "1m"};
    switch (chance_below(writer->chance, depth > 0 ? 14 : 11)) {
    case 10:
        say(writer, "time()");
        return;
    case 11:
        say(writer, "scalar(");
        write_vector(writer, depth - 1);
        say(writer, ")");
        return;
    case 12:
        say(writer, "(");
        write_scalar(writer, depth - 1);
        say(writer, " + ");
        write_scalar(writer, depth - 1);
        say(writer, ")");
        return;
    case 13:
        say(writer, writer->is_experimental ? "step()" : "pi()");
        return;
    default:
        say(writer, PICK(writer->chance, NUMBERS));
    }
}

static void write_matrix(struct writer *writer, int depth)
{
    static const char *const RANGES[] = {"[1m]", "[2m]", "[5m]", "[45s]"};
    static const char *const SUBQUERIES[] = {"[2m:30s]", "[3m:]", "[5m:1m]"};
    if (depth > 0 && chance_below(writer->chance, 4) == 0) {
        say(writer, "(");
        write_vector(writer, depth - 1);
        say(writer, ")");
        say(writer, PICK(writer->chance, SUBQUERIES));
    } else {
        write_selector(writer);
        say(writer, PICK(writer->chance, RANGES));
    }
    write_shift(writer);
}

static void write_range_function(struct writer *writer, int depth)
{
    static const char *const COMMON[] = {
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "stddev_over_time",
        "present_over_time",
        "absent_over_time",
        "deriv",
    };
    static const char *const EXPERIMENTAL[] = {"first_over_time", "mad_over_time",
                                               "ts_of_max_over_time"};
    if (chance_below(writer->chance, 12) == 0) {
        say(writer, "quantile_over_time(");
        write_scalar(writer, depth - 1);
        say(writer, ", ");
    } else {
        bool is_new = writer->is_experimental && chance_below(writer->chance, 8) == 0;
        say(writer, is_new ? PICK(writer->chance, EXPERIMENTAL) : PICK(writer->chance, COMMON));
        say(writer, "(");
    }
    write_matrix(writer, depth);
    say(writer, ")");
}

static void write_grouping(struct writer *writer)
{
    static const char *const GROUPINGS[] = {
        "",
        " by (job) ",
        " by (instance, job) ",
        " by (z) ",
        " without (z) ",
        " without (z, instance) ",
        " by (__name__) ",
        " by (le) ",
    };
    say(writer, PICK(writer->chance, GROUPINGS));
}

static void write_aggregation(struct writer *writer, int depth)
{
    static const char *const PLAIN[] = {"sum",   "sum",   "avg",    "min",   "max",
                                        "count", "group", "stddev", "stdvar"};
    static const char *const SELECTING[] = {"topk", "bottomk"};
    static const char *const LIMITING[] = {"limitk", "limit_ratio"};
    size_t kind = chance_below(writer->chance, writer->is_experimental ? 14 : 13);
    if (kind < 9) {
        say(writer, PICK(writer->chance, PLAIN));
        write_grouping(writer);
        say(writer, "(");
    } else if (kind < 11 || kind == 13) {
        say(writer, kind == 13 ? PICK(writer->chance, LIMITING) : PICK(writer->chance, SELECTING));
        write_grouping(writer);
        say(writer, "(");
        write_scalar(writer, depth - 1);
        say(writer, ", ");
    } else if (kind == 11) {
        say(writer, "count_values");
        write_grouping(writer);
        say(writer, "(\"value\", ");
    } else {
        say(writer, "quantile");
        write_grouping(writer);
        say(writer, "(0.5, ");
    }
    write_vector(writer, depth - 1);
    say(writer, ")");
}

static void write_binary(struct writer *writer, int depth)
{
    static const char *const OPERATORS[] = {" + ",  " - ", " * ", " / ",  " > ",      " <= ",
                                            " == ", " % ", " ^ ", " != ", " > bool ", " </ "};
    static const char *const MATCHINGS[] = {
        "",
        "",
        "ignoring (z) group_left ",
        "on (job, instance) ",
        "on (z) ",
        "on (job) group_right ",
    };
    static const char *const SETS[] = {" and ", " or ", " unless ", " and on (job) ",
                                       " unless ignoring (z) "};
    size_t kind = chance_below(writer->chance, 6);
    say(writer, "(");
    if (kind == 0) {
        write_scalar(writer, depth - 1);
        say(writer, PICK(writer->chance, OPERATORS));
        write_vector(writer, depth - 1);
    } else if (kind < 4) {
        write_vector(writer, depth - 1);
        say(writer, PICK(writer->chance, OPERATORS));
        write_scalar(writer, depth - 1);
    } else {
        write_vector(writer, depth - 1);
        if (kind == 4) {
            say(writer, PICK(writer->chance, SETS));
        } else {
            say(writer, PICK(writer->chance, OPERATORS));
            say(writer, PICK(writer->chance, MATCHINGS));
        }
        write_vector(writer, depth - 1);
    }
    say(writer, ")");
}

static void write_call(struct writer *writer, int depth)
{
    static const char *const COMMON[] = {
        "abs(",
        "-(",
        "ceil(",
        "sort(",
        "histogram_count(",
        "histogram_sum(",
        "histogram_avg(",
        "histogram_quantile(0.9, ",
        "absent(",
        "timestamp(",
        "clamp_min(1, ",
        "day_of_week(",
        "histogram_fraction(0, 3, ",
        "sgn(",
        "+(",
    };
    static const char *const LABELS[] = {
        ", \"z\", \"$1\", \"job\", \"(.*)\")",
        ", \"job\", \"x$1\", \"instance\", \"i([12])\")",
        ", \"__name__\", \"new\", \"job\", \"j0\")",
    };
    if (chance_below(writer->chance, 5) == 0) {
        say(writer, "label_replace(");
        write_vector(writer, depth - 1);
        say(writer, PICK(writer->chance, LABELS));
        return;
    }
    const char *function = PICK(writer->chance, COMMON);
    bool is_clamp = strncmp(function, "clamp", 5) == 0;
    say(writer, is_clamp ? "clamp_min(" : function);
    write_vector(writer, depth - 1);
    say(writer, is_clamp ? ", 1)" : ")");
}

static void write_vector(struct writer *writer, int depth)
{
    size_t kind = chance_below(writer->chance, depth <= 0 ? 3 : 14);
    if (kind == 0) {
        write_selector(writer);
        write_shift(writer);
    } else if (kind <= 2) {
        write_range_function(writer, depth);
    } else if (kind <= 7) {
        write_aggregation(writer, depth);
    } else if (kind <= 10) {
        write_binary(writer, depth);
    } else if (kind <= 12) {
        write_call(writer, depth);
    } else {
        say(writer, "vector(");
        write_scalar(writer, depth - 1);
        say(writer, ")");
    }
}

/* --- Comparing ------------------------------------------------------------------------------- */

struct outcome {
    struct promql_execution *execution;
    enum error_code code;
    struct error error;
};

static struct outcome run(const struct promql_execution_options *options)
{
    struct outcome outcome = {0};
    outcome.code = promql_execution_create(options, &outcome.execution, &outcome.error);
    if (outcome.code == ERROR_NONE)
        outcome.code = promql_execution_run(outcome.execution, &outcome.error);
    return outcome;
}

static bool values_agree(double left, double right)
{
    if (isnan(left) || isnan(right))
        return isnan(left) && isnan(right);
    if (left == right)
        return true;
    return fabs(left - right) <= 1e-12 * fmax(fabs(left), fabs(right)) + 1e-13;
}

static bool buckets_agree(const union histogram_number *left, const union histogram_number *right,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!values_agree(left[i].real, right[i].real))
            return false;
    return true;
}

static bool histograms_agree(const struct histogram *left, const struct histogram *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    if (left->kind != HISTOGRAM_FLOAT || right->kind != HISTOGRAM_FLOAT)
        return histogram_equal(left, right);
    return left->schema == right->schema && left->reset == right->reset &&
           values_agree(left->count.real, right->count.real) &&
           values_agree(left->sum, right->sum) &&
           values_agree(left->zero_count.real, right->zero_count.real) &&
           left->positive_bucket_count == right->positive_bucket_count &&
           left->negative_bucket_count == right->negative_bucket_count &&
           buckets_agree(left->positive_buckets, right->positive_buckets,
                         left->positive_bucket_count) &&
           buckets_agree(left->negative_buckets, right->negative_buckets,
                         left->negative_bucket_count);
}

static const char *series_compare(const struct promql_series *left,
                                  const struct promql_series *right)
{
    if (left->point_count != right->point_count)
        return "number of points";
    for (size_t i = 0; i < left->point_count; i++) {
        const struct histogram *of_left = left->histograms == NULL ? NULL : left->histograms[i];
        const struct histogram *of_right = right->histograms == NULL ? NULL : right->histograms[i];
        if (left->timestamps_ms[i] != right->timestamps_ms[i])
            return "times";
        if (!histograms_agree(of_left, of_right))
            return "histograms";
        if (of_left == NULL && !values_agree(left->values[i], right->values[i]))
            return "values";
    }
    return NULL;
}

static const struct promql_series *series_find(const struct promql_result *result,
                                               struct labels labels)
{
    for (size_t i = 0; i < result->series_count; i++)
        if (labels_equal(result->series[i].labels, labels))
            return &result->series[i];
    return NULL;
}

static const char *annotations_compare(const struct promql_result *left,
                                       const struct promql_result *right)
{
    if (left->annotation_count != right->annotation_count)
        return "number of annotations";
    for (size_t i = 0; i < left->annotation_count; i++)
        if (left->annotations[i].kind != right->annotations[i].kind ||
            !text_equal(left->annotations[i].message, right->annotations[i].message))
            return "annotations";
    return NULL;
}

static const char *statistics_compare(const struct promql_statistics *left,
                                      const struct promql_statistics *right)
{
    if (left->samples_queried != right->samples_queried ||
        left->samples_read != right->samples_read)
        return "samples looked at";
    for (size_t step = 0; step < left->step_count; step++)
        if (left->step_counts[step].samples_queried != right->step_counts[step].samples_queried ||
            left->step_counts[step].samples_read != right->step_counts[step].samples_read)
            return "samples of a step";
    return NULL;
}

static bool text_has(struct text text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

/* Samples are counted as they are read: an operator that reads a series twice, or not at all,
 * counts otherwise when it gets the points of one that was read elsewhere. */
static bool reads_once(struct text query)
{
    return !text_has(query, "typed") && !text_has(query, "=~\"gauge") &&
           !text_has(query, "label_replace") && !text_has(query, "limitk");
}

/* Variances differ in the last digit as soon as they are merged, and here that becomes text. */
static bool shows_last_digit(struct text query)
{
    return text_has(query, "std") &&
           (text_has(query, "count_values") || text_has(query, "limit_ratio"));
}

/* Two things are wrong, of which either may be found first. */
static bool errors_agree(const struct error *left, const struct error *right)
{
    return strcmp(left->message, right->message) == 0 ||
           strcmp(left->message, "vector cannot contain metrics with the same labelset") == 0;
}

/* NULL: they agree. */
static const char *outcomes_compare(const struct outcome *left, const struct outcome *right,
                                    bool with_samples)
{
    if (left->code != right->code)
        return "errors";
    if (left->code != ERROR_NONE)
        return errors_agree(&left->error, &right->error) ? NULL : "error messages";
    const struct promql_result *of_left = promql_execution_result(left->execution);
    const struct promql_result *of_right = promql_execution_result(right->execution);
    if (of_left->type != of_right->type || of_left->series_count != of_right->series_count)
        return "number of series";
    for (size_t i = 0; i < of_left->series_count; i++) {
        const struct promql_series *series = series_find(of_right, of_left->series[i].labels);
        const char *difference =
            series == NULL ? "labels" : series_compare(&of_left->series[i], series);
        if (difference != NULL)
            return difference;
    }
    const char *difference = annotations_compare(of_left, of_right);
    if (difference == NULL && with_samples)
        difference = statistics_compare(&of_left->statistics, &of_right->statistics);
    return difference;
}

static void outcome_print(const struct outcome *outcome)
{
    if (outcome->code != ERROR_NONE) {
        printf("  error: %s\n", outcome->error.message);
        return;
    }
    const struct promql_result *result = promql_execution_result(outcome->execution);
    printf("  %zu series, %zu annotations, %llu samples\n", result->series_count,
           result->annotation_count, (unsigned long long)result->statistics.samples_queried);
    for (size_t i = 0; i < result->series_count && i < 5; i++) {
        char text[400];
        printf("  %s:", labels_format(text, sizeof text, result->series[i].labels));
        for (size_t j = 0; j < result->series[i].point_count && j < 6; j++)
            printf(" %.17g@%lld", result->series[i].values[j],
                   (long long)result->series[i].timestamps_ms[j] / 1000);
        printf("\n");
    }
    for (size_t i = 0; i < result->annotation_count && i < 5; i++)
        printf("  %.*s\n", TEXT_ARGUMENTS(result->annotations[i].message));
}

/* --- Rounds ---------------------------------------------------------------------------------- */

struct fixture {
    struct series_memory *memory;
    struct split_places *places[3];
    struct worker_pool *pool;
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    static const size_t COUNTS[] = {1, 2, 5};
    struct error error;
    fixture->memory = series_make();
    assert_int_equal(worker_pool_create(&(struct worker_pool_options){.worker_count = 3},
                                        &fixture->pool, &error),
                     ERROR_NONE);
    for (size_t i = 0; i < 3; i++)
        fixture->places[i] =
            split_places_create(fixture->memory, COUNTS[i], i == 1 ? fixture->pool : NULL);
    split_places_set_packing(fixture->places[2], PROMQL_PARTIAL_SHORT);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 3; i++)
        split_places_destroy(fixture->places[i]);
    worker_pool_destroy(fixture->pool);
    series_memory_destroy(fixture->memory);
    free(fixture);
    return 0;
}

static struct promql_execution_options options_make(struct fixture *fixture, struct chance *chance)
{
    struct promql_execution_options options = {
        .start_ms = 6 * MINUTE_MS + (int64_t)chance_below(chance, 4) * 7 * SECOND_MS,
        .source = series_memory_source(fixture->memory),
        .clock = clock_system(),
        .features = chance_below(chance, 2) == 0 ? PROMQL_STABLE : PROMQL_EXPERIMENTAL,
        .counts_steps = chance_below(chance, 2) == 0,
    };
    options.end_ms = options.start_ms;
    if (chance_below(chance, 3) > 0) {
        static const int64_t STEPS_MS[] = {15000, 30000, 60000, 7000};
        options.step_ms = PICK(chance, STEPS_MS);
        options.end_ms += options.step_ms * (int64_t)(1 + chance_below(chance, 70));
    }
    return options;
}

/* Whether all agrees; counts what came of it. */
static bool round_run(struct fixture *fixture, uint64_t number, size_t *failed_queries)
{
    struct chance chance = {number};
    struct promql_execution_options options = options_make(fixture, &chance);
    struct writer writer = {
        .chance = &chance,
        .is_experimental = options.features == PROMQL_EXPERIMENTAL,
    };
    write_vector(&writer, 1 + (int)chance_below(&chance, 4));
    options.query = (struct text){(const char *)writer.text.bytes, writer.text.size};
    if (shows_last_digit(options.query)) {
        byte_buffer_clear(&writer.text);
        return true;
    }
    struct outcome here = run(&options);
    *failed_queries += here.code != ERROR_NONE;
    bool agrees = true;
    for (size_t i = 0; i < 3 && agrees; i++) {
        options.distributor = split_places_distributor(fixture->places[i]);
        struct outcome spread = run(&options);
        /* Distributed as a whole. */
        bool is_whole = text_equal(split_places_latest(fixture->places[i]), options.query);
        const char *difference =
            outcomes_compare(&here, &spread, is_whole && reads_once(options.query));
        if (difference != NULL) {
            printf("%llu: %s differ: %.*s (%lld..%lld step %lld, %s)\n", (unsigned long long)number,
                   difference, TEXT_ARGUMENTS(options.query), (long long)options.start_ms / 1000,
                   (long long)options.end_ms / 1000, (long long)options.step_ms / 1000,
                   writer.is_experimental ? "experimental" : "stable");
            outcome_print(&here);
            outcome_print(&spread);
            agrees = false;
        }
        promql_execution_destroy(spread.execution);
    }
    promql_execution_destroy(here.execution);
    byte_buffer_clear(&writer.text);
    return agrees;
}

static void random_expressions_give_the_same_in_any_number_of_places(void **state)
{
    struct fixture *fixture = *state;
    const char *wanted = getenv("DISTRIBUTION_ROUNDS");
    size_t rounds = wanted == NULL ? ROUNDS : strtoul(wanted, NULL, 10);
    size_t differing = 0;
    size_t failed = 0;
    for (size_t i = 0; i < rounds; i++)
        differing += !round_run(fixture, i, &failed);
    size_t requests = split_places_request_count(fixture->places[0]);
    printf("%zu expressions, %zu of them errors, %zu sub-expressions in places, %zu differ\n",
           rounds, failed, requests, differing);
    assert_int_equal(differing, 0);
    /* The proof is worth something. */
    assert_true(failed < rounds / 3);
    assert_true(requests > rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_expressions_give_the_same_in_any_number_of_places,
                                        fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
