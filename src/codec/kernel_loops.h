/*
 * kernel_loops - the kernels in plain C.
 *
 * Included by one source per code path, each compiled for its instruction set; a path replaces
 * the loops that it can do better by hand.
 */
#ifndef CODEC_KERNEL_LOOPS_H
#define CODEC_KERNEL_LOOPS_H

#include <string.h>

#include "base/bytes.h"
#include "kernels.h"

/* --- Small steps ----------------------------------------------------------------------------- */

static inline unsigned bit_length(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/* Position of the lowest set bit; some number below 64 when there is none. */
static inline uint32_t lowest_bit(uint64_t value)
{
    return (uint32_t)__builtin_ctzll(value | UINT64_C(1) << 63);
}

static inline uint64_t make_residual(int64_t value, uint64_t base, bool zigzag)
{
    uint64_t difference = (uint64_t)value - base;
    return zigzag ? zigzag_encode((int64_t)difference) : difference;
}

static inline uint64_t undo_residual(uint64_t residual, const struct residual_form *form)
{
    uint64_t difference = form->zigzag ? (uint64_t)zigzag_decode(residual) : residual;
    return difference + form->base;
}

/* Scale one value; false when it does not come back. */
static inline bool scale_value(double value, double power, int64_t *scaled)
{
    double product = value * power;
    double shifted = product + ROUNDING_MAGIC;
    double back = (shifted - ROUNDING_MAGIC) / power;
    *scaled = (int64_t)(double_to_bits(shifted) - ROUNDING_MAGIC_BITS);
    return product > -(double)SCALED_LIMIT && product < (double)SCALED_LIMIT &&
           double_to_bits(back) == double_to_bits(value);
}

/* --- Encoding -------------------------------------------------------------------------------- */

__attribute__((unused)) static size_t loop_find_runs(const double *values, size_t count,
                                                     uint64_t *starts)
{
    memset(starts, 0, BITMAP_WORDS * sizeof *starts);
    starts[0] = 1;
    size_t runs = 1;
    uint64_t previous = double_to_bits(values[0]);
    for (size_t i = 1; i < count; i++) {
        uint64_t bits = double_to_bits(values[i]);
        uint64_t differs = bits != previous;
        starts[i / 64] |= differs << (i % 64);
        runs += differs;
        previous = bits;
    }
    return runs;
}

__attribute__((unused)) static size_t loop_scale(const double *values, size_t count,
                                                 unsigned exponent, int64_t *scaled,
                                                 uint64_t *failures)
{
    double power = POWERS_OF_TEN[exponent];
    size_t failed = 0;
    memset(failures, 0, BITMAP_WORDS * sizeof *failures);
    for (size_t i = 0; i < count; i++) {
        uint64_t bad = !scale_value(values[i], power, &scaled[i]);
        failures[i / 64] |= bad << (i % 64);
        failed += bad;
    }
    return failed;
}

static void loop_subtract(const int64_t *values, size_t count, int64_t *differences)
{
    for (size_t i = 0; i + 1 < count; i++)
        differences[i] = (int64_t)((uint64_t)values[i + 1] - (uint64_t)values[i]);
}

static void loop_find_range(const int64_t *values, size_t count, int64_t *minimum, int64_t *maximum)
{
    int64_t low = values[0];
    int64_t high = values[0];
    for (size_t i = 1; i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    *minimum = low;
    *maximum = high;
}

static uint64_t loop_sum_bit_lengths(const int64_t *values, size_t count, int64_t center)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += bit_length(make_residual(values[i], (uint64_t)center, true) | 1);
    return sum;
}

static uint64_t loop_make_residuals(const int64_t *values, size_t count, int64_t base, bool zigzag,
                                    uint64_t *residuals)
{
    uint64_t all = 0;
    if (zigzag)
        for (size_t i = 0; i < count; i++)
            all |= residuals[i] = make_residual(values[i], (uint64_t)base, true);
    else
        for (size_t i = 0; i < count; i++)
            all |= residuals[i] = make_residual(values[i], (uint64_t)base, false);
    return all;
}

static unsigned loop_count_bit_lengths(const uint64_t *values, size_t count, unsigned longest,
                                       uint32_t lengths[BIT_LENGTHS])
{
    /* Several tables, for neighbours of equal length would wait for each other's store. */
    uint16_t counts[BIT_LENGTHS][4];
    memset(counts, 0, (longest + 1) * sizeof *counts);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        counts[bit_length(values[i])][0]++;
        counts[bit_length(values[i + 1])][1]++;
        counts[bit_length(values[i + 2])][2]++;
        counts[bit_length(values[i + 3])][3]++;
    }
    for (; i < count; i++)
        counts[bit_length(values[i])][0]++;
    size_t above = 0;
    for (unsigned length = longest;; length--) {
        lengths[length] =
            (uint32_t)counts[length][0] + counts[length][1] + counts[length][2] + counts[length][3];
        above += lengths[length];
        if (above * 2 > count || length == 0)
            return length;
    }
}

static uint64_t loop_sum_quotients(const uint64_t *residuals, size_t count, unsigned shift)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += residuals[i] >> shift;
    return sum;
}

static uint64_t loop_sum_small_quotients(const uint64_t *residuals, size_t count, unsigned shift)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t quotient = residuals[i] >> shift;
        sum += quotient < (UINT64_C(1) << RICE_QUOTIENT_BITS) ? quotient : 0;
    }
    return sum;
}

/* Append `width` <= 56 bits; `pending` holds the fewer than 8 bits that fill no byte yet. */
struct bit_writer {
    uint8_t *target;
    uint64_t pending;
    unsigned pending_bits;
};

static inline void bit_writer_add(struct bit_writer *writer, uint64_t bits, unsigned width)
{
    uint64_t word = writer->pending | bits << writer->pending_bits;
    unsigned filled = writer->pending_bits + width;
    store_u64(writer->target, word);
    writer->target += filled / 8;
    writer->pending = word >> (filled & 56);
    writer->pending_bits = filled & 7;
}

static inline uint8_t *bit_writer_end(struct bit_writer *writer)
{
    store_u64(writer->target, writer->pending);
    return writer->target + (writer->pending_bits > 0);
}

/* More than 56 bits a value: in two halves. */
static uint8_t *pack_wide(const uint64_t *values, size_t count, unsigned width, uint8_t *target)
{
    struct bit_writer writer = {.target = target};
    for (size_t i = 0; i < count; i++) {
        uint64_t high = values[i] >> 32;
        if (width < 64)
            high &= (UINT64_C(1) << (width - 32)) - 1;
        bit_writer_add(&writer, (uint32_t)values[i], 32);
        bit_writer_add(&writer, high, width - 32);
    }
    return bit_writer_end(&writer);
}

static uint8_t *loop_pack(const uint64_t *values, size_t count, unsigned width, uint8_t *target)
{
    if (width == 0)
        return target;
    if (width > 56)
        return pack_wide(values, count, width, target);

    /* The writer's step is a chain of dependent operations: join values before it. */
    struct bit_writer writer = {.target = target};
    uint64_t mask = (UINT64_C(1) << width) - 1;
    size_t i = 0;
    if (width <= 14)
        for (; i + 4 <= count; i += 4) {
            uint64_t low = (values[i] & mask) | (values[i + 1] & mask) << width;
            uint64_t high = (values[i + 2] & mask) | (values[i + 3] & mask) << width;
            bit_writer_add(&writer, low | high << (2 * width), 4 * width);
        }
    if (width <= 28)
        for (; i + 2 <= count; i += 2)
            bit_writer_add(&writer, (values[i] & mask) | (values[i + 1] & mask) << width,
                           2 * width);
    for (; i < count; i++)
        bit_writer_add(&writer, values[i] & mask, width);
    return bit_writer_end(&writer);
}

static uint8_t *loop_pack_unary(const uint64_t *values, size_t count, unsigned shift,
                                uint8_t *target)
{
    uint64_t word = 0;
    unsigned position = 0;
    for (size_t i = 0; i < count; i++) {
        position += (unsigned)(values[i] >> shift);
        if (position >= 64) {
            store_u64(target, word);
            target += 8;
            word = 0;
            position -= 64;
        }
        word |= UINT64_C(1) << position;
        position++;
        if (position == 64) {
            store_u64(target, word);
            target += 8;
            word = 0;
            position = 0;
        }
    }
    store_u64(target, word);
    return target + (position + 7) / 8;
}

/* --- Decoding -------------------------------------------------------------------------------- */

static inline uint64_t load_bits(const uint8_t *bytes, size_t bit, unsigned width, uint64_t mask)
{
    unsigned shift = bit % 8;
    uint64_t word = load_u64(bytes + bit / 8) >> shift;
    if (shift + width > 64)
        word |= (uint64_t)bytes[bit / 8 + 8] << (64 - shift);
    return word & mask;
}

/* Values from `first` on, of which the last may be close to the end of what can be read. */
static void unpack_from(const uint8_t *bytes, const uint8_t *end, size_t first, size_t count,
                        unsigned width, uint64_t *values)
{
    uint64_t mask = width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
    size_t readable = (size_t)(end - bytes);
    size_t i = first;
    for (; i < count && i * width / 8 + 9 <= readable; i++)
        values[i] = load_bits(bytes, i * width, width, mask);
    if (i == count)
        return;

    /* Fewer than 9 bytes are left; give them something to be followed by. */
    uint8_t tail[24] = {0};
    size_t skipped = i * width / 8;
    memcpy(tail, bytes + skipped, readable - skipped);
    for (; i < count; i++)
        values[i] = load_bits(tail, i * width - skipped * 8, width, mask);
}

__attribute__((unused)) static void loop_unpack(const uint8_t *bytes, const uint8_t *end,
                                                size_t count, unsigned width, uint64_t *values)
{
    if (width == 0)
        memset(values, 0, count * sizeof *values);
    else
        unpack_from(bytes, end, 0, count, width, values);
}

static inline uint64_t load_partial(const uint8_t *bytes, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, bytes, size);
    return word;
}

/* values[i] += (the zeros in front of the one at ends[i + 1]) << shift. */
static void add_quotients(const uint32_t *ends, size_t count, unsigned shift, uint64_t *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] += (uint64_t)(ends[i + 1] - ends[i] - 1) << shift;
}

__attribute__((unused)) static const uint8_t *loop_unpack_unary(const uint8_t *bytes,
                                                                const uint8_t *end, size_t count,
                                                                unsigned shift, uint32_t *ends,
                                                                uint64_t *values)
{
    /* ends[i + 1]: the bit that ends value i. Each word of 64 bits adds its ones, four at a time
     * whether they are there or not; the next word overwrites those that are not. */
    ends[0] = UINT32_MAX;
    size_t found = 0;
    uint32_t origin = 0;
    const uint8_t *position = bytes;
    while (found < count) {
        size_t left = (size_t)(end - position);
        if (left == 0)
            return NULL;
        uint64_t word = left >= 8 ? load_u64(position) : load_partial(position, left);
        position += left >= 8 ? 8 : left;
        unsigned ones = (unsigned)__builtin_popcountll(word);
        uint32_t *next = ends + 1 + found;
        for (unsigned i = 0; i < ones; i += 4) {
            for (unsigned step = 0; step < 4; step++) {
                next[i + step] = origin + lowest_bit(word);
                word &= word - 1;
            }
        }
        found += ones;
        origin += 64;
    }
    add_quotients(ends, count, shift, values);
    return bytes + ends[count] / 8 + 1;
}

__attribute__((unused)) static void loop_integrate(const struct residual_form *form, size_t count,
                                                   int64_t *values)
{
    uint64_t sum = form->first;
    uint64_t difference = form->difference;
    for (size_t i = 0; i < count; i++) {
        uint64_t step = undo_residual((uint64_t)values[i], form) * form->factor;
        switch (form->order) {
        case 0:
            sum = form->first + step;
            break;
        case 1:
            sum += step;
            break;
        default:
            difference += step;
            sum += difference;
        }
        values[i] = (int64_t)sum;
    }
}

__attribute__((unused)) static void loop_unscale(const int64_t *scaled, size_t count,
                                                 unsigned exponent, double *values)
{
    double power = POWERS_OF_TEN[exponent];
    for (size_t i = 0; i < count; i++) {
        double shifted = double_from_bits((uint64_t)scaled[i] + ROUNDING_MAGIC_BITS);
        values[i] = (shifted - ROUNDING_MAGIC) / power;
    }
}

static void loop_fill(double value, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = value;
}

__attribute__((unused)) static void
loop_expand_runs(const double *run_values, const uint64_t *starts, size_t count, double *values)
{
    size_t begun = 0;
    for (size_t i = 0; i < count; i++) {
        begun += starts[i / 64] >> (i % 64) & 1;
        values[i] = run_values[begun - 1];
    }
}

#endif
