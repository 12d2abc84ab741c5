#include "integer_stream.h"

#include <assert.h>

#include "residual_stream.h"

/* --- Format ------------------------------------------------------------------------------- */

/* The bits that residual_stream leaves of the code byte. */
enum {
    CODE_FACTOR = 0x20,
    CODE_ORDER_SHIFT = 6,
    ORDER_MAX = 2,
};

/* --- Common divisor ----------------------------------------------------------------------- */

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static uint64_t common_divisor_of_two(uint64_t left, uint64_t right)
{
    while (right != 0) {
        uint64_t rest = left % right;
        left = right;
        right = rest;
    }
    return left;
}

/* The greatest common divisor of the differences; 1 as soon as there is none. */
static uint64_t common_divisor(const int64_t *differences, size_t count)
{
    uint64_t divisor = 0;
    int64_t previous = 0;
    for (size_t i = 0; i < count && divisor != 1; i++) {
        if (differences[i] == previous)
            continue;
        previous = differences[i];
        uint64_t size = magnitude(previous);
        bool divides = (divisor & (divisor - 1)) == 0 && (size & (divisor - 1)) == 0;
        if (divisor == 0 || !divides)
            divisor = common_divisor_of_two(size, divisor);
    }
    /* Above 2^62 a quotient could not be told from its wrapped-around sibling. */
    return divisor > UINT64_C(1) << 62 || divisor == 0 ? 1 : divisor;
}

/* The inverse of an odd number modulo 2^64, by Newton's iteration: 3 bits are right at first and
 * each step doubles them. */
static uint64_t inverse_of_odd(uint64_t odd)
{
    uint64_t inverse = odd;
    for (int step = 0; step < 5; step++)
        inverse *= 2 - odd * inverse;
    return inverse;
}

/* Exact division, hence a shift and a multiplication. */
static void divide(int64_t *differences, size_t count, uint64_t divisor)
{
    unsigned shift = (unsigned)__builtin_ctzll(divisor);
    uint64_t inverse = inverse_of_odd(divisor >> shift);
    for (size_t i = 0; i < count; i++)
        differences[i] = (int64_t)((uint64_t)(differences[i] >> shift) * inverse);
}

/* --- Choice of the order ------------------------------------------------------------------ */

struct order_choice {
    unsigned order;
    struct residual_plan plan;
};

/* Bits of all residuals without their framing; tells which orders are worth a plan. */
static void estimate_orders(struct codec_scratch *scratch, size_t count,
                            const struct codec_kernels *kernels, uint64_t estimates[ORDER_MAX + 1])
{
    int64_t center = sampled_median(scratch->orders[0], count - 1);
    estimates[0] = kernels->sum_bit_lengths(scratch->orders[0], count - 1, center);
    estimates[1] = kernels->sum_bit_lengths(scratch->orders[1], count - 1, 0);
    estimates[2] =
        count > 2 ? kernels->sum_bit_lengths(scratch->orders[2], count - 2, 0) : UINT64_MAX;
}

static struct order_choice choose_order(struct codec_scratch *scratch, size_t count,
                                        const struct codec_kernels *kernels)
{
    uint64_t estimates[ORDER_MAX + 1];
    estimate_orders(scratch, count, kernels, estimates);
    uint64_t lowest = UINT64_MAX;
    for (unsigned order = 0; order <= ORDER_MAX; order++)
        lowest = estimates[order] < lowest ? estimates[order] : lowest;

    struct order_choice best = {.plan.cost_bits = UINT64_MAX};
    for (unsigned order = 0; order <= ORDER_MAX; order++) {
        /* Constant increments have zeros in order 2 but a plan of order 1 that is as good: order
         * 1 is always looked at. */
        if (order != 1 && estimates[order] > lowest + lowest / 8)
            continue;
        size_t residuals = order == 2 ? count - 2 : count - 1;
        struct residual_plan plan =
            residual_stream_plan(scratch->orders[order], residuals, kernels, scratch);
        if (order == 2)
            plan.cost_bits += 8 * varint_size(zigzag_encode(scratch->orders[1][0]));
        if (plan.cost_bits < best.plan.cost_bits)
            best = (struct order_choice){.order = order, .plan = plan};
    }
    return best;
}

/* --- Encoding ----------------------------------------------------------------------------- */

static void sum_up(const int64_t *differences, size_t count, int64_t *offsets)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (uint64_t)differences[i];
        offsets[i] = (int64_t)sum;
    }
}

uint8_t *integer_stream_encode(const int64_t *values, size_t count,
                               const struct codec_kernels *kernels, struct codec_scratch *scratch,
                               uint8_t *target)
{
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    if (count == 1)
        return varint_store(target, zigzag_encode(values[0]));

    int64_t *differences = scratch->orders[1];
    kernels->subtract(values, count, differences);
    uint64_t divisor = common_divisor(differences, count - 1);
    if (divisor > 1)
        divide(differences, count - 1, divisor);
    sum_up(differences, count - 1, scratch->orders[0]);
    kernels->subtract(differences, count - 1, scratch->orders[2]);
    struct order_choice choice = choose_order(scratch, count, kernels);

    *target++ = (uint8_t)(choice.order << CODE_ORDER_SHIFT | (divisor > 1 ? CODE_FACTOR : 0) |
                          residual_plan_code(&choice.plan));
    if (divisor > 1)
        target = varint_store(target, divisor);
    target = varint_store(target, zigzag_encode(values[0]));
    if (choice.order == 2)
        target = varint_store(target, zigzag_encode(differences[0]));
    return residual_stream_emit(&choice.plan, scratch->orders[choice.order],
                                choice.order == 2 ? count - 2 : count - 1, kernels, scratch,
                                target);
}

/* --- Decoding ----------------------------------------------------------------------------- */

enum error_code integer_stream_decode(struct byte_reader *reader, size_t count,
                                      const struct codec_kernels *kernels,
                                      struct codec_scratch *scratch, int64_t *values,
                                      struct error *error)
{
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    if (count == 1) {
        values[0] = byte_reader_zigzag(reader);
        return reader->failed ? error_set(error, ERROR_CORRUPT, "chunk: integer cut short")
                              : ERROR_NONE;
    }
    uint8_t code = byte_reader_u8(reader);
    struct residual_form form = {.order = code >> CODE_ORDER_SHIFT, .factor = 1};
    if (form.order > ORDER_MAX || (form.order == 2 && count == 2))
        return error_set(error, ERROR_UNSUPPORTED, "chunk: integer code 0x%02x", code);
    if (code & CODE_FACTOR)
        form.factor = byte_reader_varint(reader);
    form.first = (uint64_t)byte_reader_zigzag(reader);
    size_t known = 1;
    values[0] = (int64_t)form.first;
    if (form.order == 2) {
        form.difference = (uint64_t)byte_reader_zigzag(reader) * form.factor;
        form.first += form.difference;
        values[known++] = (int64_t)form.first;
    }
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "chunk: integer header cut short");

    enum error_code result = residual_stream_decode(reader, code, count - known, kernels, scratch,
                                                    (uint64_t *)values + known, &form, error);
    if (result == ERROR_NONE)
        kernels->integrate(&form, count - known, values + known);
    return result;
}
