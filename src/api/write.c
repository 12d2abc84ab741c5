/* Remote write: content negotiation, and the outcome as status and headers. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"

#include "api_private.h"
#include "endpoints.h"

/* --- Negotiation ------------------------------------------------------------------------------ */

/* The value of a parameter of a media type; empty when there is none. */
static struct text media_parameter(struct text content_type, struct text name)
{
    struct text part, rest;
    text_split(content_type, ';', &part, &rest);
    while (rest.size > 0) {
        struct text key, value;
        text_split(rest, ';', &part, &rest);
        if (!text_split(text_trim(part), '=', &key, &value) ||
            !text_equal_ignoring_case(text_trim(key), name))
            continue;
        value = text_trim(value);
        if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
            value = (struct text){value.data + 1, value.size - 2};
        return value;
    }
    return (struct text){0};
}

/* What the headers say the body is; false: unsupported. */
static bool negotiate(struct http_request *request, enum write_version *version_out,
                      const char **why_out)
{
    struct text content_type, encoding;
    *version_out = WRITE_VERSION_1;
    if (http_request_header(request, TEXT("Content-Encoding"), &encoding) && encoding.size > 0 &&
        !text_equal_ignoring_case(encoding, TEXT("snappy"))) {
        *why_out = "the content encoding is not supported; remote write is sent with snappy";
        return false;
    }
    if (!http_request_header(request, TEXT("Content-Type"), &content_type) ||
        content_type.size == 0)
        return true;
    if (!http_request_has_media_type(request, TEXT("application/x-protobuf"))) {
        *why_out = "the content type is not supported; remote write is application/x-protobuf";
        return false;
    }
    struct text proto = media_parameter(content_type, TEXT("proto"));
    if (text_equal(proto, TEXT("io.prometheus.write.v2.Request"))) {
        *version_out = WRITE_VERSION_2;
        return true;
    }
    *why_out = "the proto of the content type is not supported; known are "
               "prometheus.WriteRequest and io.prometheus.write.v2.Request";
    return proto.size == 0 || text_equal(proto, TEXT("prometheus.WriteRequest"));
}

/* --- Memory ----------------------------------------------------------------------------------- */

struct write_call {
    struct ingest_request ingest; /* first */
    struct http_request *request;
    struct arena *arena;
    struct arena_account account;
    struct api *api;
    size_t charged_bytes;
    bool is_too_large; /* no other time has room for it either */
};

static struct write_call *call_of(struct arena_account *account)
{
    return (struct write_call *)((char *)account - offsetof(struct write_call, account));
}

/* Decoded bytes, and what the arrays of the smallest possible samples need beside them. */
static size_t call_bytes_max(const struct api *api)
{
    return api->options.decoded_bytes_max * 12;
}

static bool charge(struct arena_account *account, size_t size_bytes)
{
    struct write_call *call = call_of(account);
    struct api *api = call->api;
    uint64_t limit = api->options.write_memory_bytes_max;
    call->is_too_large = call->charged_bytes + size_bytes > call_bytes_max(api);
    if (call->is_too_large)
        return false;
    uint64_t before =
        atomic_fetch_add_explicit(&api->write_memory_bytes, size_bytes, memory_order_relaxed);
    if (limit > 0 && before + size_bytes > limit) {
        atomic_fetch_sub_explicit(&api->write_memory_bytes, size_bytes, memory_order_relaxed);
        return false;
    }
    call->charged_bytes += size_bytes;
    return true;
}

static void release(struct arena_account *account, size_t size_bytes)
{
    struct write_call *call = call_of(account);
    call->charged_bytes -= size_bytes;
    atomic_fetch_sub_explicit(&call->api->write_memory_bytes, size_bytes, memory_order_relaxed);
}

uint64_t api_write_memory_bytes(const struct api *api)
{
    return atomic_load_explicit(&api->write_memory_bytes, memory_order_relaxed);
}

static void call_destroy(struct write_call *call)
{
    if (call != NULL)
        arena_destroy(call->arena); /* charged to the call */
    free(call);
}

static struct write_call *call_create(struct api *api)
{
    struct write_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->api = api;
    call->account = (struct arena_account){charge, release};
    call->arena = arena_create_charged(&call->account);
    if (call->arena == NULL) {
        call_destroy(call);
        return NULL;
    }
    return call;
}

/* --- Answer ----------------------------------------------------------------------------------- */

enum { WRITTEN_HEADERS = 3 };

static void respond(struct http_request *request, unsigned status, const char *message,
                    const struct ingest_request *outcome)
{
    char counts[WRITTEN_HEADERS][24] = {"0", "0", "0"};
    if (outcome != NULL) {
        snprintf(counts[0], sizeof counts[0], "%llu", (unsigned long long)outcome->samples_written);
        snprintf(counts[1], sizeof counts[1], "%llu",
                 (unsigned long long)outcome->histograms_written);
        snprintf(counts[2], sizeof counts[2], "%llu",
                 (unsigned long long)outcome->exemplars_written);
    }
    struct http_header headers[] = {
        {TEXT("X-Prometheus-Remote-Write-Samples-Written"), text_of(counts[0])},
        {TEXT("X-Prometheus-Remote-Write-Histograms-Written"), text_of(counts[1])},
        {TEXT("X-Prometheus-Remote-Write-Exemplars-Written"), text_of(counts[2])},
        {TEXT("Retry-After"), TEXT("1")},
    };
    bool retry = status == 503 || status == 429;
    struct text body = arena_format(http_request_arena(request), "%s\n", message);
    http_respond(request, &(struct http_response){
                              .status = status,
                              .content_type = status == 204 ? (struct text){0}
                                                            : TEXT("text/plain; charset=utf-8"),
                              .headers = headers,
                              .header_count = WRITTEN_HEADERS + (retry ? 1 : 0),
                              .body = status == 204 ? (struct text){0} : body,
                              .body_life = HTTP_BODY_BORROWED,
                          });
}

static void write_done(struct ingest_request *ingest)
{
    static const unsigned STATUSES[] = {
        [INGEST_STORED] = 204,     [INGEST_REFUSED] = 400,     [INGEST_TOO_LARGE] = 413,
        [INGEST_RATE_LIMIT] = 429, [INGEST_UNAVAILABLE] = 503,
    };
    struct write_call *call = (struct write_call *)ingest;
    http_request_on_gone(call->request, NULL, NULL);
    enum ingest_status status = ingest->status;
    if (status == INGEST_UNAVAILABLE && call->is_too_large)
        status = INGEST_TOO_LARGE;
    /* Nothing counts as written of a request that is to be sent again. */
    respond(call->request, STATUSES[status], ingest->message,
            status == INGEST_UNAVAILABLE ? NULL : ingest);
    call_destroy(call);
}

/* Nobody waits for what a shard does not take now. */
static void write_gone(void *context)
{
    struct write_call *call = context;
    ingest_cancel(&call->ingest);
}

static struct ingest *ingest_of(struct http_request *request)
{
    struct api *api = api_of(request);
    struct scheduler *loop = http_request_scheduler(request);
    for (size_t i = 0; i < api->options.loop_count; i++)
        if (api->loops[i].scheduler == loop)
            return api->loops[i].ingest;
    return NULL;
}

static void log_unsupported(struct http_request *request, const char *why)
{
    static _Thread_local struct log_limit limit = {.interval_ms = 10000, .burst = 5};
    uint64_t suppressed;
    if (!log_limit_allow(&limit, clock_now_ms(api_of(request)->options.clock), &suppressed))
        return;
    struct text remote = http_request_remote_address(request);
    log_event(LOG_WARNING, "api", "a write was refused",
              "remote=%.*s reason=\"%s\" suppressed=%llu", TEXT_ARGUMENTS(remote), why,
              (unsigned long long)suppressed);
}

/* What the head alone decides. False: answered. */
static bool read_head(struct http_request *request, enum write_version *version_out,
                      struct text *tenant_out)
{
    const char *why;
    if (negotiate(request, version_out, &why))
        return api_tenant(request, tenant_out);
    log_unsupported(request, why);
    respond(request, 415, why, NULL);
    return false;
}

static bool is_write(struct http_request *request)
{
    const char *route = http_request_route(request);
    return route != NULL && http_request_method(request) == HTTP_POST &&
           (text_ends_with(text_of(route), TEXT("/api/v1/write")) ||
            text_ends_with(text_of(route), TEXT("/api/v1/push")));
}

enum http_admission api_admit(void *context, struct http_request *request)
{
    (void)context;
    enum write_version version;
    struct text expect, tenant;
    const char *route = http_request_route(request);
    if (http_request_identity(request).tenant.size > 0 && route != NULL &&
        api_is_of_the_node(route)) {
        api_respond_error(request, API_FORBIDDEN, "this is not for the token of a tenant");
        return HTTP_REFUSED;
    }
    /* Others send their body all the same: they are answered when it is read. */
    bool asks_first = http_request_header(request, TEXT("Expect"), &expect);
    return asks_first && is_write(request) && !read_head(request, &version, &tenant)
               ? HTTP_REFUSED
               : HTTP_ADMITTED;
}

void api_write(struct http_request *request)
{
    enum write_version version;
    struct text tenant;
    if (!read_head(request, &version, &tenant))
        return;
    struct ingest *ingest = ingest_of(request);
    struct write_call *call = call_create(api_of(request));
    if (ingest == NULL || call == NULL) {
        call_destroy(call);
        respond(request, 503, "out of memory", NULL);
        return;
    }
    struct text body = http_request_body(request);
    call->request = request;
    call->ingest.version = version;
    call->ingest.body = (const uint8_t *)body.data;
    call->ingest.body_size = body.size;
    call->ingest.tenant = tenant;
    call->ingest.arena = call->arena;
    call->ingest.done = write_done;
    ingest_write(ingest, &call->ingest);
    http_request_on_gone(request, write_gone, call);
}
