/* Bytes of requests for ranges, and of the head of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "transfer_format.h"

static const struct range_request SAMPLE = {
    .group_id = 77,
    .file =
        {
            .kind = SHARD_FILE_BLOCK,
            .index = 123456,
            .number = 3,
            .is_agreed = true,
            .content_checksum = {5, 6},
        },
    .is_known = true,
    .known = {5000000, {7, 8}},
    .offset_bytes = 1048576,
    .size_bytes = RANGE_BYTES_MAX,
};

static void a_request_decodes_to_what_was_encoded(void **state)
{
    uint8_t bytes[RANGE_REQUEST_BYTES];
    struct range_request request;
    struct error error;
    (void)state;
    range_request_encode(&SAMPLE, bytes);
    assert_int_equal(range_request_decode(bytes, sizeof bytes, &request, &error), ERROR_NONE);
    assert_int_equal(request.group_id, 77);
    assert_int_equal(request.file.kind, SHARD_FILE_BLOCK);
    assert_int_equal(request.file.index, 123456);
    assert_int_equal(request.file.number, 3);
    assert_true(request.file.is_agreed);
    assert_true(hash128_equal(request.file.content_checksum, SAMPLE.file.content_checksum));
    assert_true(request.is_known);
    assert_int_equal(request.known.size_bytes, 5000000);
    assert_true(hash128_equal(request.known.hash, SAMPLE.known.hash));
    assert_int_equal(request.offset_bytes, 1048576);
    assert_int_equal(request.size_bytes, RANGE_BYTES_MAX);
}

static void a_request_of_another_length_is_refused(void **state)
{
    uint8_t bytes[RANGE_REQUEST_BYTES + 1] = {0};
    struct range_request request;
    struct error error;
    (void)state;
    range_request_encode(&SAMPLE, bytes);
    for (size_t size = 0; size < RANGE_REQUEST_BYTES; size++)
        assert_int_equal(range_request_decode(bytes, size, &request, &error), ERROR_CORRUPT);
    assert_int_equal(range_request_decode(bytes, sizeof bytes, &request, &error), ERROR_CORRUPT);
}

static void assert_refused(size_t offset, uint8_t value, enum error_code code)
{
    uint8_t bytes[RANGE_REQUEST_BYTES];
    struct range_request request;
    struct error error;
    range_request_encode(&SAMPLE, bytes);
    bytes[offset] = value;
    assert_int_equal(range_request_decode(bytes, sizeof bytes, &request, &error), code);
}

static void nothing_out_of_range_is_accepted(void **state)
{
    (void)state;
    assert_refused(0, 2, ERROR_UNSUPPORTED);
    assert_refused(1, 0, ERROR_CORRUPT);    /* kind */
    assert_refused(1, 6, ERROR_CORRUPT);    /* kind */
    assert_refused(2, 4, ERROR_CORRUPT);    /* flags */
    assert_refused(3, 1, ERROR_CORRUPT);    /* reserved */
    assert_refused(8, 0, ERROR_CORRUPT);    /* group 0 */
    assert_refused(66, 255, ERROR_CORRUPT); /* behind the end of the known file */
    assert_refused(71, 255, ERROR_CORRUPT); /* no file is so large */
    assert_refused(72, 1, ERROR_CORRUPT);   /* more than a MiB */
    assert_refused(79, 1, ERROR_CORRUPT);   /* reserved */
}

static void a_head_decodes_to_what_was_encoded(void **state)
{
    uint8_t bytes[RANGE_HEAD_BYTES];
    const struct file_identity file = {99, {1, 2}};
    struct file_identity found;
    struct error error;
    (void)state;
    range_head_encode(&file, bytes);
    assert_int_equal(range_head_decode(bytes, &found, &error), ERROR_NONE);
    assert_int_equal(found.size_bytes, 99);
    assert_true(hash128_equal(found.hash, file.hash));
    bytes[0] = 9;
    assert_int_equal(range_head_decode(bytes, &found, &error), ERROR_UNSUPPORTED);
    range_head_encode(&(struct file_identity){0, {1, 2}}, bytes);
    assert_int_equal(range_head_decode(bytes, &found, &error), ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_decodes_to_what_was_encoded),
        cmocka_unit_test(a_request_of_another_length_is_refused),
        cmocka_unit_test(nothing_out_of_range_is_accepted),
        cmocka_unit_test(a_head_decodes_to_what_was_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
