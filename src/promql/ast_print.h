/*
 * ast_print - pieces of the text of an expression, for both of its layouts.
 */
#ifndef PROMQL_AST_PRINT_H
#define PROMQL_AST_PRINT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "promql/ast.h"

/* An infinity is printed with its sign, which binds weaker than ^: before that it is bare. */
bool left_operand_is_bare(const struct binary_node *binary);
#define LEFT_OPERAND_BARE "Inf"

/* What stands between the operands: "* on (a) group_left (b)". */
void print_binary_operator(const struct binary_node *binary, struct byte_buffer *buffer);

/* What stands before the parentheses: "sum", "sum by (a) ". */
void print_aggregation_name(const struct aggregation_node *node, struct byte_buffer *buffer);

/* What stands behind the operand: "[1h:5m] offset 1d". */
void print_subquery_suffix(const struct subquery_node *subquery, struct byte_buffer *buffer);

#endif
