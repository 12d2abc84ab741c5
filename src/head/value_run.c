#include "value_run.h"

#include <assert.h>
#include <math.h>

#include "base/bytes.h"
#include "base/limits.h"

enum {
    CODE_ESCAPE = 0,
    CODE_REPEAT = 1,
    CODE_DIFFERENCE = 2,
    EXPONENT_MAX = 9,
    /* The first value, its repeats, and the value after. */
    CODES_BYTES_MAX = 3 * (1 + VARINT_MAX_BYTES),
};

static const double POWERS_OF_TEN[EXPONENT_MAX + 1] = {1,   1e1, 1e2, 1e3, 1e4,
                                                       1e5, 1e6, 1e7, 1e8, 1e9};

/* --- Pieces ----------------------------------------------------------------------------------- */

enum { PIECE_FIRST_BYTES = 24, PIECE_BYTES = 56 };

/* Series that start together must not be full together: that is when they need most. */
static const uint16_t FIRST_RUN_BYTES[4] = {
    PIECE_FIRST_BYTES + 1 * PIECE_BYTES,
    PIECE_FIRST_BYTES + 2 * PIECE_BYTES,
    PIECE_FIRST_BYTES + 3 * PIECE_BYTES,
    PIECE_FIRST_BYTES + 4 * PIECE_BYTES,
};

static size_t run_limit(const struct series_state *state)
{
    return state->chunks == NULL ? FIRST_RUN_BYTES[state->phase % 4] : (size_t)RUN_BYTES_MAX;
}

/* Which piece holds the byte at `offset`, and where the piece starts. */
static inline unsigned piece_of(size_t offset)
{
    return offset < PIECE_FIRST_BYTES ? 0
                                      : 1 + (unsigned)(offset - PIECE_FIRST_BYTES) / PIECE_BYTES;
}

static inline size_t piece_start(unsigned piece)
{
    return piece == 0 ? 0 : PIECE_FIRST_BYTES + (piece - 1) * (size_t)PIECE_BYTES;
}

static enum pool_buffer_class piece_class(unsigned piece)
{
    return piece == 0 ? POOL_BUFFER_32 : POOL_BUFFER_64;
}

static struct run_piece *piece_previous(const struct run_piece *piece)
{
    return __atomic_load_n(&piece->previous, __ATOMIC_ACQUIRE);
}

static void run_retire(struct run_changes *changes, const struct series_state *state)
{
    assert(changes->retired_count < sizeof changes->retired / sizeof changes->retired[0]);
    if (state->used == 0)
        return;
    changes->retired[changes->retired_count].newest = state->buffer;
    changes->retired[changes->retired_count++].used = state->used;
}

void run_changes_commit(struct run_changes *changes, struct pool *pool)
{
    for (unsigned i = 0; i < changes->retired_count; i++) {
        struct run_piece *piece = changes->retired[i].newest;
        for (unsigned number = piece_of(changes->retired[i].used - 1) + 1; number-- > 0;) {
            struct run_piece *previous = number == 0 ? NULL : piece_previous(piece);
            pool_buffer_recycle(pool, piece, piece_class(number));
            piece = previous;
        }
    }
}

void run_changes_abort(struct run_changes *changes, struct pool *pool)
{
    for (unsigned i = 0; i < changes->taken_count; i++)
        pool_buffer_recycle(pool, changes->taken[i].piece, changes->taken[i].buffer_class);
}

/* Readers copy by words, also the bytes that are not promised to them yet. */
static inline void bytes_store(uint8_t *target, const uint8_t *source, size_t size)
{
    for (size_t i = 0; i < size; i++)
        __atomic_store_n(&target[i], source[i], __ATOMIC_RELEASE);
}

/* Hang a new piece before the newest. */
static bool piece_add(struct series_state *state, struct run_changes *changes, struct pool *pool)
{
    assert(changes->taken_count < sizeof changes->taken / sizeof changes->taken[0]);
    enum pool_buffer_class buffer_class = piece_class(piece_of(state->used));
    struct run_piece *piece = pool_buffer_take(pool, buffer_class);
    if (piece == NULL)
        return false;
    changes->taken[changes->taken_count].piece = piece;
    changes->taken[changes->taken_count++].buffer_class = buffer_class;
    __atomic_store_n(&piece->previous, state->buffer, __ATOMIC_RELEASE);
    state->buffer = piece;
    return true;
}

enum run_outcome run_append_bytes(struct series_state *state, struct run_changes *changes,
                                  struct pool *pool, const uint8_t *bytes, size_t size)
{
    if (state->used + size > run_limit(state))
        return RUN_FULL;
    while (size > 0) {
        size_t start = piece_start(piece_of(state->used));
        if (start == state->used && !piece_add(state, changes, pool))
            return RUN_OUT_OF_MEMORY;
        size_t room = (start == 0 ? PIECE_FIRST_BYTES : PIECE_BYTES) - (state->used - start);
        size_t here = size < room ? size : room;
        bytes_store(state->buffer->bytes + (state->used - start), bytes, here);
        state->used += (uint16_t)here;
        bytes += here;
        size -= here;
    }
    return RUN_DONE;
}

void run_copy_bytes(const struct series_state *state, uint8_t *target)
{
    const struct run_piece *piece = state->buffer;
    if (state->used == 0)
        return;
    size_t end = (state->used + 7u) & ~(size_t)7;
    for (unsigned number = piece_of(state->used - 1u) + 1; number-- > 0 && piece != NULL;) {
        size_t start = piece_start(number);
        for (size_t i = start; i < end; i += sizeof(uint64_t)) {
            const void *source = piece->bytes + (i - start);
            uint64_t word = __atomic_load_n((const uint64_t *)source, __ATOMIC_ACQUIRE);
            memcpy(target + i, &word, sizeof word);
        }
        end = start;
        piece = piece_previous(piece);
    }
}

static void run_empty(struct series_state *state)
{
    state->buffer = NULL;
    state->count = 0;
    state->pending = 0;
    state->used = 0;
}

void run_reset(struct series_state *state, struct run_changes *changes)
{
    run_retire(changes, state);
    run_empty(state);
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

/* A value and its form at the exponent of the run. */
struct scaled_value {
    uint64_t bits;
    int64_t scaled; /* 0 when it has none */
    bool is_exact;
};

static inline struct scaled_value scale(uint64_t bits, unsigned exponent)
{
    struct scaled_value value = {.bits = bits};
    value.is_exact = value_scale(double_from_bits(bits), exponent, &value.scaled);
    if (!value.is_exact)
        value.scaled = 0;
    return value;
}

static inline uint8_t *code_value(uint8_t *target, struct scaled_value value, int64_t before)
{
    if (value.is_exact)
        return varint_store(target, zigzag_encode(value.scaled - before) + CODE_DIFFERENCE);
    *target++ = CODE_ESCAPE;
    store_u64(target, value.bits);
    return target + sizeof value.bits;
}

static uint8_t *code_repeats(uint8_t *target, size_t count)
{
    if (count == 0)
        return target;
    *target++ = CODE_REPEAT;
    return varint_store(target, count);
}

/* Append `value`, other than `newest`, to a run that is not empty. */
static enum run_outcome append_codes(struct series_state *state, struct run_changes *changes,
                                     struct pool *pool, struct scaled_value newest,
                                     struct scaled_value value)
{
    uint8_t codes[CODES_BYTES_MAX];
    uint8_t *end = codes;
    size_t repeats = state->pending;
    if (state->used == 0) {
        end = code_value(end, newest, 0);
        repeats--;
    }
    end = code_repeats(end, repeats);
    end = code_value(end, value, newest.scaled);
    enum run_outcome outcome = run_append_bytes(state, changes, pool, codes, (size_t)(end - codes));
    if (outcome != RUN_DONE)
        return outcome;
    state->pending = 0;
    state->newest_bits = value.bits;
    state->count++;
    return RUN_DONE;
}

/* Start over with the given values in new pieces. */
static enum run_outcome run_rebuild(struct series_state *state, struct run_changes *changes,
                                    struct pool *pool, const double *values, size_t count,
                                    unsigned exponent)
{
    struct series_state built = *state;
    run_empty(&built);
    built.exponent = exponent & 15;
    enum run_outcome outcome = RUN_DONE;
    for (size_t i = 0; i < count && outcome == RUN_DONE; i++) {
        uint64_t bits = double_to_bits(values[i]);
        if (built.count > 0 && bits != built.newest_bits) {
            outcome = append_codes(&built, changes, pool, scale(built.newest_bits, exponent),
                                   scale(bits, exponent));
        } else {
            built.newest_bits = bits;
            built.count++;
            built.pending++;
        }
    }
    if (outcome == RUN_DONE) {
        run_retire(changes, state);
        *state = built;
    } else if (outcome == RUN_FULL) {
        run_retire(changes, &built);
    }
    return outcome;
}

/* The values of the writer's own run. */
static void run_values(const struct series_state *state, double *values_out)
{
    uint8_t bytes[RUN_BYTES_MAX];
    run_copy_bytes(state, bytes);
    bool is_whole = value_run_decode(state, bytes, values_out);
    assert(is_whole);
}

/* Give the run the digits that `value` needs, where that helps. */
static enum run_outcome exponent_raise(struct series_state *state, struct run_changes *changes,
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
    run_values(state, values);
    return run_rebuild(state, changes, pool, values, state->count, exponent);
}

enum run_outcome value_run_append(struct series_state *state, struct run_changes *changes,
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
    struct scaled_value newest = scale(state->newest_bits, state->exponent);
    struct scaled_value value = scale(bits, state->exponent);
    if (!value.is_exact || (!newest.is_exact && state->used == 0)) {
        enum run_outcome outcome = RUN_DONE;
        if (state->used == 0)
            outcome = exponent_raise(state, changes, pool, double_from_bits(state->newest_bits));
        if (outcome == RUN_DONE)
            outcome = exponent_raise(state, changes, pool, double_from_bits(bits));
        if (outcome != RUN_DONE)
            return outcome;
        newest = scale(state->newest_bits, state->exponent);
        value = scale(bits, state->exponent);
    }
    return append_codes(state, changes, pool, newest, value);
}

bool value_run_extend(struct series_state *state, uint64_t bits)
{
    if (state->count == CHUNK_SAMPLES_MAX)
        return false;
    if (bits == state->newest_bits) {
        state->count++;
        state->pending++;
        return true;
    }
    struct scaled_value newest = scale(state->newest_bits, state->exponent);
    struct scaled_value value = scale(bits, state->exponent);
    if (state->used == 0 || (!value.is_exact && (state->flags & SERIES_NOISY) == 0))
        return false;
    uint8_t codes[CODES_BYTES_MAX];
    uint8_t *end = code_repeats(codes, state->pending);
    end = code_value(end, value, newest.scaled);
    size_t size = (size_t)(end - codes);
    size_t start = piece_start(piece_of(state->used));
    size_t offset = state->used - start;
    size_t room = offset == 0 ? 0 : (start == 0 ? PIECE_FIRST_BYTES : PIECE_BYTES) - offset;
    if (size > room) /* pieces end where the limit is */
        return false;
    bytes_store(state->buffer->bytes + offset, codes, size);
    state->used += (uint16_t)size;
    state->pending = 0;
    state->newest_bits = bits;
    state->count++;
    return true;
}

enum run_outcome value_run_pop(struct series_state *state, struct run_changes *changes,
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
    run_values(state, values);
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
