/*
 * window_starts - start timestamps of samples in rates: where a counter began anew, and when it was
 * zero. Only with experimental features.
 */
#ifndef PROMQL_WINDOW_STARTS_H
#define PROMQL_WINDOW_STARTS_H

#include "window.h"

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

#endif
