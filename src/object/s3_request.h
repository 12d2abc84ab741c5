/*
 * s3_request - requests to S3 with all that surrounds one: signature, deadline, attempts.
 *
 * An attempt is signed with the time and keys of its moment, sent, and judged. One that failed for
 * a reason which may pass is made again after a while that doubles, with a random part; how often,
 * by all callers together, is bounded by a budget which successes fill (so that a store in trouble
 * is not asked many times as often as one that is well).
 */
#ifndef OBJECT_S3_REQUEST_H
#define OBJECT_S3_REQUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "exchange.h"
#include "object/object_store.h"
#include "object_metrics.h"
#include "s3_headers.h"
#include "s3_keys.h"
#include "s3_signature.h"

enum {
    S3_REQUEST_HEADERS_MAX = 8,
    S3_VALUE_BYTES_MAX = 160,
    S3_ANSWER_BYTES_MAX = 8 * 1024 * 1024,
};

/* All that requests share; the store's. */
struct s3_sender {
    struct exchanges *exchanges;
    struct s3_keys *keys;
    struct s3_signing_key signing_key;
    struct object_metrics *metrics;
    struct clock *clock;
    struct random *random;
    char *endpoint; /* "https://host:port", no "/" at the end */
    char *host;     /* as in the Host header, with the bucket when it is addressed so */
    char *base;     /* "https://bucket.host:port" or the endpoint */
    char *bucket;
    char *region;
    bool is_by_path;
    uint32_t connections; /* at most so many requests of a batch run */
    uint64_t stall_ns;
    uint32_t attempts_max;
    uint64_t backoff_ms;
    uint64_t backoff_ms_max;
    _Atomic int64_t retry_budget; /* in tenths of a retry */
};

enum s3_request_state {
    S3_REQUEST_WAITING, /* for its next attempt */
    S3_REQUEST_RUNNING,
    S3_REQUEST_ENDED,
};

/* Tenths of retries: a success gives one, a retry takes ten. */
enum { S3_RETRY_BUDGET_MAX = 1000, S3_RETRY_COST = 10 };

struct s3_request {
    enum object_operation operation;
    const char *method;
    struct text key;   /* as the bucket has it; empty: the bucket itself */
    struct text query; /* escaped and sorted */
    struct text body;
    char payload_hash[S3_SHA256_HEX_BYTES]; /* "" : of no body */
    struct s3_header headers[S3_REQUEST_HEADERS_MAX];
    size_t header_count;
    char values[S3_REQUEST_HEADERS_MAX][S3_VALUE_BYTES_MAX];
    uint8_t *target; /* as in an exchange */
    size_t target_bytes;
    bool takes_416;    /* a range that begins behind the end is success */
    uint32_t patience; /* times the stall timeout; 0 is 1 */
    /* What else must hold of an answer of success; CORRUPT and UNAVAILABLE are tried again. */
    enum error_code (*accept)(struct s3_request *request, struct error *error);
    void *context;

    /* The result, when it ended. */
    struct error error;
    struct exchange exchange; /* status, headers, answer */

    /* The sender's. */
    struct s3_request *next;
    enum s3_request_state state;
    uint32_t attempts;
    uint64_t start_ns; /* WAITING: when the next attempt is due; RUNNING: when it began */
    bool has_new_keys;
    bool is_stalled;
    struct s3_credentials *credentials;
    struct byte_buffer url;
    struct byte_buffer path;
    struct byte_buffer authorization;
    char time[S3_TIME_BYTES];
    struct s3_header signed_headers[S3_HEADERS_MAX];
};

/* Append a header, its value by format. */
void s3_request_header(struct s3_request *request, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Hash the body for the signature. */
void s3_request_set_body(struct s3_request *request, struct text body);

/* Requests of one call that run side by side. One thread. */
struct s3_batch {
    struct s3_sender *sender;
    const struct object_call *call;
    struct exchange_waiter waiter;
    struct s3_request *first; /* not handed out yet */
    struct s3_request **last;
    size_t running_count;
};

void s3_batch_init(struct s3_batch *batch, struct s3_sender *sender,
                   const struct object_call *call);
/* Everything that was added has been handed out. */
void s3_batch_clear(struct s3_batch *batch);

/* The request is the batch's until it is handed out. */
void s3_batch_add(struct s3_batch *batch, struct s3_request *request);

/* The next request that has ended, in no order; waits for it. NULL: there is none left. */
struct s3_request *s3_batch_next(struct s3_batch *batch);

/* One alone. */
enum error_code s3_request_run(struct s3_sender *sender, const struct object_call *call,
                               struct s3_request *request);

void s3_request_clear(struct s3_request *request);

#endif
