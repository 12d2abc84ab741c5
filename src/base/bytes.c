#include "base/bytes.h"

#include <stdlib.h>

enum { BUFFER_BYTES_FIRST = 256 };

uint64_t byte_reader_varint_slow(struct byte_reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (reader->position >= reader->end)
            break;
        uint8_t byte = *reader->position++;
        /* The tenth byte holds one bit. */
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true;
    reader->position = reader->end;
    return 0;
}

void byte_buffer_clear(struct byte_buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct byte_buffer){0};
}

void byte_buffer_reset(struct byte_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

bool byte_buffer_reserve(struct byte_buffer *buffer, size_t extra)
{
    if (buffer->failed)
        return false;
    if (buffer->capacity - buffer->size >= extra)
        return true;
    size_t needed;
    if (__builtin_add_overflow(buffer->size, extra, &needed) || needed > SIZE_MAX / 4) {
        buffer->failed = true;
        return false;
    }
    size_t capacity = buffer->capacity < BUFFER_BYTES_FIRST ? BUFFER_BYTES_FIRST : buffer->capacity;
    while (capacity < needed)
        capacity *= 2;
    uint8_t *bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void byte_buffer_append(struct byte_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0 || !byte_buffer_reserve(buffer, size))
        return;
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

void byte_buffer_u8(struct byte_buffer *buffer, uint8_t value)
{
    byte_buffer_append(buffer, &value, sizeof value);
}

void byte_buffer_u16(struct byte_buffer *buffer, uint16_t value)
{
    byte_buffer_append(buffer, &value, sizeof value);
}

void byte_buffer_u32(struct byte_buffer *buffer, uint32_t value)
{
    byte_buffer_append(buffer, &value, sizeof value);
}

void byte_buffer_u64(struct byte_buffer *buffer, uint64_t value)
{
    byte_buffer_append(buffer, &value, sizeof value);
}

void byte_buffer_varint(struct byte_buffer *buffer, uint64_t value)
{
    if (!byte_buffer_reserve(buffer, VARINT_MAX_BYTES))
        return;
    uint8_t *end = varint_store(buffer->bytes + buffer->size, value);
    buffer->size = (size_t)(end - buffer->bytes);
}

void byte_buffer_zigzag(struct byte_buffer *buffer, int64_t value)
{
    byte_buffer_varint(buffer, zigzag_encode(value));
}

void byte_buffer_text(struct byte_buffer *buffer, struct text value)
{
    byte_buffer_varint(buffer, value.size);
    byte_buffer_append(buffer, value.data, value.size);
}
