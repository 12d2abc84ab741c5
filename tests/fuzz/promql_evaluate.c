#include <assert.h>
#include <stdlib.h>

#include "../support/series_memory.c"
#include "promql/engine.h"

/*
 * The text is a query over a handful of series of every kind. Whatever it is, the engine answers
 * or refuses within its limits, as an instant and as a range query.
 */

enum { MEMORY_MAX = 8 * 1024 * 1024, SAMPLES_MAX = 200 * 1000 };

static struct series_memory *memory;

static void series_add(const char *name, const char *value, struct memory_sample sample)
{
    struct arena *arena = arena_create(0);
    struct label array[] = {{LABEL_METRIC_NAME, text_of(name)}, {TEXT("l"), text_of(value)}};
    series_memory_add(memory, labels_build(arena, array, 2), sample);
    arena_destroy(arena);
}

static void memory_fill(void)
{
    static const double VALUES[] = {0, 1, 2.5, 1, NAN, INFINITY, 7, -3, 0, 4};
    memory = series_memory_create();
    for (int i = 0; i < 40; i++) {
        int64_t timestamp_ms = (int64_t)i * 10000;
        series_add("a", "1", (struct memory_sample){timestamp_ms, i % 15, NULL, 0});
        series_add("a", "2", (struct memory_sample){timestamp_ms, VALUES[i % 10], NULL, 0});
        series_add("b", "1", (struct memory_sample){timestamp_ms + 3000, -i, NULL, timestamp_ms});
        struct histogram_span span = {i % 3 - 1, 2};
        union histogram_number buckets[2] = {{.real = i}, {.real = 1}};
        static const double BOUNDS[] = {1, 5, 10};
        struct histogram histogram = {
            .kind = HISTOGRAM_FLOAT,
            .schema = i % 3 - 1,
            .count.real = i + 1,
            .sum = i,
            .positive_span_count = 1,
            .positive_bucket_count = 2,
            .positive_spans = &span,
            .positive_buckets = buckets,
        };
        if (i % 7 == 6) {
            span.offset = 0;
            histogram.schema = HISTOGRAM_SCHEMA_CUSTOM;
            histogram.custom_bound_count = 3;
            histogram.custom_bounds = BOUNDS;
        }
        if (i % 5 == 4)
            series_add("h", "1", (struct memory_sample){timestamp_ms, i, NULL, 0});
        else
            series_add("h", "1", (struct memory_sample){timestamp_ms, 0, &histogram, 0});
        series_add("h", "2", (struct memory_sample){timestamp_ms, 0, &histogram, 0});
    }
    series_add("a", "1",
               (struct memory_sample){195000, double_from_bits(STALE_MARKER_BITS), NULL, 0});
}

static void evaluate(struct text query, int64_t end_ms, int64_t step_ms)
{
    struct promql_execution_options options = {
        .query = query,
        .start_ms = 150000,
        .end_ms = end_ms,
        .step_ms = step_ms,
        .features = PROMQL_EXPERIMENTAL,
        .source = series_memory_source(memory),
        .clock = clock_system(),
        .memory_max_bytes = MEMORY_MAX,
        .samples_max = SAMPLES_MAX,
    };
    options.deadline_ns = clock_monotonic_ns(options.clock) + UINT64_C(500000000);
    struct promql_execution *execution = NULL;
    struct error error;
    enum error_code code = promql_execution_create(&options, &execution, &error);
    if (code == ERROR_NONE)
        code = promql_execution_run(execution, &error);
    if (code == ERROR_NONE) {
        const struct promql_result *result = promql_execution_result(execution);
        for (size_t i = 0; i < result->series_count; i++)
            assert(result->series[i].point_count > 0 || result->type == VALUE_SCALAR);
    }
    promql_execution_destroy(execution);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (memory == NULL)
        memory_fill();
    if (size > 4096)
        return 0;
    struct text query = {(const char *)data, size};
    evaluate(query, 150000, 0);
    evaluate(query, 300000, 25000);
    return 0;
}
