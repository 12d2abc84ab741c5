/*
 * selectors - every vector selector of an expression, wherever it stands.
 */
#ifndef PROMQL_SELECTORS_H
#define PROMQL_SELECTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "promql/ast.h"

/* In the order of the text, the array in `arena`. False when memory is out. */
bool promql_selectors(const struct expression *root, struct arena *arena,
                      const struct selector_node ***selectors_out, size_t *count_out);

#endif
