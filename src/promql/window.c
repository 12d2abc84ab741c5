#include "window.h"
#include "step_output.h"

#include <assert.h>

#include "base/checksum.h"

/* --- Bounds ---------------------------------------------------------------------------------- */

struct window_bounds {
    uint32_t *first; /* [steps] */
    uint32_t *last;
};

struct window_lane {
    struct step_output output;
    uint64_t
        noted_name; /* hash of the name that was noted last as not that of a counter; 0: none */
    struct window_bounds floats;
    struct window_bounds histogram_bounds;
    struct window_memo memo;
    uint64_t timestamps_id; /* that `floats` was made for; 0: none */
    size_t timestamps_count;
    struct sample_count float_count; /* in all windows of `floats` */
    uint64_t *histogram_sums;        /* [capacity + 1], of histogram_sample_count up to each */
    /* Room for a series that must be taken apart: stale markers, histograms. */
    size_t capacity;
    int64_t *float_timestamps_ms;
    int64_t *float_starts_ms;
    double *float_values;
    int64_t *histogram_timestamps_ms;
    int64_t *histogram_starts_ms;
    const struct histogram **histogram_values;
};

struct window_stream {
    struct stream stream;
    struct columns_source *source;
    struct time_view view;
    const struct expression *call;
    const struct expression *range; /* the range vector argument */
    struct text_range range_position;
    struct text_range first_position; /* of the first argument */
    window_kernel *kernel;
    const double *parameters[WINDOW_PARAMETERS_MAX];
    struct text_range parameter_position;
    bool keeps_name;
};

/* Both ends of the windows ascend, so one sweep finds all: O(samples + steps). */
static void bounds_find(const int64_t *timestamps_ms, size_t count, const struct time_view *view,
                        int64_t before_ms, int64_t after_ms, const struct step_range *steps,
                        struct window_bounds *bounds)
{
    size_t first = 0;
    size_t last = 0;
    for (size_t step = 0; step < steps->count; step++) {
        int64_t end_ms = view_end(view, steps, step);
        while (last < count && timestamps_ms[last] <= end_ms + after_ms)
            last++;
        while (first < last && timestamps_ms[first] <= end_ms - view->range_ms - before_ms)
            first++;
        bounds->first[step] = (uint32_t)first;
        bounds->last[step] = (uint32_t)last;
    }
}

/* What stands before sample `i`: as many samples, or what they count. */
static uint64_t sum_before(const uint64_t *sums, uint32_t i)
{
    return sums == NULL ? i : sums[i];
}

/* Samples in the window of a step; `sums` are of what each counts, NULL: all count one. */
static struct sample_count window_samples_count(const struct window_bounds *bounds, size_t step,
                                                const uint64_t *sums)
{
    uint32_t first = bounds->first[step], last = bounds->last[step];
    uint32_t seen = step == 0 ? 0 : bounds->last[step - 1]; /* by the windows before */
    uint32_t unseen = first > seen ? first : seen;
    return (struct sample_count){
        .queried = sum_before(sums, last) - sum_before(sums, first),
        .read = last > unseen ? sum_before(sums, last) - sum_before(sums, unseen) : 0,
    };
}

/* In all windows together. */
static struct sample_count bounds_samples(const struct window_bounds *bounds, size_t count,
                                          const uint64_t *sums)
{
    struct sample_count total = {0};
    for (size_t step = 0; step < count; step++) {
        struct sample_count window = window_samples_count(bounds, step, sums);
        total.queried += window.queried;
        total.read += window.read;
    }
    return total;
}

static bool bounds_init(struct window_bounds *bounds, struct arena *arena, size_t count)
{
    bounds->first = arena_array(arena, count, sizeof *bounds->first);
    bounds->last = arena_array(arena, count, sizeof *bounds->last);
    return bounds->first != NULL && bounds->last != NULL;
}

/* --- A lane ---------------------------------------------------------------------------------- */

static struct window_lane *window_lane_open(struct stream *self, struct lane *lane)
{
    struct window_lane *state = vector_stream_lane_state(self, lane, sizeof *state);
    if (state == NULL)
        return NULL;
    size_t count = self->steps.count;
    bool is_made = state->output.histograms != NULL;
    if (!is_made && (!bounds_init(&state->floats, lane->memory, count) ||
                     !bounds_init(&state->histogram_bounds, lane->memory, count)))
        return NULL;
    return step_output_begin(&state->output, lane->memory, count) ? state : NULL;
}

static bool window_lane_reserve(struct window_lane *state, struct lane *lane, size_t count)
{
    if (count <= state->capacity)
        return true;
    size_t capacity = count + count / 2;
    state->float_timestamps_ms = arena_array(lane->memory, capacity, sizeof(int64_t));
    state->float_starts_ms = arena_array(lane->memory, capacity, sizeof(int64_t));
    state->float_values = arena_array(lane->memory, capacity, sizeof(double));
    state->histogram_timestamps_ms = arena_array(lane->memory, capacity, sizeof(int64_t));
    state->histogram_starts_ms = arena_array(lane->memory, capacity, sizeof(int64_t));
    state->histogram_values = arena_array(lane->memory, capacity, sizeof(void *));
    state->histogram_sums = arena_array(lane->memory, capacity + 1, sizeof(uint64_t));
    if (state->float_timestamps_ms == NULL || state->float_starts_ms == NULL ||
        state->float_values == NULL || state->histogram_timestamps_ms == NULL ||
        state->histogram_starts_ms == NULL || state->histogram_values == NULL ||
        state->histogram_sums == NULL)
        return false;
    state->capacity = capacity;
    return true;
}

static bool columns_are_plain(const struct sample_columns *columns)
{
    if (columns->histograms != NULL)
        return false;
    /* Stale markers are seldom: all values are looked at, several at once. The highest bit of
     * `zeros` is set when one differs from a marker by nothing. */
    uint64_t zeros = 0;
    for (size_t i = 0; i < columns->count; i++) {
        uint64_t difference = double_to_bits(columns->values[i]) ^ STALE_MARKER_BITS;
        zeros |= (difference - 1) & ~difference;
    }
    return zeros >> 63 == 0;
}

/* Floats and histograms apart, without stale markers. */
static bool columns_take_apart(const struct sample_columns *columns, struct window_lane *state,
                               struct lane *lane, struct window_call *call)
{
    if (!window_lane_reserve(state, lane, columns->count))
        return false;
    size_t floats = 0;
    size_t histograms = 0;
    if (columns->count > 0)
        state->histogram_sums[0] = 0;
    for (size_t i = 0; i < columns->count; i++) {
        const struct histogram *histogram =
            columns->histograms == NULL ? NULL : columns->histograms[i];
        if (value_is_stale(histogram == NULL ? columns->values[i] : histogram->sum))
            continue;
        int64_t start_ms =
            columns->start_timestamps_ms == NULL ? 0 : columns->start_timestamps_ms[i];
        if (histogram == NULL) {
            state->float_timestamps_ms[floats] = columns->timestamps_ms[i];
            state->float_starts_ms[floats] = start_ms;
            state->float_values[floats++] = columns->values[i];
        } else {
            state->histogram_timestamps_ms[histograms] = columns->timestamps_ms[i];
            state->histogram_starts_ms[histograms] = start_ms;
            state->histogram_values[histograms++] = histogram;
            state->histogram_sums[histograms] =
                state->histogram_sums[histograms - 1] + histogram_sample_count(histogram);
        }
    }
    bool has_starts = columns->start_timestamps_ms != NULL;
    call->floats = (struct window_samples){
        .count = floats,
        .timestamps_ms = state->float_timestamps_ms,
        .values = state->float_values,
        .start_timestamps_ms = has_starts ? state->float_starts_ms : NULL,
    };
    call->histograms = (struct window_samples){
        .count = histograms,
        .timestamps_ms = state->histogram_timestamps_ms,
        .histograms = state->histogram_values,
        .start_timestamps_ms = has_starts ? state->histogram_starts_ms : NULL,
    };
    return true;
}

/* --- The stream ------------------------------------------------------------------------------ */

static struct series_identity window_identity(struct stream *self, struct lane *lane, size_t index,
                                              struct arena *arena)
{
    struct window_stream *window = (struct window_stream *)self;
    struct series_identity identity = columns_identity(window->source, lane, index, arena);
    if (window->keeps_name)
        return identity;
    return identity_drop_name(self->evaluation, identity, arena);
}

static void window_count_steps(const struct window_stream *window, struct lane *lane,
                               const struct window_bounds *bounds, const uint64_t *sums)
{
    bool is_subquery = window->range->kind == EXPRESSION_SUBQUERY;
    for (size_t step = 0; step < window->stream.steps.count; step++) {
        struct sample_count count = window_samples_count(bounds, step, sums);
        if (is_subquery)
            count.read = 0;
        vector_stream_count_step(&window->stream, lane, step, count);
    }
}

/* The samples of a series and their windows, put into `call`. */
static enum error_code window_prepare(struct window_stream *window, struct window_lane *state,
                                      struct lane *lane, const struct sample_columns *columns,
                                      struct window_call *call, struct error *error)
{
    const struct step_range *steps = &window->stream.steps;
    int64_t lookback_ms = window->stream.evaluation->options.lookback_ms;
    int64_t before_ms = call->mode == RANGE_PLAIN ? 0 : lookback_ms;
    int64_t after_ms = call->mode == RANGE_SMOOTHED ? lookback_ms : 0;
    uint64_t timestamps_id = columns->timestamps_id;
    if (columns_are_plain(columns)) {
        call->floats = (struct window_samples){
            .count = columns->count,
            .timestamps_ms = columns->timestamps_ms,
            .values = columns->values,
            .start_timestamps_ms = columns->start_timestamps_ms,
        };
    } else {
        timestamps_id = 0;
        if (!columns_take_apart(columns, state, lane, call))
            return evaluation_out_of_memory(window->stream.evaluation, error);
    }
    if (timestamps_id == 0 || timestamps_id != state->timestamps_id ||
        call->floats.count != state->timestamps_count) {
        bounds_find(call->floats.timestamps_ms, call->floats.count, &window->view, before_ms,
                    after_ms, steps, &state->floats);
        state->float_count = bounds_samples(&state->floats, steps->count, NULL);
        state->memo.is_made = false;
    }
    state->timestamps_id = timestamps_id;
    state->timestamps_count = call->floats.count;
    call->floats.first = state->floats.first;
    call->floats.last = state->floats.last;
    struct sample_count counted = state->float_count;
    if (call->histograms.count > 0) {
        bounds_find(call->histograms.timestamps_ms, call->histograms.count, &window->view,
                    before_ms, after_ms, steps, &state->histogram_bounds);
        struct sample_count more =
            bounds_samples(&state->histogram_bounds, steps->count, state->histogram_sums);
        counted.queried += more.queried;
        counted.read += more.read;
    }
    if (window->range->kind == EXPRESSION_SUBQUERY) /* read as they were made */
        counted.read = 0;
    vector_stream_count_samples(&window->stream, lane, counted);
    if (lane->step_counts != NULL)
        window_count_steps(window, lane, &state->floats, NULL);
    if (lane->step_counts != NULL && call->histograms.count > 0)
        window_count_steps(window, lane, &state->histogram_bounds, state->histogram_sums);
    call->histograms.first = state->histogram_bounds.first;
    call->histograms.last = state->histogram_bounds.last;
    return ERROR_NONE;
}

static const char *const COUNTER_SUFFIXES[] = {"_total", "_sum", "_count", "_bucket"};

/* rate and increase of what is not named like a counter. */
static void window_check_counter_name(struct window_lane *state, const struct window_call *call,
                                      const struct step_vector *vector)
{
    if (call->source->metric_name.size > 0 && state->noted_name != 0)
        return; /* that one */
    struct text name = window_metric_name(call);
    uint64_t name_hash = hash64(name.data, name.size, HASH_SEED_STORED) | 1;
    if (name.size == 0 || name_hash == state->noted_name)
        return;
    if (call->evaluation->delayed_names) {
        /* Type and unit labels are on together with delayed names: the label decides. */
        struct labels labels =
            columns_identity(call->source, call->lane, call->series, call->lane->scratch).labels;
        struct text type = labels_get(labels, TEXT("__type__"));
        if (text_equal(type, TEXT("counter")) || text_equal(type, TEXT("histogram")))
            return;
    }
    for (size_t i = 0; i < sizeof COUNTER_SUFFIXES / sizeof COUNTER_SUFFIXES[0]; i++)
        if (text_ends_with(name, text_of(COUNTER_SUFFIXES[i])))
            return;
    for (size_t step = step_next(vector->present, call->steps->count, 0); step < call->steps->count;
         step = step_next(vector->present, call->steps->count, step + 1)) {
        if (step_histogram(vector, step) != NULL)
            continue;
        struct text quoted = text_quote(call->lane->scratch, name);
        evaluation_annotate(call->evaluation, PROMQL_INFO, call->range_position,
                            "metric might not be a counter, name does not end in "
                            "_total/_sum/_count/_bucket: %.*s",
                            TEXT_ARGUMENTS(quoted));
        state->noted_name = name_hash;
        return;
    }
}

/* Where Prometheus says that an argument is: in the place of a subquery stands a selector that it
 * made of the samples, and that has none. */
static struct text_range argument_position(const struct expression *argument)
{
    argument = expression_unwrap(argument);
    return argument->kind == EXPRESSION_SUBQUERY ? (struct text_range){0} : argument->position;
}

static enum error_code window_read(struct stream *self, struct lane *lane, size_t index,
                                   struct step_vector *vector_out, struct error *error)
{
    struct window_stream *window = (struct window_stream *)self;
    struct window_lane *state = window_lane_open(self, lane);
    if (state == NULL)
        return evaluation_out_of_memory(self->evaluation, error);
    struct sample_columns columns;
    enum error_code code = columns_read(window->source, lane, index, &columns, error);
    if (code != ERROR_NONE)
        return code;
    *vector_out = state->output.vector;
    if (columns.count == 0)
        return ERROR_NONE;
    struct window_call call = {
        .evaluation = self->evaluation,
        .lane = lane,
        .source = window->source,
        .series = index,
        .function = window->call->call.function,
        .steps = &self->steps,
        .view = &window->view,
        .mode = window->source->mode,
        .memo = &state->memo,
        .parameters = {window->parameters[0], window->parameters[1]},
        .range_position = window->range_position,
        .call_position = window->first_position,
        .parameter_position = window->parameter_position,
    };
    code = window_prepare(window, state, lane, &columns, &call, error);
    if (code != ERROR_NONE)
        return code;
    bool has_histograms = call.histograms.count > 0;
    if (has_histograms) {
        if (call.mode != RANGE_PLAIN && window->kernel != window_extended_rate)
            return error_set(error, ERROR_INVALID,
                             "smoothed and anchored modifiers do not work "
                             "with native histograms");
        step_output_expect_histograms(&state->output, self->steps.count);
    }
    code = window->kernel(&call, &state->output.vector, error);
    if (code != ERROR_NONE)
        return code;
    if (call.function == FUNCTION_RATE || call.function == FUNCTION_INCREASE)
        window_check_counter_name(state, &call, &state->output.vector);
    *vector_out = state->output.vector;
    return ERROR_NONE;
}

static void window_close(struct stream *self)
{
    columns_close(((struct window_stream *)self)->source);
}

static const struct stream_operations WINDOW_OPERATIONS = {
    .identity = window_identity,
    .read = window_read,
    .close = window_close,
};

/* --- Building -------------------------------------------------------------------------------- */

static enum error_code window_source_open(struct window_stream *window,
                                          struct evaluation *evaluation,
                                          const struct step_range *steps, struct error *error)
{
    const struct expression *range = window->range;
    if (range->kind == EXPRESSION_SUBQUERY) {
        enum error_code code = time_view_make(evaluation, &range->subquery.shift,
                                              &range->subquery.range, 0, &window->view, error);
        if (code != ERROR_NONE)
            return code;
        return columns_subquery(evaluation, &range->subquery, &window->view, steps, &window->source,
                                error);
    }
    assert(range->kind == EXPRESSION_MATRIX);
    const struct selector_node *selector = &range->matrix.selector->selector;
    enum error_code code =
        time_view_make(evaluation, &selector->shift, &range->matrix.range, 0, &window->view, error);
    if (code != ERROR_NONE)
        return code;
    return columns_select(evaluation, selector, &window->view, SERIES_NEED_ALL, steps,
                          &window->source, error);
}

/* Anchored and smoothed windows hold samples outside of the range: few functions know that. */
static enum error_code window_check_mode(struct window_stream *window, enum function_id function,
                                         struct error *error)
{
    enum range_mode mode = window->source->mode;
    bool is_rate =
        function == FUNCTION_RATE || function == FUNCTION_INCREASE || function == FUNCTION_DELTA;
    bool is_changes = function == FUNCTION_CHANGES || function == FUNCTION_RESETS;
    const struct text name = function_describe(function)->name;
    if (mode == RANGE_ANCHORED && !is_rate && !is_changes)
        return error_set(error, ERROR_INVALID,
                         "anchored modifier can only be used with: changes, delta, increase, "
                         "rate, resets - not with %.*s",
                         TEXT_ARGUMENTS(name));
    if (mode == RANGE_SMOOTHED && !is_rate)
        return error_set(error, ERROR_INVALID,
                         "smoothed modifier can only be used with: delta, increase, rate - not "
                         "with %.*s",
                         TEXT_ARGUMENTS(name));
    if (mode != RANGE_PLAIN && is_rate)
        window->kernel = window_extended_rate;
    return ERROR_NONE;
}

static enum error_code window_arguments(struct window_stream *window, struct evaluation *evaluation,
                                        const struct step_range *steps, struct error *error)
{
    const struct call_node *call = &window->call->call;
    size_t parameters = 0;
    for (size_t i = 0; i < call->argument_count; i++) {
        const struct expression *argument = expression_unwrap(call->arguments[i]);
        if (argument->type == VALUE_MATRIX) {
            window->range = argument;
            continue;
        }
        assert(parameters < WINDOW_PARAMETERS_MAX);
        if (parameters == 0)
            window->parameter_position = argument->position;
        enum error_code code =
            evaluate_scalar(evaluation, argument, steps, &window->parameters[parameters++], error);
        if (code != ERROR_NONE)
            return code;
    }
    assert(window->range != NULL);
    window->range_position = argument_position(window->range);
    window->first_position = argument_position(call->arguments[0]);
    return ERROR_NONE;
}

enum error_code window_stream(struct evaluation *evaluation, const struct expression *call,
                              const struct step_range *steps, struct stream **stream_out,
                              struct error *error)
{
    struct window_stream *window = arena_array(evaluation->arena, 1, sizeof *window);
    if (window == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum function_id function = call->call.function;
    window->call = call;
    window->kernel = window_kernel_of(function);
    /* absent_over_time shows no series, so none of them can collide. */
    window->keeps_name = function == FUNCTION_LAST_OVER_TIME ||
                         function == FUNCTION_FIRST_OVER_TIME ||
                         function == FUNCTION_ABSENT_OVER_TIME;
    assert(window->kernel != NULL);
    enum error_code code = window_arguments(window, evaluation, steps, error);
    if (code == ERROR_NONE)
        code = window_source_open(window, evaluation, steps, error);
    if (code != ERROR_NONE)
        return code;
    code = window_check_mode(window, function, error);
    if (code == ERROR_NONE)
        code = vector_stream_init(&window->stream, evaluation, &WINDOW_OPERATIONS, steps,
                                  window->source->count, error);
    if (code != ERROR_NONE) {
        columns_close(window->source);
        return code;
    }
    window->stream.is_unique_without_name = window->source->is_unique_without_name;
    if (window->keeps_name || evaluation->delayed_names) {
        *stream_out = &window->stream;
        return ERROR_NONE;
    }
    return vector_stream_merge_equal_labels(&window->stream, stream_out, error);
}

/* --- For kernels ----------------------------------------------------------------------------- */

struct text window_metric_name(const struct window_call *call)
{
    if (call->source->metric_name.size > 0)
        return call->source->metric_name;
    struct series_identity identity =
        columns_identity(call->source, call->lane, call->series, call->lane->scratch);
    return labels_get(identity.labels, LABEL_METRIC_NAME);
}

void window_warn_mixed(const struct window_call *call)
{
    struct text name = text_quote(call->lane->scratch, window_metric_name(call));
    evaluation_annotate(call->evaluation, PROMQL_WARNING, call->range_position,
                        "encountered a mix of histograms and floats for metric name %.*s",
                        TEXT_ARGUMENTS(name));
}

void window_note_ignored_histograms(const struct window_call *call)
{
    struct text name = text_quote(call->lane->scratch, window_metric_name(call));
    evaluation_annotate(call->evaluation, PROMQL_INFO, call->call_position,
                        "ignored histograms in a range containing both floats and histograms "
                        "for metric name %.*s",
                        TEXT_ARGUMENTS(name));
}

window_kernel *window_kernel_of(enum function_id function)
{
    switch (function) {
    case FUNCTION_RATE:
    case FUNCTION_INCREASE:
    case FUNCTION_DELTA:
        return window_rate;
    case FUNCTION_IRATE:
    case FUNCTION_IDELTA:
        return window_instant_rate;
    case FUNCTION_CHANGES:
    case FUNCTION_RESETS:
        return window_changes;
    case FUNCTION_SUM_OVER_TIME:
    case FUNCTION_AVG_OVER_TIME:
        return window_sum;
    case FUNCTION_MIN_OVER_TIME:
    case FUNCTION_MAX_OVER_TIME:
    case FUNCTION_TS_OF_MIN_OVER_TIME:
    case FUNCTION_TS_OF_MAX_OVER_TIME:
        return window_extreme;
    case FUNCTION_STDDEV_OVER_TIME:
    case FUNCTION_STDVAR_OVER_TIME:
        return window_variance;
    case FUNCTION_QUANTILE_OVER_TIME:
        return window_quantile;
    case FUNCTION_MAD_OVER_TIME:
        return window_mad;
    case FUNCTION_COUNT_OVER_TIME:
        return window_count;
    case FUNCTION_PRESENT_OVER_TIME:
    case FUNCTION_ABSENT_OVER_TIME:
        return window_present;
    case FUNCTION_FIRST_OVER_TIME:
    case FUNCTION_LAST_OVER_TIME:
    case FUNCTION_TS_OF_FIRST_OVER_TIME:
    case FUNCTION_TS_OF_LAST_OVER_TIME:
        return window_edge;
    case FUNCTION_DERIV:
    case FUNCTION_PREDICT_LINEAR:
        return window_regression;
    case FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING:
        return window_smoothing;
    default:
        return NULL;
    }
}
