/*
 * union_source - several sources whose series are disjoint, as one. Private to frontend.
 */
#ifndef FRONTEND_UNION_SOURCE_H
#define FRONTEND_UNION_SOURCE_H

#include "promql/series_source.h"

/* `sources` [count] outlive it. NULL when memory is out. */
struct series_source *union_source_create(struct series_source *const *sources, size_t count);
void union_source_destroy(struct series_source *source); /* NULL is fine */

#endif
