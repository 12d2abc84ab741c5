/*
 * step_vector - the values of one series at every step of a query.
 *
 * What flows between operators: a column of values, a bitmap that says at which steps there is
 * one, and histograms where a value is not a float.
 */
#ifndef PROMQL_STEP_VECTOR_H
#define PROMQL_STEP_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "model/sample.h"

/* Steps start_ms, start_ms + step_ms, ... ; `count` may be 0. */
struct step_range {
    int64_t start_ms;
    int64_t step_ms; /* > 0 */
    size_t count;
};

static inline int64_t step_time(const struct step_range *steps, size_t step)
{
    return steps->start_ms + (int64_t)step * steps->step_ms;
}

/* The memory belongs to who filled it in; see struct stream. */
struct step_vector {
    double *values;    /* [steps]; undefined where nothing is present */
    uint64_t *present; /* [step_words(steps)]; bits beyond the last step are 0 */
    /* [steps], NULL at floats and where nothing is present; NULL as a whole without histograms. */
    const struct histogram **histograms;
};

static inline size_t step_words(size_t step_count)
{
    return (step_count + 63) / 64;
}

static inline bool step_is_present(const uint64_t *present, size_t step)
{
    return (present[step / 64] >> (step % 64)) & 1;
}

static inline void step_set_present(uint64_t *present, size_t step)
{
    present[step / 64] |= UINT64_C(1) << (step % 64);
}

static inline void step_vector_set(struct step_vector *vector, size_t step, double value)
{
    vector->values[step] = value;
    step_set_present(vector->present, step);
}

static inline void step_clear_present(uint64_t *present, size_t step)
{
    present[step / 64] &= ~(UINT64_C(1) << (step % 64));
}

static inline void steps_clear(uint64_t *present, size_t step_count)
{
    memset(present, 0, step_words(step_count) * sizeof *present);
}

static inline void steps_fill(uint64_t *present, size_t step_count)
{
    memset(present, 0xff, step_words(step_count) * sizeof *present);
    if (step_count % 64 != 0)
        present[step_count / 64] = (UINT64_C(1) << (step_count % 64)) - 1;
}

static inline bool steps_any(const uint64_t *present, size_t step_count)
{
    for (size_t word = 0; word < step_words(step_count); word++)
        if (present[word] != 0)
            return true;
    return false;
}

static inline size_t steps_present_count(const uint64_t *present, size_t step_count)
{
    size_t count = 0;
    for (size_t word = 0; word < step_words(step_count); word++)
        count += (size_t)__builtin_popcountll(present[word]);
    return count;
}

/* The first present step >= `step`, or `step_count`. */
static inline size_t step_next(const uint64_t *present, size_t step_count, size_t step)
{
    while (step < step_count) {
        uint64_t word = present[step / 64] >> (step % 64);
        if (word != 0)
            return step + (size_t)__builtin_ctzll(word);
        step = (step / 64 + 1) * 64;
    }
    return step_count;
}

static inline const struct histogram *step_histogram(const struct step_vector *vector, size_t step)
{
    return vector->histograms == NULL ? NULL : vector->histograms[step];
}

/* Values and bitmap for `step_count` steps, nothing present; false when memory is out. */
static inline bool step_vector_init(struct step_vector *vector, struct arena *arena,
                                    size_t step_count)
{
    *vector = (struct step_vector){
        .values = arena_allocate(arena, step_count * sizeof *vector->values),
        .present = arena_array(arena, step_words(step_count), sizeof *vector->present),
    };
    return vector->values != NULL && vector->present != NULL;
}

#endif
