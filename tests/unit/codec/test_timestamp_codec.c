#include "codec/timestamp_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hostile_values.h"

enum { COLUMN = 5760 };

static struct codec_scratch scratch;

static void encode(const int64_t *timestamps, size_t count, struct byte_buffer *buffer)
{
    timestamp_codec_encode(timestamps, count, &scratch, buffer);
    assert_false(buffer->failed);
}

static void open_column(const struct byte_buffer *buffer, struct timestamp_column *column)
{
    struct error error = {0};
    assert_int_equal(timestamp_codec_open(buffer->bytes, buffer->size, column, &error), ERROR_NONE);
}

/* Steps between 1 and `step_max`, or only that one for 0 `jitter_max`. */
static void fill(int64_t *timestamps, size_t count, uint64_t step, uint64_t jitter_max)
{
    struct hostile_random random = {31};
    int64_t now = 1795211328123;
    for (size_t i = 0; i < count; i++) {
        timestamps[i] = now + (int64_t)(jitter_max == 0 ? 0 : hostile_below(&random, jitter_max));
        now += (int64_t)step;
    }
}

static void regular_intervals_cost_next_to_nothing(void **state)
{
    (void)state;
    int64_t timestamps[COLUMN];
    fill(timestamps, COLUMN, 15000, 0);
    struct byte_buffer buffer = {0};
    encode(timestamps, COLUMN, &buffer);
    assert_in_range(buffer.size, 1, 12 * (4 + 12));
    byte_buffer_clear(&buffer);
}

static void any_range_of_a_column_comes_back(void **state)
{
    (void)state;
    static int64_t timestamps[COLUMN];
    static int64_t decoded[COLUMN];
    struct hostile_random random = {5};
    fill(timestamps, COLUMN, 15000, 14000);
    struct byte_buffer buffer = {0};
    encode(timestamps, COLUMN, &buffer);
    struct timestamp_column column;
    open_column(&buffer, &column);
    assert_int_equal(column.count, COLUMN);
    for (int round = 0; round < 2000; round++) {
        size_t first = hostile_below(&random, COLUMN);
        size_t count = hostile_below(&random, COLUMN - first + 1);
        struct error error = {0};
        assert_int_equal(timestamp_codec_decode(&column, first, count, &scratch, decoded, &error),
                         ERROR_NONE);
        assert_memory_equal(decoded, timestamps + first, count * sizeof *decoded);
    }
    byte_buffer_clear(&buffer);
}

static void extreme_timestamps_come_back(void **state)
{
    (void)state;
    static const int64_t EXTREMES[] = {INT64_MIN, INT64_MIN + 1, -5,       0,
                                       3,         INT64_MAX - 1, INT64_MAX};
    enum { COUNT = sizeof EXTREMES / sizeof *EXTREMES };
    struct byte_buffer buffer = {0};
    encode(EXTREMES, COUNT, &buffer);
    struct timestamp_column column;
    open_column(&buffer, &column);
    int64_t decoded[COUNT];
    struct error error = {0};
    assert_int_equal(timestamp_codec_decode(&column, 0, COUNT, &scratch, decoded, &error),
                     ERROR_NONE);
    assert_memory_equal(decoded, EXTREMES, sizeof EXTREMES);
    byte_buffer_clear(&buffer);
}

static void a_range_outside_of_the_column_is_corrupt(void **state)
{
    (void)state;
    static const int64_t THREE[] = {1, 2, 3};
    struct byte_buffer buffer = {0};
    encode(THREE, 3, &buffer);
    struct timestamp_column column;
    open_column(&buffer, &column);
    static const size_t RANGES[][2] = {{0, 4}, {3, 1}, {4, 0}, {1, SIZE_MAX}, {SIZE_MAX, 1}};
    for (size_t i = 0; i < sizeof RANGES / sizeof *RANGES; i++) {
        int64_t decoded[4];
        struct error error = {0};
        assert_int_equal(
            timestamp_codec_decode(&column, RANGES[i][0], RANGES[i][1], &scratch, decoded, &error),
            ERROR_CORRUPT);
    }
    byte_buffer_clear(&buffer);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    int64_t timestamps[1000];
    fill(timestamps, 1000, 1000, 900);
    struct byte_buffer buffer = {0};
    encode(timestamps, 1000, &buffer);
    for (size_t cut = 0; cut < buffer.size; cut++) {
        uint8_t *piece = malloc(cut == 0 ? 1 : cut);
        memcpy(piece, buffer.bytes, cut);
        struct timestamp_column column;
        struct error error = {0};
        assert_int_equal(timestamp_codec_open(piece, cut, &column, &error), ERROR_CORRUPT);
        free(piece);
    }
    byte_buffer_clear(&buffer);
}

static void bytes_that_do_not_ascend_are_corrupt(void **state)
{
    (void)state;
    static const uint8_t EQUAL[] = {
        3,    2, 0, 0, 0, /* three timestamps, in 2 bytes */
        0x40, 2,          /* order 1, the first is 1, all steps are 0 */
    };
    struct timestamp_column column;
    struct error error = {0};
    int64_t decoded[3];
    assert_int_equal(timestamp_codec_open(EQUAL, sizeof EQUAL, &column, &error), ERROR_NONE);
    assert_int_equal(timestamp_codec_decode(&column, 0, 3, &scratch, decoded, &error),
                     ERROR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regular_intervals_cost_next_to_nothing),
        cmocka_unit_test(any_range_of_a_column_comes_back),
        cmocka_unit_test(extreme_timestamps_come_back),
        cmocka_unit_test(a_range_outside_of_the_column_is_corrupt),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(bytes_that_do_not_ascend_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
