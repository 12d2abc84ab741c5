#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/prometheus_chunk.h"

static int set_up(void **state)
{
    *state = arena_create(0);
    return *state == NULL;
}

static int tear_down(void **state)
{
    arena_destroy(*state);
    return 0;
}

static enum error_code decode(struct arena *arena, unsigned encoding, const uint8_t *bytes,
                              size_t size, struct chunk_samples *samples)
{
    struct error error;
    *samples = (struct chunk_samples){.arena = arena};
    return chunk_decode(encoding, bytes, size, samples, &error);
}

/* Every chunk of the columns read back, one behind the other. */
static void round_trip(struct arena *arena, const struct sample_columns *columns,
                       struct chunk_samples *samples)
{
    struct byte_buffer chunk = {0}, windows = {0};
    struct error error = {0};
    *samples = (struct chunk_samples){.arena = arena};
    for (size_t first = 0, end; first < columns->count; first = end) {
        end = chunk_end(columns, first);
        assert_in_range(end, first + 1, first + 120);
        byte_buffer_reset(&chunk);
        chunk_append(columns, first, end, &windows, &chunk);
        assert_int_equal(chunk_decode(chunk_encoding_of(columns, first), chunk.bytes, chunk.size,
                                      samples, &error),
                         ERROR_NONE);
        assert_int_equal(samples->count, end);
    }
    byte_buffer_clear(&chunk);
    byte_buffer_clear(&windows);
}

/* --- Floats ----------------------------------------------------------------------------------- */

/* Two bytes how many, the time as varint, the value, the step as varint, a bit: the same value. */
static const uint8_t TWO_SAMPLES[] = {0x00, 0x02, 0xd0, 0x0f, 0x3f, 0xf0, 0,   0,
                                      0,    0,    0,    0,    0x98, 0x75, 0x00};

static void known_bytes_are_written_and_read(void **state)
{
    const int64_t times[] = {1000, 16000};
    const double values[] = {1, 1};
    struct sample_columns columns = {.count = 2, .timestamps_ms = times, .values = values};
    struct byte_buffer chunk = {0}, windows = {0};
    struct chunk_samples samples;
    chunk_append(&columns, 0, 2, &windows, &chunk);
    assert_int_equal(chunk.size, sizeof TWO_SAMPLES);
    assert_memory_equal(chunk.bytes, TWO_SAMPLES, sizeof TWO_SAMPLES);
    byte_buffer_clear(&chunk);
    byte_buffer_clear(&windows);
    assert_int_equal(decode(*state, ENCODING_XOR, TWO_SAMPLES, sizeof TWO_SAMPLES, &samples),
                     ERROR_NONE);
    assert_int_equal(samples.count, 2);
    assert_int_equal(samples.timestamps_ms[0], 1000);
    assert_int_equal(samples.timestamps_ms[1], 16000);
    assert_true(samples.values[0] == 1 && samples.values[1] == 1);
    assert_false(samples.has_histograms);
}

static uint64_t next_random(uint64_t *random)
{
    return *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
}

/* Steps of every size that times have, values that change in few bits and in many. */
static void floats_come_back_bit_by_bit(void **state)
{
    enum { COUNT = 5000 };
    static int64_t times[COUNT];
    static double values[COUNT];
    static const uint64_t STEPS[] = {15000, 15001, 14000,  1,        8191,
                                     8192,  70000, 600000, 40000000, INT64_C(1) << 40};
    uint64_t random = 7;
    int64_t at = -5000000;
    for (size_t i = 0; i < COUNT; i++) {
        at += (int64_t)STEPS[(next_random(&random) >> 33) % (sizeof STEPS / sizeof STEPS[0])];
        times[i] = at;
        switch ((next_random(&random) >> 33) % 5) {
        case 0:
            values[i] = i > 0 ? values[i - 1] : 0;
            break;
        case 1:
            values[i] = (double)(i * i);
            break;
        case 2:
            values[i] = double_from_bits(STALE_MARKER_BITS);
            break;
        case 3:
            values[i] = 0.1 * (double)(i % 17);
            break;
        default:
            values[i] = double_from_bits(next_random(&random));
        }
    }
    struct sample_columns columns = {.count = COUNT, .timestamps_ms = times, .values = values};
    struct chunk_samples samples;
    round_trip(*state, &columns, &samples);
    assert_memory_equal(samples.timestamps_ms, times, sizeof times);
    assert_memory_equal(samples.values, values, sizeof values);
}

static void a_chunk_that_is_cut_is_refused(void **state)
{
    struct chunk_samples samples;
    for (size_t size = 0; size < sizeof TWO_SAMPLES; size++) {
        assert_int_equal(decode(*state, ENCODING_XOR, TWO_SAMPLES, size, &samples), ERROR_CORRUPT);
        assert_int_equal(samples.count, 0);
    }
}

static void another_encoding_is_not_known(void **state)
{
    struct chunk_samples samples;
    for (unsigned encoding = 0; encoding < 300; encoding++)
        if (encoding < ENCODING_XOR || encoding > ENCODING_FLOAT_HISTOGRAM)
            assert_int_equal(decode(*state, encoding, TWO_SAMPLES, sizeof TWO_SAMPLES, &samples),
                             ERROR_UNSUPPORTED);
}

/* --- Histograms ------------------------------------------------------------------------------- */

enum { HISTOGRAMS = 300, BUCKETS = 5 };

struct fixture {
    int64_t times[HISTOGRAMS];
    double values[HISTOGRAMS];
    struct histogram histograms[HISTOGRAMS];
    const struct histogram *pointers[HISTOGRAMS];
    union histogram_number buckets[HISTOGRAMS][BUCKETS];
    struct sample_columns columns;
};

static const struct histogram_span SPANS[] = {{-3, 2}, {4, 3}};
static const double BOUNDS[] = {0.005, 0.25, 1, 2.5};

/* Counters that grow, fall at every 70th; a float in between at every 90th; stale at the end. */
static struct fixture *make(enum histogram_kind kind, int32_t schema, enum histogram_reset reset)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    uint64_t random = 3;
    for (size_t i = 0; i < HISTOGRAMS; i++) {
        struct histogram *histogram = &fixture->histograms[i];
        bool is_custom = schema == HISTOGRAM_SCHEMA_CUSTOM;
        uint64_t sum = 0;
        for (size_t b = 0; b < BUCKETS; b++) {
            uint64_t count = (i % 70) * (b + 1) + (next_random(&random) >> 60);
            sum += count;
            if (kind == HISTOGRAM_INTEGER)
                fixture->buckets[i][b].integer = count;
            else
                fixture->buckets[i][b].real = (double)count / 3;
        }
        *histogram = (struct histogram){
            .kind = kind,
            .reset = i % 70 == 0 && reset == HISTOGRAM_RESET_YES ? HISTOGRAM_RESET_YES
                     : reset == HISTOGRAM_RESET_GAUGE            ? HISTOGRAM_RESET_GAUGE
                                                                 : HISTOGRAM_RESET_UNKNOWN,
            .schema = schema,
            .zero_threshold = is_custom ? 0
                              : i < 100 ? 0x1p-128
                                        : 0.001,
            .sum = 0.1 * (double)i,
            .positive_spans = SPANS,
            .positive_span_count = 2,
            .positive_bucket_count = BUCKETS,
            .negative_spans = is_custom ? NULL : SPANS,
            .negative_span_count = is_custom ? 0 : 1,
            .negative_bucket_count = is_custom ? 0 : 2,
            .positive_buckets = fixture->buckets[i],
            .negative_buckets = is_custom ? NULL : fixture->buckets[i] + 1,
            .custom_bounds = is_custom ? BOUNDS : NULL,
            .custom_bound_count = is_custom ? 4 : 0,
        };
        if (kind == HISTOGRAM_INTEGER)
            histogram->count.integer = 2 * sum + i;
        else
            histogram->count.real = (double)(2 * sum) + 0.5;
        fixture->times[i] = 1700000000000 + (int64_t)(i * 15000 + i % 7);
        fixture->pointers[i] = i % 90 == 89 ? NULL : histogram;
        fixture->values[i] = i % 90 == 89 ? (double)i : 0;
    }
    fixture->histograms[HISTOGRAMS - 1] =
        (struct histogram){.kind = kind, .sum = double_from_bits(STALE_MARKER_BITS)};
    fixture->columns = (struct sample_columns){.count = HISTOGRAMS,
                                               .timestamps_ms = fixture->times,
                                               .values = fixture->values,
                                               .histograms = fixture->pointers};
    return fixture;
}

static void assert_comes_back(struct arena *arena, enum histogram_kind kind, int32_t schema,
                              enum histogram_reset reset)
{
    struct fixture *fixture = make(kind, schema, reset);
    struct chunk_samples samples;
    round_trip(arena, &fixture->columns, &samples);
    assert_true(samples.has_histograms);
    assert_int_equal(samples.count, HISTOGRAMS);
    assert_memory_equal(samples.timestamps_ms, fixture->times, sizeof fixture->times);
    for (size_t i = 0; i < HISTOGRAMS; i++) {
        if (fixture->pointers[i] == NULL) {
            assert_null(samples.histograms[i]);
            assert_true(samples.values[i] == fixture->values[i]);
        } else {
            assert_true(histogram_equal(samples.histograms[i], fixture->pointers[i]));
        }
    }
    free(fixture);
}

static void histograms_of_integers_come_back(void **state)
{
    assert_comes_back(*state, HISTOGRAM_INTEGER, 3, HISTOGRAM_RESET_UNKNOWN);
    assert_comes_back(*state, HISTOGRAM_INTEGER, 0, HISTOGRAM_RESET_YES);
}

static void histograms_of_floats_come_back(void **state)
{
    assert_comes_back(*state, HISTOGRAM_FLOAT, -4, HISTOGRAM_RESET_UNKNOWN);
    assert_comes_back(*state, HISTOGRAM_FLOAT, 8, HISTOGRAM_RESET_GAUGE);
}

static void histograms_of_custom_bounds_come_back(void **state)
{
    assert_comes_back(*state, HISTOGRAM_INTEGER, HISTOGRAM_SCHEMA_CUSTOM, HISTOGRAM_RESET_UNKNOWN);
    assert_comes_back(*state, HISTOGRAM_FLOAT, HISTOGRAM_SCHEMA_CUSTOM, HISTOGRAM_RESET_UNKNOWN);
}

static void cut_histograms_are_refused(void **state)
{
    struct fixture *fixture = make(HISTOGRAM_INTEGER, 1, HISTOGRAM_RESET_UNKNOWN);
    struct byte_buffer chunk = {0}, windows = {0};
    struct chunk_samples samples;
    chunk_append(&fixture->columns, 0, chunk_end(&fixture->columns, 0), &windows, &chunk);
    for (size_t size = 0; size < chunk.size; size++) {
        assert_int_equal(decode(*state, ENCODING_HISTOGRAM, chunk.bytes, size, &samples),
                         ERROR_CORRUPT);
        arena_reset(*state);
    }
    byte_buffer_clear(&chunk);
    byte_buffer_clear(&windows);
    free(fixture);
}

/* A header of a few bytes that claims 2^32 buckets. */
static void buckets_without_end_are_refused(void **state)
{
    static const uint8_t CLAIM[] = {0x00, 0x01, 0x00, 0x00, 0x4f, 0xf8, 0x00, 0x01, 0x00, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    struct chunk_samples samples;
    assert_int_not_equal(decode(*state, ENCODING_HISTOGRAM, CLAIM, sizeof CLAIM, &samples),
                         ERROR_NONE);
    assert_in_range(arena_size_bytes(*state), 0, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(known_bytes_are_written_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(floats_come_back_bit_by_bit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_chunk_that_is_cut_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_encoding_is_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms_of_integers_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms_of_floats_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(histograms_of_custom_bounds_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cut_histograms_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buckets_without_end_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
