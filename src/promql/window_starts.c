#include "window_starts.h"

bool start_timestamp_tells_reset(int64_t previous_start_ms, int64_t previous_ms, int64_t start_ms,
                                 int64_t timestamp_ms)
{
    /* A start at the sample itself is OpenTelemetry's "unknown". */
    if (start_ms == 0 || start_ms >= timestamp_ms || start_ms < previous_ms)
        return false;
    if (start_ms > previous_ms)
        return true;
    /* It starts where the previous sample is: a delta, or (when the start of the previous one is
     * not known or not before it) a cumulative series whose start nobody knows. */
    return previous_start_ms != 0 && previous_start_ms < previous_ms;
}

bool window_uses_starts(const struct window_call *call, const struct window_samples *samples)
{
    return call->evaluation->options.features == PROMQL_EXPERIMENTAL &&
           samples->start_timestamps_ms != NULL;
}

int64_t window_zero_instant(const struct window_call *call, const struct window_samples *samples,
                            size_t first, int64_t range_start_ms)
{
    if (call->function == FUNCTION_DELTA || !window_uses_starts(call, samples))
        return 0;
    int64_t start_ms = samples->start_timestamps_ms[first];
    bool is_inside = start_ms > range_start_ms && start_ms < samples->timestamps_ms[first];
    return is_inside ? start_ms : 0;
}

void window_check_start_overlap(const struct window_call *call,
                                const struct window_samples *samples, size_t first, size_t last)
{
    if (!window_uses_starts(call, samples))
        return;
    for (size_t i = first + 1; i < last; i++) {
        int64_t start_ms = samples->start_timestamps_ms[i];
        if (start_ms == 0 || start_ms >= samples->timestamps_ms[i - 1] ||
            start_ms == samples->start_timestamps_ms[i - 1])
            continue;
        struct text name = text_quote(call->lane->scratch, window_metric_name(call));
        evaluation_annotate(
            call->evaluation, PROMQL_WARNING, call->range_position,
            "sample has start time that overlaps with previous sample timestamp for "
            "metric %.*s",
            TEXT_ARGUMENTS(name));
        return;
    }
}
