#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "promql/parser.h"

static const struct promql_options STABLE = {PROMQL_STABLE};

/* The range of `x[<text>]` for a query of 10 minutes in steps of 30 seconds. */
static enum error_code evaluate(const char *text, enum duration_sign sign,
                                int64_t *milliseconds_out, struct error *error)
{
    static const struct duration_environment ENVIRONMENT = {.step_ms = 30000, .range_ms = 600000};
    char query_text[128];
    snprintf(query_text, sizeof query_text, sign == DURATION_POSITIVE ? "x[%s]" : "x offset (%s)",
             text);
    struct arena *arena = arena_create(0);
    struct promql_query query = {0};
    enum error_code code = promql_parse(text_of(query_text), &STABLE, arena, &query, error);
    if (code == ERROR_NONE) {
        const struct duration *duration = sign == DURATION_POSITIVE
                                              ? &query.root->matrix.range
                                              : &query.root->selector.shift.offset;
        code = duration_evaluate(duration, sign, &ENVIRONMENT, milliseconds_out, error);
    }
    promql_query_clear(&query);
    arena_destroy(arena);
    return code;
}

static void expressions_compute_in_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t milliseconds;
    } CASES[] = {
        {"5m", 300000},
        {"5m * 2", 600000},
        {"(5+2) * 1m", 420000},
        {"1h / 2", 1800000},
        {"4h % 3h", 3600000},
        {"(2 ^ 3) * 1m", 480000},
        {"2 ^ 3 ^ 2", 512000},
        {"10m - 1m - 1m", 480000},
        {"-5m + 20m", 900000},
        {"- 2 ^ 2 + 5", 1000},
        {"step() + 1", 31000},
        {"range()", 600000},
        {"max_of(step(), 5s)", 30000},
        {"MIN_OF(2 * step() + 5s, 5m)", 65000},
        {"0.0015 * 1", 1},
        {"+step()", 30000},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int64_t milliseconds = 0;
        struct error error;
        if (evaluate(CASES[i].text, DURATION_POSITIVE, &milliseconds, &error) != ERROR_NONE)
            fail_msg("%s: %s", CASES[i].text, error.message);
        assert_int_equal(milliseconds, CASES[i].milliseconds);
    }
}

static void offsets_may_be_negative(void **state)
{
    (void)state;
    int64_t milliseconds;
    struct error error;
    assert_int_equal(evaluate("5s - step()", DURATION_ANY_SIGN, &milliseconds, &error), ERROR_NONE);
    assert_int_equal(milliseconds, -25000);
    assert_int_equal(evaluate("0", DURATION_ANY_SIGN, &milliseconds, &error), ERROR_NONE);
    assert_int_equal(milliseconds, 0);
}

static void ranges_that_make_no_sense_are_refused_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } CASES[] = {
        {"5m - 10m", "2:10: duration must be greater than 0"},
        {"1 / (step() - 30s)", "2:20: division by zero"},
        {"1 + 1 % (step() - 30s)", "6:24: modulo by zero"},
        {"10 ^ 10", "2:9: duration is out of range"},
        {"10 ^ 1000", "2:11: duration is NaN or infinite"},
        {"(0-1) ^ 0.5", "2:13: duration is NaN or infinite"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int64_t milliseconds = 77;
        struct error error;
        assert_int_equal(evaluate(CASES[i].text, DURATION_POSITIVE, &milliseconds, &error),
                         ERROR_INVALID);
        assert_string_equal(error.message, CASES[i].message);
        assert_int_equal(milliseconds, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_compute_in_seconds),
        cmocka_unit_test(offsets_may_be_negative),
        cmocka_unit_test(ranges_that_make_no_sense_are_refused_with_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
