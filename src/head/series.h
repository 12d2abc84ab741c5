/*
 * series - the record of one series in a head, and how it is published.
 *
 * A record is one cache line. The writer loads it as a `series_state`, changes the copy and stores
 * it back; a reader loads it together with the bytes of its open buffer and keeps what it got only
 * if the generation is even and did not move meanwhile (a sequence lock: the writer never waits,
 * and a reader repeats only when the very series it reads was written in those nanoseconds).
 * Buffers are recycled, but only after a state without them is stored, so the generation tells.
 * Everything else that a state points to never changes once it is published.
 *
 * The open run: `count` samples at positions [first, first + count) of the time column.
 * Floats: the buffer holds codes (value_run.h) for all but the last `pending` ones, which all have
 * newest_bits. Histograms: the buffer holds pointers to packed histograms (histogram_pack.h).
 * A run that is full, or that a gap or a change of kind ends, becomes a chunk.
 */
#ifndef HEAD_SERIES_H
#define HEAD_SERIES_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pair_list.h"
#include "time_column.h"

struct chunk;
struct run_piece;

enum series_flags {
    SERIES_IN_USE = 1,
    SERIES_HISTOGRAMS = 2, /* the open run holds histograms */
    SERIES_NOISY = 4,      /* floats without a short decimal form: don't look for one */
    SERIES_SHORT_RUN = 8,  /* added for each short run in a row: two bits */
    SERIES_SHORT_RUNS_MASK = 24,
    SERIES_MOVED = 32, /* to another time column than the first of its target */
};

/* Start timestamp of one late sample: others of its timestamp have their own. */
struct late_start {
    uint64_t payload; /* of the sample, in the list of its type */
    bool is_histogram;
    int64_t start_ms;
};

/* What few series have. Lists only grow, so that they may be read beside the state. */
struct series_extra {
    struct pair_list late_floats;     /* timestamp, bits */
    struct pair_list late_histograms; /* timestamp, packed histogram */
    struct pair_list starts;          /* timestamp from which on, start timestamp */
    struct pair_list late_starts;     /* timestamp, struct late_start */
    _Atomic uint64_t newest_exemplar; /* its number from 1; 0: none */
    int64_t start_ms;                 /* of the newest sample; writer only */
};

struct series_state {
    uint32_t generation;
    uint32_t first;
    uint16_t count;
    uint16_t pending;
    uint16_t used; /* bytes of the buffer */
    uint8_t exponent : 4;
    uint8_t phase : 4; /* of the series: when its first run is full */
    uint8_t flags;
    int64_t newest_ms;
    uint64_t newest_bits;       /* of the sum for a histogram */
    struct run_piece *buffer;   /* newest piece; NULL: no bytes */
    const struct chunk *chunks; /* newest first */
    struct time_column *column;
    struct series_extra *extra; /* NULL: nothing rare about it */
};

enum { SERIES_WORDS = 8 };
_Static_assert(sizeof(struct series_state) == SERIES_WORDS * sizeof(uint64_t), "one cache line");

struct series {
    _Atomic uint64_t words[SERIES_WORDS];
};

/* --- Writer ----------------------------------------------------------------------------------- */

/* Nobody else writes, so this needs no atomic loads. */
static inline void series_load(const struct series *series, struct series_state *state_out)
{
    memcpy(state_out, (const void *)series->words, sizeof *state_out);
}

/* INT64_MIN: the series has no sample. */
static inline int64_t series_newest_ms(const struct series *series)
{
    struct series_state state;
    series_load(series, &state);
    return (state.flags & SERIES_IN_USE) == 0 ? INT64_MIN : state.newest_ms;
}

/* Word 1, put together from its fields: reading it back as a whole just after they were stored
 * one by one would wait until the stores have left the processor's buffer. */
static inline uint64_t series_sizes_word(const struct series_state *state)
{
    return (uint64_t)state->count | (uint64_t)state->pending << 16 | (uint64_t)state->used << 32 |
           (uint64_t)(state->exponent | state->phase << 4) << 48 | (uint64_t)state->flags << 56;
}

/* Store words [1, word_count) and then word 0, which holds `first` and the generation. */
static inline void series_store_words(struct series *series, const struct series_state *state,
                                      int word_count)
{
    uint64_t before = atomic_load_explicit(&series->words[0], memory_order_relaxed);
    /* Odd: a reader waits. Each word is stored with release after it, so whoever sees a new word
     * sees at least the odd generation. */
    atomic_store_explicit(&series->words[0], before + 1, memory_order_relaxed);
    atomic_store_explicit(&series->words[1], series_sizes_word(state), memory_order_release);
    for (int i = 2; i < word_count; i++) {
        uint64_t word;
        memcpy(&word, (const uint8_t *)state + i * sizeof word, sizeof word);
        atomic_store_explicit(&series->words[i], word, memory_order_release);
    }
    uint32_t generation = (uint32_t)before + 2;
    atomic_store_explicit(&series->words[0], (uint64_t)state->first << 32 | generation,
                          memory_order_release);
}

/* `state` came from series_load; its generation is the store's business. */
static inline void series_store(struct series *series, const struct series_state *state)
{
    series_store_words(series, state, SERIES_WORDS);
}

/* The same when only the sizes of the run and the newest sample changed. */
static inline void series_store_newest(struct series *series, const struct series_state *state)
{
    enum { WORDS = offsetof(struct series_state, buffer) / sizeof(uint64_t) };
    series_store_words(series, state, WORDS);
}

/* For prefetching. */
static inline const void *series_buffer(const struct series *series)
{
    enum { WORD = offsetof(struct series_state, buffer) / sizeof(uint64_t) };
    return (const void *)(uintptr_t)atomic_load_explicit(&series->words[WORD],
                                                         memory_order_relaxed);
}

static inline const void *series_column(const struct series *series)
{
    enum { WORD = offsetof(struct series_state, column) / sizeof(uint64_t) };
    return (const void *)(uintptr_t)atomic_load_explicit(&series->words[WORD],
                                                         memory_order_relaxed);
}

/* --- Reader ----------------------------------------------------------------------------------- */

/* Whether all that was loaded since series_read_begin belongs together. */
static inline bool series_read_end(const struct series *series, const struct series_state *state)
{
    return (uint32_t)atomic_load_explicit(&series->words[0], memory_order_relaxed) ==
           state->generation;
}

/* A whole state. What it points to may be recycled meanwhile: see series_read_end. */
static inline void series_read_begin(const struct series *series, struct series_state *state_out)
{
    for (unsigned attempt = 1;; attempt++) {
        uint64_t words[SERIES_WORDS];
        for (int i = 0; i < SERIES_WORDS; i++)
            words[i] = atomic_load_explicit(&series->words[i], memory_order_acquire);
        memcpy(state_out, words, sizeof *state_out);
        if (state_out->generation % 2 == 0 && series_read_end(series, state_out))
            return;
        if (attempt % 64 == 0) /* the writer may have lost its processor in the middle */
            sched_yield();
    }
}

#endif
