#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/read_stream.h"

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

/* --- Requests --------------------------------------------------------------------------------- */

static void a_request_is_decoded_as_it_was(void **state)
{
    struct read_matcher matchers[] = {{MATCHER_EQUAL, TEXT("__name__"), TEXT("up")},
                                      {MATCHER_NOT_REGEX, TEXT("job"), TEXT("a|b")}};
    struct read_query queries[] = {{-5, 1700000000000, matchers, 2}, {7, 8, matchers + 1, 1}};
    struct read_request request = {queries, 2, READ_CHUNKS}, decoded;
    struct byte_buffer body = {0};
    struct error error;
    read_request_encode(&request, &body);
    assert_int_equal(read_request_decode(body.bytes, body.size, *state, &decoded, &error),
                     ERROR_NONE);
    assert_int_equal(decoded.answer, READ_CHUNKS);
    assert_int_equal(decoded.query_count, 2);
    for (size_t q = 0; q < 2; q++) {
        assert_int_equal(decoded.queries[q].start_ms, queries[q].start_ms);
        assert_int_equal(decoded.queries[q].end_ms, queries[q].end_ms);
        assert_int_equal(decoded.queries[q].matcher_count, queries[q].matcher_count);
        for (size_t m = 0; m < queries[q].matcher_count; m++) {
            const struct read_matcher *left = &decoded.queries[q].matchers[m];
            const struct read_matcher *right = &queries[q].matchers[m];
            assert_int_equal(left->type, right->type);
            assert_true(text_equal(left->name, right->name));
            assert_true(text_equal(left->value, right->value));
        }
    }
    byte_buffer_clear(&body);
}

/* --- Frames ----------------------------------------------------------------------------------- */

enum { SAMPLES = 400 };

static void append_series(struct labels labels, double first, struct byte_buffer *stream)
{
    struct read_scratch scratch = {0};
    int64_t times[SAMPLES];
    double values[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        times[i] = 1000 * (int64_t)i;
        values[i] = first + (double)i / 3;
    }
    struct sample_columns columns = {.count = SAMPLES, .timestamps_ms = times, .values = values};
    read_append_frames(0, labels, &columns, &scratch, stream);
    read_scratch_clear(&scratch);
}

struct seen {
    struct arena *arena;
    size_t count;
    double first;
    struct labels labels;
    enum error_code answer;
};

static enum error_code see(void *context, const struct read_stream_series *series,
                           struct error *error)
{
    struct seen *seen = context;
    seen->count++;
    seen->first = series->samples.values[0];
    seen->labels = series->labels;
    assert_int_equal(series->samples.count, SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_int_equal(series->samples.timestamps_ms[i], 1000 * i);
        assert_true(series->samples.values[i] == seen->first + (double)i / 3);
    }
    return seen->answer == ERROR_NONE ? ERROR_NONE : error_set(error, seen->answer, "enough");
}

static void frames_are_read_one_by_one(void **state)
{
    struct byte_buffer stream = {0};
    struct labels labels[] = {labels_of(*state, "a", "x"), labels_of(*state, "b", "y")};
    struct seen seen = {.arena = *state};
    struct error error;
    size_t at = 0;
    append_series(labels[0], 5, &stream);
    append_series(labels[1], 70, &stream);
    for (size_t number = 0; number < 2; number++) {
        struct read_frame frame;
        assert_int_equal(read_frame_decode(stream.bytes + at, stream.size - at, &frame, &error),
                         ERROR_NONE);
        assert_in_range(frame.frame_size, 1, stream.size - at);
        assert_int_equal(read_frame_visit(&frame, *state, see, &seen, &error), ERROR_NONE);
        assert_int_equal(seen.count, number + 1);
        assert_true(labels_equal(seen.labels, labels[number]));
        at += frame.frame_size;
    }
    assert_int_equal(at, stream.size);
    byte_buffer_clear(&stream);
}

static void a_frame_is_waited_for_until_it_is_whole(void **state)
{
    struct byte_buffer stream = {0};
    struct read_frame frame;
    struct error error;
    append_series(labels_of(*state, "a", "x"), 5, &stream);
    for (size_t size = 0; size < stream.size; size++) {
        assert_int_equal(read_frame_decode(stream.bytes, size, &frame, &error), ERROR_NONE);
        assert_int_equal(frame.frame_size, 0);
    }
    byte_buffer_clear(&stream);
}

static void damaged_frames_are_refused(void **state)
{
    struct byte_buffer stream = {0};
    struct read_frame frame;
    struct error error;
    append_series(labels_of(*state, "a", "x"), 5, &stream);
    for (size_t at = 2; at < stream.size; at++) { /* behind the length */
        stream.bytes[at] ^= 0x10;
        assert_int_equal(read_frame_decode(stream.bytes, stream.size, &frame, &error),
                         ERROR_CORRUPT);
        stream.bytes[at] ^= 0x10;
    }
    static const uint8_t HUGE[] = {0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(read_frame_decode(HUGE, sizeof HUGE, &frame, &error), ERROR_LIMIT);
    byte_buffer_clear(&stream);
}

static void what_the_visitor_says_ends_the_frame(void **state)
{
    struct byte_buffer stream = {0};
    struct read_frame frame;
    struct seen seen = {.arena = *state, .answer = ERROR_NO_SPACE};
    struct error error;
    append_series(labels_of(*state, "a", "x"), 5, &stream);
    assert_int_equal(read_frame_decode(stream.bytes, stream.size, &frame, &error), ERROR_NONE);
    assert_int_equal(read_frame_visit(&frame, *state, see, &seen, &error), ERROR_NO_SPACE);
    byte_buffer_clear(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_decoded_as_it_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_are_read_one_by_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_frame_is_waited_for_until_it_is_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_frames_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_visitor_says_ends_the_frame, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
