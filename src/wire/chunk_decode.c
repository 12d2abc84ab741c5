/* Chunks read: floats here, histograms in chunk_decode_histogram.c. */
#include <string.h>

#include "chunk_private.h"

/* --- Values that change in a few bits ---------------------------------------------------------
 */

void chunk_take_xor(struct bit_reader *reader, struct xor_value *value)
{
    enum { LEADING_BITS = 5, SIZE_BITS = 6 };
    struct xor_window *window = &value->window;
    if (bit_reader_take(reader, 1) == 0)
        return;
    if (bit_reader_take(reader, 1) == 1) {
        unsigned leading = (unsigned)bit_reader_take(reader, LEADING_BITS);
        unsigned size = (unsigned)bit_reader_take(reader, SIZE_BITS);
        if (size == 0)
            size = 64;
        if (leading + size > 64) {
            reader->failed = true;
            return;
        }
        *window = (struct xor_window){(uint8_t)leading, (uint8_t)(64 - leading - size)};
    }
    unsigned size = 64u - window->leading - window->trailing;
    value->bits ^= bit_reader_take(reader, size) << window->trailing;
}

/* --- Samples ----------------------------------------------------------------------------------
 */

static bool make_room(struct chunk_samples *samples, size_t count)
{
    enum { CAPACITY_FIRST = 256 };
    size_t needed = samples->count + count;
    if (needed <= samples->capacity)
        return true;
    size_t capacity = samples->capacity == 0 ? CAPACITY_FIRST : samples->capacity;
    while (capacity < needed)
        capacity *= 2;
    int64_t *timestamps = arena_grow(samples->arena, samples->timestamps_ms, samples->capacity,
                                     capacity, sizeof *timestamps);
    double *values =
        arena_grow(samples->arena, samples->values, samples->capacity, capacity, sizeof *values);
    const struct histogram **histograms =
        arena_grow(samples->arena, samples->histograms, samples->capacity, capacity,
                   sizeof(const struct histogram *));
    if (timestamps == NULL || values == NULL || histograms == NULL)
        return false;
    samples->timestamps_ms = timestamps;
    samples->values = values;
    samples->histograms = histograms;
    samples->capacity = capacity;
    return true;
}

void chunk_add_sample(struct chunk_samples *samples, int64_t timestamp_ms, double value,
                      const struct histogram *histogram)
{
    samples->timestamps_ms[samples->count] = timestamp_ms;
    samples->values[samples->count] = value;
    samples->histograms[samples->count] = histogram;
    samples->has_histograms |= histogram != NULL;
    samples->count++;
}

bool chunk_samples_append(struct chunk_samples *samples, const struct chunk_samples *more)
{
    if (!make_room(samples, more->count))
        return false;
    for (size_t i = 0; i < more->count; i++)
        chunk_add_sample(samples, more->timestamps_ms[i], more->values[i], more->histograms[i]);
    return true;
}

struct sample_columns chunk_samples_columns(const struct chunk_samples *samples)
{
    return (struct sample_columns){
        .count = samples->count,
        .timestamps_ms = samples->timestamps_ms,
        .values = samples->values,
        .histograms =
            samples->has_histograms ? (const struct histogram *const *)samples->histograms : NULL,
    };
}

/* How the step in time changes. */
static uint64_t take_change(struct bit_reader *reader)
{
    static const unsigned SIZES[] = {0, 14, 17, 20, 64};
    unsigned size = SIZES[bit_reader_ones(reader, 4)];
    return size == 0 ? 0 : (uint64_t)bit_reader_signed(reader, size);
}

static void decode_floats(struct bit_reader *reader, size_t count, struct chunk_samples *samples)
{
    uint64_t at = (uint64_t)zigzag_decode(bit_reader_varint(reader));
    uint64_t step = 0;
    struct xor_value value = {.bits = bit_reader_take(reader, 64)};
    for (size_t i = 0; i < count && !reader->failed; i++) {
        if (i == 1)
            step = bit_reader_varint(reader);
        else if (i > 1)
            step += take_change(reader);
        at += step;
        if (i > 0)
            chunk_take_xor(reader, &value);
        chunk_add_sample(samples, (int64_t)at, double_from_bits(value.bits), NULL);
    }
}

enum error_code chunk_decode(unsigned encoding, const uint8_t *bytes, size_t size,
                             struct chunk_samples *samples, struct error *error)
{
    struct bit_reader reader = bit_reader_over(bytes, size);
    size_t count = (size_t)bit_reader_take(&reader, 16);
    size_t before = samples->count;
    bool had_histograms = samples->has_histograms;
    if (encoding < ENCODING_XOR || encoding > ENCODING_FLOAT_HISTOGRAM)
        return error_set(error, ERROR_UNSUPPORTED, "a chunk of encoding %u, which is not known",
                         encoding);
    /* A sample takes two bits at least. */
    if (reader.failed || count > reader.size_bits)
        return error_set(error, ERROR_CORRUPT, "a chunk of %zu bytes that is none", size);
    if (!make_room(samples, count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "a chunk of %zu samples", count);
    enum error_code code = ERROR_NONE;
    if (count > 0 && encoding == ENCODING_XOR)
        decode_floats(&reader, count, samples);
    else if (count > 0)
        code = chunk_decode_histograms((enum prometheus_encoding)encoding, &reader, count, samples,
                                       error);
    if (code == ERROR_NONE && reader.failed)
        code = error_set(error, ERROR_CORRUPT, "a chunk of %zu bytes ends in sample %zu of %zu",
                         size, samples->count - before, count);
    if (code != ERROR_NONE) {
        samples->count = before;
        samples->has_histograms = had_histograms;
    }
    return code;
}
