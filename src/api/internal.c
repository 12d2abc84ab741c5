/*
 * internal/…: what other clusters ask of this one, answered from its own shards alone.
 *
 * Workers of their own do it: queries of two clusters that wait for each other must not take all
 * workers that could answer.
 */
#include <stdlib.h>

#include "federation/selection.h"
#include "promql/partial.h"

#include "api_private.h"

enum { SERVING_MAX = 256 };

struct internal_call;
typedef enum error_code internal_run(struct internal_call *call, struct error *error);

struct internal_call {
    struct job job; /* first */
    internal_run *run;
    struct http_request *request; /* its body lives as long as the call */
    struct api *api;
    struct text tenant;
    enum fanout_read read;
    atomic_bool canceled;
    uint64_t deadline_ns;
    struct memory_budget memory;
    struct arena *arena;
    struct byte_buffer answer;
    uint64_t charged_bytes;
    struct error error;
};

/* --- The answer ------------------------------------------------------------------------------ */

static enum error_code keep(struct internal_call *call, const uint8_t *bytes, size_t size,
                            struct error *error)
{
    struct arena_account *account = &call->memory.account;
    if (!account->charge(account, size))
        return memory_budget_error(&call->memory, error);
    call->charged_bytes += size;
    byte_buffer_append(&call->answer, bytes, size);
    return call->answer.failed ? api_memory_error(error) : ERROR_NONE;
}

struct partial_sink {
    struct promql_partial_sink base; /* first */
    struct internal_call *call;
};

static enum error_code write_partial(struct promql_partial_sink *self, const uint8_t *bytes,
                                     size_t size, struct error *error)
{
    return keep(((struct partial_sink *)self)->call, bytes, size, error);
}

struct records_sink {
    struct selection_sink base; /* first */
    struct internal_call *call;
};

static enum error_code write_records(struct selection_sink *self, const uint8_t *bytes, size_t size,
                                     struct error *error)
{
    return keep(((struct records_sink *)self)->call, bytes, size, error);
}

/* --- On a worker ----------------------------------------------------------------------------- */

/* What the answer says itself, as the error of the query. */
static bool is_of_the_query(enum error_code code)
{
    return code == ERROR_INVALID || code == ERROR_LIMIT || code == ERROR_TIMEOUT ||
           code == ERROR_CONFLICT;
}

/* Bytes that make no sense are the asker's fault, not that of something stored here. */
static enum error_code decoded(enum error_code code, struct error *error)
{
    if (code == ERROR_CORRUPT || code == ERROR_LIMIT)
        error->code = code = ERROR_INVALID;
    return code;
}

static enum error_code run_sub_query(struct internal_call *call, struct error *error)
{
    const struct api_options *options = &call->api->options;
    const struct frontend_options *frontend = frontend_options(options->frontend);
    struct text body = http_request_body(call->request);
    struct promql_partial_request request;
    enum error_code code =
        promql_partial_request_decode((const uint8_t *)body.data, body.size, &request, error);
    if (code != ERROR_NONE)
        return decoded(code, error);
    struct fanout_distributor distributor;
    struct promql_partial_environment environment = {
        .source = fanout_source(options->fanout, call->read),
        .distributor = fanout_distributor_init(&distributor, options->fanout, call->read,
                                               &call->canceled, frontend_memory(options->frontend)),
        .pool = frontend->pool,
        .clock = frontend->clock,
        .memory_max_bytes = frontend->memory_max_bytes,
        .samples_max = frontend->samples_max,
        .deadline_ns = call->deadline_ns,
        .canceled = &call->canceled,
        .memory = frontend_memory(options->frontend),
    };
    struct partial_sink sink = {.base.write = write_partial, .call = call};
    request.tenant = call->tenant; /* whatever the body says */
    code = promql_partial_run(&request, &environment, &sink.base, error);
    return is_of_the_query(code) ? ERROR_NONE : code;
}

static enum error_code run_select(struct internal_call *call, struct error *error)
{
    const struct api_options *options = &call->api->options;
    struct text body = http_request_body(call->request);
    struct selection selection;
    enum error_code code =
        selection_decode((const uint8_t *)body.data, body.size, call->arena, &selection, error);
    if (code != ERROR_NONE)
        return decoded(code, error);
    uint64_t left_ns = selection.timeout_ms * NANOSECONDS_PER_MILLISECOND;
    uint64_t asked_ns = clock_monotonic_ns(options->clock) + left_ns;
    if (selection.timeout_ms > 0 && selection.timeout_ms < UINT32_MAX &&
        asked_ns < call->deadline_ns)
        call->deadline_ns = asked_ns;
    struct selection_environment environment = {
        .source = fanout_source(options->fanout, call->read),
        .metadata = fanout_metadata(options->fanout, call->read),
        .tenant = call->tenant,
        .canceled = &call->canceled,
        .deadline_ns = call->deadline_ns,
        .arena = call->arena,
    };
    struct records_sink sink = {.base.write = write_records, .call = call};
    code = selection_answer(&selection, &environment, &sink.base, error);
    selection_clear(&selection);
    return code;
}

static void run(struct job *job)
{
    struct internal_call *call = (struct internal_call *)job;
    (void)call->run(call, &call->error); /* its code is in the error */
}

/* --- On the loop ----------------------------------------------------------------------------- */

static void call_destroy(struct internal_call *call)
{
    if (call->charged_bytes > 0)
        call->memory.account.release(&call->memory.account, call->charged_bytes);
    byte_buffer_clear(&call->answer);
    arena_destroy(call->arena);
    atomic_fetch_sub(&call->api->internal_serving, 1);
    free(call);
}

static void done(struct job *job)
{
    struct internal_call *call = (struct internal_call *)job;
    struct http_request *request = call->request;
    http_request_on_gone(request, NULL, NULL);
    if (call->error.code != ERROR_NONE) {
        struct error error = call->error;
        call_destroy(call);
        /* What this version does not know is no fault of the asker's user. */
        if (error.code == ERROR_UNSUPPORTED)
            api_respond_error(request, API_NOT_FOUND, error.message);
        else
            api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    struct http_response response = {
        .status = 200,
        .content_type = TEXT("application/octet-stream"),
        .body = {(const char *)call->answer.bytes, call->answer.size},
        .body_life = HTTP_BODY_OWNED,
    };
    call->answer = (struct byte_buffer){0};
    call_destroy(call);
    http_respond(request, &response);
}

static void gone(void *context)
{
    struct internal_call *call = context;
    atomic_store_explicit(&call->canceled, true, memory_order_relaxed);
}

static void start(struct http_request *request, internal_run *work)
{
    struct api *api = api_of(request);
    const struct api_options *options = &api->options;
    struct text tenant;
    if (!api_tenant(request, &tenant))
        return;
    if (options->fanout == NULL || options->internal_workers == NULL) {
        api_respond_error(request, API_NOT_FOUND, "this node answers no other clusters");
        return;
    }
    if (atomic_fetch_add(&api->internal_serving, 1) >= SERVING_MAX) {
        atomic_fetch_sub(&api->internal_serving, 1);
        api_respond_error(request, API_UNAVAILABLE, "too many questions of other clusters");
        return;
    }
    struct internal_call *call = calloc(1, sizeof *call);
    if (call != NULL) {
        memory_budget_init(&call->memory, frontend_options(options->frontend)->memory_max_bytes,
                           frontend_memory(options->frontend));
        call->arena = arena_create_charged(&call->memory.account);
    }
    if (call == NULL || call->arena == NULL) {
        atomic_fetch_sub(&api->internal_serving, 1);
        free(call);
        api_respond_error(request, API_UNAVAILABLE, "out of memory");
        return;
    }
    call->job = (struct job){
        .run = run, .done = done, .class = JOB_QUERY, .origin = http_request_scheduler(request)};
    call->run = work;
    call->request = request;
    call->api = api;
    call->tenant = tenant; /* in the request, which outlives the call */
    call->read = api_read_consistency(request);
    call->deadline_ns =
        clock_monotonic_ns(options->clock) +
        (uint64_t)frontend_options(options->frontend)->timeout_ms * NANOSECONDS_PER_MILLISECOND;
    http_request_on_gone(request, gone, call);
    worker_pool_submit(options->internal_workers, &call->job);
}

void api_internal_sub_query(struct http_request *request)
{
    start(request, run_sub_query);
}

void api_internal_select(struct http_request *request)
{
    start(request, run_select);
}
