#include "codec/value_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_path.h"
#include "hostile_values.h"
#include "model/sample.h"

static struct codec_scratch scratch;

/* Encoding lands at the end of an allocation, so that a sanitizer sees each read past it. */
static size_t encode(const double *values, size_t count, uint8_t **bytes_out)
{
    uint8_t encoded[VALUE_CODEC_BYTES_MAX];
    size_t size = value_codec_encode(values, count, &scratch, encoded);
    assert_in_range(size, 1, value_codec_size_max(count));
    *bytes_out = malloc(size);
    assert_non_null(*bytes_out);
    memcpy(*bytes_out, encoded, size);
    return size;
}

/* The size in bytes, after a round trip. */
static size_t assert_comes_back(const double *values, size_t count)
{
    uint8_t *bytes;
    size_t size = encode(values, count, &bytes);
    double *decoded = malloc(count * sizeof *decoded);
    struct error error = {0};
    memset(decoded, 0x55, count * sizeof *decoded);
    assert_int_equal(value_codec_decode(bytes, size, count, &scratch, decoded, &error), ERROR_NONE);
    assert_memory_equal(decoded, values, count * sizeof *values);
    free(decoded);
    free(bytes);
    return size;
}

static void hostile_values_come_back_bit_for_bit(void **state)
{
    (void)state;
    struct hostile_random random = {88172645463325252};
    static double values[CHUNK_SAMPLES_MAX];
    for (int round = 0; round < 20000; round++) {
        size_t count = 1 + hostile_below(&random, round % 5 ? 130 : CHUNK_SAMPLES_MAX);
        hostile_fill(&random, values, count);
        assert_comes_back(values, count);
    }
}

static void every_path_makes_the_same_bytes_and_values(void **state)
{
    (void)state;
    struct hostile_random random = {7};
    static double values[CHUNK_SAMPLES_MAX];
    static double decoded[CHUNK_SAMPLES_MAX];
    enum codec_path usual = codec_path_selected();
    for (int round = 0; round < 10000; round++) {
        size_t count = 1 + hostile_below(&random, CHUNK_SAMPLES_MAX);
        hostile_fill(&random, values, count);
        codec_path_select(CODEC_PATH_PORTABLE);
        uint8_t expected[VALUE_CODEC_BYTES_MAX];
        size_t size = value_codec_encode(values, count, &scratch, expected);
        for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
            if (!codec_path_is_available(path))
                continue;
            codec_path_select(path);
            uint8_t bytes[VALUE_CODEC_BYTES_MAX];
            memset(&scratch, (int)round, sizeof scratch);
            assert_int_equal(value_codec_encode(values, count, &scratch, bytes), size);
            assert_memory_equal(bytes, expected, size);
            struct error error = {0};
            assert_int_equal(value_codec_decode(bytes, size, count, &scratch, decoded, &error),
                             ERROR_NONE);
            assert_memory_equal(decoded, values, count * sizeof *values);
        }
    }
    codec_path_select(usual);
}

/* What a damaged chunk decodes to does not matter, but it is the same everywhere. */
static void damaged_chunks_are_the_same_to_every_path(void **state)
{
    (void)state;
    struct hostile_random random = {8};
    static double values[CHUNK_SAMPLES_MAX];
    static double decoded[CODEC_PATHS][CHUNK_SAMPLES_MAX];
    enum codec_path usual = codec_path_selected();
    for (int round = 0; round < 20000; round++) {
        size_t count = 1 + hostile_below(&random, 200);
        hostile_fill(&random, values, count);
        uint8_t *bytes;
        size_t size = encode(values, count, &bytes);
        for (uint64_t damage = hostile_below(&random, 4); damage > 0; damage--) {
            size_t place = hostile_below(&random, hostile_below(&random, 2) ? size : 1 + size / 9);
            bytes[place] = (uint8_t)hostile_next(&random);
        }
        enum error_code codes[CODEC_PATHS] = {0};
        for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
            if (!codec_path_is_available(path))
                continue;
            codec_path_select(path);
            struct error error = {0};
            codes[path] = value_codec_decode(bytes, size, count, &scratch, decoded[path], &error);
            assert_int_equal(codes[path], codes[CODEC_PATH_PORTABLE]);
            if (codes[path] == ERROR_NONE)
                assert_memory_equal(decoded[path], decoded[CODEC_PATH_PORTABLE],
                                    count * sizeof *values);
        }
        free(bytes);
    }
    codec_path_select(usual);
}

/* A series that is scraped for the first time has few samples in its first chunk. */
static void a_few_floats_take_no_more_than_their_bytes_and_one(void **state)
{
    (void)state;
    static const double FLOATS[] = {1.0 / 3, 2.0 / 7, 5e-300, 1e300};
    for (size_t count = 1; count <= 4; count++)
        assert_in_range(assert_comes_back(FLOATS, count), 9, value_codec_size_max(count));
}

static void constant_chunks_take_one_to_nine_bytes(void **state)
{
    (void)state;
    static const struct {
        double value;
        size_t size;
    } CASES[] = {{0, 1}, {10, 1}, {11, 2}, {-1, 2}, {1e9, 6}, {0.5, 3}, {1.0 / 3, 9}, {-0.0, 9}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        double values[CHUNK_SAMPLES_MAX];
        for (size_t j = 0; j < CHUNK_SAMPLES_MAX; j++)
            values[j] = CASES[i].value;
        assert_int_equal(assert_comes_back(values, CHUNK_SAMPLES_MAX), CASES[i].size);
        assert_int_equal(assert_comes_back(values, 1), CASES[i].size);
    }
}

static void stale_marker_among_floats_costs_no_more_than_a_float(void **state)
{
    (void)state;
    struct hostile_random random = {99};
    double values[120];
    double value = 0.3;
    for (size_t i = 0; i < 120; i++) {
        value += (double)hostile_below(&random, 1000) / 3e5;
        values[i] = value;
    }
    size_t without = assert_comes_back(values, 119);
    values[119] = double_from_bits(STALE_MARKER_BITS);
    assert_in_range(assert_comes_back(values, 120), without, without + 9);
}

static void decode_refuses_every_cut_and_every_surplus(void **state)
{
    (void)state;
    struct hostile_random random = {4711};
    double values[100];
    double decoded[100];
    for (int round = 0; round < 500; round++) {
        hostile_fill(&random, values, 100);
        uint8_t *bytes;
        size_t size = encode(values, 100, &bytes);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *piece = malloc(cut + 1);
            memcpy(piece, bytes, cut);
            struct error error = {0};
            uint8_t *exact = realloc(piece, cut > 0 ? cut : 1);
            enum error_code code = value_codec_decode(exact, cut, 100, &scratch, decoded, &error);
            assert_int_not_equal(code, ERROR_NONE);
            assert_int_equal(code, error.code);
            free(exact);
        }
        uint8_t longer[VALUE_CODEC_BYTES_MAX + 1];
        memcpy(longer, bytes, size);
        longer[size] = 0;
        struct error error = {0};
        assert_int_equal(value_codec_decode(longer, size + 1, 100, &scratch, decoded, &error),
                         ERROR_CORRUPT);
        free(bytes);
    }
}

static void decode_refuses_unknown_codes(void **state)
{
    (void)state;
    static const uint8_t UNKNOWN[][4] = {
        {0xb0},             /* whole, detail 11 */
        {0x04},             /* whole with runs */
        {0x23},             /* plain, detail 2 */
        {0x01, 0xc0},       /* order 3 */
        {0x01, 0x43, 0},    /* residual method 3 among integers */
        {0x05, 0x02, 0x20}, /* runs with a common divisor */
    };
    for (size_t i = 0; i < sizeof UNKNOWN / sizeof *UNKNOWN; i++) {
        double decoded[3];
        uint8_t bytes[32] = {0};
        struct error error = {0};
        memcpy(bytes, UNKNOWN[i], sizeof UNKNOWN[i]);
        assert_int_equal(value_codec_decode(bytes, sizeof bytes, 3, &scratch, decoded, &error),
                         ERROR_UNSUPPORTED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_values_come_back_bit_for_bit),
        cmocka_unit_test(every_path_makes_the_same_bytes_and_values),
        cmocka_unit_test(damaged_chunks_are_the_same_to_every_path),
        cmocka_unit_test(a_few_floats_take_no_more_than_their_bytes_and_one),
        cmocka_unit_test(constant_chunks_take_one_to_nine_bytes),
        cmocka_unit_test(stale_marker_among_floats_costs_no_more_than_a_float),
        cmocka_unit_test(decode_refuses_every_cut_and_every_surplus),
        cmocka_unit_test(decode_refuses_unknown_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
