/*
 * group_source - some replicas of this node as one series_source, for an evaluation here.
 *
 * Only selections: that is what the engine asks for. The replicas are the caller's, held as long as
 * the source and its sets.
 */
#ifndef FANOUT_GROUP_SOURCE_H
#define FANOUT_GROUP_SOURCE_H

#include "fanout_private.h"
#include "windows.h"

struct group_source {
    struct series_source base; /* first */
    struct fanout *fanout;
    const struct fanout_replica *replicas; /* [count] */
    size_t count;
    struct read_span span; /* of all selections */
};

void group_source_init(struct group_source *source, struct fanout *fanout,
                       const struct fanout_replica *replicas, size_t count);

#endif
