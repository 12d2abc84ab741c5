#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "s3_signature.h"
#include "s3_text.h"

/* The examples of "Signature Calculations for the Authorization Header" in the API reference of
 * Amazon S3. */
static const char HOST[] = "examplebucket.s3.amazonaws.com";

struct example {
    const char *method;
    const char *path;
    const char *query;
    struct s3_header headers[6];
    size_t header_count;
    const char *payload_hash;
    const char *signature;
};

static void sign(const struct example *example, const char *day, struct s3_signing_key *key,
                 struct byte_buffer *buffer)
{
    char time[S3_TIME_BYTES];
    memcpy(time, day, 8);
    memcpy(time + 8, "T000000Z", 9);
    struct s3_signing signing = {
        .access_key = "AKIAIOSFODNN7EXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        .region = "us-east-1",
        .service = "s3",
        .time = time,
        .method = example->method,
        .path = text_of(example->path),
        .query = text_of(example->query),
        .headers = example->headers,
        .header_count = example->header_count,
        .payload_hash = example->payload_hash,
    };
    s3_sign(&signing, key, buffer);
    byte_buffer_u8(buffer, 0);
    assert_false(buffer->failed);
}

static void check(const struct example *example)
{
    struct s3_signing_key key;
    struct byte_buffer buffer = {0};
    s3_signing_key_init(&key);
    /* Twice: the second time with the key of the day. */
    for (int i = 0; i < 2; i++) {
        byte_buffer_reset(&buffer);
        sign(example, "20130524", &key, &buffer);
        const char *signature = strstr((const char *)buffer.bytes, ",Signature=");
        assert_non_null(signature);
        assert_string_equal(signature + strlen(",Signature="), example->signature);
    }
    byte_buffer_clear(&buffer);
    s3_signing_key_clear(&key);
}

static const struct example GET_OBJECT = {
    .method = "GET",
    .path = "/test.txt",
    .query = "",
    .headers = {{"host", HOST},
                {"range", "bytes=0-9"},
                {"x-amz-content-sha256", S3_PAYLOAD_EMPTY},
                {"x-amz-date", "20130524T000000Z"}},
    .header_count = 4,
    .payload_hash = S3_PAYLOAD_EMPTY,
    .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
};

static void a_range_is_signed_as_in_the_reference(void **state)
{
    (void)state;
    check(&GET_OBJECT);
}

static void a_put_with_a_body_is_signed_as_in_the_reference(void **state)
{
    (void)state;
    static const char body_hash[] =
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    const struct example example = {
        .method = "PUT",
        .path = "/test%24file.text",
        .query = "",
        .headers = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, /* sorted by who signs */
                    {"x-amz-date", "20130524T000000Z"},
                    {"date", "Fri, 24 May 2013 00:00:00 GMT"},
                    {"host", HOST},
                    {"x-amz-content-sha256", body_hash}},
        .header_count = 5,
        .payload_hash = body_hash,
        .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    };
    uint8_t digest[S3_SHA256_BYTES];
    char hash[S3_SHA256_HEX_BYTES];
    s3_sha256("Welcome to Amazon S3.", strlen("Welcome to Amazon S3."), digest);
    s3_hex(digest, sizeof digest, hash);
    assert_string_equal(hash, body_hash);
    check(&example);
}

static void queries_are_signed_as_in_the_reference(void **state)
{
    (void)state;
    struct example example = GET_OBJECT;
    example.path = "/";
    example.query = "lifecycle=";
    example.headers[1] = example.headers[3];
    example.header_count = 3;
    example.signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
    check(&example);
    example.query = "max-keys=2&prefix=J";
    example.signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    check(&example);
}

static void each_day_has_a_key_of_its_own(void **state)
{
    (void)state;
    struct s3_signing_key key, fresh;
    struct byte_buffer buffer = {0}, again = {0};
    s3_signing_key_init(&key);
    s3_signing_key_init(&fresh);
    sign(&GET_OBJECT, "20130524", &key, &buffer);
    byte_buffer_reset(&buffer);
    sign(&GET_OBJECT, "20130525", &key, &buffer);
    sign(&GET_OBJECT, "20130525", &fresh, &again);
    assert_string_equal((const char *)buffer.bytes, (const char *)again.bytes);
    assert_null(strstr((const char *)buffer.bytes, GET_OBJECT.signature));
    byte_buffer_clear(&buffer);
    byte_buffer_clear(&again);
    s3_signing_key_clear(&key);
    s3_signing_key_clear(&fresh);
}

static void values_are_trimmed_and_runs_of_spaces_are_one(void **state)
{
    (void)state;
    const struct s3_header header = {"x-amz-meta-one", "  a   b  \t c "};
    struct s3_signing signing = {.method = "GET",
                                 .path = TEXT("/"),
                                 .headers = &header,
                                 .header_count = 1,
                                 .payload_hash = S3_PAYLOAD_UNSIGNED};
    struct byte_buffer buffer = {0};
    s3_canonical_request(&signing, &buffer);
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((const char *)buffer.bytes,
                        "GET\n/\n\nx-amz-meta-one:a b c\n\nx-amz-meta-one\nUNSIGNED-PAYLOAD");
    byte_buffer_clear(&buffer);
}

static void escapes_are_those_of_the_signature(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    s3_escape(&buffer, TEXT("a b/c+d~e-f_g.h=\xc3\xa4%"), S3_ESCAPE_PATH);
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((const char *)buffer.bytes, "a%20b/c%2Bd~e-f_g.h%3D%C3%A4%25");
    byte_buffer_reset(&buffer);
    s3_escape(&buffer, TEXT("a/b"), S3_ESCAPE_VALUE);
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((const char *)buffer.bytes, "a%2Fb");
    byte_buffer_reset(&buffer);
    assert_true(s3_unescape(&buffer, TEXT("a%20b+c%2Bd%2fe%C3%a4")));
    byte_buffer_u8(&buffer, 0);
    assert_string_equal((const char *)buffer.bytes, "a b c+d/e\xc3\xa4");
    assert_false(s3_unescape(&buffer, TEXT("a%2")));
    assert_false(s3_unescape(&buffer, TEXT("a%zz")));
    byte_buffer_clear(&buffer);
}

static void times_are_read_in_both_notations(void **state)
{
    (void)state;
    int64_t time_ms = 0;
    char text[S3_TIME_BYTES];
    s3_time_format(1369353600000, text);
    assert_string_equal(text, "20130524T000000Z");
    assert_true(s3_time_parse(TEXT("2013-05-24T00:00:01.250Z"), &time_ms));
    assert_int_equal(time_ms, 1369353601250);
    assert_true(s3_time_parse(TEXT("2013-05-24T00:00:00Z"), &time_ms));
    assert_int_equal(time_ms, 1369353600000);
    assert_true(s3_time_parse_http(TEXT("Fri, 24 May 2013 00:00:02 GMT"), &time_ms));
    assert_int_equal(time_ms, 1369353602000);
    const char *wrong[] = {"",
                           "2013-05-24",
                           "2013-13-24T00:00:00Z",
                           "2013-05-24T00:00:00",
                           "2013-05-24 00:00:00Z",
                           "2013-05-24T00:00:00.Z",
                           "2013-05-24T24:00:00Z",
                           "2013-05-24T00:00:00.1xZ"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(s3_time_parse(text_of(wrong[i]), &time_ms));
    assert_false(s3_time_parse_http(TEXT("Fri, 24 Foo 2013 00:00:00 GMT"), &time_ms));
    assert_false(s3_time_parse_http(TEXT("Fri, 24 ayJ 2013 00:00:00 GMT"), &time_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_signed_as_in_the_reference),
        cmocka_unit_test(a_put_with_a_body_is_signed_as_in_the_reference),
        cmocka_unit_test(queries_are_signed_as_in_the_reference),
        cmocka_unit_test(each_day_has_a_key_of_its_own),
        cmocka_unit_test(values_are_trimmed_and_runs_of_spaces_are_one),
        cmocka_unit_test(escapes_are_those_of_the_signature),
        cmocka_unit_test(times_are_read_in_both_notations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
