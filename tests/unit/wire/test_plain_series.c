#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "decode_body.h"

static const struct label LABELS[] = {
    {{"__name__", 8}, {"up", 2}},
    {{"job", 3}, {"node", 4}},
};
static const double VALUES[] = {1.5, -0.0};

static void labels_on_trust_are_what_stands_before_the_samples(void **state)
{
    (void)state;
    struct byte_buffer body = {0};
    static const int64_t LATELY[] = {1700000000000, 1700000015000};
    struct built_series series = {.labels = LABELS,
                                  .label_count = 2,
                                  .timestamps_ms = LATELY,
                                  .values = VALUES,
                                  .sample_count = 2};
    build_series_1(&body, &series);
    struct arena *arena = arena_create(0);
    struct write_request checked, trusted;
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &checked), ERROR_NONE);
    assert_int_equal(
        decode_bytes(WRITE_VERSION_1, WRITE_LABELS_TRUSTED, body.bytes, body.size, arena, &trusted),
        ERROR_NONE);
    assert_false(checked.series[0].labels_unseen);
    assert_true(trusted.series[0].labels_unseen);
    assert_true(write_labels_are_whole(&trusted.series[0].labels));
    assert_true(hash128_equal(checked.series[0].alias, trusted.series[0].alias));
    assert_int_equal(trusted.series[0].sample_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(trusted.samples[i].timestamp_ms, LATELY[i]);
        assert_true(double_to_bits(trusted.samples[i].value) == double_to_bits(VALUES[i]));
    }
    arena_destroy(arena);
    byte_buffer_clear(&body);
}

/* Whatever is put before the samples of a series, it is not taken for labels. */
static void other_bytes_on_trust_are_no_whole_labels(void **state)
{
    (void)state;
    static const uint8_t BEFORE[] = {0x0a, 0x05, 0x0a, 0x01, 'a', 0x12, 0x02}; /* torn */
    struct byte_buffer body = {0}, series = {0}, sample = {0};
    struct arena *arena = arena_create(0);
    struct write_request request;
    byte_buffer_append(&series, BEFORE, sizeof BEFORE);
    build_double_field(&sample, 1, 1);
    build_varint_field(&sample, 2, 1700000000000);
    build_bytes_field(&series, 2, sample.bytes, sample.size);
    build_bytes_field(&body, 1, series.bytes, series.size);
    assert_int_equal(decode(WRITE_VERSION_1, &body, arena, &request), ERROR_INVALID);
    assert_int_equal(
        decode_bytes(WRITE_VERSION_1, WRITE_LABELS_TRUSTED, body.bytes, body.size, arena, &request),
        ERROR_NONE);
    assert_true(request.series[0].labels_unseen);
    assert_false(write_labels_are_whole(&request.series[0].labels));
    byte_buffer_clear(&sample);
    byte_buffer_clear(&series);
    byte_buffer_clear(&body);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_on_trust_are_what_stands_before_the_samples),
        cmocka_unit_test(other_bytes_on_trust_are_no_whole_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
