#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/matcher.h"

static struct matcher *make(enum matcher_type type, const char *value)
{
    struct matcher *matcher = NULL;
    struct error error;
    enum error_code code = matcher_create(type, TEXT("name"), text_of(value), &matcher, &error);
    if (code != ERROR_NONE)
        fail_msg("'%s': %s", value, error.message);
    return matcher;
}

struct match_case {
    const char *expression;
    const char *value;
    bool matches;
};

static void check_matches(const struct match_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct matcher *matcher = make(MATCHER_REGEX, cases[i].expression);
        struct matcher *negated = make(MATCHER_NOT_REGEX, cases[i].expression);
        struct text value = text_of(cases[i].value);
        if (matcher_matches(matcher, value) != cases[i].matches)
            fail_msg("'%s' on '%s'", cases[i].expression, cases[i].value);
        assert_true(matcher_matches(negated, value) != cases[i].matches);
        if (cases[i].matches)
            assert_true(text_starts_with(value, matcher_prefix(matcher)));
        matcher_destroy(matcher);
        matcher_destroy(negated);
    }
}

#define CHECK_MATCHES(cases) check_matches(cases, sizeof cases / sizeof cases[0])

static void equality_compares_whole_values(void **state)
{
    (void)state;
    struct matcher *equal = make(MATCHER_EQUAL, "a");
    assert_true(matcher_matches(equal, TEXT("a")));
    assert_false(matcher_matches(equal, TEXT("ab")));
    assert_false(matcher_matches_empty(equal));
    struct matcher *not_equal = make(MATCHER_NOT_EQUAL, "a");
    assert_false(matcher_matches(not_equal, TEXT("a")));
    assert_true(matcher_matches_empty(not_equal));
    matcher_destroy(equal);
    matcher_destroy(not_equal);
    matcher_destroy(NULL);
}

static void literals_and_alternations_match_whole_values(void **state)
{
    (void)state;
    static const struct match_case CASES[] = {
        {"", "", true},
        {"", "a", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"a|b|c", "b", true},
        {"a|b|c", "ab", false},
        {"a|b|", "", true},
        {"(a|b)c", "bc", true},
        {"(a|b)c", "b", false},
        {"(?:a|b)?c", "c", true},
        {"ab?c", "ac", true},
        {"ab?c", "abc", true},
        {"ab?c", "abbc", false},
        {"a\\.b", "a.b", true},
        {"a\\.b", "axb", false},
        {"h-[0-3]", "h-3", true},
        {"h-[0-3]", "h-4", false},
        {"[ab][cd]", "bc", true},
        {"^foo$", "foo", true},
        {"^a|b$", "b", true},
        {"^a|b$", "ab", false},
        {"gr\xc3\xbc?n", "grn", true},
        {"gr\xc3\xbc?n", "gr\xc3\xbcn", true},
        {"gr\xc3\xbc?n", "gr\xc3n", false},
        {"((((a))))", "a", true},
        {"v1|v2|v3|v4|v5|v6", "v6", true},
        {"v1|v2|v3|v4|v5|v6", "v7", false},
        {"v1|v2|v3|v4|v5|v6|", "", true},
        {"a{2}", "aa", true},
        {"ab{2}", "abb", true},
        {"a??", "", true},
        {"(a|b)+", "abab", true},
    };
    CHECK_MATCHES(CASES);
}

static void gaps_between_literals_match_anything(void **state)
{
    (void)state;
    static const struct match_case CASES[] = {
        {".*", "", true},
        {".*", "a\nb", true},
        {".+", "", false},
        {".+", "x", true},
        {"a.*", "a", true},
        {"a.+", "a", false},
        {".*b", "ab", true},
        {".+b", "b", false},
        {".*ab.*", "xaby", true},
        {".*ab.*", "xay", false},
        {"a.*b.*c", "a-b-c", true},
        {"a.*b.*c", "acb", false},
        {"a.+a", "aa", false},
        {"a.+a", "aba", true},
        {"ab.*ba", "aba", false},
        {".+a.+", "xay", true},
        {".+a.+", "ay", false},
        {".+a.+", "xa", false},
        {".*a.*a", "a", false},
        {".*\\.example\\.com", "www.example.com", true},
        {".*\\.example\\.com", "www-example.com", false},
        {"a.*?b", "axxb", true},
        {".*.+", "", false},
        {".+.+", "\xc3\xa9", false},
        {".+.+", "ab", true},
        {"^a.*b$", "ab", true},
        {"a.*(b)", "a-b", true},
        {"a.*b|c", "c", true},
    };
    CHECK_MATCHES(CASES);
}

static void everything_else_is_a_regular_expression_of_go(void **state)
{
    (void)state;
    static const struct match_case CASES[] = {
        {"(?i)error", "ErRoR", true},
        {"(?i:a)b", "Ab", true},
        {"(?i:a)b", "AB", false},
        {"host-[0-9]+", "host-17", true},
        {"host-[0-9]+", "host-", false},
        {"5..", "503", true},
        {"a.c", "a\nc", true},
        {"(?P<n>a)+", "aa", true},
        {"(?<n>a)+", "aa", true},
        {"[(?<n>]+", "(?<n", true},
        {"\\Q(?<\\E", "(?<", true},
        {"[]a]+", "]a", true},
        {"[[:alpha:]]+", "abc", true},
        {"[^a]", "b", true},
        {"\\pL+", "gr\xc3\xbc\xc3\x9f", true},
        {"(a+)+", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
        {"a\\$", "a$", true},
        {"\\\\C+", "\\CC", true}, /* a backslash, then letters: not \C */
        {"\\PC+", "a", true},
        {"a(?i)?b", "B", true}, /* the ? belongs to the a */
        {"a(?i)?b", "aB", true},
        {"a\\Q\\E?b", "b", true},
    };
    CHECK_MATCHES(CASES);
}

static void what_go_refuses_is_refused_with_its_words(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        const char *message;
    } CASES[] = {
        {"a(b", "error parsing regexp: missing closing ): `a(b`"},
        {"a)b", "error parsing regexp: unexpected ): `a)b`"},
        {"a[b", "error parsing regexp: missing closing ]: `[b`"},
        {"*a", "error parsing regexp: missing argument to repetition operator: `*`"},
        {"a**", "error parsing regexp: invalid nested repetition operator: `**`"},
        {"a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"},
        {"\\Z", "error parsing regexp: invalid escape sequence: `\\Z`"},
        {"a\\Cb", "error parsing regexp: invalid escape sequence: `\\C`"},
        {"(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"},
        {"(?<=a)b", NULL},
        {"(a)\\1", "error parsing regexp: invalid escape sequence: `\\1`"},
        {"a\\", "error parsing regexp: trailing backslash at end of expression: ``"},
        {"a\xff", NULL},
        {"[b-a]", "error parsing regexp: invalid character class range: `b-a`"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct matcher *matcher = NULL;
        struct error error;
        assert_int_equal(matcher_create(MATCHER_REGEX, TEXT("n"), text_of(CASES[i].expression),
                                        &matcher, &error),
                         ERROR_INVALID);
        assert_null(matcher);
        if (CASES[i].message != NULL)
            assert_string_equal(error.message, CASES[i].message);
    }
}

static void an_expression_that_grows_too_large_is_a_limit(void **state)
{
    (void)state;
    struct matcher *matcher = NULL;
    struct error error;
    static const char EXPRESSION[] = "\\pL{1000}\\pL{1000}\\pL{1000}\\pL{1000}\\pL{1000}";
    assert_int_equal(
        matcher_create(MATCHER_REGEX, TEXT("n"), text_of(EXPRESSION), &matcher, &error),
        ERROR_LIMIT);
    assert_null(matcher);
}

static void literal_values_are_listed_sorted(void **state)
{
    (void)state;
    const struct text *values;
    size_t count;
    struct matcher *matcher = make(MATCHER_REGEX, "c|a(1|2)|c|b");
    assert_true(matcher_literals(matcher, &values, &count));
    assert_int_equal(count, 4);
    static const char *const EXPECTED[] = {"a1", "a2", "b", "c"};
    for (size_t i = 0; i < 4; i++)
        assert_true(text_equal(values[i], text_of(EXPECTED[i])));
    matcher_destroy(matcher);

    matcher = make(MATCHER_EQUAL, "x");
    assert_true(matcher_literals(matcher, &values, &count));
    assert_int_equal(count, 1);
    matcher_destroy(matcher);

    static const char *const OTHERS[] = {".*", "a+", "(?i)a", "[0-9]*"};
    for (size_t i = 0; i < 4; i++) {
        matcher = make(MATCHER_REGEX, OTHERS[i]);
        assert_false(matcher_literals(matcher, &values, &count));
        matcher_destroy(matcher);
    }
    matcher = make(MATCHER_NOT_REGEX, "a|b");
    assert_false(matcher_literals(matcher, &values, &count));
    assert_int_equal(matcher_prefix(matcher).size, 0);
    matcher_destroy(matcher);
}

static void prefixes_are_what_every_match_starts_with(void **state)
{
    (void)state;
    static const struct {
        const char *expression;
        const char *prefix;
    } CASES[] = {
        {"abc", "abc"},         {"abc|abd", "ab"},    {"abc.*", "abc"}, {"ab*", "a"},
        {"api-[0-9]+", "api-"}, {"a+", ""},           {"(?i)abc", ""},  {"foo.*|bar", ""},
        {"^ab.", "ab"},         {"a\\.b[x]+", "a.b"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct matcher *matcher = make(MATCHER_REGEX, CASES[i].expression);
        assert_true(text_equal(matcher_prefix(matcher), text_of(CASES[i].prefix)));
        matcher_destroy(matcher);
    }
}

static void thousands_of_alternatives_stay_literals(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct byte_buffer buffer = {0};
    enum { COUNT = 5000 };
    for (int i = 0; i < COUNT; i++) {
        struct text item = arena_format(arena, "%shost-%d\\.example", i > 0 ? "|" : "", i);
        byte_buffer_append(&buffer, item.data, item.size);
    }
    struct matcher *matcher = NULL;
    struct error error;
    struct text expression = {(const char *)buffer.bytes, buffer.size};
    assert_int_equal(matcher_create(MATCHER_REGEX, TEXT("n"), expression, &matcher, &error),
                     ERROR_NONE);
    const struct text *values;
    size_t count;
    assert_true(matcher_literals(matcher, &values, &count));
    assert_int_equal(count, COUNT);
    for (int i = 0; i < COUNT; i += 7)
        assert_true(matcher_matches(matcher, arena_format(arena, "host-%d.example", i)));
    assert_false(matcher_matches(matcher, TEXT("host-17-example")));
    matcher_destroy(matcher);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_compares_whole_values),
        cmocka_unit_test(literals_and_alternations_match_whole_values),
        cmocka_unit_test(gaps_between_literals_match_anything),
        cmocka_unit_test(everything_else_is_a_regular_expression_of_go),
        cmocka_unit_test(what_go_refuses_is_refused_with_its_words),
        cmocka_unit_test(an_expression_that_grows_too_large_is_a_limit),
        cmocka_unit_test(literal_values_are_listed_sorted),
        cmocka_unit_test(prefixes_are_what_every_match_starts_with),
        cmocka_unit_test(thousands_of_alternatives_stay_literals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
