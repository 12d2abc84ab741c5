#include "codec/value_codec.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "integer_stream.h"
#include "residual_stream.h"
#include "value_format.h"

/* --- Decimals ----------------------------------------------------------------------------- */

enum { NOT_DECIMAL = DECIMAL_EXPONENT_MAX + 1 };

/* The smallest exponent >= `least` at which the value is an integer and comes back exactly. */
static unsigned decimal_exponent(double value, unsigned least)
{
    for (unsigned exponent = least; exponent <= DECIMAL_EXPONENT_MAX; exponent++) {
        double power = POWERS_OF_TEN[exponent];
        double product = value * power;
        if (!(fabs(product) < (double)SCALED_LIMIT))
            return NOT_DECIMAL;
        double rounded = (product + ROUNDING_MAGIC) - ROUNDING_MAGIC;
        if (double_to_bits(rounded / power) == double_to_bits(value))
            return exponent;
    }
    return NOT_DECIMAL;
}

/* What no integer stands for: NaN, infinities and -0.0. */
static bool is_special(double value)
{
    uint64_t bits = double_to_bits(value);
    return (bits & EXPONENT_BITS) == EXPONENT_BITS || bits == MINUS_ZERO_BITS;
}

/* An integer beyond SCALED_LIMIT that a 64-bit integer holds; up to 2^52 there are halves. */
static bool is_wide_integer(double value)
{
    return fabs(value) >= (double)SCALED_LIMIT && fabs(value) < 0x1p63 &&
           (double)(int64_t)value == value;
}

/* Values of a chunk that are stored beside the integers; bit i: the value i. */
struct exceptions {
    uint64_t at[BITMAP_WORDS];
    size_t count;
};

static bool bitmap_has(const uint64_t *bitmap, size_t position)
{
    return bitmap[position / 64] >> (position % 64) & 1;
}

/* Positions of the set bits: `for (size_t i = bitmap_next(m, 0, n); i < n; i = bitmap_next(m, i +
 * 1, n))`. */
static size_t bitmap_next(const uint64_t *bitmap, size_t from, size_t count)
{
    for (size_t word = from / 64; word * 64 < count; word++) {
        uint64_t bits = bitmap[word];
        if (word == from / 64)
            bits &= UINT64_MAX << (from % 64);
        if (bits != 0)
            return word * 64 + (size_t)__builtin_ctzll(bits);
    }
    return count;
}

/* How many exceptions are worth an integer form for the rest. */
static size_t special_values_max(size_t count)
{
    return count / 4 + 2;
}

static size_t odd_values_max(size_t count)
{
    return count / 32 + 1;
}

/* The exponent that the ordinary values at `failures` ask for; NOT_DECIMAL when too many of them
 * have none. */
static unsigned raise_exponent(const double *values, size_t count, const uint64_t *failures,
                               unsigned exponent)
{
    unsigned raised = exponent;
    size_t odd_values = 0;
    for (size_t i = bitmap_next(failures, 0, count); i < count;
         i = bitmap_next(failures, i + 1, count)) {
        if (is_special(values[i]) || (is_wide_integer(values[i]) && raised == 0))
            continue;
        unsigned own = decimal_exponent(values[i], raised);
        if (own != NOT_DECIMAL)
            raised = own;
        else if (++odd_values > odd_values_max(count))
            return NOT_DECIMAL;
    }
    return raised;
}

/* The exponent at which a few of the values are integers, to begin with; NOT_DECIMAL when none of
 * them ever is. */
static unsigned guess_exponent(const double *values, size_t count)
{
    const size_t probes[] = {0, count / 3, count - 1};
    unsigned guess = 0;
    bool hopeless = true;
    for (size_t i = 0; i < sizeof probes / sizeof *probes; i++) {
        double value = values[probes[i]];
        unsigned own = decimal_exponent(value, guess);
        guess = own == NOT_DECIMAL ? guess : own;
        hopeless = hopeless && own == NOT_DECIMAL && !is_special(value) && !is_wide_integer(value);
    }
    return hopeless ? NOT_DECIMAL : guess;
}

/* Give exceptions the integer of their predecessor, those in front the first one that there is. */
static void fill_gaps(int64_t *scaled, size_t count, const struct exceptions *exceptions)
{
    size_t ordinary = 0;
    while (ordinary < count && bitmap_has(exceptions->at, ordinary))
        ordinary++;
    int64_t previous = ordinary < count ? scaled[ordinary] : 0;
    for (size_t i = bitmap_next(exceptions->at, 0, count); i < count;
         i = bitmap_next(exceptions->at, i + 1, count))
        scaled[i] = i < ordinary ? previous : scaled[i - 1];
}

struct decimal_form {
    unsigned exponent;
    bool wide; /* some integers are beyond SCALED_LIMIT; the exponent is 0 then */
};

/* Turn the values into integers of 10^-exponent in scratch->scaled; false when too many of them
 * are none. */
static bool scale_to_decimals(const double *values, size_t count,
                              const struct codec_kernels *kernels, struct codec_scratch *scratch,
                              struct decimal_form *form_out, struct exceptions *exceptions)
{
    unsigned exponent = guess_exponent(values, count);
    if (exponent == NOT_DECIMAL)
        return false;
    for (;;) {
        if (kernels->scale(values, count, exponent, scratch->scaled, exceptions->at) == 0)
            break;
        unsigned raised = raise_exponent(values, count, exceptions->at, exponent);
        if (raised == NOT_DECIMAL)
            return false;
        if (raised == exponent)
            break;
        exponent = raised;
    }

    *form_out = (struct decimal_form){.exponent = exponent};
    exceptions->count = 0;
    size_t odd_values = 0;
    for (size_t i = bitmap_next(exceptions->at, 0, count); i < count;
         i = bitmap_next(exceptions->at, i + 1, count)) {
        if (exponent == 0 && is_wide_integer(values[i])) {
            scratch->scaled[i] = (int64_t)values[i];
            form_out->wide = true;
            exceptions->at[i / 64] &= ~(UINT64_C(1) << (i % 64));
            continue;
        }
        exceptions->count++;
        odd_values += !is_special(values[i]);
    }
    if (odd_values > odd_values_max(count) || exceptions->count > special_values_max(count))
        return false;
    if (exceptions->count > 0)
        fill_gaps(scratch->scaled, count, exceptions);
    return true;
}

/* --- Full-precision floats ---------------------------------------------------------------- */

/* How many pairs of neighbours decide between the forms of floats. */
static size_t float_pairs(size_t count)
{
    enum { PAIRS_MIN = 6, PAIRS_MAX = 24, VALUES_A_PAIR = 16 };
    size_t pairs = PAIRS_MIN + count / VALUES_A_PAIR;
    pairs = pairs < PAIRS_MAX ? pairs : PAIRS_MAX;
    return pairs < count - 1 ? pairs : count - 1;
}

static unsigned zigzag_length(int64_t value)
{
    return 64 - (unsigned)__builtin_clzll(zigzag_encode(value) | 1);
}

static int64_t wrapping_difference(int64_t left, int64_t right)
{
    return (int64_t)((uint64_t)left - (uint64_t)right);
}

/* A value as an integer of 10^-exponent and what is missing then, in units of the last place. */
struct adjusted_value {
    int64_t scaled;
    int64_t adjustment;
};

static struct adjusted_value adjust_value(double value, double power)
{
    int64_t scaled =
        (int64_t)(double_to_bits(value * power + ROUNDING_MAGIC) - ROUNDING_MAGIC_BITS);
    int64_t approximate = ordered_from_bits(double_to_bits((double)scaled / power));
    return (struct adjusted_value){
        .scaled = scaled,
        .adjustment = wrapping_difference(ordered_from_bits(double_to_bits(value)), approximate),
    };
}

/* Bits per pair of neighbours of the adjusted form, guessed from a few of them. */
static uint64_t guess_adjusted_bits(const double *values, size_t count, size_t pairs, double power)
{
    uint64_t bits = 0;
    for (size_t pair = 0; pair < pairs; pair++) {
        size_t i = pair * (count - 1) / pairs;
        struct adjusted_value left = adjust_value(values[i], power);
        struct adjusted_value right = adjust_value(values[i + 1], power);
        unsigned whole = zigzag_length(right.adjustment);
        unsigned change = zigzag_length(wrapping_difference(right.adjustment, left.adjustment));
        bits += zigzag_length(wrapping_difference(right.scaled, left.scaled));
        bits += whole < change ? whole : change;
    }
    return bits;
}

/* The same of the bit patterns, as differences or as distances from the middle. */
static uint64_t guess_ordered_bits(const int64_t *ordered, size_t count, size_t pairs)
{
    uint64_t changes = 0;
    uint64_t distances = 0;
    int64_t middle = sampled_median(ordered, count);
    for (size_t pair = 0; pair < pairs; pair++) {
        size_t i = pair * (count - 1) / pairs;
        changes += zigzag_length(wrapping_difference(ordered[i + 1], ordered[i]));
        distances += zigzag_length(wrapping_difference(ordered[i], middle));
    }
    return changes < distances ? changes : distances;
}

/* The exponent of the adjusted form, or NOT_DECIMAL: sums of decimals are close to one, other
 * floats are better off as they are. */
static unsigned choose_adjusted_exponent(const double *values, const int64_t *ordered, size_t count)
{
    static const unsigned CANDIDATES[] = {9, 6, 3, 2};
    size_t pairs = float_pairs(count);
    if (pairs == 0)
        return NOT_DECIMAL;

    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return NOT_DECIMAL;
        largest = fabs(values[i]) > largest ? fabs(values[i]) : largest;
    }

    unsigned best = NOT_DECIMAL;
    uint64_t least = guess_ordered_bits(ordered, count, pairs);
    for (size_t i = 0; i < sizeof CANDIDATES / sizeof *CANDIDATES; i++) {
        double power = POWERS_OF_TEN[CANDIDATES[i]];
        if (!(largest * power < (double)SCALED_LIMIT))
            continue;
        uint64_t bits = guess_adjusted_bits(values, count, pairs, power) + pairs / 2;
        if (bits < least) {
            least = bits;
            best = CANDIDATES[i];
        }
    }
    return best;
}

/* Write the values as floats; sets the kind in `header`. */
static uint8_t *encode_floats(const double *values, size_t count,
                              const struct codec_kernels *kernels, struct codec_scratch *scratch,
                              uint8_t *header, uint8_t *target)
{
    int64_t *ordered = scratch->scaled;
    for (size_t i = 0; i < count; i++)
        ordered[i] = ordered_from_bits(double_to_bits(values[i]));
    unsigned exponent = choose_adjusted_exponent(values, ordered, count);
    if (exponent == NOT_DECIMAL) {
        *header |= VALUE_PLAIN | PLAIN_BITS << HEADER_DETAIL_SHIFT;
        return integer_stream_encode(ordered, count, kernels, scratch, target);
    }

    for (size_t i = 0; i < count; i++) {
        struct adjusted_value adjusted = adjust_value(values[i], POWERS_OF_TEN[exponent]);
        scratch->scaled[i] = adjusted.scaled;
        scratch->adjustments[i] = adjusted.adjustment;
    }
    *header |= (uint8_t)(VALUE_ADJUSTED | exponent << HEADER_DETAIL_SHIFT);
    target = integer_stream_encode(scratch->scaled, count, kernels, scratch, target);
    return integer_stream_encode(scratch->adjustments, count, kernels, scratch, target);
}

/* --- Body: values that change ------------------------------------------------------------- */

static enum exception_class classify(uint64_t bits)
{
    switch (bits) {
    case STALE_MARKER_BITS:
        return EXCEPTION_STALE;
    case NORMAL_NAN_BITS:
        return EXCEPTION_NAN;
    case MINUS_ZERO_BITS:
        return EXCEPTION_MINUS_ZERO;
    default:
        return EXCEPTION_RAW;
    }
}

static uint8_t *emit_exceptions(const double *values, size_t count,
                                const struct exceptions *exceptions, uint8_t *target)
{
    target = varint_store(target, exceptions->count);
    size_t previous = 0;
    for (size_t i = bitmap_next(exceptions->at, 0, count); i < count;
         i = bitmap_next(exceptions->at, i + 1, count)) {
        uint64_t bits = double_to_bits(values[i]);
        enum exception_class class = classify(bits);
        target = varint_store(target, (i - previous) << EXCEPTION_CLASS_BITS | class);
        previous = i;
        if (class == EXCEPTION_RAW) {
            store_u64(target, bits);
            target += 8;
        }
    }
    return target;
}

/* NaN and infinities among floats that are no decimals. */
static void find_special_floats(const double *values, size_t count, struct exceptions *exceptions)
{
    *exceptions = (struct exceptions){0};
    for (size_t i = 0; i < count; i++) {
        uint64_t special = (double_to_bits(values[i]) & EXPONENT_BITS) == EXPONENT_BITS;
        exceptions->at[i / 64] |= special << (i % 64);
        exceptions->count += special;
    }
}

/* A copy of the values in which exceptions repeat the value before them. */
static const double *without_exceptions(const double *values, size_t count,
                                        const struct exceptions *exceptions,
                                        struct codec_scratch *scratch)
{
    double *ordinary = scratch->ordinary_values;
    size_t first = 0;
    while (first < count && bitmap_has(exceptions->at, first))
        first++;
    double previous = first < count ? values[first] : 0;
    for (size_t i = 0; i < count; i++) {
        if (!bitmap_has(exceptions->at, i))
            previous = values[i];
        ordinary[i] = previous;
    }
    return ordinary;
}

/* Write everything but the header byte, whose kind, detail and exceptions are set in `header`. */
static uint8_t *encode_body(const double *values, size_t count, const struct codec_kernels *kernels,
                            struct codec_scratch *scratch, uint8_t *header, uint8_t *target)
{
    struct exceptions exceptions;
    struct decimal_form form;
    if (scale_to_decimals(values, count, kernels, scratch, &form, &exceptions)) {
        *header |= (uint8_t)(form.wide ? VALUE_PLAIN | PLAIN_INTEGERS << HEADER_DETAIL_SHIFT
                                       : VALUE_DECIMAL | form.exponent << HEADER_DETAIL_SHIFT);
        if (exceptions.count > 0) {
            *header |= HEADER_EXCEPTIONS;
            target = emit_exceptions(values, count, &exceptions, target);
        }
        return integer_stream_encode(scratch->scaled, count, kernels, scratch, target);
    }

    find_special_floats(values, count, &exceptions);
    if (exceptions.count > 0 && exceptions.count <= special_values_max(count)) {
        *header |= HEADER_EXCEPTIONS;
        target = emit_exceptions(values, count, &exceptions, target);
        values = without_exceptions(values, count, &exceptions, scratch);
    }
    return encode_floats(values, count, kernels, scratch, header, target);
}

/* --- Whole: one value, or raw ------------------------------------------------------------- */

static uint8_t whole_header(unsigned detail)
{
    return (uint8_t)(VALUE_WHOLE | detail << HEADER_DETAIL_SHIFT);
}

static size_t encode_constant(double value, uint8_t *target)
{
    enum { SCALED_SHORT_BITS = 42 }; /* at most 6 bytes as zigzag */
    uint8_t *start = target;
    unsigned exponent = decimal_exponent(value, 0);
    double scaled = 0;
    if (exponent != NOT_DECIMAL)
        scaled = (value * POWERS_OF_TEN[exponent] + ROUNDING_MAGIC) - ROUNDING_MAGIC;
    if (exponent == 0 && scaled >= 0 && scaled <= WHOLE_SMALL_MAX) {
        *target++ = whole_header((unsigned)scaled);
    } else if (exponent == 0) {
        *target++ = whole_header(WHOLE_INTEGER);
        target = varint_store(target, zigzag_encode((int64_t)scaled));
    } else if (exponent != NOT_DECIMAL &&
               fabs(scaled) < (double)(INT64_C(1) << SCALED_SHORT_BITS)) {
        *target++ = whole_header(WHOLE_DECIMAL);
        *target++ = (uint8_t)exponent;
        target = varint_store(target, zigzag_encode((int64_t)scaled));
    } else {
        *target++ = whole_header(WHOLE_DOUBLE);
        store_u64(target, double_to_bits(value));
        target += 8;
    }
    return (size_t)(target - start);
}

static size_t encode_raw(const double *values, size_t count, uint8_t *target)
{
    target[0] = whole_header(WHOLE_RAW);
    memcpy(target + 1, values, count * sizeof *values);
    return 1 + count * sizeof *values;
}

/* --- Runs --------------------------------------------------------------------------------- */

/* Write where the runs begin: their lengths, or a bit for each value. */
static uint8_t *emit_runs(const uint64_t *starts, size_t runs, size_t count,
                          const struct codec_kernels *kernels, struct codec_scratch *scratch,
                          uint8_t *target)
{
    struct residual_plan plan =
        residual_stream_plan(scratch->run_lengths, runs - 1, kernels, scratch);
    size_t bitmap_bytes = (count + 7) / 8;
    if (plan.cost_bits <= 8 * (bitmap_bytes + 1)) {
        *target++ = residual_plan_code(&plan);
        return residual_stream_emit(&plan, scratch->run_lengths, runs - 1, kernels, scratch,
                                    target);
    }
    *target++ = RESIDUAL_BITMAP;
    memcpy(target, starts, bitmap_bytes);
    return target + bitmap_bytes;
}

/* Write the payload with each run's value once. Returns its size. */
static size_t encode_runs(const double *values, size_t count, const uint64_t *starts, size_t runs,
                          const struct codec_kernels *kernels, struct codec_scratch *scratch,
                          uint8_t *target)
{
    size_t run = 0;
    size_t previous = 0;
    for (size_t i = bitmap_next(starts, 0, count); i < count;
         i = bitmap_next(starts, i + 1, count)) {
        if (run > 0)
            scratch->run_lengths[run - 1] = (int64_t)(i - previous - 1);
        scratch->run_values[run++] = values[i];
        previous = i;
    }
    assert(run == runs);

    uint8_t header = HEADER_RUNS;
    uint8_t *end = varint_store(target + 1, runs);
    end = emit_runs(starts, runs, count, kernels, scratch, end);
    end = encode_body(scratch->run_values, runs, kernels, scratch, &header, end);
    target[0] = header;
    return (size_t)(end - target);
}

/* --- Public functions --------------------------------------------------------------------- */

size_t value_codec_encode(const double *values, size_t count, struct codec_scratch *scratch,
                          uint8_t *target)
{
    assert(values != NULL);
    assert(count >= 1 && count <= CHUNK_SAMPLES_MAX);

    const struct codec_kernels *kernels = codec_kernels();
    uint64_t starts[BITMAP_WORDS];
    size_t runs = kernels->find_runs(values, count, starts);
    if (runs == 1)
        return encode_constant(values[0], target);

    size_t size = SIZE_MAX;
    const uint8_t *bytes = NULL;
    if (runs < count && runs <= count - count / 4) {
        size = encode_runs(values, count, starts, runs, kernels, scratch, scratch->run_bytes);
        bytes = scratch->run_bytes;
    }
    /* With long runs the plain form can't win, nor can it when repeats are floats. */
    bool plain_may_win =
        bytes == NULL || (runs > count / 4 && (bytes[0] & HEADER_KIND) == VALUE_DECIMAL);
    if (plain_may_win) {
        uint8_t header = 0;
        uint8_t *end =
            encode_body(values, count, kernels, scratch, &header, scratch->plain_bytes + 1);
        scratch->plain_bytes[0] = header;
        size_t plain_size = (size_t)(end - scratch->plain_bytes);
        if (plain_size <= size) {
            size = plain_size;
            bytes = scratch->plain_bytes;
        }
    }
    assert(size <= CODEC_SCRATCH_BYTES);
    if (size > 8 * count)
        return encode_raw(values, count, target);
    memcpy(target, bytes, size);
    return size;
}
