/*
 * ingest - the write path of one loop: from a decoded body to acknowledged samples.
 *
 *   body -> decode -> alias known: shard and id, or labels decoded, checked, slot -> per shard
 *        -> router -> all answered -> outcome
 *                         | some are unavailable: these are built anew and sent again
 *
 * One per loop; knows nothing of HTTP. The request and its body are the caller's until `done`.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "platform/clock.h"
#include "platform/scheduler.h"
#include "replica/replica.h"
#include "replica/write_router.h"
#include "shard/slots.h"
#include "telemetry/metrics.h"
#include "wire/remote_write.h"

/* Limits of a request, settings of `ingest.*`. */
struct ingest_limits {
    size_t decoded_bytes_max;
    size_t series_per_request_max;
    size_t labels_max;
    size_t label_bytes_max;             /* of one series, names and values */
    size_t alias_bytes_max;             /* memory of one loop's alias table */
    uint64_t tenant_samples_per_second; /* 0: no limit */
};

/* Why something was refused; metric label and log word. */
enum ingest_reason {
    INGEST_REASON_MALFORMED,
    INGEST_REASON_TOO_LARGE,
    INGEST_REASON_LABELS,      /* invalid names or values, duplicates, no metric name */
    INGEST_REASON_LABEL_LIMIT, /* too many or too long */
    INGEST_REASON_REFERENCE,   /* 2.0: outside the symbols */
    INGEST_REASON_NO_SAMPLES,  /* 2.0: a series without samples */
    INGEST_REASON_HISTOGRAM,
    INGEST_REASON_FUTURE,
    INGEST_REASON_TOO_OLD,
    INGEST_REASON_CONFLICT,
    INGEST_REASON_SERIES_LIMIT,
    INGEST_REASON_EXEMPLAR, /* left out; its series is stored */
    INGEST_REASON_RATE_LIMIT,
    INGEST_REASON_UNAVAILABLE,
    INGEST_REASONS
};

/* Metrics of the write path, shared by all loops. */
struct ingest_metrics {
    struct counter *requests;
    struct counter *samples;
    struct counter *histograms;
    struct counter *exemplars;
    struct counter *new_series;
    struct counter *alias_misses;
    struct counter *retries; /* parts of requests that were sent again */
    struct counter *refused[INGEST_REASONS];
    struct distribution *duration_seconds;
};

/* Creates them in the registry; false when memory is out. */
bool ingest_metrics_create(struct ingest_metrics *metrics_out, struct metrics *metrics);

struct ingest_options {
    struct scheduler *scheduler;
    struct clock *clock;
    struct write_router *router;  /* of the same loop */
    const struct slot_map *slots; /* copied; see ingest_set_slots */
    uint32_t spread;
    /* How long after its start a request still sends again what was unavailable, with pauses of
     * 50 ms doubling to 500 ms. 0: it does not. */
    uint64_t retry_ms;
    uint64_t hash_seed;
    struct ingest_limits limits;
    struct ingest_metrics *metrics;
};

struct ingest;

/* Errors: OUT_OF_MEMORY. */
enum error_code ingest_create(const struct ingest_options *options, struct ingest **ingest_out,
                              struct error *error);
/* No request may be under way. NULL is fine. */
void ingest_destroy(struct ingest *ingest);

/* Slots have moved to other shards: known series of these are looked up by their labels again. An
 * older map than the one there is is ignored. Copied; cheap, but not for every request. */
void ingest_set_slots(struct ingest *ingest, const struct slot_map *slots);

/* As the cluster has it, whatever the options said: before a series was stored. */
void ingest_set_spread(struct ingest *ingest, uint32_t spread);

/* In `patience_ms` from now nothing is sent again any more: requests that would wait to do so end,
 * INGEST_UNAVAILABLE. With 0 at once, those that wait now among them. */
void ingest_drain(struct ingest *ingest, uint64_t patience_ms);

enum ingest_status {
    INGEST_STORED,      /* everything valid; 2xx */
    INGEST_REFUSED,     /* the body, or some of it: the message says what; 400 */
    INGEST_TOO_LARGE,   /* 413 */
    INGEST_RATE_LIMIT,  /* 429 */
    INGEST_UNAVAILABLE, /* send it all again; 503 */
};

enum { INGEST_MESSAGE_MAX = 1024 };

struct ingest_request {
    enum write_version version;
    const uint8_t *body; /* [body_size], snappy */
    size_t body_size;
    struct text tenant;
    struct arena *arena; /* lives until `done`; may be large */
    void (*done)(struct ingest_request *request);

    /* Outcome. */
    enum ingest_status status;
    char message[INGEST_MESSAGE_MAX];
    uint64_t samples_written;
    uint64_t histograms_written;
    uint64_t exemplars_written;

    /* The module's. */
    struct ingest *ingest;
    struct write_request decoded;
    struct ingest_work *work;
    uint64_t started_ns;
    struct task task;
    bool canceled;
};

/* `done` is not called inside the call. */
void ingest_write(struct ingest *ingest, struct ingest_request *request);

/* Nobody waits for it any more: it ends, through `done`, as soon as what was sent is answered. */
void ingest_cancel(struct ingest_request *request);

struct ingest_statistics {
    uint64_t alias_count;
    uint64_t alias_bytes;
    uint64_t alias_evictions;
    uint64_t requests_in_flight;
    uint64_t requests_waiting; /* of these, to send something again */
};

/* On the loop. */
void ingest_read_statistics(const struct ingest *ingest, struct ingest_statistics *statistics_out);

#endif
