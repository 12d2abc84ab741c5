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

/* What of it timestamps alone decide, in seconds. */
struct rate_times {
    double to_start; /* how far the increase is taken to go on before the first sample, */
    double to_end;   /* and behind the last */
    double sampled;
    double range;
};

/*
 * A series that ends within 1.1 sample distances of the range's edge is taken to go on to the edge;
 * else it is taken to begin or end half a distance beyond its outermost sample.
 */
static inline struct rate_times rate_times_of(int64_t range_start_ms, int64_t range_end_ms,
                                              int64_t first_ms, int64_t last_ms,
                                              size_t sample_count)
{
    struct rate_times times = {
        .to_start = (double)(first_ms - range_start_ms) / 1000,
        .to_end = (double)(range_end_ms - last_ms) / 1000,
        .sampled = (double)(last_ms - first_ms) / 1000,
        .range = (double)(range_end_ms - range_start_ms) / 1000,
    };
    double average = sample_count > 1 ? times.sampled / (double)(sample_count - 1) : 0;
    double threshold = average * 1.1;
    if (times.to_start >= threshold)
        times.to_start = average / 2;
    if (times.to_end >= threshold)
        times.to_end = average / 2;
    return times;
}

/* What the sampled increase is multiplied with. */
static inline double rate_times_factor(const struct rate_times *times, double to_start,
                                       bool is_rate)
{
    double factor =
        times->sampled == 0 ? 1 : (times->sampled + to_start + times->to_end) / times->sampled;
    return is_rate ? factor / times->range : factor;
}

/* The same for one window, in which a counter is not taken to go on to before it was zero. */
static inline double window_rate_factor(const struct rate_window *window)
{
    struct rate_times times =
        rate_times_of(window->range_start_ms, window->range_end_ms, window->first_ms,
                      window->last_ms, window->sample_count);
    if (window->zero_ms != 0) {
        times.to_start = 0;
        times.sampled = (double)(window->last_ms - window->zero_ms) / 1000;
    } else if (window->is_counter && window->increase > 0 && window->first_value >= 0) {
        double to_zero = times.sampled * (window->first_value / window->increase);
        if (to_zero < times.to_start)
            times.to_start = to_zero;
    }
    return rate_times_factor(&times, times.to_start, window->is_rate);
}

#endif
