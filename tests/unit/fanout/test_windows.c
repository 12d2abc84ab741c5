/* Versions of windows as bytes, and gathered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "platform/random.h"
#include "windows.h"

static const uint64_t VERSIONS[] = {7, 7, 7, SHARD_WINDOW_UNVERSIONED, 9, 1, 1};
enum { COUNT = sizeof VERSIONS / sizeof VERSIONS[0] };
static const struct told_windows TOLD = {true, -3, COUNT, VERSIONS};

static void versions_come_back_and_no_prefix_is_taken(void **state)
{
    struct byte_buffer buffer = {0};
    struct arena *arena = arena_create(0);
    struct told_windows told;
    struct error error;
    uint32_t shard_id;
    (void)state;
    told_windows_encode(&buffer, 40, &TOLD);
    assert_int_equal(
        told_windows_decode(buffer.bytes, buffer.size, arena, &shard_id, &told, &error),
        ERROR_NONE);
    assert_int_equal(shard_id, 40);
    assert_true(told.is_known);
    assert_int_equal(told.first, -3);
    assert_int_equal(told.count, COUNT);
    assert_memory_equal(told.versions, VERSIONS, sizeof VERSIONS);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(told_windows_decode(buffer.bytes, size, arena, &shard_id, &told, &error),
                         ERROR_CORRUPT);
    byte_buffer_u8(&buffer, 0);
    assert_int_equal(
        told_windows_decode(buffer.bytes, buffer.size, arena, &shard_id, &told, &error),
        ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void what_is_not_known_comes_back(void **state)
{
    struct byte_buffer buffer = {0};
    struct arena *arena = arena_create(0);
    struct told_windows told;
    struct error error;
    uint32_t shard_id;
    (void)state;
    told_windows_encode(&buffer, 0, &(struct told_windows){0});
    assert_int_equal(
        told_windows_decode(buffer.bytes, buffer.size, arena, &shard_id, &told, &error),
        ERROR_NONE);
    assert_false(told.is_known);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void damage_is_refused_or_means_something_else(void **state)
{
    struct random_generator random;
    struct byte_buffer buffer = {0};
    (void)state;
    random_generator_init(&random, 5);
    told_windows_encode(&buffer, 40, &TOLD);
    for (int round = 0; round < 20000; round++) {
        struct arena *arena = arena_create(0);
        struct told_windows told;
        struct error error;
        uint32_t shard_id;
        uint8_t bytes[64];
        memcpy(bytes, buffer.bytes, buffer.size);
        bytes[random_below(&random.base, (uint32_t)buffer.size)] =
            (uint8_t)random_next(&random.base);
        if (told_windows_decode(bytes, buffer.size, arena, &shard_id, &told, &error) == ERROR_NONE)
            assert_true(told.count <= FANOUT_WINDOWS_MAX);
        arena_destroy(arena);
    }
    byte_buffer_clear(&buffer);
}

static void a_window_read_twice_has_one_version_or_none(void **state)
{
    static const uint64_t LATER[] = {7, 8};
    struct fanout_windows *windows;
    struct error error;
    size_t count;
    (void)state;
    assert_int_equal(fanout_windows_create(&windows, &error), ERROR_NONE);
    fanout_windows_add(windows, 2, &TOLD);
    fanout_windows_add(windows, 1, &TOLD);
    fanout_windows_add(windows, 2, &(struct told_windows){true, -3, 2, LATER});
    const struct fanout_window *list = fanout_windows_list(windows, &count);
    assert_int_equal(count, 2 * COUNT);
    assert_int_equal(list[0].shard_id, 1);
    assert_int_equal(list[COUNT].window, -3);
    assert_int_equal(list[COUNT].version, 7);
    assert_true(list[COUNT + 1].version == SHARD_WINDOW_UNVERSIONED);
    assert_int_equal(list[COUNT + 2].version, 7);
    assert_true(fanout_windows_is_complete(windows));
    fanout_windows_add(windows, 3, &(struct told_windows){0});
    assert_false(fanout_windows_is_complete(windows));
    fanout_windows_destroy(windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_come_back_and_no_prefix_is_taken),
        cmocka_unit_test(what_is_not_known_comes_back),
        cmocka_unit_test(damage_is_refused_or_means_something_else),
        cmocka_unit_test(a_window_read_twice_has_one_version_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
