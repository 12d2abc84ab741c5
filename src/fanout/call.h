/*
 * call - a question to one node on its way, and its answer as bytes.
 *
 * Begun and read by a thread that may wait; in between it belongs to a loop. All calls of one asker
 * share an inbox, where it waits for any of them. A call lives until both are done with it.
 *
 *   asker:  start ─────────────▶ take ◀──────────────▶ drop
 *   loop:      └▶ transport_ask ─▶ piece ─▶ inbox ─▶ done
 */
#ifndef FANOUT_CALL_H
#define FANOUT_CALL_H

#include <pthread.h>

#include "base/shared_bytes.h"
#include "fanout_private.h"

/* --- Inbox ----------------------------------------------------------------------------------- */

struct inbox {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool has_news; /* since it was waited for last */
    size_t references;
};

/* NULL when memory is out. */
struct inbox *inbox_create(void);
void inbox_unref(struct inbox *inbox); /* NULL is fine */

/* Until there is news, or `wait_ns` have passed. */
void inbox_wait(struct inbox *inbox, uint64_t wait_ns);

/* There is news; any thread. */
void inbox_call(struct inbox *inbox);

/* --- Calls ----------------------------------------------------------------------------------- */

struct call;

/* Bytes of an answer; the taker's, to be freed by free(). */
struct call_chunk {
    struct call_chunk *next;
    size_t size;
    uint8_t bytes[]; /* [size] */
};

struct call_news {
    struct call_chunk *chunks; /* in order; NULL: nothing new */
    bool is_over;              /* no more chunks will come: `error` is the outcome */
    struct error error;
};

/* `body`: a reference is taken. Errors: UNAVAILABLE (no loop), OUT_OF_MEMORY. */
enum error_code call_start(struct fanout *fanout, struct inbox *inbox, uint64_t node_id,
                           uint16_t kind, struct shared_bytes *body, uint64_t timeout_ms,
                           struct call **call_out, struct error *error);

/* What came since. The other side may send as much again. */
void call_take(struct call *call, struct call_news *news_out);

/* What has not come is not wanted. NULL is fine. */
void call_drop(struct call *call);

#endif
