/*
 * selectors - the vector selectors of an expression, wherever they stand.
 */
#ifndef PROMQL_SELECTORS_H
#define PROMQL_SELECTORS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "promql/ast.h"

/* Whether some matcher refuses the empty text, so that not every series is selected. */
bool promql_refuses_empty(const struct selector_node *selector);

/* In the order of the text, the array in `arena`. False when memory is out. */
bool promql_selectors(const struct expression *root, struct arena *arena,
                      const struct selector_node ***selectors_out, size_t *count_out);

#endif
