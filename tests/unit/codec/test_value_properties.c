/*
 * What must hold for any values at all, tried on adversarial ones.
 *
 * usage: test_value_properties [rounds [seed]]   some thousand rounds by default
 */
#include "codec/value_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adversarial_values.h"
#include "codec/codec_path.h"

static unsigned long rounds = 4000;
static uint64_t first_seed = 1;

static struct codec_scratch scratch;

/* What earlier chunks left in the scratch memory must not matter. */
static void scratch_soil(struct hostile_random *random)
{
    memset(&scratch, (int)hostile_below(random, 256), sizeof scratch);
}

struct case_under_test {
    struct hostile_random random;
    size_t count;
    double values[CHUNK_SAMPLES_MAX];
    size_t size;
    uint8_t bytes[VALUE_CODEC_BYTES_MAX]; /* by the portable path */
};

static void case_make(struct case_under_test *test, uint64_t seed)
{
    test->random.state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (int i = 0; i < 8; i++) /* seeds beside each other begin alike */
        hostile_next(&test->random);
    uint64_t longest = hostile_below(&test->random, 4) == 0 ? CHUNK_SAMPLES_MAX : 130;
    test->count = 1 + hostile_below(&test->random, longest);
    adversarial_fill(&test->random, test->values, test->count);
    codec_path_select(CODEC_PATH_PORTABLE);
    test->size = value_codec_encode(test->values, test->count, &scratch, test->bytes);
    assert_in_range(test->size, 1, value_codec_size_max(test->count));
}

/* At the end of an allocation, so that a sanitizer sees each read past it. */
static enum error_code decode(const uint8_t *bytes, size_t size, size_t count, double *values_out)
{
    struct error error = {0};
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    enum error_code code = value_codec_decode(copy, size, count, &scratch, values_out, &error);
    free(copy);
    return code;
}

static void adversarial_values_come_back_on_every_path(void **state)
{
    (void)state;
    static struct case_under_test test;
    static double decoded[CHUNK_SAMPLES_MAX];
    for (unsigned long round = 0; round < rounds; round++) {
        case_make(&test, first_seed + round);
        for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
            if (!codec_path_is_available(path))
                continue;
            uint8_t bytes[VALUE_CODEC_BYTES_MAX];
            codec_path_select(path);
            scratch_soil(&test.random);
            size_t size = value_codec_encode(test.values, test.count, &scratch, bytes);
            assert_int_equal(size, test.size);
            assert_memory_equal(bytes, test.bytes, size);
            scratch_soil(&test.random);
            memset(decoded, 0x55, sizeof decoded);
            assert_int_equal(decode(bytes, size, test.count, decoded), ERROR_NONE);
            assert_memory_equal(decoded, test.values, test.count * sizeof *decoded);
        }
    }
}

/* Hostile bytes give an error or some values, on every path the same, and never more than that. */
static void damaged_adversarial_chunks_are_the_same_to_every_path(void **state)
{
    (void)state;
    static struct case_under_test test;
    static double decoded[CODEC_PATHS][CHUNK_SAMPLES_MAX];
    for (unsigned long round = 0; round < rounds; round++) {
        case_make(&test, first_seed + round);
        size_t size = test.size;
        if (hostile_below(&test.random, 3) == 0)
            size = 1 + hostile_below(&test.random, size);
        for (uint64_t flips = 1 + hostile_below(&test.random, 3); flips-- > 0;)
            test.bytes[hostile_below(&test.random, hostile_below(&test.random, 2) ? 12 : size) %
                       size] ^= (uint8_t)(1u << hostile_below(&test.random, 8));
        enum error_code codes[CODEC_PATHS] = {0};
        for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
            if (!codec_path_is_available(path))
                continue;
            codec_path_select(path);
            codes[path] = decode(test.bytes, size, test.count, decoded[path]);
            assert_int_equal(codes[path], codes[CODEC_PATH_PORTABLE]);
            if (codes[path] == ERROR_NONE)
                assert_memory_equal(decoded[path], decoded[CODEC_PATH_PORTABLE],
                                    test.count * sizeof **decoded);
        }
    }
}

/* Doubles without any order are stored as they are, and one byte says so. */
static void random_doubles_take_at_most_a_byte_more_than_they_have(void **state)
{
    (void)state;
    struct hostile_random random = {99};
    static double values[CHUNK_SAMPLES_MAX];
    for (size_t count = 1; count <= CHUNK_SAMPLES_MAX; count++) {
        uint8_t bytes[VALUE_CODEC_BYTES_MAX];
        for (size_t i = 0; i < count; i++)
            values[i] = double_from_bits(hostile_next(&random));
        size_t size = value_codec_encode(values, count, &scratch, bytes);
        assert_in_range(size, 1, 8 * count + 1);
    }
}

int main(int count, char **arguments)
{
    if (count > 1)
        rounds = strtoul(arguments[1], NULL, 10);
    if (count > 2)
        first_seed = strtoull(arguments[2], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adversarial_values_come_back_on_every_path),
        cmocka_unit_test(damaged_adversarial_chunks_are_the_same_to_every_path),
        cmocka_unit_test(random_doubles_take_at_most_a_byte_more_than_they_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
