/*
 * partial_run - a sub-query that is evaluated here.
 */
#ifndef FANOUT_PARTIAL_RUN_H
#define FANOUT_PARTIAL_RUN_H

#include "fanout_private.h"
#include "promql/partial.h"

struct partial_run {
    struct fanout *fanout;
    const struct promql_partial_request *request;
    struct series_source *source; /* of replicas of this node, or of what others sent */
    uint64_t deadline_ns;         /* 0: as the request says */
    const atomic_bool *canceled;
    struct arena_account *memory; /* NULL: none */
};

/*
 * Errors: what another replica may do better (UNAVAILABLE, CORRUPT, IO, UNSUPPORTED, memory here as
 * UNAVAILABLE), CANCELED; what went to the sink is void then. What the query itself did wrong is in
 * the answer, which is whole.
 */
enum error_code partial_run(const struct partial_run *run, struct promql_partial_sink *sink,
                            struct error *error);

#endif
