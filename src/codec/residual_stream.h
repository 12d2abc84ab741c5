/*
 * residual_stream - small integers in few bits: PACK of docs/formats/chunk.md.
 *
 * Encoding has two steps, so that alternatives can be compared by their cost before one is
 * written.
 */
#ifndef CODEC_RESIDUAL_STREAM_H
#define CODEC_RESIDUAL_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "codec/codec_scratch.h"
#include "kernels.h"

/*
 * One byte of codes stands in front of a stream: these bits, and two that belong to the integer
 * stream around it (0 where there is none).
 */
enum {
    RESIDUAL_METHOD_MASK = 0x03,
    RESIDUAL_ZIGZAG = 0x04,
    RESIDUAL_BASE = 0x08,
    RESIDUAL_PATCHED = 0x10,
    RESIDUAL_OUTER_MASK = 0xe0,
};

enum residual_method {
    RESIDUAL_CONSTANT,
    RESIDUAL_FIXED,
    RESIDUAL_RICE,
    RESIDUAL_BITMAP, /* no residuals but the bitmap of runs, which value_codec reads */
};

struct residual_plan {
    enum residual_method method;
    bool zigzag;
    bool patched;
    unsigned width; /* FIXED: bits of a value; RICE: low bits of it */
    int64_t base;
    uint64_t cost_bits;
};

/* About the middle of the values: the median of a few of them, `count` >= 1. */
int64_t sampled_median(const int64_t *values, size_t count);

/* The cheapest way found to store `count` >= 0 residuals. */
struct residual_plan residual_stream_plan(const int64_t *values, size_t count,
                                          const struct codec_kernels *kernels,
                                          struct codec_scratch *scratch);

/* Its bits of the code byte. */
uint8_t residual_plan_code(const struct residual_plan *plan);

/* Write them in that way, behind the code byte; returns the end. */
uint8_t *residual_stream_emit(const struct residual_plan *plan, const int64_t *values, size_t count,
                              const struct codec_kernels *kernels, struct codec_scratch *scratch,
                              uint8_t *target);

/*
 * Read `count` >= 1 residuals, whose code byte was `code`, to `residuals` (slack). Base and zigzag
 * are still to be undone: they are set in `form`. Errors: CORRUPT, UNSUPPORTED.
 */
enum error_code residual_stream_decode(struct byte_reader *reader, uint8_t code, size_t count,
                                       const struct codec_kernels *kernels,
                                       struct codec_scratch *scratch, uint64_t *residuals,
                                       struct residual_form *form, struct error *error);

#endif
