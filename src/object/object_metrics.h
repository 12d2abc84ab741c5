/*
 * object_metrics - what stores count: requests by operation and result, their time, bytes, retries.
 */
#ifndef OBJECT_OBJECT_METRICS_H
#define OBJECT_OBJECT_METRICS_H

#include <stdint.h>

#include "base/error.h"
#include "telemetry/metrics.h"

/* A request of the store's protocol: what is paid for. */
enum object_operation {
    OBJECT_OPERATION_GET,
    OBJECT_OPERATION_HEAD,
    OBJECT_OPERATION_PUT,
    OBJECT_OPERATION_LIST,
    OBJECT_OPERATION_DELETE,
    OBJECT_OPERATION_UPLOAD_CREATE,
    OBJECT_OPERATION_UPLOAD_PART,
    OBJECT_OPERATION_UPLOAD_COMPLETE,
    OBJECT_OPERATION_UPLOAD_ABORT,
    OBJECT_OPERATION_UPLOAD_LIST,
    OBJECT_OPERATIONS
};

enum object_result {
    OBJECT_RESULT_OK,
    OBJECT_RESULT_NOT_FOUND,
    OBJECT_RESULT_DENIED,
    OBJECT_RESULT_THROTTLED,   /* the store asks for fewer requests */
    OBJECT_RESULT_UNAVAILABLE, /* the store, or the way to it, failed */
    OBJECT_RESULT_CORRUPT,
    OBJECT_RESULT_CANCELED, /* by the caller, or its deadline */
    OBJECT_RESULT_OTHER,
    OBJECT_RESULTS
};

struct object_metrics {
    struct metrics *own; /* where nobody gave a registry */
    struct counter *requests[OBJECT_OPERATIONS][OBJECT_RESULTS];
    struct distribution *seconds[OBJECT_OPERATIONS];
    struct counter *retries[OBJECT_OPERATIONS];
    struct counter *retries_refused; /* for want of budget */
    struct counter *received_bytes;
    struct counter *sent_bytes;
    struct gauge *in_flight;
};

/* `registry` outlives the metrics; NULL: they are seen by nobody. Errors: OUT_OF_MEMORY. */
enum error_code object_metrics_init(struct object_metrics *metrics, struct metrics *registry,
                                    struct error *error);
void object_metrics_clear(struct object_metrics *metrics);

/* One request has ended. */
void object_metrics_count(struct object_metrics *metrics, enum object_operation operation,
                          enum object_result result, uint64_t duration_ns);

enum object_result object_result_of(enum error_code code);

#endif
