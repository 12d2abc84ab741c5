#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "authorization.h"

static struct authorization_scratch scratch;

static struct authorization parse(const char *value)
{
    return authorization_parse(text_of(value), &scratch);
}

static void assert_basic(const char *value, struct text user, struct text password)
{
    struct authorization given = parse(value);
    assert_int_equal(given.kind, AUTHORIZATION_BASIC);
    assert_true(text_equal(given.user, user));
    assert_true(text_equal(given.password, password));
}

static void basic_is_user_and_password(void **state)
{
    (void)state;
    assert_basic("Basic YWxpY2U6c2VjcmV0", TEXT("alice"), TEXT("secret"));
    assert_basic("bAsIc   YWxpY2U6c2VjcmV0 ", TEXT("alice"), TEXT("secret"));
    assert_basic("Basic YTo=", TEXT("a"), TEXT(""));
    assert_basic("Basic OmE=", TEXT(""), TEXT("a"));
    assert_basic("Basic YTpiOmM6ZA==", TEXT("a"),
                 TEXT("b:c:d")); /* the first colon ends the name */
}

static void bearer_is_a_token(void **state)
{
    (void)state;
    struct authorization given = parse("Bearer abc.def-123");
    assert_int_equal(given.kind, AUTHORIZATION_BEARER);
    assert_true(text_equal(given.token, TEXT("abc.def-123")));
    assert_int_equal(parse("bearer x").kind, AUTHORIZATION_BEARER);
    assert_int_equal(parse("Bearer").kind, AUTHORIZATION_MALFORMED);
    assert_int_equal(parse("Bearer   ").kind, AUTHORIZATION_MALFORMED);
}

static void other_schemes_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(parse("Digest username=\"a\"").kind, AUTHORIZATION_OTHER);
    assert_int_equal(parse("").kind, AUTHORIZATION_OTHER);
    assert_int_equal(parse("Basically YTo=").kind, AUTHORIZATION_OTHER);
}

static void what_is_no_base64_of_a_pair_is_malformed(void **state)
{
    static const char *const BAD[] = {
        "Basic",          "Basic YWxpY2U",                             /* no padding */
        "Basic YWxpY2U=",                                              /* no colon */
        "Basic YTo=YTo=",                                              /* padding inside */
        "Basic YTp===",   "Basic YT pi",   "Basic Y-p_", "Basic YTp=", /* bits left over */
        "Basic YToAYg==",                                              /* a NUL */
    };
    (void)state;
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_int_equal(parse(BAD[i]).kind, AUTHORIZATION_MALFORMED);
}

static void what_is_too_long_is_malformed(void **state)
{
    (void)state;
    enum { LONG = 3000 };
    char value[LONG + 16];
    snprintf(value, sizeof value, "Bearer ");
    memset(value + 7, 'x', LONG);
    value[7 + LONG] = '\0';
    assert_int_equal(parse(value).kind, AUTHORIZATION_MALFORMED);
    memcpy(value, "Basic YTo", 9); /* a: and then more than any password has */
    value[9 + 2000 / 4 * 4 - 1] = '\0';
    memset(value + 9, 'A', strlen(value) - 9);
    assert_int_equal(parse(value).kind, AUTHORIZATION_MALFORMED);
}

/* RFC 4648 10. */
static void base64_has_the_vectors_of_its_rfc(void **state)
{
    static const char *const VECTORS[][2] = {{"", ""},
                                             {"Zg==", "f"},
                                             {"Zm8=", "fo"},
                                             {"Zm9v", "foo"},
                                             {"Zm9vYg==", "foob"},
                                             {"Zm9vYmE=", "fooba"},
                                             {"Zm9vYmFy", "foobar"}};
    (void)state;
    for (size_t i = 0; i < sizeof VECTORS / sizeof VECTORS[0]; i++) {
        uint8_t target[16];
        size_t size;
        assert_true(base64_decode(text_of(VECTORS[i][0]), target, &size));
        assert_int_equal(size, strlen(VECTORS[i][1]));
        assert_memory_equal(target, VECTORS[i][1], size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(basic_is_user_and_password),
        cmocka_unit_test(bearer_is_a_token),
        cmocka_unit_test(other_schemes_are_told_apart),
        cmocka_unit_test(what_is_no_base64_of_a_pair_is_malformed),
        cmocka_unit_test(what_is_too_long_is_malformed),
        cmocka_unit_test(base64_has_the_vectors_of_its_rfc),
    };
    return cmocka_run_group_tests_name("authorization", tests, NULL, NULL);
}
