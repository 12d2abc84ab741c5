/*
 * bytes - little-endian loads and stores, variable-length integers, a bounded
 * reader for bytes from outside and a growing buffer to write into.
 *
 * Variable-length integers are LEB128; signed ones are zigzag first (protobuf's encoding).
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/text.h"

enum { VARINT_MAX_BYTES = 10 };

/* --- Fixed width, little endian, no alignment needed ------------------------------------- */

static inline uint16_t load_u16(const uint8_t *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint32_t load_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline uint64_t load_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static inline void store_u16(uint8_t *bytes, uint16_t value)
{
    memcpy(bytes, &value, sizeof value);
}

static inline void store_u32(uint8_t *bytes, uint32_t value)
{
    memcpy(bytes, &value, sizeof value);
}

static inline void store_u64(uint8_t *bytes, uint64_t value)
{
    memcpy(bytes, &value, sizeof value);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats are little endian");

static inline uint64_t zigzag_encode(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t zigzag_decode(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* The bits of a double and back; never through a conversion, NaN payloads survive. */
static inline uint64_t double_to_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double double_from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Write at `target`, which has VARINT_MAX_BYTES of room; returns the end. */
static inline uint8_t *varint_store(uint8_t *target, uint64_t value)
{
    while (value >= 0x80) {
        *target++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *target++ = (uint8_t)value;
    return target;
}

static inline size_t varint_size(uint64_t value)
{
    return (size_t)(64 - __builtin_clzll(value | 1) + 6) / 7;
}

/* --- Reading bytes from outside ------------------------------------------------------------ */

/*
 * A cursor that never leaves [position, end). A read past the end, or a malformed integer, sets
 * `failed` and yields zero; test `failed` once after a group of reads, before the values are used
 * as a count, a length or an offset.
 */
struct byte_reader {
    const uint8_t *position;
    const uint8_t *end;
    bool failed;
};

static inline struct byte_reader byte_reader_over(const uint8_t *bytes, size_t size)
{
    /* No bytes may well be at NULL, to which C lets nobody add even zero. */
    return (struct byte_reader){.position = bytes, .end = size == 0 ? bytes : bytes + size};
}

static inline size_t byte_reader_left(const struct byte_reader *reader)
{
    return (size_t)(reader->end - reader->position);
}

uint64_t byte_reader_varint_slow(struct byte_reader *reader);

static inline uint64_t byte_reader_varint(struct byte_reader *reader)
{
    const uint8_t *at = reader->position;
    if (at < reader->end && at[0] < 0x80) {
        reader->position = at + 1;
        return at[0];
    }
    if (byte_reader_left(reader) >= 2 && at[1] < 0x80) {
        reader->position = at + 2;
        return (uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7;
    }
    return byte_reader_varint_slow(reader);
}

static inline int64_t byte_reader_zigzag(struct byte_reader *reader)
{
    return zigzag_decode(byte_reader_varint(reader));
}

/* `size` bytes at the cursor, or NULL and failed. */
static inline const uint8_t *byte_reader_take(struct byte_reader *reader, size_t size)
{
    if (size > byte_reader_left(reader)) {
        reader->failed = true;
        reader->position = reader->end;
        return NULL;
    }
    const uint8_t *bytes = reader->position;
    reader->position += size;
    return bytes;
}

static inline uint8_t byte_reader_u8(struct byte_reader *reader)
{
    const uint8_t *bytes = byte_reader_take(reader, 1);
    return bytes == NULL ? 0 : *bytes;
}

static inline uint16_t byte_reader_u16(struct byte_reader *reader)
{
    const uint8_t *bytes = byte_reader_take(reader, 2);
    return bytes == NULL ? 0 : load_u16(bytes);
}

static inline uint32_t byte_reader_u32(struct byte_reader *reader)
{
    const uint8_t *bytes = byte_reader_take(reader, 4);
    return bytes == NULL ? 0 : load_u32(bytes);
}

static inline uint64_t byte_reader_u64(struct byte_reader *reader)
{
    const uint8_t *bytes = byte_reader_take(reader, 8);
    return bytes == NULL ? 0 : load_u64(bytes);
}

/* A varint length followed by that many bytes. */
static inline struct text byte_reader_text(struct byte_reader *reader)
{
    uint64_t size = byte_reader_varint(reader);
    if (size > byte_reader_left(reader)) {
        reader->failed = true;
        reader->position = reader->end;
        return (struct text){0};
    }
    const uint8_t *bytes = byte_reader_take(reader, (size_t)size);
    return (struct text){.data = (const char *)bytes, .size = (size_t)size};
}

/* --- Writing ------------------------------------------------------------------------------- */

/*
 * A growing buffer. When memory is out it sets `failed` and ignores what is written, so that a
 * writer checks once, at its end. Zero-initialised is empty and valid.
 */
struct byte_buffer {
    uint8_t *bytes; /* [capacity], owned */
    size_t size;
    size_t capacity;
    bool failed;
};

void byte_buffer_clear(struct byte_buffer *buffer); /* releases the memory */
void byte_buffer_reset(struct byte_buffer *buffer); /* keeps it */

/* Make room for `extra` more bytes; false (and failed) when memory is out. */
bool byte_buffer_reserve(struct byte_buffer *buffer, size_t extra);

void byte_buffer_append(struct byte_buffer *buffer, const void *bytes, size_t size);
void byte_buffer_u8(struct byte_buffer *buffer, uint8_t value);
void byte_buffer_u16(struct byte_buffer *buffer, uint16_t value);
void byte_buffer_u32(struct byte_buffer *buffer, uint32_t value);
void byte_buffer_u64(struct byte_buffer *buffer, uint64_t value);
void byte_buffer_varint(struct byte_buffer *buffer, uint64_t value);
void byte_buffer_zigzag(struct byte_buffer *buffer, int64_t value);
void byte_buffer_text(struct byte_buffer *buffer, struct text value); /* varint length, bytes */

#endif
