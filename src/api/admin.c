/* Endpoints that change something or copy it: reload, flush, snapshot, deletion. */
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

void api_admin_disabled(struct http_request *request)
{
    api_respond_error(request, API_DISABLED, "admin APIs disabled");
}

/* --- Flush ------------------------------------------------------------------------------------ */

static void flushed(void *argument, const struct error *error)
{
    if (error->code != ERROR_NONE)
        api_respond_code(argument, error, API_UNAVAILABLE);
    else
        api_respond_status(argument, 204);
}

static void flush(struct http_request *request, enum flush_reach reach)
{
    struct api *api = api_of(request);
    api->options.program.flush(api->options.program.context, reach, http_request_scheduler(request),
                               flushed, request);
}

void api_flush(struct http_request *request)
{
    flush(request, FLUSH_SAMPLES);
}

/* Merges leave deleted samples out: what is in memory and parts, and every block that has some, is
 * written without them. */
void api_clean_tombstones(struct http_request *request)
{
    flush(request, FLUSH_DELETED);
}

/* --- Snapshot --------------------------------------------------------------------------------- */

/* As Go's strconv.ParseBool. */
static bool parse_boolean(struct text text, bool *value_out)
{
    static const struct text TRUE_FORMS[] = {TEXT("1"),    TEXT("t"),    TEXT("T"),
                                             TEXT("true"), TEXT("TRUE"), TEXT("True")};
    static const struct text FALSE_FORMS[] = {TEXT("0"),     TEXT("f"),     TEXT("F"),
                                              TEXT("false"), TEXT("FALSE"), TEXT("False")};
    for (size_t i = 0; i < sizeof TRUE_FORMS / sizeof TRUE_FORMS[0]; i++) {
        *value_out = text_equal(text, TRUE_FORMS[i]);
        if (*value_out || text_equal(text, FALSE_FORMS[i]))
            return true;
    }
    return false;
}

static void snapshot_made(void *argument, const char *name, const struct error *error)
{
    if (error->code != ERROR_NONE) {
        api_respond_code(argument, error, API_BAD_DATA);
        return;
    }
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{\"name\":"));
    json_string(&data, text_of(name));
    json_raw(&data, TEXT("}"));
    api_respond_data(argument, &data);
}

void api_snapshot(struct http_request *request)
{
    struct api *api = api_of(request);
    const struct http_parameters *parameters;
    struct text text;
    bool skips_head = false;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("skip_head"), &text) && text.size > 0 &&
        !parse_boolean(text, &skips_head)) {
        struct error error;
        error_set(&error, ERROR_INVALID,
                  "invalid parameter \"skip_head\": unable to parse boolean: \"%.*s\"",
                  TEXT_ARGUMENTS(text));
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    api->options.program.snapshot(api->options.program.context,
                                  skips_head ? API_SNAPSHOT_SKIPS_HEAD : API_SNAPSHOT_WITH_HEAD,
                                  http_request_scheduler(request), snapshot_made, request);
}

/* --- Deletion --------------------------------------------------------------------------------- */

/* One deletion per selector; the answer waits for all. */
struct deletion {
    struct http_request *request;
    size_t outstanding;
    struct error error; /* the first */
};

static void deletion_step_done(struct deletion *deletion)
{
    if (--deletion->outstanding > 0)
        return;
    if (deletion->error.code != ERROR_NONE)
        api_respond_code(deletion->request, &deletion->error, API_BAD_DATA);
    else
        api_respond_status(deletion->request, 204);
    free(deletion);
}

static void deleted(void *argument, const struct error *error)
{
    struct deletion *deletion = argument;
    if (error->code != ERROR_NONE && deletion->error.code == ERROR_NONE)
        deletion->error = *error;
    deletion_step_done(deletion);
}

/* Unlike a look-up, a deletion may select every series ({}), as in Prometheus. */
static void delete_selected(struct deletion *deletion, struct text tenant,
                            const struct http_parameters *parameters)
{
    struct http_request *request = deletion->request;
    struct api *api = api_of(request);
    struct api_selectors selectors = {0};
    struct error *error = &deletion->error;
    int64_t start_ms, end_ms;
    enum error_code code = api_time(parameters, TEXT("start"), API_TIME_MIN, &start_ms, error);
    if (code == ERROR_NONE)
        code = api_time(parameters, TEXT("end"), API_TIME_MAX, &end_ms, error);
    if (code != ERROR_NONE)
        return;
    code = api_selectors_parse(parameters, TEXT("match[]"), http_request_arena(request), &selectors,
                               error);
    if (code == ERROR_INVALID)
        error_wrap(error, "invalid parameter \"match[]\"");
    if (code == ERROR_NONE && selectors.count == 0)
        code = error_set(error, ERROR_INVALID, "no match[] parameter provided");
    bool any_time = start_ms <= end_ms; /* Prometheus takes the other order for nothing to do */
    for (size_t i = 0; code == ERROR_NONE && any_time && i < selectors.count; i++) {
        const struct selector_node *selector = &selectors.queries[i].root->selector;
        deletion->outstanding++;
        api->options.program.delete_series(
            api->options.program.context, http_request_scheduler(request), tenant,
            selector->matchers, selector->matcher_count, start_ms, end_ms, deleted, deletion);
    }
    api_selectors_clear(&selectors);
}

void api_delete_series(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text tenant;
    if (!api_tenant(request, &tenant) || !api_parameters(request, &parameters))
        return;
    struct deletion *deletion = calloc(1, sizeof *deletion);
    if (deletion == NULL) {
        api_respond_error(request, API_UNAVAILABLE, "out of memory");
        return;
    }
    deletion->request = request;
    deletion->outstanding = 1; /* this function */
    delete_selected(deletion, tenant, parameters);
    deletion_step_done(deletion);
}
