#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../src/shard/segment_rewrite.h"

static size_t rewrite_from(const uint64_t (*counts)[2], size_t count, uint64_t new_count)
{
    struct shard_segment segments[8] = {0};
    for (size_t i = 0; i < count; i++) {
        segments[i].series_count = counts[i][0];
        segments[i].forgotten_count = counts[i][1];
    }
    return segment_rewrite_from(segments, count, new_count);
}

static void a_segment_stays_while_it_is_larger_than_all_that_follows(void **state)
{
    (void)state;
    assert_int_equal(rewrite_from(NULL, 0, 5), 0);
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 0}}, 1, 99), 1);
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 0}}, 1, 100), 0);
    /* The last one goes with the new series, and with it all become as many as the first. */
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 0}, {50, 0}}, 2, 50), 0);
    assert_int_equal(rewrite_from((uint64_t[][2]){{101, 0}, {50, 0}}, 2, 50), 1);
    assert_int_equal(rewrite_from((uint64_t[][2]){{101, 0}, {50, 0}}, 2, 0), 2);
}

static void a_segment_goes_when_more_than_a_quarter_is_dead(void **state)
{
    (void)state;
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 25}, {10, 0}}, 2, 0), 2);
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 26}, {10, 0}}, 2, 0), 0);
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 0}, {10, 3}}, 2, 0), 1);
    assert_int_equal(rewrite_from((uint64_t[][2]){{100, 0}, {10, 10}}, 2, 0), 1);
}

static void what_is_left_to_write_are_the_living(void **state)
{
    (void)state;
    const struct shard_segment segments[] = {{.series_count = 9, .forgotten_count = 9},
                                             {.series_count = 7, .forgotten_count = 2}};
    assert_int_equal(segment_rewrite_live_count(segments, 0, 2), 5);
    assert_int_equal(segment_rewrite_live_count(segments, 0, 1), 0);
    assert_int_equal(segment_rewrite_live_count(segments, 2, 2), 0);
}

/* Each series is written as often as the segments are levels: about log2 of the freezes. */
static void many_freezes_write_each_series_few_times(void **state)
{
    (void)state;
    struct shard_segment segments[64] = {0};
    size_t count = 0, most = 0;
    uint64_t written = 0;
    enum { FREEZES = 4096, NEW_SERIES = 10 };
    for (int freeze = 0; freeze < FREEZES; freeze++) {
        size_t from = segment_rewrite_from(segments, count, NEW_SERIES);
        uint64_t series = NEW_SERIES + segment_rewrite_live_count(segments, from, count);
        segments[from] = (struct shard_segment){.series_count = series};
        count = from + 1;
        most = count > most ? count : most;
        written += series;
        assert_true(count < 64);
    }
    assert_true(most <= 13);
    assert_true(written <= UINT64_C(13) * FREEZES * NEW_SERIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_stays_while_it_is_larger_than_all_that_follows),
        cmocka_unit_test(a_segment_goes_when_more_than_a_quarter_is_dead),
        cmocka_unit_test(what_is_left_to_write_are_the_living),
        cmocka_unit_test(many_freezes_write_each_series_few_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
