/*
 * sender - sends prepared requests over keep-alive connections and times the answers.
 *
 * One thread, one poll loop. A series stays with its connection; no connection is more than
 * SENDER_TICKS_APART ticks ahead of another. 503, 429 and a broken connection are tried again,
 * any other refusal ends the run.
 */
#ifndef BENCHMARK_SENDER_H
#define BENCHMARK_SENDER_H

#include "bodies.h"

enum { SENDER_TICKS_APART = 4 };

struct sender_options {
    char host[64];
    char path[192]; /* with the leading slash */
    uint16_t port;
    uint64_t first_tick;
    uint64_t end_tick; /* not sent any more */
    uint64_t seconds_max;
};

struct sender_outcome {
    uint64_t sample_count; /* acknowledged */
    uint64_t request_count;
    uint64_t retry_count;
    double seconds; /* from the first byte sent to the last acknowledgement */
    double latency_p50_ms;
    double latency_p99_ms;
    double latency_ms_max;
};

/* "http://127.0.0.1:9009/api/v1/write"; an address, not a name. Errors: INVALID. */
enum error_code sender_parse_url(const char *url, struct sender_options *options,
                                 struct error *error);

/* Errors: IO, INVALID (refused; the message has the answer), TIMEOUT, OUT_OF_MEMORY. */
enum error_code sender_run(const struct bodies *bodies, const struct sender_options *options,
                           struct sender_outcome *outcome_out, struct error *error);

#endif
