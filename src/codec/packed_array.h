/*
 * packed_array - integers of a fixed width of bits, least significant bit first.
 *
 * Private to the codec. Byte layout: docs/formats/chunk.md. Nothing is read outside of the bytes
 * given. Thread-safe.
 */
#ifndef PACKED_ARRAY_H
#define PACKED_ARRAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

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

#endif
