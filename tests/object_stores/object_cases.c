#include "contract.h"

#include <stdio.h>
#include <string.h>

/* --- Ranges -------------------------------------------------------------------------------- */

static void check_range(struct text key, enum object_read_place place, uint64_t offset, size_t size,
                        const char *expected, uint64_t object_bytes)
{
    uint8_t target[64];
    assert_true(size <= sizeof target);
    struct object_read read = {
        .key = key, .place = place, .offset_bytes = offset, .target = target, .size_bytes = size};
    must(object_store_read(contract.store, NULL, &read), &read.error);
    assert_int_equal(read.read_bytes, strlen(expected));
    assert_memory_equal(target, expected, strlen(expected));
    assert_int_equal(read.object_bytes, object_bytes);
}

static void any_range_of_an_object_is_read(void **state)
{
    (void)state;
    struct text key = TEXT("ranges/one");
    put_text("ranges/one", "0123456789");
    check_range(key, OBJECT_READ_AT, 0, 10, "0123456789", 10);
    check_range(key, OBJECT_READ_AT, 0, 1, "0", 10);
    check_range(key, OBJECT_READ_AT, 3, 4, "3456", 10);
    check_range(key, OBJECT_READ_AT, 9, 1, "9", 10);
    check_range(key, OBJECT_READ_TAIL, 0, 1, "9", 10);
    check_range(key, OBJECT_READ_TAIL, 0, 4, "6789", 10);
    check_range(key, OBJECT_READ_TAIL, 0, 10, "0123456789", 10);
}

static void a_range_ends_where_the_object_ends(void **state)
{
    (void)state;
    struct text key = TEXT("ranges/two");
    put_text("ranges/two", "0123456789");
    check_range(key, OBJECT_READ_AT, 0, 64, "0123456789", 10);
    check_range(key, OBJECT_READ_AT, 8, 64, "89", 10);
    check_range(key, OBJECT_READ_TAIL, 0, 64, "0123456789", 10);
    check_range(key, OBJECT_READ_AT, 10, 5, "", 10);
    check_range(key, OBJECT_READ_AT, 1000, 5, "", 10);
    check_range(key, OBJECT_READ_AT, UINT64_MAX / 4, 64, "", 10);
}

static void an_empty_object_is_there(void **state)
{
    (void)state;
    struct object_info info;
    struct error error;
    struct text key = TEXT("ranges/empty");
    put_text("ranges/empty", "");
    check_range(key, OBJECT_READ_AT, 0, 5, "", 0);
    check_range(key, OBJECT_READ_TAIL, 0, 5, "", 0);
    must(object_store_head(contract.store, NULL, key, &info, &error), &error);
    assert_int_equal(info.size_bytes, 0);
}

static void a_whole_object_is_read_up_to_a_limit(void **state)
{
    (void)state;
    enum { SIZE = 300 * 1000 };
    static uint8_t bytes[SIZE];
    struct byte_buffer buffer = {0};
    struct error error;
    fill_bytes(bytes, SIZE, 1);
    must(object_store_put(contract.store, NULL, TEXT("ranges/large"), bytes, SIZE, &error), &error);
    byte_buffer_append(&buffer, "before", 6);
    must(object_store_read_whole(contract.store, NULL, TEXT("ranges/large"), SIZE, &buffer, &error),
         &error);
    assert_int_equal(buffer.size, SIZE + 6);
    assert_memory_equal(buffer.bytes, "before", 6);
    assert_memory_equal(buffer.bytes + 6, bytes, SIZE);
    assert_int_equal(object_store_read_whole(contract.store, NULL, TEXT("ranges/large"), SIZE - 1,
                                             &buffer, &error),
                     ERROR_LIMIT);
    byte_buffer_clear(&buffer);
}

static void many_ranges_are_read_at_once_each_with_its_result(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024, COUNT = 300, RANGE = 200 };
    static uint8_t bytes[SIZE], targets[COUNT][RANGE];
    static struct object_read reads[COUNT];
    struct error error;
    fill_bytes(bytes, SIZE, 2);
    must(object_store_put(contract.store, NULL, TEXT("ranges/many"), bytes, SIZE, &error), &error);
    for (size_t i = 0; i < COUNT; i++)
        reads[i] =
            (struct object_read){.key = i % 7 == 3 ? TEXT("ranges/missing") : TEXT("ranges/many"),
                                 .offset_bytes = i * 211,
                                 .target = targets[i],
                                 .size_bytes = RANGE};
    object_store_read_many(contract.store, NULL, reads, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 7 == 3) {
            assert_int_equal(reads[i].error.code, ERROR_NOT_FOUND);
            continue;
        }
        must(reads[i].error.code, &reads[i].error);
        assert_int_equal(reads[i].read_bytes, RANGE);
        assert_memory_equal(targets[i], bytes + i * 211, RANGE);
    }
}

/* --- Objects ------------------------------------------------------------------------------- */

static void what_was_never_put_is_not_found(void **state)
{
    (void)state;
    uint8_t target[4];
    struct object_read read = {
        .key = TEXT("objects/never"), .target = target, .size_bytes = sizeof target};
    struct object_info info;
    struct error error;
    put_text("objects/folder/one", "1");
    assert_int_equal(object_store_read(contract.store, NULL, &read), ERROR_NOT_FOUND);
    assert_int_equal(object_store_head(contract.store, NULL, TEXT("objects/never"), &info, &error),
                     ERROR_NOT_FOUND);
    assert_int_equal(object_store_head(contract.store, NULL, TEXT("objects/folder"), &info, &error),
                     ERROR_NOT_FOUND);
    assert_int_equal(
        object_store_head(contract.store, NULL, TEXT("objects/folder/one/two"), &info, &error),
        ERROR_NOT_FOUND);
}

static void the_head_tells_size_and_time(void **state)
{
    (void)state;
    struct object_info info;
    struct error error;
    int64_t before_ms = clock_now_ms(clock_system());
    put_text("objects/head", "0123456");
    must(object_store_head(contract.store, NULL, TEXT("objects/head"), &info, &error), &error);
    assert_int_equal(info.size_bytes, 7);
    assert_true(info.modified_ms >= before_ms - 2000 &&
                info.modified_ms <= clock_now_ms(clock_system()) + 2000);
}

static void the_last_put_wins(void **state)
{
    (void)state;
    put_text("objects/twice", "the first, which is longer");
    put_text("objects/twice", "the second");
    check_range(TEXT("objects/twice"), OBJECT_READ_AT, 0, 64, "the second", 10);
}

static void removed_objects_are_gone_and_others_stay(void **state)
{
    (void)state;
    struct error error;
    struct object_info info;
    put_text("objects/a/one", "1");
    put_text("objects/a/two", "2");
    must(object_store_remove(contract.store, NULL, TEXT("objects/a/one"), &error), &error);
    must(object_store_remove(contract.store, NULL, TEXT("objects/a/one"), &error), &error);
    must(object_store_remove(contract.store, NULL, TEXT("objects/a"), &error), &error);
    assert_int_equal(object_store_head(contract.store, NULL, TEXT("objects/a/one"), &info, &error),
                     ERROR_NOT_FOUND);
    must(object_store_head(contract.store, NULL, TEXT("objects/a/two"), &info, &error), &error);
}

static void many_are_removed_at_once_missing_ones_too(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    char names[COUNT][40];
    struct text keys[COUNT];
    struct error error;
    struct object_info info;
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "objects/many <&> %zu/x", i);
        keys[i] = text_of(names[i]);
        if (i % 3 != 0)
            put_text(names[i], "x");
    }
    must(object_store_remove_many(contract.store, NULL, keys, COUNT, &error), &error);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(object_store_head(contract.store, NULL, keys[i], &info, &error),
                         ERROR_NOT_FOUND);
    must(object_store_remove_many(contract.store, NULL, keys, 0, &error), &error);
}

/* --- Keys ---------------------------------------------------------------------------------- */

static void keys_have_all_sorts_of_characters(void **state)
{
    (void)state;
    const char *keys[] = {"keys/a b",   "keys/a+b",     "keys/a%20b",  "keys/a=b&c:d,e;f@g",
                          "keys/'a'()", "keys/\"<a>\"", "keys/ä/日本", "keys/a~b.c-d_e",
                          "keys/$!*?#", "keys/.hidden", "keys/a\\b|c", "keys/{}[]^`"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        put_text(keys[i], keys[i]);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct object_info info;
        struct error error;
        struct text key = text_of(keys[i]);
        check_range(key, OBJECT_READ_AT, 0, 64, keys[i], strlen(keys[i]));
        must(object_store_remove(contract.store, NULL, key, &error), &error);
        assert_int_equal(object_store_head(contract.store, NULL, key, &info, &error),
                         ERROR_NOT_FOUND);
    }
}

static void keys_that_no_store_holds_are_refused(void **state)
{
    (void)state;
    char long_key[OBJECT_KEY_MAX + 2], long_segment[OBJECT_KEY_SEGMENT_MAX + 2];
    memset(long_segment, 'a', sizeof long_segment);
    long_segment[sizeof long_segment - 1] = '\0';
    for (size_t i = 0; i < sizeof long_key - 1; i++)
        long_key[i] = i % 100 == 50 ? '/' : 'a';
    long_key[sizeof long_key - 1] = '\0';
    const char *keys[] = {"",   "/a",   "a/",   "a//b",  ".",    "..",   "a/../b", "a/./b",
                          "~a", "a/~b", "a\nb", "a\x7f", "\xff", "a\tb", long_key, long_segment};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        uint8_t target[4];
        struct text key = text_of(keys[i]);
        struct object_info info;
        struct error error;
        struct object_read read = {.key = key, .target = target, .size_bytes = sizeof target};
        assert_int_equal(object_store_put(contract.store, NULL, key, "x", 1, &error),
                         ERROR_INVALID);
        assert_int_equal(object_store_head(contract.store, NULL, key, &info, &error),
                         ERROR_INVALID);
        assert_int_equal(object_store_remove(contract.store, NULL, key, &error), ERROR_INVALID);
        assert_int_equal(object_store_read(contract.store, NULL, &read), ERROR_INVALID);
    }
}

static void the_longest_keys_are_held(void **state)
{
    (void)state;
    char key[OBJECT_KEY_MAX + 1];
    for (size_t i = 0; i < sizeof key - 1; i++)
        key[i] = i % (OBJECT_KEY_SEGMENT_MAX + 1) == OBJECT_KEY_SEGMENT_MAX ? '/' : 'k';
    key[sizeof key - 1] = '\0';
    put_text(key, "far");
    check_range(text_of(key), OBJECT_READ_AT, 0, 64, "far", 3);
    remove_below("kkk");
}

/* --- Calls --------------------------------------------------------------------------------- */

static void a_call_ends_at_its_deadline_and_when_it_is_canceled(void **state)
{
    (void)state;
    atomic_bool canceled = true;
    uint8_t target[4];
    struct object_call late = {.deadline_ns = 1}, stopped = {.canceled = &canceled};
    struct object_read read = {
        .key = TEXT("calls/one"), .target = target, .size_bytes = sizeof target};
    struct object_info info;
    struct error error;
    put_text("calls/one", "1");
    assert_int_equal(object_store_read(contract.store, &late, &read), ERROR_TIMEOUT);
    assert_int_equal(object_store_read(contract.store, &stopped, &read), ERROR_CANCELED);
    assert_int_equal(object_store_head(contract.store, &stopped, read.key, &info, &error),
                     ERROR_CANCELED);
    assert_int_equal(object_store_put(contract.store, &late, read.key, "2", 1, &error),
                     ERROR_TIMEOUT);
    assert_int_equal(object_store_remove(contract.store, &stopped, read.key, &error),
                     ERROR_CANCELED);
    check_range(TEXT("calls/one"), OBJECT_READ_AT, 0, 64, "1", 1);
}

int run_object_cases(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_range_of_an_object_is_read),
        cmocka_unit_test(a_range_ends_where_the_object_ends),
        cmocka_unit_test(an_empty_object_is_there),
        cmocka_unit_test(a_whole_object_is_read_up_to_a_limit),
        cmocka_unit_test(many_ranges_are_read_at_once_each_with_its_result),
        cmocka_unit_test(what_was_never_put_is_not_found),
        cmocka_unit_test(the_head_tells_size_and_time),
        cmocka_unit_test(the_last_put_wins),
        cmocka_unit_test(removed_objects_are_gone_and_others_stay),
        cmocka_unit_test(many_are_removed_at_once_missing_ones_too),
        cmocka_unit_test(keys_have_all_sorts_of_characters),
        cmocka_unit_test(keys_that_no_store_holds_are_refused),
        cmocka_unit_test(the_longest_keys_are_held),
        cmocka_unit_test(a_call_ends_at_its_deadline_and_when_it_is_canceled),
    };
    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
