#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

#include "model/histogram_buckets.h"

static void assert_bound(int32_t schema, int64_t index, double expected)
{
    assert_true(histogram_exponential_bound(schema, index) == expected);
}

/* Read from answers of Prometheus 2.42; some are not the nearest doubles. */
static void bounds_have_the_bits_of_prometheus(void **state)
{
    (void)state;
    assert_bound(0, 3, 8);
    assert_bound(-2, 1, 16);
    assert_bound(1, 1, 1.414213562373095);
    assert_bound(1, 3, 2.82842712474619);
    assert_bound(2, 1, 1.189207115002721);
    assert_bound(2, 3, 1.6817928305074288);
    assert_bound(8, 1, 1.0027112750502025);
    assert_bound(8, 19, 1.052790773004626);
    assert_bound(8, 53, 1.1543104205902162);
    assert_bound(8, 255, 1.9945921121709396);
    assert_bound(8, -1, 1.9945921121709396 / 2);
}

static void a_finer_schema_has_the_bounds_of_the_coarser(void **state)
{
    (void)state;
    for (int32_t schema = HISTOGRAM_SCHEMA_MIN; schema < HISTOGRAM_SCHEMA_MAX; schema++)
        for (int64_t index = -40; index <= 40; index++)
            assert_bound(schema + 1, 2 * index, histogram_exponential_bound(schema, index));
}

static void the_last_bucket_ends_at_the_largest_double(void **state)
{
    (void)state;
    for (int32_t schema = HISTOGRAM_SCHEMA_MIN; schema <= HISTOGRAM_SCHEMA_MAX; schema++) {
        int64_t last = schema >= 0 ? INT64_C(1024) << schema : 1024 >> -schema;
        assert_bound(schema, last, DBL_MAX);
        assert_bound(schema, last + 1, INFINITY);
        assert_true(histogram_exponential_bound(schema, last - 1) < DBL_MAX);
    }
}

static void assert_bucket(struct histogram_bucket_cursor *cursor, double lower,
                          bool lower_inclusive, double upper, bool upper_inclusive, double count)
{
    struct histogram_bucket bucket;
    assert_true(histogram_buckets_next(cursor, &bucket));
    assert_true(bucket.lower == lower && bucket.upper == upper && bucket.count == count);
    assert_int_equal(bucket.lower_inclusive, lower_inclusive);
    assert_int_equal(bucket.upper_inclusive, upper_inclusive);
}

static void assert_no_more(struct histogram_bucket_cursor *cursor)
{
    struct histogram_bucket bucket;
    assert_false(histogram_buckets_next(cursor, &bucket));
}

static void the_zero_bucket_keeps_what_it_covers(void **state)
{
    (void)state;
    struct histogram_span spans[] = {{.offset = 0, .length = 2}};
    union histogram_number counts[] = {{.real = 3}, {.real = 4}};
    struct histogram histogram = {.kind = HISTOGRAM_FLOAT,
                                  .count.real = 19,
                                  .zero_count.real = 5,
                                  .zero_threshold = 0.75,
                                  .positive_spans = spans,
                                  .positive_span_count = 1,
                                  .positive_buckets = counts,
                                  .positive_bucket_count = 2,
                                  .negative_spans = spans,
                                  .negative_span_count = 1,
                                  .negative_buckets = counts,
                                  .negative_bucket_count = 2};
    struct histogram_bucket_cursor cursor = histogram_buckets_begin(&histogram);
    assert_bucket(&cursor, -2, true, -1, false, 4);
    assert_bucket(&cursor, -1, true, -0.75, false, 3);
    assert_bucket(&cursor, -0.75, true, 0.75, true, 5);
    assert_bucket(&cursor, 0.75, false, 1, true, 3);
    assert_bucket(&cursor, 1, false, 2, true, 4);
    assert_no_more(&cursor);
}

/* Differences have such counts. */
static void a_zero_bucket_that_is_not_positive_is_left_out(void **state)
{
    (void)state;
    struct histogram histogram = {
        .kind = HISTOGRAM_FLOAT, .zero_count.real = -5, .zero_threshold = 0.5};
    struct histogram_bucket_cursor cursor = histogram_buckets_begin(&histogram);
    assert_no_more(&cursor);
}

static void custom_buckets_end_with_their_bound(void **state)
{
    (void)state;
    double bounds[] = {-5, 0};
    struct histogram_span spans[] = {{.offset = 0, .length = 3}};
    union histogram_number counts[] = {{.integer = 1}, {.integer = 2}, {.integer = 3}};
    struct histogram histogram = {.kind = HISTOGRAM_INTEGER,
                                  .schema = HISTOGRAM_SCHEMA_CUSTOM,
                                  .custom_bounds = bounds,
                                  .custom_bound_count = 2,
                                  .positive_spans = spans,
                                  .positive_span_count = 1,
                                  .positive_buckets = counts,
                                  .positive_bucket_count = 3};
    struct histogram_bucket_cursor cursor = histogram_buckets_begin(&histogram);
    assert_bucket(&cursor, -INFINITY, true, -5, true, 1);
    assert_bucket(&cursor, -5, false, 0, true, 2);
    assert_bucket(&cursor, 0, false, INFINITY, true, 3);
    assert_no_more(&cursor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_have_the_bits_of_prometheus),
        cmocka_unit_test(a_finer_schema_has_the_bounds_of_the_coarser),
        cmocka_unit_test(the_last_bucket_ends_at_the_largest_double),
        cmocka_unit_test(the_zero_bucket_keeps_what_it_covers),
        cmocka_unit_test(a_zero_bucket_that_is_not_positive_is_left_out),
        cmocka_unit_test(custom_buckets_end_with_their_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
