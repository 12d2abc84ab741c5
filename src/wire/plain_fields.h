/*
 * plain_fields - messages and samples in the shape that every sender gives them. Private to wire.
 *
 * Almost all fields of a request are short and their parts in order. They are read here without the
 * general reader, which takes over whenever anything looks different; so this code only has to be
 * right about what it accepts.
 */
#ifndef WIRE_PLAIN_FIELDS_H
#define WIRE_PLAIN_FIELDS_H

#include "protobuf.h"
#include "wire/remote_write.h"

/* The tag byte of a field. */
#define PLAIN_TAG(number, type) ((number) << 3 | (type))

/* The next field when its tag is `tag`, of type BYTES, and its length takes two bytes at most.
 * False: look closer. */
static inline bool plain_message_next(struct byte_reader *reader, uint8_t tag,
                                      struct byte_reader *message_out)
{
    const uint8_t *at = reader->position;
    if (reader->end - at < 3 || at[0] != tag || (at[1] & at[2]) >= 0x80)
        return false;
    /* Series are about 128 bytes long, so a branch on the size of their length would be a guess. */
    size_t second = at[1] >> 7;
    size_t size = (at[1] & 0x7f) | (-second & at[2]) << 7;
    const uint8_t *message = at + 2 + second;
    if (size > (size_t)(reader->end - message))
        return false;
    /* One by one: a struct that is copied at once waits for the last store to it. */
    message_out->position = message;
    message_out->end = message + size;
    message_out->failed = false;
    reader->position = message + size;
    return true;
}

/*
 * A sample as it is sent in our century: its timestamp takes six bytes (September 2004 to 2109),
 * and a value of zero is left out, as proto3 does.
 */
enum {
    PLAIN_TIME_BYTES = 6,
    PLAIN_TIME_FIELD_BYTES = 1 + PLAIN_TIME_BYTES,
    PLAIN_VALUE_FIELD_BYTES = 1 + sizeof(double),
};

/* The varint of six bytes in front of `end`; at least eight can be read there. */
static inline bool plain_time_before(const uint8_t *end, int64_t *time_out)
{
    uint64_t word = load_u64(end - sizeof word) >> 16;
    if ((word & UINT64_C(0x808080808080)) != UINT64_C(0x008080808080))
        return false;
    /* Six digits of 7 bits become three of 14, and these one number. */
    word = (word & UINT64_C(0x007f007f007f)) | (word & UINT64_C(0x7f007f007f00)) >> 1;
    *time_out = (int64_t)((word & 0x3fff) | (word >> 16 & 0x3fff) << 14 | word >> 32 << 28);
    return true;
}

#endif
