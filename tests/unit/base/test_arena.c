#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/arena.h"

static void allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    uint8_t *previous_end = NULL;
    for (size_t size = 0; size < 5000; size += 37) {
        uint8_t *memory = arena_allocate(arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % ARENA_ALIGNMENT, 0);
        memset(memory, 0xab, size);
        assert_true(memory != previous_end || size == 0);
        previous_end = memory;
    }
    arena_destroy(arena);
}

static void the_limit_makes_allocations_fail(void **state)
{
    (void)state;
    struct arena *arena = arena_create(64 * 1024);
    assert_null(arena_allocate(arena, 128 * 1024));
    size_t count = 0;
    while (arena_allocate(arena, 1024) != NULL)
        count++;
    assert_in_range(count, 40, 64);
    assert_true(arena_size_bytes(arena) <= 64 * 1024);
    arena_destroy(arena);
}

static void growing_keeps_content_in_place_and_when_moved(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    uint32_t *array = arena_array(arena, 4, sizeof *array);
    for (uint32_t i = 0; i < 4; i++)
        array[i] = i;
    uint32_t *grown = arena_grow(arena, array, 4, 8, sizeof *array);
    assert_ptr_equal(grown, array);
    arena_allocate(arena, 16);
    uint32_t *moved = arena_grow(arena, grown, 8, 20000, sizeof *array);
    assert_ptr_not_equal(moved, grown);
    for (uint32_t i = 0; i < 20000; i++)
        assert_int_equal(moved[i], i < 4 ? i : 0);
    arena_destroy(arena);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    assert_null(arena_array(arena, SIZE_MAX / 2, 4));
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(the_limit_makes_allocations_fail),
        cmocka_unit_test(growing_keeps_content_in_place_and_when_moved),
        cmocka_unit_test(products_that_overflow_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
