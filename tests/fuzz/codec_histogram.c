/*
 * Native histograms: hostile bytes to decode, and what could be decoded to encode again; or
 * histograms made of the input, sound or not.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/histogram_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { SAMPLES_MAX = 64, SPANS_MAX = 4, BUCKETS_MAX = 64, ARENA_BYTES_MAX = 64 << 20 };

static struct codec_scratch scratch;

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* What the decoder takes is fit for the encoder and comes back the same; false when the encoder
 * refuses it. */
static bool round_trip(const struct histogram *const *histograms, size_t count, struct arena *arena)
{
    struct byte_buffer buffer = {0};
    struct error error = {0};
    enum error_code code =
        histogram_codec_encode(histograms, count, &scratch, arena, &buffer, &error);
    if (code == ERROR_NONE) {
        struct histogram *decoded = NULL;
        code = histogram_codec_decode(buffer.bytes, buffer.size, count, &scratch, arena, &decoded,
                                      &error);
        require(code == ERROR_NONE || code == ERROR_OUT_OF_MEMORY);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++)
            require(histogram_equal(&decoded[i], histograms[i]));
    }
    byte_buffer_clear(&buffer);
    return code != ERROR_INVALID;
}

static void decode(const uint8_t *bytes, size_t size, size_t count, struct arena *arena)
{
    struct histogram *decoded = NULL;
    struct error error = {0};
    if (histogram_codec_decode(bytes, size, count, &scratch, arena, &decoded, &error) != ERROR_NONE)
        return;
    const struct histogram *histograms[SAMPLES_MAX];
    for (size_t i = 0; i < count; i++)
        histograms[i] = &decoded[i];
    require(round_trip(histograms, count, arena));
}

/* The next byte, zeros behind the end. */
static uint8_t take(const uint8_t **bytes, const uint8_t *end)
{
    return *bytes < end ? *(*bytes)++ : 0;
}

static void build(const uint8_t *bytes, const uint8_t *end, struct histogram *histogram,
                  struct histogram_span *spans, union histogram_number *buckets)
{
    histogram->kind = take(&bytes, end) % 2 ? HISTOGRAM_FLOAT : HISTOGRAM_INTEGER;
    histogram->reset = take(&bytes, end) % 4;
    histogram->schema = (int8_t)take(&bytes, end);
    histogram->zero_threshold = take(&bytes, end) % 4 ? 0x1p-128 : -0.0;
    histogram->positive_span_count = take(&bytes, end) % (SPANS_MAX + 1);
    histogram->negative_span_count = take(&bytes, end) % (SPANS_MAX + 1);
    histogram->positive_spans = spans;
    histogram->negative_spans = spans;
    for (size_t i = 0; i < SPANS_MAX; i++) {
        spans[i].offset = (int8_t)take(&bytes, end) + (i > 0 ? 100 : 0);
        spans[i].length = take(&bytes, end) % 12;
    }
    for (uint32_t i = 0; i < histogram->positive_span_count; i++)
        histogram->positive_bucket_count += spans[i].length;
    for (uint32_t i = 0; i < histogram->negative_span_count; i++)
        histogram->negative_bucket_count += spans[i].length;
    for (size_t i = 0; i < BUCKETS_MAX; i++) {
        uint64_t number = take(&bytes, end);
        buckets[i].integer = number << (number % 8 * 8);
    }
    histogram->positive_buckets = buckets;
    histogram->negative_buckets = buckets + 1;
    histogram->count = buckets[BUCKETS_MAX - 1];
    histogram->zero_count = buckets[0];
    histogram->sum = double_from_bits(buckets[1].integer);
}

static void encode(const uint8_t *bytes, size_t size, struct arena *arena)
{
    static struct histogram histograms[SAMPLES_MAX];
    static struct histogram_span spans[SAMPLES_MAX][SPANS_MAX];
    static union histogram_number buckets[SAMPLES_MAX][BUCKETS_MAX];
    const struct histogram *pointers[SAMPLES_MAX];
    memset(histograms, 0, sizeof histograms);
    size_t count = 0;
    for (size_t at = 0; at < size && count < SAMPLES_MAX; at += 24, count++) {
        build(bytes + at, bytes + size, &histograms[count], spans[count], buckets[count]);
        pointers[count] = &histograms[count];
    }
    if (count > 0)
        round_trip(pointers, count, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 2)
        return 0;
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    require(arena != NULL);
    if (input[0] % 2 == 0)
        decode(input + 2, size - 2, 1 + input[1] % SAMPLES_MAX, arena);
    else
        encode(input + 1, size - 1, arena);
    arena_destroy(arena);
    return 0;
}
