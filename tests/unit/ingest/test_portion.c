#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "portion.h"

enum { BYTES_MAX = 64 * 1024 * 1024 };

/* Room for what a test splits; a series array of its own, since splitting lets it grow. */
static struct write_request request_of(struct arena *arena, const struct write_series *series,
                                       size_t series_count)
{
    struct write_request request = {.series_count = series_count};
    request.series = arena_array(arena, series_count, sizeof *request.series);
    assert_non_null(request.series);
    for (size_t i = 0; i < series_count; i++) {
        request.series[i] = series[i];
        request.sample_count += series[i].sample_count;
        request.histogram_count += series[i].histogram_count;
        request.exemplar_count += series[i].exemplar_count;
    }
    request.histograms =
        arena_array(arena, request.histogram_count + 1, sizeof *request.histograms);
    assert_non_null(request.histograms);
    return request;
}

static void split(struct write_request *request, struct arena *arena)
{
    struct error error;
    assert_int_equal(portion_split_series(request, arena, &error), ERROR_NONE);
}

static void a_usual_request_is_one_portion(void **state)
{
    (void)state;
    struct arena *arena = arena_create(BYTES_MAX);
    struct write_series series[] = {{.sample_count = 2000}, {.sample_count = 3}};
    struct write_request request = request_of(arena, series, 2);
    split(&request, arena);
    assert_int_equal(request.series_count, 2);
    struct portion portion = {0};
    assert_true(portion_next(&portion, &request));
    assert_int_equal(portion.series_first, 0);
    assert_int_equal(portion.series_end, 2);
    assert_false(portion_next(&portion, &request));
    arena_destroy(arena);
}

static void an_empty_request_has_no_portion(void **state)
{
    (void)state;
    struct write_request request = {0};
    struct portion portion = {0};
    assert_false(portion_next(&portion, &request));
}

/* Every sample and histogram is in one piece, in the order sent; exemplars go with the last. */
static void a_long_series_becomes_pieces_that_hold_all_of_it_once(void **state)
{
    (void)state;
    struct arena *arena = arena_create(BYTES_MAX);
    enum { SAMPLES = 200000, HISTOGRAMS = 9000 };
    struct write_series series[] = {{.sample_count = 5},
                                    {.sample_first = 5,
                                     .sample_count = SAMPLES,
                                     .histogram_count = HISTOGRAMS,
                                     .exemplar_count = 7}};
    struct write_request request = request_of(arena, series, 2);
    split(&request, arena);
    assert_true(request.series_count > 3);

    uint32_t next_sample = 5;
    uint32_t next_histogram = 0;
    /* The pieces behind the last series come first, the one in place last. */
    for (size_t i = 2; i <= request.series_count; i++) {
        const struct write_series *piece = &request.series[i < request.series_count ? i : 1];
        assert_int_equal(piece->sample_first, next_sample);
        assert_int_equal(piece->histogram_first, next_histogram);
        assert_true(piece->sample_count + piece->histogram_count > 0);
        assert_int_equal(piece->exemplar_count, i < request.series_count ? 0 : 7);
        next_sample += piece->sample_count;
        next_histogram += piece->histogram_count;
    }
    assert_int_equal(next_sample, 5 + SAMPLES);
    assert_int_equal(next_histogram, HISTOGRAMS);
    arena_destroy(arena);
}

static void of_very_many_exemplars_the_last_stay(void **state)
{
    (void)state;
    struct arena *arena = arena_create(BYTES_MAX);
    struct write_series series = {
        .sample_count = 1, .exemplar_first = 10, .exemplar_count = PORTION_EXEMPLARS_MAX + 100};
    struct write_request request = request_of(arena, &series, 1);
    split(&request, arena);
    assert_int_equal(request.series_count, 1);
    assert_int_equal(request.series[0].exemplar_count, PORTION_EXEMPLARS_MAX);
    assert_int_equal(request.series[0].exemplar_first, 110);
    arena_destroy(arena);
}

/* Portions touch, cover everything, and none is empty. */
static void portions_cover_series_then_metadata(void **state)
{
    (void)state;
    struct arena *arena = arena_create(BYTES_MAX);
    enum { SERIES = 500, METADATA = 3000 };
    struct write_series series[SERIES];
    for (size_t i = 0; i < SERIES; i++)
        series[i] = (struct write_series){.sample_first = (uint32_t)i * 500, .sample_count = 500};
    struct write_request request = request_of(arena, series, SERIES);
    char help[1000];
    request.metadata_count = METADATA;
    request.metadata = arena_array(arena, METADATA, sizeof *request.metadata);
    assert_non_null(request.metadata);
    for (size_t i = 0; i < METADATA; i++)
        request.metadata[i].help = (struct text){help, sizeof help};
    split(&request, arena);

    struct portion portion = {0};
    size_t series_end = 0;
    size_t metadata_end = 0;
    size_t count = 0;
    while (portion_next(&portion, &request)) {
        assert_int_equal(portion.series_first, series_end);
        assert_int_equal(portion.metadata_first, metadata_end);
        assert_true(portion.series_end > series_end || portion.metadata_end > metadata_end);
        /* Metadata waits for all series. */
        assert_true(portion.series_end == SERIES || portion.metadata_end == 0);
        series_end = portion.series_end;
        metadata_end = portion.metadata_end;
        count++;
    }
    assert_int_equal(series_end, SERIES);
    assert_int_equal(metadata_end, METADATA);
    assert_true(count > 8);
    arena_destroy(arena);
}

static void labels_of_new_series_end_a_portion_early(void **state)
{
    (void)state;
    struct arena *arena = arena_create(BYTES_MAX);
    struct write_series series[10] = {0};
    struct write_request request = request_of(arena, series, 10);
    struct portion portion = {0};
    assert_true(portion_next(&portion, &request));
    assert_false(portion_ends_at(&portion, 2, 1000));
    assert_true(portion_ends_at(&portion, 3, 2 * 1024 * 1024));
    assert_int_equal(portion.series_end, 4);
    assert_true(portion_next(&portion, &request));
    assert_int_equal(portion.series_first, 4);
    assert_int_equal(portion.series_end, 10);
    arena_destroy(arena);
}

static void splitting_survives_a_lack_of_memory(void **state)
{
    (void)state;
    struct write_series series[] = {{.sample_count = 200000}};
    struct write_request request = {.series = series, .series_count = 1, .sample_count = 200000};
    struct arena *arena = arena_create(1);
    struct error error;
    assert_int_equal(portion_split_series(&request, arena, &error), ERROR_OUT_OF_MEMORY);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_request_is_one_portion),
        cmocka_unit_test(an_empty_request_has_no_portion),
        cmocka_unit_test(a_long_series_becomes_pieces_that_hold_all_of_it_once),
        cmocka_unit_test(of_very_many_exemplars_the_last_stay),
        cmocka_unit_test(portions_cover_series_then_metadata),
        cmocka_unit_test(labels_of_new_series_end_a_portion_early),
        cmocka_unit_test(splitting_survives_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
