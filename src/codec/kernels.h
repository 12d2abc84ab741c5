/*
 * kernels - the inner loops of the codecs, once per code path.
 *
 * Each function is pure and has one answer: the paths differ in speed only, and the encoder's
 * decisions rest on integers that all of them compute alike. Arrays that are called "slack" have
 * KERNEL_SLACK elements of room behind the last one, which a loop may overwrite.
 */
#ifndef CODEC_KERNELS_H
#define CODEC_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

enum {
    KERNEL_SLACK = 8,
    BITMAP_WORDS = (CHUNK_SAMPLES_MAX + 63) / 64,
    BIT_LENGTHS = 65,
    /* Quotients of the Rice form above this are stored as patches. */
    RICE_QUOTIENT_BITS = 5,
    DECIMAL_EXPONENT_MAX = 15,
};

/* Scaled values below 2^51 convert to and from doubles by adding 1.5 * 2^52. */
#define SCALED_LIMIT        (INT64_C(1) << 51)
#define ROUNDING_MAGIC      6755399441055744.0
#define ROUNDING_MAGIC_BITS UINT64_C(0x4338000000000000)

extern const double POWERS_OF_TEN[DECIMAL_EXPONENT_MAX + 1];

/* How integers were turned into residuals; 64-bit wrap-around arithmetic throughout. */
struct residual_form {
    unsigned order; /* 0: offsets from the first; 1: differences; 2: differences of those */
    bool zigzag;
    uint64_t base;   /* subtracted before the zigzag */
    uint64_t factor; /* common divisor */
    uint64_t first;
    uint64_t difference; /* order 2: where the differences begin */
};

struct codec_kernels {
    /* --- Encoding --- */

    /* Bit i of `starts` [BITMAP_WORDS] tells that the bits of values[i] differ from those of the
     * value before; bit 0 is set. Returns the number of set bits. */
    size_t (*find_runs)(const double *values, size_t count, uint64_t *starts);

    /* scaled[i] = values[i] * 10^exponent, rounded; bit i of `failures` [BITMAP_WORDS] tells that
     * scaled[i] / 10^exponent is not values[i] bit for bit, or beyond SCALED_LIMIT. Returns the
     * number of failures. */
    size_t (*scale)(const double *values, size_t count, unsigned exponent, int64_t *scaled,
                    uint64_t *failures);

    /* differences[i] = values[i + 1] - values[i], for count - 1 of them. */
    void (*subtract)(const int64_t *values, size_t count, int64_t *differences);

    void (*find_range)(const int64_t *values, size_t count, int64_t *minimum, int64_t *maximum);

    /* The sum of the bit lengths of zigzag(values[i] - center), at least 1 each. */
    uint64_t (*sum_bit_lengths)(const int64_t *values, size_t count, int64_t center);

    /* residuals[i] = values[i] - base, as zigzag if so wanted. Returns all of them or'ed. */
    uint64_t (*make_residuals)(const int64_t *values, size_t count, int64_t base, bool zigzag,
                               uint64_t *residuals);

    /* lengths[b]: how many of the values, none longer than `longest`, have b bits, for b from the
     * median length up to `longest`; others hold anything. Returns the median: the least length
     * that at most half of the values exceed. */
    unsigned (*count_bit_lengths)(const uint64_t *values, size_t count, unsigned longest,
                                  uint32_t lengths[BIT_LENGTHS]);

    /* The sum of residuals[i] >> shift: of all, or of those below 1 << RICE_QUOTIENT_BITS. */
    uint64_t (*sum_quotients)(const uint64_t *residuals, size_t count, unsigned shift);
    uint64_t (*sum_small_quotients)(const uint64_t *residuals, size_t count, unsigned shift);

    /* Low `width` bits each; up to 16 bytes behind the end may be overwritten. Returns the end. */
    uint8_t *(*pack)(const uint64_t *values, size_t count, unsigned width, uint8_t *target);

    /* values[i] >> shift zeros, then a one; up to 8 bytes behind the end may be overwritten. */
    uint8_t *(*pack_unary)(const uint64_t *values, size_t count, unsigned shift, uint8_t *target);

    /* --- Decoding --- */

    /* Never reads at or behind `end`; packed_size_bytes(count, width) bytes are there. */
    void (*unpack)(const uint8_t *bytes, const uint8_t *end, size_t count, unsigned width,
                   uint64_t *values);

    /* values[i] += quotient << shift; `ends` is room for 2 * CHUNK_SAMPLES_MAX numbers. Returns
     * the end of the unary stream, NULL when it is cut short. */
    const uint8_t *(*unpack_unary)(const uint8_t *bytes, const uint8_t *end, size_t count,
                                   unsigned shift, uint32_t *ends, uint64_t *values);

    /* Residuals to integers, in place (slack). */
    void (*integrate)(const struct residual_form *form, size_t count, int64_t *values);

    /* values[i] = scaled[i] / 10^exponent, all within SCALED_LIMIT (else some number). */
    void (*unscale)(const int64_t *scaled, size_t count, unsigned exponent, double *values);

    void (*fill)(double value, size_t count, double *values);

    /* values[i] = run_values[the number of set bits among 0..i of `starts`, less 1], where bit 0 is
     * set; run_values has slack. */
    void (*expand_runs)(const double *run_values, const uint64_t *starts, size_t count,
                        double *values);
};

/* Those of the selected path. */
const struct codec_kernels *codec_kernels(void);

extern const struct codec_kernels CODEC_KERNELS_PORTABLE;
#if defined(__x86_64__)
extern const struct codec_kernels CODEC_KERNELS_AVX2;
#endif

#endif
