#include <assert.h>

#include "binary.h"
#include "histogram_math.h"

bool binary_types_fit(enum binary_operator operation, bool left_is_histogram,
                      bool right_is_histogram)
{
    switch (operation) {
    case BINARY_EQUAL:
    case BINARY_NOT_EQUAL:
    case BINARY_ADD:
    case BINARY_SUBTRACT:
        return left_is_histogram == right_is_histogram;
    case BINARY_MULTIPLY:
        return !left_is_histogram || !right_is_histogram;
    case BINARY_DIVIDE:
        return !right_is_histogram;
    case BINARY_TRIM_UPPER:
    case BINARY_TRIM_LOWER:
        return left_is_histogram && !right_is_histogram;
    default:
        return !left_is_histogram && !right_is_histogram;
    }
}

static void note_incompatible(struct evaluation *evaluation, const struct expression *expression,
                              struct binary_value left, struct binary_value right)
{
    const char *name = binary_operator_text(expression->binary.operation);
    evaluation_annotate(evaluation, PROMQL_INFO, expression->position,
                        "incompatible sample types encountered for binary operator \"%s\": %s %s "
                        "%s",
                        name, left.histogram == NULL ? "float" : "histogram", name,
                        right.histogram == NULL ? "float" : "histogram");
}

static enum error_code both_histograms(struct evaluation *evaluation,
                                       const struct expression *expression, struct lane *lane,
                                       struct binary_value left, struct binary_value right,
                                       struct binary_value *result_out, bool *keep_out,
                                       struct error *error)
{
    enum binary_operator operation = expression->binary.operation;
    if (operation == BINARY_EQUAL || operation == BINARY_NOT_EQUAL) {
        bool is_equal = histogram_values_equal(left.histogram, right.histogram, lane->scratch);
        *keep_out = is_equal == (operation == BINARY_EQUAL);
        *result_out = left;
        return ERROR_NONE;
    }
    bool is_add = operation == BINARY_ADD;
    struct histogram *sum = NULL;
    struct histogram_sum_notes notes;
    switch (histogram_sum(lane->scratch, left.histogram, right.histogram, is_add ? 1 : -1, &sum,
                          &notes)) {
    case HISTOGRAM_SUM_OUT_OF_MEMORY:
        return evaluation_out_of_memory(evaluation, error);
    case HISTOGRAM_SUM_INCOMPATIBLE:
        evaluation_annotate(evaluation, PROMQL_WARNING, expression->position,
                            "incompatible bucket layout encountered for binary operator %s",
                            binary_operator_text(operation));
        return ERROR_NONE;
    case HISTOGRAM_SUM_DONE:
        break;
    }
    const char *word = is_add ? "addition" : "subtraction";
    if (!is_add)
        sum->reset = HISTOGRAM_RESET_GAUGE;
    if (notes.bounds_reconciled)
        evaluation_annotate(evaluation, PROMQL_INFO, expression->position,
                            "mismatched custom buckets were reconciled during %s", word);
    if (notes.hints_collide) {
        evaluation_annotate(evaluation, PROMQL_WARNING, expression->position,
                            "conflicting counter resets during histogram %s", word);
    }
    *result_out = (struct binary_value){.histogram = sum};
    *keep_out = true;
    return ERROR_NONE;
}

enum error_code binary_histograms(struct evaluation *evaluation,
                                  const struct expression *expression, struct lane *lane,
                                  struct binary_value left, struct binary_value right,
                                  struct binary_value *result_out, bool *keep_out,
                                  struct error *error)
{
    enum binary_operator operation = expression->binary.operation;
    *keep_out = false;
    if (!binary_types_fit(operation, left.histogram != NULL, right.histogram != NULL)) {
        note_incompatible(evaluation, expression, left, right);
        return ERROR_NONE;
    }
    if (left.histogram != NULL && right.histogram != NULL)
        return both_histograms(evaluation, expression, lane, left, right, result_out, keep_out,
                               error);
    bool is_left = left.histogram != NULL;
    const struct histogram *histogram = is_left ? left.histogram : right.histogram;
    double scalar = is_left ? right.value : left.value;
    struct histogram *result;
    if (operation == BINARY_MULTIPLY)
        result = histogram_scaled(lane->scratch, histogram, scalar);
    else if (operation == BINARY_DIVIDE)
        result = histogram_divided(lane->scratch, histogram, scalar);
    else
        result = histogram_trimmed(lane->scratch, histogram, scalar,
                                   operation == BINARY_TRIM_UPPER ? HISTOGRAM_KEEP_LOWER
                                                                  : HISTOGRAM_KEEP_UPPER);
    if (result == NULL)
        return evaluation_out_of_memory(evaluation, error);
    *result_out = (struct binary_value){.histogram = result};
    *keep_out = true;
    return ERROR_NONE;
}
