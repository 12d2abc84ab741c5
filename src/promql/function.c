#include "function.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "base/text_set.h"

#include "columns_source.h"
#include "store.h"
#include "window.h"

/* --- Streams of one series ------------------------------------------------------------------ */

enum error_code constant_stream(struct evaluation *evaluation, const double *values,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error)
{
    struct store store;
    enum error_code code = store_init(&store, evaluation, steps, error);
    struct step_vector *vector;
    if (code == ERROR_NONE)
        code = store_add(&store, (struct series_identity){0}, &vector, error);
    if (code != ERROR_NONE) {
        store_clear(&store);
        return code;
    }
    memcpy(vector->values, values, steps->count * sizeof *values);
    steps_fill(vector->present, steps->count);
    return store_stream(&store, stream_out, error);
}

static enum error_code empty_stream(struct evaluation *evaluation, const struct step_range *steps,
                                    struct stream **stream_out, struct error *error)
{
    struct store store;
    enum error_code code = store_init(&store, evaluation, steps, error);
    return code == ERROR_NONE ? store_stream(&store, stream_out, error) : code;
}

/* --- Scalars --------------------------------------------------------------------------------- */

struct scalar_run {
    struct stream *input;
    struct partition partition;
    double *values;         /* [steps] */
    _Atomic uint8_t *found; /* [steps]: 0, 1, 2: more than one */
};

static enum error_code scalar_visit(void *context, struct lane *lane, size_t index,
                                    const struct step_vector *vector, struct error *error)
{
    (void)lane, (void)index, (void)error;
    struct scalar_run *run = context;
    size_t count = run->input->steps.count;
    for (size_t step = step_next(vector->present, count, 0); step < count;
         step = step_next(vector->present, count, step + 1)) {
        if (step_histogram(vector, step) != NULL || atomic_load(&run->found[step]) == 2)
            continue;
        /* Only the first writes the value; a second one makes it unused. */
        uint8_t before = atomic_fetch_add(&run->found[step], 1);
        if (before == 0)
            run->values[step] = vector->values[step];
        else
            atomic_store(&run->found[step], 2);
    }
    return ERROR_NONE;
}

static enum error_code scalar_part(void *context, struct lane *lane, size_t part,
                                   struct error *error)
{
    struct scalar_run *run = context;
    return vector_stream_visit_part(run->input, lane, run->partition, part, scalar_visit, run,
                                    error);
}

/* scalar(vector): the value of the only float, else NaN. */
static enum error_code scalar_of_vector(struct evaluation *evaluation,
                                        const struct expression *operand,
                                        const struct step_range *steps, double *values,
                                        struct error *error)
{
    struct scalar_run run = {.values = values};
    run.found = arena_array(evaluation->arena, steps->count, sizeof *run.found);
    if (run.found == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code = evaluate_vector(evaluation, operand, steps, &run.input, error);
    if (code != ERROR_NONE)
        return code;
    run.partition = vector_stream_partition(run.input);
    code = evaluation_run_parts(evaluation, run.partition, scalar_part, &run, error);
    for (size_t step = 0; step < steps->count; step++)
        if (run.found[step] != 1)
            values[step] = NAN;
    vector_stream_close(run.input);
    return code;
}

/* min_of, max_of. */
static enum error_code scalar_extreme(struct evaluation *evaluation, const struct call_node *call,
                                      const struct step_range *steps, double *values,
                                      struct error *error)
{
    for (size_t i = 0; i < call->argument_count; i++) {
        const double *argument;
        enum error_code code =
            evaluate_scalar(evaluation, call->arguments[i], steps, &argument, error);
        if (code != ERROR_NONE)
            return code;
        for (size_t step = 0; step < steps->count; step++) {
            if (i == 0)
                values[step] = argument[step];
            else if (call->function == FUNCTION_MAX_OF)
                values[step] = go_maximum(values[step], argument[step]);
            else
                values[step] = go_minimum(values[step], argument[step]);
        }
    }
    return ERROR_NONE;
}

enum error_code function_scalar(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, const double **values_out,
                                struct error *error)
{
    const struct call_node *call = &expression->call;
    double *values = arena_array(evaluation->arena, steps->count, sizeof *values);
    if (values == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *values_out = values;
    if (call->function == FUNCTION_SCALAR)
        return scalar_of_vector(evaluation, call->arguments[0], steps, values, error);
    if (call->function == FUNCTION_MIN_OF || call->function == FUNCTION_MAX_OF)
        return scalar_extreme(evaluation, call, steps, values, error);
    for (size_t step = 0; step < steps->count; step++) {
        switch (call->function) {
        case FUNCTION_TIME:
            values[step] = (double)step_time(steps, step) / 1000;
            break;
        case FUNCTION_PI:
            values[step] = M_PI;
            break;
        case FUNCTION_START:
            values[step] = (double)evaluation->query_start_ms / 1000;
            break;
        case FUNCTION_END:
            values[step] = (double)evaluation->query_end_ms / 1000;
            break;
        case FUNCTION_STEP:
            values[step] = (double)evaluation->duration_environment.step_ms / 1000;
            break;
        case FUNCTION_RANGE:
            values[step] = (double)evaluation->duration_environment.range_ms / 1000;
            break;
        default:
            return error_set(error, ERROR_UNSUPPORTED, "function %.*s is not supported",
                             TEXT_ARGUMENTS(function_describe(call->function)->name));
        }
    }
    return ERROR_NONE;
}

/* --- absent ---------------------------------------------------------------------------------- */

struct absent_run {
    struct stream *input;
    struct partition partition;
    uint64_t *present;
};

static enum error_code absent_visit(void *context, struct lane *lane, size_t index,
                                    const struct step_vector *vector, struct error *error)
{
    (void)lane, (void)index, (void)error;
    struct absent_run *run = context;
    for (size_t word = 0; word < step_words(run->input->steps.count); word++)
        if (vector->present[word] != 0)
            __atomic_fetch_or(&run->present[word], vector->present[word], __ATOMIC_RELAXED);
    return ERROR_NONE;
}

static enum error_code absent_part(void *context, struct lane *lane, size_t part,
                                   struct error *error)
{
    struct absent_run *run = context;
    return vector_stream_visit_part(run->input, lane, run->partition, part, absent_visit, run,
                                    error);
}

/*
 * Labels that the selector asks for by `=`. Of several matchers of a name the last decides: it sets
 * the label when it is the first `=` of that name and takes it away otherwise, as in Prometheus.
 */
static struct labels absent_labels(struct arena *arena, const struct expression *argument)
{
    if (argument->kind == EXPRESSION_MATRIX)
        argument = argument->matrix.selector;
    if (argument->kind != EXPRESSION_SELECTOR)
        return (struct labels){0};
    const struct selector_node *selector = &argument->selector;
    struct label *array = arena_array(arena, selector->written_count, sizeof *array);
    bool *sets = arena_array(arena, selector->written_count, sizeof *sets);
    if (array == NULL || sets == NULL)
        return (struct labels){0};
    struct text_set equal = {.arena = arena};
    struct text_set judged = {.arena = arena};
    size_t count = 0;
    for (size_t i = 0; i < selector->written_count; i++)
        sets[i] = selector->written[i]->type == MATCHER_EQUAL &&
                  text_set_add(&equal, selector->written[i]->name) == TEXT_SET_NEW;
    for (size_t i = selector->written_count; i-- > 0;) {
        const struct matcher *matcher = selector->written[i];
        if (text_set_add(&judged, matcher->name) == TEXT_SET_NEW && sets[i] &&
            !text_equal(matcher->name, LABEL_METRIC_NAME))
            array[count++] = (struct label){matcher->name, matcher->value};
    }
    return labels_build(arena, array, count);
}

enum error_code function_absent_stream(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, struct stream **stream_out,
                                       struct error *error)
{
    const struct call_node *call = &expression->call;
    struct absent_run run = {0};
    run.present = arena_array(evaluation->arena, step_words(steps->count), sizeof *run.present);
    if (run.present == NULL)
        return evaluation_out_of_memory(evaluation, error);
    enum error_code code =
        call->function == FUNCTION_ABSENT_OVER_TIME
            ? window_stream(evaluation, expression, steps, &run.input, error)
            : evaluate_vector(evaluation, call->arguments[0], steps, &run.input, error);
    if (code != ERROR_NONE)
        return code;
    run.partition = vector_stream_partition(run.input);
    code = evaluation_run_parts(evaluation, run.partition, absent_part, &run, error);
    vector_stream_close(run.input);
    if (code != ERROR_NONE)
        return code;
    return function_absent_result(evaluation, expression, steps, run.present, stream_out, error);
}

enum error_code function_absent_result(struct evaluation *evaluation,
                                       const struct expression *expression,
                                       const struct step_range *steps, const uint64_t *present,
                                       struct stream **stream_out, struct error *error)
{
    const struct call_node *call = &expression->call;
    struct store store = {0};
    struct step_vector *vector;
    enum error_code code = store_init(&store, evaluation, steps, error);
    struct series_identity identity = {
        .labels = absent_labels(evaluation->arena, expression_unwrap(call->arguments[0])),
    };
    if (code == ERROR_NONE)
        code = store_add(&store, identity, &vector, error);
    if (code != ERROR_NONE) {
        if (store.evaluation != NULL)
            store_clear(&store);
        return code;
    }
    steps_fill(vector->present, steps->count);
    for (size_t word = 0; word < step_words(steps->count); word++)
        vector->present[word] &= ~present[word];
    for (size_t step = 0; step < steps->count; step++)
        vector->values[step] = 1;
    return store_stream(&store, stream_out, error);
}

/* --- Calls ----------------------------------------------------------------------------------- */

/* minute() and the like without an argument: of the time of each step. */
static enum error_code date_stream(struct evaluation *evaluation, enum function_id function,
                                   const struct step_range *steps, struct stream **stream_out,
                                   struct error *error)
{
    double *values = arena_array(evaluation->arena, steps->count, sizeof *values);
    if (values == NULL)
        return evaluation_out_of_memory(evaluation, error);
    for (size_t step = 0; step < steps->count; step++)
        values[step] = date_field(function, (double)(step_time(steps, step) / 1000));
    return constant_stream(evaluation, values, steps, stream_out, error);
}

/* timestamp and start_timestamp of a selector see the samples, not the steps. */
static enum error_code sample_time_stream(struct evaluation *evaluation,
                                          const struct expression *selector,
                                          enum selector_value value, const struct step_range *steps,
                                          struct stream **stream_out, struct error *error)
{
    struct stream *input;
    enum error_code code = selector_stream(evaluation, selector, value, steps, &input, error);
    if (code != ERROR_NONE)
        return code;
    return vector_stream_drop_names(input, NAMES_DROP_ALL, stream_out, error);
}

enum error_code function_stream(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error)
{
    const struct call_node *call = &expression->call;
    enum function_id function = call->function;
    const struct expression *first =
        call->argument_count == 0 ? NULL : expression_unwrap(call->arguments[0]);
    switch (function) {
    case FUNCTION_ABSENT:
    case FUNCTION_ABSENT_OVER_TIME:
        return function_absent_stream(evaluation, expression, steps, stream_out, error);
    case FUNCTION_INFO:
        return function_info_stream(evaluation, expression, steps, stream_out, error);
    case FUNCTION_LABEL_REPLACE:
    case FUNCTION_LABEL_JOIN:
        return function_label_stream(evaluation, expression, steps, stream_out, error);
    case FUNCTION_SORT:
    case FUNCTION_SORT_DESC:
    case FUNCTION_SORT_BY_LABEL:
    case FUNCTION_SORT_BY_LABEL_DESC:
        return function_sort_stream(evaluation, expression, steps, stream_out, error);
    case FUNCTION_HISTOGRAM_QUANTILE:
    case FUNCTION_HISTOGRAM_QUANTILES:
    case FUNCTION_HISTOGRAM_FRACTION:
        return function_histogram_stream(evaluation, expression, steps, stream_out, error);
    case FUNCTION_VECTOR: {
        const double *values;
        enum error_code code =
            evaluate_scalar(evaluation, call->arguments[0], steps, &values, error);
        if (code != ERROR_NONE)
            return code;
        return constant_stream(evaluation, values, steps, stream_out, error);
    }
    case FUNCTION_TIMESTAMP:
        if (first->kind == EXPRESSION_SELECTOR)
            return sample_time_stream(evaluation, first, SELECTOR_TIMESTAMP, steps, stream_out,
                                      error);
        break;
    case FUNCTION_START_TIMESTAMP:
        if (first->kind == EXPRESSION_SELECTOR)
            return sample_time_stream(evaluation, first, SELECTOR_START_TIMESTAMP, steps,
                                      stream_out, error);
        /* What an expression yields has lost the start timestamps. */
        return empty_stream(evaluation, steps, stream_out, error);
    default:
        break;
    }
    if (window_kernel_of(function) != NULL)
        return window_stream(evaluation, expression, steps, stream_out, error);
    if (function_is_map(function)) {
        if (call->argument_count == 0)
            return date_stream(evaluation, function, steps, stream_out, error);
        return function_map_stream(evaluation, expression, steps, stream_out, error);
    }
    return error_set(error, ERROR_UNSUPPORTED, "function %.*s is not supported",
                     TEXT_ARGUMENTS(function_describe(function)->name));
}
