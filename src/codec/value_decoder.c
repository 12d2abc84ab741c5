#include "codec/value_codec.h"

#include <assert.h>
#include <string.h>

#include "integer_stream.h"
#include "residual_stream.h"
#include "value_format.h"

/* --- Whole: one value, or raw ------------------------------------------------------------- */

static enum error_code decode_whole(struct byte_reader *reader, uint8_t header, size_t count,
                                    double *values, struct error *error)
{
    unsigned detail = header >> HEADER_DETAIL_SHIFT;
    double constant = 0;
    if (header & (HEADER_RUNS | HEADER_EXCEPTIONS))
        return error_set(error, ERROR_UNSUPPORTED, "chunk: header 0x%02x", header);
    if (detail <= WHOLE_SMALL_MAX) {
        constant = detail;
    } else if (detail == WHOLE_INTEGER) {
        constant = (double)byte_reader_zigzag(reader);
    } else if (detail == WHOLE_DECIMAL) {
        unsigned exponent = byte_reader_u8(reader);
        if (exponent > DECIMAL_EXPONENT_MAX)
            return error_set(error, ERROR_CORRUPT, "chunk: exponent %u", exponent);
        constant = (double)byte_reader_zigzag(reader) / POWERS_OF_TEN[exponent];
    } else if (detail == WHOLE_DOUBLE) {
        constant = double_from_bits(byte_reader_u64(reader));
    } else if (detail == WHOLE_RAW) {
        const uint8_t *bytes = byte_reader_take(reader, count * sizeof *values);
        if (bytes == NULL)
            return error_set(error, ERROR_CORRUPT, "chunk: %zu raw values cut short", count);
        memcpy(values, bytes, count * sizeof *values);
        return ERROR_NONE;
    } else {
        return error_set(error, ERROR_UNSUPPORTED, "chunk: header 0x%02x", header);
    }
    codec_kernels()->fill(constant, count, values);
    return ERROR_NONE;
}

/* --- Exceptions --------------------------------------------------------------------------- */

static uint64_t exception_bits(enum exception_class class, struct byte_reader *reader)
{
    switch (class) {
    case EXCEPTION_STALE:
        return STALE_MARKER_BITS;
    case EXCEPTION_NAN:
        return NORMAL_NAN_BITS;
    case EXCEPTION_MINUS_ZERO:
        return MINUS_ZERO_BITS;
    default:
        return byte_reader_u64(reader);
    }
}

/* Read the exceptions of `count` values; put them in their places unless `values` is NULL. */
static enum error_code read_exceptions(struct byte_reader *reader, size_t count, double *values,
                                       struct error *error)
{
    uint64_t exceptions = byte_reader_varint(reader);
    if (exceptions > count)
        return error_set(error, ERROR_CORRUPT, "chunk: too many exceptions");
    uint64_t position = 0;
    for (uint64_t i = 0; i < exceptions; i++) {
        uint64_t code = byte_reader_varint(reader);
        uint64_t delta = code >> EXCEPTION_CLASS_BITS;
        uint64_t bits = exception_bits(code & 3, reader);
        if (delta >= count - position)
            return error_set(error, ERROR_CORRUPT, "chunk: exception outside of %zu values", count);
        position += delta;
        if (values != NULL)
            values[position] = double_from_bits(bits);
    }
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "chunk: exceptions cut short");
    return ERROR_NONE;
}

/* --- Body --------------------------------------------------------------------------------- */

static enum error_code decode_adjusted(struct byte_reader *reader, size_t count, unsigned exponent,
                                       const struct codec_kernels *kernels,
                                       struct codec_scratch *scratch, double *values,
                                       struct error *error)
{
    enum error_code code =
        integer_stream_decode(reader, count, kernels, scratch, scratch->scaled, error);
    if (code != ERROR_NONE)
        return code;
    kernels->unscale(scratch->scaled, count, exponent, values);
    code = integer_stream_decode(reader, count, kernels, scratch, scratch->adjustments, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; i < count; i++) {
        uint64_t approximate = (uint64_t)ordered_from_bits(double_to_bits(values[i]));
        uint64_t ordered = approximate + (uint64_t)scratch->adjustments[i];
        values[i] = double_from_bits(bits_from_ordered((int64_t)ordered));
    }
    return ERROR_NONE;
}

static enum error_code decode_integers(struct byte_reader *reader, uint8_t header, size_t count,
                                       const struct codec_kernels *kernels,
                                       struct codec_scratch *scratch, double *values,
                                       struct error *error)
{
    unsigned detail = header >> HEADER_DETAIL_SHIFT;
    enum value_kind kind = header & HEADER_KIND;
    if (kind == VALUE_ADJUSTED)
        return decode_adjusted(reader, count, detail, kernels, scratch, values, error);
    if (kind == VALUE_PLAIN && detail != PLAIN_BITS && detail != PLAIN_INTEGERS)
        return error_set(error, ERROR_UNSUPPORTED, "chunk: header 0x%02x", header);

    const int64_t *integers = scratch->scaled;
    enum error_code code =
        integer_stream_decode(reader, count, kernels, scratch, scratch->scaled, error);
    if (code != ERROR_NONE)
        return code;
    if (kind == VALUE_DECIMAL)
        kernels->unscale(integers, count, detail, values);
    else if (detail == PLAIN_INTEGERS)
        for (size_t i = 0; i < count; i++)
            values[i] = (double)integers[i];
    else
        for (size_t i = 0; i < count; i++)
            values[i] = double_from_bits(bits_from_ordered(integers[i]));
    return ERROR_NONE;
}

/* Everything behind the header and the runs. */
static enum error_code decode_body(struct byte_reader *reader, uint8_t header, size_t count,
                                   const struct codec_kernels *kernels,
                                   struct codec_scratch *scratch, double *values,
                                   struct error *error)
{
    if ((header & HEADER_EXCEPTIONS) == 0)
        return decode_integers(reader, header, count, kernels, scratch, values, error);

    struct byte_reader exceptions = *reader;
    enum error_code code = read_exceptions(reader, count, NULL, error);
    if (code != ERROR_NONE)
        return code;
    code = decode_integers(reader, header, count, kernels, scratch, values, error);
    if (code != ERROR_NONE)
        return code;
    return read_exceptions(&exceptions, count, values, error);
}

/* --- Runs --------------------------------------------------------------------------------- */

/* Repeat each run's value; false when the lengths do not fit into `count`. */
static bool expand_lengths(const struct codec_scratch *scratch, size_t runs, size_t count,
                           const struct codec_kernels *kernels, double *values)
{
    enum { SHORT_RUN = 4 };
    size_t begin = 0;
    for (size_t run = 0; run + 1 < runs; run++) {
        uint64_t repeats = (uint64_t)scratch->run_lengths[run];
        if (repeats >= count - begin - 1)
            return false;
        double value = scratch->run_values[run];
        if (repeats + 1 <= SHORT_RUN && begin + SHORT_RUN <= count) {
            /* Writes into the runs that follow, which are written later. */
            for (size_t i = 0; i < SHORT_RUN; i++)
                values[begin + i] = value;
        } else {
            kernels->fill(value, repeats + 1, values + begin);
        }
        begin += repeats + 1;
    }
    kernels->fill(scratch->run_values[runs - 1], count - begin, values + begin);
    return true;
}

static enum error_code decode_lengths(struct byte_reader *reader, uint8_t code_byte, size_t runs,
                                      const struct codec_kernels *kernels,
                                      struct codec_scratch *scratch, struct error *error)
{
    struct residual_form form = {.order = 0, .factor = 1};
    if ((code_byte & RESIDUAL_OUTER_MASK) != 0)
        return error_set(error, ERROR_UNSUPPORTED, "chunk: code of runs 0x%02x", code_byte);
    enum error_code code = residual_stream_decode(reader, code_byte, runs - 1, kernels, scratch,
                                                  (uint64_t *)scratch->run_lengths, &form, error);
    if (code == ERROR_NONE)
        kernels->integrate(&form, runs - 1, scratch->run_lengths);
    return code;
}

/* The bitmap of run starts, checked: as many as there are runs, the first value among them. */
static enum error_code read_starts(struct byte_reader *reader, size_t runs, size_t count,
                                   uint64_t starts[BITMAP_WORDS], struct error *error)
{
    size_t size = (count + 7) / 8;
    const uint8_t *bytes = byte_reader_take(reader, size);
    if (bytes == NULL)
        return error_set(error, ERROR_CORRUPT, "chunk: bitmap of runs cut short");
    memset(starts, 0, BITMAP_WORDS * sizeof *starts);
    memcpy(starts, bytes, size);
    size_t set = 0;
    for (size_t word = 0; word < BITMAP_WORDS; word++)
        set += (size_t)__builtin_popcountll(starts[word]);
    bool stray = count % 8 != 0 && bytes[size - 1] >> (count % 8) != 0;
    if (set != runs || (starts[0] & 1) == 0 || stray)
        return error_set(error, ERROR_CORRUPT, "chunk: bitmap does not have %zu runs", runs);
    return ERROR_NONE;
}

static enum error_code decode_runs(struct byte_reader *reader, uint8_t header, size_t count,
                                   const struct codec_kernels *kernels,
                                   struct codec_scratch *scratch, double *values,
                                   struct error *error)
{
    uint64_t runs = byte_reader_varint(reader);
    uint8_t code_byte = byte_reader_u8(reader);
    if (reader->failed || runs < 2 || runs > count)
        return error_set(error, ERROR_CORRUPT, "chunk: runs of %zu values", count);

    uint64_t starts[BITMAP_WORDS];
    bool bitmap = code_byte == RESIDUAL_BITMAP;
    enum error_code code = bitmap
                               ? read_starts(reader, runs, count, starts, error)
                               : decode_lengths(reader, code_byte, runs, kernels, scratch, error);
    if (code != ERROR_NONE)
        return code;
    code = decode_body(reader, header, runs, kernels, scratch, scratch->run_values, error);
    if (code != ERROR_NONE)
        return code;
    if (bitmap)
        kernels->expand_runs(scratch->run_values, starts, count, values);
    else if (!expand_lengths(scratch, runs, count, kernels, values))
        return error_set(error, ERROR_CORRUPT, "chunk: runs longer than %zu values", count);
    return ERROR_NONE;
}

/* --- Public functions --------------------------------------------------------------------- */

enum error_code value_codec_decode(const uint8_t *bytes, size_t size, size_t count,
                                   struct codec_scratch *scratch, double *values_out,
                                   struct error *error)
{
    assert(bytes != NULL || size == 0);
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    const struct codec_kernels *kernels = codec_kernels();
    struct byte_reader reader = byte_reader_over(bytes, size);
    if (size == 0)
        return error_set(error, ERROR_CORRUPT, "chunk: empty");
    uint8_t header = byte_reader_u8(&reader);

    enum error_code code;
    if ((header & HEADER_KIND) == VALUE_WHOLE)
        code = decode_whole(&reader, header, count, values_out, error);
    else if (header & HEADER_RUNS)
        code = decode_runs(&reader, header, count, kernels, scratch, values_out, error);
    else
        code = decode_body(&reader, header, count, kernels, scratch, values_out, error);
    if (code != ERROR_NONE)
        return code;
    if (reader.failed || byte_reader_left(&reader) != 0)
        return error_set(error, ERROR_CORRUPT, "chunk: %zu values in %zu bytes", count, size);
    return ERROR_NONE;
}
