/*
 * value_codec - the values of one chunk as one self-contained payload.
 *
 * Bit-exact for every double: NaN payloads (stale markers), -0.0, infinities, denormals. The bytes
 * are a pure function of the values and of the format version: nothing is remembered from chunk to
 * chunk, and every code path (codec/codec_path.h) makes the same ones. The payload holds neither
 * its size nor its count; whoever stores it does. Checksums are the container's.
 *
 * Byte layout: docs/formats/chunk.md. Thread-safe as long as each thread has its own scratch.
 * Assumes IEEE rounding to nearest, the default of every thread.
 */
#ifndef CODEC_VALUE_CODEC_H
#define CODEC_VALUE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "codec/codec_scratch.h"

/* Room for the payload of `count` values: never more than the raw values and a byte. */
static inline size_t value_codec_size_max(size_t count)
{
    return 8 * count + 1;
}

enum { VALUE_CODEC_BYTES_MAX = 8 * CHUNK_SAMPLES_MAX + 1 };

/*
 * Encode `count` values, 1..CHUNK_SAMPLES_MAX, to `target`, which has value_codec_size_max(count)
 * bytes of room. Returns the size of the payload in bytes, at least 1. Cannot fail.
 */
size_t value_codec_encode(const double *values, size_t count, struct codec_scratch *scratch,
                          uint8_t *target);

/*
 * Decode a payload of exactly `size` bytes to `count` values, 1..CHUNK_SAMPLES_MAX, as it was
 * encoded. Never reads outside of [bytes, bytes + size), whatever they hold.
 *
 * Errors: CORRUPT (truncated, left-over bytes, counts that do not agree), UNSUPPORTED (a code this
 * version does not know). On error `values_out` holds anything.
 */
enum error_code value_codec_decode(const uint8_t *bytes, size_t size, size_t count,
                                   struct codec_scratch *scratch, double *values_out,
                                   struct error *error);

#endif
