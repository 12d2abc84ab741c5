/* Endpoints that change something: reload, flush, deletion. */
#include <stdlib.h>

#include "api_private.h"

void api_reload(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error error;
    if (api->options.program.reload(api->options.program.context, &error) == ERROR_NONE)
        api_respond_status(request, 200);
    else
        api_respond_text(request, 500, error.message);
}

/* --- Flush ---------------------------------------------------------------------------------------- */

static void flushed(void *argument)
{
    api_respond_status(argument, 204);
}

void api_flush(struct http_request *request)
{
    struct api *api = api_of(request);
    api->options.program.flush(api->options.program.context, http_request_scheduler(request),
                               flushed, request);
}

/* --- Deletion ------------------------------------------------------------------------------------- */

static enum error_code delete_selected(struct http_request *request, struct text tenant,
                                       const struct http_parameters *parameters,
                                       struct error *error)
{
    struct api *api = api_of(request);
    struct api_selectors selectors = {0};
    int64_t start_ms, end_ms;
    enum error_code code = api_time(parameters, TEXT("start"), API_TIME_MIN, &start_ms, error);
    if (code == ERROR_NONE)
        code = api_time(parameters, TEXT("end"), API_TIME_MAX, &end_ms, error);
    if (code == ERROR_NONE)
        code = api_selectors_parse(parameters, TEXT("match[]"), http_request_arena(request),
                                   &selectors, error);
    if (code == ERROR_NONE && selectors.count == 0)
        code = error_set(error, ERROR_INVALID, "no match[] parameter provided");
    for (size_t i = 0; code == ERROR_NONE && i < selectors.count; i++) {
        const struct selector_node *selector = &selectors.queries[i].root->selector;
        code = api->options.program.delete_series(api->options.program.context, tenant,
                                                  selector->matchers, selector->matcher_count,
                                                  start_ms, end_ms, error);
    }
    api_selectors_clear(&selectors);
    return code;
}

void api_delete_series(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text tenant;
    struct error error;
    if (!api_tenant(request, &tenant) || !api_parameters(request, &parameters))
        return;
    if (delete_selected(request, tenant, parameters, &error) != ERROR_NONE)
        api_respond_code(request, &error, API_BAD_DATA);
    else
        api_respond_status(request, 204);
}

/* Merging leaves deleted samples out, so cleaning is a flush. */
void api_clean_tombstones(struct http_request *request)
{
    api_flush(request);
}
