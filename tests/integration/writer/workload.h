/*
 * workload - samples that follow from their number: what was sent can be made again to compare.
 *
 * A workload has threads; a thread has its own series and sends requests one after the other, each
 * with some samples of each of its series. Positions count requests in the order of sending,
 * requests count them in the order of time.
 */
#ifndef WRITER_WORKLOAD_H
#define WRITER_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

#include "model/labels.h"

enum workload_order {
    ORDER_ASCENDING,
    ORDER_SHUFFLED, /* runs of WORKLOAD_RUN requests, each run backwards */
};

enum workload_protocol { PROTOCOL_1, PROTOCOL_2, PROTOCOL_BOTH /* by turns */ };

enum { WORKLOAD_RUN = 8, WORKLOAD_LABELS = 6, WORKLOAD_LABEL_CHARACTERS = 24 };

struct workload {
    uint64_t seed;
    uint64_t
        first_thread; /* the number of the first one, so that programs have series of their own */
    uint64_t thread_count;
    uint64_t series_count;        /* of each thread */
    uint64_t samples_per_request; /* of each series */
    int64_t start_ms;
    int64_t interval_ms;
    enum workload_order order;
    enum workload_protocol protocol;
};

/* How far a thread came; sent - acknowledged is 0 or 1. */
struct progress {
    uint64_t acknowledged; /* positions below it were answered 2xx */
    uint64_t sent;         /* positions below it left, whatever became of them */
};

/* The request at a position, and back: the order is its own inverse. */
uint64_t workload_request_at(const struct workload *workload, uint64_t position);

/* Samples of a series are numbered by time. */
int64_t workload_timestamp_ms(const struct workload *workload, uint64_t number);
double workload_value(const struct workload *workload, uint64_t thread, uint64_t series,
                      uint64_t number);

/* Labels by name; the texts are views of `memory`. */
struct workload_labels {
    struct label labels[WORKLOAD_LABELS];
    char memory[WORKLOAD_LABELS][WORKLOAD_LABEL_CHARACTERS];
};
void workload_label(struct workload_labels *target, uint64_t thread, uint64_t series);

#endif
