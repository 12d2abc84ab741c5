#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <zlib.h>

#include "http/gzip.h"

static void weights_decide_about_gzip(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        bool accepted;
    } CASES[] = {
        {"gzip", true},      {"deflate, gzip, br", true}, {"GZIP;q=0.5", true},
        {"gzip;q=0", false}, {"gzip; q=0.000, *", false}, {"*", true},
        {"*;q=0", false},    {"identity, *;q=0.1", true}, {"br, deflate", false},
        {"", false},         {"gzipped", false},          {"gzip;q=x", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_int_equal(gzip_is_accepted(text_of(CASES[i].header)), CASES[i].accepted);
}

static size_t inflate_all(const struct byte_buffer *packed, char *target, size_t target_bytes)
{
    z_stream stream = {0};
    assert_int_equal(inflateInit2(&stream, 31), Z_OK);
    stream.next_in = packed->bytes;
    stream.avail_in = (uInt)packed->size;
    stream.next_out = (Bytef *)target;
    stream.avail_out = (uInt)target_bytes;
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.avail_in, 0);
    inflateEnd(&stream);
    return target_bytes - stream.avail_out;
}

static void pieces_come_back_as_one(void **state)
{
    (void)state;
    static char original[200000], copy[200001];
    for (size_t i = 0; i < sizeof original; i++)
        original[i] = (char)('a' + i * i % 23);
    struct gzip_encoder *encoder = gzip_encoder_create();
    for (int round = 0; round < 2; round++) { /* an encoder serves again after its end */
        struct byte_buffer packed = {0};
        for (size_t i = 0; i < sizeof original; i += 50000)
            gzip_encode(encoder, (struct text){original + i, 50000},
                        i % 100000 == 0 ? GZIP_MORE : GZIP_FLUSH, &packed);
        gzip_encode(encoder, (struct text){0}, GZIP_END, &packed);
        assert_false(packed.failed);
        assert_true(packed.size < sizeof original / 2);
        assert_int_equal(inflate_all(&packed, copy, sizeof copy), sizeof original);
        assert_memory_equal(copy, original, sizeof original);
        byte_buffer_clear(&packed);
    }
    gzip_encoder_destroy(encoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_decide_about_gzip),
        cmocka_unit_test(pieces_come_back_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
