#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "http/parameters.h"

static int set_up(void **state)
{
    *state = arena_create(1 << 20);
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    arena_destroy(*state);
    return 0;
}

static struct http_parameters decode(const char *encoded, void *arena)
{
    struct http_parameters parameters;
    struct error error;
    assert_int_equal(http_parameters_decode(text_of(encoded), arena, &parameters, &error),
                     ERROR_NONE);
    return parameters;
}

static void assert_text(struct text actual, const char *expected)
{
    assert_true(text_equal(actual, text_of(expected)));
}

static void escapes_and_plus_are_decoded_in_names_and_values(void **state)
{
    struct http_parameters parameters = decode("a+b=1%2B1&%6datch%5B%5D=%7Bx%3D%22y%22%7D", *state);
    assert_int_equal(parameters.count, 2);
    assert_text(parameters.entries[0].name, "a b");
    assert_text(parameters.entries[0].value, "1+1");
    assert_text(parameters.entries[1].name, "match[]");
    assert_text(parameters.entries[1].value, "{x=\"y\"}");
}

static void repeated_names_keep_their_order(void **state)
{
    struct http_parameters parameters = decode("match[]=a&x=1&match[]=b&match[]=", *state);
    size_t position = 0;
    struct text value;
    assert_true(http_parameters_next(&parameters, TEXT("match[]"), &position, &value));
    assert_text(value, "a");
    assert_true(http_parameters_next(&parameters, TEXT("match[]"), &position, &value));
    assert_text(value, "b");
    assert_true(http_parameters_next(&parameters, TEXT("match[]"), &position, &value));
    assert_text(value, "");
    assert_false(http_parameters_next(&parameters, TEXT("match[]"), &position, &value));
}

static void a_missing_name_is_told_from_an_empty_value(void **state)
{
    struct http_parameters parameters = decode("&&time&query==&", *state);
    struct text value;
    assert_int_equal(parameters.count, 2);
    assert_true(http_parameters_find(&parameters, TEXT("time"), &value));
    assert_text(value, "");
    assert_true(http_parameters_find(&parameters, TEXT("query"), &value));
    assert_text(value, "=");
    assert_false(http_parameters_find(&parameters, TEXT("step"), &value));
    assert_text(value, "");
}

static void broken_escapes_and_semicolons_are_refused(void **state)
{
    static const char *const BROKEN[] = {"a=%", "a=%1", "a=%zz", "%=1", "a=1;b=2", "a=%0"};
    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++) {
        struct http_parameters parameters;
        struct error error;
        assert_int_equal(http_parameters_decode(text_of(BROKEN[i]), *state, &parameters, &error),
                         ERROR_INVALID);
    }
}

static void too_many_parameters_are_refused(void **state)
{
    static char many[(HTTP_PARAMETERS_MAX + 1) * 2];
    for (size_t i = 0; i < sizeof many; i += 2) {
        many[i] = 'a';
        many[i + 1] = '&';
    }
    struct http_parameters parameters;
    struct error error;
    struct text encoded = {many, sizeof many};
    assert_int_equal(http_parameters_decode(encoded, *state, &parameters, &error), ERROR_LIMIT);
    encoded.size -= 2;
    assert_int_equal(http_parameters_decode(encoded, *state, &parameters, &error), ERROR_NONE);
    assert_int_equal(parameters.count, HTTP_PARAMETERS_MAX);
}

static void a_full_arena_is_an_error(void **state)
{
    (void)state;
    struct arena *arena = arena_create(64);
    struct http_parameters parameters;
    struct error error;
    assert_int_equal(
        http_parameters_decode(TEXT("a=%31&b=%32&c=3&d=4"), arena, &parameters, &error),
        ERROR_OUT_OF_MEMORY);
    arena_destroy(arena);
}

static void the_form_comes_before_the_query(void **state)
{
    struct http_parameters joined;
    struct error error;
    assert_int_equal(http_parameters_join(decode("q=form", *state), decode("q=url&t=1", *state),
                                          *state, &joined, &error),
                     ERROR_NONE);
    struct text value;
    assert_int_equal(joined.count, 3);
    assert_true(http_parameters_find(&joined, TEXT("q"), &value));
    assert_text(value, "form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_and_plus_are_decoded_in_names_and_values),
        cmocka_unit_test(repeated_names_keep_their_order),
        cmocka_unit_test(a_missing_name_is_told_from_an_empty_value),
        cmocka_unit_test(broken_escapes_and_semicolons_are_refused),
        cmocka_unit_test(too_many_parameters_are_refused),
        cmocka_unit_test(a_full_arena_is_an_error),
        cmocka_unit_test(the_form_comes_before_the_query),
    };
    /* One arena for all: the tests are small. */
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
