/*
 * distribution_benchmark - what it costs to evaluate sub-expressions in four places, against all in
 * one, and how many bytes travel. All on one thread, without a network in between.
 *
 *     distribution_benchmark [SERIES]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "promql/engine.h"
#include "split_places.h"

enum { SERIES = 100 * 1000, SAMPLES = 84, PLACES = 4, ROUNDS = 3 };

static struct series_memory *memory_make(size_t series_count)
{
    struct series_memory *memory = series_memory_create();
    struct arena *arena = arena_create(0);
    for (size_t i = 0; i < series_count; i++) {
        arena_reset(arena);
        struct label array[] = {
            {LABEL_METRIC_NAME, TEXT("requests_total")},
            {TEXT("group"), arena_format(arena, "g%zu", i % 100)},
            {TEXT("instance"), arena_format(arena, "10.0.%zu.%zu:9100", i / 250 % 250, i % 250)},
            {TEXT("number"), arena_format(arena, "%zu", i)},
        };
        struct labels labels = labels_build(arena, array, 4);
        double value = (double)(i % 1000);
        for (size_t j = 0; j < SAMPLES; j++) {
            value += (double)((i * 7 + j * 13) % 40) * 1.25;
            series_memory_add(memory, labels,
                              (struct memory_sample){(int64_t)j * 15000, value, NULL, 0});
        }
    }
    arena_destroy(arena);
    return memory;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The least of some rounds. */
static double query_seconds(struct promql_execution_options options, const char *query)
{
    double best = 1e9;
    options.query = text_of(query);
    for (int round = 0; round < ROUNDS; round++) {
        struct promql_execution *execution = NULL;
        struct error error;
        double before = cpu_seconds();
        enum error_code code = promql_execution_create(&options, &execution, &error);
        if (code == ERROR_NONE)
            code = promql_execution_run(execution, &error);
        if (code != ERROR_NONE) {
            fprintf(stderr, "%s: %s\n", query, error.message);
            exit(EXIT_FAILURE);
        }
        promql_execution_destroy(execution);
        double elapsed = cpu_seconds() - before;
        best = elapsed < best ? elapsed : best;
    }
    return best;
}

int main(int argument_count, char **arguments)
{
    static const char *const QUERIES[] = {
        "requests_total",
        "requests_total * 0.01",
        "rate(requests_total[5m])",
        "sum(rate(requests_total[5m]))",
        "sum by (group) (rate(requests_total[5m]))",
        "stddev by (group) (rate(requests_total[5m]))",
        "topk by (group) (3, rate(requests_total[5m]))",
        "quantile(0.9, rate(requests_total[5m]))",
    };
    size_t series_count = argument_count > 1 ? strtoul(arguments[1], NULL, 10) : SERIES;
    struct series_memory *memory = memory_make(series_count);
    struct split_places *places = split_places_create(memory, PLACES, NULL);
    struct promql_execution_options options = {
        .start_ms = 6 * 60 * 1000,
        .end_ms = 21 * 60 * 1000,
        .step_ms = 15 * 1000,
        .source = series_memory_source(memory),
        .clock = clock_system(),
        .samples_max = UINT64_C(1) << 40,
    };
    printf("%zu series, %lld steps, %d places\n", series_count,
           (long long)((options.end_ms - options.start_ms) / options.step_ms + 1), PLACES);
    printf("%-48s %10s %10s %12s %10s %12s\n", "", "here ms", "places ms", "bytes", "short ms",
           "bytes");
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        struct promql_execution_options spread = options;
        spread.distributor = split_places_distributor(places);
        double here = query_seconds(options, QUERIES[i]);
        printf("%-48s %10.1f", QUERIES[i], here * 1e3);
        for (enum promql_partial_packing packing = PROMQL_PARTIAL_FAST;
             packing <= PROMQL_PARTIAL_SHORT; packing++) {
            split_places_set_packing(places, packing);
            uint64_t before = split_places_answer_bytes(places);
            double there = query_seconds(spread, QUERIES[i]);
            uint64_t bytes = (split_places_answer_bytes(places) - before) / ROUNDS;
            printf(" %10.1f %12llu", there * 1e3, (unsigned long long)bytes);
        }
        printf("\n");
    }
    split_places_destroy(places);
    series_memory_destroy(memory);
    return EXIT_SUCCESS;
}
