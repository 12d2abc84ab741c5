#include "packed_array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_path.h"
#include "hostile_values.h"

static void every_width_and_count_packs_and_unpacks_on_every_path(void **state)
{
    (void)state;
    enum { COUNT_MAX = 70 };
    struct hostile_random random = {1};
    enum codec_path usual = codec_path_selected();
    for (unsigned width = 0; width <= 64; width++) {
        for (size_t count = 0; count <= COUNT_MAX; count++) {
            uint64_t values[COUNT_MAX];
            for (size_t i = 0; i < count; i++)
                values[i] = width == 0 ? 0 : hostile_next(&random) >> (64 - width);
            size_t size = packed_size_bytes(count, width);
            for (enum codec_path path = 0; path < CODEC_PATHS; path++) {
                if (!codec_path_is_available(path))
                    continue;
                codec_path_select(path);
                uint8_t packed[8 * COUNT_MAX + PACKED_SLACK_BYTES];
                assert_ptr_equal(packed_encode(values, count, width, packed), packed + size);
                uint8_t *exact = malloc(size == 0 ? 1 : size);
                memcpy(exact, packed, size);
                uint64_t unpacked[COUNT_MAX];
                struct byte_reader reader = byte_reader_over(exact, size);
                packed_decode(&reader, count, width, unpacked);
                assert_false(reader.failed);
                assert_int_equal(byte_reader_left(&reader), 0);
                assert_memory_equal(unpacked, values, count * sizeof *values);
                free(exact);
            }
        }
    }
    codec_path_select(usual);
}

static void packed_decode_fails_when_bytes_are_missing(void **state)
{
    (void)state;
    uint8_t bytes[7] = {0};
    uint64_t values[8];
    struct byte_reader reader = byte_reader_over(bytes, sizeof bytes);
    packed_decode(&reader, 8, 8, values);
    assert_true(reader.failed);
    reader = byte_reader_over(bytes, sizeof bytes);
    packed_decode(&reader, 0, 65, values);
    assert_true(reader.failed);
    reader = byte_reader_over(bytes, sizeof bytes);
    packed_decode(&reader, SIZE_MAX / 4, 64, values);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_and_count_packs_and_unpacks_on_every_path),
        cmocka_unit_test(packed_decode_fails_when_bytes_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
