/* Sets of positions against the lists they were made of, dense and sparse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/position_set.h"

enum { LIMIT = 5000 };

/* Every position below LIMIT by a chance of one in `one_in`. */
static size_t make_list(unsigned seed, unsigned one_in, uint32_t *items)
{
    size_t count = 0;
    for (uint32_t position = 0; position < LIMIT; position++) {
        seed = seed * 1103515245u + 12345u;
        if ((seed >> 16) % one_in == 0)
            items[count++] = position;
    }
    return count;
}

static struct position_set make_set(struct arena *arena, const uint32_t *items, size_t count,
                                    size_t count_max, uint32_t limit, size_t batch)
{
    struct position_set_builder builder;
    assert_true(position_set_begin(&builder, arena, count_max, limit));
    for (size_t at = 0; at < count; at += batch)
        position_set_add(&builder,
                         (struct positions){items + at, count - at < batch ? count - at : batch});
    return position_set_finish(&builder);
}

static void check_reads(const struct position_set *set, const uint32_t *items, size_t count)
{
    uint32_t read[LIMIT];
    assert_int_equal(set->count, count);
    for (size_t length = 1; length <= count; length = length * 3 + 1)
        for (size_t at = 0; at + length <= count; at += 1 + length / 2) {
            position_set_read(set, at, length, read);
            assert_memory_equal(read, items + at, length * sizeof *read);
        }
}

static void what_was_added_is_read_from_any_place(void **state)
{
    (void)state;
    static const unsigned CHANCES[] = {1, 2, 5, 30, 40, 400};
    uint32_t items[LIMIT];
    for (size_t i = 0; i < sizeof CHANCES / sizeof CHANCES[0]; i++) {
        struct arena *arena = arena_create(0);
        size_t count = make_list((unsigned)i + 7, CHANCES[i], items);
        struct position_set set = make_set(arena, items, count, count, LIMIT, 100);
        assert_int_equal(set.items == NULL, count > LIMIT / 32);
        check_reads(&set, items, count);
        arena_destroy(arena);
    }
}

static void an_empty_set_has_nothing(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct position_set set = make_set(arena, NULL, 0, 0, 0, 1);
    assert_int_equal(set.count, 0);
    position_set_read(&set, 0, 0, NULL);
    position_set_keep(&set, NULL);
    struct position_set dense = make_set(arena, NULL, 0, LIMIT, LIMIT, 1);
    assert_int_equal(dense.count, 0);
    position_set_keep(&dense, NULL);
    assert_int_equal(dense.count, 0);
    arena_destroy(arena);
}

static void positions_from_the_limit_on_are_left_out(void **state)
{
    (void)state;
    uint32_t items[LIMIT];
    for (unsigned one_in = 1; one_in <= 100; one_in *= 10) {
        struct arena *arena = arena_create(0);
        size_t count = make_list(3, one_in, items);
        struct position_set set = make_set(arena, items, count, count, LIMIT / 2, 64);
        size_t below = 0;
        while (below < count && items[below] < LIMIT / 2)
            below++;
        check_reads(&set, items, below);
        arena_destroy(arena);
    }
}

static void what_is_not_marked_leaves(void **state)
{
    (void)state;
    uint32_t items[LIMIT];
    bool marks[LIMIT];
    for (unsigned one_in = 1; one_in <= 100; one_in *= 10) {
        struct arena *arena = arena_create(0);
        size_t count = make_list(11, one_in, items);
        struct position_set set = make_set(arena, items, count, count, LIMIT, 1000);
        size_t kept = 0;
        for (size_t i = 0; i < count; i++) {
            marks[i] = i % 7 != 3 && i % 64 > 10;
            if (marks[i])
                items[kept++] = items[i];
        }
        position_set_keep(&set, marks);
        check_reads(&set, items, kept);
        arena_destroy(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_read_from_any_place),
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(positions_from_the_limit_on_are_left_out),
        cmocka_unit_test(what_is_not_marked_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
