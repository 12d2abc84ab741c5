#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text_set.h"

static struct text numbered(char *memory, size_t size, unsigned number)
{
    return (struct text){memory, (size_t)snprintf(memory, size, "value-%05u", number)};
}

static int create_arena(void **state)
{
    *state = arena_create(0);
    return *state == NULL;
}

static int destroy_arena(void **state)
{
    arena_destroy(*state);
    return 0;
}

static void check_sorted(const struct text_set *set)
{
    struct text *sorted = text_set_sorted(set);
    assert_non_null(sorted);
    for (size_t i = 1; i < set->count; i++)
        assert_true(text_compare(sorted[i - 1], sorted[i]) < 0);
}

static void every_text_is_kept_once_however_often_it_comes(void **state)
{
    struct text_set set = {.arena = *state};
    char memory[32];
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 2000; i++)
            assert_int_equal(text_set_add(&set, numbered(memory, sizeof memory, i)),
                             round == 0 ? TEXT_SET_NEW : TEXT_SET_KNOWN);
    assert_int_equal(set.count, 2000);
    check_sorted(&set);
    assert_true(text_set_contains(&set, TEXT("value-01999")));
    assert_true(text_set_contains(&set, TEXT("value-00000")));
    assert_false(text_set_contains(&set, TEXT("value-02000")));
    assert_false(text_set_contains(&set, TEXT("")));
}

static void an_empty_set_has_nothing_and_is_sorted(void **state)
{
    struct text_set set = {.arena = *state};
    assert_false(text_set_contains(&set, TEXT("a")));
    assert_non_null(text_set_sorted(&set));
    assert_int_equal(set.count, 0);
}

/* Lists that overlap in part, and one that comes backwards. */
static void lists_in_any_order_are_united_and_sorted(void **state)
{
    struct text_set set = {.arena = *state};
    char memory[32];
    for (unsigned i = 0; i < 3000; i += 3)
        text_set_add(&set, numbered(memory, sizeof memory, i));
    for (unsigned i = 0; i < 3000; i += 2)
        text_set_add(&set, numbered(memory, sizeof memory, i));
    for (unsigned i = 3000; i > 0; i--)
        text_set_add(&set, numbered(memory, sizeof memory, i - 1));
    assert_int_equal(set.count, 3000);
    check_sorted(&set);
    for (unsigned i = 0; i < 3000; i++)
        assert_true(text_set_contains(&set, numbered(memory, sizeof memory, i * 7 % 3000)));
}

static void random_texts_are_sorted_as_by_comparison(void **state)
{
    struct text_set set = {.arena = *state};
    char memory[32];
    uint64_t random = 7;
    for (unsigned i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        text_set_add(&set, numbered(memory, sizeof memory, (unsigned)(random >> 50)));
    }
    check_sorted(&set);
}

static void running_out_of_memory_is_said_and_changes_nothing(void **state)
{
    (void)state;
    struct arena *arena = arena_create(32 * 1024);
    struct text_set set = {.arena = arena};
    char memory[32];
    unsigned added = 0;
    while (text_set_add(&set, numbered(memory, sizeof memory, added)) == TEXT_SET_NEW)
        added++;
    assert_int_equal(set.count, added);
    assert_true(added > 0);
    for (unsigned i = 0; i < added; i++)
        assert_true(text_set_contains(&set, numbered(memory, sizeof memory, i)));
    assert_false(text_set_contains(&set, numbered(memory, sizeof memory, added)));
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_text_is_kept_once_however_often_it_comes,
                                        create_arena, destroy_arena),
        cmocka_unit_test_setup_teardown(an_empty_set_has_nothing_and_is_sorted, create_arena,
                                        destroy_arena),
        cmocka_unit_test_setup_teardown(lists_in_any_order_are_united_and_sorted, create_arena,
                                        destroy_arena),
        cmocka_unit_test_setup_teardown(random_texts_are_sorted_as_by_comparison, create_arena,
                                        destroy_arena),
        cmocka_unit_test(running_out_of_memory_is_said_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
