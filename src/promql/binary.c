#include "binary.h"
#include "step_output.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* --- Values ---------------------------------------------------------------------------------- */

static bool comparison_holds(enum binary_operator operation, double left, double right)
{
    switch (operation) {
    case BINARY_EQUAL:
        return left == right;
    case BINARY_NOT_EQUAL:
        return left != right;
    case BINARY_LESS:
        return left < right;
    case BINARY_LESS_EQUAL:
        return left <= right;
    case BINARY_GREATER:
        return left > right;
    default:
        assert(operation == BINARY_GREATER_EQUAL);
        return left >= right;
    }
}

double binary_scalars(enum binary_operator operation, double left, double right)
{
    switch (operation) {
    case BINARY_ADD:
        return left + right;
    case BINARY_SUBTRACT:
        return left - right;
    case BINARY_MULTIPLY:
        return left * right;
    case BINARY_DIVIDE:
        return left / right;
    case BINARY_MODULO:
        return fmod(left, right);
    case BINARY_POWER:
        return pow(left, right);
    case BINARY_ATAN2:
        return atan2(left, right);
    default:
        return comparison_holds(operation, left, right) ? 1 : 0;
    }
}

enum error_code binary_values(struct evaluation *evaluation, const struct expression *expression,
                              struct lane *lane, struct binary_value left,
                              struct binary_value right, struct binary_value *result_out,
                              bool *keep_out, struct error *error)
{
    enum binary_operator operation = expression->binary.operation;
    if (left.histogram != NULL || right.histogram != NULL || binary_operator_is_trim(operation))
        return binary_histograms(evaluation, expression, lane, left, right, result_out, keep_out,
                                 error);
    if (binary_operator_is_comparison(operation)) {
        *keep_out = comparison_holds(operation, left.value, right.value);
        *result_out = left;
        return ERROR_NONE;
    }
    *keep_out = true;
    *result_out = (struct binary_value){
        .value = binary_scalars(operation, left.value, right.value),
    };
    return ERROR_NONE;
}

/* --- A vector and a scalar ------------------------------------------------------------------- */

enum scalar_side { SCALAR_RIGHT, SCALAR_LEFT };

struct scalar_stream {
    struct stream stream;
    struct stream *input;
    const struct expression *expression;
    const double *scalars; /* [steps] */
    enum scalar_side side;
    bool drops_name;
};

static struct series_identity scalar_identity(struct stream *self, struct lane *lane, size_t index,
                                              struct arena *arena)
{
    struct scalar_stream *stream = (struct scalar_stream *)self;
    struct series_identity identity = vector_stream_identity(stream->input, lane, index, arena);
    return stream->drops_name ? identity_drop_name(self->evaluation, identity, arena) : identity;
}

/* Arithmetic where all is floats: no branch per step but the operation's. */
static void scalar_arithmetic(const struct scalar_stream *stream, const struct step_vector *input,
                              struct step_vector *out)
{
    enum binary_operator operation = stream->expression->binary.operation;
    size_t count = stream->stream.steps.count;
    bool is_left = stream->side == SCALAR_LEFT;
    memcpy(out->present, input->present, step_words(count) * sizeof *out->present);
    for (size_t step = step_next(input->present, count, 0); step < count;
         step = step_next(input->present, count, step + 1)) {
        double value = input->values[step];
        double scalar = stream->scalars[step];
        out->values[step] = is_left ? binary_scalars(operation, scalar, value)
                                    : binary_scalars(operation, value, scalar);
    }
}

static enum error_code scalar_step(struct scalar_stream *stream, struct lane *lane,
                                   const struct step_vector *input, size_t step,
                                   struct step_output *output, struct error *error)
{
    const struct binary_node *node = &stream->expression->binary;
    struct binary_value vector = {input->values[step], step_histogram(input, step)};
    struct binary_value scalar = {stream->scalars[step], NULL};
    bool is_left = stream->side == SCALAR_LEFT;
    struct binary_value result = {0};
    bool keep = false;
    bool is_comparison = binary_operator_is_comparison(node->operation);
    if (is_comparison && vector.histogram == NULL) {
        keep = is_left ? comparison_holds(node->operation, scalar.value, vector.value)
                       : comparison_holds(node->operation, vector.value, scalar.value);
        /* Whichever side it stands on, the vector's value is the one that passes. */
        result = node->returns_bool ? (struct binary_value){.value = keep} : vector;
        keep |= node->returns_bool;
    } else {
        enum error_code code = binary_values(stream->stream.evaluation, stream->expression, lane,
                                             is_left ? scalar : vector, is_left ? vector : scalar,
                                             &result, &keep, error);
        if (code != ERROR_NONE)
            return code;
    }
    if (!keep)
        return ERROR_NONE;
    step_output_value(output, step, result.value);
    if (result.histogram != NULL)
        step_output_histogram(output, stream->stream.steps.count, step, result.histogram);
    return ERROR_NONE;
}

static enum error_code scalar_read(struct stream *self, struct lane *lane, size_t index,
                                   struct step_vector *vector_out, struct error *error)
{
    struct scalar_stream *stream = (struct scalar_stream *)self;
    size_t count = self->steps.count;
    struct step_output *output = vector_stream_lane_state(self, lane, sizeof *output);
    if (output == NULL || !step_output_begin(output, lane->memory, count))
        return evaluation_out_of_memory(self->evaluation, error);
    struct step_vector input;
    enum error_code code = vector_stream_read(stream->input, lane, index, &input, error);
    if (code != ERROR_NONE)
        return code;
    enum binary_operator operation = stream->expression->binary.operation;
    if (input.histograms == NULL && operation <= BINARY_ATAN2) {
        scalar_arithmetic(stream, &input, &output->vector);
        *vector_out = output->vector;
        return ERROR_NONE;
    }
    for (size_t step = step_next(input.present, count, 0); step < count;
         step = step_next(input.present, count, step + 1)) {
        code = scalar_step(stream, lane, &input, step, output, error);
        if (code != ERROR_NONE)
            return code;
    }
    *vector_out = output->vector;
    return ERROR_NONE;
}

static void scalar_close(struct stream *self)
{
    vector_stream_close(((struct scalar_stream *)self)->input);
}

static const struct stream_operations SCALAR_OPERATIONS = {
    .identity = scalar_identity,
    .read = scalar_read,
    .close = scalar_close,
};

static enum error_code scalar_stream_make(struct evaluation *evaluation,
                                          const struct expression *expression,
                                          const struct step_range *steps,
                                          struct stream **stream_out, struct error *error)
{
    const struct binary_node *node = &expression->binary;
    struct scalar_stream *stream = arena_array(evaluation->arena, 1, sizeof *stream);
    if (stream == NULL)
        return evaluation_out_of_memory(evaluation, error);
    bool is_left = node->left->type == VALUE_SCALAR;
    stream->expression = expression;
    stream->side = is_left ? SCALAR_LEFT : SCALAR_RIGHT;
    stream->drops_name = binary_changes_meaning(node->operation) || node->returns_bool;
    enum error_code code = evaluate_scalar(evaluation, is_left ? node->left : node->right, steps,
                                           &stream->scalars, error);
    if (code == ERROR_NONE)
        code = evaluate_vector(evaluation, is_left ? node->right : node->left, steps,
                               &stream->input, error);
    if (code == ERROR_NONE)
        code = vector_stream_init(&stream->stream, evaluation, &SCALAR_OPERATIONS, steps,
                                  stream->input->count, error);
    if (code != ERROR_NONE)
        return code;
    stream->stream.is_unique_without_name = stream->input->is_unique_without_name;
    if (stream->drops_name && !evaluation->delayed_names)
        return vector_stream_merge_equal_labels(&stream->stream, stream_out, error);
    *stream_out = &stream->stream;
    return ERROR_NONE;
}

/* --- Building -------------------------------------------------------------------------------- */

enum error_code matching_key_make(struct evaluation *evaluation,
                                  const struct vector_matching *matching,
                                  struct matching_key *key_out, struct error *error)
{
    key_out->keep = matching->labels_mode == MATCH_ON ? LABELS_KEEP_NAMED : LABELS_DROP_NAMED;
    if (!label_list_make(evaluation->arena, matching->labels, matching->label_count,
                         matching->labels_mode == MATCH_IGNORING, &key_out->names))
        return evaluation_out_of_memory(evaluation, error);
    return ERROR_NONE;
}

enum error_code binary_stream(struct evaluation *evaluation, const struct expression *expression,
                              const struct step_range *steps, struct stream **stream_out,
                              struct error *error)
{
    const struct binary_node *node = &expression->binary;
    if (node->left->type == VALUE_SCALAR || node->right->type == VALUE_SCALAR)
        return scalar_stream_make(evaluation, expression, steps, stream_out, error);
    struct stream *left;
    struct stream *right;
    enum error_code code = evaluate_vector(evaluation, node->left, steps, &left, error);
    if (code == ERROR_NONE)
        code = evaluate_vector(evaluation, node->right, steps, &right, error);
    if (code != ERROR_NONE)
        return code;
    if (binary_operator_is_set(node->operation))
        return binary_set_stream(evaluation, expression, left, right, stream_out, error);
    return binary_match_stream(evaluation, expression, left, right, stream_out, error);
}
