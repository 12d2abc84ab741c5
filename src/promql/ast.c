#include "promql/ast.h"

#include <assert.h>

const char *duration_operator_text(enum duration_operator operation)
{
    static const char *const TEXTS[DURATION_OPERATORS] = {
        [DURATION_LITERAL] = "",   [DURATION_STEP] = "step",  [DURATION_RANGE] = "range",
        [DURATION_MINUS] = "-",    [DURATION_PLUS] = "+",     [DURATION_PARENTHESES] = "()",
        [DURATION_ADD] = "+",      [DURATION_SUBTRACT] = "-", [DURATION_MULTIPLY] = "*",
        [DURATION_DIVIDE] = "/",   [DURATION_MODULO] = "%",   [DURATION_POWER] = "^",
        [DURATION_MIN] = "min_of", [DURATION_MAX] = "max_of",
    };
    assert(operation < DURATION_OPERATORS);
    return TEXTS[operation];
}

const char *binary_operator_text(enum binary_operator operation)
{
    static const char *const TEXTS[BINARY_OPERATORS] = {
        [BINARY_ADD] = "+",
        [BINARY_SUBTRACT] = "-",
        [BINARY_MULTIPLY] = "*",
        [BINARY_DIVIDE] = "/",
        [BINARY_MODULO] = "%",
        [BINARY_POWER] = "^",
        [BINARY_ATAN2] = "atan2",
        [BINARY_EQUAL] = "==",
        [BINARY_NOT_EQUAL] = "!=",
        [BINARY_LESS] = "<",
        [BINARY_LESS_EQUAL] = "<=",
        [BINARY_GREATER] = ">",
        [BINARY_GREATER_EQUAL] = ">=",
        [BINARY_TRIM_UPPER] = "</",
        [BINARY_TRIM_LOWER] = ">/",
        [BINARY_AND] = "and",
        [BINARY_OR] = "or",
        [BINARY_UNLESS] = "unless",
    };
    assert(operation < BINARY_OPERATORS);
    return TEXTS[operation];
}

const char *aggregation_name(enum aggregation operation)
{
    static const char *const NAMES[AGGREGATIONS] = {
        [AGGREGATE_AVG] = "avg",       [AGGREGATE_BOTTOMK] = "bottomk",
        [AGGREGATE_COUNT] = "count",   [AGGREGATE_COUNT_VALUES] = "count_values",
        [AGGREGATE_GROUP] = "group",   [AGGREGATE_LIMIT_RATIO] = "limit_ratio",
        [AGGREGATE_LIMITK] = "limitk", [AGGREGATE_MAX] = "max",
        [AGGREGATE_MIN] = "min",       [AGGREGATE_QUANTILE] = "quantile",
        [AGGREGATE_STDDEV] = "stddev", [AGGREGATE_STDVAR] = "stdvar",
        [AGGREGATE_SUM] = "sum",       [AGGREGATE_TOPK] = "topk",
    };
    assert(operation < AGGREGATIONS);
    return NAMES[operation];
}

const struct expression *expression_unwrap(const struct expression *expression)
{
    while (expression->kind == EXPRESSION_PARENTHESES)
        expression = expression->parentheses.operand;
    return expression;
}

/* The `index`-th of two children of which the first may be missing. */
static const struct expression *one_of(size_t index, const struct expression *first,
                                       const struct expression *second)
{
    if (first == NULL)
        return index == 0 ? second : NULL;
    return index == 0 ? first : index == 1 ? second : NULL;
}

bool expression_child(const struct expression *expression, size_t index,
                      const struct expression **child_out)
{
    const struct expression *child = NULL;
    switch (expression->kind) {
    case EXPRESSION_NUMBER:
    case EXPRESSION_STRING:
    case EXPRESSION_SELECTOR:
    case EXPRESSION_KINDS:
        break;
    case EXPRESSION_MATRIX:
        child = one_of(index, NULL, expression->matrix.selector);
        break;
    case EXPRESSION_SUBQUERY:
        child = one_of(index, NULL, expression->subquery.operand);
        break;
    case EXPRESSION_UNARY:
        child = one_of(index, NULL, expression->unary.operand);
        break;
    case EXPRESSION_PARENTHESES:
        child = one_of(index, NULL, expression->parentheses.operand);
        break;
    case EXPRESSION_BINARY:
        child = one_of(index, expression->binary.left, expression->binary.right);
        break;
    case EXPRESSION_AGGREGATION:
        child = one_of(index, expression->aggregation.parameter, expression->aggregation.operand);
        break;
    case EXPRESSION_CALL:
        if (index < expression->call.argument_count)
            child = expression->call.arguments[index];
        break;
    }
    if (child != NULL)
        *child_out = child;
    return child != NULL;
}
