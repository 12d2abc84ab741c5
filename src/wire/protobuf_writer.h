/*
 * protobuf_writer - fields of the wire format, appended; an embedded message is made in a buffer
 * of its own and appended as bytes.
 */
#ifndef WIRE_PROTOBUF_WRITER_H
#define WIRE_PROTOBUF_WRITER_H

#include "protobuf.h"

static inline void protobuf_put_tag(struct byte_buffer *buffer, uint32_t number,
                                    enum protobuf_type type)
{
    byte_buffer_varint(buffer, (uint64_t)number << 3 | type);
}

static inline void protobuf_put_varint(struct byte_buffer *buffer, uint32_t number, uint64_t value)
{
    protobuf_put_tag(buffer, number, PROTOBUF_VARINT);
    byte_buffer_varint(buffer, value);
}

/* sint32, sint64 */
static inline void protobuf_put_zigzag(struct byte_buffer *buffer, uint32_t number, int64_t value)
{
    protobuf_put_tag(buffer, number, PROTOBUF_VARINT);
    byte_buffer_zigzag(buffer, value);
}

static inline void protobuf_put_double(struct byte_buffer *buffer, uint32_t number, double value)
{
    protobuf_put_tag(buffer, number, PROTOBUF_FIXED64);
    byte_buffer_u64(buffer, double_to_bits(value));
}

static inline void protobuf_put_text(struct byte_buffer *buffer, uint32_t number, struct text value)
{
    protobuf_put_tag(buffer, number, PROTOBUF_BYTES);
    byte_buffer_text(buffer, value);
}

static inline void protobuf_put_message(struct byte_buffer *buffer, uint32_t number,
                                        const struct byte_buffer *message)
{
    protobuf_put_text(buffer, number, (struct text){(const char *)message->bytes, message->size});
    buffer->failed |= message->failed;
}

#endif
