/*
 * window_histogram - what range functions do with windows that hold native histograms.
 */
#ifndef PROMQL_WINDOW_HISTOGRAM_H
#define PROMQL_WINDOW_HISTOGRAM_H

#include "window.h"

/* What the extrapolation of a rate depends on; for a histogram its count stands for the value. */
struct rate_window {
    int64_t range_start_ms;
    int64_t range_end_ms;
    int64_t first_ms;
    int64_t last_ms;
    int64_t zero_ms;     /* a start timestamp within the range, the counter's zero; 0: none */
    size_t sample_count; /* >= 2, or >= 1 with zero_ms */
    double first_value;
    double increase;
    bool is_counter;
    bool is_rate;
};

/* What the sampled increase is multiplied with. */
double window_rate_factor(const struct rate_window *window);

/* Whether start timestamps take part in rates (experimental) and the series has them. */
bool window_uses_starts(const struct window_call *call, const struct window_samples *samples);

/* Whether a sample's start timestamp says that the counter began anew after the previous one. */
bool start_timestamp_tells_reset(int64_t previous_start_ms, int64_t previous_ms, int64_t start_ms,
                                 int64_t timestamp_ms);

/* The start timestamp of a window's first sample when it lies within the range; else 0. */
int64_t window_zero_instant(const struct window_call *call, const struct window_samples *samples,
                            size_t first, int64_t range_start_ms);

/* Warn once when a sample starts before the previous one but not where that one starts. */
void window_check_start_overlap(const struct window_call *call,
                                const struct window_samples *samples, size_t first, size_t last);

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
