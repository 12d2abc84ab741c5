#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "alias_table.h"

static struct hash128 hash_of(uint64_t number)
{
    return hash128(&number, sizeof number, 1);
}

static void put(struct alias_table *table, uint64_t number, struct alias_target target)
{
    alias_table_put(table, hash_of(number), target);
}

static void what_is_put_is_found_with_its_place(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 24));
    assert_null(alias_table_find(&table, hash_of(1)));
    enum { COUNT = 100000 };
    for (uint64_t i = 0; i < COUNT; i++)
        put(&table, i, (struct alias_target){i * 3, (uint16_t)(i % 7), (uint16_t)(i % 4096)});
    for (uint64_t i = 0; i < COUNT; i++) {
        const struct alias *alias = alias_table_find(&table, hash_of(i));
        assert_non_null(alias);
        assert_int_equal(alias->series_id, i * 3);
        assert_int_equal(alias->shard, i % 7);
    }
    assert_null(alias_table_find(&table, hash_of(COUNT)));
    assert_int_equal(table.evictions, 0);
    alias_table_clear(&table);
}

/* The same order again is answered by neighbours, another order all the same. */
static void neighbours_are_found_in_any_order(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 20));
    for (uint64_t i = 0; i < 100; i++)
        put(&table, i, (struct alias_target){i, 0, 0});
    static const uint64_t ORDERS[][5] = {{0, 1, 2, 3, 4}, {99, 0, 50, 51, 49}, {7, 7, 8, 1000, 9}};
    for (size_t order = 0; order < 3; order++) {
        size_t place = ALIAS_NONE;
        for (size_t i = 0; i < 5; i++) {
            uint64_t number = ORDERS[order][i];
            const struct alias *alias = alias_table_find_next(&table, hash_of(number), &place);
            if (number >= 100) {
                assert_null(alias);
                continue;
            }
            assert_non_null(alias);
            assert_int_equal(alias->series_id, number);
            assert_int_equal(place, number);
        }
    }
    alias_table_clear(&table);
}

static void putting_again_replaces(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 20));
    put(&table, 1, (struct alias_target){10, 2, 0});
    put(&table, 1, (struct alias_target){11, 3, 0});
    assert_int_equal(table.count, 1);
    assert_int_equal(alias_table_find(&table, hash_of(1))->series_id, 11);
    assert_int_equal(alias_table_find(&table, hash_of(1))->shard, 3);
    alias_table_clear(&table);
}

/* Removing closes gaps in the index: nothing else gets lost. */
static void removing_leaves_all_others(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 22));
    enum { COUNT = 4000 }; /* runs form in an index of 8192 */
    for (uint64_t i = 0; i < COUNT; i++)
        put(&table, i, (struct alias_target){i, 0, 0});
    for (uint64_t i = 0; i < COUNT; i += 3)
        alias_table_remove(&table, hash_of(i));
    for (uint64_t i = 0; i < COUNT; i++) {
        if (i % 3 == 0)
            assert_null(alias_table_find(&table, hash_of(i)));
        else
            assert_int_equal(alias_table_find(&table, hash_of(i))->series_id, i);
    }
    alias_table_remove(&table, hash_of(0)); /* once more is fine */
    alias_table_clear(&table);
}

static void a_full_table_keeps_what_is_in_use(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 0)); /* the least there is */
    size_t most = table.count_max;
    for (uint64_t i = 0; i < most; i++)
        put(&table, i, (struct alias_target){i, 0, 0});
    alias_table_set_time(&table, 121 * 1000);
    for (uint64_t i = 0; i < 100; i++)
        assert_non_null(alias_table_find(&table, hash_of(i)));
    for (uint64_t i = 0; i < 1000; i++)
        put(&table, most + i, (struct alias_target){most + i, 0, 0});
    assert_int_equal(table.count, most);
    assert_int_equal(table.evictions, 1000);
    for (uint64_t i = 0; i < 63; i++) /* the hand passes over so many at a time */
        assert_non_null(alias_table_find(&table, hash_of(i)));
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(alias_table_find(&table, hash_of(most + i))->series_id, most + i);
    alias_table_clear(&table);
}

/* A fleet of 1000 is looked for every 15 s; two of it are replaced each time, 480 an hour. */
static void a_table_stays_as_large_as_what_is_looked_for(void **state)
{
    (void)state;
    struct alias_table table;
    enum { FLEET = 1000, REPLACED = 2, ROUNDS = 10000 };
    assert_true(alias_table_init(&table, 100 * FLEET * sizeof(struct alias)));
    size_t misses = 0;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        alias_table_set_time(&table, (int64_t)round * 15000);
        for (uint64_t i = round * REPLACED; i < round * REPLACED + FLEET; i++) {
            if (alias_table_find(&table, hash_of(i)) != NULL)
                continue;
            put(&table, i, (struct alias_target){i, 0, 0});
            misses++;
        }
    }
    /* Those of half an hour, and what the hand has not come to. */
    assert_in_range(table.count, FLEET + 240, FLEET + 3 * 240);
    assert_int_equal(misses, FLEET + (ROUNDS - 1) * REPLACED); /* none in use was lost */
    alias_table_clear(&table);
}

/* Nobody is quiet then, until the clock is where it was. */
static void a_clock_that_jumps_back_loses_no_alias(void **state)
{
    (void)state;
    struct alias_table table;
    assert_true(alias_table_init(&table, 1 << 22));
    alias_table_set_time(&table, INT64_C(86400000));
    for (uint64_t i = 0; i < 1000; i++)
        put(&table, i, (struct alias_target){i, 0, 0});
    alias_table_set_time(&table, 0);
    for (uint64_t i = 1000; i < 2000; i++)
        put(&table, i, (struct alias_target){i, 0, 0});
    for (uint64_t i = 0; i < 2000; i++)
        assert_non_null(alias_table_find(&table, hash_of(i)));
    assert_int_equal(table.evictions, 0);
    alias_table_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found_with_its_place),
        cmocka_unit_test(neighbours_are_found_in_any_order),
        cmocka_unit_test(putting_again_replaces),
        cmocka_unit_test(removing_leaves_all_others),
        cmocka_unit_test(a_full_table_keeps_what_is_in_use),
        cmocka_unit_test(a_table_stays_as_large_as_what_is_looked_for),
        cmocka_unit_test(a_clock_that_jumps_back_loses_no_alias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
