#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/remote_write.h"
#include "wire/write_encoder.h"

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

static struct labels labels_of(struct arena *arena, const char *name, const char *job)
{
    struct label labels[] = {{TEXT("__name__"), text_of(name)}, {TEXT("job"), text_of(job)}};
    return labels_build(arena, labels, 2);
}

static void decode(struct arena *arena, const struct write_encoder *encoder,
                   struct byte_buffer *body, struct write_request *request)
{
    struct write_decode_options options = {.version = WRITE_VERSION_2, .series_limit = 100};
    struct error error;
    byte_buffer_reset(body);
    write_encoder_finish(encoder, body);
    assert_false(body->failed);
    assert_int_equal(
        write_request_decode(&options, body->bytes, body->size, arena, request, &error),
        ERROR_NONE);
}

static void assert_labels(struct arena *arena, const struct write_request *request, size_t series,
                          struct labels expected)
{
    struct label array[LABELS_PER_SERIES_MAX];
    size_t count;
    struct error error;
    assert_int_equal(
        write_labels_decode(request, &request->series[series].labels, array, &count, &error),
        ERROR_NONE);
    assert_true(labels_equal(labels_build(arena, array, count), expected));
}

static void what_is_encoded_is_decoded(void **state)
{
    static const union histogram_number BUCKETS[] = {{3}, {1}, {8}};
    static const struct histogram_span SPANS[] = {{2, 1}, {1, 2}};
    static const double BOUNDS[] = {1, 2.5};
    struct histogram histogram = {.kind = HISTOGRAM_INTEGER,
                                  .schema = HISTOGRAM_SCHEMA_CUSTOM,
                                  .count.integer = 12,
                                  .sum = 4.5,
                                  .reset = HISTOGRAM_RESET_YES,
                                  .positive_spans = SPANS,
                                  .positive_span_count = 2,
                                  .positive_buckets = BUCKETS,
                                  .positive_bucket_count = 3,
                                  .custom_bounds = BOUNDS,
                                  .custom_bound_count = 2};
    const int64_t times[] = {1000, 2000, 3000}, starts[] = {0, 5, 6};
    const double values[] = {1.5, double_from_bits(STALE_MARKER_BITS), 0};
    const struct histogram *const histograms[] = {NULL, NULL, &histogram};
    struct sample_columns columns = {.count = 3,
                                     .timestamps_ms = times,
                                     .values = values,
                                     .histograms = histograms,
                                     .start_timestamps_ms = starts};
    struct labels first = labels_of(*state, "up", "node"), second = labels_of(*state, "up", "up");
    struct write_encoder encoder;
    struct write_request request;
    struct byte_buffer body = {0};
    assert_true(write_encoder_init(&encoder));
    write_encoder_add(&encoder, first, &columns, 0, 1);
    write_encoder_add(&encoder, second, &columns, 1, 2);
    assert_int_equal(encoder.sample_count, 2);
    assert_int_equal(encoder.histogram_count, 1);
    decode(*state, &encoder, &body, &request);
    assert_int_equal(request.series_count, 2);
    assert_labels(*state, &request, 0, first);
    assert_labels(*state, &request, 1, second);
    assert_int_equal(request.series[0].sample_count, 1);
    assert_int_equal(request.samples[0].timestamp_ms, 1000);
    assert_true(request.samples[0].value == 1.5);
    assert_int_equal(request.samples[1].timestamp_ms, 2000);
    assert_int_equal(request.samples[1].start_timestamp_ms, 5);
    assert_true(value_is_stale(request.samples[1].value));
    assert_int_equal(request.histogram_count, 1);
    assert_int_equal(request.histograms[0].timestamp_ms, 3000);
    assert_int_equal(request.histograms[0].start_timestamp_ms, 6);
    assert_true(histogram_equal(&request.histograms[0].histogram, &histogram));
    write_encoder_clear(&encoder);
    byte_buffer_clear(&body);
}

static void a_request_is_made_anew_after_a_reset(void **state)
{
    const int64_t times[] = {1000};
    const double values[] = {1};
    struct sample_columns columns = {.count = 1, .timestamps_ms = times, .values = values};
    struct write_encoder encoder;
    struct write_request request;
    struct byte_buffer body = {0};
    assert_true(write_encoder_init(&encoder));
    write_encoder_add(&encoder, labels_of(*state, "a", "b"), &columns, 0, 1);
    write_encoder_reset(&encoder);
    assert_int_equal(encoder.series_count, 0);
    write_encoder_add(&encoder, labels_of(*state, "c", "d"), &columns, 0, 1);
    decode(*state, &encoder, &body, &request);
    assert_int_equal(request.series_count, 1);
    assert_int_equal(request.symbol_count, 5); /* the empty one first */
    assert_labels(*state, &request, 0, labels_of(*state, "c", "d"));
    write_encoder_clear(&encoder);
    byte_buffer_clear(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_encoded_is_decoded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_is_made_anew_after_a_reset, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
