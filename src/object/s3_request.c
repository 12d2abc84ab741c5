#include "s3_request.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/random.h"
#include "s3_judge.h"
#include "stores.h"

enum {
    LOOK_MS = 20, /* how soon a cancellation is seen */
    RETRY_AFTER_MS_MAX = 30 * 1000,
    NS_PER_MS = 1000 * 1000,
};

static const char *const ACTIONS[OBJECT_OPERATIONS] = {
    [OBJECT_OPERATION_GET] = "read objects",
    [OBJECT_OPERATION_HEAD] = "read objects",
    [OBJECT_OPERATION_PUT] = "write objects",
    [OBJECT_OPERATION_LIST] = "list objects",
    [OBJECT_OPERATION_DELETE] = "delete objects",
    [OBJECT_OPERATION_UPLOAD_CREATE] = "write objects",
    [OBJECT_OPERATION_UPLOAD_PART] = "write objects",
    [OBJECT_OPERATION_UPLOAD_COMPLETE] = "write objects",
    [OBJECT_OPERATION_UPLOAD_ABORT] = "abort uploads in parts",
    [OBJECT_OPERATION_UPLOAD_LIST] = "list uploads in parts",
};

/* --- Making a request ---------------------------------------------------------------------- */

void s3_request_header(struct s3_request *request, const char *name, const char *format, ...)
{
    assert(request->header_count < S3_REQUEST_HEADERS_MAX);
    size_t at = request->header_count++;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(request->values[at], S3_VALUE_BYTES_MAX, format, arguments);
    va_end(arguments);
    assert(size >= 0 && size < S3_VALUE_BYTES_MAX);
    request->headers[at] = (struct s3_header){name, request->values[at]};
}

void s3_request_set_body(struct s3_request *request, struct text body)
{
    uint8_t digest[S3_SHA256_BYTES];
    s3_sha256(body.data, body.size, digest);
    s3_hex(digest, sizeof digest, request->payload_hash);
    request->body = body;
}

void s3_request_clear(struct s3_request *request)
{
    byte_buffer_clear(&request->exchange.answer);
    byte_buffer_clear(&request->url);
    byte_buffer_clear(&request->path);
    byte_buffer_clear(&request->authorization);
    s3_credentials_unref(request->credentials);
    request->credentials = NULL;
}

/* --- Attempts that failed ------------------------------------------------------------------ */

static bool take_budget(struct s3_sender *sender)
{
    int64_t left = atomic_load_explicit(&sender->retry_budget, memory_order_relaxed);
    while (left >= S3_RETRY_COST)
        if (atomic_compare_exchange_weak(&sender->retry_budget, &left, left - S3_RETRY_COST))
            return true;
    counter_add(sender->metrics->retries_refused, 1);
    return false;
}

static void give_budget(struct s3_sender *sender)
{
    int64_t left = atomic_load_explicit(&sender->retry_budget, memory_order_relaxed);
    while (left < S3_RETRY_BUDGET_MAX &&
           !atomic_compare_exchange_weak(&sender->retry_budget, &left, left + 1))
        ;
}

/* Doubled for each attempt, of which the second half is random; not before the store says. */
static uint64_t backoff_ms(const struct s3_sender *sender, const struct s3_request *request)
{
    uint32_t doublings = request->attempts - 1 < 16 ? request->attempts - 1 : 16;
    uint64_t wait_ms = sender->backoff_ms << doublings;
    if (wait_ms > sender->backoff_ms_max)
        wait_ms = sender->backoff_ms_max;
    wait_ms = wait_ms / 2 + random_below(sender->random, (uint32_t)(wait_ms / 2) + 1);
    uint64_t asked_ms = (uint64_t)request->exchange.head.retry_after_s * 1000;
    if (asked_ms > RETRY_AFTER_MS_MAX)
        asked_ms = RETRY_AFTER_MS_MAX;
    return wait_ms > asked_ms ? wait_ms : asked_ms;
}

static void end(struct s3_request *request)
{
    request->state = S3_REQUEST_ENDED;
}

/* RUNNING -> WAITING for another attempt, or ENDED with the error of this one. */
static void fail(struct s3_batch *batch, struct s3_request *request, enum s3_remedy remedy)
{
    struct s3_sender *sender = batch->sender;
    uint64_t now_ns = clock_monotonic_ns(sender->clock);
    uint64_t deadline_ns = batch->call == NULL ? 0 : batch->call->deadline_ns;
    end(request);
    if (remedy == S3_REMEDY_KEYS && !request->has_new_keys) {
        s3_keys_reject(sender->keys, request->credentials);
        request->has_new_keys = true;
        request->start_ns = now_ns;
        request->state = S3_REQUEST_WAITING;
        return;
    }
    if (remedy != S3_REMEDY_RETRY)
        return;
    if (request->attempts >= sender->attempts_max) {
        error_wrap(&request->error, "%u attempts, the last", request->attempts);
        return;
    }
    request->start_ns = now_ns + backoff_ms(sender, request) * NS_PER_MS;
    if (deadline_ns != 0 && request->start_ns >= deadline_ns)
        error_wrap(&request->error, "no time for another attempt");
    else if (!take_budget(sender))
        error_wrap(&request->error, "too many requests failed lately for another attempt");
    else
        request->state = S3_REQUEST_WAITING;
}

/* --- One attempt --------------------------------------------------------------------------- */

static void append(struct byte_buffer *buffer, const char *text)
{
    byte_buffer_append(buffer, text, strlen(text));
}

static void write_url(const struct s3_sender *sender, struct s3_request *request)
{
    struct byte_buffer *path = &request->path, *url = &request->url;
    byte_buffer_reset(path);
    if (sender->is_by_path) {
        append(path, "/");
        append(path, sender->bucket);
    }
    if (request->key.size > 0 || !sender->is_by_path)
        append(path, "/");
    s3_escape(path, request->key, S3_ESCAPE_PATH);
    byte_buffer_reset(url);
    append(url, sender->base);
    byte_buffer_append(url, path->bytes, path->size);
    if (request->query.size > 0) {
        append(url, "?");
        byte_buffer_append(url, request->query.data, request->query.size);
    }
    byte_buffer_u8(url, 0);
}

/* Host, time, payload, session, and the request's own; then, not signed itself, the signature. */
static size_t write_headers(struct s3_sender *sender, struct s3_request *request)
{
    const struct s3_credentials *credentials = request->credentials;
    struct s3_header *headers = request->signed_headers;
    const char *payload =
        request->payload_hash[0] == '\0' ? S3_PAYLOAD_EMPTY : request->payload_hash;
    size_t count = 0;
    s3_time_format(clock_now_ms(sender->clock), request->time);
    headers[count++] = (struct s3_header){"host", sender->host};
    headers[count++] = (struct s3_header){"x-amz-content-sha256", payload};
    headers[count++] = (struct s3_header){"x-amz-date", request->time};
    if (credentials->session_token[0] != '\0')
        headers[count++] = (struct s3_header){"x-amz-security-token", credentials->session_token};
    for (size_t i = 0; i < request->header_count; i++)
        headers[count++] = request->headers[i];
    struct s3_signing signing = {
        .access_key = credentials->access_key,
        .secret_key = credentials->secret_key,
        .region = sender->region,
        .service = "s3",
        .time = request->time,
        .method = request->method,
        .path = {(const char *)request->path.bytes, request->path.size},
        .query = request->query,
        .headers = headers,
        .header_count = count,
        .payload_hash = payload,
    };
    byte_buffer_reset(&request->authorization);
    s3_sign(&signing, &sender->signing_key, &request->authorization);
    byte_buffer_u8(&request->authorization, 0);
    headers[count++] =
        (struct s3_header){"authorization", (const char *)request->authorization.bytes};
    return count;
}

/* WAITING -> RUNNING, or as after an attempt that failed. */
static void attempt(struct s3_batch *batch, struct s3_request *request)
{
    struct s3_sender *sender = batch->sender;
    s3_credentials_unref(request->credentials);
    request->credentials = NULL;
    request->exchange.head = (struct s3_headers){0};
    if (request->attempts++ > 0)
        counter_add(sender->metrics->retries[request->operation], 1);
    enum error_code code =
        s3_keys_get(sender->keys, batch->call, &request->credentials, &request->error);
    if (code != ERROR_NONE) {
        fail(batch, request, code == ERROR_UNAVAILABLE ? S3_REMEDY_RETRY : S3_REMEDY_NONE);
        return;
    }
    write_url(sender, request);
    size_t header_count = write_headers(sender, request);
    if (request->url.failed || request->path.failed || request->authorization.failed) {
        error_set(&request->error, ERROR_OUT_OF_MEMORY, "a request to the object store");
        end(request);
        return;
    }
    struct exchange *exchange = &request->exchange;
    exchange->method = request->method;
    exchange->url = (const char *)request->url.bytes;
    exchange->headers = request->signed_headers;
    exchange->header_count = header_count;
    exchange->body = request->body;
    exchange->target = request->target;
    exchange->target_bytes = request->target_bytes;
    exchange->answer_bytes_max = S3_ANSWER_BYTES_MAX;
    exchange->waiter = &batch->waiter;
    request->state = S3_REQUEST_RUNNING;
    request->start_ns = clock_monotonic_ns(sender->clock);
    request->is_stalled = false;
    batch->running_count++;
    exchange_send(sender->exchanges, exchange);
}

/* --- Answers ------------------------------------------------------------------------------- */

static enum s3_remedy judge(struct s3_batch *batch, struct s3_request *request,
                            enum object_result *result_out)
{
    struct s3_sender *sender = batch->sender;
    struct exchange *exchange = &request->exchange;
    struct s3_place place = {
        .endpoint = sender->endpoint,
        .bucket = sender->bucket,
        .region = sender->region,
        .access_key = request->credentials->access_key,
        .key_source = request->credentials->source,
        .action = ACTIONS[request->operation],
        .now_ms = clock_now_ms(sender->clock),
    };
    struct s3_verdict verdict;
    if (request->is_stalled && exchange->outcome == CURLE_ABORTED_BY_CALLBACK) {
        *result_out = OBJECT_RESULT_UNAVAILABLE;
        error_set(&request->error, ERROR_UNAVAILABLE, "%s: no byte moved for %.1f s",
                  sender->endpoint,
                  (double)sender->stall_ns * (request->patience > 1 ? request->patience : 1) / 1e9);
        return S3_REMEDY_RETRY;
    }
    enum error_code code = s3_judge(exchange, &place, &verdict, &request->error);
    *result_out = verdict.result;
    if (request->takes_416 && code != ERROR_NONE && exchange->outcome == CURLE_OK &&
        exchange->status == 416)
        code = ERROR_NONE;
    if (code != ERROR_NONE)
        return verdict.remedy;
    error_clear(&request->error);
    code = request->accept == NULL ? ERROR_NONE : request->accept(request, &request->error);
    *result_out = object_result_of(code);
    return code == ERROR_CORRUPT || code == ERROR_UNAVAILABLE ? S3_REMEDY_RETRY : S3_REMEDY_NONE;
}

/* The exchange is done. */
static void take_outcome(struct s3_batch *batch, struct s3_request *request)
{
    struct s3_sender *sender = batch->sender;
    enum object_result result;
    enum s3_remedy remedy = judge(batch, request, &result);
    batch->running_count--;
    object_metrics_count(sender->metrics, request->operation, result,
                         clock_monotonic_ns(sender->clock) - request->start_ns);
    if (result == OBJECT_RESULT_OK || result == OBJECT_RESULT_NOT_FOUND)
        give_budget(sender);
    if (request->error.code == ERROR_NONE)
        end(request);
    else
        fail(batch, request, remedy);
}

/* --- Batches ------------------------------------------------------------------------------- */

void s3_batch_init(struct s3_batch *batch, struct s3_sender *sender, const struct object_call *call)
{
    *batch = (struct s3_batch){.sender = sender, .call = call};
    batch->last = &batch->first;
    exchange_waiter_init(&batch->waiter);
}

void s3_batch_clear(struct s3_batch *batch)
{
    assert(batch->first == NULL);
    exchange_waiter_clear(&batch->waiter);
}

void s3_batch_add(struct s3_batch *batch, struct s3_request *request)
{
    request->state = S3_REQUEST_WAITING;
    request->start_ns = 0;
    request->attempts = 0;
    request->next = NULL;
    error_clear(&request->error);
    *batch->last = request;
    batch->last = &request->next;
}

static bool is_stalled(const struct s3_sender *sender, struct s3_request *request, uint64_t now_ns)
{
    uint64_t moved_ns = atomic_load_explicit(&request->exchange.moved_ns, memory_order_relaxed);
    uint64_t stall_ns = sender->stall_ns * (request->patience > 1 ? request->patience : 1);
    return moved_ns != 0 && now_ns > moved_ns && now_ns - moved_ns >= stall_ns;
}

static void advance(struct s3_batch *batch, struct s3_request *request, uint64_t now_ns)
{
    if (request->state == S3_REQUEST_RUNNING) {
        if (exchange_is_done(&request->exchange)) {
            take_outcome(batch, request);
        } else if (!request->is_stalled && is_stalled(batch->sender, request, now_ns)) {
            request->is_stalled = true;
            exchange_stop(&request->exchange);
        }
    } else if (request->state == S3_REQUEST_WAITING && request->start_ns <= now_ns &&
               batch->running_count < batch->sender->connections) {
        attempt(batch, request);
    }
}

/* The call is over: everything ends with `reason`, and what one heard before. */
static void give_up(struct s3_batch *batch, const struct error *reason)
{
    struct s3_sender *sender = batch->sender;
    for (struct s3_request *request = batch->first; request != NULL; request = request->next)
        if (request->state == S3_REQUEST_RUNNING)
            exchange_stop(&request->exchange);
    for (struct s3_request *request = batch->first; request != NULL; request = request->next) {
        if (request->state == S3_REQUEST_ENDED)
            continue;
        if (request->state == S3_REQUEST_RUNNING) {
            while (!exchange_is_done(&request->exchange))
                exchange_wait(&batch->waiter, LOOK_MS);
            batch->running_count--;
            object_metrics_count(sender->metrics, request->operation, OBJECT_RESULT_CANCELED,
                                 clock_monotonic_ns(sender->clock) - request->start_ns);
        }
        if (request->error.code == ERROR_NONE || reason->code == ERROR_CANCELED)
            request->error = *reason;
        else
            error_wrap(&request->error, "%s; before", reason->message);
        request->error.code = reason->code;
        end(request);
    }
}

static struct s3_request *take_ended(struct s3_batch *batch)
{
    for (struct s3_request **link = &batch->first; *link != NULL; link = &(*link)->next) {
        struct s3_request *request = *link;
        if (request->state != S3_REQUEST_ENDED)
            continue;
        *link = request->next;
        if (request->next == NULL)
            batch->last = link;
        return request;
    }
    return NULL;
}

struct s3_request *s3_batch_next(struct s3_batch *batch)
{
    for (;;) {
        struct s3_request *ended = take_ended(batch);
        if (ended != NULL || batch->first == NULL)
            return ended;
        struct error reason;
        if (object_call_check(batch->call, batch->sender->clock, &reason) != ERROR_NONE) {
            give_up(batch, &reason);
            continue;
        }
        uint64_t now_ns = clock_monotonic_ns(batch->sender->clock);
        bool has_ended = false;
        for (struct s3_request *request = batch->first; request != NULL; request = request->next) {
            advance(batch, request, now_ns);
            has_ended |= request->state == S3_REQUEST_ENDED;
        }
        if (!has_ended)
            exchange_wait(&batch->waiter, LOOK_MS);
    }
}

enum error_code s3_request_run(struct s3_sender *sender, const struct object_call *call,
                               struct s3_request *request)
{
    struct s3_batch batch;
    s3_batch_init(&batch, sender, call);
    s3_batch_add(&batch, request);
    while (s3_batch_next(&batch) != NULL)
        ;
    s3_batch_clear(&batch);
    return request->error.code;
}
