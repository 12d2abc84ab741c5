/*
 * labelled_source - a source whose series all have some more labels: those by which a cluster is
 * told from others.
 *
 * External labels win over equal names of a series, whose own label becomes exported_<name> (with
 * the prefix again where that is taken as well). Matchers see the labels as they are then: one that
 * an external label does not fit selects nothing, and costs nothing.
 */
#ifndef PROMQL_LABELLED_SOURCE_H
#define PROMQL_LABELLED_SOURCE_H

#include "base/arena.h"
#include "model/labels.h"
#include "promql/series_source.h"

struct labelled_source {
    struct series_source base; /* first */
    struct series_source *source;
    struct labels external;
};

/* In the caller's memory; `source` and the bytes of `external` outlive it. Returns its base. */
struct series_source *labelled_source_init(struct labelled_source *labelled,
                                           struct series_source *source, struct labels external);

/* Labels of a series with the external ones, in the arena; bytes is NULL when memory is out. */
struct labels labelled_source_labels(struct labels external, struct labels labels,
                                     struct arena *arena);

/* Whether series with these external labels can be selected by the matchers at all. */
bool labelled_source_may_match(struct labels external, const struct matcher *const *matchers,
                               size_t matcher_count);

#endif
