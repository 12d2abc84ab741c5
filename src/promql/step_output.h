/*
 * step_output - what an operator hands out in one lane: a step vector whose memory is made once
 * and filled anew for every series.
 */
#ifndef PROMQL_STEP_OUTPUT_H
#define PROMQL_STEP_OUTPUT_H

#include "step_vector.h"

/* All zero before the first series. */
struct step_output {
    struct step_vector vector;
    const struct histogram **histograms; /* [steps]: the memory of vector.histograms */
};

/* Begin a series: nothing present, no histograms; false when memory is out. */
static inline bool step_output_begin(struct step_output *output, struct arena *arena,
                                     size_t step_count)
{
    if (output->histograms == NULL) {
        const struct histogram **histograms = arena_array(arena, step_count, sizeof *histograms);
        if (histograms == NULL || !step_vector_init(&output->vector, arena, step_count))
            return false;
        output->histograms = histograms;
    }
    steps_clear(output->vector.present, step_count);
    output->vector.histograms = NULL;
    return true;
}

/* There may be histograms: none yet. */
static inline void step_output_expect_histograms(struct step_output *output, size_t step_count)
{
    memset(output->histograms, 0, step_count * sizeof *output->histograms);
    output->vector.histograms = output->histograms;
}

static inline void step_output_value(struct step_output *output, size_t step, double value)
{
    step_set_present(output->vector.present, step);
    output->vector.values[step] = value;
}

static inline void step_output_histogram(struct step_output *output, size_t step_count, size_t step,
                                         const struct histogram *histogram)
{
    if (output->vector.histograms == NULL)
        step_output_expect_histograms(output, step_count);
    step_set_present(output->vector.present, step);
    output->histograms[step] = histogram;
}

#endif
