/*
 * codec_scratch - the working memory of one encoding or decoding call.
 *
 * Owned by the caller and reused for any number of calls, by one thread at a time. What it holds
 * between calls has no meaning and never influences a result; it needs no initialisation. About
 * 60 KiB: keep one per thread or per job, not on a small stack.
 */
#ifndef CODEC_CODEC_SCRATCH_H
#define CODEC_CODEC_SCRATCH_H

#include <stdint.h>

#include "base/limits.h"

enum {
    /* Vector loops may write a few elements past the last one. */
    CODEC_SCRATCH_SLOTS = CHUNK_SAMPLES_MAX + 32,
    /* More than any candidate encoding takes before it is compared with the raw form. */
    CODEC_SCRATCH_BYTES = 24 * CODEC_SCRATCH_SLOTS,
};

struct codec_scratch {
    int64_t scaled[CODEC_SCRATCH_SLOTS];      /* values as integers */
    int64_t adjustments[CODEC_SCRATCH_SLOTS]; /* what the integers leave over */
    int64_t orders[3][CODEC_SCRATCH_SLOTS];   /* residuals of order 0, 1 and 2 */
    uint64_t candidates[2][CODEC_SCRATCH_SLOTS];
    int64_t run_lengths[CODEC_SCRATCH_SLOTS];
    double run_values[CODEC_SCRATCH_SLOTS];
    double ordinary_values[CODEC_SCRATCH_SLOTS]; /* without NaN and the like */
    uint8_t run_bytes[CODEC_SCRATCH_BYTES];
    uint8_t plain_bytes[CODEC_SCRATCH_BYTES];
};

#endif
