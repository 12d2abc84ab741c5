#include <assert.h>

#include "columns_source.h"
#include "step_output.h"

/* --- Times ----------------------------------------------------------------------------------- */

enum error_code time_view_make(struct evaluation *evaluation, const struct time_shift *shift,
                               const struct duration *range, int64_t range_ms,
                               struct time_view *view_out, struct error *error)
{
    struct time_view view = {.range_ms = range_ms, .is_pinned = shift->at != AT_NONE};
    enum error_code code =
        duration_evaluate(&shift->offset, DURATION_ANY_SIGN, &evaluation->duration_environment,
                          &view.offset_ms, error);
    if (code == ERROR_NONE && range != NULL)
        code = duration_evaluate(range, DURATION_POSITIVE, &evaluation->duration_environment,
                                 &view.range_ms, error);
    if (code != ERROR_NONE)
        return code;
    if (shift->at == AT_TIMESTAMP)
        view.pinned_ms = time_bounded(shift->at_timestamp_ms);
    else if (shift->at == AT_START)
        view.pinned_ms = evaluation->query_start_ms;
    else if (shift->at == AT_END)
        view.pinned_ms = evaluation->query_end_ms;
    view.offset_ms = time_bounded(view.offset_ms);
    view.range_ms = time_bounded(view.range_ms);
    *view_out = view;
    return ERROR_NONE;
}

/* --- Instant vectors ------------------------------------------------------------------------- */

#define NO_SAMPLE UINT32_MAX

struct selector_stream {
    struct stream stream;
    struct columns_source *source;
    struct time_view view;
    enum selector_value value;
};

struct selector_lane {
    struct step_output output;
    uint32_t *samples;      /* [steps]: the index of the step's sample */
    uint64_t timestamps_id; /* that `samples` was made for; 0: none */
};

static struct series_identity selector_identity(struct stream *self, struct lane *lane,
                                                size_t index, struct arena *arena)
{
    struct selector_stream *selector = (struct selector_stream *)self;
    return columns_identity(selector->source, lane, index, arena);
}

static struct selector_lane *selector_lane_open(struct stream *self, struct lane *lane)
{
    struct selector_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state == NULL || state->samples != NULL)
        return state;
    state->samples = arena_array(lane->memory, self->steps.count, sizeof *state->samples);
    return state->samples == NULL ? NULL : state;
}

/* The latest sample in (end - range, end] of each step. Ends ascend, so one sweep finds all. */
static void samples_find(const struct sample_columns *columns, const struct time_view *view,
                         const struct step_range *steps, uint32_t *samples)
{
    size_t next = 0; /* the first sample after the step */
    if (columns->count > 0 && (steps->count == 1 || view->is_pinned)) {
        /* One instant: look from the end, where it usually is. */
        next = columns->count;
        int64_t end_ms = view_end(view, steps, 0);
        while (next > 0 && columns->timestamps_ms[next - 1] > end_ms)
            next--;
    }
    for (size_t step = 0; step < steps->count; step++) {
        int64_t end_ms = view_end(view, steps, step);
        while (next < columns->count && columns->timestamps_ms[next] <= end_ms)
            next++;
        bool is_found = next > 0 && columns->timestamps_ms[next - 1] > end_ms - view->range_ms;
        samples[step] = is_found ? (uint32_t)(next - 1) : NO_SAMPLE;
    }
}

static double sample_value(enum selector_value value, const struct sample_columns *columns,
                           size_t sample)
{
    switch (value) {
    case SELECTOR_TIMESTAMP:
        return (double)columns->timestamps_ms[sample] / 1000;
    case SELECTOR_START_TIMESTAMP:
        return columns->start_timestamps_ms == NULL
                   ? 0
                   : (double)columns->start_timestamps_ms[sample] / 1000;
    case SELECTOR_VALUE:
        break;
    }
    return columns->values[sample];
}

/* Take the values of the samples found; returns how many, as Prometheus counts. */
static uint64_t samples_gather(const struct selector_stream *selector, struct selector_lane *state,
                               const struct sample_columns *columns)
{
    size_t count = selector->stream.steps.count;
    uint64_t present_count = 0;
    bool has_histograms = columns->histograms != NULL;
    for (size_t step = 0; step < count; step++) {
        uint32_t sample = state->samples[step];
        if (sample == NO_SAMPLE)
            continue;
        const struct histogram *histogram = has_histograms ? columns->histograms[sample] : NULL;
        if (value_is_stale(histogram == NULL ? columns->values[sample] : histogram->sum))
            continue;
        if (histogram != NULL && selector->value == SELECTOR_VALUE) {
            step_output_histogram(&state->output, count, step, histogram);
            present_count += histogram_sample_count(histogram);
        } else {
            step_output_value(&state->output, step, sample_value(selector->value, columns, sample));
            present_count++;
        }
    }
    return present_count;
}

static void selector_count_steps(const struct selector_stream *selector, struct lane *lane,
                                 const struct step_vector *vector)
{
    size_t count = selector->stream.steps.count;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        const struct histogram *histogram = step_histogram(vector, step);
        uint64_t samples = histogram == NULL ? 1 : histogram_sample_count(histogram);
        vector_stream_count_step(&selector->stream, lane, step,
                                 (struct sample_count){samples, samples});
    }
}

static enum error_code selector_read(struct stream *self, struct lane *lane, size_t index,
                                     struct step_vector *vector_out, struct error *error)
{
    struct selector_stream *selector = (struct selector_stream *)self;
    struct selector_lane *state = selector_lane_open(self, lane);
    if (state == NULL || !step_output_begin(&state->output, lane->memory, self->steps.count))
        return evaluation_out_of_memory(self->evaluation, error);
    struct sample_columns columns;
    enum error_code code = columns_read(selector->source, lane, index, &columns, error);
    if (code != ERROR_NONE)
        return code;
    if (columns.timestamps_id == 0 || columns.timestamps_id != state->timestamps_id) {
        samples_find(&columns, &selector->view, &self->steps, state->samples);
        state->timestamps_id = columns.timestamps_id;
    }
    uint64_t present = samples_gather(selector, state, &columns);
    vector_stream_count_samples(self, lane, (struct sample_count){present, present});
    if (lane->step_counts != NULL)
        selector_count_steps(selector, lane, &state->output.vector);
    *vector_out = state->output.vector;
    return ERROR_NONE;
}

static void selector_close(struct stream *self)
{
    columns_close(((struct selector_stream *)self)->source);
}

static const struct stream_operations SELECTOR_OPERATIONS = {
    .identity = selector_identity,
    .read = selector_read,
    .close = selector_close,
};

enum error_code selector_stream(struct evaluation *evaluation, const struct expression *expression,
                                enum selector_value value, const struct step_range *steps,
                                struct stream **stream_out, struct error *error)
{
    assert(expression->kind == EXPRESSION_SELECTOR);
    const struct selector_node *node = &expression->selector;
    struct selector_stream *selector = arena_array(evaluation->arena, 1, sizeof *selector);
    if (selector == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = time_view_make(evaluation, &node->shift, NULL,
                                          evaluation->options.lookback_ms, &selector->view, error);
    if (code != ERROR_NONE)
        return code;
    bool is_one_instant = steps->count == 1 || selector->view.is_pinned;
    code = columns_select(evaluation, node, &selector->view,
                          is_one_instant ? SERIES_NEED_LATEST : SERIES_NEED_ALL, steps,
                          &selector->source, error);
    if (code != ERROR_NONE)
        return code;
    selector->value = value;
    code = vector_stream_init(&selector->stream, evaluation, &SELECTOR_OPERATIONS, steps,
                              selector->source->count, error);
    if (code != ERROR_NONE) {
        columns_close(selector->source);
        return code;
    }
    selector->stream.is_unique_without_name = selector->source->is_unique_without_name;
    *stream_out = &selector->stream;
    return ERROR_NONE;
}
