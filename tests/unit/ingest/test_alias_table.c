#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alias_table.h"

/* As evenly spread as real ones. */
static struct hash128 hash_of(uint64_t number)
{
    return (struct hash128){hash64(&number, sizeof number, 1), hash64(&number, sizeof number, 2)};
}

/* All of these want the same place. */
static struct hash128 neighbour(uint64_t number)
{
    struct hash128 hash = hash_of(1);
    hash.high += number;
    return hash;
}

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 20));
    assert_null(alias_table_find(&table, hash_of(7)));
    alias_table_put(&table, hash_of(7), 3, 1234);
    const struct alias *found = alias_table_find(&table, hash_of(7));
    assert_non_null(found);
    assert_int_equal(found->shard, 3);
    assert_int_equal(found->series_id, 1234);
    assert_null(alias_table_find(&table, hash_of(8)));
    alias_table_clear(&table);
}

static void putting_again_replaces(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 20));
    alias_table_put(&table, hash_of(7), 3, 1234);
    alias_table_put(&table, hash_of(7), 4, 99);
    assert_int_equal(table.count, 1);
    assert_int_equal(alias_table_find(&table, hash_of(7))->shard, 4);
    assert_int_equal(alias_table_find(&table, hash_of(7))->series_id, 99);
    alias_table_clear(&table);
}

static void what_was_removed_is_gone_and_the_others_stay(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 20));
    for (uint64_t i = 0; i < ALIAS_WINDOW; i++)
        alias_table_put(&table, neighbour(i), 0, i);
    alias_table_remove(&table, neighbour(2));
    alias_table_remove(&table, hash_of(1000)); /* was never there */
    assert_int_equal(table.count, ALIAS_WINDOW - 1);
    for (uint64_t i = 0; i < ALIAS_WINDOW; i++)
        assert_int_equal(alias_table_find(&table, neighbour(i)) != NULL, i != 2);
    alias_table_clear(&table);
}

static void growing_keeps_what_is_in_it(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct alias_table table;
    size_t found = 0;
    assert_true(alias_table_init(&table, 64 << 20));
    for (uint64_t i = 0; i < COUNT; i++)
        alias_table_put(&table, hash_of(i), (uint32_t)(i % 5), i);
    for (uint64_t i = 0; i < COUNT; i++) {
        const struct alias *alias = alias_table_find(&table, hash_of(i));
        if (alias == NULL)
            continue;
        assert_int_equal(alias->series_id, i);
        assert_int_equal(alias->shard, i % 5);
        found++;
    }
    assert_int_equal(found, table.count);
    /* A window that is full makes the table grow; nearly nothing is lost on the way. */
    assert_true(found > COUNT - COUNT / 1000);
    assert_true(table.capacity >= COUNT);
    alias_table_clear(&table);
}

static void the_limit_on_memory_holds(void **state)
{
    (void)state;
    enum { SIZE_BYTES = 1 << 20, COUNT = 200000 };
    struct alias_table table;
    assert_true(alias_table_init(&table, SIZE_BYTES));
    for (uint64_t i = 0; i < COUNT; i++)
        alias_table_put(&table, hash_of(i), 0, i);
    assert_true(table.capacity * sizeof(struct alias) <= SIZE_BYTES);
    assert_true(table.count <= table.capacity + ALIAS_WINDOW);
    assert_true(table.evictions >= COUNT - table.capacity - ALIAS_WINDOW);
    /* It stays in use: the last one put is there. */
    assert_non_null(alias_table_find(&table, hash_of(COUNT - 1)));
    alias_table_clear(&table);
}

static void the_least_recently_used_neighbour_leaves(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 0)); /* cannot grow */
    for (uint64_t i = 0; i < ALIAS_WINDOW; i++) {
        alias_table_tick(&table);
        alias_table_put(&table, neighbour(i), 0, i);
    }
    alias_table_tick(&table);
    assert_non_null(alias_table_find(&table, neighbour(0))); /* used again: 1 is the oldest */
    alias_table_tick(&table);
    alias_table_put(&table, neighbour(100), 0, 100);
    assert_int_equal(table.evictions, 1);
    for (uint64_t i = 0; i < ALIAS_WINDOW; i++)
        assert_int_equal(alias_table_find(&table, neighbour(i)) != NULL, i != 1);
    assert_non_null(alias_table_find(&table, neighbour(100)));
    alias_table_clear(&table);
}

/* After 2^32 requests; age is a difference, so the wrap does not matter. */
static void the_clock_may_wrap(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 0));
    table.clock = UINT32_MAX - 3;
    for (uint64_t i = 0; i < ALIAS_WINDOW; i++) {
        alias_table_tick(&table);
        alias_table_put(&table, neighbour(i), 0, i);
    }
    alias_table_tick(&table);
    alias_table_put(&table, neighbour(100), 0, 100);
    assert_null(alias_table_find(&table, neighbour(0)));
    assert_non_null(alias_table_find(&table, neighbour(1)));
    alias_table_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(putting_again_replaces),
        cmocka_unit_test(what_was_removed_is_gone_and_the_others_stay),
        cmocka_unit_test(growing_keeps_what_is_in_it),
        cmocka_unit_test(the_limit_on_memory_holds),
        cmocka_unit_test(the_least_recently_used_neighbour_leaves),
        cmocka_unit_test(the_clock_may_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
