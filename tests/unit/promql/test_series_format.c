/* Series as bytes and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sample.h"
#include "promql/series_format.h"

enum { SAMPLES_MAX = 1500, START_MS = 1000, END_MS = 100 * 1000 * 1000 };

static struct arena *arena;
static struct codec_scratch scratch;

static int open_arena(void **state)
{
    (void)state;
    arena = arena_create(0);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    arena_destroy(arena);
    return 0;
}

/* --- Series ---------------------------------------------------------------------------------- */

struct series {
    struct labels labels;
    struct sample_columns columns;
};

static uint64_t random_state = 88172645463325252;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static struct labels labels_of(unsigned number)
{
    struct label labels[] = {
        {LABEL_METRIC_NAME, arena_format(arena, "metric_%u", number / 10)},
        {TEXT("instance"), arena_format(arena, "host-%u:9100", number % 10)},
    };
    return labels_build(arena, labels, 2);
}

static const int64_t *timestamps_of(size_t count, unsigned phase)
{
    int64_t *timestamps_ms = arena_array(arena, count, sizeof *timestamps_ms);
    for (size_t i = 0; i < count; i++)
        timestamps_ms[i] = START_MS + phase + (int64_t)i * 15000 + (int64_t)(i % 7);
    return timestamps_ms;
}

static struct histogram *histogram_of(unsigned seed)
{
    struct histogram *histogram = arena_array(arena, 1, sizeof *histogram);
    struct histogram_span *span = arena_array(arena, 1, sizeof *span);
    union histogram_number *buckets = arena_array(arena, 3, sizeof *buckets);
    *span = (struct histogram_span){.offset = (int32_t)seed % 5, .length = 3};
    for (unsigned i = 0; i < 3; i++)
        buckets[i].integer = seed + i;
    *histogram = (struct histogram){
        .kind = HISTOGRAM_INTEGER,
        .reset = HISTOGRAM_RESET_NO,
        .schema = 3,
        .zero_threshold = 1e-128,
        .zero_count.integer = 2,
        .count.integer = 3 * seed + 5,
        .sum = seed * 0.25,
        .positive_span_count = 1,
        .positive_bucket_count = 3,
        .positive_spans = span,
        .positive_buckets = buckets,
    };
    return histogram;
}

/* Values of all sorts; every fifth series has histograms, every third start timestamps. */
static struct series series_of(unsigned number, size_t count, uint64_t timestamps_id)
{
    double *values = arena_array(arena, count, sizeof *values);
    const struct histogram **histograms = NULL;
    int64_t *starts_ms = NULL;
    for (size_t i = 0; i < count; i++) {
        values[i] = number % 4 == 0 ? (double)i : (double)(random_next() % 100000) / 7;
        if (random_next() % 40 == 0)
            values[i] = double_from_bits(random_next() % 2 == 0 ? STALE_MARKER_BITS
                                                                : UINT64_C(0x8000000000000000));
    }
    if (number % 5 == 4) {
        histograms = arena_array(arena, count, sizeof(struct histogram *));
        for (size_t i = 0; i < count; i++)
            if (random_next() % 3 != 0)
                histograms[i] = histogram_of((unsigned)(number + i));
    }
    if (number % 3 == 2) {
        starts_ms = arena_array(arena, count, sizeof *starts_ms);
        for (size_t i = 0; i < count; i++)
            starts_ms[i] = i % 10 == 0 ? 0 : (int64_t)(i / 20 * 1000) - 5;
    }
    return (struct series){
        .labels = labels_of(number),
        .columns = {.count = count,
                    .timestamps_ms = timestamps_of(count, (unsigned)timestamps_id * 10),
                    .values = values,
                    .histograms = histograms,
                    .start_timestamps_ms = starts_ms,
                    .timestamps_id = timestamps_id},
    };
}

static void expect_equal(const struct sample_columns *one, const struct sample_columns *other)
{
    assert_int_equal(one->count, other->count);
    if (one->count == 0)
        return;
    assert_memory_equal(one->timestamps_ms, other->timestamps_ms, one->count * sizeof(int64_t));
    for (size_t i = 0; i < one->count; i++) {
        bool is_histogram = one->histograms != NULL && one->histograms[i] != NULL;
        assert_int_equal(is_histogram, other->histograms != NULL && other->histograms[i] != NULL);
        if (is_histogram)
            assert_true(histogram_equal(one->histograms[i], other->histograms[i]));
        else
            assert_int_equal(double_to_bits(one->values[i]), double_to_bits(other->values[i]));
    }
    assert_int_equal(one->start_timestamps_ms == NULL, other->start_timestamps_ms == NULL);
    if (one->start_timestamps_ms != NULL)
        assert_memory_equal(one->start_timestamps_ms, other->start_timestamps_ms,
                            one->count * sizeof(int64_t));
}

/* --- Bytes ----------------------------------------------------------------------------------- */

static struct series_writer writer_init(void)
{
    return (struct series_writer){.scratch = &scratch, .arena = arena_create(0)};
}

static void writer_end(struct series_writer *writer)
{
    arena_destroy(writer->arena);
    series_writer_clear(writer);
}

static void add(struct series_writer *writer, struct byte_buffer *buffer,
                const struct series *series)
{
    struct error error;
    assert_int_equal(series_writer_add(writer, buffer, series->labels, &series->columns, &error),
                     ERROR_NONE);
}

static struct series_list list_init(enum series_need need)
{
    return (struct series_list){
        .arena = arena, .need = need, .start_ms = START_MS, .end_ms = END_MS};
}

static void every_kind_of_series_comes_back(void **state)
{
    enum { SERIES = 200 };
    (void)state;
    static struct series series[SERIES];
    struct series_writer writer = writer_init();
    struct byte_buffer buffers[3] = {0};
    for (unsigned i = 0; i < SERIES; i++) {
        static const size_t COUNTS[] = {0, 1, 2, 479, 480, 481, SAMPLES_MAX};
        size_t count = COUNTS[i / 10 % 7];
        series[i] = series_of(i, count, 1 + i / 10);
        add(&writer, &buffers[i * 3 / SERIES], &series[i]);
    }
    struct series_list list = list_init(SERIES_NEED_ALL);
    struct answer_decoder *decoder;
    struct error error;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(series_list_add(&list, buffers[i].bytes, buffers[i].size, &error),
                         ERROR_NONE);
    assert_int_equal(list.count, SERIES);
    assert_true(list.column_count < SERIES / 5); /* ten share one */
    assert_int_equal(answer_decoder_create(&decoder, &error), ERROR_NONE);
    /* In order, and at random. */
    for (size_t i = 0; i < 3 * SERIES; i++) {
        size_t index = i < SERIES ? i : random_next() % SERIES;
        struct sample_columns columns;
        assert_true(labels_equal(list.entries[index].labels, series[index].labels));
        assert_int_equal(answer_decoder_read(decoder, &list, index, &columns, &error), ERROR_NONE);
        expect_equal(&series[index].columns, &columns);
    }
    answer_decoder_destroy(decoder);
    writer_end(&writer);
    for (size_t i = 0; i < 3; i++)
        byte_buffer_clear(&buffers[i]);
}

static void labels_alone_take_what_is_new_in_them(void **state)
{
    enum { SERIES = 100 };
    (void)state;
    struct series_writer writer = writer_init();
    struct byte_buffer buffer = {0};
    struct error error;
    size_t size = 0;
    for (unsigned i = 0; i < SERIES; i++) {
        struct labels labels = labels_of(i);
        size += labels.size;
        assert_int_equal(series_writer_add(&writer, &buffer, labels, NULL, &error), ERROR_NONE);
    }
    assert_true(buffer.size < size / 2);
    struct series_list list = list_init(SERIES_NEED_LABELS);
    assert_int_equal(series_list_add(&list, buffer.bytes, buffer.size, &error), ERROR_NONE);
    assert_int_equal(list.count, SERIES);
    for (unsigned i = 0; i < SERIES; i++)
        assert_true(labels_equal(list.entries[i].labels, labels_of(i)));
    writer_end(&writer);
    byte_buffer_clear(&buffer);
}

/* What shares an id shares the column while it is remembered, and is sent again afterwards. */
static void columns_are_sent_once_and_forgotten_in_turn(void **state)
{
    enum { TARGETS = 2 * SERIES_COLUMNS_KEPT };
    (void)state;
    struct series_writer writer = writer_init();
    struct byte_buffer buffer = {0};
    struct series_list list = list_init(SERIES_NEED_ALL);
    struct error error;
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < TARGETS; i++) {
            struct series series = series_of(0, 100, 1 + i);
            add(&writer, &buffer, &series);
            add(&writer, &buffer, &series);
        }
    assert_int_equal(series_list_add(&list, buffer.bytes, buffer.size, &error), ERROR_NONE);
    assert_int_equal(list.count, 4 * TARGETS);
    assert_int_equal(list.column_count, 2 * TARGETS);
    writer_end(&writer);
    byte_buffer_clear(&buffer);
}

/* No id: nobody says that the timestamps are those of another series. */
static void series_without_an_id_have_their_own_column(void **state)
{
    (void)state;
    struct series_writer writer = writer_init();
    struct byte_buffer buffer = {0};
    struct series_list list = list_init(SERIES_NEED_ALL);
    struct error error;
    struct series one = series_of(0, 50, 0), other = series_of(1, 60, 0);
    add(&writer, &buffer, &one);
    add(&writer, &buffer, &other);
    assert_int_equal(series_list_add(&list, buffer.bytes, buffer.size, &error), ERROR_NONE);
    assert_int_equal(list.column_count, 2);
    writer_end(&writer);
    byte_buffer_clear(&buffer);
}

static void samples_outside_of_the_range_are_refused(void **state)
{
    (void)state;
    for (size_t count = 1; count < 3; count++) {
        struct series_writer writer = writer_init();
        struct byte_buffer buffer = {0};
        struct series_list list = list_init(SERIES_NEED_ALL);
        struct answer_decoder *decoder;
        struct sample_columns columns;
        struct error error;
        struct series series = series_of(0, count, 1);
        add(&writer, &buffer, &series);
        list.end_ms = series.columns.timestamps_ms[count - 1] - 1;
        assert_int_equal(series_list_add(&list, buffer.bytes, buffer.size, &error), ERROR_NONE);
        assert_int_equal(answer_decoder_create(&decoder, &error), ERROR_NONE);
        assert_int_equal(answer_decoder_read(decoder, &list, 0, &columns, &error), ERROR_CORRUPT);
        answer_decoder_destroy(decoder);
        writer_end(&writer);
        byte_buffer_clear(&buffer);
    }
}

/* Cut anywhere, or with any byte changed: an error, or series that can be read safely. */
static void damaged_bytes_are_noticed_or_harmless(void **state)
{
    (void)state;
    struct series_writer writer = writer_init();
    struct byte_buffer buffer = {0};
    struct answer_decoder *decoder;
    struct error error;
    for (unsigned i = 0; i < 15; i++) {
        struct series series = series_of(i, i % 4 == 3 ? 1 : 30, 1 + i / 4);
        add(&writer, &buffer, &series);
    }
    assert_int_equal(answer_decoder_create(&decoder, &error), ERROR_NONE);
    size_t noticed = 0;
    for (size_t round = 0; round < 2 * buffer.size; round++) {
        bool is_cut = round < buffer.size;
        size_t size = is_cut ? round : buffer.size;
        uint8_t *bytes = malloc(size + 1); /* of the right size, for the sanitizer */
        memcpy(bytes, buffer.bytes, size);
        if (!is_cut)
            bytes[round - buffer.size] ^= (uint8_t)(1u << random_next() % 8);
        struct arena *list_arena = arena_create(0);
        struct series_list list = list_init(SERIES_NEED_ALL);
        list.arena = list_arena;
        enum error_code code = series_list_add(&list, bytes, size, &error);
        noticed += code != ERROR_NONE;
        for (size_t i = 0; i < list.count; i++) {
            struct sample_columns columns;
            code = answer_decoder_read(decoder, &list, i, &columns, &error);
            noticed += code != ERROR_NONE;
            for (size_t k = 1; code == ERROR_NONE && k < columns.count; k++)
                assert_true(columns.timestamps_ms[k - 1] < columns.timestamps_ms[k]);
        }
        arena_destroy(list_arena);
        free(bytes);
        /* The next list may be at the same address. */
        answer_decoder_destroy(decoder);
        assert_int_equal(answer_decoder_create(&decoder, &error), ERROR_NONE);
    }
    assert_true(noticed > buffer.size);
    answer_decoder_destroy(decoder);
    writer_end(&writer);
    byte_buffer_clear(&buffer);
}

/* Whatever the limit of memory is: told, or enough. */
static void memory_that_is_short_is_told(void **state)
{
    (void)state;
    struct series_writer writer = writer_init();
    struct byte_buffer buffer = {0};
    struct error error;
    for (unsigned i = 0; i < 200; i++) {
        struct series series = series_of(i, 20, 1 + i / 3);
        add(&writer, &buffer, &series);
    }
    size_t short_count = 0;
    enum error_code code = ERROR_OUT_OF_MEMORY;
    for (size_t limit = 1; code != ERROR_NONE; limit += 1 + limit / 20) {
        struct arena *limited = arena_create(limit);
        struct series_list list = list_init(SERIES_NEED_ALL);
        list.arena = limited;
        code = series_list_add(&list, buffer.bytes, buffer.size, &error);
        if (code != ERROR_NONE)
            assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        short_count += code != ERROR_NONE;
        arena_destroy(limited);
    }
    assert_true(short_count > 50);
    writer_end(&writer);
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_series_comes_back, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(labels_alone_take_what_is_new_in_them, open_arena,
                                        close_arena),
        cmocka_unit_test_setup_teardown(columns_are_sent_once_and_forgotten_in_turn, open_arena,
                                        close_arena),
        cmocka_unit_test_setup_teardown(series_without_an_id_have_their_own_column, open_arena,
                                        close_arena),
        cmocka_unit_test_setup_teardown(samples_outside_of_the_range_are_refused, open_arena,
                                        close_arena),
        cmocka_unit_test_setup_teardown(memory_that_is_short_is_told, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(damaged_bytes_are_noticed_or_harmless, open_arena,
                                        close_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
