/*
 * protobuf - the wire format's fields, bounded (developers.google.com/protocol-buffers/encoding).
 */
#ifndef WIRE_PROTOBUF_H
#define WIRE_PROTOBUF_H

#include "base/bytes.h"

enum protobuf_type {
    PROTOBUF_VARINT = 0,
    PROTOBUF_FIXED64 = 1,
    PROTOBUF_BYTES = 2,
    PROTOBUF_FIXED32 = 5,
};

/* One field: its number, its type and, by type, its value or its bytes. */
struct protobuf_field {
    uint32_t number;
    enum protobuf_type type;
    uint64_t value;           /* VARINT, FIXED64, FIXED32 */
    struct byte_reader bytes; /* BYTES */
};

/* The next field of the message; false at its end or when it is malformed (reader->failed). */
static inline bool protobuf_next(struct byte_reader *reader, struct protobuf_field *field)
{
    if (reader->position == reader->end)
        return false;
    uint64_t tag = byte_reader_varint(reader);
    field->type = (enum protobuf_type)(tag & 7);
    field->number = (uint32_t)(tag >> 3);
    /* A field of an unexpected type reads as zero or as no bytes. */
    field->value = 0;
    field->bytes = (struct byte_reader){0};
    switch (field->type) {
    case PROTOBUF_VARINT:
        field->value = byte_reader_varint(reader);
        break;
    case PROTOBUF_FIXED64:
        field->value = byte_reader_u64(reader);
        break;
    case PROTOBUF_FIXED32:
        field->value = byte_reader_u32(reader);
        break;
    case PROTOBUF_BYTES: {
        struct text bytes = byte_reader_text(reader);
        field->bytes = byte_reader_over((const uint8_t *)bytes.data, bytes.size);
        break;
    }
    default:
        reader->failed = true;
    }
    if (tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
        reader->failed = true;
    return !reader->failed;
}

static inline bool protobuf_is(const struct protobuf_field *field, uint32_t number,
                               enum protobuf_type type)
{
    return field->number == number && field->type == type;
}

static inline struct text protobuf_text(const struct protobuf_field *field)
{
    return (struct text){(const char *)field->bytes.position, byte_reader_left(&field->bytes)};
}

#endif
