/*
 * histogram_codec - the native histograms of one chunk as one self-contained payload.
 *
 * Column by column: what describes the buckets (kind, schema, spans, bounds) is stored once for
 * all samples that share it, and each bucket's counts over the samples are a column of integers or
 * floats. Buckets may come and go, schemas, kinds and reset hints may change at every sample; a
 * stale marker is an ordinary sample whose sum has its bits. Bit-exact like value_codec.
 *
 * Byte layout: docs/formats/chunk.md. Thread-safe as long as each thread has its own scratch.
 */
#ifndef CODEC_HISTOGRAM_CODEC_H
#define CODEC_HISTOGRAM_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"
#include "model/sample.h"

/*
 * Append the payload of `count` histograms, 1..CHUNK_SAMPLES_MAX, to `buffer`. Working memory
 * comes from `arena`, which the caller resets; nothing refers to it afterwards.
 *
 * The histograms need not pass histogram_validate, but their spans must agree with their bucket
 * counts, have no negative offset but the first, and stay within HISTOGRAM_BUCKETS_MAX buckets,
 * spans and bounds.
 *
 * Errors: INVALID (one of these), OUT_OF_MEMORY. On error the buffer is as long as before.
 */
enum error_code histogram_codec_encode(const struct histogram *const *histograms, size_t count,
                                       struct codec_scratch *scratch, struct arena *arena,
                                       struct byte_buffer *buffer, struct error *error);

/*
 * Decode a payload of exactly `size` bytes to an array of `count` histograms in the arena. Equal
 * spans and bounds are shared between them. `bytes` may be reused at once.
 *
 * Errors: CORRUPT, UNSUPPORTED, OUT_OF_MEMORY. On error `histograms_out` is untouched; what was
 * taken from the arena stays there until it is reset.
 */
enum error_code histogram_codec_decode(const uint8_t *bytes, size_t size, size_t count,
                                       struct codec_scratch *scratch, struct arena *arena,
                                       struct histogram **histograms_out, struct error *error);

#endif
