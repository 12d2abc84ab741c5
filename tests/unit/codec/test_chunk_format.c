/*
 * The stored files in samples/ are chunks of each encoding of docs/formats/chunk.md. They were
 * written once, by this program with the argument --write, and never change: old blocks hold such
 * bytes. Each is decoded, and is still what the encoder makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ascending_list.h"
#include "codec/codec_path.h"
#include "codec/histogram_codec.h"
#include "codec/timestamp_codec.h"
#include "codec/value_codec.h"
#include "hostile_histograms.h"
#include "hostile_values.h"

enum { FILE_BYTES_MAX = 1 << 16, TIMESTAMPS = 1200, LIST = 300, HISTOGRAMS = 40 };

static struct codec_scratch scratch;

/* --- Files -------------------------------------------------------------------------------- */

static size_t read_sample(const char *name, uint8_t bytes[FILE_BYTES_MAX])
{
    char path[128];
    snprintf(path, sizeof path, "samples/%s.bin", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, FILE_BYTES_MAX, file);
    fclose(file);
    return size;
}

static int write_sample(const char *name, const uint8_t *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "samples/%s.bin", name);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return 1;
    size_t written = fwrite(bytes, 1, size, file);
    return fclose(file) != 0 || written != size;
}

/* --- Values ------------------------------------------------------------------------------- */

static double small_constant(struct hostile_random *random, size_t i)
{
    (void)random;
    (void)i;
    return 7;
}

static double integer_constant(struct hostile_random *random, size_t i)
{
    (void)random;
    (void)i;
    return -123456789;
}

static double decimal_constant(struct hostile_random *random, size_t i)
{
    (void)random;
    (void)i;
    return 0.25;
}

static double double_constant(struct hostile_random *random, size_t i)
{
    (void)random;
    (void)i;
    return double_from_bits(STALE_MARKER_BITS);
}

static double raw(struct hostile_random *random, size_t i)
{
    (void)i;
    return double_from_bits(hostile_next(random));
}

static double counter(struct hostile_random *random, size_t i)
{
    return (double)(1000000 + i * 400 + hostile_below(random, 90));
}

/* The number of heads among many coins: a bell, for which Rice is best. */
static double bell(struct hostile_random *random, size_t i)
{
    (void)i;
    int heads = 0;
    for (int coins = 0; coins < 4; coins++)
        heads += __builtin_popcountll(hostile_next(random));
    return (double)heads / 10;
}

static double bell_with_exceptions(struct hostile_random *random, size_t i)
{
    static const uint64_t EXCEPTIONS[] = {STALE_MARKER_BITS, NORMAL_NAN_BITS, UINT64_C(1) << 63,
                                          0x7ff0000000000000};
    double value = bell(random, i);
    return i % 50 == 49 ? double_from_bits(EXCEPTIONS[i / 50 % 4]) : value;
}

static double spiked(struct hostile_random *random, size_t i)
{
    return (double)(i % 97 == 13 ? hostile_next(random) >> 20 : hostile_below(random, 16));
}

static double accelerating(struct hostile_random *random, size_t i)
{
    return (double)(i * i * 3 + hostile_below(random, 2));
}

static double pages(struct hostile_random *random, size_t i)
{
    (void)i;
    return (double)((1000 + hostile_below(random, 60)) * 4096);
}

static double long_runs(struct hostile_random *random, size_t i)
{
    (void)random;
    return (double)(i / 37 % 5) + 0.5;
}

static double short_runs(struct hostile_random *random, size_t i)
{
    static double value;
    if (i == 0 || hostile_below(random, 2) > 0)
        value = (double)hostile_below(random, 1000000);
    return value;
}

static double sum_of_decimals(struct hostile_random *random, size_t i)
{
    static double sum;
    sum = i == 0 ? 12.5 : sum + (double)hostile_below(random, 100000000) / 1e9;
    return sum;
}

static double noise(struct hostile_random *random, size_t i)
{
    (void)i;
    return 1e-40 * (double)(hostile_next(random) >> 11);
}

static double huge_integers(struct hostile_random *random, size_t i)
{
    return 0x1p60 + (double)(i * 4096 + hostile_below(random, 9) * 256);
}

static const struct value_sample {
    const char *name;
    double (*value)(struct hostile_random *random, size_t i);
    size_t count;
    uint8_t header; /* the first byte: which encoding it is */
} VALUES[] = {
    {"value_small_constant", small_constant, 480, 0x70},
    {"value_integer_constant", integer_constant, 480, 0xd0},
    {"value_decimal_constant", decimal_constant, 480, 0xe0},
    {"value_double_constant", double_constant, 480, 0xf0},
    {"value_raw", raw, 5, 0xc0},
    {"value_counter", counter, 480, 0x01},
    {"value_rice", bell, 480, 0x11},
    {"value_exceptions", bell_with_exceptions, 480, 0x19},
    {"value_patches", spiked, 480, 0x01},
    {"value_second_order", accelerating, 120, 0x01},
    {"value_factor", pages, 120, 0x01},
    {"value_run_lengths", long_runs, 480, 0x15},
    {"value_run_bitmap", short_runs, 480, 0x05},
    {"value_adjusted", sum_of_decimals, 120, 0x92},
    {"value_bits", noise, 120, 0x03},
    {"value_integers", huge_integers, 120, 0x13},
};

enum { VALUE_SAMPLES = sizeof VALUES / sizeof *VALUES };

static size_t encode_values(const struct value_sample *sample, double *values, uint8_t *bytes)
{
    struct hostile_random random = {20261120};
    for (size_t i = 0; i < sample->count; i++)
        values[i] = sample->value(&random, i);
    return value_codec_encode(values, sample->count, &scratch, bytes);
}

static void stored_values_are_read_and_still_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < VALUE_SAMPLES; i++) {
        const struct value_sample *sample = &VALUES[i];
        double values[CHUNK_SAMPLES_MAX];
        uint8_t bytes[VALUE_CODEC_BYTES_MAX];
        size_t size = encode_values(sample, values, bytes);
        assert_int_equal(bytes[0], sample->header);
        static uint8_t stored[FILE_BYTES_MAX];
        assert_int_equal(read_sample(sample->name, stored), size);
        assert_memory_equal(stored, bytes, size);
        double decoded[CHUNK_SAMPLES_MAX];
        struct error error = {0};
        assert_int_equal(value_codec_decode(stored, size, sample->count, &scratch, decoded, &error),
                         ERROR_NONE);
        assert_memory_equal(decoded, values, sample->count * sizeof *values);
    }
}

/* --- Timestamps and lists ----------------------------------------------------------------- */

static void encode_timestamps(int64_t *timestamps, struct byte_buffer *buffer)
{
    struct hostile_random random = {15};
    for (size_t i = 0; i < TIMESTAMPS; i++)
        timestamps[i] = INT64_C(1795211328123) + (int64_t)i * 15000 +
                        (i % 20 == 0 ? (int64_t)hostile_below(&random, 7) : 0);
    timestamp_codec_encode(timestamps, TIMESTAMPS, &scratch, buffer);
}

static void stored_timestamps_are_read_and_still_written(void **state)
{
    (void)state;
    static int64_t timestamps[TIMESTAMPS];
    static int64_t decoded[TIMESTAMPS];
    static uint8_t stored[FILE_BYTES_MAX];
    struct byte_buffer buffer = {0};
    encode_timestamps(timestamps, &buffer);
    assert_int_equal(read_sample("timestamps", stored), buffer.size);
    assert_memory_equal(stored, buffer.bytes, buffer.size);
    struct timestamp_column column;
    struct error error = {0};
    assert_int_equal(timestamp_codec_open(stored, buffer.size, &column, &error), ERROR_NONE);
    assert_int_equal(timestamp_codec_decode(&column, 0, TIMESTAMPS, &scratch, decoded, &error),
                     ERROR_NONE);
    assert_memory_equal(decoded, timestamps, sizeof timestamps);
    byte_buffer_clear(&buffer);
}

static void encode_list(uint32_t *list, struct byte_buffer *buffer)
{
    struct hostile_random random = {16};
    uint32_t value = 70;
    for (size_t i = 0; i < LIST; i++)
        list[i] = value += 1 + (i < 150 ? 0 : (uint32_t)hostile_below(&random, 1000));
    ascending_encode(list, LIST, buffer);
}

static void stored_lists_are_read_and_still_written(void **state)
{
    (void)state;
    uint32_t list[LIST];
    uint32_t decoded[LIST];
    static uint8_t stored[FILE_BYTES_MAX];
    struct byte_buffer buffer = {0};
    encode_list(list, &buffer);
    assert_int_equal(read_sample("ascending", stored), buffer.size);
    assert_memory_equal(stored, buffer.bytes, buffer.size);
    struct byte_reader reader = byte_reader_over(stored, buffer.size);
    struct error error = {0};
    assert_int_equal(ascending_decode(&reader, LIST, decoded, &error), ERROR_NONE);
    assert_memory_equal(decoded, list, sizeof list);
    byte_buffer_clear(&buffer);
}

/* --- Histograms --------------------------------------------------------------------------- */

static void encode_histograms(const struct histogram **histograms, struct arena *arena,
                              struct byte_buffer *buffer)
{
    struct hostile_random random = {17};
    struct error error = {0};
    for (size_t i = 0; i < HISTOGRAMS; i++)
        histograms[i] = hostile_histogram(&random, arena, i > 0 ? histograms[i - 1] : NULL, 8);
    if (histogram_codec_encode(histograms, HISTOGRAMS, &scratch, arena, buffer, &error) !=
        ERROR_NONE)
        buffer->size = 0;
}

static void stored_histograms_are_read_and_still_written(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    const struct histogram *histograms[HISTOGRAMS];
    static uint8_t stored[FILE_BYTES_MAX];
    struct byte_buffer buffer = {0};
    encode_histograms(histograms, arena, &buffer);
    assert_int_equal(read_sample("histograms", stored), buffer.size);
    assert_memory_equal(stored, buffer.bytes, buffer.size);
    struct histogram *decoded = NULL;
    struct error error = {0};
    assert_int_equal(
        histogram_codec_decode(stored, buffer.size, HISTOGRAMS, &scratch, arena, &decoded, &error),
        ERROR_NONE);
    for (size_t i = 0; i < HISTOGRAMS; i++)
        assert_true(histogram_equal(&decoded[i], histograms[i]));
    byte_buffer_clear(&buffer);
    arena_destroy(arena);
}

/* --- Main --------------------------------------------------------------------------------- */

static int write_samples(void)
{
    int failures = 0;
    for (size_t i = 0; i < VALUE_SAMPLES; i++) {
        double values[CHUNK_SAMPLES_MAX];
        uint8_t bytes[VALUE_CODEC_BYTES_MAX];
        size_t size = encode_values(&VALUES[i], values, bytes);
        failures += write_sample(VALUES[i].name, bytes, size);
    }
    static int64_t timestamps[TIMESTAMPS];
    uint32_t list[LIST];
    const struct histogram *histograms[HISTOGRAMS];
    struct arena *arena = arena_create(0);
    struct byte_buffer buffers[3] = {0};
    encode_timestamps(timestamps, &buffers[0]);
    encode_list(list, &buffers[1]);
    encode_histograms(histograms, arena, &buffers[2]);
    static const char *const NAMES[] = {"timestamps", "ascending", "histograms"};
    for (size_t i = 0; i < 3; i++) {
        failures += write_sample(NAMES[i], buffers[i].bytes, buffers[i].size);
        byte_buffer_clear(&buffers[i]);
    }
    arena_destroy(arena);
    return failures;
}

int main(int argument_count, char **arguments)
{
    if (argument_count > 1 && strcmp(arguments[1], "--write") == 0)
        return write_samples();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_values_are_read_and_still_written),
        cmocka_unit_test(stored_timestamps_are_read_and_still_written),
        cmocka_unit_test(stored_lists_are_read_and_still_written),
        cmocka_unit_test(stored_histograms_are_read_and_still_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
