/*
 * function - calls that yield instant vectors, but for range functions (window.h).
 */
#ifndef PROMQL_FUNCTION_H
#define PROMQL_FUNCTION_H

#include "evaluation.h"

/* Any call whose result is an instant vector. */
enum error_code function_stream(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error);

/* A call whose result is a scalar: [steps] values in the query's arena. */
enum error_code function_scalar(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, const double **values_out,
                                struct error *error);

/* The value of each sample on its own: mathematics, dates, negation. */
enum error_code function_map_stream(struct evaluation *evaluation,
                                    const struct expression *expression,
                                    const struct step_range *steps, struct stream **stream_out,
                                    struct error *error);
bool function_is_map(enum function_id function);

/* -vector. */
enum error_code function_negate_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error);

/* One field of a date: minute, month ... of a timestamp in seconds. */
double date_field(enum function_id function, double seconds);

/* As Go's math.Max and math.Min: NaN wins over numbers, infinities over NaN. */
double go_maximum(double left, double right);
double go_minimum(double left, double right);

/* label_replace, label_join. */
enum error_code function_label_stream(struct evaluation *evaluation,
                                      const struct expression *expression,
                                      const struct step_range *steps, struct stream **stream_out,
                                      struct error *error);

/* sort, sort_desc, sort_by_label, sort_by_label_desc. */
enum error_code function_sort_stream(struct evaluation *evaluation,
                                     const struct expression *expression,
                                     const struct step_range *steps, struct stream **stream_out,
                                     struct error *error);

/* absent, absent_over_time. */
enum error_code function_absent_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error);

/* What absent() says when its argument is there at the steps of `present`. */
enum error_code function_absent_result(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, const uint64_t *present,
                                       struct stream **stream_out, struct error *error);

/* histogram_quantile, histogram_quantiles, histogram_fraction. */
enum error_code function_histogram_stream(struct evaluation *evaluation,
                                          const struct expression *expression,
                                          const struct step_range *steps,
                                          struct stream **stream_out, struct error *error);

/* info. */
enum error_code function_info_stream(struct evaluation *evaluation,
                                     const struct expression *expression,
                                     const struct step_range *steps, struct stream **stream_out,
                                     struct error *error);

/* One series without labels that has a value at each step; `values` are copied. */
enum error_code constant_stream(struct evaluation *evaluation, const double *values,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error);

#endif
