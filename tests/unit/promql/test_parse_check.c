/* What is refused, where, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/parser.h"

struct refusal {
    const char *text;
    const char *message;
};

static void check(const struct refusal *cases, size_t count, enum promql_features features)
{
    for (size_t i = 0; i < count; i++) {
        struct promql_options options = {features};
        struct arena *arena = arena_create(0);
        struct promql_query query = {0};
        struct error error = {0};
        enum error_code code =
            promql_parse(text_of(cases[i].text), &options, arena, &query, &error);
        if (code != ERROR_INVALID || strcmp(error.message, cases[i].message) != 0)
            fail_msg("%s\n  is %d: %s\n  not  %s", cases[i].text, (int)code, error.message,
                     cases[i].message);
        assert_null(query.root);
        arena_destroy(arena);
    }
}

#define CHECK(cases) check(cases, sizeof cases / sizeof cases[0], PROMQL_EXPERIMENTAL)

static void unfinished_queries_are_refused(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"", "unknown position: parse error: no expression found in input"},
        {"{\"\"missing=\"\"}",
         "1:4: parse error: unexpected identifier \"missing\" in label matching, "
         "expected \",\" or \"}\""},
        {"(", "1:2: parse error: unclosed left parenthesis"},
        {"((1)", "1:5: parse error: unclosed left parenthesis"},
        {"1 /", "1:4: parse error: unexpected end of input"},
        {"*1", "1:1: parse error: unexpected <op:*>"},
        {"(1))", "1:5: parse error: unexpected right parenthesis ')'"},
        {"foo{", "1:5: parse error: unexpected end of input inside braces"},
        {"foo{a=\"b\"", "1:10: parse error: unexpected end of input inside braces"},
        {"foo{a", "1:6: parse error: unexpected end of input inside braces"},
        {"foo{a=", "1:7: parse error: unexpected end of input inside braces"},
        {"foo[5m", "1:7: parse error: unclosed left bracket"},
        {"foo[5m] offset", "1:15: parse error: unexpected end of input in offset, expected number, "
                           "duration, step(), or range()"},
        {"foo @ start", "1:12: parse error: unexpected end of input in @, expected timestamp"},
        {"sum by (a)", "1:11: parse error: unexpected end of input in aggregation"},
        {"foo + fill(1)", "1:14: parse error: unexpected end of input"},
        {"foo offset (5m", "1:15: parse error: unclosed left parenthesis"},
        {"start(", "1:7: parse error: unclosed left parenthesis"},
        {"# only a comment", "1:1: parse error: no expression found in input"},
        {"+", "1:2: parse error: unexpected end of input"},
        {"foo[step(]",
         "1:10: parse error: unexpected \"]\" in subquery or range selector, expected number, "
         "duration, step(), or range()"},
        {"abs(x", "1:6: parse error: unclosed left parenthesis"},
    };
    CHECK(CASES);
}

static void unknown_characters_and_literals_are_refused(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"5mm", "1:1: parse error: bad number or duration syntax: \"5mm\""},
        {"1_", "1:1: parse error: bad number or duration syntax: \"1_\""},
        {"1__2", "1:1: parse error: bad number or duration syntax: \"1__\""},
        {"0xg", "1:1: parse error: bad number or duration syntax: \"0x\""},
        {"1.2.3", "1:1: parse error: bad number or duration syntax: \"1.2.\""},
        {"1e", "1:1: parse error: bad number or duration syntax: \"1e\""},
        {"1e400", "1:1: parse error: error parsing number: \"1e400\": value out of range"},
        {"0xffffffffffffffffff",
         "1:1: parse error: error parsing number: \"0xffffffffffffffffff\": value out of range"},
        {"\"abc", "1:1: parse error: unterminated quoted string"},
        {"'abc\\\"'", "1:1: parse error: unknown escape sequence U+0022 '\"'"},
        {"\"\\z\"", "1:1: parse error: unknown escape sequence U+007A 'z'"},
        {"\"\\400\"", "1:1: parse error: escape sequence is an invalid Unicode code point"},
        {"\"\\ud800\"", "1:1: parse error: escape sequence is an invalid Unicode code point"},
        {"\"abc\\", "1:1: parse error: escape sequence not terminated"},
        {"`abc", "1:1: parse error: unterminated raw string"},
        {"foo !~ bar", "1:5: parse error: unexpected character after '!': '~'"},
        {"foo =~ bar", "1:5: parse error: unexpected character after '=': '~'"},
        {"foo ! bar", "1:5: parse error: unexpected character after '!': ' '"},
        {"foo; bar", "1:4: parse error: unexpected character: ';'"},
        {"foo & bar", "1:5: parse error: unexpected character: '&'"},
        {"$", "1:1: parse error: unexpected character: '$'"},
        {"foo}", "1:4: parse error: unexpected character: '}'"},
        {"\"a\xff\"", "1:1: parse error: invalid UTF-8 rune"},
        {"foo{a=`\xc3`}", "1:7: parse error: invalid UTF-8 rune"},
        {"sum by (without) (foo)",
         "1:9: parse error: unexpected <without> in grouping opts, expected label"},
        {"sum by (Inf) (foo)",
         "1:9: parse error: unexpected number \"Inf\" in grouping opts, expected label"},
        {"foo]", "1:4: parse error: unexpected right bracket ']'"},
        {"foo[[5m]]", "1:5: parse error: unexpected character in duration expression: '['"},
        {"foo[5m[", "1:7: parse error: unexpected left bracket '['"},
        {"foo[", "1:5: parse error: unexpected end of input in duration expression"},
        {"foo[:5m]", "1:6: parse error: unexpected colon before duration in duration expression"},
        {"foo[5m::]", "1:8: parse error: unexpected colon ':'"},
        {"foo[5m by]", "1:8: parse error: unexpected character: 'b', expected ':'"},
        {"foo{{a}", "1:5: parse error: unexpected left brace '{'"},
        {"\\", "1:1: parse error: unexpected character: '\\\\'"},
        {"!", "1:1: parse error: unexpected character after '!': '\xef\xbf\xbd'"},
        {"2by", "1:1: parse error: bad number or duration syntax: \"2\""},
        {"\xc3\xa9", "1:1: parse error: unexpected character: '\xc3\xa9'"},
        {"foo{a/b}", "1:6: parse error: unexpected character inside braces: '/'"},
        {"foo{a!b}", "1:6: parse error: unexpected character after '!' inside braces: 'b'"},
        {"foo[5mx]", "1:5: parse error: bad number or duration syntax: \"5mx\""},
        {"foo[5m1h]", "1:5: parse error: not a valid duration string: \"5m1h\""},
        {"foo[400y]", "1:5: parse error: duration out of range"},
        {"5h1h", "1:1: parse error: not a valid duration string: \"5h1h\""},
    };
    CHECK(CASES);
}

static void misplaced_tokens_are_named(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"a b", "1:3: parse error: unexpected identifier \"b\""},
        {"a 1", "1:3: parse error: unexpected number \"1\""},
        {"a 5m", "1:3: parse error: unexpected duration \"5m\""},
        {"a \"x\"", "1:3: parse error: unexpected string \"\\\"x\\\"\""},
        {"foo \"a long string with \\\" in it\"",
         "1:5: parse error: unexpected string \"\\\"a long st\"..."},
        {"a sum", "1:3: parse error: unexpected <aggr:sum>"},
        {"a by (x)", "1:3: parse error: unexpected <by>"},
        {"1 2", "1:3: parse error: unexpected number \"2\""},
        {"foo = bar", "1:5: parse error: unexpected \"=\""},
        {"bool", "1:1: parse error: unexpected <bool>"},
        {"on", "1:1: parse error: unexpected <on>"},
        {"atan2", "1:1: parse error: unexpected <op:atan2>"},
        {"foo + group_left bar", "1:7: parse error: unexpected <group_left>"},
        {"a:b(c)", "1:4: parse error: unexpected \"(\""},
        {"foo[5]5", "1:7: parse error: unexpected number \"5\""},
        {"(sum(a, b)", "1:11: parse error: unclosed left parenthesis"},
        {"sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"},
        {"sum(abs(a b))", "1:11: parse error: unexpected identifier \"b\" in aggregation"},
        {"abs(sum(a)) b", "1:13: parse error: unexpected identifier \"b\""},
        {"round(a, ==)", "1:8: parse error: trailing commas not allowed in function call args"},
        {"nothing(a b)", "1:11: parse error: unexpected identifier \"b\""},
        {"a * on (b) group_left == c",
         "1:23: parse error: unexpected <op:==> in grouping opts, expected \"(\""},
        {"a start", "1:3: parse error: unexpected \"start\""},
        {"a @ end(1)", "1:9: parse error: unexpected number \"1\" in @, expected timestamp"},
        {"foo[5m @ 3]",
         "1:8: parse error: unexpected <op:@> in subquery or range, expected \":\" or \"]\""},
        {"foo[foo]", "1:5: parse error: unexpected character in duration expression: 'f'"},
        {"foo[]", "1:5: parse error: unexpected \"]\" in subquery or range selector, expected "
                  "number, duration, step(), or range()"},
        {"foo[max_of(1)]", "1:13: parse error: unexpected \")\" in subquery or range selector, "
                           "expected number, duration, step(), or range()"},
        {"foo[5m:min_of(1,2]", "1:18: parse error: unexpected \"]\" in subquery selector, expected "
                               "number, duration, step(), range(), or \"]\""},
        {"foo offset step", "1:16: parse error: unexpected end of input in offset, expected "
                            "number, duration, step(), or range()"},
        {"foo @ bar", "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp"},
        {"foo offset \"x\"", "1:12: parse error: unexpected string \"\\\"x\\\"\" in offset, "
                             "expected number, duration, step(), or range()"},
        {"foo offset max", "1:12: parse error: unexpected <aggr:max> in offset, expected number, "
                           "duration, step(), or range()"},
        {"sum by (1) (foo)",
         "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"},
        {"sum by (a b) (foo)", "1:11: parse error: unexpected identifier \"b\" in grouping opts, "
                               "expected \",\" or \")\""},
        {"sum by a (foo)",
         "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""},
        {"sum(foo) by (a) by (b)", "1:17: parse error: unexpected <by>"},
        {"rate(foo[5m],)", "1:13: parse error: trailing commas not allowed in function call args"},
        {"foo + fill() bar", "1:12: parse error: unexpected \")\""},
        {"foo + fill(x) bar", "1:12: parse error: unexpected identifier \"x\""},
        {"foo{a=b}",
         "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"},
        {"foo{a=\"b\" c=\"d\"}", "1:11: parse error: unexpected identifier \"c\" in label "
                                 "matching, expected \",\" or \"}\""},
        {"foo{,}",
         "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
        {"foo{a=\"b\",,}",
         "1:11: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
        {"abs(a b)", "1:7: parse error: unexpected identifier \"b\""},
    };
    CHECK(CASES);
}

static void selectors_must_select_something_once(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"{x=\"\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"{x=~\".*\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"{x!~\".+\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"foo{__name__=\"bar\"}",
         "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
        {"foo{\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
        {"{\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"sum by (\"\") (foo)", "1:9: parse error: invalid label name: \"\""},
        {"foo{a=~\"(\"}", "1:5: parse error: error parsing regexp: missing closing ): `(`"},
        {"foo{a!~\"a**\"}",
         "1:5: parse error: error parsing regexp: invalid nested repetition operator: `**`"},
    };
    CHECK(CASES);
}

static void modifiers_belong_to_selectors(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"foo offset 5m offset 3m", "1:1: parse error: offset may not be set multiple times"},
        {"1 offset 5m", "1:1: parse error: offset modifier must be preceded by an instant vector "
                        "selector or range vector selector or a subquery"},
        {"sum(foo) offset 5m", "1:1: parse error: offset modifier must be preceded by an instant "
                               "vector selector or range vector selector or a subquery"},
        {"foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"},
        {"1 @ 2", "1:1: parse error: @ modifier must be preceded by an instant vector selector or "
                  "range vector selector or a subquery"},
        {"foo @ +Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
        {"foo @ NaN", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"},
        {"foo @ 1e16",
         "1:1: parse error: timestamp out of bounds for @ modifier: 10000000000000000.000000"},
        {"foo offset 5m [5m]", "1:15: parse error: no offset modifiers allowed before range"},
        {"foo @ 1 [5m]", "1:9: parse error: no @ modifiers allowed before range"},
        {"(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"},
        {"1[5m]", "1:2: parse error: ranges only allowed for vector selectors"},
        {"foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors"},
        {"foo[0m]", "1:5: parse error: duration must be greater than 0"},
        {"foo[-1]", "1:5: parse error: duration must be greater than 0"},
        {"foo[0.0001]", "1:5: parse error: duration must be greater than 0"},
        {"foo[5m:0]", "1:8: parse error: duration must be greater than 0"},
        {"foo[5m/0]", "1:7: parse error: division by zero"},
        {"foo[5m%0]", "1:7: parse error: modulo by zero"},
        {"foo anchored smoothed",
         "1:1: parse error: anchored and smoothed modifiers cannot be used together"},
        {"sum(foo) anchored", "1:1: parse error: anchored modifier must be preceded by an instant "
                              "vector selector or range vector selector"},
        {"foo[5m:] smoothed",
         "1:1: parse error: smoothed modifier is not supported for subqueries"},
        {"foo offset 1e10", "1:12: parse error: duration out of range"},
    };
    CHECK(CASES);
}

static void operands_have_to_fit_their_operators(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"1 and 1",
         "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
        {"1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
        {"foo and 1",
         "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
        {"1 or bar",
         "1:1: parse error: set operator \"or\" not allowed in binary scalar expression"},
        {"foo or on(bar) group_left(baz) bar",
         "1:1: parse error: no grouping allowed for \"or\" operation"},
        {"foo == on(bar) group_left(bar) baz",
         "1:5: parse error: label \"bar\" must not occur in ON and GROUP clause at once"},
        {"foo + bool bar",
         "1:5: parse error: bool modifier can only be used on comparison operators"},
        {"foo + bool 10",
         "1:5: parse error: bool modifier can only be used on comparison operators"},
        {"-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar "
                   "or instant vector, got \"string\""},
        {"-foo[5m]", "1:1: parse error: unary expression only allowed on expressions of type "
                     "scalar or instant vector, got \"range vector\""},
        {"\"a\" + 1",
         "1:1: parse error: binary expression must contain only scalar and instant vector types"},
        {"foo[5m] + 1",
         "1:1: parse error: binary expression must contain only scalar and instant vector types"},
        {"1 + foo[5m:]",
         "1:5: parse error: binary expression must contain only scalar and instant vector types"},
        {"foo + on (a) 1",
         "1:1: parse error: vector matching only allowed between instant vectors"},
        {"foo + fill(1) 1",
         "1:1: parse error: filling in missing series only allowed between instant vectors"},
        {"foo and fill(1) bar",
         "1:1: parse error: filling in missing series not allowed for set operators"},
        {"1[5m:]",
         "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"},
        {"foo[5m:][5m:]",
         "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"},
    };
    CHECK(CASES);
}

static void arguments_have_to_fit_their_functions(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", "
                      "got instant vector"},
        {"rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
        {"rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"},
        {"clamp(foo)", "1:1: parse error: expected 3 argument(s) in call to \"clamp\", got 1"},
        {"round(foo, 1, 2)",
         "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"},
        {"label_join(foo, \"a\")",
         "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"},
        {"label_join(foo, \"a\", \"b\", 3)",
         "1:27: parse error: expected type string in call to function \"label_join\", got scalar"},
        {"histogram_quantiles(foo, \"a\")", "1:1: parse error: expected at least 3 argument(s) in "
                                            "call to \"histogram_quantiles\", got 2"},
        {"unknown(foo)", "1:1: parse error: unknown function with name \"unknown\""},
        {"RATE(foo[5m])", "1:1: parse error: unknown function with name \"RATE\""},
        {"sum()", "1:1: parse error: no arguments for aggregate expression provided"},
        {"sum(1)",
         "1:5: parse error: expected type instant vector in aggregation expression, got scalar"},
        {"sum(foo, bar)", "1:1: parse error: wrong number of arguments for aggregate expression "
                          "provided, expected 1, got 2"},
        {"topk(foo)", "1:1: parse error: wrong number of arguments for aggregate expression "
                      "provided, expected 2, got 1"},
        {"topk(\"a\", foo)",
         "1:6: parse error: expected type scalar in aggregation parameter, got string"},
        {"topk(foo, foo)",
         "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"},
        {"count_values(1, foo)",
         "1:14: parse error: expected type string in aggregation parameter, got scalar"},
        {"info(foo, bar)",
         "1:11: parse error: expected label selectors only, got vector selector instead"},
        {"info(foo, {a=~\".*\"}, 1)",
         "1:1: parse error: expected at most 2 argument(s) in call to \"info\", got 3"},
        {"info(foo, 1)", "1:11: parse error: expected type instant vector in call to function "
                         "\"info\", got scalar"},
        {"abs(abs({}))",
         "1:9: parse error: vector selector must contain at least one non-empty matcher"},
        {"abs(sum(rate(foo)))", "1:14: parse error: expected type range vector in call to function "
                                "\"rate\", got instant vector"},
    };
    CHECK(CASES);
}

static void positions_count_lines_and_columns(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"foo\n+\n  bar baz", "3:7: parse error: unexpected identifier \"baz\""},
        {"sum(\n  1\n)",
         "2:3: parse error: expected type instant vector in aggregation expression, got scalar"},
        {"# a comment\n\n1 1", "3:3: parse error: unexpected number \"1\""},
    };
    CHECK(CASES);
}

static void experimental_features_are_off_unless_asked_for(void **state)
{
    (void)state;
    static const struct refusal CASES[] = {
        {"mad_over_time(x[5m])", "1:1: parse error: function \"mad_over_time\" is not enabled"},
        {"1 + step()", "1:5: parse error: function \"step\" is not enabled"},
        {"limitk(1, x)", "1:1: parse error: limitk() is experimental and not enabled"},
        {"limit_ratio(1, x)", "1:1: parse error: limit_ratio() is experimental and not enabled"},
        {"rate(x[5m] anchored)",
         "1:12: parse error: anchored modifier is experimental and not enabled"},
        {"x smoothed", "1:3: parse error: smoothed modifier is experimental and not enabled"},
        {"a + fill(0) b", "1:5: parse error: fill modifiers are experimental and not enabled"},
    };
    check(CASES, sizeof CASES / sizeof CASES[0], PROMQL_STABLE);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct promql_options options = {PROMQL_EXPERIMENTAL};
        struct arena *arena = arena_create(0);
        struct promql_query query = {0};
        struct error error;
        assert_int_equal(promql_parse(text_of(CASES[i].text), &options, arena, &query, &error),
                         ERROR_NONE);
        promql_query_clear(&query);
        arena_destroy(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unfinished_queries_are_refused),
        cmocka_unit_test(unknown_characters_and_literals_are_refused),
        cmocka_unit_test(misplaced_tokens_are_named),
        cmocka_unit_test(selectors_must_select_something_once),
        cmocka_unit_test(modifiers_belong_to_selectors),
        cmocka_unit_test(operands_have_to_fit_their_operators),
        cmocka_unit_test(arguments_have_to_fit_their_functions),
        cmocka_unit_test(positions_count_lines_and_columns),
        cmocka_unit_test(experimental_features_are_off_unless_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
