/*
 * window_extrapolation - from the increase between a window's outermost samples to that of the
 * whole range, as Prometheus' rate, increase and delta guess it.
 */
#ifndef PROMQL_WINDOW_EXTRAPOLATION_H
#define PROMQL_WINDOW_EXTRAPOLATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* What the sampled increase is multiplied with. Inline: once for every step of every series. */
static inline double window_rate_factor(const struct rate_window *window)
{
    double to_start = (double)(window->first_ms - window->range_start_ms) / 1000;
    double to_end = (double)(window->range_end_ms - window->last_ms) / 1000;
    double sampled = (double)(window->last_ms - window->first_ms) / 1000;
    double average = window->sample_count > 1 ? sampled / (double)(window->sample_count - 1) : 0;
    /*
     * A series that ends within 1.1 sample distances of the range's edge is taken to go on to the
     * edge; else it is taken to begin or end half a distance beyond its outermost sample, but a
     * counter not before it was zero.
     */
    double threshold = average * 1.1;
    if (window->zero_ms != 0) {
        to_start = 0;
        sampled = (double)(window->last_ms - window->zero_ms) / 1000;
    } else {
        if (to_start >= threshold)
            to_start = average / 2;
        if (window->is_counter && window->increase > 0 && window->first_value >= 0) {
            double to_zero = sampled * (window->first_value / window->increase);
            if (to_zero < to_start)
                to_start = to_zero;
        }
    }
    if (to_end >= threshold)
        to_end = average / 2;
    double factor = sampled == 0 ? 1 : (sampled + to_start + to_end) / sampled;
    if (window->is_rate)
        factor /= (double)(window->range_end_ms - window->range_start_ms) / 1000;
    return factor;
}

#endif
