/* Look-ups: what the endpoints share that read series, labels, exemplars or metadata on a worker.
 */
#include <stdlib.h>

#include "api_private.h"

/* --- Life ------------------------------------------------------------------------------------- */

static void lookup_destroy(struct api_lookup *lookup)
{
    promql_query_clear(&lookup->query);
    api_selectors_clear(&lookup->selectors);
    byte_buffer_clear(&lookup->data);
    arena_destroy(lookup->arena);
    free(lookup);
}

static void lookup_run(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    (void)lookup->run(lookup, &lookup->data, &job->error); /* its code is in the error */
}

static void lookup_done(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    struct http_request *request = lookup->request;
    http_request_on_gone(request, NULL, NULL);
    if (job->error.code != ERROR_NONE) {
        api_respond_code(request, &job->error, API_EXECUTION);
    } else if (lookup->data.size == 0 && !lookup->data.failed) {
        api_respond_status(request, 204);
    } else {
        struct byte_buffer body = {0};
        json_raw(&body, TEXT("{\"status\":\"success\",\"data\":"));
        byte_buffer_append(&body, lookup->data.bytes, lookup->data.size);
        if (lookup->truncated)
            json_raw(&body, TEXT(",\"warnings\":[\"results truncated due to limit\"]"));
        json_raw(&body, TEXT("}"));
        body.failed |= lookup->data.failed;
        api_respond_json(request, 200, &body);
    }
    lookup_destroy(lookup);
}

static void lookup_gone(void *context)
{
    struct api_lookup *lookup = context;
    atomic_store(&lookup->canceled, true);
    frontend_withdraw(&lookup->job);
}

void api_lookup_start(struct http_request *request, struct text name,
                      const struct api_lookup_kind *kind)
{
    const struct http_parameters *parameters;
    struct text tenant;
    struct error error;
    struct api *api = api_of(request);
    if (!api_tenant(request, &tenant) || !api_parameters(request, &parameters))
        return;
    struct api_lookup *lookup = calloc(1, sizeof *lookup);
    struct arena *arena = arena_create_charged(frontend_memory(api->options.frontend));
    if (lookup == NULL || arena == NULL) {
        free(lookup);
        arena_destroy(arena);
        api_respond_error(request, API_UNAVAILABLE, "out of memory");
        return;
    }
    lookup->job = (struct frontend_job){.run = lookup_run, .done = lookup_done};
    lookup->request = request;
    lookup->api = api;
    lookup->arena = arena;
    lookup->tenant = tenant; /* in the request, which outlives the look-up */
    lookup->name = name;
    lookup->limit = API_NO_LIMIT;
    lookup->run = kind->run;
    enum error_code code = kind->read(lookup, parameters, &error);
    if (code == ERROR_NONE)
        code = frontend_submit(api->options.frontend, http_request_scheduler(request), &lookup->job,
                               &error);
    if (code == ERROR_NONE) {
        http_request_on_gone(request, lookup_gone, lookup);
    } else {
        lookup_destroy(lookup);
        api_respond_code(request, &error, API_BAD_DATA);
    }
}

/* --- Parts of look-ups ------------------------------------------------------------------------ */

enum error_code api_lookup_read_times(struct api_lookup *lookup,
                                      const struct http_parameters *parameters, struct error *error)
{
    enum error_code code =
        api_time(parameters, TEXT("start"), API_TIME_MIN, &lookup->start_ms, error);
    return code == ERROR_NONE
               ? api_time(parameters, TEXT("end"), API_TIME_MAX, &lookup->end_ms, error)
               : code;
}

struct series_request api_lookup_request(struct api_lookup *lookup, size_t selector,
                                         enum series_need need)
{
    struct series_request request = api_series_request(
        lookup->selectors.count > 0 ? &lookup->selectors.queries[selector] : NULL, lookup->tenant,
        lookup->start_ms, lookup->end_ms, need, lookup->arena);
    request.canceled = &lookup->canceled;
    return request;
}
