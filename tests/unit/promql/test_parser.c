#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "promql/parser.h"
#include "promql/selectors.h"

static const struct promql_options STABLE = {PROMQL_STABLE};
static const struct promql_options EXPERIMENTAL = {PROMQL_EXPERIMENTAL};

struct fixture {
    struct arena *arena;
    struct promql_query query;
};

static int make_fixture(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.arena = arena_create(0)};
    *state = &fixture;
    return fixture.arena == NULL;
}

static int drop_fixture(void **state)
{
    struct fixture *fixture = *state;
    promql_query_clear(&fixture->query);
    arena_destroy(fixture->arena);
    return 0;
}

static const struct expression *parse(struct fixture *fixture, const char *text)
{
    struct error error;
    promql_query_clear(&fixture->query);
    if (promql_parse(text_of(text), &EXPERIMENTAL, fixture->arena, &fixture->query, &error) !=
        ERROR_NONE)
        fail_msg("%s: %s", text, error.message);
    return fixture->query.root;
}

static void assert_text(struct text actual, const char *expected)
{
    if (!text_equal(actual, text_of(expected)))
        fail_msg("'%.*s' instead of '%s'", TEXT_ARGUMENTS(actual), expected);
}

/* --- Literals -------------------------------------------------------------------------------- */

static void numbers_take_every_notation(void **state)
{
    static const struct {
        const char *text;
        double value;
        bool is_duration;
    } CASES[] = {
        {"1", 1, false},
        {"+0.5", 0.5, false},
        {"-.5", -0.5, false},
        {"1.", 1, false},
        {"5e3", 5000, false},
        {"5E-3", 0.005, false},
        {"0x1f", 31, false},
        {"0X_1F", 31, false},
        {"017", 15, false},
        {"08", 8, false},
        {"1_000_000", 1000000, false},
        {"1_0.5_0", 10.5, false},
        {"Inf", INFINITY, false},
        {"-iNF", -INFINITY, false},
        {"5m", 300, true},
        {"-1h30m", -5400, true},
        {"1d500ms", 86400.5, true},
        {"---5", -5, false},
        {"0x7fffffffffffffff", 9223372036854775807.0, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct expression *root = parse(*state, CASES[i].text);
        assert_int_equal(root->kind, EXPRESSION_NUMBER);
        assert_int_equal(root->type, VALUE_SCALAR);
        assert_true(root->number.value == CASES[i].value);
        assert_int_equal(root->number.is_duration, CASES[i].is_duration);
        assert_true(root->step_invariant);
    }
    assert_true(isnan(parse(*state, "NaN")->number.value));
}

static void strings_are_unescaped_as_in_go(void **state)
{
    static const struct {
        const char *text;
        struct text value;
    } CASES[] = {
        {"\"a'b\"", TEXT("a'b")},
        {"'a\"b'", TEXT("a\"b")},
        {"`a\\n\nb`", TEXT("a\\n\nb")},
        {"\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\"", TEXT("\a\b\f\n\r\t\v\\\"")},
        {"'\\x41\\102\\u00fc\\u20ac\\U0001f600\\''",
         TEXT("AB\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80'")},
        {"\"\\xff\\000\"", TEXT("\xff\0")},
        {"\"\"", TEXT("")},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct expression *root = parse(*state, CASES[i].text);
        assert_int_equal(root->kind, EXPRESSION_STRING);
        assert_true(text_equal(root->string.value, CASES[i].value));
    }
}

/* --- Selectors ------------------------------------------------------------------------------- */

static void a_selector_has_its_matchers_sorted_and_the_name_last(void **state)
{
    const struct expression *root =
        parse(*state, "http:requests{ job = \"a\" , code!='5..', path=~`/x.*`, zone!~\"b|c\", }");
    const struct selector_node *selector = &root->selector;
    assert_int_equal(root->type, VALUE_VECTOR);
    assert_text(selector->metric_name, "http:requests");
    assert_int_equal(selector->matcher_count, 5);
    static const struct {
        enum matcher_type type;
        const char *name;
        const char *value;
    } EXPECTED[] = {
        {MATCHER_NOT_EQUAL, "code", "5.."},
        {MATCHER_EQUAL, "job", "a"},
        {MATCHER_REGEX, "path", "/x.*"},
        {MATCHER_NOT_REGEX, "zone", "b|c"},
        {MATCHER_EQUAL, "__name__", "http:requests"},
    };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(selector->matchers[i]->type, EXPECTED[i].type);
        assert_text(selector->matchers[i]->name, EXPECTED[i].name);
        assert_text(selector->matchers[i]->value, EXPECTED[i].value);
    }
}

static void quoted_names_may_hold_anything(void **state)
{
    const struct selector_node *selector =
        &parse(*state, "{\"my.metric\", 'label name'=\"x\", plain!=\"y\"}")->selector;
    assert_text(selector->metric_name, "");
    assert_int_equal(selector->matcher_count, 3);
    assert_text(selector->matchers[0]->name, "label name");
    assert_text(selector->matchers[1]->value, "my.metric");
    assert_text(selector->matchers[2]->name, "plain");
    assert_text(selector->written[0]->value, "my.metric");

    /* What matches nothing may be asked all the same. */
    parse(*state, "{\"a\", \"b\"}");
    parse(*state, "{\"\"=\"x\"}");
    parse(*state, "{\"a\\xff\"=\"x\"}");
}

static void keywords_are_names_where_they_can_be(void **state)
{
    static const char *const QUERIES[] = {
        "sum + avg",
        "sum{by=\"x\"}",
        "by",
        "offset offset 5m",
        "sum by (by, on, sum) (by)",
        "a + fill",
        "fill_left - fill_right",
        "start + end",
        "step",
        "range{range=\"1\"}",
        "and or or",
        "a * on (bool) group_left (offset) without",
        "anchored",
        "smoothed[5m] smoothed",
        "max(max)",
        "unless unless unless",
        "limitk",
    };
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++)
        parse(*state, QUERIES[i]);
    const struct expression *root = parse(*state, "SUM(x) BY (a) AND y");
    assert_int_equal(root->binary.operation, BINARY_AND);
    assert_int_equal(root->binary.left->aggregation.operation, AGGREGATE_SUM);
}

static void offset_and_at_shift_selectors(void **state)
{
    static const struct {
        const char *text;
        int64_t offset_ms;
        enum at_modifier at;
        int64_t at_ms;
    } CASES[] = {
        {"x", 0, AT_NONE, 0},
        {"x offset 5m", 300000, AT_NONE, 0},
        {"x offset -1.5", -1500, AT_NONE, 0},
        {"x @ 100 offset 1m", 60000, AT_TIMESTAMP, 100000},
        {"x offset 1m @ -0.0015", 60000, AT_TIMESTAMP, -2},
        {"x @ 5m", 0, AT_TIMESTAMP, 300000},
        {"x @ start()", 0, AT_START, 0},
        {"x @ end() offset +7", 7000, AT_END, 0},
        {"x offset 0x10", 16000, AT_NONE, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct expression *root = parse(*state, CASES[i].text);
        const struct time_shift *shift = &root->selector.shift;
        assert_int_equal(shift->offset.milliseconds, CASES[i].offset_ms);
        assert_null(shift->offset.expression);
        assert_int_equal(shift->at, CASES[i].at);
        assert_int_equal(shift->at_timestamp_ms, CASES[i].at_ms);
        assert_int_equal(root->step_invariant, CASES[i].at != AT_NONE);
    }
}

static void ranges_and_subqueries_are_matrices(void **state)
{
    const struct expression *root = parse(*state, "x[5m] anchored offset 1m @ 7");
    assert_int_equal(root->kind, EXPRESSION_MATRIX);
    assert_int_equal(root->type, VALUE_MATRIX);
    assert_int_equal(root->matrix.range.milliseconds, 300000);
    const struct selector_node *selector = &root->matrix.selector->selector;
    assert_int_equal(selector->mode, RANGE_ANCHORED);
    assert_int_equal(selector->shift.offset.milliseconds, 60000);
    assert_int_equal(selector->shift.at_timestamp_ms, 7000);
    assert_true(root->step_invariant);

    root = parse(*state, "rate(x[1m])[1h:30s] offset 1w");
    assert_int_equal(root->kind, EXPRESSION_SUBQUERY);
    assert_int_equal(root->subquery.range.milliseconds, 3600000);
    assert_true(root->subquery.has_step);
    assert_int_equal(root->subquery.step.milliseconds, 30000);
    assert_int_equal(root->subquery.shift.offset.milliseconds, 604800000);
    assert_false(root->step_invariant);

    root = parse(*state, "x @ 1 [90:]");
    assert_int_equal(root->subquery.range.milliseconds, 90000);
    assert_false(root->subquery.has_step);
    assert_false(root->step_invariant); /* the steps of the sub-query still move */
    assert_true(root->subquery.operand->step_invariant);
}

/* --- Operators ------------------------------------------------------------------------------- */

/* An expression in parentheses all over: precedence made visible. */
static void show(const struct expression *expression, char *target, size_t target_bytes)
{
    char left[256];
    char right[256];
    switch (expression->kind) {
    case EXPRESSION_BINARY:
        show(expression->binary.left, left, sizeof left);
        show(expression->binary.right, right, sizeof right);
        snprintf(target, target_bytes, "(%s%s%s)", left,
                 binary_operator_text(expression->binary.operation), right);
        break;
    case EXPRESSION_UNARY:
        show(expression->unary.operand, right, sizeof right);
        snprintf(target, target_bytes, "%c%s",
                 expression->unary.operation == UNARY_MINUS ? '-' : '+', right);
        break;
    case EXPRESSION_NUMBER:
        snprintf(target, target_bytes, "%g", expression->number.value);
        break;
    default:
        snprintf(target, target_bytes, "%.*s",
                 TEXT_ARGUMENTS(expression_unwrap(expression)->selector.metric_name));
        break;
    }
}

static void operators_bind_as_documented(void **state)
{
    static const struct {
        const char *text;
        const char *shown;
    } CASES[] = {
        {"a+b*c", "(a+(b*c))"},
        {"a*b+c", "((a*b)+c)"},
        {"a-b-c", "((a-b)-c)"},
        {"a^b^c", "(a^(b^c))"},
        {"-a^b", "-(a^b)"},
        {"-a*b", "(-a*b)"},
        {"a^-b^c", "(a^-(b^c))"},
        {"-1^2", "-(1^2)"},
        {"2^-1", "(2^-1)"},
        {"a % b atan2 c / d", "(((a%b)atan2c)/d)"},
        {"a or b and c unless d or e", "((aor((bandc)unlessd))ore)"},
        {"a == b + c > d", "((a==(b+c))>d)"},
        {"a </ 1 >/ 2 < b", "(((a</1)>/2)<b)"},
        {"a - -b", "(a--b)"},
        {"a and b == c", "(aand(b==c))"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char shown[600];
        show(parse(*state, CASES[i].text), shown, sizeof shown);
        assert_string_equal(shown, CASES[i].shown);
    }
}

static void matching_modifiers_are_kept(void **state)
{
    const struct vector_matching *matching =
        parse(*state, "a / on (x, y,) group_left (z, \"the z\") fill_right(-1) b")->binary.matching;
    assert_int_equal(matching->cardinality, MATCH_MANY_TO_ONE);
    assert_int_equal(matching->labels_mode, MATCH_ON);
    assert_int_equal(matching->label_count, 2);
    assert_text(matching->labels[1], "y");
    assert_int_equal(matching->included_label_count, 2);
    assert_text(matching->included_labels[1], "the z");
    assert_false(matching->has_fill_left);
    assert_true(matching->has_fill_right && matching->fill_right == -1);

    const struct binary_node *binary = &parse(*state, "a == bool fill(5m) b")->binary;
    assert_true(binary->returns_bool);
    assert_int_equal(binary->matching->labels_mode, MATCH_IGNORING);
    assert_int_equal(binary->matching->label_count, 0);
    assert_true(binary->matching->fill_left == 300 && binary->matching->fill_right == 300);

    matching = parse(*state, "a unless ignoring (x) b")->binary.matching;
    assert_int_equal(matching->cardinality, MATCH_MANY_TO_MANY);
    matching = parse(*state, "a * ignoring () group_right b")->binary.matching;
    assert_int_equal(matching->cardinality, MATCH_ONE_TO_MANY);
    assert_null(parse(*state, "a * 2")->binary.matching);
    assert_int_equal(parse(*state, "1 < bool 2")->type, VALUE_SCALAR);
    assert_int_equal(parse(*state, "1 < a")->type, VALUE_VECTOR);
}

/* --- Aggregations and calls ------------------------------------------------------------------ */

static void aggregations_take_their_clause_on_both_sides(void **state)
{
    static const char *const QUERIES[] = {
        "topk by (a, \"b c\") (3, x)",
        "topk(3, x) by (a, \"b c\",)",
        "TOPK (3, x) BY (a, 'b c')",
    };
    for (size_t i = 0; i < 3; i++) {
        const struct aggregation_node *node = &parse(*state, QUERIES[i])->aggregation;
        assert_int_equal(node->operation, AGGREGATE_TOPK);
        assert_int_equal(node->grouping, GROUP_BY);
        assert_int_equal(node->label_count, 2);
        assert_text(node->labels[1], "b c");
        assert_true(node->parameter->number.value == 3);
        assert_text(node->operand->selector.metric_name, "x");
    }
    const struct aggregation_node *node = &parse(*state, "sum without () (x)")->aggregation;
    assert_int_equal(node->grouping, GROUP_WITHOUT);
    assert_int_equal(node->label_count, 0);
    assert_null(node->parameter);
}

static void calls_have_the_type_of_their_function(void **state)
{
    const struct expression *root = parse(*state, "histogram_quantiles(x, \"q\", 0.1, 0.5)");
    assert_int_equal(root->call.function, FUNCTION_HISTOGRAM_QUANTILES);
    assert_int_equal(root->call.argument_count, 4);
    assert_int_equal(root->type, VALUE_VECTOR);
    assert_int_equal(parse(*state, "scalar(x)")->type, VALUE_SCALAR);
    assert_int_equal(parse(*state, "hour()")->call.argument_count, 0);
    parse(*state, "info(x, {a=~\".*\"})");
    parse(*state, "label_join(x, \"d\", \",\")");
    parse(*state, "round(x, 5)");
}

static void the_table_of_functions_is_sorted_and_complete(void **state)
{
    (void)state;
    for (int i = 0; i < FUNCTIONS; i++) {
        const struct function *function = function_describe(i);
        enum function_id id;
        assert_true(function_find(function->name, &id));
        assert_int_equal(id, i);
        assert_true(function->argument_count_min <= function->argument_count_max);
        assert_true(function->argument_type_count <= FUNCTION_ARGUMENT_TYPES_MAX);
        if (function->argument_count_max > 0)
            assert_true(function->argument_type_count > 0);
    }
    enum function_id id;
    assert_false(function_find(TEXT("Rate"), &id));
    assert_false(function_find(TEXT("rat"), &id));
    assert_false(function_find(TEXT(""), &id));
}

static void what_never_changes_is_marked(void **state)
{
    static const struct {
        const char *text;
        bool invariant;
    } CASES[] = {
        {"rate(x[5m] @ 10)", true},
        {"sum(x @ 10) / 2", true},
        {"sum(x @ 10) / y", false},
        {"time()", false},
        {"pi() + step()", true},
        {"timestamp(x @ 10)", false},
        {"hour(x @ 10)", false},
        {"predict_linear(x[5m] @ 10, 5)", false},
        {"-(x @ end())", true},
        {"max_over_time(x[5m:] @ start())", true},
        {"topk(scalar(y), x @ 1)", false},
        {"\"text\"", true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
        assert_int_equal(parse(*state, CASES[i].text)->step_invariant, CASES[i].invariant);
}

static void positions_point_into_the_text(void **state)
{
    struct fixture *fixture = *state;
    const struct expression *root = parse(fixture, " sum ( rate(x{a=\"b\"}[5m] offset 1m) ) # end");
    struct text_range position = root->position;
    assert_text(
        (struct text){fixture->query.text.data + position.start, position.end - position.start},
        "sum ( rate(x{a=\"b\"}[5m] offset 1m) )");
    position = root->aggregation.operand->call.arguments[0]->position;
    assert_text(
        (struct text){fixture->query.text.data + position.start, position.end - position.start},
        "x{a=\"b\"}[5m] offset 1m");
}

/* --- Selectors alone ------------------------------------------------------------------------- */

static void a_series_selector_stands_alone(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    assert_int_equal(
        promql_parse_selector(TEXT("up{job=~\"a|b\"}"), fixture->arena, &fixture->query, &error),
        ERROR_NONE);
    assert_int_equal(fixture->query.root->kind, EXPRESSION_SELECTOR);
    assert_int_equal(fixture->query.matcher_count, 2);
    static const char *const REFUSED[] = {"up[5m]", "up offset 5m", "up @ 1",      "sum(up)", "1",
                                          "",       "up +",         "up anchored", "(up)"};
    for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
        struct promql_query query = {0};
        assert_int_equal(promql_parse_selector(text_of(REFUSED[i]), fixture->arena, &query, &error),
                         ERROR_INVALID);
        assert_null(query.root);
    }
}

/* Not in a query; match[] refuses it in words of its own. */
static void a_selector_alone_may_select_everything(void **state)
{
    struct fixture *fixture = *state;
    static const char *const WIDE[] = {"{}", "{a=~\".*\"}", "{a=\"\"}"};
    struct error error;
    for (size_t i = 0; i < sizeof WIDE / sizeof WIDE[0]; i++) {
        struct promql_query query = {0};
        assert_int_equal(promql_parse_selector(text_of(WIDE[i]), fixture->arena, &query, &error),
                         ERROR_NONE);
        assert_false(promql_refuses_empty(&query.root->selector));
        promql_query_clear(&query);
    }
}

/* --- Limits ---------------------------------------------------------------------------------- */

static struct text repeat(struct arena *arena, const char *head, const char *part, size_t count,
                          const char *tail)
{
    size_t part_size = strlen(part);
    size_t size = strlen(head) + part_size * count + strlen(tail);
    char *data = arena_allocate(arena, size + 1);
    char *end = stpcpy(data, head);
    for (size_t i = 0; i < count; i++)
        end = stpcpy(end, part);
    stpcpy(end, tail);
    return (struct text){data, size};
}

static void deep_nesting_is_a_limit_and_no_crash(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *head;
        const char *part;
        const char *tail;
    } CASES[] = {
        {"", "(", ""},           {"", "-", "x"},         {"", "abs(", ""},
        {"", "sum(", ""},        {"1", "+1", ""},        {"1", "^1", ""},
        {"x", "[1m:]", ""},      {"x[1", "+1", "]"},     {"x[1", "^1", "]"},
        {"x[", "(", ""},         {"x[", "-", "1]"},      {"x[", "min_of(1,", ""},
        {"x or ", "x or ", "x"}, {"x offset ", "(", ""}, {"x", " and (x", ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct error error;
        struct promql_query query = {0};
        struct text text =
            repeat(fixture->arena, CASES[i].head, CASES[i].part, 100000, CASES[i].tail);
        enum error_code code = promql_parse(text, &EXPERIMENTAL, fixture->arena, &query, &error);
        if (code != ERROR_LIMIT)
            fail_msg("%s%s...: %d", CASES[i].head, CASES[i].part, (int)code);
        promql_query_clear(&query);
    }
    /* A wide query is not a deep one. */
    struct text wide = repeat(fixture->arena, "label_join(x, \"a\", \"b\"", ", \"c\"", 20000, ")");
    struct error error;
    assert_int_equal(promql_parse(wide, &STABLE, fixture->arena, &fixture->query, &error),
                     ERROR_NONE);
    /* Nor is a chain of some hundred. */
    promql_query_clear(&fixture->query);
    struct text chain = repeat(fixture->arena, "x", " or x", PROMQL_DEPTH_MAX - 1, "");
    assert_int_equal(promql_parse(chain, &STABLE, fixture->arena, &fixture->query, &error),
                     ERROR_NONE);
    assert_int_equal(fixture->query.root->depth, PROMQL_DEPTH_MAX);
}

static void a_text_that_is_too_long_is_a_limit(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct text text = repeat(fixture->arena, "x", " ", PROMQL_TEXT_BYTES_MAX, "");
    assert_int_equal(promql_parse(text, &STABLE, fixture->arena, &fixture->query, &error),
                     ERROR_LIMIT);
}

/* Whatever allocation fails, the answer is OUT_OF_MEMORY and nothing leaks. */
static void every_size_of_arena_is_survived(void **state)
{
    (void)state;
    struct text text = TEXT("sum by (a, \"b\\n\") (rate(x{y=~\"a.*[b]\"}[5m * 2] offset (1m + "
                            "step()))) / on (a) group_left (c) fill(1) label_join(z, \"\\x41\", "
                            "\",\", \"d\") + 5 * -1");
    enum error_code code = ERROR_OUT_OF_MEMORY;
    for (size_t limit = 64; code != ERROR_NONE; limit += 64) {
        struct arena *arena = arena_create(limit);
        struct promql_query query = {0};
        struct error error;
        code = promql_parse(text, &EXPERIMENTAL, arena, &query, &error);
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        promql_query_clear(&query);
        arena_destroy(arena);
        assert_true(limit < 1024 * 1024);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_fixture, drop_fixture)
    const struct CMUnitTest tests[] = {
        TEST(numbers_take_every_notation),
        TEST(strings_are_unescaped_as_in_go),
        TEST(a_selector_has_its_matchers_sorted_and_the_name_last),
        TEST(quoted_names_may_hold_anything),
        TEST(keywords_are_names_where_they_can_be),
        TEST(offset_and_at_shift_selectors),
        TEST(ranges_and_subqueries_are_matrices),
        TEST(operators_bind_as_documented),
        TEST(matching_modifiers_are_kept),
        TEST(aggregations_take_their_clause_on_both_sides),
        TEST(calls_have_the_type_of_their_function),
        TEST(the_table_of_functions_is_sorted_and_complete),
        TEST(what_never_changes_is_marked),
        TEST(positions_point_into_the_text),
        TEST(a_series_selector_stands_alone),
        TEST(a_selector_alone_may_select_everything),
        TEST(deep_nesting_is_a_limit_and_no_crash),
        TEST(a_text_that_is_too_long_is_a_limit),
        TEST(every_size_of_arena_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
