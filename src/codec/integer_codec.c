#include "codec/integer_codec.h"

#include <assert.h>
#include <string.h>

#include "integer_stream.h"
#include "packed_array.h"

/* --- Ascending lists ---------------------------------------------------------------------- */

/* A block: varint of the step to its first value | bits of a difference | differences - 1. */

enum { DIFFERENCE_BITS_MAX = 32 };

static void encode_block(const uint32_t *values, size_t count, uint64_t previous_end,
                         struct byte_buffer *buffer)
{
    uint64_t differences[ASCENDING_BLOCK];
    for (size_t i = 1; i < count; i++) {
        assert(values[i] > values[i - 1]);
        differences[i - 1] = values[i] - values[i - 1] - 1;
    }
    unsigned width = packed_width_bits(differences, count - 1);
    uint8_t bytes[VARINT_MAX_BYTES + 1 + 4 * ASCENDING_BLOCK + PACKED_SLACK_BYTES];
    uint8_t *end = varint_store(bytes, values[0] - previous_end);
    *end++ = (uint8_t)width;
    end = packed_encode(differences, count - 1, width, end);
    byte_buffer_append(buffer, bytes, (size_t)(end - bytes));
}

void ascending_encode(const uint32_t *values, size_t count, struct byte_buffer *buffer)
{
    uint64_t previous_end = 0;
    for (size_t first = 0; first < count; first += ASCENDING_BLOCK) {
        size_t block = count - first < ASCENDING_BLOCK ? count - first : ASCENDING_BLOCK;
        assert(values[first] >= previous_end);
        encode_block(values + first, block, previous_end, buffer);
        previous_end = (uint64_t)values[first + block - 1] + 1;
    }
}

enum error_code ascending_decode_block(struct byte_reader *reader, size_t count, uint64_t *next,
                                       uint32_t *values_out, struct error *error)
{
    assert(count > 0 && count <= ASCENDING_BLOCK);
    uint64_t differences[ASCENDING_BLOCK];
    uint64_t step = byte_reader_varint(reader);
    unsigned width = byte_reader_u8(reader);
    if (width <= DIFFERENCE_BITS_MAX)
        packed_decode(reader, count - 1, width, differences);
    if (reader->failed || width > DIFFERENCE_BITS_MAX || step > UINT32_MAX)
        return error_set(error, ERROR_CORRUPT, "ascending list: cut short");
    /* No sum of 128 numbers below 2^32 overflows; the last is the largest. */
    uint64_t value = *next + step;
    values_out[0] = (uint32_t)value;
    for (size_t i = 1; i < count; i++) {
        value += differences[i - 1] + 1;
        values_out[i] = (uint32_t)value;
    }
    if (value > UINT32_MAX)
        return error_set(error, ERROR_CORRUPT, "ascending list: a value above 32 bits");
    *next = value + 1;
    return ERROR_NONE;
}

/* --- Columns ------------------------------------------------------------------------------ */

uint8_t *integer_column_encode(const int64_t *values, size_t count, struct codec_scratch *scratch,
                               uint8_t *target)
{
    uint8_t *end =
        integer_stream_encode(values, count, codec_kernels(), scratch, scratch->plain_bytes);
    size_t size = (size_t)(end - scratch->plain_bytes);
    assert(size <= integer_column_size_max(count));
    memcpy(target, scratch->plain_bytes, size);
    return target + size;
}

enum error_code integer_column_decode(struct byte_reader *reader, size_t count,
                                      struct codec_scratch *scratch, int64_t *values_out,
                                      struct error *error)
{
    enum error_code code =
        integer_stream_decode(reader, count, codec_kernels(), scratch, scratch->scaled, error);
    if (code == ERROR_NONE)
        memcpy(values_out, scratch->scaled, count * sizeof *values_out);
    return code;
}
