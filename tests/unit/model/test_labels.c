#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "model/label_identity.h"
#include "model/labels.h"

static int make_arena(void **state)
{
    *state = arena_create(0);
    return *state == NULL;
}

static int drop_arena(void **state)
{
    arena_destroy(*state);
    return 0;
}

static struct label label_of(const char *name, const char *value)
{
    return (struct label){text_of(name), text_of(value)};
}

static void assert_text(struct text actual, const char *expected)
{
    assert_int_equal(actual.size, strlen(expected));
    assert_memory_equal(actual.data, expected, actual.size);
}

static void building_sorts_and_leaves_empty_values_out(void **state)
{
    struct label array[] = {label_of("job", "api"), label_of("empty", ""),
                            label_of("__name__", "up"), label_of("instance", "a:1")};
    struct labels labels = labels_build(*state, array, 4);
    assert_int_equal(labels_count(labels), 3);
    struct label label;
    struct labels_cursor cursor = labels_begin(labels);
    static const char *const NAMES[] = {"__name__", "instance", "job"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(labels_next(&cursor, &label));
        assert_text(label.name, NAMES[i]);
    }
    assert_false(labels_next(&cursor, &label));
    assert_text(labels_get(labels, TEXT("instance")), "a:1");
    assert_int_equal(labels_get(labels, TEXT("empty")).size, 0);
    assert_int_equal(labels_get(labels, TEXT("zone")).size, 0);
}

static void of_equal_names_the_first_wins(void **state)
{
    struct label array[] = {label_of("b", "2"), label_of("a", "first"), label_of("a", "second")};
    struct labels labels = labels_build(*state, array, 3);
    assert_int_equal(labels_count(labels), 2);
    assert_text(labels_get(labels, TEXT("a")), "first");
}

/* Enough labels to leave the insertion sort, in falling and in scattered order, with twins. */
static void many_labels_sort_stably(void **state)
{
    enum { COUNT = 5000 };
    struct label *array = arena_array(*state, COUNT, sizeof *array);
    for (size_t i = 0; i < COUNT; i++) {
        array[i].name = arena_format(*state, "n%04zu", (i * 7919) % (COUNT / 2));
        array[i].value = arena_format(*state, "%04zu", i);
    }
    assert_int_equal(label_array_sort(array, COUNT), COUNT);
    for (size_t i = 1; i < COUNT; i++) {
        int order = text_compare(array[i - 1].name, array[i].name);
        assert_true(order <= 0);
        if (order == 0)
            assert_true(text_compare(array[i - 1].value, array[i].value) < 0);
    }
}

static void encoding_decodes_to_the_same_bytes(void **state)
{
    (void)state;
    struct label array[] = {label_of("a", "1"), label_of("b", "two"), label_of("c", "3")};
    struct byte_buffer buffer = {0};
    labels_encode(array, 3, &buffer);
    struct labels labels;
    struct error error;
    assert_int_equal(labels_decode(buffer.bytes, buffer.size, &labels, &error), ERROR_NONE);
    assert_ptr_equal(labels.bytes, buffer.bytes);
    assert_text(labels_get(labels, TEXT("b")), "two");
    byte_buffer_clear(&buffer);
}

static void decoding_refuses_what_is_not_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } CASES[] = {
#define BYTES(literal) {literal, sizeof(literal) - 1}
        BYTES("\x01"
              "a"), /* no value */
        BYTES("\x01"
              "a\x02"
              "b"), /* cut */
        BYTES("\x00\x01"
              "b"), /* empty name */
        BYTES("\x01"
              "a\x00"), /* empty value */
        BYTES("\x01"
              "b\x01x\x01"
              "a\x01y"), /* falling */
        BYTES("\x01"
              "a\x01x\x01"
              "a\x01y"), /* twice */
        BYTES("\x81\x00"
              "a\x01x"), /* a longer varint than needed */
        BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
#undef BYTES
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct labels labels = {0};
        struct error error;
        assert_int_equal(
            labels_decode((const uint8_t *)CASES[i].bytes, CASES[i].size, &labels, &error),
            ERROR_CORRUPT);
        assert_null(labels.bytes);
    }
}

static void decoding_enforces_the_limits(void **state)
{
    struct byte_buffer buffer = {0};
    for (int i = 0; i <= LABELS_PER_SERIES_MAX; i++) {
        byte_buffer_text(&buffer, arena_format(*state, "l%03d", i));
        byte_buffer_text(&buffer, TEXT("v"));
    }
    struct labels labels;
    struct error error;
    assert_int_equal(labels_decode(buffer.bytes, buffer.size, &labels, &error), ERROR_LIMIT);
    size_t size = buffer.size - 7; /* without the last */
    assert_int_equal(labels_decode(buffer.bytes, size, &labels, &error), ERROR_NONE);
    byte_buffer_reserve(&buffer, LABEL_SET_BYTES_MAX + 1);
    assert_int_equal(labels_decode(buffer.bytes, LABEL_SET_BYTES_MAX + 1, &labels, &error),
                     ERROR_LIMIT);
    byte_buffer_clear(&buffer);
}

static void order_is_by_name_then_value_then_count(void **state)
{
    struct label one[] = {label_of("a", "1")};
    struct label two[] = {label_of("a", "1"), label_of("b", "1")};
    struct label other_value[] = {label_of("a", "10")};
    struct label other_name[] = {label_of("ab", "0")};
    struct labels sorted[] = {
        {0},
        labels_build(*state, one, 1),
        labels_build(*state, two, 2),
        labels_build(*state, other_value, 1),
        labels_build(*state, other_name, 1),
    };
    for (size_t i = 0; i < 5; i++) {
        for (size_t j = 0; j < 5; j++) {
            int order = labels_compare(sorted[i], sorted[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
}

/* Label by label, name before value. */
static int compare_plainly(struct labels left, struct labels right)
{
    struct labels_cursor left_cursor = labels_begin(left), right_cursor = labels_begin(right);
    struct label left_label, right_label;
    for (;;) {
        bool left_has = labels_next(&left_cursor, &left_label);
        bool right_has = labels_next(&right_cursor, &right_label);
        if (!left_has || !right_has)
            return (int)left_has - (int)right_has;
        int order = text_compare(left_label.name, right_label.name);
        if (order == 0)
            order = text_compare(left_label.value, right_label.value);
        if (order != 0)
            return order;
    }
}

/* Short and long texts, which have lengths of one and of two bytes and share their beginnings. */
static void order_is_the_same_wherever_two_sets_differ(void **state)
{
    enum { SETS = 200, TEXT_BYTES = 140 };
    static const char *const NAMES[] = {"a", "ab", "abc", "b", "le"};
    struct labels sets[SETS];
    unsigned random = 1;
    for (size_t i = 0; i < SETS; i++) {
        static char values[5][TEXT_BYTES];
        struct label labels[5];
        size_t count = 0;
        for (size_t name = 0; name < 5; name++) {
            random = random * 1103515245u + 12345u;
            unsigned size = 1 + random / 65536u % 3 + (random / 1048576u % 4 == 0 ? 126 : 0);
            if (random / 4096u % 3 == 0)
                continue;
            memset(values[name], 'x', sizeof values[name]);
            values[name][size - 1] = (char)('w' + random / 262144u % 3);
            labels[count++] =
                (struct label){text_of(NAMES[name]), (struct text){values[name], size}};
        }
        sets[i] = labels_build(*state, labels, count);
    }
    for (size_t i = 0; i < SETS; i++) {
        for (size_t j = 0; j < SETS; j++) {
            int order = labels_compare(sets[i], sets[j]);
            int expected = compare_plainly(sets[i], sets[j]);
            assert_int_equal((order > 0) - (order < 0), (expected > 0) - (expected < 0));
        }
    }
}

static void identities_tell_sets_of_labels_apart(void **state)
{
    struct label array[] = {label_of("a", "1"), label_of("b", "2"), label_of("c", "12")};
    struct label same[] = {array[2], array[0], array[1]};
    struct label moved[] = {label_of("a", "2"), label_of("b", "1"), label_of("c", "12")};
    struct label joined[] = {label_of("a", "1"), label_of("b", "2c\00212")};
    struct hash128 identity = labels_identity(labels_build(*state, array, 3));
    assert_true(hash128_equal(identity, labels_identity(labels_build(*state, same, 3))));
    assert_false(hash128_equal(identity, labels_identity(labels_build(*state, moved, 3))));
    assert_false(hash128_equal(identity, labels_identity(labels_build(*state, array, 2))));
    assert_false(hash128_equal(identity, labels_identity(labels_build(*state, joined, 2))));
    assert_true(hash128_equal((struct hash128){0}, labels_identity((struct labels){0})));
}

static void projection_keeps_or_drops_the_named(void **state)
{
    struct label array[] = {label_of("__name__", "up"), label_of("a", "1"), label_of("b", "2"),
                            label_of("c", "3")};
    struct labels labels = labels_build(*state, array, 4);
    const struct text names[] = {TEXT("a"), TEXT("bb"), TEXT("c"), TEXT("z")};
    struct labels kept = labels_project(*state, labels, LABELS_KEEP_NAMED, names, 4);
    struct labels dropped = labels_project(*state, labels, LABELS_DROP_NAMED, names, 4);
    char line[64];
    assert_string_equal(labels_format(line, sizeof line, kept), "{a=\"1\", c=\"3\"}");
    assert_string_equal(labels_format(line, sizeof line, dropped), "up{b=\"2\"}");
    struct labels none = labels_project(*state, labels, LABELS_KEEP_NAMED, names, 0);
    assert_int_equal(none.size, 0);
    assert_non_null(none.bytes);
    struct labels all = labels_project(*state, labels, LABELS_DROP_NAMED, names, 0);
    assert_true(labels_equal(all, labels));
}

static void series_print_as_prometheus_does(void **state)
{
    static const struct {
        struct label array[3];
        const char *expected;
    } CASES[] = {
        {{{{0}, {0}}}, "{}"},
        {{{TEXT("__name__"), TEXT("up")}}, "up"},
        {{{TEXT("__name__"), TEXT("a:b")}, {TEXT("x"), TEXT("1")}}, "a:b{x=\"1\"}"},
        {{{TEXT("__name__"), TEXT("my.metric")}}, "{\"my.metric\"}"},
        {{{TEXT("__name__"), TEXT("my.metric")}, {TEXT("a b"), TEXT("q\"\\\n")}},
         "{\"my.metric\", \"a b\"=\"q\\\"\\\\\\n\"}"},
        {{{TEXT("x"), TEXT("gr\xc3\xbc\xc3\x9f \x01\xff")}},
         "{x=\"gr\xc3\xbc\xc3\x9f \\x01\\xff\"}"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct label array[3];
        memcpy(array, CASES[i].array, sizeof array);
        char line[128];
        struct labels labels = labels_build(*state, array, 3);
        assert_string_equal(labels_format(line, sizeof line, labels), CASES[i].expected);
    }
    struct label array[] = {label_of("__name__", "metric")};
    char small[4];
    struct labels labels = labels_build(*state, array, 1);
    assert_string_equal(labels_format(small, sizeof small, labels), "met");
}

static void legacy_names_are_identifiers(void **state)
{
    (void)state;
    assert_true(label_name_is_legacy(TEXT("_a1")));
    assert_false(label_name_is_legacy(TEXT("1a")));
    assert_false(label_name_is_legacy(TEXT("a:b")));
    assert_false(label_name_is_legacy(TEXT("")));
    assert_false(label_name_is_legacy(TEXT("a.b")));
    assert_true(metric_name_is_legacy(TEXT(":a:b")));
    assert_false(metric_name_is_legacy(TEXT("a-b")));
}

static void a_full_arena_gives_no_labels(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1);
    struct label array[] = {label_of("a", "1")};
    assert_null(labels_build(arena, array, 1).bytes);
    struct labels labels = {(const uint8_t *)"\1a\1b", 4};
    assert_null(labels_copy(arena, labels).bytes);
    assert_null(labels_project(arena, labels, LABELS_DROP_NAMED, NULL, 0).bytes);
    arena_destroy(arena);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(building_sorts_and_leaves_empty_values_out),
        TEST(of_equal_names_the_first_wins),
        TEST(many_labels_sort_stably),
        TEST(encoding_decodes_to_the_same_bytes),
        TEST(decoding_refuses_what_is_not_canonical),
        TEST(decoding_enforces_the_limits),
        TEST(order_is_by_name_then_value_then_count),
        TEST(order_is_the_same_wherever_two_sets_differ),
        TEST(identities_tell_sets_of_labels_apart),
        TEST(projection_keeps_or_drops_the_named),
        TEST(series_print_as_prometheus_does),
        TEST(legacy_names_are_identifiers),
        TEST(a_full_arena_gives_no_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
