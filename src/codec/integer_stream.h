/*
 * integer_stream - up to CHUNK_SAMPLES_MAX integers as differences of a fitting order: INTS of
 * docs/formats/chunk.md.
 */
#ifndef CODEC_INTEGER_STREAM_H
#define CODEC_INTEGER_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"
#include "kernels.h"

/* Write `count` >= 1 integers; returns the end. */
uint8_t *integer_stream_encode(const int64_t *values, size_t count,
                               const struct codec_kernels *kernels, struct codec_scratch *scratch,
                               uint8_t *target);

/* Read `count` >= 1 integers to `values` (slack). Errors: CORRUPT, UNSUPPORTED. */
enum error_code integer_stream_decode(struct byte_reader *reader, size_t count,
                                      const struct codec_kernels *kernels,
                                      struct codec_scratch *scratch, int64_t *values,
                                      struct error *error);

#endif
