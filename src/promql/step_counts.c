/* Which step of the query looked at how many samples. */
#include "evaluation.h"

/* The first step of the query at or after a step of the stream. */
static size_t step_that_reads(const struct stream *stream, size_t step)
{
    const struct promql_execution_options *options = &stream->evaluation->options;
    if (stream->step_shift_ms == SHIFT_TO_FIRST || options->step_ms == 0)
        return 0;
    int64_t time_ms = step_time(&stream->steps, step) + stream->step_shift_ms;
    if (time_ms <= options->start_ms)
        return 0;
    size_t last = evaluation_step_count(stream->evaluation) - 1;
    uint64_t after_ms = (uint64_t)(time_ms - options->start_ms);
    uint64_t found = (after_ms + (uint64_t)options->step_ms - 1) / (uint64_t)options->step_ms;
    return found < last ? (size_t)found : last;
}

void vector_stream_count_step(const struct stream *stream, struct lane *lane, size_t step,
                              struct sample_count count)
{
    if (stream->sample_weight == 1)
        lane->step_counts[step].queried += count.queried;
    for (uint64_t i = 0; stream->sample_weight > 1 && i < stream->sample_weight; i++)
        lane->step_counts[i].queried += count.queried; /* one step stands for all */
    lane->step_counts[step_that_reads(stream, step)].read += count.read;
}
