/* The kernels for x86-64-v3; see CMakeLists.txt for the instruction set it is compiled for. */
#if defined(__x86_64__)

#include <immintrin.h>

#include "kernel_loops.h"
#include "unary_table.h"

enum { LANES = 4 };

static inline __m256i load4(const void *source)
{
    return _mm256_loadu_si256((const __m256i *)source);
}

static inline void store4(void *target, __m256i value)
{
    _mm256_storeu_si256((__m256i *)target, value);
}

/* One bit a lane, from its topmost bit. */
static inline uint64_t lane_bits(__m256i value)
{
    return (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(value));
}

/* --- Encoding ----------------------------------------------------------------------------- */

static size_t vector_find_runs(const double *values, size_t count, uint64_t *starts)
{
    memset(starts, 0, BITMAP_WORDS * sizeof *starts);
    starts[0] = 1;
    size_t runs = 1;
    /* The value 0 goes first, so that groups of four never cross a word of the bitmap. */
    size_t i = 1;
    for (; i < count && i < LANES; i++) {
        uint64_t differs = double_to_bits(values[i]) != double_to_bits(values[i - 1]);
        starts[0] |= differs << i;
        runs += differs;
    }
    for (; i + LANES <= count; i += LANES) {
        __m256i same = _mm256_cmpeq_epi64(load4(values + i), load4(values + i - 1));
        uint64_t differs = lane_bits(same) ^ 0xf;
        starts[i / 64] |= differs << (i % 64);
        runs += (size_t)__builtin_popcountll(differs);
    }
    for (; i < count; i++) {
        uint64_t differs = double_to_bits(values[i]) != double_to_bits(values[i - 1]);
        starts[i / 64] |= differs << (i % 64);
        runs += differs;
    }
    return runs;
}

static size_t vector_scale(const double *values, size_t count, unsigned exponent, int64_t *scaled,
                           uint64_t *failures)
{
    const __m256d power = _mm256_set1_pd(POWERS_OF_TEN[exponent]);
    const __m256d magic = _mm256_set1_pd(ROUNDING_MAGIC);
    const __m256d limit = _mm256_set1_pd((double)SCALED_LIMIT);
    const __m256d sign = _mm256_set1_pd(-0.0);
    memset(failures, 0, BITMAP_WORDS * sizeof *failures);
    size_t failed = 0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256d value = _mm256_loadu_pd(values + i);
        __m256d product = _mm256_mul_pd(value, power);
        __m256d shifted = _mm256_add_pd(product, magic);
        __m256d back = _mm256_sub_pd(shifted, magic);
        if (exponent > 0)
            back = _mm256_div_pd(back, power);
        __m256d within = _mm256_cmp_pd(_mm256_andnot_pd(sign, product), limit, _CMP_LT_OQ);
        __m256i equal = _mm256_cmpeq_epi64(_mm256_castpd_si256(back), _mm256_castpd_si256(value));
        store4(scaled + i,
               _mm256_sub_epi64(_mm256_castpd_si256(shifted), _mm256_castpd_si256(magic)));
        uint64_t bad = lane_bits(_mm256_and_si256(equal, _mm256_castpd_si256(within))) ^ 0xf;
        failures[i / 64] |= bad << (i % 64);
        failed += (size_t)__builtin_popcountll(bad);
    }
    for (; i < count; i++) {
        uint64_t bad = !scale_value(values[i], POWERS_OF_TEN[exponent], &scaled[i]);
        failures[i / 64] |= bad << (i % 64);
        failed += bad;
    }
    return failed;
}

/* Zigzag of four; AVX2 has no arithmetic shift of 64 bits. */
static inline __m256i zigzag_encode4(__m256i value)
{
    __m256i sign = _mm256_cmpgt_epi64(_mm256_setzero_si256(), value);
    return _mm256_xor_si256(_mm256_slli_epi64(value, 1), sign);
}

/* The exponent of a double tells the length of its integer: up to 2^52 it has all of it. */
static uint64_t vector_sum_bit_lengths(const int64_t *values, size_t count, int64_t center)
{
    enum { EXPONENT_SHIFT = 52, EXPONENT_BIAS = 1022 };
    const __m256i middle = _mm256_set1_epi64x(center);
    const __m256i one = _mm256_set1_epi64x(1);
    const __m256d two_to_52 = _mm256_set1_pd(0x1p52);
    __m256i all = _mm256_setzero_si256();
    __m256i exponents = _mm256_setzero_si256();
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256i number = zigzag_encode4(_mm256_sub_epi64(load4(values + i), middle));
        number = _mm256_or_si256(number, one);
        all = _mm256_or_si256(all, number);
        __m256i biased = _mm256_or_si256(number, _mm256_castpd_si256(two_to_52));
        __m256d real = _mm256_sub_pd(_mm256_castsi256_pd(biased), two_to_52);
        exponents = _mm256_add_epi64(exponents,
                                     _mm256_srli_epi64(_mm256_castpd_si256(real), EXPONENT_SHIFT));
    }
    if (!_mm256_testz_si256(all, _mm256_set1_epi64x(-(INT64_C(1) << EXPONENT_SHIFT))))
        return loop_sum_bit_lengths(values, count, center);

    uint64_t sums[LANES];
    store4(sums, exponents);
    return sums[0] + sums[1] + sums[2] + sums[3] - i * EXPONENT_BIAS +
           loop_sum_bit_lengths(values + i, count - i, center);
}

/* Eight numbers below 2^31 as 32 bits, in some order. */
static inline __m256i narrow8(const uint64_t *values)
{
    __m256 low = _mm256_castsi256_ps(load4(values));
    __m256 high = _mm256_castsi256_ps(load4(values + LANES));
    return _mm256_castps_si256(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
}

/* Exponents of eight numbers as floats. Where only the topmost of neighbouring ones stays, no
 * rounding goes up to the next power of two. */
static inline __m256i exponents8(const uint64_t *values)
{
    enum { EXPONENT_SHIFT = 23 };
    __m256i number = narrow8(values);
    number = _mm256_andnot_si256(_mm256_srli_epi32(number, 1), number);
    return _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(number)), EXPONENT_SHIFT);
}

/* A byte for each of 32 numbers below 2^31, in some order: its bit length. */
static inline __m256i bit_lengths32(const uint64_t *values)
{
    enum { EXPONENT_BIAS = 126 };
    __m256i low = _mm256_packus_epi32(exponents8(values), exponents8(values + 8));
    __m256i high = _mm256_packus_epi32(exponents8(values + 16), exponents8(values + 24));
    return _mm256_subs_epu8(_mm256_packus_epi16(low, high), _mm256_set1_epi8(EXPONENT_BIAS));
}

/* How many of the bytes are `wanted`. */
static inline uint32_t count_equal(const __m256i *bytes, size_t blocks, unsigned wanted)
{
    const __m256i pattern = _mm256_set1_epi8((char)wanted);
    __m256i sums = _mm256_setzero_si256(); /* at most 15 blocks: no byte overflows */
    for (size_t i = 0; i < blocks; i++)
        sums = _mm256_sub_epi8(sums, _mm256_cmpeq_epi8(bytes[i], pattern));
    __m256i parts = _mm256_sad_epu8(sums, _mm256_setzero_si256());
    __m128i halves =
        _mm_add_epi64(_mm256_castsi256_si128(parts), _mm256_extracti128_si256(parts, 1));
    return (uint32_t)(_mm_cvtsi128_si64(halves) + _mm_extract_epi64(halves, 1));
}

static unsigned vector_count_bit_lengths(const uint64_t *values, size_t count, unsigned longest,
                                         uint32_t lengths[BIT_LENGTHS])
{
    enum { LONGEST_NARROW = 31, BLOCK = 32, BLOCKS_MAX = (CHUNK_SAMPLES_MAX + BLOCK - 1) / BLOCK };
    if (longest > LONGEST_NARROW)
        return loop_count_bit_lengths(values, count, longest, lengths);

    __m256i bytes[BLOCKS_MAX];
    size_t blocks = 0;
    size_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK)
        bytes[blocks++] = bit_lengths32(values + i);
    size_t rest = count - i;
    if (rest > 0) {
        uint64_t padded[BLOCK] = {0};
        memcpy(padded, values + i, rest * sizeof *values);
        bytes[blocks++] = bit_lengths32(padded);
    }

    size_t above = 0;
    for (unsigned length = longest;; length--) {
        lengths[length] = count_equal(bytes, blocks, length);
        if (length == 0)
            lengths[0] -= (uint32_t)(blocks * BLOCK - count); /* the padding */
        above += lengths[length];
        if (above * 2 > count || length == 0)
            return length;
    }
}

/* --- Decoding ----------------------------------------------------------------------------- */

/* How four values are picked out of two pieces of 16 bytes, two values each. */
struct unpack_group {
    size_t offsets[2]; /* of the pieces, in bytes */
    __m256i pick;      /* bytes of each value into its lane */
    __m256i shift;     /* bits of the lane in front of the value */
};

static struct unpack_group make_group(unsigned first_bit, unsigned width)
{
    const uint64_t EACH_BYTE = UINT64_C(0x0101010101010101);
    const uint64_t EIGHT_BYTES = UINT64_C(0x0706050403020100);
    struct unpack_group group;
    uint64_t pick[LANES];
    uint64_t shift[LANES];
    for (unsigned lane = 0; lane < LANES; lane++) {
        unsigned piece_bit = first_bit + lane / 2 * 2 * width;
        unsigned bit = piece_bit % 8 + lane % 2 * width;
        group.offsets[lane / 2] = piece_bit / 8;
        pick[lane] = bit / 8 * EACH_BYTE + EIGHT_BYTES;
        shift[lane] = bit % 8;
    }
    group.pick = load4(pick);
    group.shift = load4(shift);
    return group;
}

static inline __m256i unpack_four(const uint8_t *bytes, const struct unpack_group *group,
                                  __m256i mask)
{
    __m128i low = _mm_loadu_si128((const __m128i *)(bytes + group->offsets[0]));
    __m128i high = _mm_loadu_si128((const __m128i *)(bytes + group->offsets[1]));
    __m256i pieces = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    __m256i lanes = _mm256_shuffle_epi8(pieces, group->pick);
    return _mm256_and_si256(_mm256_srlv_epi64(lanes, group->shift), mask);
}

static void vector_unpack(const uint8_t *bytes, const uint8_t *end, size_t count, unsigned width,
                          uint64_t *values)
{
    enum { WIDTH_MAX = 57, GROUP = 8 };
    if (width == 0 || width > WIDTH_MAX || count < GROUP) {
        loop_unpack(bytes, end, count, width, values);
        return;
    }
    /* Eight values take `width` bytes, so that each eight are picked in the same way. */
    const struct unpack_group first = make_group(0, width);
    const struct unpack_group second = make_group(4 * width, width);
    const __m256i mask = _mm256_set1_epi64x((int64_t)((UINT64_C(1) << width) - 1));
    size_t touched = second.offsets[1] + 16;
    size_t i = 0;
    for (; i + GROUP <= count; i += GROUP) {
        const uint8_t *group = bytes + i / GROUP * width;
        if ((size_t)(end - group) < touched)
            break;
        store4(values + i, unpack_four(group, &first, mask));
        store4(values + i + LANES, unpack_four(group, &second, mask));
    }
    if (i < count)
        unpack_from(bytes, end, i, count, width, values);
}

static const uint8_t *vector_unpack_unary(const uint8_t *bytes, const uint8_t *end, size_t count,
                                          unsigned shift, uint32_t *ends, uint64_t *values)
{
    /* Eight ends for each byte, of which those that are there stay. */
    ends[0] = UINT32_MAX;
    size_t found = 0;
    const uint8_t *position = bytes;
    __m256i origin = _mm256_setzero_si256();
    while (found < count) {
        if (position == end)
            return NULL;
        uint8_t byte = *position++;
        __m128i ones = _mm_loadl_epi64((const __m128i *)&ONES_OF_BYTE[byte]);
        store4(ends + 1 + found, _mm256_add_epi32(_mm256_cvtepu8_epi32(ones), origin));
        found += (size_t)__builtin_popcount(byte);
        origin = _mm256_add_epi32(origin, _mm256_set1_epi32(8));
    }
    add_quotients(ends, count, shift, values);
    return bytes + ends[count] / 8 + 1;
}

static inline __m256i zigzag_decode4(__m256i value)
{
    __m256i sign =
        _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_and_si256(value, _mm256_set1_epi64x(1)));
    return _mm256_xor_si256(_mm256_srli_epi64(value, 1), sign);
}

/* Each lane plus all lanes below it. */
static inline __m256i prefix_sum4(__m256i value)
{
    __m256i pairs = _mm256_add_epi64(value, _mm256_slli_si256(value, 8));
    __m256i low_total = _mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(1, 1, 1, 1));
    __m256i carried = _mm256_blend_epi32(_mm256_setzero_si256(), low_total, 0xf0);
    return _mm256_add_epi64(pairs, carried);
}

static inline __m256i last_lane(__m256i value)
{
    return _mm256_permute4x64_epi64(value, _MM_SHUFFLE(3, 3, 3, 3));
}

/* Products modulo 2^64, from products of 32 bits. */
static inline __m256i multiply4(__m256i left, __m256i right)
{
    __m256i crossed = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(left, 32), right),
                                       _mm256_mul_epu32(left, _mm256_srli_epi64(right, 32)));
    return _mm256_add_epi64(_mm256_mul_epu32(left, right), _mm256_slli_epi64(crossed, 32));
}

/* One of the loops below, as `order`, `zigzag` and `scaled` are constants where it is inlined. May
 * run into the slack behind the last value. */
static inline __attribute__((always_inline)) void integrate_as(const struct residual_form *form,
                                                               unsigned order, bool zigzag,
                                                               bool scaled, size_t count,
                                                               int64_t *values)
{
    const __m256i base = _mm256_set1_epi64x((int64_t)form->base);
    const __m256i factor = _mm256_set1_epi64x((int64_t)form->factor);
    __m256i sum = _mm256_set1_epi64x((int64_t)form->first);
    __m256i difference = _mm256_set1_epi64x((int64_t)form->difference);
    for (size_t i = 0; i < count; i += LANES) {
        __m256i step = load4(values + i);
        if (zigzag)
            step = zigzag_decode4(step);
        step = _mm256_add_epi64(step, base);
        if (scaled)
            step = multiply4(step, factor);
        if (order == 2) {
            __m256i rising = prefix_sum4(step);
            step = _mm256_add_epi64(rising, difference);
            difference = _mm256_add_epi64(difference, last_lane(rising));
        }
        if (order > 0)
            step = prefix_sum4(step);
        store4(values + i, _mm256_add_epi64(step, sum));
        if (order > 0)
            sum = _mm256_add_epi64(sum, last_lane(step));
    }
}

static inline __attribute__((always_inline)) void
integrate_order(const struct residual_form *form, unsigned order, size_t count, int64_t *values)
{
    if (form->factor != 1)
        integrate_as(form, order, form->zigzag, true, count, values);
    else if (form->zigzag)
        integrate_as(form, order, true, false, count, values);
    else
        integrate_as(form, order, false, false, count, values);
}

static void vector_integrate(const struct residual_form *form, size_t count, int64_t *values)
{
    switch (form->order) {
    case 0:
        integrate_order(form, 0, count, values);
        return;
    case 1:
        integrate_order(form, 1, count, values);
        return;
    default:
        integrate_order(form, 2, count, values);
    }
}

static void vector_unscale(const int64_t *scaled, size_t count, unsigned exponent, double *values)
{
    const __m256d power = _mm256_set1_pd(POWERS_OF_TEN[exponent]);
    const __m256d magic = _mm256_set1_pd(ROUNDING_MAGIC);
    const __m256i magic_bits = _mm256_set1_epi64x((int64_t)ROUNDING_MAGIC_BITS);
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        __m256i shifted = _mm256_add_epi64(load4(scaled + i), magic_bits);
        __m256d value = _mm256_sub_pd(_mm256_castsi256_pd(shifted), magic);
        if (exponent > 0)
            value = _mm256_div_pd(value, power);
        _mm256_storeu_pd(values + i, value);
    }
    loop_unscale(scaled + i, count - i, exponent, values + i);
}

/* For four values, by which of the last three begin a run: halves of the doubles to take, counted
 * from the run of the first one. */
#define HALVES(second, third, fourth)                                                              \
    {                                                                                              \
        0, 1, 2 * (second), 2 * (second) + 1, 2 * (third), 2 * (third) + 1, 2 * (fourth),          \
            2 * (fourth) + 1                                                                       \
    }

static const uint32_t HALVES_OF_RUNS[8][8] = {
    HALVES(0, 0, 0), HALVES(1, 1, 1), HALVES(0, 1, 1), HALVES(1, 2, 2),
    HALVES(0, 0, 1), HALVES(1, 1, 2), HALVES(0, 1, 2), HALVES(1, 2, 3),
};

static void vector_expand_runs(const double *run_values, const uint64_t *starts, size_t count,
                               double *values)
{
    size_t begun = 0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        unsigned bits = starts[i / 64] >> (i % 64) & 0xf;
        const double *runs = run_values + begun + (bits & 1) - 1;
        __m256i taken = _mm256_permutevar8x32_epi32(load4(runs), load4(HALVES_OF_RUNS[bits >> 1]));
        store4(values + i, taken);
        begun += (size_t)__builtin_popcount(bits);
    }
    for (; i < count; i++) {
        begun += starts[i / 64] >> (i % 64) & 1;
        values[i] = run_values[begun - 1];
    }
}

const struct codec_kernels CODEC_KERNELS_AVX2 = {
    .find_runs = vector_find_runs,
    .scale = vector_scale,
    .subtract = loop_subtract,
    .find_range = loop_find_range,
    .sum_bit_lengths = vector_sum_bit_lengths,
    .make_residuals = loop_make_residuals,
    .count_bit_lengths = vector_count_bit_lengths,
    .sum_quotients = loop_sum_quotients,
    .sum_small_quotients = loop_sum_small_quotients,
    .pack = loop_pack,
    .pack_unary = loop_pack_unary,
    .unpack = vector_unpack,
    .unpack_unary = vector_unpack_unary,
    .integrate = vector_integrate,
    .unscale = vector_unscale,
    .fill = loop_fill,
    .expand_runs = vector_expand_runs,
};

#endif
