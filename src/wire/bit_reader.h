/*
 * bit_reader - bits, the highest first, as Prometheus' chunks have them; of bytes from outside.
 *
 * A read past the end, or a malformed number, sets `failed` and yields zero.
 */
#ifndef WIRE_BIT_READER_H
#define WIRE_BIT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct bit_reader {
    const uint8_t *bytes; /* [size_bits / 8] */
    uint64_t size_bits;
    uint64_t at_bits; /* <= size_bits */
    bool failed;
};

static inline struct bit_reader bit_reader_over(const uint8_t *bytes, size_t size)
{
    return (struct bit_reader){.bytes = bytes, .size_bits = (uint64_t)size * 8};
}

/* `count` bits as a number, count <= 64. */
static inline uint64_t bit_reader_take(struct bit_reader *reader, unsigned count)
{
    if (count > reader->size_bits - reader->at_bits) {
        reader->failed = true;
        reader->at_bits = reader->size_bits;
        return 0;
    }
    if (count == 0)
        return 0;
    uint64_t byte = reader->at_bits / 8;
    unsigned skip = reader->at_bits % 8;
    reader->at_bits += count;
    if (reader->size_bits / 8 - byte >= 8 && skip + count <= 64)
        return __builtin_bswap64(load_u64(reader->bytes + byte)) << skip >> (64 - count);
    uint64_t value = 0;
    for (unsigned left = count; left > 0; byte++, skip = 0) {
        unsigned taken = left < 8 - skip ? left : 8 - skip;
        value = value << taken |
                ((uint64_t)reader->bytes[byte] >> (8 - skip - taken) & ((1u << taken) - 1));
        left -= taken;
    }
    return value;
}

/* As Go's encoding/binary has it, byte by byte, wherever the reader stands. */
static inline uint64_t bit_reader_varint(struct bit_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = bit_reader_take(reader, 8);
        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true;
    return 0;
}

/* How many ones there are before a zero, which is read too; at most `most`, then without it. */
static inline unsigned bit_reader_ones(struct bit_reader *reader, unsigned most)
{
    unsigned count = 0;
    while (count < most && bit_reader_take(reader, 1) == 1)
        count++;
    return count;
}

/* A number in [-(2^(count-1) - 1), 2^(count-1)], count > 0. */
static inline int64_t bit_reader_signed(struct bit_reader *reader, unsigned count)
{
    uint64_t value = bit_reader_take(reader, count);
    if (count < 64 && value > UINT64_C(1) << (count - 1))
        value -= UINT64_C(1) << count;
    return (int64_t)value;
}

#endif
