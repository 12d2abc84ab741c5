#include "naive_series.h"

#include "block/block_order.h"

enum { SERIES = 200 };

static struct labels labels_of(struct arena *arena, const char *name, const char *job,
                               const char *instance, const char *other)
{
    struct label labels[4] = {{TEXT("__name__"), text_of(name)},
                              {TEXT("job"), text_of(job)},
                              {TEXT("instance"), text_of(instance)},
                              {TEXT("aa"), text_of(other)}};
    return labels_build(arena, labels, 4);
}

static void tenant_name_target_and_labels_decide_in_this_order(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    /* Each has a larger text in what decides later. */
    const struct block_series series[] = {
        {TEXT("a"), 9, labels_of(arena, "z", "z", "z", "z")},
        {TEXT("b"), 8, labels_of(arena, "", "z", "z", "z")},
        {TEXT("b"), 7, labels_of(arena, "name", "", "z", "z")},
        {TEXT("b"), 6, labels_of(arena, "name", "j", "h", "z")},
        {TEXT("b"), 4, labels_of(arena, "name", "j", "i", "a")},
        {TEXT("b"), 3, labels_of(arena, "name", "j", "i", "b")},
        /* Without "aa" its next label is "instance". */
        {TEXT("b"), 5, labels_of(arena, "name", "j", "i", "")},
        {TEXT("b"), 2, labels_of(arena, "name_is_longer", "j", "i", "a")},
        {TEXT("b\xff"), 1, labels_of(arena, "a", "a", "a", "a")},
    };
    size_t count = sizeof series / sizeof *series;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            int order = block_series_compare(&series[i], &series[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    arena_destroy(arena);
}

/* A key is looked up once and compared with many; it must not know more or less than the labels. */
static void keys_agree_with_comparing(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct naive_random random = {1};
    struct block_series series[SERIES];
    struct block_order_key keys[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        char texts[4][16];
        for (size_t j = 0; j < 4; j++)
            snprintf(texts[j], sizeof texts[j], "%s%d", naive_next(&random, 2) ? "prefix_of_" : "",
                     (int)naive_next(&random, 4));
        series[i] = (struct block_series){
            .tenant = naive_next(&random, 2) ? TEXT("one") : TEXT("two"),
            .labels = labels_of(arena, texts[0], texts[1], texts[2], texts[3])};
        keys[i] = block_order_key(&series[i]);
    }
    for (size_t i = 0; i < SERIES; i++)
        for (size_t j = 0; j < SERIES; j++) {
            int order = block_order_compare(&keys[i], &keys[j]);
            assert_true((order == 0) == (text_equal(series[i].tenant, series[j].tenant) &&
                                         labels_equal(series[i].labels, series[j].labels)));
            assert_int_equal(order < 0, block_series_compare(&series[i], &series[j]) < 0);
        }
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tenant_name_target_and_labels_decide_in_this_order),
        cmocka_unit_test(keys_agree_with_comparing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
