/*
 * matrix - a range vector as the result of an instant query: the samples themselves.
 */
#ifndef PROMQL_MATRIX_H
#define PROMQL_MATRIX_H

#include "evaluation.h"

/* `expression` is a matrix selector or a sub-query; fills in type and series of the result. */
enum error_code matrix_result(struct evaluation *evaluation, const struct expression *expression,
                              const struct step_range *steps, struct promql_result *result,
                              struct error *error);

#endif
