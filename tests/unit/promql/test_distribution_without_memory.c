/* Every allocation of a query over several places fails once, there or here: the query says so, and
 * nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "allocation_faults.h"
#include "promql/engine.h"
#include "split_places.h"

static struct series_memory *memory_make(void)
{
    struct series_memory *memory = series_memory_create();
    struct arena *arena = arena_create(0);
    for (int number = 0; number < 8; number++) {
        struct label array[] = {
            {LABEL_METRIC_NAME, number % 2 == 0 ? TEXT("a") : TEXT("h")},
            {TEXT("z"), arena_format(arena, "%d", number)},
        };
        struct labels labels = labels_build(arena, array, 2);
        struct histogram_span span = {0, 1};
        union histogram_number bucket = {.real = number};
        struct histogram histogram = {
            .kind = HISTOGRAM_FLOAT,
            .count.real = number,
            .positive_span_count = 1,
            .positive_bucket_count = 1,
            .positive_spans = &span,
            .positive_buckets = &bucket,
        };
        for (int i = 0; i < 10; i++)
            series_memory_add(memory, labels,
                              (struct memory_sample){(int64_t)i * 15000, i,
                                                     number % 2 == 0 ? NULL : &histogram, 0});
    }
    arena_destroy(arena);
    return memory;
}

static void a_query_over_places_survives_the_failure_of_any_allocation(void **state)
{
    (void)state;
    static const char *const QUERIES[] = {"sum by (z) (h)", "avg(rate(a[1m])) + count(a)",
                                          "topk(2, a)", "absent(a)", "a or h"};
    struct series_memory *memory = memory_make();
    struct split_places *places = split_places_create(memory, 2, NULL);
    split_places_set_faults(places, (struct split_faults){0}); /* texts are not looked at */
    size_t failed = 0;
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        bool injected = true;
        for (size_t number = 1; injected; number++) {
            struct promql_execution_options options = {
                .query = text_of(QUERIES[i]),
                .start_ms = 60000,
                .end_ms = 120000,
                .step_ms = 30000,
                .source = series_memory_source(memory),
                .distributor = split_places_distributor(places),
                .clock = clock_system(),
            };
            struct promql_execution *execution = NULL;
            struct error error;
            allocation_faults_arm(number);
            enum error_code code = promql_execution_create(&options, &execution, &error);
            if (code == ERROR_NONE)
                code = promql_execution_run(execution, &error);
            injected = allocation_faults_disarm();
            if (code != ERROR_NONE) {
                assert_true(injected);
                /* What is lost in a place may be the news of it. */
                assert_true(code == ERROR_OUT_OF_MEMORY || code == ERROR_UNAVAILABLE);
                failed++;
            }
            promql_execution_destroy(execution);
            assert_int_equal(split_places_under_way(places), 0);
        }
    }
    assert_true(failed > 100);
    split_places_destroy(places);
    series_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_over_places_survives_the_failure_of_any_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
