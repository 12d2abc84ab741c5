#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "promql/parser.h"

static const struct promql_options EXPERIMENTAL = {PROMQL_EXPERIMENTAL};

static struct promql_query parse(struct arena *arena, struct text text)
{
    struct promql_query query = {0};
    struct error error;
    if (promql_parse(text, &EXPERIMENTAL, arena, &query, &error) != ERROR_NONE)
        fail_msg("%.*s: %s", TEXT_ARGUMENTS(text), error.message);
    return query;
}

/* Printed as expected, and parsed back to an equal tree. */
static void assert_printed(const char *text, const char *expected)
{
    struct arena *arena = arena_create(0);
    struct promql_query query = parse(arena, text_of(text));
    struct byte_buffer buffer = {0};
    promql_print(query.root, &buffer);
    struct text printed = {(const char *)buffer.bytes, buffer.size};
    if (!text_equal(printed, text_of(expected)))
        fail_msg("%s\n is  %.*s\n not %s", text, TEXT_ARGUMENTS(printed), expected);
    struct promql_query again = parse(arena, printed);
    assert_true(promql_equal(query.root, again.root));
    promql_query_clear(&again);
    promql_query_clear(&query);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void assert_pretty(const char *text, const char *expected)
{
    struct arena *arena = arena_create(0);
    struct promql_query query = parse(arena, text_of(text));
    struct byte_buffer buffer = {0};
    promql_print_pretty(query.root, &buffer);
    struct text printed = {(const char *)buffer.bytes, buffer.size};
    if (!text_equal(printed, text_of(expected)))
        fail_msg("%s\n is\n%.*s\n not\n%s", text, TEXT_ARGUMENTS(printed), expected);
    promql_query_clear(&query);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

struct printed_case {
    const char *text;
    const char *printed; /* NULL: as it was written */
};

static void check(const struct printed_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_printed(cases[i].text, cases[i].printed == NULL ? cases[i].text : cases[i].printed);
}

#define CHECK(cases) check(cases, sizeof cases / sizeof cases[0])

static void numbers_have_the_fewest_digits_and_no_exponent(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"1", NULL},
        {"-0.1", NULL},
        {"5.0", "5"},
        {"1e-7", "0.0000001"},
        {"1e21", "1000000000000000000000"},
        {"0x10", "16"},
        {"-0", NULL},
        {"123456789.125", NULL},
        {"inf ^ 2", "Inf ^ 2"},
        {"-inf", "-Inf"},
        {"nan", "NaN"},
        {"--nan", "NaN"},
        {"-NaN", "NaN"},
        {"1_000", "1000"},
        {"5m", NULL},
        {"90s", "1m30s"},
        {"-2h", NULL},
        {"0s", NULL},
        {"-0s", NULL},
        {"36h", "1d12h"},
        {"14d", "2w"},
        {"0.30000000000000004", NULL},
        {"1500ms", "1s500ms"},
    };
    CHECK(CASES);
}

static void names_are_quoted_where_they_must_be(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"up", NULL},
        {"up{}", "up"},
        {"a:b{x=\"1\",y!=\"2\",z=~\"3.*\",w!~\"4\",x!=\"5\",x=\"0\"}",
         "a:b{w!~\"4\",x!=\"5\",x=\"0\",x=\"1\",y!=\"2\",z=~\"3.*\"}"},
        {"{'my.metric', \"a b\"='x'}", "{\"a b\"=\"x\",__name__=\"my.metric\"}"},
        {"{\"plain\", a='b'}", "{__name__=\"plain\",a=\"b\"}"},
        {"{\"bool\"} + {\"nan\"}", "{__name__=\"bool\"} + {__name__=\"nan\"}"},
        {"{__name__=\"up\"}", NULL},
        {"{__name__=~\"a|b\",job=\"x\"}", NULL},
        {"sum by (a:b, :) (x{\"a:b\"=\"c\"})", "sum by (\"a:b\", \":\") (x{\"a:b\"=\"c\"})"},
        {"sum by (\"a.b\", c) (x)", NULL},
        {"'tab\\t\\xff \\u00fc'", "\"tab\\t\\xff \xc3\xbc\""},
    };
    CHECK(CASES);
}

static void modifiers_have_one_order(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"x offset 5m @ 1.5", "x @ 1.500 offset 5m"},
        {"x[5m] offset -90 @ end()", "x[5m] @ end() offset -1m30s"},
        {"x[300] smoothed @ start()", "x[5m] smoothed @ start()"},
        {"x anchored [1m]", "x[1m] anchored"},
        {"x @ -0.001", NULL},
        {"(a + b)[1h:5m] offset 1d", NULL},
        {"rate(x[5m])[1h:] @ 1.000", NULL},
        {"x[5m*2+(1h-step())/ 3]", "x[5m * 2 + (1h - step()) / 3]"},
        {"x[min_of(range(),2^ -1)] offset -max_of(1m,step())",
         "x[min_of(range(), 2 ^ -1)] offset -max_of(1m, step())"},
        {"x[-(-5m)] offset (3)", "x[5m] offset 3s"},
        {"x offset 1y2w", "x offset 379d"},
        {"x offset 1d12h30m", NULL},
    };
    CHECK(CASES);
}

static void operators_keep_their_modifiers(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"a+b*-c^d", "a + b * -c ^ d"},
        {"a + on() b", "a + on () b"},
        {"a + ignoring() b", "a + b"},
        {"a*on(x)group_left(y,\"z z\")b", "a * on (x) group_left (y, \"z z\") b"},
        {"a*ignoring()group_right b", "a * ignoring () group_right () b"},
        {"a*on(x) group_left() (b)", "a * on (x) group_left () (b)"},
        {"a==bool fill(0)b", "a == bool fill (0) b"},
        {"a - fill_right(-.5) b", "a - fill_right (-0.5) b"},
        {"a AND b Unless on(c) d", "a and b unless on (c) d"},
        {"a </ 5 >/ 6", NULL},
        {"- - a", "--a"},
        {"a atan2 b", NULL},
        {"((a))", NULL},
    };
    CHECK(CASES);
}

static void calls_and_aggregations_have_one_form(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"SUM(x)BY(a,b)", "sum by (a, b) (x)"},
        {"sum by () (x)", "sum(x)"},
        {"sum(x) without ()", "sum without () (x)"},
        {"topk(3,x)", "topk(3, x)"},
        {"count_values by(a)('v',x)", "count_values by (a) (\"v\", x)"},
        {"time( )", "time()"},
        {"label_replace(x,'a','$1','b','(.*)')",
         "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")"},
    };
    CHECK(CASES);
}

static void long_queries_are_split_where_operands_begin(void **state)
{
    (void)state;
    static const struct printed_case CASES[] = {
        {"a+b", "a + b"},
        {"sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m])) / "
         "on (job) group_left (team) sum by (job) (rate(http_requests_total[5m]))",
         "  sum by (job) (rate(http_requests_total{code=~\"5..\"}[5m]))\n"
         "/ on (job) group_left (team)\n"
         "  sum by (job) (rate(http_requests_total[5m]))"},
        {"-topk(5, max_over_time((node_filesystem_avail_bytes{mountpoint=\"/\"} + "
         "node_filesystem_free_bytes{mountpoint=\"/\"})[1h:1m] offset 1d))",
         "-topk(\n"
         "  5,\n"
         "  max_over_time(\n"
         "    (node_filesystem_avail_bytes{mountpoint=\"/\"} + "
         "node_filesystem_free_bytes{mountpoint=\"/\"})[1h:1m] offset 1d\n"
         "  )\n"
         ")"},
        {"Inf ^ sum(rate(a_metric_with_a_name_that_is_longer_than_a_line_may_be_so_that_"
         "it_is_split{job=\"job\"}[5m]))",
         "  Inf\n"
         "^\n"
         "  sum(rate(a_metric_with_a_name_that_is_longer_than_a_line_may_be_so_that_"
         "it_is_split{job=\"job\"}[5m]))"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_pretty(CASES[i].text, CASES[i].printed);
}

static void different_queries_are_not_equal(void **state)
{
    (void)state;
    static const char *const QUERIES[] = {
        "a",
        "b",
        "a{x=\"1\"}",
        "a{x!=\"1\"}",
        "a{x=\"2\"}",
        "a offset 1s",
        "a @ 1",
        "a @ 2",
        "a @ end()",
        "a anchored",
        "a[1m]",
        "a[2m]",
        "a[1m:]",
        "a[1m:1s]",
        "a[1m * 2]",
        "a[1m * 3]",
        "-a",
        "+a",
        "(a)",
        "a + b",
        "a - b",
        "a + on () b",
        "a + on (x) b",
        "a + on (x) group_left () b",
        "a + on (x) group_left (y) b",
        "a == b",
        "a == bool b",
        "a + fill(1) b",
        "a + fill_left(1) b",
        "sum(a)",
        "sum without () (a)",
        "sum by (x) (a)",
        "avg(a)",
        "topk(1, a)",
        "topk(2, a)",
        "abs(a)",
        "ceil(a)",
        "hour()",
        "hour(a)",
        "1",
        "-1",
        "0",
        "-0",
        "1s",
        "\"1\"",
        "\"\"",
    };
    enum { COUNT = sizeof QUERIES / sizeof QUERIES[0] };
    struct arena *arena = arena_create(0);
    struct promql_query queries[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        queries[i] = parse(arena, text_of(QUERIES[i]));
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            if (promql_equal(queries[i].root, queries[j].root) != (i == j))
                fail_msg("%s and %s", QUERIES[i], QUERIES[j]);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        promql_query_clear(&queries[i]);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_the_fewest_digits_and_no_exponent),
        cmocka_unit_test(names_are_quoted_where_they_must_be),
        cmocka_unit_test(modifiers_have_one_order),
        cmocka_unit_test(operators_keep_their_modifiers),
        cmocka_unit_test(calls_and_aggregations_have_one_form),
        cmocka_unit_test(long_queries_are_split_where_operands_begin),
        cmocka_unit_test(different_queries_are_not_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
