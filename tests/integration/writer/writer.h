/*
 * writer - sends a workload to a node, and compares what the node then answers.
 */
#ifndef WRITER_WRITER_H
#define WRITER_WRITER_H

#include <stdbool.h>

#include "base/error.h"
#include "workload.h"

struct send_options {
    const char *url;       /* of the node, "http://127.0.0.1:9009" */
    uint64_t requests_max; /* of each thread; 0: no limit */
    uint64_t seconds_max;
    uint64_t pause_ms; /* after each request, so that a fast machine has no more to check */
};

/*
 * Send until the limits are reached or SIGTERM arrives. Unavailable and unreachable nodes are tried
 * again; every 7th request is sent twice. progress_out is [thread_count].
 * Errors: INVALID (the node refused a request), IO.
 */
enum error_code writer_send(const struct workload *workload, const struct send_options *options,
                            struct progress *progress_out, struct error *error);

struct check_outcome {
    uint64_t checked; /* samples read */
    uint64_t lost;    /* acknowledged, not read */
    uint64_t doubled;
    uint64_t altered;
    uint64_t invented; /* never sent */
};

/*
 * Read all series back, once with range selectors and once with query_range, and compare.
 * `progress` is [thread_count]. Adds to *outcome. Errors: IO, INVALID (an answer that is none).
 */
enum error_code writer_check(const struct workload *workload, const char *url,
                             const struct progress *progress, struct check_outcome *outcome,
                             struct error *error);

#endif
