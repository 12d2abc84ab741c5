/* How many samples a query looked at, and which step of it at how many. */
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

/* Those of all lanes together. Left out when memory is short: the answer is there. */
static void add_up_steps(struct evaluation *evaluation, struct promql_statistics *statistics)
{
    size_t count = evaluation_step_count(evaluation);
    struct promql_step_count *sums = arena_array(evaluation->arena, count, sizeof *sums);
    if (sums == NULL)
        return;
    for (size_t i = 0; i < evaluation->lane_count; i++) {
        const struct sample_count *counts = evaluation->lanes[i].step_counts;
        for (size_t step = 0; step < count; step++) {
            sums[step].samples_queried += counts[step].queried;
            sums[step].samples_read += counts[step].read;
        }
    }
    statistics->step_counts = sums;
    statistics->step_count = count;
}

void evaluation_statistics(struct evaluation *evaluation, struct promql_statistics *statistics)
{
    for (size_t i = 0; i < evaluation->lane_count; i++) {
        statistics->samples_queried += evaluation->lanes[i].counted.queried;
        statistics->samples_read += evaluation->lanes[i].counted.read;
    }
    if (evaluation->options.counts_steps)
        add_up_steps(evaluation, statistics);
    statistics->samples_held_max =
        atomic_load(&evaluation->samples_held_max) + evaluation->samples_held_elsewhere;
    statistics->memory_bytes_max = atomic_load(&evaluation->memory.used_bytes_max);
    statistics->series_selected = evaluation->series_selected;
}
