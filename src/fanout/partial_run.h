/*
 * partial_run - a sub-query over replicas of this node.
 */
#ifndef FANOUT_PARTIAL_RUN_H
#define FANOUT_PARTIAL_RUN_H

#include "fanout_private.h"
#include "promql/partial.h"

struct partial_run {
    struct fanout *fanout;
    const struct promql_partial_request *request;
    const struct fanout_replica *replicas; /* [count], held */
    size_t count;
    uint64_t deadline_ns; /* 0: as the request says */
    const atomic_bool *canceled;
    struct arena_account *memory; /* NULL: none */
};

/*
 * Errors: what another replica may do better (UNAVAILABLE, CORRUPT, IO, memory here as
 * UNAVAILABLE); what went to the sink is void then. What the query itself did wrong is in the
 * answer, which is whole.
 */
enum error_code partial_run(const struct partial_run *run, struct promql_partial_sink *sink,
                            struct error *error);

#endif
