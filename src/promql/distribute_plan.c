#include "distribute_plan.h"

#include "binary.h"
#include "function.h"
#include "window.h"

/* --- Expressions per series ------------------------------------------------------------------ */

/* What is known of the names of series. */
enum names_state {
    NAMES_ONE,  /* all have the same */
    NAMES_MANY, /* dropping them may make series equal */
    NAMES_GONE,
};

/* Whether one name is enough for series to stay apart without it. */
enum name_labels { NAMES_ARE_PLAIN, NAMES_HAVE_TYPES };

struct shape {
    bool is_per_series; /* each series of the result comes from one of storage */
    bool may_collide;   /* some may have become equal */
    enum names_state names;
};

struct shape_rules {
    enum name_labels name_labels;
    bool delays_names; /* names go at the end of the query, when all is together */
};

static const struct shape NOT_PER_SERIES = {.is_per_series = false};

static struct shape shape_of(const struct expression *expression, const struct shape_rules *rules);

/* The value is the same everywhere: it needs no series. */
static bool is_constant(const struct expression *expression)
{
    expression = expression_unwrap(expression);
    if (expression->type == VALUE_STRING)
        return true;
    if (expression->type != VALUE_SCALAR ||
        (expression->kind == EXPRESSION_CALL && expression->call.function == FUNCTION_SCALAR))
        return false;
    const struct expression *child;
    for (size_t i = 0; expression_child(expression, i, &child); i++)
        if (!is_constant(child))
            return false;
    return true;
}

/* The series of `operand` with their values changed, filtered or not, one by one. Series that may
 * be equal must meet before that. */
static struct shape shape_changed(const struct expression *operand, const struct shape_rules *rules)
{
    struct shape shape = shape_of(operand, rules);
    return shape.may_collide ? NOT_PER_SERIES : shape;
}

static struct shape shape_without_name(struct shape shape, const struct shape_rules *rules)
{
    if (rules->delays_names || !shape.is_per_series)
        return shape;
    bool is_apart = shape.names == NAMES_GONE ||
                    (shape.names == NAMES_ONE && rules->name_labels == NAMES_ARE_PLAIN);
    shape.may_collide |= !is_apart;
    shape.names = NAMES_GONE;
    return shape;
}

static struct shape shape_of_selector(const struct selector_node *selector)
{
    struct shape shape = {.is_per_series = true, .names = NAMES_MANY};
    for (size_t i = 0; i < selector->matcher_count; i++)
        if (selector->matchers[i]->type == MATCHER_EQUAL && selector->matchers[i]->value.size > 0 &&
            text_equal(selector->matchers[i]->name, LABEL_METRIC_NAME))
            shape.names = NAMES_ONE;
    return shape;
}

/* The first argument that is a vector or a matrix changed, if all others are constant. */
static struct shape shape_of_arguments(const struct call_node *call,
                                       const struct shape_rules *rules)
{
    struct shape shape = NOT_PER_SERIES;
    for (size_t i = 0; i < call->argument_count; i++) {
        const struct expression *argument = expression_unwrap(call->arguments[i]);
        bool has_series = argument->type == VALUE_VECTOR || argument->type == VALUE_MATRIX;
        if (has_series && !shape.is_per_series)
            shape = shape_changed(argument, rules);
        else if (has_series || !is_constant(argument))
            return NOT_PER_SERIES;
        if (has_series && !shape.is_per_series)
            return NOT_PER_SERIES;
    }
    return shape;
}

static struct shape shape_of_call(const struct call_node *call, const struct shape_rules *rules)
{
    enum function_id function = call->function;
    bool changes_labels = function == FUNCTION_LABEL_REPLACE || function == FUNCTION_LABEL_JOIN;
    bool keeps_name = changes_labels || function == FUNCTION_LAST_OVER_TIME ||
                      function == FUNCTION_FIRST_OVER_TIME;
    bool is_window = window_kernel_of(function) != NULL && function != FUNCTION_ABSENT_OVER_TIME;
    bool is_time = function == FUNCTION_TIMESTAMP || function == FUNCTION_START_TIMESTAMP;
    if (!changes_labels && !is_window && !is_time && !function_is_map(function))
        return NOT_PER_SERIES;
    struct shape shape = shape_of_arguments(call, rules);
    if (!keeps_name)
        return shape_without_name(shape, rules);
    shape.may_collide = changes_labels;
    return shape;
}

static struct shape shape_of_binary(const struct binary_node *binary,
                                    const struct shape_rules *rules)
{
    bool is_left = binary->left->type == VALUE_VECTOR;
    if (is_left == (binary->right->type == VALUE_VECTOR))
        return NOT_PER_SERIES;
    if (!is_constant(is_left ? binary->right : binary->left))
        return NOT_PER_SERIES;
    struct shape shape = shape_changed(is_left ? binary->left : binary->right, rules);
    bool keeps_name = !binary_changes_meaning(binary->operation) && !binary->returns_bool;
    return keeps_name ? shape : shape_without_name(shape, rules);
}

static struct shape shape_of(const struct expression *expression, const struct shape_rules *rules)
{
    expression = expression_unwrap(expression);
    switch (expression->kind) {
    case EXPRESSION_SELECTOR:
        return shape_of_selector(&expression->selector);
    case EXPRESSION_MATRIX:
        return shape_of_selector(&expression->matrix.selector->selector);
    case EXPRESSION_SUBQUERY:
        return shape_changed(expression->subquery.operand, rules);
    case EXPRESSION_UNARY:
        if (expression->unary.operation == UNARY_PLUS)
            return shape_of(expression->unary.operand, rules);
        return shape_without_name(shape_changed(expression->unary.operand, rules), rules);
    case EXPRESSION_BINARY:
        return shape_of_binary(&expression->binary, rules);
    case EXPRESSION_CALL:
        return shape_of_call(&expression->call, rules);
    case EXPRESSION_AGGREGATION:
        if (expression->aggregation.operation == AGGREGATE_LIMIT_RATIO &&
            is_constant(expression->aggregation.parameter))
            return shape_changed(expression->aggregation.operand, rules);
        return NOT_PER_SERIES;
    default:
        return NOT_PER_SERIES;
    }
}

/* --- Plans ----------------------------------------------------------------------------------- */

static enum distribution_kind kind_of_aggregation(const struct aggregation_node *node,
                                                  const struct shape_rules *rules)
{
    if (!shape_changed(node->operand, rules).is_per_series ||
        (node->parameter != NULL && !is_constant(node->parameter)))
        return DISTRIBUTE_NOT;
    switch (node->operation) {
    case AGGREGATE_TOPK:
    case AGGREGATE_BOTTOMK:
    case AGGREGATE_LIMITK:
        return DISTRIBUTE_SELECTED;
    case AGGREGATE_LIMIT_RATIO:
        return DISTRIBUTE_SERIES;
    case AGGREGATE_QUANTILE:
        return DISTRIBUTE_NOT; /* needs all values: its operand goes as series */
    default:
        return DISTRIBUTE_GROUPS;
    }
}

static enum distribution_kind kind_of(const struct expression *expression,
                                      const struct shape_rules *rules)
{
    if (expression->kind == EXPRESSION_AGGREGATION)
        return kind_of_aggregation(&expression->aggregation, rules);
    bool is_absent = expression->kind == EXPRESSION_CALL &&
                     (expression->call.function == FUNCTION_ABSENT ||
                      expression->call.function == FUNCTION_ABSENT_OVER_TIME);
    if (is_absent)
        return shape_changed(expression->call.arguments[0], rules).is_per_series ? DISTRIBUTE_ABSENT
                                                                                 : DISTRIBUTE_NOT;
    return shape_of(expression, rules).is_per_series ? DISTRIBUTE_SERIES : DISTRIBUTE_NOT;
}

struct distribution_plan distribution_plan_of(const struct expression *expression,
                                              enum promql_features features)
{
    expression = expression_unwrap(expression);
    struct shape_rules rules = {
        .name_labels = NAMES_ARE_PLAIN,
        .delays_names = features == PROMQL_EXPERIMENTAL,
    };
    struct distribution_plan plan = {.kind = kind_of(expression, &rules)};
    rules.name_labels = NAMES_HAVE_TYPES;
    plan.needs_plain_names = plan.kind != kind_of(expression, &rules);
    return plan;
}
