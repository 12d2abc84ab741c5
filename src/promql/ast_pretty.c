/* Expressions on several lines: what is longer than a line is split where its operands begin. */
#include "ast_print.h"
#include "promql/parser.h"

enum { LINE_BYTES_MAX = 100, INDENT_BYTES = 2 };

struct layout {
    struct byte_buffer *buffer;
    struct byte_buffer scratch;
    bool skips_indent; /* the next one: a sign stands before it */
};

static void append(struct layout *layout, const char *characters)
{
    byte_buffer_append(layout->buffer, characters, strlen(characters));
}

static void indent(struct layout *layout, unsigned level)
{
    static const char SPACES[] = "                                ";
    if (layout->skips_indent)
        level = 0;
    layout->skips_indent = false;
    for (size_t left = (size_t)level * INDENT_BYTES; left > 0;) {
        size_t count = left < sizeof SPACES - 1 ? left : sizeof SPACES - 1;
        byte_buffer_append(layout->buffer, SPACES, count);
        left -= count;
    }
}

/* Every level of a tree is a character at least, so that this takes no more than a line's worth of
 * time for each character below. */
static bool is_long(struct layout *layout, const struct expression *expression)
{
    if (expression->depth > LINE_BYTES_MAX + 1)
        return true;
    byte_buffer_reset(&layout->scratch);
    promql_print(expression, &layout->scratch);
    layout->buffer->failed |= layout->scratch.failed;
    return layout->scratch.size > LINE_BYTES_MAX;
}

static void lay_out(struct layout *layout, const struct expression *expression, unsigned level);

static void lay_out_all(struct layout *layout, const struct expression *const *expressions,
                        size_t count, unsigned level)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            append(layout, ",\n");
        lay_out(layout, expressions[i], level);
    }
}

/* One operand below another, or several: "(", "operand", ")". */
static void lay_out_in_parentheses(struct layout *layout,
                                   const struct expression *const *expressions, size_t count,
                                   unsigned level)
{
    append(layout, "(\n");
    lay_out_all(layout, expressions, count, level + 1);
    append(layout, "\n");
    indent(layout, level);
    append(layout, ")");
}

static void lay_out_binary(struct layout *layout, const struct binary_node *binary, unsigned level)
{
    if (left_operand_is_bare(binary)) {
        indent(layout, level + 1);
        append(layout, LEFT_OPERAND_BARE);
    } else {
        lay_out(layout, binary->left, level + 1);
    }
    append(layout, "\n");
    indent(layout, level);
    print_binary_operator(binary, layout->buffer);
    append(layout, "\n");
    lay_out(layout, binary->right, level + 1);
}

static void lay_out_aggregation(struct layout *layout, const struct aggregation_node *node,
                                unsigned level)
{
    const struct expression *operands[2];
    size_t count = 0;
    if (node->parameter != NULL)
        operands[count++] = node->parameter;
    operands[count++] = node->operand;
    indent(layout, level);
    print_aggregation_name(node, layout->buffer);
    lay_out_in_parentheses(layout, operands, count, level);
}

static void lay_out_call(struct layout *layout, const struct call_node *call, unsigned level)
{
    struct text name = function_describe(call->function)->name;
    indent(layout, level);
    byte_buffer_append(layout->buffer, name.data, name.size);
    lay_out_in_parentheses(layout, call->arguments, call->argument_count, level);
}

/* What is longer than a line. */
static void lay_out_long(struct layout *layout, const struct expression *expression, unsigned level)
{
    switch (expression->kind) {
    case EXPRESSION_BINARY:
        lay_out_binary(layout, &expression->binary, level);
        break;
    case EXPRESSION_AGGREGATION:
        lay_out_aggregation(layout, &expression->aggregation, level);
        break;
    case EXPRESSION_CALL:
        lay_out_call(layout, &expression->call, level);
        break;
    case EXPRESSION_PARENTHESES:
        indent(layout, level);
        lay_out_in_parentheses(layout, &expression->parentheses.operand, 1, level);
        break;
    case EXPRESSION_SUBQUERY:
        lay_out(layout, expression->subquery.operand, level);
        print_subquery_suffix(&expression->subquery, layout->buffer);
        break;
    default:
        indent(layout, level);
        promql_print(expression, layout->buffer);
        break;
    }
}

static void lay_out(struct layout *layout, const struct expression *expression, unsigned level)
{
    if (layout->buffer->failed || layout->buffer->size > PROMQL_PRETTY_BYTES_MAX)
        return;
    if (expression->kind == EXPRESSION_UNARY) {
        indent(layout, level);
        append(layout, expression->unary.operation == UNARY_MINUS ? "-" : "+");
        layout->skips_indent = true;
        lay_out(layout, expression->unary.operand, level);
    } else if (is_long(layout, expression)) {
        lay_out_long(layout, expression, level);
    } else {
        /* As Prometheus: a short sub-query stands at the margin. */
        indent(layout, expression->kind == EXPRESSION_SUBQUERY ? 0 : level);
        byte_buffer_append(layout->buffer, layout->scratch.bytes, layout->scratch.size);
    }
}

void promql_print_pretty(const struct expression *expression, struct byte_buffer *buffer)
{
    struct layout layout = {.buffer = buffer};
    lay_out(&layout, expression, 0);
    byte_buffer_clear(&layout.scratch);
}
