#include "ast_print.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "lexer.h"
#include "model/quote.h"
#include "number_text.h"
#include "promql/parser.h"

/* --- Pieces ---------------------------------------------------------------------------------- */

static void append(struct byte_buffer *buffer, const char *characters)
{
    byte_buffer_append(buffer, characters, strlen(characters));
}

static void append_text(struct byte_buffer *buffer, struct text text)
{
    byte_buffer_append(buffer, text.data, text.size);
}

static void append_number(struct byte_buffer *buffer, double value)
{
    char target[DECIMAL_TEXT_BYTES];
    append(buffer, decimal_text(target, value));
}

/* 1d12h30m; years and weeks only where they leave no rest, as Prometheus has it. */
static void append_duration_ms(struct byte_buffer *buffer, int64_t milliseconds)
{
    static const struct {
        const char *name;
        uint64_t factor;
        bool exact;
    } UNITS[] = {
        {"y", UINT64_C(31536000000), true},
        {"w", 604800000, true},
        {"d", 86400000, false},
        {"h", 3600000, false},
        {"m", 60000, false},
        {"s", 1000, false},
        {"ms", 1, false},
    };
    if (milliseconds < 0)
        byte_buffer_u8(buffer, '-');
    if (milliseconds == 0)
        append(buffer, "0s");
    uint64_t rest = milliseconds < 0 ? -(uint64_t)milliseconds : (uint64_t)milliseconds;
    for (size_t i = 0; i < sizeof UNITS / sizeof UNITS[0]; i++) {
        uint64_t count = rest / UNITS[i].factor;
        if (count == 0 || (UNITS[i].exact && rest % UNITS[i].factor != 0))
            continue;
        char characters[32];
        snprintf(characters, sizeof characters, "%" PRIu64 "%s", count, UNITS[i].name);
        append(buffer, characters);
        rest -= count * UNITS[i].factor;
    }
}

/* A literal as it was written: 300 or 5m. */
static void append_literal(struct byte_buffer *buffer, double value, bool is_duration)
{
    if (is_duration) {
        if (signbit(value) && value == 0)
            byte_buffer_u8(buffer, '-');
        append_duration_ms(buffer, (int64_t)llround(value * 1000));
    } else {
        append_number(buffer, value);
    }
}

static void append_label_name(struct byte_buffer *buffer, struct text name)
{
    if (label_name_is_legacy(name))
        append_text(buffer, name);
    else
        text_append_quoted(buffer, name);
}

static void append_labels(struct byte_buffer *buffer, const struct text *labels, size_t count)
{
    byte_buffer_u8(buffer, '(');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            append(buffer, ", ");
        append_label_name(buffer, labels[i]);
    }
    byte_buffer_u8(buffer, ')');
}

/* --- Durations ------------------------------------------------------------------------------- */

static void print_duration_expression(const struct duration_expression *node,
                                      struct byte_buffer *buffer)
{
    switch (node->operation) {
    case DURATION_LITERAL:
        append_literal(buffer, node->seconds, node->is_duration);
        break;
    case DURATION_STEP:
    case DURATION_RANGE:
        append(buffer, duration_operator_text(node->operation));
        append(buffer, "()");
        break;
    case DURATION_MINUS:
        append(buffer, "-");
        print_duration_expression(node->left, buffer);
        break;
    case DURATION_PLUS:
        print_duration_expression(node->left, buffer);
        break;
    case DURATION_PARENTHESES:
        append(buffer, "(");
        print_duration_expression(node->left, buffer);
        append(buffer, ")");
        break;
    case DURATION_MIN:
    case DURATION_MAX:
        append(buffer, duration_operator_text(node->operation));
        append(buffer, "(");
        print_duration_expression(node->left, buffer);
        append(buffer, ", ");
        print_duration_expression(node->right, buffer);
        append(buffer, ")");
        break;
    default:
        print_duration_expression(node->left, buffer);
        append(buffer, " ");
        append(buffer, duration_operator_text(node->operation));
        append(buffer, " ");
        print_duration_expression(node->right, buffer);
        break;
    }
}

static void print_duration(const struct duration *duration, struct byte_buffer *buffer)
{
    if (duration->expression != NULL)
        print_duration_expression(duration->expression, buffer);
    else
        append_duration_ms(buffer, duration->milliseconds);
}

static void print_shift(const struct time_shift *shift, struct byte_buffer *buffer)
{
    if (shift->at == AT_START)
        append(buffer, " @ start()");
    if (shift->at == AT_END)
        append(buffer, " @ end()");
    if (shift->at == AT_TIMESTAMP) {
        int64_t timestamp = shift->at_timestamp_ms;
        uint64_t magnitude = timestamp < 0 ? -(uint64_t)timestamp : (uint64_t)timestamp;
        char characters[40];
        snprintf(characters, sizeof characters, " @ %s%" PRIu64 ".%03" PRIu64,
                 timestamp < 0 ? "-" : "", magnitude / 1000, magnitude % 1000);
        append(buffer, characters);
    }
    if (shift->offset.milliseconds != 0 || shift->offset.expression != NULL) {
        append(buffer, " offset ");
        print_duration(&shift->offset, buffer);
    }
}

/* --- Selectors ------------------------------------------------------------------------------- */

static const char *mode_text(enum range_mode mode)
{
    return mode == RANGE_PLAIN ? "" : mode == RANGE_ANCHORED ? " anchored" : " smoothed";
}

/* Without shift and mode, which stand behind a range when there is one. */
static void print_series(const struct selector_node *selector, struct byte_buffer *buffer)
{
    static const char *const OPERATORS[] = {
        [MATCHER_EQUAL] = "=",
        [MATCHER_NOT_EQUAL] = "!=",
        [MATCHER_REGEX] = "=~",
        [MATCHER_NOT_REGEX] = "!~",
    };
    bool named = selector->metric_name.size > 0;
    size_t count = selector->matcher_count - named; /* the last is that of the name */
    append_text(buffer, selector->metric_name);
    if (named && count == 0)
        return;
    append(buffer, "{");
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = selector->matchers[i];
        if (i > 0)
            append(buffer, ",");
        append_label_name(buffer, matcher->name);
        append(buffer, OPERATORS[matcher->type]);
        text_append_quoted(buffer, matcher->value);
    }
    append(buffer, "}");
}

static void print_matrix(const struct matrix_node *matrix, struct byte_buffer *buffer)
{
    const struct selector_node *selector = &matrix->selector->selector;
    print_series(selector, buffer);
    append(buffer, "[");
    print_duration(&matrix->range, buffer);
    append(buffer, "]");
    append(buffer, mode_text(selector->mode));
    print_shift(&selector->shift, buffer);
}

void print_subquery_suffix(const struct subquery_node *subquery, struct byte_buffer *buffer)
{
    append(buffer, "[");
    print_duration(&subquery->range, buffer);
    append(buffer, ":");
    if (subquery->has_step)
        print_duration(&subquery->step, buffer);
    append(buffer, "]");
    print_shift(&subquery->shift, buffer);
}

/* --- Operators, aggregations and calls ------------------------------------------------------- */

static void print_fill(const char *name, double value, struct byte_buffer *buffer)
{
    char target[NUMBER_TEXT_BYTES];
    append(buffer, name);
    append(buffer, number_text(target, value));
    append(buffer, ")");
}

static void print_matching(const struct vector_matching *matching, struct byte_buffer *buffer)
{
    bool grouped =
        matching->cardinality == MATCH_MANY_TO_ONE || matching->cardinality == MATCH_ONE_TO_MANY;
    if (matching->labels_mode == MATCH_ON || matching->label_count > 0 || grouped) {
        append(buffer, matching->labels_mode == MATCH_ON ? " on " : " ignoring ");
        append_labels(buffer, matching->labels, matching->label_count);
    }
    if (grouped) {
        bool many_left = matching->cardinality == MATCH_MANY_TO_ONE;
        append(buffer, many_left ? " group_left " : " group_right ");
        append_labels(buffer, matching->included_labels, matching->included_label_count);
    }
    if (matching->has_fill_left && matching->has_fill_right && !isnan(matching->fill_left) &&
        double_to_bits(matching->fill_left) == double_to_bits(matching->fill_right)) {
        print_fill(" fill (", matching->fill_left, buffer);
        return;
    }
    if (matching->has_fill_left)
        print_fill(" fill_left (", matching->fill_left, buffer);
    if (matching->has_fill_right)
        print_fill(" fill_right (", matching->fill_right, buffer);
}

void print_binary_operator(const struct binary_node *binary, struct byte_buffer *buffer)
{
    append(buffer, binary_operator_text(binary->operation));
    if (binary->returns_bool)
        append(buffer, " bool");
    if (binary->matching != NULL)
        print_matching(binary->matching, buffer);
}

bool left_operand_is_bare(const struct binary_node *binary)
{
    const struct expression *left = binary->left;
    return binary->operation == BINARY_POWER && left->kind == EXPRESSION_NUMBER &&
           left->number.value == INFINITY;
}

static void print_binary(const struct binary_node *binary, struct byte_buffer *buffer)
{
    if (left_operand_is_bare(binary))
        append(buffer, LEFT_OPERAND_BARE);
    else
        promql_print(binary->left, buffer);
    append(buffer, " ");
    print_binary_operator(binary, buffer);
    append(buffer, " ");
    promql_print(binary->right, buffer);
}

void print_aggregation_name(const struct aggregation_node *node, struct byte_buffer *buffer)
{
    append(buffer, aggregation_name(node->operation));
    if (node->grouping == GROUP_WITHOUT || node->label_count > 0) {
        append(buffer, node->grouping == GROUP_WITHOUT ? " without " : " by ");
        append_labels(buffer, node->labels, node->label_count);
        append(buffer, " ");
    }
}

static void print_aggregation(const struct aggregation_node *node, struct byte_buffer *buffer)
{
    print_aggregation_name(node, buffer);
    append(buffer, "(");
    if (node->parameter != NULL) {
        promql_print(node->parameter, buffer);
        append(buffer, ", ");
    }
    promql_print(node->operand, buffer);
    append(buffer, ")");
}

static void print_call(const struct call_node *call, struct byte_buffer *buffer)
{
    append_text(buffer, function_describe(call->function)->name);
    append(buffer, "(");
    for (size_t i = 0; i < call->argument_count; i++) {
        if (i > 0)
            append(buffer, ", ");
        promql_print(call->arguments[i], buffer);
    }
    append(buffer, ")");
}

void promql_print(const struct expression *expression, struct byte_buffer *buffer)
{
    switch (expression->kind) {
    case EXPRESSION_NUMBER:
        append_literal(buffer, expression->number.value, expression->number.is_duration);
        break;
    case EXPRESSION_STRING:
        text_append_quoted(buffer, expression->string.value);
        break;
    case EXPRESSION_SELECTOR:
        print_series(&expression->selector, buffer);
        append(buffer, mode_text(expression->selector.mode));
        print_shift(&expression->selector.shift, buffer);
        break;
    case EXPRESSION_MATRIX:
        print_matrix(&expression->matrix, buffer);
        break;
    case EXPRESSION_SUBQUERY:
        promql_print(expression->subquery.operand, buffer);
        print_subquery_suffix(&expression->subquery, buffer);
        break;
    case EXPRESSION_UNARY:
        append(buffer, expression->unary.operation == UNARY_MINUS ? "-" : "+");
        promql_print(expression->unary.operand, buffer);
        break;
    case EXPRESSION_BINARY:
        print_binary(&expression->binary, buffer);
        break;
    case EXPRESSION_AGGREGATION:
        print_aggregation(&expression->aggregation, buffer);
        break;
    case EXPRESSION_CALL:
        print_call(&expression->call, buffer);
        break;
    case EXPRESSION_PARENTHESES:
        append(buffer, "(");
        promql_print(expression->parentheses.operand, buffer);
        append(buffer, ")");
        break;
    case EXPRESSION_KINDS:
        break;
    }
}
