/*
 * Chunks made to break codecs: stretches of the extremes of doubles, one after the other.
 *
 * Where hostile_values.h has what monitoring may send, this has what only an attacker would:
 * denormals, exponents at both ends, scales that alternate, NaN of every payload. Alike on every
 * machine from a seed.
 */
#ifndef TESTS_CODEC_ADVERSARIAL_VALUES_H
#define TESTS_CODEC_ADVERSARIAL_VALUES_H

#include <math.h>

#include "hostile_values.h"

enum { ADVERSARIAL_STRETCHES = 13, ADVERSARIAL_STRETCHES_MAX = 4 };

static const uint64_t SIGN_BIT = UINT64_C(1) << 63;
static const uint64_t MANTISSA = (UINT64_C(1) << 52) - 1;

static inline double adversarial_from_parts(struct hostile_random *random, uint64_t exponent,
                                            uint64_t mantissa)
{
    uint64_t sign = hostile_below(random, 2) > 0 ? SIGN_BIT : 0;
    return double_from_bits(sign | exponent << 52 | (mantissa & MANTISSA));
}

/* A double some steps of the last place beside another; may pass zero's bits and infinity. */
static inline double adversarial_beside(struct hostile_random *random, double value, uint64_t steps)
{
    return double_from_bits(double_to_bits(value) + hostile_below(random, 2 * steps + 1) - steps);
}

/* Value `i` of a stretch of kind `stretch`; `seed` is constant within it. */
static inline double adversarial_value(struct hostile_random *random, unsigned stretch,
                                       uint64_t seed, size_t i)
{
    static const double EDGES[] = {0x1p51, 0x1p52, 0x1p53, 0x1p62, 0x1p63, 0x1p64};
    switch (stretch) {
    case 0: /* denormals of any size */
        return adversarial_from_parts(random, 0, hostile_any_length(random));
    case 1: /* denormals in even steps, which look like integers to the bits */
        return double_from_bits((seed & 0xffff) + i * (1 + seed % 7));
    case 2: /* zeros of both signs, a number now and then */
        return hostile_below(random, 9) == 0 ? (double)hostile_below(random, 5)
                                             : copysign(0.0, hostile_below(random, 2) > 0 ? -1 : 1);
    case 3: /* the largest exponents, infinity among them */
        return adversarial_from_parts(random, 0x7ff - hostile_below(random, 4),
                                      hostile_below(random, 3) > 0 ? hostile_next(random) : 0);
    case 4: /* integers so large that they are all even, and more */
        return ldexp((double)(1 + seed % 9999 + i), (int)(seed % 960));
    case 5: /* decimals whose number of digits alternates */
        return (double)hostile_below(random, 100000) / HOSTILE_POWERS[(seed + i) % (2 + seed % 14)];
    case 6: /* both ends by turns */
        return (i % 2 > 0 ? 1e300 : 1e-300) * (double)hostile_below(random, 1000);
    case 7: /* NaN, every payload another: quiet, signalling, of both signs */
        return adversarial_from_parts(random, 0x7ff, 1 + hostile_any_length(random) % MANTISSA);
    case 8: /* one NaN throughout */
        return double_from_bits(UINT64_C(0x7ff) << 52 | 1 | (seed & (SIGN_BIT | MANTISSA)));
    case 9: /* where integers, halves and int64_t end */
        return adversarial_beside(random, EDGES[seed % 6], 1 + seed % 3) *
               (hostile_below(random, 2) > 0 ? -1 : 1);
    case 10: /* the most digits that still are a decimal, and their neighbours */
        return adversarial_beside(
            random,
            (double)(0x1p53 - (double)hostile_below(random, 50)) / HOSTILE_POWERS[seed % 16], 1);
    case 11: /* counted in decimals, with errors of a few last places */
        return adversarial_beside(
            random, (double)(seed % 100000 + 7 * i) / HOSTILE_POWERS[seed % 10], seed % 5);
    default: /* one bit, anywhere */
        return double_from_bits(UINT64_C(1) << hostile_below(random, 64));
    }
}

/* Fill values [count] with one to four stretches, their values repeated now and then. */
static inline void adversarial_fill(struct hostile_random *random, double *values, size_t count)
{
    size_t i = 0;
    for (size_t left = 1 + hostile_below(random, ADVERSARIAL_STRETCHES_MAX); i < count; left--) {
        unsigned stretch = (unsigned)hostile_below(random, ADVERSARIAL_STRETCHES);
        uint64_t seed = hostile_next(random);
        uint64_t repeated_percent = hostile_below(random, 3) == 0 ? hostile_below(random, 100) : 0;
        size_t end = left <= 1 ? count : i + 1 + hostile_below(random, count - i);
        for (; i < end; i++)
            values[i] = i > 0 && hostile_below(random, 100) < repeated_percent
                            ? values[i - 1]
                            : adversarial_value(random, stretch, seed, i);
        if (left <= 1)
            break;
    }
}

#endif
