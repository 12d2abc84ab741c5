#include "promql/parser.h"

static bool same_bits(double left, double right)
{
    return double_to_bits(left) == double_to_bits(right);
}

static bool equal_texts(const struct text *left, size_t left_count, const struct text *right,
                        size_t right_count)
{
    if (left_count != right_count)
        return false;
    for (size_t i = 0; i < left_count; i++) {
        if (!text_equal(left[i], right[i]))
            return false;
    }
    return true;
}

/* --- Durations ------------------------------------------------------------------------------- */

static const struct duration_expression *without_plus(const struct duration_expression *node)
{
    while (node != NULL && node->operation == DURATION_PLUS)
        node = node->left;
    return node;
}

static bool equal_duration_expressions(const struct duration_expression *left,
                                       const struct duration_expression *right)
{
    left = without_plus(left);
    right = without_plus(right);
    if (left == NULL || right == NULL)
        return left == right;
    return left->operation == right->operation && left->is_duration == right->is_duration &&
           same_bits(left->seconds, right->seconds) &&
           equal_duration_expressions(left->left, right->left) &&
           equal_duration_expressions(left->right, right->right);
}

static bool equal_durations(const struct duration *left, const struct duration *right)
{
    return left->milliseconds == right->milliseconds &&
           equal_duration_expressions(left->expression, right->expression);
}

static bool equal_shifts(const struct time_shift *left, const struct time_shift *right)
{
    return left->at == right->at && left->at_timestamp_ms == right->at_timestamp_ms &&
           equal_durations(&left->offset, &right->offset);
}

/* --- Nodes ----------------------------------------------------------------------------------- */

static bool equal_selectors(const struct selector_node *left, const struct selector_node *right)
{
    if (left->matcher_count != right->matcher_count || left->mode != right->mode ||
        !text_equal(left->metric_name, right->metric_name) ||
        !equal_shifts(&left->shift, &right->shift))
        return false;
    for (size_t i = 0; i < left->matcher_count; i++) {
        if (left->matchers[i]->type != right->matchers[i]->type ||
            !text_equal(left->matchers[i]->name, right->matchers[i]->name) ||
            !text_equal(left->matchers[i]->value, right->matchers[i]->value))
            return false;
    }
    return true;
}

static bool equal_subqueries(const struct subquery_node *left, const struct subquery_node *right)
{
    return left->has_step == right->has_step && equal_durations(&left->range, &right->range) &&
           equal_durations(&left->step, &right->step) && equal_shifts(&left->shift, &right->shift);
}

static bool equal_matchings(const struct vector_matching *left, const struct vector_matching *right)
{
    if (left == NULL || right == NULL)
        return left == right;
    return left->cardinality == right->cardinality && left->labels_mode == right->labels_mode &&
           equal_texts(left->labels, left->label_count, right->labels, right->label_count) &&
           equal_texts(left->included_labels, left->included_label_count, right->included_labels,
                       right->included_label_count) &&
           left->has_fill_left == right->has_fill_left &&
           left->has_fill_right == right->has_fill_right &&
           same_bits(left->fill_left, right->fill_left) &&
           same_bits(left->fill_right, right->fill_right);
}

static bool equal_binaries(const struct binary_node *left, const struct binary_node *right)
{
    return left->operation == right->operation && left->returns_bool == right->returns_bool &&
           equal_matchings(left->matching, right->matching);
}

static bool equal_aggregations(const struct aggregation_node *left,
                               const struct aggregation_node *right)
{
    return left->operation == right->operation && left->grouping == right->grouping &&
           equal_texts(left->labels, left->label_count, right->labels, right->label_count);
}

/* The nodes themselves, without what is below. */
static bool equal_nodes(const struct expression *left, const struct expression *right)
{
    switch (left->kind) {
    case EXPRESSION_NUMBER:
        return left->number.is_duration == right->number.is_duration &&
               same_bits(left->number.value, right->number.value);
    case EXPRESSION_STRING:
        return text_equal(left->string.value, right->string.value);
    case EXPRESSION_SELECTOR:
        return equal_selectors(&left->selector, &right->selector);
    case EXPRESSION_MATRIX:
        return equal_durations(&left->matrix.range, &right->matrix.range);
    case EXPRESSION_SUBQUERY:
        return equal_subqueries(&left->subquery, &right->subquery);
    case EXPRESSION_UNARY:
        return left->unary.operation == right->unary.operation;
    case EXPRESSION_BINARY:
        return equal_binaries(&left->binary, &right->binary);
    case EXPRESSION_AGGREGATION:
        return equal_aggregations(&left->aggregation, &right->aggregation);
    case EXPRESSION_CALL:
        return left->call.function == right->call.function;
    case EXPRESSION_PARENTHESES:
    case EXPRESSION_KINDS:
        return true;
    }
    return false;
}

bool promql_equal(const struct expression *left, const struct expression *right)
{
    if (left->kind != right->kind || left->type != right->type ||
        left->step_invariant != right->step_invariant || !equal_nodes(left, right))
        return false;
    const struct expression *left_child;
    const struct expression *right_child;
    for (size_t i = 0;; i++) {
        bool left_has = expression_child(left, i, &left_child);
        bool right_has = expression_child(right, i, &right_child);
        if (!left_has || !right_has)
            return left_has == right_has;
        if (!promql_equal(left_child, right_child))
            return false;
    }
}
