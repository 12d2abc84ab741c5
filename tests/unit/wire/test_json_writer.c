#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>

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
        cmocka_unit_test(a_sample_is_a_pair_of_time_and_quoted_value),
        cmocka_unit_test(a_scalar_has_no_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
