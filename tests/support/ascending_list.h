/*
 * ascending_list - a whole list of the integer codec at once, for tests; readers take blocks.
 */
#ifndef SUPPORT_ASCENDING_LIST_H
#define SUPPORT_ASCENDING_LIST_H

#include "codec/integer_codec.h"

/* Read a list of `count` values to values_out[count]. Errors: CORRUPT. */
static inline enum error_code ascending_decode(struct byte_reader *reader, size_t count,
                                               uint32_t *values_out, struct error *error)
{
    uint64_t next = 0;
    enum error_code code = ERROR_NONE;
    for (size_t first = 0; code == ERROR_NONE && first < count; first += ASCENDING_BLOCK) {
        size_t block = count - first < ASCENDING_BLOCK ? count - first : ASCENDING_BLOCK;
        code = ascending_decode_block(reader, block, &next, values_out + first, error);
    }
    return code;
}

#endif
