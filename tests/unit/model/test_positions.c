#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/positions.h"

enum { UNIVERSE = 2000, ROUNDS = 300 };

static uint64_t random_state = 5;

static uint32_t next(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

/* About one of `every` positions; `marks` [UNIVERSE] are the same as a set. */
static struct positions random_list(struct arena *arena, uint32_t every, bool *marks)
{
    uint32_t *items = arena_array(arena, UNIVERSE, sizeof *items);
    size_t count = 0;
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        marks[i] = next(every) == 0;
        if (marks[i])
            items[count++] = i;
    }
    return (struct positions){items, count};
}

static void assert_set(struct positions list, const bool *marks)
{
    size_t at = 0;
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        assert_int_equal(positions_contain(list, i), marks[i]);
        if (!marks[i])
            continue;
        assert_true(at < list.count);
        assert_int_equal(list.items[at++], i);
    }
    assert_int_equal(at, list.count);
}

/* From lists of about equal lengths to ones where galloping pays. */
static void operations_agree_with_sets(void **state)
{
    (void)state;
    static bool left_marks[UNIVERSE];
    static bool right_marks[UNIVERSE];
    static bool expected[UNIVERSE];
    for (size_t round = 0; round < ROUNDS; round++) {
        struct arena *arena = arena_create(0);
        struct positions left = random_list(arena, 1 + next(4), left_marks);
        struct positions right = random_list(arena, 1 + next(400), right_marks);
        struct positions result;
        bool overlap = false;
        for (size_t i = 0; i < UNIVERSE; i++) {
            expected[i] = left_marks[i] && right_marks[i];
            overlap = overlap || expected[i];
        }
        assert_true(positions_intersect(arena, left, right, &result));
        assert_set(result, expected);
        assert_true(positions_intersect(arena, right, left, &result));
        assert_set(result, expected);
        assert_int_equal(positions_overlap(left, right), overlap);
        assert_int_equal(positions_overlap(right, left), overlap);
        for (size_t i = 0; i < UNIVERSE; i++)
            expected[i] = left_marks[i] && !right_marks[i];
        assert_true(positions_subtract(arena, left, right, &result));
        assert_set(result, expected);
        for (size_t i = 0; i < UNIVERSE; i++)
            expected[i] = right_marks[i] && !left_marks[i];
        assert_true(positions_subtract(arena, right, left, &result));
        assert_set(result, expected);
        arena_destroy(arena);
    }
}

static void a_union_of_many_lists_has_each_position_once(void **state)
{
    (void)state;
    static bool marks[UNIVERSE];
    static bool expected[UNIVERSE];
    for (size_t round = 0; round < ROUNDS; round++) {
        struct arena *arena = arena_create(0);
        struct positions lists[20];
        size_t count = next(20);
        memset(expected, 0, sizeof expected);
        for (size_t i = 0; i < count; i++) {
            lists[i] = random_list(arena, 1 + next(500), marks);
            for (size_t j = 0; j < UNIVERSE; j++)
                expected[j] = expected[j] || marks[j];
        }
        struct positions result;
        assert_true(positions_union(arena, lists, count, &result));
        assert_set(result, expected);
        arena_destroy(arena);
    }
}

static void lists_one_behind_the_other_are_put_together(void **state)
{
    (void)state;
    static bool expected[UNIVERSE];
    struct arena *arena = arena_create(0);
    struct positions lists[4] = {{0}};
    assert_true(positions_range(arena, 10, 5, &lists[1]));
    assert_true(positions_range(arena, 15, 1, &lists[2]));
    assert_true(positions_range(arena, 100, 50, &lists[3]));
    for (size_t i = 0; i < UNIVERSE; i++)
        expected[i] = (i >= 10 && i < 16) || (i >= 100 && i < 150);
    struct positions result;
    assert_true(positions_union(arena, lists, 4, &result));
    assert_set(result, expected);
    arena_destroy(arena);
}

static void without_memory_operations_say_so(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct arena *poor = arena_create(64);
    struct positions left;
    struct positions right;
    struct positions result;
    assert_true(positions_range(arena, 0, 1000, &left));
    assert_true(positions_range(arena, 500, 1000, &right));
    struct positions lists[] = {left, right};
    assert_false(positions_range(poor, 0, 1000, &result));
    assert_false(positions_intersect(poor, left, right, &result));
    assert_false(positions_subtract(poor, left, right, &result));
    assert_false(positions_union(poor, lists, 2, &result));
    arena_destroy(poor);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_agree_with_sets),
        cmocka_unit_test(a_union_of_many_lists_has_each_position_once),
        cmocka_unit_test(lists_one_behind_the_other_are_put_together),
        cmocka_unit_test(without_memory_operations_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
