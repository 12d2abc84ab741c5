#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api_private.h"

/* --- Helpers ---------------------------------------------------------------------------------- */

static struct http_parameters one(struct http_parameter *entry, const char *value)
{
    *entry = (struct http_parameter){TEXT("p"), text_of(value)};
    return (struct http_parameters){entry, 1};
}

enum { REFUSED = -77 };

static int64_t time_of(const char *value)
{
    struct http_parameter entry;
    struct http_parameters parameters = one(&entry, value);
    int64_t time_ms;
    struct error error;
    enum error_code code = api_time(&parameters, TEXT("p"), 4711, &time_ms, &error);
    assert_true(code == ERROR_NONE || code == ERROR_INVALID);
    return code == ERROR_NONE ? time_ms : REFUSED;
}

static int64_t duration_of(const char *value)
{
    struct http_parameter entry;
    struct http_parameters parameters = one(&entry, value);
    int64_t duration_ns;
    struct error error;
    enum error_code code = api_duration(&parameters, TEXT("p"), 4711, &duration_ns, &error);
    assert_true(code == ERROR_NONE || code == ERROR_INVALID);
    return code == ERROR_NONE ? duration_ns : REFUSED;
}

static int64_t limit_of(const char *value)
{
    struct http_parameter entry;
    struct http_parameters parameters = one(&entry, value);
    uint64_t limit;
    struct error error;
    if (api_limit(&parameters, TEXT("p"), &limit, &error) != ERROR_NONE)
        return REFUSED;
    return (int64_t)limit;
}

static void assert_unescaped(const char *name, const char *expected)
{
    struct arena *arena = arena_create(0);
    struct text plain = api_unescape_name(text_of(name), arena);
    assert_int_equal(plain.size, strlen(expected));
    assert_memory_equal(plain.data, expected, plain.size);
    arena_destroy(arena);
}

/* --- Times ------------------------------------------------------------------------------------ */

static void a_time_is_seconds_with_decimals(void **state)
{
    (void)state;
    assert_int_equal(time_of("1435781430.781"), 1435781430781);
    assert_int_equal(time_of("1435781430"), 1435781430000);
    assert_int_equal(time_of("-1.5"), -1500);
    assert_int_equal(time_of("1e3"), 1000000);
    assert_int_equal(time_of("0.0006"), 1);
    assert_int_equal(time_of("1435781430.7814999"), 1435781430781);
}

static void a_time_is_rfc_3339(void **state)
{
    (void)state;
    assert_int_equal(time_of("2015-07-01T20:10:30.781Z"), 1435781430781);
    assert_int_equal(time_of("2015-07-01T20:10:30Z"), 1435781430000);
    assert_int_equal(time_of("2015-07-01T22:10:30.781+02:00"), 1435781430781);
    assert_int_equal(time_of("2015-07-01T20:10:30,781Z"), 1435781430781);
    assert_int_equal(time_of("1435781430.0005"), 1435781430000); /* the fraction alone is less */
    assert_int_equal(time_of("2015-07-01T15:40:30.781999-04:30"), 1435781430781);
    assert_int_equal(time_of("2016-02-29T00:00:00Z"), 1456704000000);
    assert_int_equal(time_of("1969-12-31T23:59:59.5Z"), -500);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const WRONG[] = {
        "now",
        "NaN",
        "+Inf",
        "1h",
        "2015-07-01",
        "2015-07-01T20:10:30",
        "2015-13-01T00:00:00Z",
        "2015-02-29T00:00:00Z",
        "2015-07-00T00:00:00Z",
        "2015-07-01T24:00:00Z",
        "2015-07-01T20:10:30.Z",
        "2015-07-01t20:10:30z",
        "0x10",
        "2015-07-01T20:10:30Zx",
        "2015-07-01T20:10:30+24:00",
        "1e300",
        "15 ",
        " 15",
    };
    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_int_equal(time_of(WRONG[i]), REFUSED);
}

static void the_ends_of_time_have_names_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(time_of("-292273086-05-16T16:47:06Z"), API_TIME_MIN);
    assert_int_equal(time_of("292277025-08-18T07:12:54.999999999Z"), API_TIME_MAX);
}

/* As Prometheus' own clients send for "everything"; no difference of two may overflow. */
static void times_beyond_all_data_become_the_ends_of_time(void **state)
{
    (void)state;
    assert_int_equal(time_of("9223372036854775.807"), API_TIME_MAX);
    assert_int_equal(time_of("-9223372036854775.808"), API_TIME_MIN);
    assert_true(API_TIME_MAX - API_TIME_MIN > 0);
}

static void a_missing_time_has_its_default(void **state)
{
    (void)state;
    struct http_parameters none = {0};
    int64_t time_ms;
    struct error error;
    assert_int_equal(api_time(&none, TEXT("p"), 4711, &time_ms, &error), ERROR_NONE);
    assert_int_equal(time_ms, 4711);
    assert_int_equal(time_of(""), 4711);
}

static void the_error_names_parameter_and_value(void **state)
{
    (void)state;
    struct http_parameter entry;
    struct http_parameters parameters = one(&entry, "soon");
    int64_t time_ms = 1;
    struct error error;
    api_time(&parameters, TEXT("p"), 0, &time_ms, &error);
    assert_string_equal(error.message,
                        "invalid parameter \"p\": invalid time value for 'p': cannot parse "
                        "\"soon\" to a valid timestamp");
    api_required_time(&parameters, TEXT("p"), &time_ms, &error);
    assert_string_equal(error.message,
                        "invalid parameter \"p\": cannot parse \"soon\" to a valid timestamp");
    api_duration(&parameters, TEXT("p"), 0, &time_ms, &error);
    assert_string_equal(error.message, "cannot parse \"soon\" to a valid duration");
    assert_int_equal(time_ms, 1);
    api_required_duration(&(struct http_parameters){0}, TEXT("p"), &time_ms, &error);
    assert_string_equal(error.message,
                        "invalid parameter \"p\": cannot parse \"\" to a valid duration");
}

/* --- Durations and limits --------------------------------------------------------------------- */

static void a_duration_is_seconds_or_in_units(void **state)
{
    (void)state;
    assert_int_equal(duration_of("5m"), INT64_C(300000000000));
    assert_int_equal(duration_of("1h30m"), INT64_C(5400000000000));
    assert_int_equal(duration_of("15"), INT64_C(15000000000));
    assert_int_equal(duration_of("0.25"), 250000000);
    assert_int_equal(duration_of("0.0001"), 100000);
    assert_int_equal(duration_of("-1"), -1000000000); /* a number: its user refuses it */
    assert_int_equal(duration_of("0"), 0);
    assert_int_equal(duration_of(""), 4711);
}

static void what_is_no_duration_is_refused(void **state)
{
    static const char *const WRONG[] = {"m", "5 m", "NaN", "Inf", "1e30", "5mm", "5x"};
    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++)
        assert_int_equal(duration_of(WRONG[i]), REFUSED);
}

static void a_limit_is_a_number_and_0_is_none(void **state)
{
    (void)state;
    assert_true(limit_of("0") == (int64_t)API_NO_LIMIT);
    assert_int_equal(limit_of("100"), 100);
    assert_true(limit_of("") == (int64_t)API_NO_LIMIT);
    assert_int_equal(limit_of("-1"), REFUSED);
    assert_int_equal(limit_of("1.5"), REFUSED);
    assert_int_equal(limit_of("many"), REFUSED);
    assert_int_equal(limit_of("99999999999999999999999"), REFUSED);
}

/* --- Selectors
 * ------------------------------------------------------------------------------------- */

static void every_selector_is_parsed(void **state)
{
    (void)state;
    const struct http_parameter entries[] = {{TEXT("match[]"), TEXT("up")},
                                             {TEXT("start"), TEXT("1")},
                                             {TEXT("match[]"), TEXT("{job=~\"a.*\"}")}};
    struct http_parameters parameters = {entries, 3};
    struct arena *arena = arena_create(0);
    struct api_selectors selectors;
    struct error error;
    assert_int_equal(api_selectors_parse(&parameters, TEXT("match[]"), arena, &selectors, &error),
                     ERROR_NONE);
    assert_int_equal(selectors.count, 2);
    assert_int_equal(selectors.queries[1].root->selector.matcher_count, 1);
    api_selectors_clear(&selectors);
    arena_destroy(arena);
}

static void what_is_no_selector_is_refused(void **state)
{
    static const char *const WRONG[] = {"up +", "{a=~\"(\"}", "up[5m]", "sum(up)", ""};
    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const struct http_parameter entries[] = {{TEXT("match[]"), TEXT("up")},
                                                 {TEXT("match[]"), text_of(WRONG[i])}};
        struct http_parameters parameters = {entries, 2};
        struct arena *arena = arena_create(0);
        struct api_selectors selectors;
        struct error error;
        assert_int_equal(
            api_selectors_parse(&parameters, TEXT("match[]"), arena, &selectors, &error),
            ERROR_INVALID);
        arena_destroy(arena);
    }
}

/* --- Escaped names
 * ------------------------------------------------------------------------------------ */

static void an_escaped_name_is_unescaped(void **state)
{
    (void)state;
    assert_unescaped("U__a_2e_b", "a.b");
    assert_unescaped("U__a__b", "a_b");
    assert_unescaped("U__gr_f6__df_e", "gr\xc3\xb6\xc3\x9f"
                                       "e");
    assert_unescaped("U___1f600_", "\xf0\x9f\x98\x80");
    assert_unescaped("U__", "");
}

static void what_only_looks_escaped_stays(void **state)
{
    (void)state;
    assert_unescaped("job", "job");
    assert_unescaped("U_a_2e_b", "U_a_2e_b");
    assert_unescaped("U__a_2e", "U__a_2e");
    assert_unescaped("U__a_zz_", "U__a_zz_");
    assert_unescaped("U__a_1234567_", "U__a_1234567_");
    assert_unescaped("U__a_110000_", "U__a_110000_");
    assert_unescaped("U__a_", "U__a_");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_is_seconds_with_decimals),
        cmocka_unit_test(a_time_is_rfc_3339),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(times_beyond_all_data_become_the_ends_of_time),
        cmocka_unit_test(the_ends_of_time_have_names_of_their_own),
        cmocka_unit_test(a_missing_time_has_its_default),
        cmocka_unit_test(the_error_names_parameter_and_value),
        cmocka_unit_test(a_duration_is_seconds_or_in_units),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(a_limit_is_a_number_and_0_is_none),
        cmocka_unit_test(every_selector_is_parsed),
        cmocka_unit_test(what_is_no_selector_is_refused),
        cmocka_unit_test(an_escaped_name_is_unescaped),
        cmocka_unit_test(what_only_looks_escaped_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
