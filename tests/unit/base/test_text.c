#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void durations_follow_prometheus(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milliseconds; /* -1: refused */
    } CASES[] = {
        {"0", 0},     {"1ms", 1},          {"5m", 300000},    {"1d12h30m", 131400000},
        {"1h1h", -1}, {"1m1h", -1},        {"", -1},          {"5", -1},
        {"m", -1},    {"1y", 31536000000}, {"1w", 604800000}, {"300000000y", -1},
        {"1.5h", -1}, {"-1s", -1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct error error;
        int64_t duration = -1;
        enum error_code code = text_to_duration_ms(text_of(CASES[i].text), &duration, &error);
        assert_int_equal(duration, CASES[i].milliseconds);
        assert_int_equal(code, CASES[i].milliseconds < 0 ? ERROR_INVALID : ERROR_NONE);
    }
}

static void sizes_have_binary_and_decimal_units(void **state)
{
    (void)state;
    struct error error;
    uint64_t size;
    assert_int_equal(text_to_size_bytes(TEXT("512MiB"), &size, &error), ERROR_NONE);
    assert_int_equal(size, 512u << 20);
    assert_int_equal(text_to_size_bytes(TEXT("4096"), &size, &error), ERROR_NONE);
    assert_int_equal(size, 4096);
    assert_int_equal(text_to_size_bytes(TEXT("1GB"), &size, &error), ERROR_NONE);
    assert_int_equal(size, 1000000000);
    assert_int_equal(text_to_size_bytes(TEXT("-1"), &size, &error), ERROR_INVALID);
    assert_int_equal(text_to_size_bytes(TEXT("99999999999TiB"), &size, &error), ERROR_INVALID);
}

static void numbers_take_the_forms_of_prometheus(void **state)
{
    (void)state;
    double value;
    assert_true(text_to_double(TEXT("-1.5e3"), &value) && value == -1500);
    assert_true(text_to_double(TEXT("0x1p4"), &value) && value == 16);
    assert_true(text_to_double(TEXT("+Inf"), &value) && value > 1e308);
    assert_true(text_to_double(TEXT("-inf"), &value) && value < -1e308);
    assert_true(text_to_double(TEXT("NaN"), &value) && value != value);
    assert_false(text_to_double(TEXT(" 1"), &value));
    assert_false(text_to_double(TEXT("1 "), &value));
    assert_false(text_to_double(TEXT("nan(1)"), &value));
    assert_false(text_to_double(TEXT(""), &value));
}

static void utf8_refuses_overlong_forms_and_surrogates(void **state)
{
    (void)state;
    assert_true(text_is_utf8(TEXT("plain ascii longer than eight")));
    assert_true(text_is_utf8(TEXT("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")));
    assert_false(text_is_utf8(TEXT("\xc0\xaf")));
    assert_false(text_is_utf8(TEXT("\xed\xa0\x80")));
    assert_false(text_is_utf8(TEXT("\xf4\x90\x80\x80")));
    assert_false(text_is_utf8(TEXT("cut \xe2\x82")));
}

/* Whole words are looked at where there are such. */
static void utf8_refuses_a_stray_byte_at_any_place(void **state)
{
    (void)state;
    char bytes[20];
    for (size_t size = 1; size <= sizeof bytes; size++)
        for (size_t place = 0; place < size; place++) {
            memset(bytes, 'a', sizeof bytes);
            assert_true(text_is_utf8((struct text){bytes, size}));
            bytes[place] = '\x80';
            assert_false(text_is_utf8((struct text){bytes, size}));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_follow_prometheus),
        cmocka_unit_test(sizes_have_binary_and_decimal_units),
        cmocka_unit_test(numbers_take_the_forms_of_prometheus),
        cmocka_unit_test(utf8_refuses_overlong_forms_and_surrogates),
        cmocka_unit_test(utf8_refuses_a_stray_byte_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
