#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "partial_columns.h"

enum { STEPS_MAX = 200, VALUES_MAX = 1000 };

static int arena_open(void **state)
{
    *state = arena_create(0);
    return 0;
}

static int arena_close(void **state)
{
    arena_destroy(*state);
    return 0;
}

/* --- Steps ----------------------------------------------------------------------------------- */

static size_t steps_round_trip(const uint64_t *present, size_t count)
{
    struct byte_buffer buffer = {0};
    uint64_t decoded[STEPS_MAX / 64 + 1] = {0};
    steps_encode(&buffer, present, count);
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    steps_decode(&reader, decoded, count);
    assert_false(reader.failed);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_memory_equal(decoded, present, step_words(count) * sizeof *present);
    size_t size = buffer.size;
    for (size_t cut = 0; cut < size; cut++) {
        reader = byte_reader_over(buffer.bytes, cut);
        steps_decode(&reader, decoded, count);
        assert_true(reader.failed);
    }
    byte_buffer_clear(&buffer);
    return size;
}

static void steps_come_back(void **state)
{
    (void)state;
    for (size_t count = 1; count <= STEPS_MAX; count++) {
        uint64_t present[STEPS_MAX / 64 + 1] = {0};
        assert_int_equal(steps_round_trip(present, count), 1);
        step_set_present(present, count / 2);
        assert_true(steps_round_trip(present, count) <= 4);
        step_set_present(present, 0);
        step_set_present(present, count - 1);
        steps_round_trip(present, count);
        steps_clear(present, count);
        for (size_t step = count / 3; step < count / 3 * 2; step++)
            step_set_present(present, step);
        assert_true(steps_round_trip(present, count) <= 5);
        steps_fill(present, count);
        assert_int_equal(steps_round_trip(present, count), 1);
    }
}

static void steps_beyond_the_last_are_refused(void **state)
{
    (void)state;
    static const uint8_t RUN[] = {1, 60, 11};
    static const uint8_t BITS[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0x40};
    static const uint8_t UNKNOWN[] = {4};
    uint64_t present[2] = {0};
    struct byte_reader reader = byte_reader_over(RUN, sizeof RUN);
    steps_decode(&reader, present, 70);
    assert_true(reader.failed);
    reader = byte_reader_over(BITS, sizeof BITS);
    steps_decode(&reader, present, 70);
    assert_true(reader.failed);
    reader = byte_reader_over(UNKNOWN, sizeof UNKNOWN);
    steps_decode(&reader, present, 70);
    assert_true(reader.failed);
}

/* --- Values ---------------------------------------------------------------------------------- */

static size_t values_pack_and_unpack(const double *values, size_t count,
                                     struct values_packer *packer)
{
    static struct codec_scratch unpacking;
    struct byte_buffer buffer = {0};
    double decoded[VALUES_MAX];
    values_encode(&buffer, values, count, packer);
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    values_decode(&reader, decoded, count, &unpacking);
    assert_false(reader.failed);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_memory_equal(decoded, values, count * sizeof *values);
    size_t size = buffer.size;
    for (size_t cut = 0; cut < size; cut++) {
        reader = byte_reader_over(buffer.bytes, cut);
        values_decode(&reader, decoded, count, &unpacking);
        assert_true(reader.failed);
    }
    byte_buffer_clear(&buffer);
    return size;
}

static size_t values_round_trip(const double *values, size_t count)
{
    static struct codec_scratch scratch;
    struct values_packer packer = {.scratch = &scratch};
    values_pack_and_unpack(values, count, &packer);
    return values_pack_and_unpack(values, count, NULL);
}

static void values_come_back_to_the_bit(void **state)
{
    (void)state;
    static const double SPECIAL[] = {
        0.0,     -0.0,    1,     -1,      0.1,      1e300,   -1e-300,          INFINITY,
        DBL_MIN, DBL_MAX, 1.0e9, -1.0e18, 4.9e-324, 123.456, 9007199254740992, -INFINITY,
    };
    enum { SPECIAL_COUNT = sizeof SPECIAL / sizeof SPECIAL[0] };
    double values[STEPS_MAX];
    for (size_t count = 1; count <= SPECIAL_COUNT; count++)
        values_round_trip(SPECIAL, count);
    for (size_t i = 0; i < STEPS_MAX; i++)
        values[i] = double_from_bits(i % 2 == 0 ? STALE_MARKER_BITS : NORMAL_NAN_BITS + i);
    values_round_trip(values, STEPS_MAX);
    for (size_t i = 0; i < STEPS_MAX; i++)
        values[i] = sin((double)i) * exp((double)i);
    assert_true(values_round_trip(values, STEPS_MAX) <= 1 + sizeof values);
    for (size_t i = 0; i < STEPS_MAX; i++)
        values[i] = 0.1;
    assert_int_equal(values_round_trip(values, STEPS_MAX), 9);
    for (size_t i = 0; i < STEPS_MAX; i++)
        values[i] = 1000000 + (double)i * 15;
    assert_true(values_round_trip(values, STEPS_MAX) < 2 * STEPS_MAX);
    for (size_t i = 0; i < STEPS_MAX; i++)
        values[i] = i / 20 * 0.5 + 0.1;
    assert_true(values_round_trip(values, STEPS_MAX) < 2 * STEPS_MAX);
    /* Minus nothing is no integer. */
    values[0] = -0.0;
    values[1] = 1;
    values_round_trip(values, 2);
}

static void values_that_nobody_writes_are_refused(void **state)
{
    (void)state;
    static const uint8_t TOO_LONG[] = {3, 0x91, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint8_t SHIFTED_OUT[] = {3, 0x54, 1, 1, 1, 1, 1};
    static const uint8_t NOTHING[] = {3, 0x03};
    static const uint8_t UNKNOWN[] = {9, 0, 0, 0, 0, 0, 0, 0, 0};
    const struct {
        const uint8_t *bytes;
        size_t size;
    } CASES[] = {
        {TOO_LONG, sizeof TOO_LONG},
        {SHIFTED_OUT, sizeof SHIFTED_OUT},
        {NOTHING, sizeof NOTHING},
        {UNKNOWN, sizeof UNKNOWN},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        double value;
        struct byte_reader reader = byte_reader_over(CASES[i].bytes, CASES[i].size);
        values_decode(&reader, &value, 1, NULL);
        assert_true(reader.failed);
    }
}

/* Percentages, prices: what storage packs well. */
static void decimals_are_packed_as_blocks_pack_them(void **state)
{
    (void)state;
    static struct codec_scratch scratch;
    struct values_packer packer = {.scratch = &scratch};
    double decimals[VALUES_MAX], noise[VALUES_MAX];
    for (size_t i = 0; i < VALUES_MAX; i++) {
        decimals[i] = (double)(i * 7919 % 1000) / 100;
        noise[i] = sin((double)i);
    }
    for (size_t count = 1; count <= VALUES_MAX; count += 97)
        values_pack_and_unpack(decimals, count, &packer);
    assert_true(values_pack_and_unpack(decimals, VALUES_MAX, &packer) < 2 * VALUES_MAX);
    assert_true(values_pack_and_unpack(decimals, VALUES_MAX, NULL) > 6 * VALUES_MAX);
    /* What does not pack keeps some after it from being tried. */
    values_pack_and_unpack(noise, VALUES_MAX, &packer);
    assert_true(values_pack_and_unpack(decimals, VALUES_MAX, &packer) > 6 * VALUES_MAX);
    for (int i = 0; i < 20; i++)
        values_pack_and_unpack(decimals, VALUES_MAX, &packer);
    assert_true(values_pack_and_unpack(decimals, VALUES_MAX, &packer) < 2 * VALUES_MAX);
}

static void packed_values_need_room_for_unpacking(void **state)
{
    (void)state;
    static struct codec_scratch scratch;
    struct values_packer packer = {.scratch = &scratch};
    struct byte_buffer buffer = {0};
    double values[100];
    for (size_t i = 0; i < 100; i++)
        values[i] = (double)(i * 7919 % 1000) / 100;
    values_encode(&buffer, values, 100, &packer);
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    values_decode(&reader, values, 100, NULL);
    assert_true(reader.failed);
    byte_buffer_clear(&buffer);
}

static void a_column_holds_the_values_of_its_steps_alone(void **state)
{
    double values[STEPS_MAX], decoded[STEPS_MAX];
    uint64_t present[STEPS_MAX / 64 + 1] = {0};
    for (size_t i = 0; i < STEPS_MAX; i++) {
        values[i] = (double)i * 1.5;
        if (i % 3 == 1)
            step_set_present(present, i);
    }
    struct byte_buffer buffer = {0};
    assert_true(column_encode(&buffer, values, present, STEPS_MAX, NULL, *state));
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    column_decode(&reader, decoded, present, STEPS_MAX, NULL);
    assert_false(reader.failed);
    for (size_t i = 1; i < STEPS_MAX; i += 3)
        assert_true(decoded[i] == values[i]);
    byte_buffer_clear(&buffer);
}

/* --- Histograms ------------------------------------------------------------------------------ */

static void histogram_round_trip(struct arena *arena, const struct histogram *histogram)
{
    struct byte_buffer buffer = {0};
    histogram_encode(&buffer, histogram);
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    struct histogram *decoded = histogram_decode(&reader, arena);
    assert_false(reader.failed);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_non_null(decoded);
    assert_true(histogram_equal(decoded, histogram));
    for (size_t cut = 0; cut < buffer.size; cut++) {
        reader = byte_reader_over(buffer.bytes, cut);
        assert_null(histogram_decode(&reader, arena));
        assert_true(reader.failed);
    }
    byte_buffer_clear(&buffer);
}

static const struct histogram_span SPANS[] = {{-3, 2}, {4, 1}};
static const double BOUNDS[] = {-1, 2.5, 10};

static struct histogram float_histogram(void)
{
    /* What an expression yields: no storage would take negative counts. */
    static const union histogram_number COUNTS[] = {{.real = -2.5}, {.real = 1e9}, {.real = 0}};
    return (struct histogram){
        .kind = HISTOGRAM_FLOAT,
        .reset = HISTOGRAM_RESET_GAUGE,
        .schema = 3,
        .zero_threshold = 1e-128,
        .zero_count.real = 0.5,
        .count.real = -7,
        .sum = double_from_bits(NORMAL_NAN_BITS),
        .positive_span_count = 2,
        .positive_bucket_count = 3,
        .positive_spans = SPANS,
        .positive_buckets = COUNTS,
        .negative_span_count = 1,
        .negative_bucket_count = 2,
        .negative_spans = SPANS,
        .negative_buckets = COUNTS,
    };
}

static struct histogram custom_histogram(void)
{
    static const struct histogram_span FIRST[] = {{0, 2}, {1, 1}};
    static const union histogram_number COUNTS[] = {
        {.integer = 1}, {.integer = 0}, {.integer = UINT64_MAX}};
    return (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .schema = HISTOGRAM_SCHEMA_CUSTOM,
        .count.integer = 77,
        .sum = 12.5,
        .positive_span_count = 2,
        .positive_bucket_count = 3,
        .positive_spans = FIRST,
        .positive_buckets = COUNTS,
        .custom_bound_count = 3,
        .custom_bounds = BOUNDS,
    };
}

static void histograms_come_back_to_the_bit(void **state)
{
    struct histogram histogram = float_histogram();
    histogram_round_trip(*state, &histogram);
    histogram = custom_histogram();
    histogram_round_trip(*state, &histogram);
    histogram = (struct histogram){.kind = HISTOGRAM_FLOAT};
    histogram_round_trip(*state, &histogram);
}

static void expect_refusal(struct arena *arena, const struct histogram *histogram)
{
    struct byte_buffer buffer = {0};
    histogram_encode(&buffer, histogram);
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    assert_null(histogram_decode(&reader, arena));
    assert_true(reader.failed);
    byte_buffer_clear(&buffer);
}

static void histograms_that_cannot_be_calculated_with_are_refused(void **state)
{
    struct histogram histogram = float_histogram();
    histogram.schema = 9;
    expect_refusal(*state, &histogram);
    static const struct histogram_span BACK[] = {{5, 2}, {-1, 1}};
    histogram = float_histogram();
    histogram.positive_spans = BACK;
    expect_refusal(*state, &histogram);
    static const struct histogram_span FAR[] = {{INT32_MAX - 1, 2}, {INT32_MAX, 1}};
    histogram = float_histogram();
    histogram.positive_spans = FAR;
    expect_refusal(*state, &histogram);
    histogram = custom_histogram();
    static const double DESCENDING[] = {2, 1, 3};
    histogram.custom_bounds = DESCENDING;
    expect_refusal(*state, &histogram);
    histogram = custom_histogram();
    histogram.custom_bound_count = 2;
    expect_refusal(*state, &histogram);
    histogram = custom_histogram();
    histogram.negative_span_count = 1;
    histogram.negative_bucket_count = 2;
    histogram.negative_spans = SPANS;
    histogram.negative_buckets = histogram.positive_buckets;
    expect_refusal(*state, &histogram);
}

int main(void)
{
#define WITH_ARENA(test) cmocka_unit_test_setup_teardown(test, arena_open, arena_close)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_come_back),
        cmocka_unit_test(steps_beyond_the_last_are_refused),
        cmocka_unit_test(values_come_back_to_the_bit),
        cmocka_unit_test(values_that_nobody_writes_are_refused),
        cmocka_unit_test(decimals_are_packed_as_blocks_pack_them),
        cmocka_unit_test(packed_values_need_room_for_unpacking),
        WITH_ARENA(a_column_holds_the_values_of_its_steps_alone),
        WITH_ARENA(histograms_come_back_to_the_bit),
        WITH_ARENA(histograms_that_cannot_be_calculated_with_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
