#include "ascending_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_path.h"
#include "hostile_values.h"

static struct codec_scratch scratch;

static void assert_list_comes_back(const uint32_t *values, size_t count, size_t size_max)
{
    struct byte_buffer buffer = {0};
    ascending_encode(values, count, &buffer);
    assert_in_range(buffer.size, 0, size_max);
    uint32_t *decoded = malloc((count + 1) * sizeof *decoded);
    struct error error = {0};
    for (size_t cut = 0; cut < buffer.size; cut++) {
        struct byte_reader reader = byte_reader_over(buffer.bytes, cut);
        assert_int_equal(ascending_decode(&reader, count, decoded, &error), ERROR_CORRUPT);
    }
    struct byte_reader reader = byte_reader_over(buffer.bytes, buffer.size);
    assert_int_equal(ascending_decode(&reader, count, decoded, &error), ERROR_NONE);
    assert_int_equal(byte_reader_left(&reader), 0);
    assert_memory_equal(decoded, values, count * sizeof *values);
    free(decoded);
    byte_buffer_clear(&buffer);
}

static void ascending_lists_come_back_and_no_cut_of_them(void **state)
{
    (void)state;
    static uint32_t values[1000];
    struct hostile_random random = {9};
    for (size_t count = 0; count <= 1000; count += 1 + count / 7) {
        uint64_t step = 1 + hostile_below(&random, 4000000);
        uint64_t value = hostile_below(&random, 1000);
        for (size_t i = 0; i < count; i++, value += 1 + hostile_below(&random, step))
            values[i] = (uint32_t)value;
        assert_list_comes_back(values, count, 4 * count + 16);
    }
    for (size_t i = 0; i < 1000; i++)
        values[i] = (uint32_t)i + 70000;
    assert_list_comes_back(values, 1000, 18); /* consecutive: 2 bytes a block */
    values[0] = 0;
    values[1] = UINT32_MAX;
    assert_list_comes_back(values, 2, 6);
}

static void ascending_decode_refuses_values_above_32_bits(void **state)
{
    (void)state;
    static const uint8_t TOO_LARGE[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0};
    uint32_t values[2];
    struct error error = {0};
    struct byte_reader reader = byte_reader_over(TOO_LARGE, sizeof TOO_LARGE);
    assert_int_equal(ascending_decode(&reader, 1, values, &error), ERROR_NONE);
    assert_int_equal(values[0], UINT32_MAX);
    reader = byte_reader_over(TOO_LARGE, sizeof TOO_LARGE);
    assert_int_equal(ascending_decode(&reader, 2, values, &error), ERROR_CORRUPT);
}

static void columns_of_any_integers_come_back(void **state)
{
    (void)state;
    static int64_t values[CHUNK_SAMPLES_MAX];
    static int64_t decoded[CHUNK_SAMPLES_MAX];
    static uint8_t bytes[9 * CHUNK_SAMPLES_MAX + 64];
    struct hostile_random random = {77};
    for (int round = 0; round < 3000; round++) {
        size_t count = 1 + hostile_below(&random, CHUNK_SAMPLES_MAX);
        uint64_t bits = 1 + hostile_below(&random, 64);
        uint64_t factor = hostile_below(&random, 4) ? 1 : hostile_next(&random);
        for (size_t i = 0; i < count; i++) {
            uint64_t value = (hostile_next(&random) >> (64 - bits)) * factor;
            values[i] = (int64_t)(hostile_below(&random, 2) ? value : 0 - value);
        }
        uint8_t *end = integer_column_encode(values, count, &scratch, bytes);
        size_t size = (size_t)(end - bytes);
        assert_in_range(size, 1, integer_column_size_max(count));
        struct byte_reader reader = byte_reader_over(bytes, size);
        struct error error = {0};
        assert_int_equal(integer_column_decode(&reader, count, &scratch, decoded, &error),
                         ERROR_NONE);
        assert_int_equal(byte_reader_left(&reader), 0);
        assert_memory_equal(decoded, values, count * sizeof *values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascending_lists_come_back_and_no_cut_of_them),
        cmocka_unit_test(ascending_decode_refuses_values_above_32_bits),
        cmocka_unit_test(columns_of_any_integers_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
