/*
 * union_source - several sources whose series are disjoint, as one.
 */
#ifndef PROMQL_UNION_SOURCE_H
#define PROMQL_UNION_SOURCE_H

#include "promql/series_source.h"

/* `sources` [count] outlive it. NULL when memory is out. */
struct series_source *union_source_create(struct series_source *const *sources, size_t count);
void union_source_destroy(struct series_source *source); /* NULL is fine */

/*
 * Sets of disjoint series one behind the other, in the arena; at most `series_limit` series (0:
 * all). Takes over sets[count], an array that lives as long as the arena. NULL when memory is out:
 * then the sets are still the caller's.
 */
struct series_set *union_set_create(struct arena *arena, struct series_set **sets, size_t count,
                                    size_t series_limit);

#endif
