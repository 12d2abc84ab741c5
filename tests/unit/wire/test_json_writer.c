#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json_writer.h"

static void doubles_are_shortest_and_laid_out_as_in_prometheus(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } CASES[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-12.5, "-12.5"},
        {0.1, "0.1"},
        {1e21, "1e+21"},
        {1e20, "100000000000000000000"},
        {1152921504606846976.0, "1152921504606847000"},
        {0.000001, "0.000001"},
        {0.00000012, "1.2e-07"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {123456.789, "123456.789"},
        {999999999.999999, "999999999.999999"},
        {1000000000.5, "1000000000.5"},
        {0.1 + 0.2, "0.30000000000000004"},
        {0.0000015, "0.0000015"},
        {38213.95, "38213.95"},
        {100.000001, "100.000001"},
        {NAN, "NaN"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char text[JSON_NUMBER_BYTES_MAX + 1];
        text[double_format(text, CASES[i].value)] = '\0';
        assert_string_equal(text, CASES[i].text);
    }
}

static void check(struct byte_buffer *buffer, const char *expected)
{
    byte_buffer_u8(buffer, 0);
    assert_string_equal((char *)buffer->bytes, expected);
    byte_buffer_reset(buffer);
}

static void strings_are_escaped_and_repaired(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    json_string(&buffer, TEXT("a\"b\\c\n\x01 \xc3\xbc"));
    check(&buffer, "\"a\\\"b\\\\c\\n\\u0001 \xc3\xbc\"");
    json_string(&buffer, TEXT("x\xffy\xc3\xbc"));
    check(&buffer, "\"x\xef\xbf\xbdy\xc3\xbc\"");
    byte_buffer_clear(&buffer);
}

static void timestamps_have_milliseconds_only_where_there_are_some(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    json_timestamp(&buffer, 1435781430781);
    check(&buffer, "1435781430.781");
    json_timestamp(&buffer, 1435781430000);
    check(&buffer, "1435781430");
    json_timestamp(&buffer, -5);
    check(&buffer, "-0.005");
    json_timestamp(&buffer, 1100);
    check(&buffer, "1.100");
    byte_buffer_clear(&buffer);
}

/* What the quick way prints reads back, and no shorter text does. */
static void doubles_with_few_decimals_are_shortest_too(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        static const double SCALES[] = {1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e9, 4294967296};
        double value = (double)(random >> (24 + random % 32)) / SCALES[i % 10];
        char text[JSON_NUMBER_BYTES_MAX + 1], shortest[32];
        text[double_format(text, value)] = '\0';
        assert_true(strtod(text, NULL) == value);
        int digits = 1;
        do
            snprintf(shortest, sizeof shortest, "%.*e", digits++ - 1, value);
        while (strtod(shortest, NULL) != value);
        int written = 0, zeros = 0;
        for (const char *at = text; *at != '\0' && *at != 'e'; at++) {
            written += *at >= '1' && *at <= '9' ? zeros + 1 : 0;
            zeros = *at == '0' && written > 0 ? zeros + 1 : *at == '.' ? zeros : 0;
        }
        assert_true(written <= digits - 1);
    }
}

static void texts_of_every_length_are_escaped_at_every_place(void **state)
{
    (void)state;
    static const char SPECIAL[] = {'"', '\\', 0x01, 0x1f, 0x0a};
    for (size_t size = 1; size < 20; size++)
        for (size_t at = 0; at < size; at++)
            for (size_t kind = 0; kind < sizeof SPECIAL; kind++) {
                char plain[20];
                struct byte_buffer buffer = {0};
                memset(plain, 'a', sizeof plain);
                plain[at] = SPECIAL[kind];
                json_string(&buffer, (struct text){plain, size});
                assert_false(buffer.failed);
                assert_true(buffer.size > size + 2);
                assert_int_equal(buffer.bytes[at + 1], '\\');
                byte_buffer_clear(&buffer);
            }
}

static void samples_are_written_until_the_buffer_is_full(void **state)
{
    (void)state;
    static const int64_t TIMES[] = {
        -1500, 0, 99999999, 100000000, 1435781430781, 1435799999999, 1435800000000, INT64_MAX};
    static const double VALUES[] = {1, 2.5, NAN, -4, 5, 6, 7, 8};
    struct byte_buffer buffer = {0};
    assert_int_equal(json_samples(&buffer, TIMES, VALUES, 8, SIZE_MAX), 8);
    check(&buffer, "[-1.500,\"1\"],[0,\"2.5\"],[99999.999,\"NaN\"],[100000,\"-4\"],"
                   "[1435781430.781,\"5\"],[1435799999.999,\"6\"],[1435800000,\"7\"],"
                   "[9223372036854775.807,\"8\"]");
    assert_int_equal(json_samples(&buffer, TIMES, VALUES, 8, 13), 2);
    byte_buffer_reset(&buffer);
    assert_int_equal(json_samples(&buffer, TIMES, VALUES, 8, 0), 1);
    byte_buffer_clear(&buffer);
}

static void a_sample_is_a_pair_of_time_and_quoted_value(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    json_sample(&buffer, 1435781430781, 0.25);
    check(&buffer, "[1435781430.781,\"0.25\"]");
    json_sample(&buffer, INT64_MIN, -2.2250738585072014e-308);
    check(&buffer, "[-9223372036854775.808,\"-2.2250738585072014e-308\"]");
    json_sample(&buffer, 1000000000000, 18014398509481984);
    check(&buffer, "[1000000000,\"18014398509481984\"]");
    byte_buffer_clear(&buffer);
}

static void a_scalar_has_no_exponent(void **state)
{
    (void)state;
    struct byte_buffer buffer = {0};
    json_scalar(&buffer, 1000, 1e21);
    check(&buffer, "[1,\"1000000000000000000000\"]");
    json_scalar(&buffer, 1500, -1.25e-7);
    check(&buffer, "[1.500,\"-0.000000125\"]");
    json_scalar(&buffer, 0, -0.0);
    check(&buffer, "[0,\"-0\"]");
    json_scalar(&buffer, 0, NAN);
    check(&buffer, "[0,\"NaN\"]");
    json_scalar(&buffer, 0, -INFINITY);
    check(&buffer, "[0,\"-Inf\"]");
    json_scalar(&buffer, INT64_MIN, -DBL_MAX);
    assert_int_equal(buffer.size, strlen("[-9223372036854775.808,\"-\"]") + 309);
    byte_buffer_reset(&buffer);
    json_scalar(&buffer, 0, -DBL_TRUE_MIN);
    assert_int_equal(buffer.size, strlen("[0,\"-0.5\"]") + 323);
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_shortest_and_laid_out_as_in_prometheus),
        cmocka_unit_test(strings_are_escaped_and_repaired),
        cmocka_unit_test(timestamps_have_milliseconds_only_where_there_are_some),
        cmocka_unit_test(doubles_with_few_decimals_are_shortest_too),
        cmocka_unit_test(texts_of_every_length_are_escaped_at_every_place),
        cmocka_unit_test(samples_are_written_until_the_buffer_is_full),
        cmocka_unit_test(a_sample_is_a_pair_of_time_and_quoted_value),
        cmocka_unit_test(a_scalar_has_no_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
