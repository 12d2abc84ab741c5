#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>

#include "base/checksum.h"

/* Large pieces are summed in another way than small ones. */
static void crc32c_does_not_depend_on_how_bytes_are_cut(void **state)
{
    (void)state;
    enum { SIZE = 20000 };
    static uint8_t bytes[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * i / 7 + i);
    for (size_t size = 3000; size <= SIZE; size += 61) {
        uint32_t pieces = 0x1234;
        for (size_t at = 0; at < size; at += 100)
            pieces = crc32c(pieces, bytes + at, size - at < 100 ? size - at : 100);
        assert_int_equal(crc32c(0x1234, bytes, size), pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_does_not_depend_on_how_bytes_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
