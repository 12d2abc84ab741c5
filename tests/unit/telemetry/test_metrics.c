#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "telemetry/metrics.h"

static void the_exposition_groups_families_and_escapes(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    struct metric_label first = {"reason", "a\"b\\c\n"};
    struct metric_options options = {"gnomon_test_total", "What it is.", &first, 1};
    counter_add(metrics_counter(metrics, &options), 3);
    gauge_set(metrics_gauge(metrics, &(struct metric_options){"gnomon_open", "Open.", NULL, 0}),
              -2);
    struct metric_label second = {"reason", "x"};
    options.labels = &second;
    counter_add(metrics_counter(metrics, &options), 1);
    counter_add(metrics_counter(metrics, &options), 1);
    struct byte_buffer buffer = {0};
    metrics_expose(metrics, &buffer);
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((char *)buffer.bytes, "# HELP gnomon_test_total What it is.\n"
                                              "# TYPE gnomon_test_total counter\n"
                                              "gnomon_test_total{reason=\"a\\\"b\\\\c\\n\"} 3\n"
                                              "gnomon_test_total{reason=\"x\"} 2\n"
                                              "# HELP gnomon_open Open.\n"
                                              "# TYPE gnomon_open gauge\n"
                                              "gnomon_open -2\n");
    byte_buffer_clear(&buffer);
    metrics_destroy(metrics);
}

static void distributions_are_cumulative(void **state)
{
    (void)state;
    struct metrics *metrics = metrics_create();
    const double bounds[] = {0.1, 1};
    struct distribution *distribution = metrics_distribution(
        metrics, &(struct metric_options){"gnomon_seconds", "S.", NULL, 0}, bounds, 2);
    distribution_observe(distribution, 0.1);
    distribution_observe(distribution, 0.5);
    distribution_observe(distribution, 7);
    struct byte_buffer buffer = {0};
    metrics_expose(metrics, &buffer);
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((char *)buffer.bytes,
                        "# HELP gnomon_seconds S.\n# TYPE gnomon_seconds histogram\n"
                        "gnomon_seconds_bucket{le=\"0.1\"} 1\n"
                        "gnomon_seconds_bucket{le=\"1\"} 2\n"
                        "gnomon_seconds_bucket{le=\"+Inf\"} 3\n"
                        "gnomon_seconds_sum 7.5999999999999996\n"
                        "gnomon_seconds_count 3\n");
    byte_buffer_clear(&buffer);
    metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_exposition_groups_families_and_escapes),
        cmocka_unit_test(distributions_are_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
