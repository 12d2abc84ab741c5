#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "decode_body.h"

static const struct label LABELS[] = {
    {{"__name__", 8}, {"up", 2}},
    {{"job", 3}, {"node", 4}},
};
static const int64_t TIMES[] = {1000, 2000};
static const double VALUES[] = {1.5, -0.0};
static const struct histogram_span SPANS[] = {{-2, 2}, {1, 1}};
static const union histogram_number BUCKETS[] = {{.integer = 3}, {.integer = 1}, {.integer = 7}};
static const int64_t HISTOGRAM_TIMES[] = {3000};

static struct histogram example_histogram(void)
{
    return (struct histogram){.kind = HISTOGRAM_INTEGER,
                              .schema = 3,
                              .reset = HISTOGRAM_RESET_NO,
                              .zero_threshold = 0.001,
                              .zero_count.integer = 2,
                              .count.integer = 13,
                              .sum = 4.25,
                              .positive_spans = SPANS,
                              .positive_span_count = 2,
                              .positive_buckets = BUCKETS,
                              .positive_bucket_count = 3};
}

static void check_histogram(const struct write_histogram *decoded, int64_t start_timestamp_ms)
{
    const struct histogram *histogram = &decoded->histogram;
    assert_int_equal(decoded->timestamp_ms, 3000);
    assert_int_equal(decoded->start_timestamp_ms, start_timestamp_ms);
    assert_int_equal(histogram->kind, HISTOGRAM_INTEGER);
    assert_int_equal(histogram->schema, 3);
    assert_int_equal(histogram->reset, HISTOGRAM_RESET_NO);
    assert_int_equal(histogram->count.integer, 13);
    assert_true(histogram->sum == 4.25);
    assert_int_equal(histogram->positive_span_count, 2);
    assert_int_equal(histogram->positive_spans[0].offset, -2);
    assert_int_equal(histogram->positive_spans[1].length, 1);
    assert_int_equal(histogram->positive_bucket_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(histogram->positive_buckets[i].integer, BUCKETS[i].integer);
}

static void check_series(const struct write_request *request)
{
    assert_int_equal(request->series_count, 1);
    const struct write_series *series = &request->series[0];
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t count;
    struct error error;
    assert_int_equal(write_labels_decode(request, &series->labels, labels, &count, &error),
                     ERROR_NONE);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_true(text_equal(labels[i].name, LABELS[i].name));
        assert_true(text_equal(labels[i].value, LABELS[i].value));
    }
    assert_int_equal(series->sample_count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct write_sample *sample = &request->samples[series->sample_first + i];
        assert_int_equal(sample->timestamp_ms, TIMES[i]);
        assert_true(double_to_bits(sample->value) == double_to_bits(VALUES[i]));
    }
}

static void version_1_round_trips(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    struct histogram histogram = example_histogram();
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = TIMES,
                                  .values = VALUES,
                                  .sample_count = 2,
                                  .histograms = &histogram,
                                  .histogram_timestamps_ms = HISTOGRAM_TIMES,
                                  .histogram_count = 1};
    struct metric_metadata metadata = {METRIC_GAUGE, TEXT("Is it up."), TEXT("")};
    build_series_1(&body, &series);
    build_metadata_1(&body, TEXT("up"), &metadata);
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_NONE);
    check_series(&request);
    check_histogram(&request.histograms[0], 0);
    assert_int_equal(request.metadata_count, 1);
    assert_true(text_equal(request.metadata[0].metric_family, TEXT("up")));
    assert_true(text_equal(request.metadata[0].help, TEXT("Is it up.")));
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

static void version_2_round_trips(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    struct histogram histogram = example_histogram();
    struct metric_metadata metadata = {METRIC_COUNTER, TEXT("Help."), TEXT("bytes")};
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = TIMES,
                                  .values = VALUES,
                                  .sample_count = 2,
                                  .histograms = &histogram,
                                  .histogram_timestamps_ms = HISTOGRAM_TIMES,
                                  .histogram_count = 1,
                                  .start_timestamp_ms = 500,
                                  .metadata = &metadata};
    build_request_2(&body, &series, 1);
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    check_series(&request);
    check_histogram(&request.histograms[0], 500);
    assert_int_equal(request.samples[0].start_timestamp_ms, 500);
    assert_true(request.has_start_timestamps);
    assert_true(text_equal(request.metadata[0].unit, TEXT("bytes")));
    assert_false(request.series[0].reference_invalid);
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

static void references_outside_the_symbols_mark_only_their_series(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    struct built_series good = {.labels = LABELS,
                                .label_count = 2,
                                .timestamps_ms = TIMES,
                                .values = VALUES,
                                .sample_count = 1};
    build_request_2(&body, &good, 1);
    struct byte_buffer bad = {0};
    const uint8_t references[] = {1, 99};
    build_bytes_field(&bad, 1, references, sizeof references);
    build_bytes_field(&body, 5, bad.bytes, bad.size);
    byte_buffer_clear(&bad);
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    assert_int_equal(request.series_count, 2);
    assert_false(request.series[0].reference_invalid);
    assert_true(request.series[1].reference_invalid);
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

/* Refused, or not whole, which has it decoded with a look at the labels. */
static void assert_torn_when_trusted(const uint8_t *bytes, size_t size, struct arena *arena)
{
    struct write_request request;
    if (decode_bytes(WRITE_VERSION_1, WRITE_LABELS_TRUSTED, bytes, size, arena, &request) ==
        ERROR_NONE)
        assert_false(write_labels_are_whole(&request.series[0].labels));
}

/* No cut inside a body may be taken for a shorter request. */
static void version_1_refuses_every_torn_body(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = TIMES,
                                  .values = VALUES,
                                  .sample_count = 2};
    build_series_1(&body, &series);
    struct arena *arena = arena_create(0);
    for (size_t size = 1; size < body.size; size++) {
        struct write_request request;
        assert_int_equal(
            decode_bytes(WRITE_VERSION_1, WRITE_LABELS_CHECKED, body.bytes, size, arena, &request),
            ERROR_INVALID);
        assert_torn_when_trusted(body.bytes, size, arena);
        arena_reset(arena);
    }
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

static void aliases_follow_the_bytes(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = TIMES,
                                  .values = VALUES,
                                  .sample_count = 1};
    build_series_1(&body, &series);
    series.sample_count = 2;
    build_series_1(&body, &series);
    series.label_count = 1;
    build_series_1(&body, &series);
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_NONE);
    assert_true(hash128_equal(request.series[0].alias, request.series[1].alias));
    assert_false(hash128_equal(request.series[0].alias, request.series[2].alias));
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

static void labels_apart_from_each_other_are_put_together(void **state)
{
    (void)state;
    struct byte_buffer body = {0}, series = {0}, part = {0};
    const char *names[] = {"a", "b"};
    for (size_t i = 0; i < 2; i++) {
        build_bytes_field(&part, 1, names[i], 1);
        build_bytes_field(&part, 2, "x", 1);
        build_bytes_field(&series, 1, part.bytes, part.size);
        byte_buffer_reset(&part);
        build_double_field(&part, 1, 1);
        build_bytes_field(&series, 2, part.bytes, part.size);
        byte_buffer_reset(&part);
    }
    build_bytes_field(&body, 1, series.bytes, series.size);
    struct arena *arena = arena_create(0);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_NONE);
    struct label labels[LABELS_PER_SERIES_MAX];
    size_t count;
    struct error error;
    assert_int_equal(
        write_labels_decode(&request, &request.series[0].labels, labels, &count, &error),
        ERROR_NONE);
    assert_int_equal(count, 2);
    assert_true(text_equal(labels[1].name, TEXT("b")));
    arena_destroy(arena);
    byte_buffer_clear(&part);
    byte_buffer_clear(&series);
    byte_buffer_clear(&body);
}

/* --- What a sender got wrong ------------------------------------------------------------------ */

static void build_message(struct byte_buffer *body, uint32_t number,
                          const struct byte_buffer *message)
{
    build_bytes_field(body, number, message->bytes, message->size);
}

/* Unknown fields are skipped, so that either body would be an empty one of the other version. */
static void a_body_of_the_other_version_is_no_empty_request(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer one = {0}, two = {0};
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = TIMES,
                                  .values = VALUES,
                                  .sample_count = 2};
    struct write_request request;
    build_series_1(&one, &series);
    build_request_2(&two, &series, 1);
    assert_int_equal(decode(WRITE_VERSION_2, &one, arena, &request), ERROR_INVALID);
    assert_int_equal(decode(WRITE_VERSION_1, &two, arena, &request), ERROR_INVALID);
    byte_buffer_clear(&one);
    byte_buffer_clear(&two);
    arena_destroy(arena);
}

static void a_reference_beyond_32_bits_stays_outside_also_unpacked(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer body = {0}, series = {0}, sample = {0};
    build_bytes_field(&body, 4, "", 0);
    build_bytes_field(&body, 4, "x", 1);
    build_varint_field(&series, 1, (UINT64_C(1) << 32) + 1);
    build_varint_field(&series, 1, 1);
    build_varint_field(&sample, 2, 1000);
    build_message(&series, 2, &sample);
    build_message(&body, 5, &series);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    assert_true(request.series[0].reference_invalid);
    byte_buffer_clear(&body);
    byte_buffer_clear(&series);
    byte_buffer_clear(&sample);
    arena_destroy(arena);
}

static void buckets_of_the_kind_that_the_count_is_not_are_passed_over(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer body = {0}, series = {0}, histogram = {0};
    static const uint8_t DELTAS[] = {2, 2};
    build_varint_field(&histogram, 1, 9);
    build_double_field(&histogram, 2, 2.5);
    build_bytes_field(&histogram, 12, DELTAS, sizeof DELTAS);
    build_double_field(&histogram, 13, 2.5);
    build_message(&series, 4, &histogram);
    build_message(&body, 1, &series);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_NONE);
    const struct histogram *decoded = &request.histograms[0].histogram;
    assert_int_equal(decoded->kind, HISTOGRAM_FLOAT);
    assert_true(decoded->count.real == 2.5);
    assert_int_equal(decoded->positive_bucket_count, 1);
    assert_true(decoded->positive_buckets[0].real == 2.5);
    byte_buffer_clear(&body);
    byte_buffer_clear(&series);
    byte_buffer_clear(&histogram);
    arena_destroy(arena);
}

static void a_histogram_of_too_many_buckets_is_marked_alone(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer body = {0}, series = {0}, histogram = {0};
    static const uint8_t DELTAS[HISTOGRAM_BUCKETS_MAX + 1];
    build_varint_field(&histogram, 1, 0);
    build_bytes_field(&histogram, 12, DELTAS, sizeof DELTAS);
    build_message(&series, 4, &histogram);
    build_message(&body, 1, &series);
    struct write_request request;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_NONE);
    assert_int_equal(request.histograms[0].status, ERROR_LIMIT);
    assert_int_equal(request.histograms[0].histogram.positive_bucket_count, 0);
    byte_buffer_clear(&body);
    byte_buffer_clear(&series);
    byte_buffer_clear(&histogram);
    arena_destroy(arena);
}

static void what_can_be_read_of_wrong_labels_names_the_series(void **state)
{
    (void)state;
    struct arena *arena = arena_create(1 << 20);
    struct byte_buffer body = {0}, series = {0};
    static const uint8_t REFERENCES[] = {1, 2, 1, 99, 7};
    build_bytes_field(&body, 4, "", 0);
    build_bytes_field(&body, 4, "__name__", 8);
    build_bytes_field(&body, 4, "up", 2);
    build_bytes_field(&series, 1, REFERENCES, sizeof REFERENCES);
    build_message(&body, 5, &series);
    struct write_request request;
    struct label labels[LABELS_PER_SERIES_MAX];
    assert_int_equal(decode(WRITE_VERSION_2, &body, arena, &request), ERROR_NONE);
    assert_int_equal(write_labels_readable(&request, &request.series[0].labels, labels), 1);
    assert_true(text_equal(labels[0].value, TEXT("up")));
    byte_buffer_clear(&body);
    byte_buffer_clear(&series);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_round_trips),
        cmocka_unit_test(version_2_round_trips),
        cmocka_unit_test(references_outside_the_symbols_mark_only_their_series),
        cmocka_unit_test(version_1_refuses_every_torn_body),
        cmocka_unit_test(aliases_follow_the_bytes),
        cmocka_unit_test(labels_apart_from_each_other_are_put_together),
        cmocka_unit_test(a_body_of_the_other_version_is_no_empty_request),
        cmocka_unit_test(a_reference_beyond_32_bits_stays_outside_also_unpacked),
        cmocka_unit_test(buckets_of_the_kind_that_the_count_is_not_are_passed_over),
        cmocka_unit_test(a_histogram_of_too_many_buckets_is_marked_alone),
        cmocka_unit_test(what_can_be_read_of_wrong_labels_names_the_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
