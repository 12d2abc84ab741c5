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

/* The code that takes the place of a residual stream's first byte when runs are marked by a
 * bitmap instead. */
enum { RESIDUAL_BITMAP_CODE = 3 };

enum residual_method { RESIDUAL_CONSTANT, RESIDUAL_FIXED, RESIDUAL_RICE };

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

/* Write them in that way; returns the end. */
uint8_t *residual_stream_emit(const struct residual_plan *plan, const int64_t *values, size_t count,
                              const struct codec_kernels *kernels, struct codec_scratch *scratch,
                              uint8_t *target);

/*
 * Read `count` >= 1 residuals to `residuals` (slack), with base and zigzag still to be undone: they
 * are set in `form`. Errors: CORRUPT, UNSUPPORTED.
 */
enum error_code residual_stream_decode(struct byte_reader *reader, size_t count,
                                       const struct codec_kernels *kernels,
                                       struct codec_scratch *scratch, uint64_t *residuals,
                                       struct residual_form *form, struct error *error);

#endif
