/*
 * distribution - where the engine has sub-expressions evaluated whose series lie in other places.
 *
 * The series of a query are spread over places (shards, clusters), each in exactly one. The engine
 * finds the highest sub-expressions that can be evaluated in each place on its own, hands them to
 * the query's distributor, and merges the answers in the order of the places: partial aggregates or
 * points of series, instead of samples. What is in between (HTTP, connections between nodes,
 * hedging) is the distributor's; it carries bytes both ways and need not know what they say.
 *
 *   engine ──request──▶ distributor ──bytes──▶ promql_partial_run in each place (promql/partial.h)
 *          ◀──────────── bytes of each place's answer, in pieces ────────────
 *
 * A place that has series but can't evaluate (another make, an older version) takes part all the
 * same: the distributor runs promql_partial_run over a series_source of it on its own side. A place
 * that may be left out when it fails midway must be read to its end before the engine gets it: what
 * was merged can't be taken back.
 *
 * The bytes: docs/protocols/sub-query.md.
 */
#ifndef PROMQL_DISTRIBUTION_H
#define PROMQL_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "model/labels.h"
#include "promql/ast.h"
#include "promql/parser.h"

enum {
    /* Of requests and answers; a place refuses what it does not know. */
    PROMQL_PARTIAL_VERSION = 1,
};

/* What the places answer; the numbers are those of the protocol. */
enum promql_partial_mode {
    /* Series with their points at the steps. */
    PROMQL_PARTIAL_SERIES = 1,
    /* The expression is an aggregation: its groups, with what is needed to merge them. */
    PROMQL_PARTIAL_GROUPS = 2,
};

/* How values of answers are written: fast, or short as blocks are, which costs some 40 ns a value
 * and halves what decimals take. */
enum promql_partial_packing { PROMQL_PARTIAL_FAST, PROMQL_PARTIAL_SHORT };

/*
 * One sub-expression of a query. Made by the engine, alive as long as the query; or decoded, alive
 * as long as the arena.
 */
struct promql_partial_request {
    enum promql_partial_mode mode;
    enum promql_partial_packing packing; /* the engine wants FAST; for the way to a distant place */
    struct text tenant;                  /* a distributor sends a copy with SHORT */
    struct text expression;              /* as it stands in the query */
    uint32_t line;   /* where it begins there, both from 1; annotations name places in the */
    uint32_t column; /* whole query */
    enum promql_features features;

    /* The whole query: @ start(), step() ... An instant query has step 0. */
    int64_t query_start_ms;
    int64_t query_end_ms;
    int64_t query_step_ms;
    /* At which steps to evaluate; within a sub-query not those of the query. */
    int64_t start_ms;
    int64_t step_ms; /* > 0 */
    uint64_t step_count;
    int64_t lookback_ms;
    int64_t subquery_step_default_ms;

    uint64_t samples_max; /* held at once */
    uint64_t timeout_ms;  /* what is left of the query's time; 0: no limit */

    /* Labels that all series of the place have for the query, as its external ones (promql/
     * labelled_source.h). The place adds them. None: series are as they are. */
    struct labels external_labels;

    /* How samples are counted for statistics; the engine's own business. */
    bool counts_steps;
    uint64_t sample_weight;
    int64_t sample_shift_ms;

    /* Not part of the bytes: the expression as a tree, for who looks whether a place can have
     * series of it at all; NULL when decoded. */
    const struct expression *tree;
};

/* Append the bytes of a request; the buffer's `failed` tells when memory is out. Any thread. */
void promql_partial_request_encode(const struct promql_partial_request *request,
                                   struct byte_buffer *buffer);

/*
 * Texts point into `bytes`. Whether the expression can be parsed is not looked at.
 * Errors: CORRUPT, LIMIT (steps, text), UNSUPPORTED (version, mode, features).
 */
enum error_code promql_partial_request_decode(const uint8_t *bytes, size_t size,
                                              struct promql_partial_request *request_out,
                                              struct error *error);

/*
 * The bytes of the whole answer of a place that is left out, with the reason as a warning of the
 * query ("PromQL warning: " is put in front): for a distributor that goes on without a place.
 */
void promql_partial_answer_without(const struct promql_partial_request *request,
                                   struct text warning, struct byte_buffer *buffer);

/* --- The seam -------------------------------------------------------------------------------- */

struct promql_distributor;
struct promql_distribution;

struct promql_distribution_operations {
    /*
     * The next bytes of the answer of a place, cut anywhere; blocks until there are some. They live
     * until the next call for that place. size 0: the connection has ended (an answer that has not
     * is an error of the query then). Not called again after the answer's end or an error.
     *
     * Errors: those of the query (UNAVAILABLE, TIMEOUT, CANCELED ...). Deadline and cancellation
     * of the query are the distributor's to watch while it blocks.
     */
    enum error_code (*read)(struct promql_distribution *self, size_t place,
                            const uint8_t **bytes_out, size_t *size_out, struct error *error);
    /*
     * Wait for any of the places of which `unfinished[place]` is true (there is one), and answer
     * which has something to be read: bytes, its end, an error. NULL: places are read one after the
     * other, and those whose answers are long wait for each other, unless the distributor takes
     * them all in meanwhile.
     */
    size_t (*await)(struct promql_distribution *self, const bool *unfinished);
    /* Answers not read to their end are canceled. */
    void (*close)(struct promql_distribution *self);
};

/* A sub-expression under way in all places. Used by the query's thread only. */
struct promql_distribution {
    const struct promql_distribution_operations *operations;
    size_t place_count; /* their order decides about the last digit: the same each time */
};

struct promql_distributor_operations {
    /*
     * Send a sub-expression to all places, without waiting for answers: the engine begins all that
     * a query has before it reads the first. `request` lives until the distribution is closed; what
     * is sent may be a copy with another tenant, timeout or packing.
     * NULL in *distribution_out declines: the engine evaluates from its series_source.
     */
    enum error_code (*begin)(struct promql_distributor *self,
                             const struct promql_partial_request *request,
                             struct promql_distribution **distribution_out, struct error *error);
};

/* One may serve many queries at once. */
struct promql_distributor {
    const struct promql_distributor_operations *operations;
};

#endif
