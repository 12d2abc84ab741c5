/* column_merge against the obvious: the winner of each timestamp, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../../../src/shard/column_merge.h"
#include "platform/random.h"

enum { PIECES_MAX = 5, SAMPLES_MAX = 40, TIMES = 60 };

struct piece {
    int64_t times[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    int64_t starts[SAMPLES_MAX];
    const struct histogram *histograms[SAMPLES_MAX];
    struct sample_columns columns;
};

static const struct histogram LOW = {.sum = 1, .count.integer = 1};
static const struct histogram HIGH = {.sum = 2, .count.integer = 2};

static void piece_make(struct random_generator *random, struct piece *piece)
{
    size_t count = 0;
    bool has_histograms = random_below(&random->base, 3) == 0;
    bool has_starts = random_below(&random->base, 3) == 0;
    for (int64_t time = 0; time < TIMES && count < SAMPLES_MAX; time++) {
        if (random_below(&random->base, 3) != 0)
            continue;
        piece->times[count] = time;
        piece->values[count] = random_below(&random->base, 4) == 0
                                   ? double_from_bits(STALE_MARKER_BITS)
                                   : (double)random_below(&random->base, 3);
        piece->starts[count] = random_below(&random->base, 3);
        piece->histograms[count] = NULL;
        if (has_histograms && random_below(&random->base, 2) == 0)
            piece->histograms[count] = random_below(&random->base, 2) == 0 ? &LOW : &HIGH;
        count++;
    }
    piece->columns = (struct sample_columns){
        .count = count,
        .timestamps_ms = piece->times,
        .values = piece->values,
        .histograms = has_histograms ? piece->histograms : NULL,
        .start_timestamps_ms = has_starts ? piece->starts : NULL,
    };
}

/* The order of the design: a histogram over a float, else the larger key. */
static bool naive_wins(const struct piece *left, size_t i, const struct piece *right, size_t j)
{
    const struct histogram *a = left->columns.histograms == NULL ? NULL : left->histograms[i];
    const struct histogram *b = right->columns.histograms == NULL ? NULL : right->histograms[j];
    if (a != NULL && b != NULL)
        return histogram_order(a, b) > 0;
    if (a != NULL || b != NULL)
        return a != NULL;
    return value_order_key(double_to_bits(left->values[i])) >
           value_order_key(double_to_bits(right->values[j]));
}

static void naive_check(const struct piece *pieces, size_t count,
                        const struct sample_columns *merged)
{
    size_t at = 0;
    for (int64_t time = 0; time < TIMES; time++) {
        const struct piece *best = NULL;
        size_t best_position = 0;
        for (size_t k = 0; k < count; k++)
            for (size_t i = 0; i < pieces[k].columns.count; i++)
                if (pieces[k].times[i] == time &&
                    (best == NULL || naive_wins(&pieces[k], i, best, best_position))) {
                    best = &pieces[k];
                    best_position = i;
                }
        if (best == NULL)
            continue;
        assert_true(at < merged->count);
        assert_int_equal(merged->timestamps_ms[at], time);
        const struct histogram *expected =
            best->columns.histograms == NULL ? NULL : best->histograms[best_position];
        const struct histogram *found = merged->histograms == NULL ? NULL : merged->histograms[at];
        assert_ptr_equal(found, expected);
        if (expected == NULL)
            assert_int_equal(double_to_bits(merged->values[at]),
                             double_to_bits(best->values[best_position]));
        at++;
    }
    assert_int_equal(at, merged->count);
}

static void a_merge_holds_the_winner_of_every_timestamp(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 1);
    struct column_merge merge = {0};
    struct piece *pieces = calloc(PIECES_MAX, sizeof *pieces);
    assert_non_null(pieces);
    for (int round = 0; round < 3000; round++) {
        struct sample_columns columns[PIECES_MAX], merged;
        struct error error;
        size_t count = random_below(&random.base, PIECES_MAX + 1);
        for (size_t k = 0; k < count; k++) {
            piece_make(&random, &pieces[k]);
            columns[k] = pieces[k].columns;
        }
        assert_int_equal(column_merge(&merge, columns, count, &merged, &error), ERROR_NONE);
        naive_check(pieces, count, &merged);
    }
    free(pieces);
    column_merge_clear(&merge);
}

static void a_cut_leaves_out_exactly_its_range(void **state)
{
    (void)state;
    struct random_generator random;
    random_generator_init(&random, 2);
    struct column_merge merge = {0};
    struct piece *piece = calloc(1, sizeof *piece);
    assert_non_null(piece);
    for (int round = 0; round < 3000; round++) {
        piece_make(&random, piece);
        struct sample_columns columns = piece->columns;
        bool left_out[TIMES] = {0};
        size_t cuts = 1 + random_below(&random.base, 3);
        for (size_t k = 0; k < cuts; k++) {
            int64_t start = (int64_t)random_below(&random.base, TIMES);
            int64_t end = start + random_below(&random.base, 20);
            if (random_below(&random.base, 8) == 0)
                end = INT64_MAX;
            struct error error;
            assert_int_equal(column_cut(&merge, start, end, &columns, &error), ERROR_NONE);
            for (int64_t time = start; time < TIMES && time <= end; time++)
                left_out[time] = true;
        }
        size_t at = 0;
        for (size_t i = 0; i < piece->columns.count; i++) {
            if (left_out[piece->times[i]])
                continue;
            assert_true(at < columns.count);
            assert_int_equal(columns.timestamps_ms[at], piece->times[i]);
            assert_int_equal(double_to_bits(columns.values[at]), double_to_bits(piece->values[i]));
            at++;
        }
        assert_int_equal(at, columns.count);
    }
    free(piece);
    column_merge_clear(&merge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_holds_the_winner_of_every_timestamp),
        cmocka_unit_test(a_cut_leaves_out_exactly_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
