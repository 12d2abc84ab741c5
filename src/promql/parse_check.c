#include "promql/selectors.h"

#include "parse.h"

static bool check(struct parser *parser, const struct expression *expression);

static bool expect_type(struct parser *parser, const struct expression *expression,
                        enum value_type type, const char *context, struct text name)
{
    if (expression->type == type)
        return true;
    if (name.size > 0)
        return parser_fail(parser, expression->position.start,
                           "expected type %s in %s \"%.*s\", got %s", value_type_description(type),
                           context, TEXT_ARGUMENTS(name), value_type_description(expression->type));
    return parser_fail(parser, expression->position.start, "expected type %s in %s, got %s",
                       value_type_description(type), context,
                       value_type_description(expression->type));
}

/* --- Selectors ------------------------------------------------------------------------------- */

static bool check_selector(struct parser *parser, const struct expression *expression)
{
    const struct selector_node *selector = &expression->selector;
    if (selector->metric_name.size == 0)
        return parser->is_selector_alone || promql_refuses_empty(selector) ||
               parser_fail(parser, expression->position.start,
                           "vector selector must contain at least one non-empty matcher");
    for (size_t i = 0; i + 1 < selector->matcher_count; i++) {
        const struct matcher *matcher = selector->matchers[i];
        if (text_equal(matcher->name, LABEL_METRIC_NAME))
            return parser_fail(parser, expression->position.start,
                               "metric name must not be set twice: \"%.*s\" or \"%.*s\"",
                               TEXT_ARGUMENTS(selector->metric_name),
                               TEXT_ARGUMENTS(matcher->value));
    }
    return true;
}

/* --- Operators ------------------------------------------------------------------------------- */

/* Where the operator stands, behind the white space after the left side. */
static uint32_t operator_offset(const struct parser *parser, const struct binary_node *binary)
{
    uint32_t offset = binary->left->position.end;
    while (offset < binary->right->position.start &&
           strchr(" \t\r\n", parser->lexer.text.data[offset]) != NULL)
        offset++;
    return offset;
}

/* on(a) group_left(a) would take the label from both sides. */
static bool check_included_labels(struct parser *parser, const struct vector_matching *matching,
                                  uint32_t offset)
{
    if (matching->labels_mode != MATCH_ON)
        return true;
    for (size_t i = 0; i < matching->label_count; i++) {
        for (size_t j = 0; j < matching->included_label_count; j++) {
            if (text_equal(matching->labels[i], matching->included_labels[j]))
                return parser_fail(parser, offset,
                                   "label \"%.*s\" must not occur in ON and GROUP clause at once",
                                   TEXT_ARGUMENTS(matching->labels[i]));
        }
    }
    return true;
}

static bool check_matching(struct parser *parser, const struct expression *expression)
{
    const struct binary_node *binary = &expression->binary;
    const struct vector_matching *matching = binary->matching;
    const char *name = binary_operator_text(binary->operation);
    uint32_t start = expression->position.start;
    if (matching == NULL)
        return true;
    bool fills = matching->has_fill_left || matching->has_fill_right;
    if (binary->left->type != VALUE_VECTOR || binary->right->type != VALUE_VECTOR)
        return parser_fail(parser, start,
                           matching->label_count > 0
                               ? "vector matching only allowed between instant vectors"
                               : "filling in missing series only allowed between instant vectors");
    if (!binary_operator_is_set(binary->operation))
        return true;
    if (matching->cardinality != MATCH_MANY_TO_MANY)
        return parser_fail(parser, start, "no grouping allowed for \"%s\" operation", name);
    if (fills)
        return parser_fail(parser, start,
                           "filling in missing series not allowed for set operators");
    return true;
}

static bool check_binary(struct parser *parser, const struct expression *expression)
{
    const struct binary_node *binary = &expression->binary;
    enum value_type left = binary->left->type;
    enum value_type right = binary->right->type;
    bool comparison = binary_operator_is_comparison(binary->operation);
    uint32_t offset = operator_offset(parser, binary);
    if (binary->returns_bool && !comparison)
        return parser_fail(parser, offset,
                           "bool modifier can only be used on comparison operators");
    if (comparison && !binary->returns_bool && left == VALUE_SCALAR && right == VALUE_SCALAR)
        return parser_fail(parser, offset, "comparisons between scalars must use BOOL modifier");
    if (binary->matching != NULL && !check_included_labels(parser, binary->matching, offset))
        return false;
    if (left != VALUE_SCALAR && left != VALUE_VECTOR)
        return parser_fail(parser, binary->left->position.start,
                           "binary expression must contain only scalar and instant vector types");
    if (right != VALUE_SCALAR && right != VALUE_VECTOR)
        return parser_fail(parser, binary->right->position.start,
                           "binary expression must contain only scalar and instant vector types");
    if (!check_matching(parser, expression))
        return false;
    if ((left == VALUE_SCALAR || right == VALUE_SCALAR) &&
        binary_operator_is_set(binary->operation))
        return parser_fail(parser, expression->position.start,
                           "set operator \"%s\" not allowed in binary scalar expression",
                           binary_operator_text(binary->operation));
    return true;
}

/* --- Calls and aggregations ------------------------------------------------------------------ */

static bool check_argument_count(struct parser *parser, const struct expression *expression)
{
    const struct function *function = function_describe(expression->call.function);
    size_t count = expression->call.argument_count;
    size_t expected = 0;
    const char *quantity = NULL;
    if (count < function->argument_count_min) {
        expected = function->argument_count_min;
        quantity = "at least ";
    } else if (function->argument_count_max != UINT8_MAX && count > function->argument_count_max) {
        expected = function->argument_count_max;
        quantity = "at most ";
    }
    if (quantity == NULL)
        return true;
    if (function->argument_count_min == function->argument_count_max)
        quantity = "";
    return parser_fail(parser, expression->position.start,
                       "expected %s%zu argument(s) in call to \"%.*s\", got %zu", quantity,
                       expected, TEXT_ARGUMENTS(function->name), count);
}

/* The second argument of info() only names labels: it may select anything. */
static bool is_label_selector(const struct expression *call, size_t index)
{
    return call->call.function == FUNCTION_INFO && index == 1;
}

static bool check_label_selector(struct parser *parser, const struct expression *argument)
{
    if (argument->kind == EXPRESSION_SELECTOR && argument->selector.metric_name.size == 0)
        return true;
    return parser_fail(parser, argument->position.start,
                       "expected label selectors only, got vector selector instead");
}

static bool check_call(struct parser *parser, const struct expression *expression)
{
    const struct call_node *call = &expression->call;
    const struct function *function = function_describe(call->function);
    if (!check_argument_count(parser, expression))
        return false;
    for (size_t i = 0; i < call->argument_count; i++) {
        size_t last = function->argument_type_count - 1u;
        enum value_type type = function->argument_types[i < last ? i : last];
        bool selector = is_label_selector(expression, i);
        if (!selector && !check(parser, call->arguments[i]))
            return false;
        if (!expect_type(parser, call->arguments[i], type, "call to function", function->name))
            return false;
        if (selector && !check_label_selector(parser, call->arguments[i]))
            return false;
    }
    return true;
}

static bool check_aggregation(struct parser *parser, const struct expression *expression)
{
    const struct aggregation_node *node = &expression->aggregation;
    enum value_type type = node->operation == AGGREGATE_COUNT_VALUES ? VALUE_STRING : VALUE_SCALAR;
    if (!expect_type(parser, node->operand, VALUE_VECTOR, "aggregation expression",
                     (struct text){0}))
        return false;
    return node->parameter == NULL ||
           expect_type(parser, node->parameter, type, "aggregation parameter", (struct text){0});
}

/* --- The walk -------------------------------------------------------------------------------- */

static bool check_node(struct parser *parser, const struct expression *expression)
{
    switch (expression->kind) {
    case EXPRESSION_SELECTOR:
        return check_selector(parser, expression);
    case EXPRESSION_BINARY:
        return check_binary(parser, expression);
    case EXPRESSION_AGGREGATION:
        return check_aggregation(parser, expression);
    case EXPRESSION_UNARY:
        if (expression->type == VALUE_SCALAR || expression->type == VALUE_VECTOR)
            return true;
        return parser_fail(parser, expression->position.start,
                           "unary expression only allowed on expressions of type scalar or "
                           "instant vector, got \"%s\"",
                           value_type_description(expression->type));
    case EXPRESSION_SUBQUERY:
        if (expression->subquery.operand->type == VALUE_VECTOR)
            return true;
        return parser_fail(parser, expression->position.start,
                           "subquery is only allowed on instant vector, got %s instead",
                           value_type_name(expression->subquery.operand->type));
    default:
        return true;
    }
}

/* Children first, so that the innermost mistake is the one reported; calls look themselves. */
static bool check(struct parser *parser, const struct expression *expression)
{
    if (expression->kind == EXPRESSION_CALL)
        return check_call(parser, expression);
    const struct expression *child;
    for (size_t i = 0; expression_child(expression, i, &child); i++) {
        if (!check(parser, child))
            return false;
    }
    return check_node(parser, expression);
}

bool parse_check(struct parser *parser, const struct expression *expression)
{
    return check(parser, expression);
}
