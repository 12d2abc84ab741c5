#include "call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct call {
    struct transport_request request; /* the loop's */
    struct fanout *fanout;
    struct fanout_loop *loop;
    struct inbox *inbox;
    uint64_t node_id;
    bool has_begun; /* the loop's: `done` has not come */
    _Atomic size_t references;
    struct task begin_task;
    struct task consume_task;
    struct task cancel_task;
    _Atomic uint64_t unconsumed_bytes;
    atomic_bool consume_is_posted;
    atomic_bool is_dropped;
    /* Under the inbox's mutex. */
    struct call_chunk *first;
    struct call_chunk **last;
    bool is_over;
    struct error error;
};

/* --- Inbox ----------------------------------------------------------------------------------- */

struct inbox *inbox_create(void)
{
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (inbox == NULL)
        return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&inbox->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&inbox->mutex, NULL);
    inbox->references = 1;
    return inbox;
}

static struct inbox *inbox_ref(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    inbox->references++;
    pthread_mutex_unlock(&inbox->mutex);
    return inbox;
}

void inbox_unref(struct inbox *inbox)
{
    if (inbox == NULL)
        return;
    pthread_mutex_lock(&inbox->mutex);
    size_t left = --inbox->references;
    pthread_mutex_unlock(&inbox->mutex);
    if (left > 0)
        return;
    pthread_cond_destroy(&inbox->changed);
    pthread_mutex_destroy(&inbox->mutex);
    free(inbox);
}

void inbox_wait(struct inbox *inbox, uint64_t wait_ns)
{
    enum { NS_PER_S = 1000 * 1000 * 1000 };
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ns / NS_PER_S);
    until.tv_nsec += (long)(wait_ns % NS_PER_S);
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&inbox->mutex);
    int status = 0;
    while (!inbox->has_news && status == 0)
        status = pthread_cond_timedwait(&inbox->changed, &inbox->mutex, &until);
    inbox->has_news = false;
    pthread_mutex_unlock(&inbox->mutex);
}

/* With the mutex held. */
static void tell(struct inbox *inbox)
{
    inbox->has_news = true;
    pthread_cond_signal(&inbox->changed);
}

void inbox_call(struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->mutex);
    tell(inbox);
    pthread_mutex_unlock(&inbox->mutex);
}

/* --- Lifetime -------------------------------------------------------------------------------- */

static void chunks_free(struct call_chunk *chunk)
{
    while (chunk != NULL) {
        struct call_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

static void call_unref(struct call *call)
{
    if (atomic_fetch_sub(&call->references, 1) > 1)
        return;
    struct fanout *fanout = call->fanout;
    chunks_free(call->first);
    shared_bytes_unref(call->request.body);
    inbox_unref(call->inbox);
    free(call);
    atomic_fetch_sub(&fanout->calls, 1);
}

static void post(struct call *call, struct task *task)
{
    atomic_fetch_add(&call->references, 1);
    scheduler_post(call->loop->scheduler, task);
}

/* --- On the loop ----------------------------------------------------------------------------- */

static void on_piece(struct transport_request *request, const uint8_t *bytes, size_t size)
{
    struct call *call = (struct call *)request; /* first */
    struct fanout *fanout = call->fanout;
    uint64_t now_ns = fanout_now_ns(fanout);
    struct fanout_health *health = fanout_health(fanout, call->node_id);
    atomic_store_explicit(&health->heard_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&health->avoid_until_ns, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&fanout->counters.received_bytes, size, memory_order_relaxed);
    struct call_chunk *chunk = malloc(sizeof *chunk + size);
    if (chunk != NULL) {
        chunk->next = NULL;
        chunk->size = size;
        memcpy(chunk->bytes, bytes, size);
    }
    pthread_mutex_lock(&call->inbox->mutex);
    if (chunk != NULL) {
        *call->last = chunk;
        call->last = &chunk->next;
    } else if (call->error.code == ERROR_NONE) {
        error_set(&call->error, ERROR_OUT_OF_MEMORY, "an answer of another node");
    }
    tell(call->inbox);
    pthread_mutex_unlock(&call->inbox->mutex);
    if (chunk == NULL)
        transport_cancel(request);
}

/* Nothing comes any more. */
static void end(struct call *call, const struct error *error)
{
    if (error->code != ERROR_NONE && error->code != ERROR_CANCELED)
        atomic_fetch_add_explicit(&call->fanout->counters.failed, 1, memory_order_relaxed);
    pthread_mutex_lock(&call->inbox->mutex);
    if (call->error.code == ERROR_NONE)
        call->error = *error;
    call->is_over = true;
    tell(call->inbox);
    pthread_mutex_unlock(&call->inbox->mutex);
}

static void on_done(struct transport_request *request, const struct error *error)
{
    struct call *call = (struct call *)request; /* first */
    call->has_begun = false;
    end(call, error);
    call_unref(call);
}

static void begin(struct call *call)
{
    struct transport *transport = call->loop->transport;
    struct transport_peer *peer =
        transport == NULL ? NULL : transport_find_node(transport, call->node_id);
    struct error error;
    if (atomic_load(&call->is_dropped)) {
        error_set(&error, ERROR_CANCELED, "canceled");
    } else if (peer == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "node %llu: not connected",
                  (unsigned long long)call->node_id);
    } else {
        struct shared_bytes *body = call->request.body;
        call->has_begun = true;
        atomic_fetch_add(&call->references, 1);
        transport_ask(peer, &call->request);
        /* The transport has its own reference. */
        shared_bytes_unref(body);
        return;
    }
    end(call, &error);
}

static void on_begin(struct task *task)
{
    struct call *call = (struct call *)((char *)task - offsetof(struct call, begin_task));
    begin(call);
    call_unref(call);
}

static void on_consume(struct task *task)
{
    struct call *call = (struct call *)((char *)task - offsetof(struct call, consume_task));
    atomic_store(&call->consume_is_posted, false);
    uint64_t bytes = atomic_exchange(&call->unconsumed_bytes, 0);
    if (call->has_begun && !call->request.is_over && bytes > 0)
        transport_consume(&call->request, (size_t)bytes);
    call_unref(call);
}

static void on_cancel(struct task *task)
{
    struct call *call = (struct call *)((char *)task - offsetof(struct call, cancel_task));
    if (call->has_begun)
        transport_cancel(&call->request);
    call_unref(call);
}

/* --- By the asker ---------------------------------------------------------------------------- */

enum error_code call_start(struct fanout *fanout, struct inbox *inbox, uint64_t node_id,
                           uint16_t kind, struct shared_bytes *body, uint64_t timeout_ms,
                           struct call **call_out, struct error *error)
{
    struct fanout_loop *loop = fanout_next_loop(fanout);
    if (loop == NULL)
        return error_set(error, ERROR_UNAVAILABLE, "node %llu: not connected",
                         (unsigned long long)node_id);
    struct call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "a question to another node");
    *call = (struct call){
        .request = {.kind = kind,
                    .class = TRANSPORT_REQUEST,
                    .body = shared_bytes_ref(body),
                    .timeout_ms = timeout_ms,
                    .window_bytes = fanout->options.window_bytes,
                    .piece = on_piece,
                    .done = on_done},
        .fanout = fanout,
        .loop = loop,
        .inbox = inbox_ref(inbox),
        .node_id = node_id,
        .references = 1,
        .begin_task.run = on_begin,
        .consume_task.run = on_consume,
        .cancel_task.run = on_cancel,
    };
    call->last = &call->first;
    atomic_fetch_add(&fanout->calls, 1);
    atomic_fetch_add_explicit(&fanout->counters.asked, 1, memory_order_relaxed);
    *call_out = call;
    post(call, &call->begin_task);
    return ERROR_NONE;
}

void call_take(struct call *call, struct call_news *news_out)
{
    pthread_mutex_lock(&call->inbox->mutex);
    *news_out = (struct call_news){
        .chunks = call->first,
        .is_over = call->is_over,
        .error.code = ERROR_NONE,
    };
    if (call->is_over)
        news_out->error = call->error;
    call->first = NULL;
    call->last = &call->first;
    pthread_mutex_unlock(&call->inbox->mutex);
    uint64_t bytes = 0;
    for (struct call_chunk *chunk = news_out->chunks; chunk != NULL; chunk = chunk->next)
        bytes += chunk->size;
    if (bytes == 0 || news_out->is_over)
        return;
    atomic_fetch_add(&call->unconsumed_bytes, bytes);
    if (!atomic_exchange(&call->consume_is_posted, true))
        post(call, &call->consume_task);
}

void call_drop(struct call *call)
{
    if (call == NULL)
        return;
    atomic_store(&call->is_dropped, true);
    pthread_mutex_lock(&call->inbox->mutex);
    bool is_over = call->is_over;
    pthread_mutex_unlock(&call->inbox->mutex);
    if (!is_over)
        post(call, &call->cancel_task);
    call_unref(call);
}
