#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "api_private.h"
#include "endpoints.h"

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code api_create(const struct api_options *options, struct api **api_out,
                           struct error *error)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "api");
    api->options = *options;
    pthread_mutex_init(&api->cardinality.lock, NULL);
    api->loops = malloc(options->loop_count * sizeof *api->loops);
    bool complete = api->loops != NULL;
    if (complete)
        memcpy(api->loops, options->loops, options->loop_count * sizeof *api->loops);
    for (int class = 1; complete && class < 6; class ++) {
        char value[4] = {(char)('0' + class), 'x', 'x', '\0'};
        struct metric_label label = {"code", value};
        api->requests_by_class[class] = metrics_counter(
            options->metrics,
            &(struct metric_options){"gnomon_http_requests_total",
                                     "Requests answered, by class of status.", &label, 1});
        complete = api->requests_by_class[class] != NULL;
    }
    api->request_seconds = metrics_distribution(
        options->metrics,
        &(struct metric_options){"gnomon_http_request_duration_seconds",
                                 "From the first byte of a request to the end of its answer.", NULL,
                                 0},
        METRICS_LATENCY_BOUNDS, METRICS_LATENCY_BOUND_COUNT);
    if (!complete || api->request_seconds == NULL) {
        api_destroy(api);
        return error_set(error, ERROR_OUT_OF_MEMORY, "api");
    }
    *api_out = api;
    return ERROR_NONE;
}

void api_destroy(struct api *api)
{
    if (api == NULL)
        return;
    pthread_mutex_destroy(&api->cardinality.lock);
    byte_buffer_clear(&api->cardinality.json);
    free(api->loops);
    free(api);
}

/* --- Routes ----------------------------------------------------------------------------------- */

static const struct http_route PLAIN_ROUTES[] = {
    {HTTP_GET | HTTP_HEAD, "/-/healthy", api_healthy, NULL, 0},
    {HTTP_GET | HTTP_HEAD, "/-/ready", api_ready, NULL, 0},
    {HTTP_POST | HTTP_PUT, "/-/reload", api_reload, NULL, 0},
    {HTTP_GET, "/metrics", api_metrics, NULL, 0},
    /* As Mimir has them. */
    {HTTP_POST, "/compactor/delete_tenant", api_compactor_delete_tenant, NULL, 0},
    {HTTP_GET, "/compactor/delete_tenant_status", api_compactor_tenant_status, NULL, 0},
};

/* As those of the endpoints that query. */
static const struct http_route QUERY_ROUTES[] = {
    {HTTP_GET, "/federate", api_federate, NULL, 0},
    {HTTP_GET, "/prometheus/federate", api_federate, NULL, 0},
};

/* A sender must not take it for a loss that it can't mend: it sends again, and to a node that takes
 * writes, once it is told to. */
static void refuse_write(struct http_request *request)
{
    api_respond_error(request, API_UNAVAILABLE,
                      "this node does not have the role ingest: send to one that has");
}

static void refuse_query(struct http_request *request)
{
    api_respond_error(request, API_NOT_FOUND,
                      "this node does not have the role query: ask one that has");
}

/* NULL: it is served. */
static http_handler *refusal_of(const struct api *api, enum api_service service)
{
    if ((api->options.refused & service) == 0)
        return NULL;
    return service == API_SERVICE_WRITES ? refuse_write : refuse_query;
}

/* `instead`, when given, answers all of them. */
static enum error_code add_endpoints(struct api *api, struct http_router *router,
                                     struct api_endpoints endpoints, http_handler *instead,
                                     struct error *error)
{
    for (size_t i = 0; i < endpoints.count; i++) {
        const struct api_endpoint *endpoint = &endpoints.entries[i];
        http_handler *refusal = instead == NULL ? refusal_of(api, endpoint->service) : instead;
        struct http_route route = {.methods = endpoint->methods,
                                   .pattern = endpoint->path,
                                   .handler = refusal == NULL ? endpoint->handler : refusal,
                                   .context = api};
        enum error_code code = http_router_add(router, &route, error);
        route.pattern = endpoint->prefixed;
        if (code == ERROR_NONE)
            code = http_router_add(router, &route, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "%s", route.pattern);
    }
    return ERROR_NONE;
}

enum error_code api_add_routes(struct api *api, struct http_router *router, struct error *error)
{
    enum error_code code = add_endpoints(api, router, api_endpoints(), NULL, error);
    if (code == ERROR_NONE)
        code = add_endpoints(api, router, api_admin_endpoints(),
                             api->options.admin_enabled ? NULL : api_admin_disabled, error);
    for (size_t i = 0; code == ERROR_NONE && i < sizeof PLAIN_ROUTES / sizeof PLAIN_ROUTES[0];
         i++) {
        struct http_route route = PLAIN_ROUTES[i];
        route.context = api;
        code = http_router_add(router, &route, error);
    }
    for (size_t i = 0; code == ERROR_NONE && i < sizeof QUERY_ROUTES / sizeof QUERY_ROUTES[0];
         i++) {
        struct http_route route = QUERY_ROUTES[i];
        http_handler *refusal = refusal_of(api, API_SERVICE_QUERIES);
        route.context = api;
        if (refusal != NULL)
            route.handler = refusal;
        code = http_router_add(router, &route, error);
    }
    return code;
}

/* --- Hooks of the server ---------------------------------------------------------------------- */

static struct text error_body(void *context, unsigned status, const char *reason,
                              struct arena *arena, struct text *content_type_out)
{
    (void)context;
    const char *kind = status >= 500 ? "unavailable" : status == 404 ? "not_found" : "bad_data";
    struct byte_buffer buffer = {0};
    json_raw(&buffer, TEXT("{\"status\":\"error\",\"errorType\":\""));
    json_raw(&buffer, text_of(kind));
    json_raw(&buffer, TEXT("\",\"error\":"));
    json_string(&buffer, text_of(reason));
    json_raw(&buffer, TEXT("}"));
    struct text body = {0};
    if (!buffer.failed)
        body = arena_copy_text(arena, (struct text){(char *)buffer.bytes, buffer.size});
    byte_buffer_clear(&buffer);
    *content_type_out = TEXT("application/json");
    return body;
}

/* For browsers, which say what site a request comes from. */
static size_t decorate(void *context, struct http_request *request, struct http_header *headers,
                       size_t capacity)
{
    static const struct http_header CORS[] = {
        {{"Access-Control-Allow-Headers", 28}, {"Accept, Authorization, Content-Type, Origin", 43}},
        {{"Access-Control-Allow-Methods", 28}, {"GET, POST, OPTIONS", 18}},
        {{"Access-Control-Allow-Origin", 27}, {"*", 1}},
        {{"Access-Control-Expose-Headers", 29}, {"Date", 4}},
    };
    (void)context;
    size_t count = sizeof CORS / sizeof CORS[0];
    struct text path = http_request_path(request);
    struct text origin;
    if (capacity < count || !http_request_header(request, TEXT("Origin"), &origin) ||
        !(text_starts_with(path, TEXT("/api/")) || text_starts_with(path, TEXT("/prometheus/"))))
        return 0;
    memcpy(headers, CORS, sizeof CORS);
    return count;
}

static void finished(void *context, const struct http_access *access)
{
    struct api *api = context;
    unsigned class = access->status / 100;
    if (class >= 1 && class < 6)
        counter_add(api->requests_by_class[class], 1);
    distribution_observe(api->request_seconds, (double)access->duration_ns / 1e9);
}

struct http_hooks api_hooks(struct api *api)
{
    return (struct http_hooks){
        .context = api,
        .admit = api_admit,
        .error_body = error_body,
        .decorate = decorate,
        .finished = finished,
    };
}
