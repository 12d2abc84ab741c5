/*
 * partial - evaluates a sub-expression where its series are, for a query that runs elsewhere.
 *
 * The other side of promql/distribution.h. The answer is bytes that are handed out in pieces while
 * it is computed; memory holds a few pieces, and the groups of an aggregation.
 *
 * Who asks waits on a worker of its own node meanwhile. So nodes that ask each other need workers
 * for this that never wait for answers: with one class of workers for both, each could wait for the
 * other.
 */
#ifndef PROMQL_PARTIAL_H
#define PROMQL_PARTIAL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory_budget.h"
#include "platform/clock.h"
#include "platform/parallel.h"
#include "promql/distribution.h"
#include "promql/series_source.h"

enum {
    /* Pieces of an answer are about so long; a series with many steps may be longer. */
    PROMQL_PARTIAL_PIECE_BYTES = 128 * 1024,
};

/* Takes the pieces of an answer in order, one at a time, on whichever thread of the query. */
struct promql_partial_sink {
    /*
     * May block (flow control), but must not need a worker of the query's pool to go on: all of
     * them may be waiting for it. An error ends the evaluation. `bytes` are not kept.
     */
    enum error_code (*write)(struct promql_partial_sink *self, const uint8_t *bytes, size_t size,
                             struct error *error);
};

/* What the place has for it; see struct promql_execution_options. */
struct promql_partial_environment {
    struct series_source *source; /* without the external labels of the request */
    /* Where the place has parts of it evaluated by places of its own; NULL: nowhere. */
    struct promql_distributor *distributor;
    struct worker_pool *pool; /* NULL: the calling thread alone */
    struct clock *clock;
    uint64_t memory_max_bytes;    /* 0: none */
    uint64_t samples_max;         /* 0: as the request says; else the lower one */
    uint64_t deadline_ns;         /* 0: as the request's timeout says; else the earlier one */
    const atomic_bool *canceled;  /* NULL: never */
    struct arena_account *memory; /* NULL: none */
};

/*
 * Evaluate, blocking, and write the whole answer to the sink. What goes wrong in the evaluation is
 * written too, as the end of the answer, and returned; so is what the sink answers, which ends it
 * at once.
 */
enum error_code promql_partial_run(const struct promql_partial_request *request,
                                   const struct promql_partial_environment *environment,
                                   struct promql_partial_sink *sink, struct error *error);

#endif
