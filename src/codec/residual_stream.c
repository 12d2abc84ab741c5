#include "residual_stream.h"

#include <assert.h>
#include <string.h>

#include "packed_array.h"

/* --- Format ------------------------------------------------------------------------------- */

enum {
    RICE_WIDTH_MAX = 56,
    RICE_QUOTIENT_LIMIT = 1 << RICE_QUOTIENT_BITS,
};

/* --- Planning ----------------------------------------------------------------------------- */

/* Values of which the median of a column is guessed, and room to sort them. */
enum { MEDIAN_SAMPLES = 15, MEDIAN_PLACES = 16 };

/* Bits of code, width and base. */
static uint64_t header_bits(int64_t base)
{
    return 16 + (base == 0 ? 0 : 8 * varint_size(zigzag_encode(base)));
}

/* A patch of a value of that length: the position is mostly one byte. */
static uint64_t patch_bits(unsigned length)
{
    return 10 + 8 * ((length + 6) / 7);
}

/* The number of patches stored in front of them. */
enum { PATCH_COUNT_BITS = 8 };

struct length_counts {
    uint32_t of[BIT_LENGTHS]; /* values by bit length, from the median to the longest */
    unsigned longest;
    unsigned median;
};

/* Fixed width: from the longest value downwards, what does not fit becomes a patch. */
static void consider_fixed(const struct length_counts *counts, size_t count,
                           struct residual_plan candidate, struct residual_plan *best)
{
    uint64_t header = header_bits(candidate.base);
    uint64_t patches_bits = 0;
    size_t patches = 0;
    for (unsigned width = counts->longest;; width--) {
        uint64_t cost =
            header + count * width + patches_bits + (patches > 0 ? PATCH_COUNT_BITS : 0);
        if (cost < best->cost_bits) {
            *best = candidate;
            best->method = RESIDUAL_FIXED;
            best->width = width;
            best->patched = patches > 0;
            best->cost_bits = cost;
        }
        patches += counts->of[width];
        patches_bits += counts->of[width] * patch_bits(width);
        if (width == 0 || patches > count / 4)
            return;
    }
}

/* Low bits of fixed width and the rest in unary, for some widths around the median length. */
static void consider_rice(const struct length_counts *counts, size_t count,
                          const uint64_t *residuals, const struct codec_kernels *kernels,
                          struct residual_plan candidate, struct residual_plan *best)
{
    uint64_t header = header_bits(candidate.base);
    unsigned first = counts->median > 2 ? counts->median - 2 : 0;
    for (unsigned width = first; width <= counts->median + 1 && width <= RICE_WIDTH_MAX; width++) {
        uint64_t cost = header + count * (width + 1);
        size_t patches = 0;
        for (unsigned length = width + RICE_QUOTIENT_BITS + 1; length <= counts->longest;
             length++) {
            patches += counts->of[length];
            cost += counts->of[length] * patch_bits(length);
        }
        cost += patches > 0 ? PATCH_COUNT_BITS : 0;
        if (cost >= best->cost_bits)
            continue;
        cost += patches > 0 ? kernels->sum_small_quotients(residuals, count, width)
                            : kernels->sum_quotients(residuals, count, width);
        if (cost >= best->cost_bits)
            continue;
        *best = candidate;
        best->method = RESIDUAL_RICE;
        best->width = width;
        best->patched = patches > 0;
        best->cost_bits = cost;
    }
}

static void consider_base(const int64_t *values, size_t count, int64_t base, bool zigzag,
                          const struct codec_kernels *kernels, struct codec_scratch *scratch,
                          struct residual_plan *best)
{
    uint64_t *residuals = scratch->candidates[0];
    struct length_counts counts;
    uint64_t all = kernels->make_residuals(values, count, base, zigzag, residuals);
    counts.longest = all == 0 ? 0 : 64 - (unsigned)__builtin_clzll(all);
    counts.median = kernels->count_bit_lengths(residuals, count, counts.longest, counts.of);
    struct residual_plan candidate = {.base = base, .zigzag = zigzag};
    consider_fixed(&counts, count, candidate, best);
    consider_rice(&counts, count, residuals, kernels, candidate, best);
}

/* Batcher's odd-even merge sort of 16 numbers, a line for each step: no branch depends on the
 * values, and the pairs of a step do not wait for each other. */
/* clang-format off */
static const uint8_t SORTING_NETWORK[][2] = {
    {0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12, 13}, {14, 15},
    {0, 2}, {1, 3}, {4, 6}, {5, 7}, {8, 10}, {9, 11}, {12, 14}, {13, 15},
    {1, 2}, {5, 6}, {9, 10}, {13, 14},
    {0, 4}, {1, 5}, {2, 6}, {3, 7}, {8, 12}, {9, 13}, {10, 14}, {11, 15},
    {2, 4}, {3, 5}, {10, 12}, {11, 13},
    {1, 2}, {3, 4}, {5, 6}, {9, 10}, {11, 12}, {13, 14},
    {0, 8}, {1, 9}, {2, 10}, {3, 11}, {4, 12}, {5, 13}, {6, 14}, {7, 15},
    {4, 8}, {5, 9}, {6, 10}, {7, 11},
    {2, 4}, {3, 5}, {6, 8}, {7, 9}, {10, 12}, {11, 13},
    {1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}, {13, 14},
};
/* clang-format on */

static void sort_samples(int64_t samples[MEDIAN_PLACES])
{
    enum { PAIRS = sizeof SORTING_NETWORK / sizeof *SORTING_NETWORK };
#pragma GCC unroll 63
    for (size_t i = 0; i < PAIRS; i++) {
        int64_t low = samples[SORTING_NETWORK[i][0]];
        int64_t high = samples[SORTING_NETWORK[i][1]];
        samples[SORTING_NETWORK[i][0]] = low < high ? low : high;
        samples[SORTING_NETWORK[i][1]] = low < high ? high : low;
    }
}

/* Some of the values, evenly taken and sorted; returns how many. */
static size_t sample_sorted(const int64_t *values, size_t count, int64_t sorted[MEDIAN_PLACES])
{
    size_t samples = count < MEDIAN_SAMPLES ? count : MEDIAN_SAMPLES;
    if (samples == MEDIAN_SAMPLES)
        for (size_t i = 0; i < MEDIAN_SAMPLES; i++)
            sorted[i] = values[i * count / MEDIAN_SAMPLES];
    else
        memcpy(sorted, values, samples * sizeof *values);
    for (size_t i = samples; i < MEDIAN_PLACES; i++)
        sorted[i] = INT64_MAX; /* stays behind */
    sort_samples(sorted);
    return samples;
}

int64_t sampled_median(const int64_t *values, size_t count)
{
    int64_t sorted[MEDIAN_PLACES];
    return sorted[sample_sorted(values, count, sorted) / 2];
}

/* The middle of the values, and whether zero may be as good a middle: when it is no farther away
 * than the values scatter. */
struct center {
    int64_t median;
    bool near_zero;
};

static struct center find_center(const int64_t *values, size_t count)
{
    int64_t sorted[MEDIAN_PLACES];
    size_t samples = sample_sorted(values, count, sorted);
    int64_t median = sorted[samples / 2];
    uint64_t scatter = (uint64_t)sorted[samples - 1 - samples / 4] - (uint64_t)sorted[samples / 4];
    uint64_t distance = median < 0 ? 0 - (uint64_t)median : (uint64_t)median;
    bool few = samples == count; /* then all is tried, for little time */
    return (struct center){.median = median, .near_zero = few || distance <= scatter};
}

struct residual_plan residual_stream_plan(const int64_t *values, size_t count,
                                          const struct codec_kernels *kernels,
                                          struct codec_scratch *scratch)
{
    struct residual_plan best = {.method = RESIDUAL_CONSTANT, .cost_bits = 8};
    if (count == 0)
        return best;

    int64_t minimum;
    int64_t maximum;
    kernels->find_range(values, count, &minimum, &maximum);
    if (minimum == maximum) {
        best.base = minimum;
        best.cost_bits = header_bits(minimum) - 8;
        return best;
    }

    best.cost_bits = UINT64_MAX;
    int64_t lowest = minimum >= 0 && minimum < 4 ? 0 : minimum;
    consider_base(values, count, lowest, false, kernels, scratch, &best);
    struct center center = find_center(values, count);
    if (center.near_zero)
        consider_base(values, count, 0, true, kernels, scratch, &best);
    if (center.median != 0)
        consider_base(values, count, center.median, true, kernels, scratch, &best);
    return best;
}

/* --- Encoding ----------------------------------------------------------------------------- */

static bool needs_patch(const struct residual_plan *plan, uint64_t residual)
{
    if (plan->method == RESIDUAL_FIXED)
        return plan->width < 64 && residual >> plan->width != 0;
    return residual >> plan->width >= RICE_QUOTIENT_LIMIT;
}

/* Patches leave a zero in the body. Returns the end of the patches written. */
static uint8_t *emit_patches(const struct residual_plan *plan, uint64_t *residuals, size_t count,
                             uint8_t *target)
{
    size_t patches = 0;
    for (size_t i = 0; i < count; i++)
        patches += needs_patch(plan, residuals[i]);
    target = varint_store(target, patches);
    size_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        if (!needs_patch(plan, residuals[i]))
            continue;
        target = varint_store(target, i - previous);
        target = varint_store(target, residuals[i]);
        residuals[i] = 0;
        previous = i;
    }
    return target;
}

uint8_t residual_plan_code(const struct residual_plan *plan)
{
    return (uint8_t)(plan->method | (plan->zigzag ? RESIDUAL_ZIGZAG : 0) |
                     (plan->base != 0 ? RESIDUAL_BASE : 0) |
                     (plan->patched ? RESIDUAL_PATCHED : 0));
}

uint8_t *residual_stream_emit(const struct residual_plan *plan, const int64_t *values, size_t count,
                              const struct codec_kernels *kernels, struct codec_scratch *scratch,
                              uint8_t *target)
{
    if (plan->method != RESIDUAL_CONSTANT)
        *target++ = (uint8_t)plan->width;
    if (plan->base != 0)
        target = varint_store(target, zigzag_encode(plan->base));
    if (plan->method == RESIDUAL_CONSTANT)
        return target;

    uint64_t *residuals = scratch->candidates[0];
    kernels->make_residuals(values, count, plan->base, plan->zigzag, residuals);
    if (plan->patched)
        target = emit_patches(plan, residuals, count, target);
    target = kernels->pack(residuals, count, plan->width, target);
    if (plan->method == RESIDUAL_RICE)
        target = kernels->pack_unary(residuals, count, plan->width, target);
    return target;
}

/* --- Decoding ----------------------------------------------------------------------------- */

static enum error_code decode_body(struct byte_reader *reader, size_t count,
                                   enum residual_method method, unsigned width,
                                   const struct codec_kernels *kernels,
                                   struct codec_scratch *scratch, uint64_t *residuals,
                                   struct error *error)
{
    const uint8_t *packed = byte_reader_take(reader, packed_size_bytes(count, width));
    if (packed == NULL)
        return error_set(error, ERROR_CORRUPT, "chunk: %zu packed values cut short", count);
    kernels->unpack(packed, reader->end, count, width, residuals);
    if (method == RESIDUAL_FIXED)
        return ERROR_NONE;

    _Static_assert(sizeof scratch->candidates[1] >= 8 * CHUNK_SAMPLES_MAX, "room for unary ends");
    const uint8_t *unary_end = kernels->unpack_unary(reader->position, reader->end, count, width,
                                                     (uint32_t *)scratch->candidates[1], residuals);
    if (unary_end == NULL)
        return error_set(error, ERROR_CORRUPT, "chunk: %zu unary values cut short", count);
    reader->position = unary_end;
    return ERROR_NONE;
}

/* Apply the patches that begin at the reader, which were skipped once already. */
static enum error_code apply_patches(struct byte_reader reader, size_t patches, size_t count,
                                     uint64_t *residuals, struct error *error)
{
    uint64_t position = 0;
    for (size_t i = 0; i < patches; i++) {
        uint64_t delta = byte_reader_varint(&reader);
        if (delta >= count - position)
            return error_set(error, ERROR_CORRUPT, "chunk: patch outside of %zu values", count);
        position += delta;
        residuals[position] = byte_reader_varint(&reader);
    }
    return ERROR_NONE;
}

enum error_code residual_stream_decode(struct byte_reader *reader, uint8_t code, size_t count,
                                       const struct codec_kernels *kernels,
                                       struct codec_scratch *scratch, uint64_t *residuals,
                                       struct residual_form *form, struct error *error)
{
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    enum residual_method method = code & RESIDUAL_METHOD_MASK;
    if (method > RESIDUAL_RICE)
        return error_set(error, ERROR_UNSUPPORTED, "chunk: residual code 0x%02x", code);

    unsigned width = method == RESIDUAL_CONSTANT ? 0 : byte_reader_u8(reader);
    if (width > (method == RESIDUAL_RICE ? RICE_WIDTH_MAX : 64))
        return error_set(error, ERROR_CORRUPT, "chunk: values of %u bits", width);
    form->zigzag = code & RESIDUAL_ZIGZAG;
    form->base = code & RESIDUAL_BASE ? (uint64_t)byte_reader_zigzag(reader) : 0;

    struct byte_reader patch_reader = *reader;
    uint64_t patches = 0;
    if (code & RESIDUAL_PATCHED) {
        patches = byte_reader_varint(reader);
        if (patches > count || method == RESIDUAL_CONSTANT)
            return error_set(error, ERROR_CORRUPT, "chunk: too many patches");
        patch_reader = *reader;
        for (size_t i = 0; i < 2 * patches; i++)
            byte_reader_varint(reader);
    }
    if (reader->failed)
        return error_set(error, ERROR_CORRUPT, "chunk: residual header cut short");

    if (method == RESIDUAL_CONSTANT) {
        memset(residuals, 0, count * sizeof *residuals);
        return ERROR_NONE;
    }
    enum error_code code_of_body =
        decode_body(reader, count, method, width, kernels, scratch, residuals, error);
    if (code_of_body != ERROR_NONE)
        return code_of_body;
    return apply_patches(patch_reader, patches, count, residuals, error);
}
