/* The syntax tree in JSON, as the tree view of Prometheus' web page takes it. */
#include "api_private.h"
#include "wire/json_field.h"

/* --- Pieces ----------------------------------------------------------------------------------- */

static void append_type(struct byte_buffer *json, const char *type)
{
    json_raw(json, TEXT("{"));
    json_string_field(json, "type", type);
}

static void append_truth(struct byte_buffer *json, const char *name, bool value)
{
    json_field_name(json, name);
    json_raw(json, value ? TEXT("true") : TEXT("false"));
}

static void append_names(struct byte_buffer *json, const char *name, const struct text *names,
                         size_t count)
{
    json_field_name(json, name);
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            json_raw(json, TEXT(","));
        json_string(json, names[i]);
    }
    json_raw(json, TEXT("]"));
}

static void append_child(struct byte_buffer *json, const char *name,
                         const struct expression *expression)
{
    json_field_name(json, name);
    if (expression == NULL)
        json_raw(json, TEXT("null"));
    else
        api_append_syntax_tree(json, expression);
}

/* --- Durations -------------------------------------------------------------------------------- */

static void append_duration_node(struct byte_buffer *json, const struct duration_expression *node)
{
    bool wrapped = false;
    while (node != NULL && node->operation == DURATION_PARENTHESES) {
        node = node->left;
        wrapped = true;
    }
    if (node == NULL) {
        json_raw(json, TEXT("null"));
        return;
    }
    if (node->operation == DURATION_LITERAL) {
        append_type(json, "numberLiteral");
        json_field_name(json, "val");
        json_plain_value(json, node->seconds);
        append_truth(json, "duration", node->is_duration);
    } else {
        bool has_sign = node->operation == DURATION_MINUS || node->operation == DURATION_PLUS;
        append_type(json, "durationExpr");
        json_string_field(json, "op", duration_operator_text(node->operation));
        json_field_name(json, "lhs");
        append_duration_node(json, has_sign ? NULL : node->left);
        json_field_name(json, "rhs");
        append_duration_node(json, has_sign ? node->left : node->right);
        append_truth(json, "wrapped", wrapped);
    }
    json_raw(json, TEXT("}"));
}

/* Two fields: milliseconds, 0 for an expression, and the expression, null for a literal. */
static void append_duration(struct byte_buffer *json, const char *name, const char *expression_name,
                            const struct duration *duration)
{
    json_integer_field(json, name, duration->expression == NULL ? duration->milliseconds : 0);
    json_field_name(json, expression_name);
    append_duration_node(json, duration->expression);
}

static void append_shift(struct byte_buffer *json, const struct time_shift *shift)
{
    append_duration(json, "offset", "offsetExpr", &shift->offset);
    json_field_name(json, "timestamp");
    if (shift->at == AT_TIMESTAMP)
        json_integer(json, shift->at_timestamp_ms);
    else
        json_raw(json, TEXT("null"));
    json_field_name(json, "startOrEnd");
    json_raw(json, shift->at == AT_START ? TEXT("\"start\"")
                   : shift->at == AT_END ? TEXT("\"end\"")
                                         : TEXT("null"));
}

/* --- Selectors -------------------------------------------------------------------------------- */

static void append_matcher(struct byte_buffer *json, const struct matcher *matcher)
{
    static const char *const OPERATORS[] = {
        [MATCHER_EQUAL] = "=",
        [MATCHER_NOT_EQUAL] = "!=",
        [MATCHER_REGEX] = "=~",
        [MATCHER_NOT_REGEX] = "!~",
    };
    json_raw(json, TEXT("{"));
    json_field_name(json, "name");
    json_string(json, matcher->name);
    json_field_name(json, "value");
    json_string(json, matcher->value);
    json_string_field(json, "type", OPERATORS[matcher->type]);
    json_raw(json, TEXT("}"));
}

static void append_selector(struct byte_buffer *json, const struct selector_node *selector)
{
    json_field_name(json, "name");
    json_string(json, selector->metric_name);
    append_shift(json, &selector->shift);
    json_field_name(json, "matchers");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < selector->written_count; i++) {
        if (i > 0)
            json_raw(json, TEXT(","));
        append_matcher(json, selector->written[i]);
    }
    if (selector->metric_name.size > 0) {
        if (selector->written_count > 0)
            json_raw(json, TEXT(","));
        append_matcher(json, selector->matchers[selector->matcher_count - 1]);
    }
    json_raw(json, TEXT("]"));
    append_truth(json, "anchored", selector->mode == RANGE_ANCHORED);
    append_truth(json, "smoothed", selector->mode == RANGE_SMOOTHED);
}

static void append_matrix(struct byte_buffer *json, const struct matrix_node *matrix)
{
    append_type(json, "matrixSelector");
    append_duration(json, "range", "rangeExpr", &matrix->range);
    append_selector(json, &matrix->selector->selector);
}

static void append_subquery(struct byte_buffer *json, const struct subquery_node *subquery)
{
    append_type(json, "subquery");
    append_child(json, "expr", subquery->operand);
    append_duration(json, "range", "rangeExpr", &subquery->range);
    append_duration(json, "step", "stepExpr", &subquery->step);
    append_shift(json, &subquery->shift);
}

/* --- Operators, aggregations and calls -------------------------------------------------------- */

static void append_fill(struct byte_buffer *json, const char *name, bool has_fill, double fill)
{
    json_field_name(json, name);
    if (has_fill)
        json_double(json, fill);
    else
        json_raw(json, TEXT("null"));
}

static void append_matching(struct byte_buffer *json, const struct vector_matching *matching)
{
    static const char *const CARDINALITIES[] = {
        [MATCH_ONE_TO_ONE] = "one-to-one",
        [MATCH_MANY_TO_ONE] = "many-to-one",
        [MATCH_ONE_TO_MANY] = "one-to-many",
        [MATCH_MANY_TO_MANY] = "many-to-many",
    };
    json_field_name(json, "matching");
    if (matching == NULL) {
        json_raw(json, TEXT("null"));
        return;
    }
    json_raw(json, TEXT("{"));
    json_string_field(json, "card", CARDINALITIES[matching->cardinality]);
    append_names(json, "labels", matching->labels, matching->label_count);
    append_truth(json, "on", matching->labels_mode == MATCH_ON);
    append_names(json, "include", matching->included_labels, matching->included_label_count);
    json_field_name(json, "fillValues");
    json_raw(json, TEXT("{"));
    append_fill(json, "lhs", matching->has_fill_left, matching->fill_left);
    append_fill(json, "rhs", matching->has_fill_right, matching->fill_right);
    json_raw(json, TEXT("}}"));
}

static void append_binary(struct byte_buffer *json, const struct binary_node *binary)
{
    append_type(json, "binaryExpr");
    json_string_field(json, "op", binary_operator_text(binary->operation));
    append_child(json, "lhs", binary->left);
    append_child(json, "rhs", binary->right);
    append_matching(json, binary->matching);
    append_truth(json, "bool", binary->returns_bool);
}

static void append_aggregation(struct byte_buffer *json, const struct aggregation_node *node)
{
    append_type(json, "aggregation");
    json_string_field(json, "op", aggregation_name(node->operation));
    append_child(json, "expr", node->operand);
    append_child(json, "param", node->parameter);
    append_names(json, "grouping", node->labels, node->label_count);
    append_truth(json, "without", node->grouping == GROUP_WITHOUT);
}

/* What a function takes; "variadic" is how many arguments may be left out, -1 for any number. */
static void append_function(struct byte_buffer *json, const struct function *function)
{
    int left_out = function->argument_count_max == UINT8_MAX
                       ? -1
                       : function->argument_count_max - function->argument_count_min;
    json_field_name(json, "func");
    json_raw(json, TEXT("{"));
    json_field_name(json, "name");
    json_string(json, function->name);
    json_field_name(json, "argTypes");
    json_raw(json, TEXT("["));
    for (unsigned i = 0; i < function->argument_type_count; i++) {
        if (i > 0)
            json_raw(json, TEXT(","));
        json_string(json, text_of(value_type_name(function->argument_types[i])));
    }
    json_raw(json, TEXT("]"));
    json_integer_field(json, "variadic", left_out);
    json_string_field(json, "returnType", value_type_name(function->result));
    json_raw(json, TEXT("}"));
}

static void append_call(struct byte_buffer *json, const struct call_node *call)
{
    append_type(json, "call");
    append_function(json, function_describe(call->function));
    json_field_name(json, "args");
    json_raw(json, TEXT("["));
    for (size_t i = 0; i < call->argument_count; i++) {
        if (i > 0)
            json_raw(json, TEXT(","));
        api_append_syntax_tree(json, call->arguments[i]);
    }
    json_raw(json, TEXT("]"));
}

/* --- Trees ------------------------------------------------------------------------------------ */

void api_append_syntax_tree(struct byte_buffer *json, const struct expression *expression)
{
    if (json->size > API_SYNTAX_TREE_BYTES_MAX)
        return;
    switch (expression->kind) {
    case EXPRESSION_NUMBER:
        append_type(json, "numberLiteral");
        json_field_name(json, "val");
        json_plain_value(json, expression->number.value);
        break;
    case EXPRESSION_STRING:
        append_type(json, "stringLiteral");
        json_field_name(json, "val");
        json_string(json, expression->string.value);
        break;
    case EXPRESSION_SELECTOR:
        append_type(json, "vectorSelector");
        append_selector(json, &expression->selector);
        break;
    case EXPRESSION_MATRIX:
        append_matrix(json, &expression->matrix);
        break;
    case EXPRESSION_SUBQUERY:
        append_subquery(json, &expression->subquery);
        break;
    case EXPRESSION_UNARY:
        append_type(json, "unaryExpr");
        json_string_field(json, "op", expression->unary.operation == UNARY_MINUS ? "-" : "+");
        append_child(json, "expr", expression->unary.operand);
        break;
    case EXPRESSION_BINARY:
        append_binary(json, &expression->binary);
        break;
    case EXPRESSION_AGGREGATION:
        append_aggregation(json, &expression->aggregation);
        break;
    case EXPRESSION_CALL:
        append_call(json, &expression->call);
        break;
    case EXPRESSION_PARENTHESES:
        append_type(json, "parenExpr");
        append_child(json, "expr", expression->parentheses.operand);
        break;
    case EXPRESSION_KINDS:
        break;
    }
    json_raw(json, TEXT("}"));
}
