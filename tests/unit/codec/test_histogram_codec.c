#include "codec/histogram_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/codec_path.h"
#include "hostile_histograms.h"

static struct codec_scratch scratch;

/* The size in bytes, after a round trip. */
static size_t assert_comes_back(const struct histogram *const *histograms, size_t count)
{
    struct arena *arena = arena_create(0);
    struct byte_buffer buffer = {0};
    struct error error = {0};
    assert_int_equal(histogram_codec_encode(histograms, count, &scratch, arena, &buffer, &error),
                     ERROR_NONE);
    uint8_t *exact = malloc(buffer.size);
    memcpy(exact, buffer.bytes, buffer.size);
    struct histogram *decoded = NULL;
    assert_int_equal(
        histogram_codec_decode(exact, buffer.size, count, &scratch, arena, &decoded, &error),
        ERROR_NONE);
    for (size_t i = 0; i < count; i++)
        assert_true(histogram_equal(&decoded[i], histograms[i]));
    size_t size = buffer.size;
    free(exact);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
    return size;
}

static void hostile_histograms_come_back(void **state)
{
    (void)state;
    static const uint64_t CHANGES[] = {1, 3, 30, 1000};
    struct hostile_random random = {1234567};
    static const struct histogram *histograms[CHUNK_SAMPLES_MAX];
    for (int round = 0; round < 150; round++) {
        struct arena *arena = arena_create(0);
        size_t count = 1 + hostile_below(&random, round % 10 ? 60 : CHUNK_SAMPLES_MAX);
        for (size_t i = 0; i < count; i++)
            histograms[i] = hostile_histogram(&random, arena, i > 0 ? histograms[i - 1] : NULL,
                                              CHANGES[round % 4]);
        assert_comes_back(histograms, count);
        arena_destroy(arena);
    }
}

/* --- A histogram as instrumented programs have them ------------------------------------------ */

enum { BUCKETS = 40, FLEET_SAMPLES = 480 };

struct fleet {
    struct histogram histograms[FLEET_SAMPLES];
    union histogram_number buckets[FLEET_SAMPLES][BUCKETS];
    struct histogram_span spans[FLEET_SAMPLES];
    const struct histogram *pointers[FLEET_SAMPLES];
};

/* Observations around the middle bucket; buckets appear when they are first hit. */
static void fill_fleet(struct fleet *fleet)
{
    struct hostile_random random = {3};
    uint64_t counts[BUCKETS] = {0};
    counts[BUCKETS / 2] = 1;
    double sum = 0;
    memset(fleet, 0, sizeof *fleet);
    for (size_t i = 0; i < FLEET_SAMPLES; i++) {
        for (int observation = 0; observation < 30; observation++) {
            uint64_t bucket = 0;
            for (int bit = 0; bit < BUCKETS - 1; bit++)
                bucket += hostile_below(&random, 2);
            counts[bucket]++;
            sum += (double)bucket / 1000;
        }
        struct histogram *histogram = &fleet->histograms[i];
        uint32_t first = 0;
        uint32_t end = BUCKETS;
        while (counts[first] == 0)
            first++;
        while (counts[end - 1] == 0)
            end--;
        fleet->spans[i] = (struct histogram_span){.offset = (int32_t)first, .length = end - first};
        histogram->zero_threshold = 0x1p-128;
        histogram->schema = 3;
        histogram->sum = sum;
        histogram->positive_span_count = 1;
        histogram->positive_spans = &fleet->spans[i];
        histogram->positive_bucket_count = end - first;
        histogram->positive_buckets = fleet->buckets[i];
        for (uint32_t bucket = first; bucket < end; bucket++) {
            fleet->buckets[i][bucket - first].integer = counts[bucket];
            histogram->count.integer += counts[bucket];
        }
        fleet->pointers[i] = histogram;
    }
}

static void a_growing_histogram_takes_a_few_bits_a_bucket(void **state)
{
    (void)state;
    struct fleet *fleet = malloc(sizeof *fleet);
    assert_non_null(fleet);
    fill_fleet(fleet);
    size_t size = assert_comes_back(fleet->pointers, FLEET_SAMPLES);
    assert_in_range(size, 1, FLEET_SAMPLES * 12);
    free(fleet);
}

static void a_stale_marker_at_the_end_costs_a_few_bytes(void **state)
{
    (void)state;
    struct fleet *fleet = malloc(sizeof *fleet);
    assert_non_null(fleet);
    fill_fleet(fleet);
    size_t size = assert_comes_back(fleet->pointers, FLEET_SAMPLES - 1);
    fleet->histograms[FLEET_SAMPLES - 1] = (struct histogram){
        .sum = double_from_bits(STALE_MARKER_BITS),
    };
    assert_in_range(assert_comes_back(fleet->pointers, FLEET_SAMPLES), size, size + 40);
    free(fleet);
}

/* --- Refusals -------------------------------------------------------------------------------- */

static void encode_refuses_spans_that_do_not_agree(void **state)
{
    (void)state;
    static const struct histogram_span SPANS[] = {{.offset = 2, .length = 2},
                                                  {.offset = -1, .length = 1}};
    static const union histogram_number BUCKET_COUNTS[3] = {{1}, {2}, {3}};
    struct histogram histogram = {
        .positive_spans = SPANS,
        .positive_span_count = 1,
        .positive_buckets = BUCKET_COUNTS,
        .positive_bucket_count = 3, /* the span has 2 */
    };
    const struct histogram *pointer = &histogram;
    struct arena *arena = arena_create(0);
    struct byte_buffer buffer = {0};
    struct error error = {0};
    assert_int_equal(histogram_codec_encode(&pointer, 1, &scratch, arena, &buffer, &error),
                     ERROR_INVALID);
    histogram.positive_span_count = 2; /* agrees, but goes back */
    assert_int_equal(histogram_codec_encode(&pointer, 1, &scratch, arena, &buffer, &error),
                     ERROR_INVALID);
    assert_int_equal(buffer.size, 0);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

static void decode_refuses_every_cut_and_every_surplus(void **state)
{
    (void)state;
    struct hostile_random random = {55};
    struct arena *arena = arena_create(0);
    for (int round = 0; round < 20; round++) {
        const struct histogram *histograms[10];
        for (size_t i = 0; i < 10; i++)
            histograms[i] = hostile_histogram(&random, arena, i > 0 ? histograms[i - 1] : NULL, 5);
        struct byte_buffer buffer = {0};
        struct error error = {0};
        assert_int_equal(histogram_codec_encode(histograms, 10, &scratch, arena, &buffer, &error),
                         ERROR_NONE);
        struct histogram *decoded = NULL;
        for (size_t cut = 0; cut < buffer.size; cut++) {
            uint8_t *piece = malloc(cut == 0 ? 1 : cut);
            memcpy(piece, buffer.bytes, cut);
            enum error_code code =
                histogram_codec_decode(piece, cut, 10, &scratch, arena, &decoded, &error);
            assert_true(code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED);
            free(piece);
        }
        byte_buffer_u8(&buffer, 0);
        assert_int_equal(histogram_codec_decode(buffer.bytes, buffer.size, 10, &scratch, arena,
                                                &decoded, &error),
                         ERROR_CORRUPT);
        assert_null(decoded);
        byte_buffer_clear(&buffer);
        arena_reset(arena);
    }
    arena_destroy(arena);
}

/* Any limit between nothing and enough ends in OUT_OF_MEMORY, nothing else. */
static void decode_survives_an_arena_of_any_size(void **state)
{
    (void)state;
    struct hostile_random random = {56};
    struct arena *arena = arena_create(0);
    const struct histogram *histograms[20];
    for (size_t i = 0; i < 20; i++)
        histograms[i] = hostile_histogram(&random, arena, i > 0 ? histograms[i - 1] : NULL, 4);
    struct byte_buffer buffer = {0};
    struct error error = {0};
    assert_int_equal(histogram_codec_encode(histograms, 20, &scratch, arena, &buffer, &error),
                     ERROR_NONE);
    bool refused = false;
    bool decoded_once = false;
    for (size_t limit = 4096; limit < 4 * 1024 * 1024 && !decoded_once; limit *= 2) {
        struct arena *small = arena_create(limit);
        struct histogram *decoded = NULL;
        enum error_code code = histogram_codec_decode(buffer.bytes, buffer.size, 20, &scratch,
                                                      small, &decoded, &error);
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        decoded_once = code == ERROR_NONE;
        refused = refused || code == ERROR_OUT_OF_MEMORY;
        struct byte_buffer again = {0};
        arena_reset(small);
        code = histogram_codec_encode(histograms, 20, &scratch, small, &again, &error);
        assert_true(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        assert_int_equal(again.size, code == ERROR_NONE ? buffer.size : 0);
        byte_buffer_clear(&again);
        arena_destroy(small);
    }
    assert_true(refused);
    assert_true(decoded_once);
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_histograms_come_back),
        cmocka_unit_test(a_growing_histogram_takes_a_few_bits_a_bucket),
        cmocka_unit_test(a_stale_marker_at_the_end_costs_a_few_bytes),
        cmocka_unit_test(encode_refuses_spans_that_do_not_agree),
        cmocka_unit_test(decode_refuses_every_cut_and_every_surplus),
        cmocka_unit_test(decode_survives_an_arena_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
