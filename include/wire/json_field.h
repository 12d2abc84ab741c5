/*
 * json_field - fields of a JSON object that is written bit by bit.
 */
#ifndef WIRE_JSON_FIELD_H
#define WIRE_JSON_FIELD_H

#include "wire/json_writer.h"

/* "name": with a comma before it when it is not the first of its object. */
static inline void json_field_name(struct byte_buffer *buffer, const char *name)
{
    if (buffer->size > 0 && buffer->bytes[buffer->size - 1] != '{')
        json_raw(buffer, TEXT(","));
    json_string(buffer, text_of(name));
    json_raw(buffer, TEXT(":"));
}

static inline void json_string_field(struct byte_buffer *buffer, const char *name,
                                     const char *value)
{
    json_field_name(buffer, name);
    json_string(buffer, text_of(value));
}

static inline void json_integer_field(struct byte_buffer *buffer, const char *name, int64_t value)
{
    json_field_name(buffer, name);
    json_integer(buffer, value);
}

#endif
