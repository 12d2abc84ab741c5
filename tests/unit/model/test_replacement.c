#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/replacement.h"

/* NULL: the value does not match. */
static void assert_replaced(const char *expression, const char *template, const char *value,
                            const char *expected)
{
    struct replacement *replacement;
    struct error error;
    assert_int_equal(
        replacement_create(text_of(expression), text_of(template), &replacement, &error),
        ERROR_NONE);
    struct byte_buffer result = {0};
    assert_int_equal(replacement_apply(replacement, text_of(value), &result), expected != NULL);
    struct text text = {(const char *)result.bytes, result.size};
    assert_true(text_equal(text, text_of(expected == NULL ? "" : expected)));
    byte_buffer_clear(&result);
    replacement_destroy(replacement);
}

static void groups_are_put_into_the_template(void **state)
{
    (void)state;
    assert_replaced("(.*):([0-9]+)", "$2 of $1", "host:9090", "9090 of host");
    assert_replaced("(.*):(?P<port>[0-9]+)", "${port}x", "host:9090", "9090x");
    assert_replaced("(?<a>.)(.)?", "[$a$2]", "x", "[x]");
    assert_replaced("a(b)?", "", "a", "");
}

/* Go takes the longest name: $1x is the group "1x", which there is none of. */
static void names_are_as_long_as_they_can_be(void **state)
{
    (void)state;
    assert_replaced("(.)", "$1x", "v", "");
    assert_replaced("(.)", "${1}x", "v", "vx");
    assert_replaced("(.)", "$2", "v", "");
    assert_replaced("(.)", "$99999999999999999999", "v", "");
}

static void a_dollar_is_written_twice(void **state)
{
    (void)state;
    assert_replaced("(.)", "$$1", "v", "$1");
    assert_replaced("(.)", "a$", "v", "a$");
    assert_replaced("(.)", "${1", "v", "${1");
}

static void the_whole_value_must_match(void **state)
{
    (void)state;
    assert_replaced("b", "x", "abc", NULL);
    assert_replaced(".*", "$0", "two\nlines", "two\nlines");
}

static void a_broken_expression_is_refused(void **state)
{
    (void)state;
    struct replacement *replacement = NULL;
    struct error error;
    assert_int_equal(replacement_create(TEXT("("), TEXT(""), &replacement, &error), ERROR_INVALID);
    assert_null(replacement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_put_into_the_template),
        cmocka_unit_test(names_are_as_long_as_they_can_be),
        cmocka_unit_test(a_dollar_is_written_twice),
        cmocka_unit_test(the_whole_value_must_match),
        cmocka_unit_test(a_broken_expression_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
