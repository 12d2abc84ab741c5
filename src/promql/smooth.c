#include <assert.h>

#include "columns_source.h"

/*
 * An instant selector with the modifier `smoothed`: between two samples the value lies on the
 * line between them; after the last one it stays for the look-back.
 */
struct smooth_stream {
    struct stream stream;
    struct columns_source *source;
    struct time_view view;
};

struct smooth_lane {
    struct step_vector vector;
    bool is_open;
    size_t capacity;
    int64_t *timestamps_ms; /* without stale markers */
    double *values;
};

static struct series_identity smooth_identity(struct stream *self, struct lane *lane, size_t index,
                                              struct arena *arena)
{
    return columns_identity(((struct smooth_stream *)self)->source, lane, index, arena);
}

static enum error_code samples_keep(struct smooth_stream *smooth, struct smooth_lane *state,
                                    struct lane *lane, const struct sample_columns *columns,
                                    size_t *count_out, struct error *error)
{
    if (columns->count > state->capacity) {
        size_t capacity = columns->count + columns->count / 2;
        state->timestamps_ms = arena_array(lane->memory, capacity, sizeof *state->timestamps_ms);
        state->values = arena_array(lane->memory, capacity, sizeof *state->values);
        if (state->timestamps_ms == NULL || state->values == NULL)
            return evaluation_out_of_memory(smooth->stream.evaluation, error);
        state->capacity = capacity;
    }
    size_t count = 0;
    for (size_t i = 0; i < columns->count; i++) {
        if (columns->histograms != NULL && columns->histograms[i] != NULL)
            return error_set(error, ERROR_INVALID,
                             "smoothed and anchored modifiers do not work "
                             "with native histograms");
        if (value_is_stale(columns->values[i]))
            continue;
        state->timestamps_ms[count] = columns->timestamps_ms[i];
        state->values[count++] = columns->values[i];
    }
    *count_out = count;
    return ERROR_NONE;
}

/* The value at `instant_ms`, of which `next` is the first sample at or after it. */
static bool value_at(const struct smooth_stream *smooth, const struct smooth_lane *state,
                     size_t count, size_t next, int64_t instant_ms, double *value_out)
{
    int64_t lookback_ms = smooth->view.range_ms;
    bool has_next = next < count && state->timestamps_ms[next] <= instant_ms + lookback_ms;
    bool has_previous = next > 0 && state->timestamps_ms[next - 1] > instant_ms - lookback_ms;
    if (has_next && state->timestamps_ms[next] == instant_ms) {
        *value_out = state->values[next];
        return true;
    }
    if (!has_previous)
        return false;
    *value_out = state->values[next - 1];
    if (has_next) {
        double part = (double)(instant_ms - state->timestamps_ms[next - 1]) /
                      (double)(state->timestamps_ms[next] - state->timestamps_ms[next - 1]);
        *value_out += (state->values[next] - state->values[next - 1]) * part;
    }
    return true;
}

static enum error_code smooth_read(struct stream *self, struct lane *lane, size_t index,
                                   struct step_vector *vector_out, struct error *error)
{
    struct smooth_stream *smooth = (struct smooth_stream *)self;
    size_t step_count = self->steps.count;
    struct smooth_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state == NULL ||
        (!state->is_open && !step_vector_init(&state->vector, lane->memory, step_count)))
        return evaluation_out_of_memory(self->evaluation, error);
    state->is_open = true;
    struct sample_columns columns;
    size_t count = 0;
    enum error_code code = columns_read(smooth->source, lane, index, &columns, error);
    if (code == ERROR_NONE)
        code = samples_keep(smooth, state, lane, &columns, &count, error);
    if (code != ERROR_NONE)
        return code;
    steps_clear(state->vector.present, step_count);
    size_t next = 0;
    for (size_t step = 0; step < step_count; step++) {
        int64_t instant_ms = view_end(&smooth->view, &self->steps, step);
        while (next < count && state->timestamps_ms[next] < instant_ms)
            next++;
        if (value_at(smooth, state, count, next, instant_ms, &state->vector.values[step]))
            step_set_present(state->vector.present, step);
    }
    *vector_out = state->vector;
    return ERROR_NONE;
}

static void smooth_close(struct stream *self)
{
    columns_close(((struct smooth_stream *)self)->source);
}

static const struct stream_operations SMOOTH_OPERATIONS = {
    .identity = smooth_identity,
    .read = smooth_read,
    .close = smooth_close,
};

enum error_code smooth_selector_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error)
{
    assert(expression->kind == EXPRESSION_SELECTOR);
    const struct selector_node *node = &expression->selector;
    struct smooth_stream *smooth = arena_array(evaluation->arena, 1, sizeof *smooth);
    if (smooth == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = time_view_make(evaluation, &node->shift, NULL,
                                          evaluation->options.lookback_ms, &smooth->view, error);
    if (code == ERROR_NONE)
        code = columns_select(evaluation, node, &smooth->view, SERIES_NEED_ALL, steps,
                              &smooth->source, error);
    if (code != ERROR_NONE)
        return code;
    code = vector_stream_init(&smooth->stream, evaluation, &SMOOTH_OPERATIONS, steps,
                              smooth->source->count, error);
    if (code != ERROR_NONE) {
        columns_close(smooth->source);
        return code;
    }
    smooth->stream.is_unique_without_name = smooth->source->is_unique_without_name;
    *stream_out = &smooth->stream;
    return ERROR_NONE;
}
