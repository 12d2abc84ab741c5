/*
 * value_format - the codes of VALUE in docs/formats/chunk.md, for encoder and decoder.
 */
#ifndef CODEC_VALUE_FORMAT_H
#define CODEC_VALUE_FORMAT_H

#include "base/bytes.h"
#include "kernels.h"
#include "model/sample.h"

enum value_kind {
    VALUE_WHOLE,    /* detail: enum value_whole */
    VALUE_DECIMAL,  /* detail: exponent of ten; integers within SCALED_LIMIT */
    VALUE_ADJUSTED, /* detail: exponent of ten; integers, then units of the last place */
    VALUE_PLAIN,    /* detail: enum value_plain */
};

enum value_plain { PLAIN_BITS, PLAIN_INTEGERS };

enum {
    HEADER_KIND = 0x03,
    HEADER_RUNS = 0x04,
    HEADER_EXCEPTIONS = 0x08,
    HEADER_DETAIL_SHIFT = 4,
};

/* The chunk as a whole: one value for all, or all of them as they are. */
enum value_whole {
    WHOLE_SMALL_MAX = 10, /* 0..10: the value itself */
    WHOLE_RAW = 12,
    WHOLE_INTEGER = 13,
    WHOLE_DECIMAL = 14,
    WHOLE_DOUBLE = 15,
};

enum exception_class { EXCEPTION_STALE, EXCEPTION_NAN, EXCEPTION_MINUS_ZERO, EXCEPTION_RAW };
enum { EXCEPTION_CLASS_BITS = 2 };

#define MINUS_ZERO_BITS (UINT64_C(1) << 63)
#define EXPONENT_BITS   UINT64_C(0x7ff0000000000000)

/* Doubles to integers of the same order (numbers ascending), and back. */
static inline int64_t ordered_from_bits(uint64_t bits)
{
    return (int64_t)(bits ^ (uint64_t)((int64_t)bits >> 63) >> 1);
}

static inline uint64_t bits_from_ordered(int64_t ordered)
{
    return (uint64_t)ordered ^ (uint64_t)(ordered >> 63) >> 1;
}

#endif
