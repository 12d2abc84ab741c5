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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_have_the_bits_of_prometheus),
        cmocka_unit_test(a_finer_schema_has_the_bounds_of_the_coarser),
        cmocka_unit_test(the_last_bucket_ends_at_the_largest_double),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
