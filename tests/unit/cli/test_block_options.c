#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block_options.h"

enum { ARGUMENTS_MAX = 8 };

static enum error_code read_arguments(enum block_direction direction, const char *const *arguments,
                                      struct block_options *options, struct error *error)
{
    char *copies[ARGUMENTS_MAX];
    int count = 0;
    bool wants_help;
    for (; arguments[count] != NULL; count++)
        copies[count] = (char *)arguments[count];
    return block_options_read(direction, count, copies, options, &wants_help, error);
}

static void assert_time(const char *text, int64_t expected_ms)
{
    const char *const arguments[] = {"folder", "--dry-run", "--start", text, NULL};
    struct block_options options;
    struct error error;
    assert_int_equal(read_arguments(BLOCK_IMPORT, arguments, &options, &error), ERROR_NONE);
    assert_true(options.has_start);
    assert_false(options.has_end);
    assert_int_equal(options.start_ms, expected_ms);
    block_options_clear(&options);
}

static void times_are_dates_or_seconds(void **state)
{
    (void)state;
    assert_time("0", 0);
    assert_time("-1.5", -1500);
    assert_time("1700000000.123", 1700000000123);
    assert_time("2023-11-14T22:13:20Z", 1700000000000);
    assert_time("2023-11-14T22:13:20.5Z", 1700000000500);
    assert_time("2023-11-15T00:13:20+02:00", 1700000000000);
    assert_time("2023-11-14T16:43:20.25-05:30", 1700000000250);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const TEXTS[] = {"yesterday",
                                        "2023-11-14",
                                        "2023-11-14T22:13:20",
                                        "nan",
                                        "1e300",
                                        "2023-11-14T22:13:20.Z",
                                        "2023-11-14T22:13:20+2",
                                        "2023-11-14T22:13:20Zz",
                                        ""};
    (void)state;
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        const char *const arguments[] = {"folder", "--dry-run", "--end", TEXTS[i], NULL};
        struct block_options options;
        struct error error;
        assert_int_equal(read_arguments(BLOCK_IMPORT, arguments, &options, &error), ERROR_INVALID);
        assert_non_null(strstr(error.message, "--end"));
        block_options_clear(&options);
    }
}

static void times_are_printed_as_dates(void **state)
{
    char text[BLOCK_TIME_CHARACTERS];
    (void)state;
    assert_string_equal(block_time_format(1700000000000, text), "2023-11-14T22:13:20Z");
    assert_string_equal(block_time_format(1700000000007, text), "2023-11-14T22:13:20.007Z");
    assert_string_equal(block_time_format(-1, text), "1969-12-31T23:59:59.999Z");
    assert_string_equal(block_time_format(INT64_MIN, text), "-292275055-05-16T16:47:04.192Z");
}

static void sizes_are_printed_with_units(void **state)
{
    char text[BLOCK_NUMBER_CHARACTERS];
    (void)state;
    assert_string_equal(block_size_format(0, text), "0 B");
    assert_string_equal(block_size_format(1023, text), "1023 B");
    assert_string_equal(block_size_format(1536, text), "1.5 KiB");
    assert_string_equal(block_size_format(UINT64_C(3) << 40, text), "3.0 TiB");
}

static void values_stand_behind_or_after_an_equals_sign(void **state)
{
    const char *const arguments[] = {"one", "--to=http://a",     "--tenant",        "red",
                                     "two", "--match={a=\"b\"}", "--retry-for=90s", NULL};
    struct block_options options;
    struct error error;
    (void)state;
    assert_int_equal(read_arguments(BLOCK_IMPORT, arguments, &options, &error), ERROR_NONE);
    assert_string_equal(options.client.url, "http://a");
    assert_string_equal(options.client.tenant, "red");
    assert_int_equal(options.source_count, 2);
    assert_string_equal(options.sources[1], "two");
    assert_int_equal(options.match_count, 1);
    assert_int_equal(options.patience_ms, 90000);
    assert_int_equal(options.start_ms, INT64_MIN);
    assert_int_equal(options.end_ms, INT64_MAX);
    block_options_clear(&options);
}

static void options_of_the_other_direction_are_unknown(void **state)
{
    const char *const imports[] = {"one", "--to=http://a", "--window=2h", NULL};
    const char *const exports[] = {"--from=http://a", "--out=b", "--dry-run", NULL};
    const char *const odd[] = {"--from=http://a", "--out=b", "--window=90m", NULL};
    struct block_options options;
    struct error error;
    (void)state;
    assert_int_equal(read_arguments(BLOCK_IMPORT, imports, &options, &error), ERROR_INVALID);
    block_options_clear(&options);
    assert_int_equal(read_arguments(BLOCK_EXPORT, exports, &options, &error), ERROR_INVALID);
    block_options_clear(&options);
    assert_int_equal(read_arguments(BLOCK_EXPORT, odd, &options, &error), ERROR_INVALID);
    block_options_clear(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_dates_or_seconds),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(times_are_printed_as_dates),
        cmocka_unit_test(sizes_are_printed_with_units),
        cmocka_unit_test(values_stand_behind_or_after_an_equals_sign),
        cmocka_unit_test(options_of_the_other_direction_are_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
