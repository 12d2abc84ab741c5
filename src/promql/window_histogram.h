/*
 * window_histogram - what range functions do with windows that hold native histograms.
 */
#ifndef PROMQL_WINDOW_HISTOGRAM_H
#define PROMQL_WINDOW_HISTOGRAM_H

#include "window.h"

/* The result of one step whose window holds histograms only. */
enum error_code window_histogram_rate(const struct window_call *call, size_t step,
                                      struct step_vector *out, struct error *error);

/* The window holds at least one histogram, maybe floats as well. */
enum error_code window_histogram_instant_rate(const struct window_call *call, size_t step,
                                              struct step_vector *out, struct error *error);

/* changes or resets of a window with histograms and maybe floats. */
double window_histogram_changes(const struct window_call *call, size_t step);

/* sum_over_time or avg_over_time of a window of histograms only. */
enum error_code window_histogram_sum(const struct window_call *call, size_t step,
                                     struct step_vector *out, struct error *error);

#endif
