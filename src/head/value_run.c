#include "value_run.h"

#include <assert.h>
#include <math.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    CODE_ESCAPE = 0,
    CODE_REPEAT = 1,
    CODE_DIFFERENCE = 2,
    EXPONENT_MAX = 6,
    /* The first value, its repeats, and the value after. */
    CODES_BYTES_MAX = 3 * (1 + VARINT_MAX_BYTES),
};

static const double POWERS_OF_TEN[EXPONENT_MAX + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

/* --- Buffers ---------------------------------------------------------------------------------- */

uint8_t *buffer_take(struct buffer_changes *changes, struct pool *pool, unsigned buffer_class)
{
    assert(changes->taken_count < sizeof changes->taken / sizeof changes->taken[0]);
    uint8_t *buffer = pool_buffer_take(pool, buffer_class);
    if (buffer != NULL)
        changes->taken[changes->taken_count++] = (struct buffer_change){buffer, buffer_class};
    return buffer;
}

void buffer_retire(struct buffer_changes *changes, uint8_t *buffer, unsigned buffer_class)
{
    assert(changes->retired_count < sizeof changes->retired / sizeof changes->retired[0]);
    if (buffer != NULL)
        changes->retired[changes->retired_count++] = (struct buffer_change){buffer, buffer_class};
}

void buffer_changes_commit(struct buffer_changes *changes, struct pool *pool)
{
    for (unsigned i = 0; i < changes->retired_count; i++)
        pool_buffer_recycle(pool, changes->retired[i].buffer, changes->retired[i].buffer_class);
}

void buffer_changes_abort(struct buffer_changes *changes, struct pool *pool)
{
    for (unsigned i = 0; i < changes->taken_count; i++)
        pool_buffer_recycle(pool, changes->taken[i].buffer, changes->taken[i].buffer_class);
}

/* Readers copy by words while the writer goes on behind the bytes that they were promised. */
static void bytes_store(uint8_t *target, const uint8_t *source, size_t size)
{
    for (size_t i = 0; i < size; i++)
        __atomic_store_n(&target[i], source[i], __ATOMIC_RELEASE);
}

enum run_outcome run_reserve(struct series_state *state, struct buffer_changes *changes,
                             struct pool *pool, size_t needed_bytes)
{
    size_t size = state->used + needed_bytes;
    if (state->buffer != NULL && size <= POOL_BUFFER_BYTES[state->buffer_class])
        return RUN_DONE;
    if (size > POOL_BUFFER_BYTES_MAX)
        return RUN_FULL;
    unsigned buffer_class = 0;
    while (POOL_BUFFER_BYTES[buffer_class] < size)
        buffer_class++;
    uint8_t *buffer = buffer_take(changes, pool, buffer_class);
    if (buffer == NULL)
        return RUN_OUT_OF_MEMORY;
    bytes_store(buffer, state->buffer, state->used);
    buffer_retire(changes, state->buffer, state->buffer_class);
    state->buffer = buffer;
    state->buffer_class = buffer_class & 15;
    return RUN_DONE;
}

void run_append_word(struct series_state *state, uint64_t word)
{
    assert(state->used % sizeof word == 0);
    __atomic_store_n((uint64_t *)(void *)(state->buffer + state->used), word, __ATOMIC_RELEASE);
    state->used += sizeof word;
}

void run_reset(struct series_state *state, struct buffer_changes *changes)
{
    buffer_retire(changes, state->buffer, state->buffer_class);
    state->buffer = NULL;
    state->buffer_class = 0;
    state->count = 0;
    state->pending = 0;
    state->used = 0;
}

/* --- Codes ------------------------------------------------------------------------------------ */

/* Whether `value` is exactly *scaled_out / 10^exponent. Not for -0.0, NaN, infinities. */
static inline bool value_scale(double value, unsigned exponent, int64_t *scaled_out)
{
    double product = value * POWERS_OF_TEN[exponent];
    if (!(fabs(product) < 4503599627370496.0)) /* 2^52 */
        return false;
    int64_t scaled = (int64_t)(exponent == 0 ? product : product + (product < 0 ? -0.5 : 0.5));
    double back = exponent == 0 ? (double)scaled : (double)scaled / POWERS_OF_TEN[exponent];
    *scaled_out = scaled;
    return double_to_bits(back) == double_to_bits(value);
}

/* The smallest exponent from `exponent` on that holds the value. */
static bool exponent_find(double value, unsigned *exponent)
{
    int64_t scaled;
    for (unsigned i = *exponent; i <= EXPONENT_MAX; i++) {
        if (value_scale(value, i, &scaled)) {
            *exponent = i;
            return true;
        }
    }
    return false;
}

static uint8_t *code_value(uint8_t *target, uint64_t bits, unsigned exponent, int64_t before)
{
    int64_t scaled;
    if (value_scale(double_from_bits(bits), exponent, &scaled))
        return varint_store(target, zigzag_encode(scaled - before) + CODE_DIFFERENCE);
    *target++ = CODE_ESCAPE;
    store_u64(target, bits);
    return target + sizeof bits;
}

static uint8_t *code_repeats(uint8_t *target, size_t count)
{
    if (count == 0)
        return target;
    *target++ = CODE_REPEAT;
    return varint_store(target, count);
}

/* What the next difference is to. */
static int64_t scaled_or_zero(uint64_t bits, unsigned exponent)
{
    int64_t scaled;
    return value_scale(double_from_bits(bits), exponent, &scaled) ? scaled : 0;
}

/* Append `bits`, other than newest_bits, to a run that is not empty. */
static enum run_outcome append_codes(struct series_state *state, struct buffer_changes *changes,
                                     struct pool *pool, uint64_t bits)
{
    uint8_t codes[CODES_BYTES_MAX];
    uint8_t *end = codes;
    size_t repeats = state->pending;
    if (state->used == 0) {
        end = code_value(end, state->newest_bits, state->exponent, 0);
        repeats--;
    }
    end = code_repeats(end, repeats);
    end =
        code_value(end, bits, state->exponent, scaled_or_zero(state->newest_bits, state->exponent));
    size_t size = (size_t)(end - codes);
    enum run_outcome outcome = run_reserve(state, changes, pool, size);
    if (outcome != RUN_DONE)
        return outcome;
    bytes_store(state->buffer + state->used, codes, size);
    state->used += (uint16_t)size;
    state->pending = 0;
    state->newest_bits = bits;
    state->count++;
    return RUN_DONE;
}

/* Start over with the given values in a new buffer. On failure the state is as it was. */
static enum run_outcome run_rebuild(struct series_state *state, struct buffer_changes *changes,
                                    struct pool *pool, const double *values, size_t count,
                                    unsigned exponent)
{
    struct series_state built = *state;
    struct buffer_changes building = {0};
    built.exponent = exponent & 15;
    built.buffer = NULL;
    built.buffer_class = 0;
    built.count = 0;
    built.pending = 0;
    built.used = 0;
    /* Straight into the largest buffer; the next append that moves finds the right size. */
    enum run_outcome outcome = RUN_DONE;
    for (size_t i = 0; i < count && outcome == RUN_DONE; i++) {
        uint64_t bits = double_to_bits(values[i]);
        if (built.count == 0 || bits == built.newest_bits) {
            built.newest_bits = bits;
            built.count++;
            built.pending++;
            continue;
        }
        if (built.buffer == NULL) {
            built.buffer_class = state->buffer_class + 1 < POOL_BUFFER_CLASSES
                                     ? (state->buffer_class + 1) & 15
                                     : POOL_BUFFER_CLASSES - 1;
            built.buffer = buffer_take(&building, pool, built.buffer_class);
            if (built.buffer == NULL)
                return RUN_OUT_OF_MEMORY;
        }
        struct buffer_changes step = {0};
        outcome = append_codes(&built, &step, pool, bits);
        if (outcome == RUN_DONE && step.taken_count > 0) {
            /* Moved to a larger one: nobody has seen the smaller. */
            buffer_changes_commit(&step, pool);
            building.taken[0] = step.taken[0];
        }
    }
    if (outcome != RUN_DONE) {
        buffer_changes_abort(&building, pool);
        return outcome;
    }
    buffer_retire(changes, state->buffer, state->buffer_class);
    if (building.taken_count > 0) {
        assert(changes->taken_count < sizeof changes->taken / sizeof changes->taken[0]);
        changes->taken[changes->taken_count++] = building.taken[0];
    }
    *state = built;
    return RUN_DONE;
}

/* Give the run the digits that `value` needs, where that helps. */
static enum run_outcome exponent_raise(struct series_state *state, struct buffer_changes *changes,
                                       struct pool *pool, double value)
{
    if ((state->flags & SERIES_NOISY) != 0 || !isfinite(value))
        return RUN_DONE;
    unsigned exponent = state->exponent;
    if (!exponent_find(value, &exponent)) {
        state->flags |= SERIES_NOISY;
        return RUN_DONE;
    }
    if (exponent == state->exponent)
        return RUN_DONE;
    if (state->used == 0) { /* nothing coded yet */
        state->exponent = exponent & 15;
        return RUN_DONE;
    }
    double values[CHUNK_SAMPLES_MAX];
    if (!value_run_decode(state, state->buffer, values))
        return RUN_FULL; /* not reached: our own bytes */
    return run_rebuild(state, changes, pool, values, state->count, exponent);
}

enum run_outcome value_run_append(struct series_state *state, struct buffer_changes *changes,
                                  struct pool *pool, uint64_t bits)
{
    if (state->count == CHUNK_SAMPLES_MAX)
        return RUN_FULL;
    if (state->count == 0 || bits == state->newest_bits) {
        state->newest_bits = bits;
        state->count++;
        state->pending++;
        return RUN_DONE;
    }
    enum run_outcome outcome = RUN_DONE;
    int64_t scaled;
    if (state->used == 0 &&
        !value_scale(double_from_bits(state->newest_bits), state->exponent, &scaled))
        outcome = exponent_raise(state, changes, pool, double_from_bits(state->newest_bits));
    if (outcome == RUN_DONE && !value_scale(double_from_bits(bits), state->exponent, &scaled))
        outcome = exponent_raise(state, changes, pool, double_from_bits(bits));
    if (outcome == RUN_DONE)
        outcome = append_codes(state, changes, pool, bits);
    return outcome;
}

enum run_outcome value_run_pop(struct series_state *state, struct buffer_changes *changes,
                               struct pool *pool)
{
    assert(state->count > 0);
    if (state->pending > 1 || (state->pending == 1 && state->used > 0)) {
        state->pending--;
        state->count--;
        return RUN_DONE;
    }
    if (state->count == 1) {
        run_reset(state, changes);
        return RUN_DONE;
    }
    double values[CHUNK_SAMPLES_MAX];
    if (!value_run_decode(state, state->buffer, values))
        return RUN_FULL; /* not reached: our own bytes */
    return run_rebuild(state, changes, pool, values, state->count - 1u, state->exponent);
}

bool value_run_decode(const struct series_state *state, const uint8_t *bytes, double *values_out)
{
    size_t count = 0;
    size_t coded = (size_t)state->count - state->pending;
    int64_t scaled = 0;
    double power = POWERS_OF_TEN[state->exponent <= EXPONENT_MAX ? state->exponent : 0];
    struct byte_reader reader = byte_reader_over(bytes, state->used);
    while (count < coded) {
        uint64_t code = byte_reader_varint(&reader);
        if (code >= CODE_DIFFERENCE) {
            scaled += zigzag_decode(code - CODE_DIFFERENCE);
            values_out[count++] = (double)scaled / power;
        } else if (code == CODE_ESCAPE) {
            values_out[count++] = double_from_bits(byte_reader_u64(&reader));
            scaled = 0;
        } else {
            uint64_t repeats = byte_reader_varint(&reader);
            if (count == 0 || repeats > coded - count)
                return false;
            for (uint64_t i = 0; i < repeats; i++, count++)
                values_out[count] = values_out[count - 1];
        }
        if (reader.failed)
            return false;
    }
    for (; count < state->count; count++)
        values_out[count] = double_from_bits(state->newest_bits);
    return byte_reader_left(&reader) == 0;
}
