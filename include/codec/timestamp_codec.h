/*
 * timestamp_codec - a column of strictly ascending timestamps, of any length, that many series
 * may share; a part of it can be read without the rest.
 *
 * Blocks of CHUNK_SAMPLES_MAX timestamps are decodable alone; a table in front tells where each
 * begins. Regular intervals cost about nothing. Byte layout: docs/formats/chunk.md. Thread-safe as
 * long as each thread has its own scratch.
 */
#ifndef CODEC_TIMESTAMP_CODEC_H
#define CODEC_TIMESTAMP_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"

/* Timestamps of one column; two days at one a second are 172,800. */
enum { TIMESTAMP_COLUMN_MAX = 1 << 24 };

/* Append a column of `count` strictly ascending timestamps, 1..TIMESTAMP_COLUMN_MAX, in any unit.
 * When memory is out the buffer's `failed` tells. */
void timestamp_codec_encode(const int64_t *timestamps, size_t count, struct codec_scratch *scratch,
                            struct byte_buffer *buffer);

/* A column in bytes that somebody else owns and keeps. */
struct timestamp_column {
    size_t count;
    const uint8_t *block_ends; /* [number of blocks] u32 each: where a block ends in `blocks` */
    const uint8_t *blocks;     /* [blocks_size] */
    size_t blocks_size;
};

/* Check the frame of a column that takes exactly `size` bytes. Errors: CORRUPT, LIMIT. On error
 * `column_out` is untouched. */
enum error_code timestamp_codec_open(const uint8_t *bytes, size_t size,
                                     struct timestamp_column *column_out, struct error *error);

/*
 * Decode the timestamps [first, first + count) of the column to `timestamps_out` [count]; only the
 * blocks that hold them are touched. A range outside of the column is CORRUPT too: it comes from a
 * directory that does not agree with the column.
 *
 * Errors: CORRUPT (also: not ascending), UNSUPPORTED; timestamps_out then holds anything.
 */
enum error_code timestamp_codec_decode(const struct timestamp_column *column, size_t first,
                                       size_t count, struct codec_scratch *scratch,
                                       int64_t *timestamps_out, struct error *error);

#endif
