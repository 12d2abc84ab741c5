/*
 * exchange - HTTP requests and their answers: one thread moves the bytes of all of them, those who
 * ask wait. Connections are kept.
 *
 * An exchange is its asker's memory. From exchange_send until it is done it belongs to the thread,
 * with all that it points to; whoever cannot wait longer calls exchange_stop, and waits still, but
 * not long.
 */
#ifndef OBJECT_EXCHANGE_H
#define OBJECT_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/bytes.h"
#include "base/error.h"
#include "platform/clock.h"
#include "s3_headers.h"
#include "s3_signature.h"
#include "telemetry/metrics.h"

struct exchanges;

/* Where an asker waits for any of its exchanges. */
struct exchange_waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t done_count; /* since the last wait */
};

struct exchange {
    /* The request. */
    const char *method; /* GET, HEAD, PUT, POST or DELETE */
    const char *url;
    const struct s3_header *headers; /* [header_count] */
    size_t header_count;
    struct text body;
    /* Bytes of an answer with status 200 or 206 go here when there is a target, others to
     * `answer`. */
    uint8_t *target; /* [target_bytes] */
    size_t target_bytes;
    size_t answer_bytes_max;
    struct exchange_waiter *waiter;

    /* The answer; there when it is done. */
    CURLcode outcome;
    bool is_too_large; /* more bytes came than there is room for */
    long status;       /* 0: none came */
    struct s3_headers head;
    size_t target_filled;
    struct byte_buffer answer; /* the asker's to clear */
    char reason[CURL_ERROR_SIZE];

    /* The machinery's. */
    bool is_done; /* under the waiter's lock */
    atomic_bool is_stopped;
    _Atomic uint64_t moved_ns; /* when a byte moved last; 0: it waits for a connection */
    curl_off_t moved_bytes;
    struct exchanges *exchanges;
    struct exchange *next;
    struct exchange **link;
    CURL *curl;
    struct curl_slist *lines;
};

struct exchanges_options {
    struct clock *clock;
    const char *ca_file; /* NULL: the system's */
    uint32_t connections;
    uint64_t connect_timeout_ms;
    struct counter *received_bytes;
    struct counter *sent_bytes;
    struct gauge *in_flight;
};

/* Errors: OUT_OF_MEMORY, IO. */
enum error_code exchanges_create(const struct exchanges_options *options,
                                 struct exchanges **exchanges_out, struct error *error);
/* Nothing may be under way. NULL is fine. */
void exchanges_destroy(struct exchanges *exchanges);

/* Any thread. It is done soon when memory is out. */
void exchange_send(struct exchanges *exchanges, struct exchange *exchange);

/* It will be done soon. Any thread, also when it is done already. */
void exchange_stop(struct exchange *exchange);

void exchange_waiter_init(struct exchange_waiter *waiter);
void exchange_waiter_clear(struct exchange_waiter *waiter);

/* Until some exchange is done that was not when this was called last, or the time is over. */
void exchange_wait(struct exchange_waiter *waiter, uint64_t timeout_ms);

bool exchange_is_done(struct exchange *exchange);

#endif
