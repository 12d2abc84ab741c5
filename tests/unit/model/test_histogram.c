#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "model/sample.h"

static const struct histogram_span SPANS[] = {{-3, 2}, {1, 1}};
static const union histogram_number INTEGERS[] = {{.integer = 1}, {.integer = 2}, {.integer = 3}};
static const union histogram_number REALS[] = {{.real = 1.5}, {.real = 2}, {.real = 3}};
static const double BOUNDS[] = {1, 2.5, 5};
static const struct histogram_span CUSTOM_SPANS[] = {{0, 2}, {1, 1}};

static struct histogram integer_histogram(void)
{
    return (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = 3,
        .zero_threshold = 0.001,
        .zero_count.integer = 4,
        .count.integer = 16,
        .sum = 12.5,
        .positive_span_count = 2,
        .positive_bucket_count = 3,
        .positive_spans = SPANS,
        .positive_buckets = INTEGERS,
        .negative_span_count = 2,
        .negative_bucket_count = 3,
        .negative_spans = SPANS,
        .negative_buckets = INTEGERS,
    };
}

static struct histogram float_histogram(void)
{
    struct histogram histogram = integer_histogram();
    histogram.kind = HISTOGRAM_FLOAT;
    histogram.zero_count.real = 4;
    histogram.count.real = 17;
    histogram.positive_buckets = REALS;
    histogram.negative_buckets = REALS;
    return histogram;
}

static struct histogram custom_histogram(void)
{
    return (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .count.integer = 6,
        .sum = 1,
        .positive_span_count = 2,
        .positive_bucket_count = 3,
        .positive_spans = CUSTOM_SPANS,
        .positive_buckets = INTEGERS,
        .custom_bound_count = 3,
        .custom_bounds = BOUNDS,
    };
}

static enum error_code validate(struct histogram histogram)
{
    struct error error;
    return histogram_validate(&histogram, &error);
}

#define ASSERT_REFUSED(base, change)                                                               \
    do {                                                                                           \
        struct histogram changed = base();                                                         \
        assert_int_equal(validate(changed), ERROR_NONE);                                           \
        changed.change;                                                                            \
        assert_int_equal(validate(changed), ERROR_INVALID);                                        \
    } while (0)

static void sound_histograms_are_taken(void **state)
{
    (void)state;
    assert_int_equal(validate(integer_histogram()), ERROR_NONE);
    assert_int_equal(validate(float_histogram()), ERROR_NONE);
    assert_int_equal(validate(custom_histogram()), ERROR_NONE);
    struct histogram stale = {.sum = double_from_bits(STALE_MARKER_BITS)};
    assert_int_equal(validate(stale), ERROR_NONE);
    struct histogram with_nan = integer_histogram();
    with_nan.sum = NAN;
    with_nan.count.integer = 20; /* four NaN observations are in no bucket */
    assert_int_equal(validate(with_nan), ERROR_NONE);
    struct histogram below = float_histogram();
    below.count.real = 16; /* floats are not held to their sum, as Prometheus does not */
    assert_int_equal(validate(below), ERROR_NONE);
}

static void counts_must_agree_with_buckets(void **state)
{
    (void)state;
    ASSERT_REFUSED(integer_histogram, count.integer = 15);
    ASSERT_REFUSED(integer_histogram, count.integer = 17);
    ASSERT_REFUSED(integer_histogram, zero_count.integer = UINT64_MAX);
    ASSERT_REFUSED(float_histogram, count.real = -1);
    ASSERT_REFUSED(float_histogram, zero_count.real = -1);
    static const union histogram_number NEGATIVE[] = {{.real = 1}, {.real = -2}, {.real = 3}};
    ASSERT_REFUSED(float_histogram, positive_buckets = NEGATIVE);
}

static void spans_must_agree_with_buckets(void **state)
{
    (void)state;
    static const struct histogram_span BACKWARDS[] = {{0, 2}, {-1, 1}};
    static const struct histogram_span FAR[] = {{INT32_MAX, 2}, {1, 1}};
    static const struct histogram_span HUGE_LENGTH[] = {{0, UINT32_MAX}, {0, 4}};
    ASSERT_REFUSED(integer_histogram, positive_spans = BACKWARDS);
    ASSERT_REFUSED(integer_histogram, negative_spans = BACKWARDS);
    ASSERT_REFUSED(integer_histogram, positive_spans = FAR);
    ASSERT_REFUSED(integer_histogram, positive_spans = HUGE_LENGTH);
    ASSERT_REFUSED(integer_histogram, positive_bucket_count = 2);
    ASSERT_REFUSED(integer_histogram, negative_span_count = 1);
    ASSERT_REFUSED(integer_histogram, positive_bucket_count = HISTOGRAM_BUCKETS_MAX + 1);
}

static void schemas_have_bounds_of_their_own(void **state)
{
    (void)state;
    ASSERT_REFUSED(integer_histogram, schema = 9);
    ASSERT_REFUSED(integer_histogram, schema = -5);
    ASSERT_REFUSED(integer_histogram, custom_bound_count = 1);
    static const double FALLING[] = {1, 5, 5};
    static const double INFINITE[] = {1, 2, INFINITY};
    ASSERT_REFUSED(custom_histogram, custom_bounds = FALLING);
    ASSERT_REFUSED(custom_histogram, custom_bounds = INFINITE);
    ASSERT_REFUSED(custom_histogram, custom_bound_count = 2);
    ASSERT_REFUSED(custom_histogram, zero_count.integer = 1);
    ASSERT_REFUSED(custom_histogram, zero_threshold = 0.1);
    ASSERT_REFUSED(custom_histogram, positive_spans = SPANS);
    static const struct histogram_span EMPTY[] = {{0, 0}};
    struct histogram negative = custom_histogram();
    negative.negative_spans = EMPTY;
    negative.negative_span_count = 1;
    assert_int_equal(validate(negative), ERROR_INVALID);
}

/* Empty spans and unused bounds would otherwise make a histogram of any size. */
static void spans_and_bounds_are_limited(void **state)
{
    (void)state;
    static const struct histogram_span EMPTY_SPANS[HISTOGRAM_BUCKETS_MAX + 1];
    static double bounds[HISTOGRAM_BUCKETS_MAX + 1];
    for (size_t i = 0; i <= HISTOGRAM_BUCKETS_MAX; i++)
        bounds[i] = (double)i;
    struct error error;
    struct histogram histogram = {
        .positive_spans = EMPTY_SPANS,
        .positive_span_count = HISTOGRAM_BUCKETS_MAX,
    };
    assert_int_equal(histogram_validate(&histogram, &error), ERROR_NONE);
    histogram.positive_span_count++;
    assert_int_equal(histogram_validate(&histogram, &error), ERROR_INVALID);

    histogram = (struct histogram){
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .custom_bounds = bounds,
        .custom_bound_count = HISTOGRAM_BUCKETS_MAX,
    };
    assert_int_equal(histogram_validate(&histogram, &error), ERROR_NONE);
    histogram.custom_bound_count++;
    assert_int_equal(histogram_validate(&histogram, &error), ERROR_INVALID);
}

static void copies_are_deep_and_equal(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct histogram (*const makers[])(void) = {integer_histogram, float_histogram,
                                                custom_histogram};
    for (size_t i = 0; i < 3; i++) {
        struct histogram source = makers[i]();
        struct histogram copy;
        assert_true(histogram_copy(arena, &source, &copy));
        assert_true(histogram_equal(&source, &copy));
        assert_ptr_not_equal(source.positive_spans, copy.positive_spans);
        assert_ptr_not_equal(source.positive_buckets, copy.positive_buckets);
        copy.sum = -0.0;
        source.sum = 0.0;
        assert_false(histogram_equal(&source, &copy));
    }
    arena_destroy(arena);
    struct arena *full = arena_create(1);
    struct histogram source = integer_histogram();
    struct histogram copy;
    assert_false(histogram_copy(full, &source, &copy));
    arena_destroy(full);
}

static void the_order_is_total_and_stale_lowest(void **state)
{
    (void)state;
    struct histogram stale = {.sum = double_from_bits(STALE_MARKER_BITS)};
    struct histogram all[] = {integer_histogram(), float_histogram(), custom_histogram(),
                              integer_histogram(), integer_histogram()};
    all[3].positive_buckets = REALS;
    all[4].reset = HISTOGRAM_RESET_YES;
    for (size_t i = 0; i < 5; i++) {
        assert_true(histogram_order(&stale, &all[i]) < 0);
        assert_int_equal(histogram_order(&all[i], &all[i]), 0);
        for (size_t j = 0; j < 5; j++) {
            int forth = histogram_order(&all[i], &all[j]);
            int back = histogram_order(&all[j], &all[i]);
            assert_int_equal((forth > 0) - (forth < 0), (back < 0) - (back > 0));
            assert_int_equal(forth == 0, i == j);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_histograms_are_taken),
        cmocka_unit_test(counts_must_agree_with_buckets),
        cmocka_unit_test(spans_must_agree_with_buckets),
        cmocka_unit_test(schemas_have_bounds_of_their_own),
        cmocka_unit_test(spans_and_bounds_are_limited),
        cmocka_unit_test(copies_are_deep_and_equal),
        cmocka_unit_test(the_order_is_total_and_stale_lowest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
