/*
 * binary - operators of two values, two scalars, a vector and a scalar, two vectors.
 */
#ifndef PROMQL_BINARY_H
#define PROMQL_BINARY_H

#include "evaluation.h"
#include "label_list.h"

/* A float or a histogram. */
struct binary_value {
    double value;
    const struct histogram *histogram; /* NULL: a float */
};

/* The operation on two floats; of a comparison 1 or 0. */
double binary_scalars(enum binary_operator operation, double left, double right);

/*
 * The operation on the values of one step. *keep_out is false when there is no result: a
 * comparison that does not hold (its value is the left one), or types that do not fit, which is
 * annotated. Histograms come from the lane's scratch. Errors: LIMIT, OUT_OF_MEMORY.
 */
enum error_code binary_values(struct evaluation *evaluation, const struct expression *expression,
                              struct lane *lane, struct binary_value left,
                              struct binary_value right, struct binary_value *result_out,
                              bool *keep_out, struct error *error);

/* Whether the operation has a result for values of these types at all. */
bool binary_types_fit(enum binary_operator operation, bool left_is_histogram,
                      bool right_is_histogram);

/* The same as binary_values for operations on histograms, and for trims. */
enum error_code binary_histograms(struct evaluation *evaluation,
                                  const struct expression *expression, struct lane *lane,
                                  struct binary_value left, struct binary_value right,
                                  struct binary_value *result_out, bool *keep_out,
                                  struct error *error);

/* Whether the result means something else than the operands, so that the name must go. */
static inline bool binary_changes_meaning(enum binary_operator operation)
{
    return operation <= BINARY_ATAN2;
}

/* A binary expression of which at least one side is a vector. */
enum error_code binary_stream(struct evaluation *evaluation, const struct expression *expression,
                              const struct step_range *steps, struct stream **stream_out,
                              struct error *error);

/* Arithmetic and comparison of two vectors; takes over both streams. */
enum error_code binary_match_stream(struct evaluation *evaluation,
                                    const struct expression *expression, struct stream *left,
                                    struct stream *right, struct stream **stream_out,
                                    struct error *error);

/* and, or, unless; takes over both streams. */
enum error_code binary_set_stream(struct evaluation *evaluation,
                                  const struct expression *expression, struct stream *left,
                                  struct stream *right, struct stream **stream_out,
                                  struct error *error);

/* --- Matching labels ------------------------------------------------------------------------- */

/* How the label sets of two sides are compared. */
struct matching_key {
    enum labels_keep keep;
    struct label_list names;
};

enum error_code matching_key_make(struct evaluation *evaluation,
                                  const struct vector_matching *matching,
                                  struct matching_key *key_out, struct error *error);

static inline struct labels matching_key_of(const struct matching_key *key, struct labels labels,
                                            struct arena *arena)
{
    return labels_project(arena, labels, key->keep, key->names.names, key->names.count);
}

#endif
