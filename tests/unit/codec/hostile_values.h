/* Values that codecs get wrong: generated alike on every machine from a seed. */
#ifndef TESTS_CODEC_HOSTILE_VALUES_H
#define TESTS_CODEC_HOSTILE_VALUES_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

static const uint64_t HOSTILE_BITS[] = {
    0x7ff0000000000002, 0x7ff8000000000001, 0x8000000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x0000000000000000, 0x0000000000000001, 0x8000000000000001,
    0x7fefffffffffffff, 0xffefffffffffffff, 0x7fffffffffffffff, 0xffffffffffffffff,
    0x43e0000000000000, 0xc3e0000000000000, 0x4340000000000000, 0x4340000000000001,
    0x3ff0000000000000, 0x7ff8000000000000, 0xfff8dead00000001, 0x4320000000000000,
    0xc320000000000000, 0x431fffffffffffff, 0x000fffffffffffff, 0x7ff0000000000001,
};

enum { HOSTILE_COUNT = sizeof HOSTILE_BITS / sizeof *HOSTILE_BITS, HOSTILE_SHAPES = 16 };

static const double HOSTILE_POWERS[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                        1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

struct hostile_random {
    uint64_t state; /* not 0 */
};

static inline uint64_t hostile_next(struct hostile_random *random)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return random->state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline uint64_t hostile_below(struct hostile_random *random, uint64_t limit)
{
    return hostile_next(random) % limit;
}

/* A number of any length in bits. */
static inline uint64_t hostile_any_length(struct hostile_random *random)
{
    uint64_t number = hostile_next(random);
    return number >> hostile_below(random, 64);
}

static inline double hostile_special(struct hostile_random *random)
{
    return double_from_bits(HOSTILE_BITS[hostile_below(random, HOSTILE_COUNT)]);
}

struct hostile_shape {
    unsigned shape;
    uint64_t sum;
    uint64_t step; /* not 0 */
    unsigned exponent;
    double number;
};

static inline double hostile_value(struct hostile_random *random, struct hostile_shape *shape,
                                   size_t i, double previous)
{
    switch (shape->shape) {
    case 0: /* a counter */
        shape->sum += hostile_below(random, shape->step);
        return (double)(int64_t)shape->sum;
    case 1: /* a counter with decimals */
        shape->sum += hostile_below(random, shape->step);
        return (double)((int64_t)shape->sum >> 12) / HOSTILE_POWERS[shape->exponent];
    case 2:
        return double_from_bits(hostile_next(random));
    case 3:
        return shape->number;
    case 4:
        return (double)hostile_below(random, 3);
    case 5: /* a sum of decimals with its rounding errors */
        shape->number = (i == 0 ? 1.5 : previous) + (double)hostile_below(random, 1000000) / 1e9;
        return shape->number;
    case 6:
        return (double)(int64_t)hostile_next(random);
    case 7:
        return i > 0 && hostile_below(random, 10) > 0 ? previous
                                                      : double_from_bits(hostile_next(random));
    case 8:
        return i > 0 && hostile_below(random, 6) > 0 ? previous
                                                     : (double)hostile_below(random, 100000) / 1000;
    case 9: /* a straight line */
        return (double)(int64_t)(shape->sum + i * shape->step);
    case 10:
        return -(double)hostile_below(random, 1000) / 10;
    case 11:
        return hostile_special(random);
    case 12:
        return ((double)hostile_below(random, 2000) - 1000) * 4096e9;
    case 13: /* neighbours in the last places */
        return double_from_bits((double_to_bits(1e3) & ~UINT64_C(0xffffff)) +
                                hostile_below(random, 0xffffff));
    case 14: /* around the largest numbers that have halves and tenths */
        return 0x1p50 * (double)(1 + i % 4) + (double)hostile_below(random, 40) / 4;
    default: /* repeats of two in three */
        return i > 0 && hostile_below(random, 3) > 0 ? previous
                                                     : (double)hostile_below(random, 1000);
    }
}

/* Fill values [count] with one shape and, now and then, special values in between. */
static inline void hostile_fill(struct hostile_random *random, double *values, size_t count)
{
    static const unsigned PERCENT[] = {0, 0, 1, 5, 50};
    unsigned special_percent = PERCENT[hostile_below(random, 5)];
    struct hostile_shape shape = {.shape = (unsigned)hostile_below(random, HOSTILE_SHAPES)};
    shape.sum = hostile_any_length(random);
    shape.step = 1 + hostile_any_length(random) / 2;
    shape.exponent = (unsigned)hostile_below(random, 16);
    shape.number = double_from_bits(hostile_next(random));
    double previous = 0;
    for (size_t i = 0; i < count; i++) {
        previous = hostile_value(random, &shape, i, previous);
        values[i] = special_percent > 0 && hostile_below(random, 100) < special_percent
                        ? hostile_special(random)
                        : previous;
    }
}

#endif
