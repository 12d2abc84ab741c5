/*
 * store - series kept with all their values, as a stream that costs nothing to read.
 *
 * What operators yield that need all of their input first, and what results are made of.
 */
#ifndef PROMQL_STORE_H
#define PROMQL_STORE_H

#include "evaluation.h"

struct stored_series {
    struct series_identity identity;
    struct step_vector vector;
};

struct store {
    struct evaluation *evaluation;
    struct arena *arena;
    struct step_range steps;
    struct stored_series *series; /* [count] */
    size_t count;
    size_t capacity;
    uint64_t samples_held;
};

/* Errors: LIMIT, OUT_OF_MEMORY. Clear it, or hand it to store_stream. */
enum error_code store_init(struct store *store, struct evaluation *evaluation,
                           const struct step_range *steps, struct error *error);
void store_clear(struct store *store);

/* A series without values, to be filled in by the caller; labels are copied. */
enum error_code store_add(struct store *store, struct series_identity identity,
                          struct step_vector **vector_out, struct error *error);

/* The histogram of a step, copied; the step becomes present. */
enum error_code store_set_histogram(struct store *store, struct step_vector *vector, size_t step,
                                    const struct histogram *histogram, struct error *error);

/* A copy of a series; series without any value are left out. */
enum error_code store_add_copy(struct store *store, struct series_identity identity,
                               const struct step_vector *vector, struct error *error);

/* Count the store's samples as held, once it is complete. */
enum error_code store_hold(struct store *store, struct error *error);

/* The store as a stream, which owns it from now on, whatever is answered. */
enum error_code store_stream(struct store *store, struct stream **stream_out, struct error *error);

/* Several, one behind the other, of the query's arena; some may be empty or not initialised. All
 * are owned from now on, whatever is answered; what they hold was counted. */
enum error_code stores_stream(struct evaluation *evaluation, const struct step_range *steps,
                              struct store *stores, size_t store_count, struct stream **stream_out,
                              struct error *error);

/* Read all of `input`, in its order, into a stored stream, and close it. A stored one stays. */
enum error_code vector_stream_store(struct stream *input, struct stream **stream_out,
                                    struct error *error);

/* The series of a stored stream; *vector_out lives as long as the stream. */
void stored_series_get(struct stream *stream, size_t index, struct series_identity *identity_out,
                       struct step_vector *vector_out);

#endif
