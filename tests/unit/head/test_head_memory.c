#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "head/head.h"
#include "head/memory_index.h"

/*
 * What a series costs decides how many fit on a node (DESIGN section 10). The numbers below are
 * measured ones with some room; a change that needs more should know that it does.
 */

enum { SERIES = 20000, SERIES_PER_TARGET = 250 };

static bool target_of(void *context, uint64_t series_id, uint64_t *target_id_out)
{
    (void)context;
    *target_id_out = series_id / SERIES_PER_TARGET;
    return true;
}

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*state >> 33) % bound;
}

/* Half counters, a quarter seconds, some memory sizes, some that hardly change. */
static double next_value(uint64_t *random, uint64_t series_id, double value)
{
    switch (series_id % 8) {
    case 0:
    case 1:
    case 2:
        return value + (double)random_below(random, 40);
    case 3:
    case 4:
        return round(value * 100 + (double)random_below(random, 1500)) / 100;
    case 5:
        return random_below(random, 10) < 3
                   ? value
                   : value + 4096.0 * ((double)random_below(random, 200) - 100);
    default:
        return value + (random_below(random, 500) == 0);
    }
}

static size_t bytes_per_series_after(int ticks)
{
    static uint64_t ids[SERIES];
    static int64_t timestamps_ms[SERIES];
    static double values[SERIES];
    uint64_t random = 1;
    struct head_options options = {.target_of = target_of};
    struct head *head;
    struct error error;
    assert_int_equal(head_create(&options, &head, &error), ERROR_NONE);
    for (uint64_t id = 0; id < SERIES; id++) {
        ids[id] = id;
        values[id] = (double)random_below(&random, 1000000);
    }
    for (int tick = 0; tick < ticks; tick++) {
        for (uint64_t id = 0; id < SERIES; id++) {
            values[id] = next_value(&random, id, values[id]);
            timestamps_ms[id] = 15000 * tick + (int64_t)(id / SERIES_PER_TARGET);
        }
        struct head_batch batch = {
            .count = SERIES, .series_ids = ids, .timestamps_ms = timestamps_ms, .values = values};
        struct head_append_result result;
        assert_int_equal(head_append(head, &batch, NULL, &result, &error), ERROR_NONE);
        assert_int_equal(result.verdict_counts[HEAD_APPENDED], SERIES);
    }
    struct head_statistics statistics;
    head_read_statistics(head, &statistics);
    head_unref(head);
    print_message("%zu bytes a series after %d samples\n", statistics.used_bytes / SERIES, ticks);
    return statistics.used_bytes / SERIES;
}

static void ten_minutes_of_a_series_take_200_bytes(void **state)
{
    (void)state;
    assert_in_range(bytes_per_series_after(40), 64, 200);
}

static void an_hour_of_a_series_takes_450_bytes(void **state)
{
    (void)state;
    assert_in_range(bytes_per_series_after(240), 64, 450);
}

static void a_series_of_the_index_takes_120_bytes(void **state)
{
    (void)state;
    struct memory_index_options options = {.hash_seed = 1};
    struct memory_index *index;
    struct error error;
    assert_int_equal(memory_index_create(&options, &index, &error), ERROR_NONE);
    struct arena *arena = arena_create(0);
    for (unsigned number = 0; number < SERIES; number++) {
        unsigned host = number / 500;
        unsigned metric = number % 500;
        arena_reset(arena);
        struct label array[] = {
            {LABEL_METRIC_NAME, arena_format(arena, "metric_%u_total", metric % 230)},
            {TEXT("instance"), arena_format(arena, "10.0.%u.7:9100", host)},
            {TEXT("job"), arena_format(arena, "job-%u", metric / 184)},
            {TEXT("namespace"), arena_format(arena, "ns-%u", (host * 7 + metric / 39) % 300)},
            {TEXT("pod"), arena_format(arena, "app-%u-%u-5f6d8", host, metric / 39)},
            {TEXT("le"), arena_format(arena, "%u", metric / 230)},
        };
        struct memory_series series = {
            .tenant = TEXT("anonymous"),
            .labels = labels_build(arena, array, sizeof array / sizeof array[0]),
            .target_id = host};
        uint64_t id;
        assert_int_equal(memory_index_add(index, &series, &id, &error), ERROR_NONE);
    }
    assert_in_range(memory_index_size_bytes(index) / SERIES, 40, 120);
    arena_destroy(arena);
    memory_index_unref(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_minutes_of_a_series_take_200_bytes),
        cmocka_unit_test(an_hour_of_a_series_takes_450_bytes),
        cmocka_unit_test(a_series_of_the_index_takes_120_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
