/*
 * integer_codec - lists and columns of integers in few bytes, for indexes and for the other codecs.
 *
 * Two forms: ascending lists (postings: blocks of 128 differences), and columns of up to
 * CHUNK_SAMPLES_MAX signed integers (the same adaptive form that holds the values of a chunk).
 * Byte layouts: docs/formats/chunk.md. No decoder reads outside of its reader's bytes. Thread-safe.
 */
#ifndef CODEC_INTEGER_CODEC_H
#define CODEC_INTEGER_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"

/* --- Ascending lists ---------------------------------------------------------------------- */

enum { ASCENDING_BLOCK = 128 };

/*
 * Append a strictly ascending list; consecutive numbers cost next to nothing. The count is not
 * stored. When memory is out the buffer's `failed` tells.
 */
void ascending_encode(const uint32_t *values, size_t count, struct byte_buffer *buffer);

/* Read the next block of a list: its `count` values, ASCENDING_BLOCK in all but the last. *next is
 * 0 before the first block and between two what this has left there. Errors: CORRUPT. */
enum error_code ascending_decode_block(struct byte_reader *reader, size_t count, uint64_t *next,
                                       uint32_t *values_out, struct error *error);

/* --- Columns ------------------------------------------------------------------------------ */

/* Room for a column of `count` integers. */
static inline size_t integer_column_size_max(size_t count)
{
    return 9 * count + 64;
}

/* Encode any `count` integers, 1..CHUNK_SAMPLES_MAX, to `target` with integer_column_size_max()
 * bytes of room; returns the end of what was written. */
uint8_t *integer_column_encode(const int64_t *values, size_t count, struct codec_scratch *scratch,
                               uint8_t *target);

/*
 * Read a column of `count` integers, 1..CHUNK_SAMPLES_MAX, to `values_out` [count]; the reader
 * stands behind it then. Errors: CORRUPT, UNSUPPORTED; values_out then holds anything.
 */
enum error_code integer_column_decode(struct byte_reader *reader, size_t count,
                                      struct codec_scratch *scratch, int64_t *values_out,
                                      struct error *error);

#endif
