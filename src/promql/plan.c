#include <assert.h>

#include "aggregate.h"
#include "binary.h"
#include "columns_source.h"
#include "distribute.h"
#include "evaluation.h"
#include "function.h"
#include "step_output.h"

/* --- The same at each step ------------------------------------------------------------------- */

/* A stream of one step, as one of many. */
struct repeated_stream {
    struct stream stream;
    struct stream *input;
};

static struct series_identity repeated_identity(struct stream *self, struct lane *lane,
                                                size_t index, struct arena *arena)
{
    return vector_stream_identity(((struct repeated_stream *)self)->input, lane, index, arena);
}

static enum error_code repeated_read(struct stream *self, struct lane *lane, size_t index,
                                     struct step_vector *vector_out, struct error *error)
{
    struct repeated_stream *repeated = (struct repeated_stream *)self;
    size_t count = self->steps.count;
    struct step_output *output = vector_stream_lane_state(self, lane, sizeof *output);
    if (output == NULL || !step_output_begin(output, lane->memory, count))
        return evaluation_out_of_memory(self->evaluation, error);
    struct step_vector input;
    enum error_code code = vector_stream_read(repeated->input, lane, index, &input, error);
    if (code != ERROR_NONE)
        return code;
    const struct histogram *histogram = step_histogram(&input, 0);
    for (size_t step = 0; step < count && step_is_present(input.present, 0); step++) {
        if (histogram != NULL)
            step_output_histogram(output, count, step, histogram);
        else
            step_output_value(output, step, input.values[0]);
    }
    *vector_out = output->vector;
    return ERROR_NONE;
}

static void repeated_close(struct stream *self)
{
    vector_stream_close(((struct repeated_stream *)self)->input);
}

static const struct stream_operations REPEATED_OPERATIONS = {
    .identity = repeated_identity,
    .read = repeated_read,
    .close = repeated_close,
};

static enum error_code repeated_stream_make(struct evaluation *evaluation,
                                            const struct expression *expression,
                                            const struct step_range *steps,
                                            struct stream **stream_out, struct error *error)
{
    struct repeated_stream *repeated = arena_array(evaluation->arena, 1, sizeof *repeated);
    if (repeated == NULL)
        return evaluation_out_of_memory(evaluation, error);
    struct step_range first = {steps->start_ms, steps->step_ms, 1};
    uint64_t weight = evaluation->sample_weight;
    evaluation->sample_weight *= steps->count;
    enum error_code code = evaluate_vector(evaluation, expression, &first, &repeated->input, error);
    evaluation->sample_weight = weight;
    if (code == ERROR_NONE)
        code = vector_stream_init(&repeated->stream, evaluation, &REPEATED_OPERATIONS, steps,
                                  repeated->input->count, error);
    if (code != ERROR_NONE)
        return code;
    repeated->stream.is_unique_without_name = repeated->input->is_unique_without_name;
    *stream_out = &repeated->stream;
    return ERROR_NONE;
}

/* --- Expressions ----------------------------------------------------------------------------- */

enum error_code evaluate_vector(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, struct stream **stream_out,
                                struct error *error)
{
    expression = expression_unwrap(expression);
    assert(expression->type == VALUE_VECTOR);
    enum error_code code = evaluation_check(evaluation, error);
    if (code != ERROR_NONE)
        return code;
    if (expression->step_invariant && steps->count > 1)
        return repeated_stream_make(evaluation, expression, steps, stream_out, error);
    if (evaluation->options.distributor != NULL) {
        code = distribution_stream(evaluation, expression, steps, stream_out, error);
        if (code != ERROR_NONE || *stream_out != NULL)
            return code;
    }
    switch (expression->kind) {
    case EXPRESSION_SELECTOR:
        if (expression->selector.mode == RANGE_SMOOTHED)
            return smooth_selector_stream(evaluation, expression, steps, stream_out, error);
        return selector_stream(evaluation, expression, SELECTOR_VALUE, steps, stream_out, error);
    case EXPRESSION_UNARY:
        if (expression->unary.operation == UNARY_MINUS)
            return function_negate_stream(evaluation, expression, steps, stream_out, error);
        return evaluate_vector(evaluation, expression->unary.operand, steps, stream_out, error);
    case EXPRESSION_BINARY:
        return binary_stream(evaluation, expression, steps, stream_out, error);
    case EXPRESSION_AGGREGATION:
        return aggregate_stream(evaluation, expression, steps, stream_out, error);
    default:
        assert(expression->kind == EXPRESSION_CALL);
        return function_stream(evaluation, expression, steps, stream_out, error);
    }
}

enum error_code evaluate_scalar(struct evaluation *evaluation, const struct expression *expression,
                                const struct step_range *steps, const double **values_out,
                                struct error *error)
{
    expression = expression_unwrap(expression);
    assert(expression->type == VALUE_SCALAR);
    enum error_code code = evaluation_check(evaluation, error);
    if (code != ERROR_NONE)
        return code;
    if (expression->kind == EXPRESSION_CALL)
        return function_scalar(evaluation, expression, steps, values_out, error);
    double *values = arena_array(evaluation->arena, steps->count, sizeof *values);
    if (values == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *values_out = values;
    const double *left;
    const double *right;
    switch (expression->kind) {
    case EXPRESSION_NUMBER:
        for (size_t step = 0; step < steps->count; step++)
            values[step] = expression->number.value;
        return ERROR_NONE;
    case EXPRESSION_UNARY:
        code = evaluate_scalar(evaluation, expression->unary.operand, steps, &left, error);
        for (size_t step = 0; code == ERROR_NONE && step < steps->count; step++)
            values[step] = expression->unary.operation == UNARY_MINUS ? -left[step] : left[step];
        return code;
    default:
        assert(expression->kind == EXPRESSION_BINARY);
        code = evaluate_scalar(evaluation, expression->binary.left, steps, &left, error);
        if (code == ERROR_NONE)
            code = evaluate_scalar(evaluation, expression->binary.right, steps, &right, error);
        if (code == ERROR_NONE && binary_operator_is_trim(expression->binary.operation))
            return error_set(error, ERROR_INVALID,
                             "operator \"%s\" not allowed for Scalar operations",
                             binary_operator_text(expression->binary.operation));
        for (size_t step = 0; code == ERROR_NONE && step < steps->count; step++)
            values[step] = binary_scalars(expression->binary.operation, left[step], right[step]);
        return code;
    }
}
