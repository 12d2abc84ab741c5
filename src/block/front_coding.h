/*
 * front_coding - sorted keys without the bytes they share with the key before.
 *
 *   vu shared | vu size | bytes
 */
#ifndef BLOCK_FRONT_CODING_H
#define BLOCK_FRONT_CODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/text.h"

/* More than a label value with a number in front. */
enum { KEY_BYTES_MAX = 128 * 1024 };

/* Append `key` to `target`; `previous` holds the key before and becomes `key`. */
void front_coding_append(struct byte_buffer *target, struct byte_buffer *previous, struct text key);

/* Read the next key into `key`, which holds the one before. False: not a key. */
bool front_coding_read(struct byte_reader *reader, struct byte_buffer *key);

/*
 * A walk that looks for the last key <= wanted without putting keys together. It relies on their
 * order; where that is broken it finds a wrong one, but never reads outside.
 */
struct front_search {
    struct text wanted;
    size_t common; /* bytes that `wanted` and the key before have in common */
    bool equal;    /* the key before is `wanted` */
};

static inline struct front_search front_search_begin(struct text wanted)
{
    return (struct front_search){.wanted = wanted};
}

/* Read the next key: whether it is <= wanted. After a false the walk is over. */
bool front_search_next(struct front_search *search, struct byte_reader *reader);

#endif
