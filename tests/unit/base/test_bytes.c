#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/checksum.h"

static void varints_round_trip_at_every_width(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)delta;
            uint8_t bytes[VARINT_MAX_BYTES];
            size_t size = (size_t)(varint_store(bytes, value) - bytes);
            assert_int_equal(size, varint_size(value));
            struct byte_reader reader = byte_reader_over(bytes, size);
            assert_true(byte_reader_varint(&reader) == value);
            assert_false(reader.failed);
            reader = byte_reader_over(bytes, size - 1);
            byte_reader_varint(&reader);
            assert_true(reader.failed);
        }
    }
}

static void overlong_varints_fail(void **state)
{
    (void)state;
    uint8_t bytes[11];
    memset(bytes, 0xff, sizeof bytes);
    struct byte_reader reader = byte_reader_over(bytes, sizeof bytes);
    byte_reader_varint(&reader);
    assert_true(reader.failed);
}

static void texts_do_not_leave_the_input(void **state)
{
    (void)state;
    const uint8_t bytes[] = {5, 'a', 'b'};
    struct byte_reader reader = byte_reader_over(bytes, sizeof bytes);
    struct text text = byte_reader_text(&reader);
    assert_true(reader.failed);
    assert_int_equal(text.size, 0);
}

/* RFC 3720, B.4. */
static void crc32c_gives_the_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(crc32c(0, bytes, 5), bytes + 5, 27), 0x46dd794e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_round_trip_at_every_width),
        cmocka_unit_test(overlong_varints_fail),
        cmocka_unit_test(texts_do_not_leave_the_input),
        cmocka_unit_test(crc32c_gives_the_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
