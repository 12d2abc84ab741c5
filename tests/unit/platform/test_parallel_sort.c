#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "platform/parallel_sort.h"
#include "platform/worker_pool.h"

struct item {
    uint32_t key;
    uint32_t number;
    char filler[8];
};

static int compare_items(const void *left, const void *right, void *context)
{
    const struct item *a = left, *b = right;
    atomic_fetch_add((atomic_size_t *)context, 1);
    return a->key < b->key ? -1 : a->key > b->key;
}

static struct item *make_items(size_t count, uint32_t keys)
{
    struct item *items = calloc(count + 1, sizeof *items);
    uint32_t random = 12345;
    for (size_t i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        items[i] = (struct item){.key = (random >> 8) % keys, .number = (uint32_t)i};
    }
    return items;
}

/* Sorted, and each there once. */
static void check_items(const struct item *items, size_t count, uint32_t keys)
{
    struct item *made = make_items(count, keys);
    bool *seen = calloc(count + 1, sizeof *seen);
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || items[i - 1].key <= items[i].key);
        assert_true(items[i].number < count && !seen[items[i].number]);
        assert_int_equal(made[items[i].number].key, items[i].key);
        seen[items[i].number] = true;
    }
    free(seen);
    free(made);
}

static void any_number_of_items_is_sorted_by_any_number_of_threads(void **state)
{
    (void)state;
    static const size_t COUNTS[] = {0,
                                    1,
                                    2,
                                    100,
                                    PARALLEL_SORT_RUN,
                                    PARALLEL_SORT_RUN + 1,
                                    2 * PARALLEL_SORT_RUN,
                                    3 * PARALLEL_SORT_RUN + 7,
                                    9 * PARALLEL_SORT_RUN};
    struct worker_pool *pool = NULL;
    struct worker_pool_options options = {.worker_count = 3};
    struct error error;
    atomic_size_t comparisons = 0;
    assert_int_equal(worker_pool_create(&options, &pool, &error), ERROR_NONE);
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++)
        for (uint32_t keys = 1; keys < 1u << 20; keys *= 100) {
            struct parallel_sort sort = {.pool = keys == 1 ? NULL : pool,
                                         .compare = compare_items,
                                         .compare_context = &comparisons};
            struct item *items = make_items(COUNTS[i], keys);
            assert_int_equal(parallel_sort(&sort, items, COUNTS[i], sizeof *items), SORT_DONE);
            check_items(items, COUNTS[i], keys);
            free(items);
        }
    worker_pool_destroy(pool);
}

static bool is_over_soon(void *context)
{
    return atomic_fetch_sub((atomic_int *)context, 1) <= 0;
}

static void who_has_left_stops_it(void **state)
{
    (void)state;
    enum { MANY = 64 * PARALLEL_SORT_RUN };
    size_t before = 0;
    for (int looks = 0; looks < 128; looks += 40) {
        struct item *items = make_items(MANY, MANY);
        atomic_size_t comparisons = 0;
        atomic_int looks_left = looks;
        struct parallel_sort sort = {.compare = compare_items,
                                     .compare_context = &comparisons,
                                     .is_over = is_over_soon,
                                     .is_over_context = &looks_left};
        assert_int_equal(parallel_sort(&sort, items, MANY, sizeof *items), SORT_OVER);
        assert_true(looks == 0 ? comparisons == 0 : comparisons > before);
        before = comparisons;
        free(items);
    }
}

static bool refuse(struct arena_account *account, size_t size_bytes)
{
    (void)account, (void)size_bytes;
    return false;
}

static void nothing_is_sorted_without_memory(void **state)
{
    (void)state;
    struct arena_account account = {.charge = refuse};
    atomic_size_t comparisons = 0;
    struct parallel_sort sort = {
        .compare = compare_items, .compare_context = &comparisons, .account = &account};
    struct item *items = make_items(PARALLEL_SORT_RUN + 1, 7);
    assert_int_equal(parallel_sort(&sort, items, PARALLEL_SORT_RUN + 1, sizeof *items),
                     SORT_OUT_OF_MEMORY);
    assert_int_equal(comparisons, 0);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_items_is_sorted_by_any_number_of_threads),
        cmocka_unit_test(who_has_left_stops_it),
        cmocka_unit_test(nothing_is_sorted_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
