/* Which names and values of labels a shard knows, by time, wherever the samples are. */
#include "shard_harness.h"

#define T0 HARNESS_START_MS

/* How many metrics are named in the range; `matched`: with a matcher that all series satisfy. */
static size_t metrics_between(struct harness *harness, int64_t start_ms, int64_t end_ms,
                              bool matched)
{
    struct arena *arena = arena_create(0);
    struct error error;
    struct matcher *matcher;
    struct text_set found = {.arena = arena};
    assert_int_equal(matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("test"), &matcher, &error),
                     ERROR_NONE);
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {.tenant = TEXT("anonymous"),
                                     .matchers = matchers,
                                     .matcher_count = matched,
                                     .start_ms = start_ms,
                                     .end_ms = end_ms,
                                     .arena = arena};
    if (series_source_label_values(shard_source(harness->shard), &request, TEXT("__name__"), &found,
                                   &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    size_t count = found.count;
    matcher_destroy(matcher);
    arena_destroy(arena);
    return count;
}

static size_t names_between(struct harness *harness, int64_t start_ms, int64_t end_ms)
{
    struct arena *arena = arena_create(0);
    struct error error;
    struct text_set found = {.arena = arena};
    struct series_request request = {
        .tenant = TEXT("anonymous"), .start_ms = start_ms, .end_ms = end_ms, .arena = arena};
    if (series_source_label_names(shard_source(harness->shard), &request, &found, &error) !=
        ERROR_NONE)
        fail_msg("%s", error.message);
    size_t count = found.count;
    arena_destroy(arena);
    return count;
}

static void check_metrics(struct harness *harness, int64_t start_ms, int64_t end_ms, size_t count)
{
    assert_int_equal(metrics_between(harness, start_ms, end_ms, false), count);
    assert_int_equal(metrics_between(harness, start_ms, end_ms, true), count);
    assert_int_equal(names_between(harness, start_ms, end_ms), count > 0 ? 3 : 0);
}

/* Ten series in the first hour, of which four go on in the fifth. */
static void check_all(struct harness *harness)
{
    int64_t fifth = T0 + INT64_C(4) * HOUR_MS;
    check_metrics(harness, T0, T0 + HOUR_MS, 10);
    check_metrics(harness, T0 + 30 * 60000, T0 + 31 * 60000, 10);
    check_metrics(harness, fifth, fifth + HOUR_MS, 4);
    check_metrics(harness, fifth + 3 * 60000, fifth + 4 * 60000, 4);
    check_metrics(harness, T0, fifth + HOUR_MS, 10);
    check_metrics(harness, T0 + WINDOW_MS, T0 + WINDOW_MS + HOUR_MS, 0);
    check_metrics(harness, T0 - HOUR_MS, T0 - 1, 0);
}

static void values_are_those_of_series_with_samples_in_the_range(void **state)
{
    (void)state;
    struct harness *harness = harness_create(1);
    harness_fill(harness, 10, T0, 60);
    harness_fill(harness, 4, T0 + INT64_C(4) * HOUR_MS, 60);
    check_all(harness); /* in the head */
    harness_freeze(harness);
    check_all(harness); /* in parts */
    harness_flush(harness);
    check_all(harness); /* in blocks */
    harness_destroy(harness);
}

static void values_of_block_and_head_are_joined(void **state)
{
    (void)state;
    struct harness *harness = harness_create(2);
    harness_fill(harness, 10, T0, 60);
    harness_flush(harness);
    harness_fill(harness, 4, T0 + INT64_C(4) * HOUR_MS, 60);
    check_all(harness);
    harness_destroy(harness);
}

/* More series than label sets are read for, so that postings are walked. */
static void values_of_many_series_are_found_by_their_postings(void **state)
{
    (void)state;
    enum { ROUNDS = 5 };
    struct harness *harness = harness_create(3);
    struct arena *arena = arena_create(0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct harness_sample samples[HARNESS_NEW_SERIES_MAX];
        for (unsigned i = 0; i < HARNESS_NEW_SERIES_MAX; i++)
            samples[i] = (struct harness_sample){round * HARNESS_NEW_SERIES_MAX + i,
                                                 T0 + round * INT64_C(1000), i};
        arena_reset(arena);
        harness_write(harness, arena, samples, HARNESS_NEW_SERIES_MAX);
    }
    for (int flushed = 0; flushed < 2; flushed++) {
        check_metrics(harness, T0, T0 + HOUR_MS, ROUNDS * HARNESS_NEW_SERIES_MAX);
        check_metrics(harness, T0 + 1000, T0 + 2000, 2 * HARNESS_NEW_SERIES_MAX);
        harness_flush(harness);
    }
    arena_destroy(arena);
    harness_destroy(harness);
}

static void a_deleted_series_is_not_named(void **state)
{
    (void)state;
    struct harness *harness = harness_create(4);
    harness_fill(harness, 10, T0, 60);
    harness_flush(harness);
    harness_delete(harness, 3, T0, T0 + HOUR_MS);
    check_metrics(harness, T0, T0 + HOUR_MS, 9);
    harness_freeze(harness);
    harness_delete(harness, 4, T0, T0 + 29 * 60000);
    check_metrics(harness, T0, T0 + 29 * 60000, 8);
    check_metrics(harness, T0, T0 + 30 * 60000, 9);
    harness_destroy(harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_series_with_samples_in_the_range),
        cmocka_unit_test(values_of_block_and_head_are_joined),
        cmocka_unit_test(values_of_many_series_are_found_by_their_postings),
        cmocka_unit_test(a_deleted_series_is_not_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
