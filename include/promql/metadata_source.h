/*
 * metadata_source - what senders told of their metrics, wherever it is kept.
 *
 * The seam beside series_source: several senders may have told different things of a metric, and
 * the same may be told more than once.
 */
#ifndef PROMQL_METADATA_SOURCE_H
#define PROMQL_METADATA_SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/text.h"
#include "model/sample.h"

struct metadata_request {
    struct text tenant;
    struct text metric;          /* of this one only; empty: of all */
    const atomic_bool *canceled; /* NULL: never */
    uint64_t deadline_ns;        /* monotonic; 0: none */
    struct arena *arena;         /* for what is needed meanwhile */
    /* The texts live during the call. False ends the visit. */
    bool (*visit)(void *context, struct text metric_name, const struct metric_metadata *metadata);
    void *context;
};

struct metadata_source;

struct metadata_source_operations {
    enum error_code (*visit)(struct metadata_source *self, const struct metadata_request *request,
                             bool *damaged_out, struct error *error);
};

/* Any thread may call; blocking (workers, not loops). */
struct metadata_source {
    const struct metadata_source_operations *operations;
};

/*
 * Visit in no order, on the calling thread. *damaged_out: a file of metadata was damaged, what was
 * not stated again since is missing. A visit that was ended by the visitor is a success.
 * Errors: CANCELED, TIMEOUT, LIMIT, OUT_OF_MEMORY, UNAVAILABLE.
 */
static inline enum error_code metadata_source_visit(struct metadata_source *self,
                                                    const struct metadata_request *request,
                                                    bool *damaged_out, struct error *error)
{
    return self->operations->visit(self, request, damaged_out, error);
}

#endif
