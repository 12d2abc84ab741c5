/*
 * label_list - the label names of a `by`, `without`, `on` or `ignoring`, as projections want them.
 */
#ifndef PROMQL_LABEL_LIST_H
#define PROMQL_LABEL_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "model/labels.h"

struct label_list {
    const struct text *names; /* [count], sorted, each once */
    size_t count;
};

/* Sort the names as written, in `arena`; the metric's name joins them when wanted. False when
 * memory is out. */
bool label_list_make(struct arena *arena, const struct text *names, size_t count,
                     bool with_metric_name, struct label_list *list_out);

#endif
