/*
 * integer_codec - integers packed into bits, for indexes and for the other codecs.
 *
 * Three forms: fixed width (all values in the same number of bits, least significant bit first),
 * ascending lists (postings: blocks of 128 differences), and columns of up to CHUNK_SAMPLES_MAX
 * signed integers (the same adaptive form that holds the values of a chunk). Byte layouts:
 * docs/formats/chunk.md. No decoder reads outside of its reader's bytes. Thread-safe.
 */
#ifndef CODEC_INTEGER_CODEC_H
#define CODEC_INTEGER_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"

/* --- Fixed width -------------------------------------------------------------------------- */

/* Bytes of `count` values of `width_bits`, 0..64 each. */
static inline size_t packed_size_bytes(size_t count, unsigned width_bits)
{
    return (count * width_bits + 7) / 8;
}

/* Bits that the largest of the values needs, 0..64. */
unsigned packed_width_bits(const uint64_t *values, size_t count);

/* Pack the low `width_bits` of each value to `target`, which has packed_size_bytes() of room and
 * PACKED_SLACK_BYTES more that may be overwritten; returns the end of what was packed. */
enum { PACKED_SLACK_BYTES = 16 };
uint8_t *packed_encode(const uint64_t *values, size_t count, unsigned width_bits, uint8_t *target);

/* Take packed_size_bytes() from the reader and unpack them to `values_out` [count]; when they are
 * not there, or for more than 64 bits, the reader fails and `values_out` is untouched. */
void packed_decode(struct byte_reader *reader, size_t count, unsigned width_bits,
                   uint64_t *values_out);

/* The value at `position` of packed bytes; `size` is their packed_size_bytes(). Touches no other
 * bytes: for binary searches in a packed array. */
uint64_t packed_get(const uint8_t *bytes, size_t size, size_t position, unsigned width_bits);

/* --- Ascending lists ---------------------------------------------------------------------- */

enum { ASCENDING_BLOCK = 128 };

/*
 * Append a strictly ascending list; consecutive numbers cost next to nothing. The count is not
 * stored. When memory is out the buffer's `failed` tells.
 */
void ascending_encode(const uint32_t *values, size_t count, struct byte_buffer *buffer);

/* Read a list of `count` values to `values_out` [count]. Errors: CORRUPT (truncated, a value above
 * UINT32_MAX); the reader is then anywhere and values_out holds anything. */
enum error_code ascending_decode(struct byte_reader *reader, size_t count, uint32_t *values_out,
                                 struct error *error);

/* --- Columns ------------------------------------------------------------------------------ */

/* Room for a column of `count` integers. */
static inline size_t integer_column_size_max(size_t count)
{
    return 9 * count + 64;
}

/* Encode any `count` integers, 1..CHUNK_SAMPLES_MAX, to `target` with integer_column_size_max()
 * bytes of room; returns the end of what was written. */
uint8_t *integer_column_encode(const int64_t *values, size_t count, struct codec_scratch *scratch,
                               uint8_t *target);

/*
 * Read a column of `count` integers, 1..CHUNK_SAMPLES_MAX, to `values_out` [count]; the reader
 * stands behind it then. Errors: CORRUPT, UNSUPPORTED; values_out then holds anything.
 */
enum error_code integer_column_decode(struct byte_reader *reader, size_t count,
                                      struct codec_scratch *scratch, int64_t *values_out,
                                      struct error *error);

#endif
