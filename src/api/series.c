/* series, labels, label values, exemplars: look-ups on a worker. */
#include <stdlib.h>

#include "base/text_set.h"
#include "promql/selectors.h"

#include "api_private.h"

/* --- Look-ups --------------------------------------------------------------------------------- */

static void lookup_destroy(struct api_lookup *lookup)
{
    api_selectors_clear(&lookup->selectors);
    byte_buffer_clear(&lookup->data);
    arena_destroy(lookup->arena);
    free(lookup);
}

static void lookup_run(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    error_clear(&lookup->error);
    (void)lookup->run(lookup, &lookup->data, &lookup->error); /* its code is in the error */
}

static void lookup_done(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    struct http_request *request = lookup->request;
    http_request_on_gone(request, NULL, NULL);
    if (lookup->error.code != ERROR_NONE) {
        api_respond_code(request, &lookup->error, API_EXECUTION);
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
    atomic_store(&((struct api_lookup *)context)->canceled, true);
}

static enum error_code lookup_read(struct api_lookup *lookup,
                                   const struct http_parameters *parameters, struct error *error)
{
    enum error_code code =
        api_time(parameters, TEXT("start"), API_TIME_MIN, &lookup->start_ms, error);
    if (code == ERROR_NONE)
        code = api_time(parameters, TEXT("end"), API_TIME_MAX, &lookup->end_ms, error);
    if (code == ERROR_NONE && lookup->end_ms < lookup->start_ms)
        code = error_set(error, ERROR_INVALID, "end timestamp must not be before start time");
    if (code == ERROR_NONE)
        code = api_limit(parameters, TEXT("limit"), &lookup->limit, error);
    if (code == ERROR_NONE)
        code = api_selectors_parse(parameters, TEXT("match[]"), lookup->arena, &lookup->selectors,
                                   error);
    return code;
}

void api_lookup_start(struct http_request *request, struct text name,
                      enum error_code (*run)(struct api_lookup *lookup, struct byte_buffer *data,
                                             struct error *error))
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
    lookup->run = run;
    enum error_code code = lookup_read(lookup, parameters, &error);
    if (code == ERROR_NONE) {
        http_request_on_gone(request, lookup_gone, lookup);
        code = frontend_submit(api->options.frontend, http_request_scheduler(request), &lookup->job,
                               &error);
    }
    if (code != ERROR_NONE) {
        http_request_on_gone(request, NULL, NULL);
        lookup_destroy(lookup);
        api_respond_code(request, &error, API_BAD_DATA);
    }
}

static struct series_request request_of(struct api_lookup *lookup, size_t selector,
                                        enum series_need need)
{
    struct series_request request = api_series_request(
        lookup->selectors.count > 0 ? &lookup->selectors.queries[selector] : NULL, lookup->tenant,
        lookup->start_ms, lookup->end_ms, need, lookup->arena);
    request.canceled = &lookup->canceled;
    return request;
}

/* --- Names and values ------------------------------------------------------------------------- */

static enum error_code append_texts(struct api_lookup *lookup, const struct text_set *found,
                                    struct byte_buffer *data, struct error *error)
{
    struct text *sorted = text_set_sorted(found);
    if (sorted == NULL)
        return api_memory_error(error);
    json_raw(data, TEXT("["));
    for (size_t i = 0; i < found->count; i++) {
        if (lookup->limit > 0 && i == lookup->limit) {
            lookup->truncated = true;
            break;
        }
        if (i > 0)
            json_raw(data, TEXT(","));
        json_string(data, sorted[i]);
    }
    json_raw(data, TEXT("]"));
    return data->failed ? api_memory_error(error) : ERROR_NONE;
}

/* Names when the look-up has no label, values of that label otherwise. */
static enum error_code run_texts(struct api_lookup *lookup, struct byte_buffer *data,
                                 struct error *error)
{
    struct series_source *source = frontend_source(lookup->api->options.frontend);
    struct text_set found = {.arena = lookup->arena};
    enum error_code code = ERROR_NONE;
    size_t count = lookup->selectors.count > 0 ? lookup->selectors.count : 1;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct series_request request = request_of(lookup, i, SERIES_NEED_LABELS);
        code = lookup->name.size == 0
                   ? series_source_label_names(source, &request, &found, error)
                   : series_source_label_values(source, &request, lookup->name, &found, error);
    }
    return code == ERROR_NONE ? append_texts(lookup, &found, data, error) : code;
}

void api_labels(struct http_request *request)
{
    api_lookup_start(request, (struct text){0}, run_texts);
}

void api_label_values(struct http_request *request)
{
    struct text name =
        api_unescape_name(http_request_segment(request, TEXT("name")), http_request_arena(request));
    if (name.size == 0 || !text_is_utf8(name)) {
        api_respond_error(request, API_BAD_DATA, "invalid label name");
        return;
    }
    api_lookup_start(request, name, run_texts);
}

/* --- Series ----------------------------------------------------------------------------------- */

static enum error_code append_series(struct api_lookup *lookup, size_t selector,
                                     struct text_set *seen, struct byte_buffer *data,
                                     struct error *error)
{
    struct series_request request = request_of(lookup, selector, SERIES_NEED_LABELS);
    struct series_set *set;
    enum error_code code =
        series_source_select(frontend_source(lookup->api->options.frontend), &request, &set, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < set->count; i++) {
        struct labels labels = series_set_labels(set, i);
        enum text_set_outcome outcome =
            text_set_add(seen, (struct text){(const char *)labels.bytes, labels.size});
        if (outcome == TEXT_SET_OUT_OF_MEMORY)
            code = api_memory_error(error);
        if (outcome != TEXT_SET_NEW)
            continue;
        if (lookup->limit > 0 && seen->count > lookup->limit) {
            lookup->truncated = true;
            break;
        }
        if (seen->count > 1)
            json_raw(data, TEXT(","));
        json_labels(data, labels);
    }
    series_set_close(set);
    return code;
}

static enum error_code run_series(struct api_lookup *lookup, struct byte_buffer *data,
                                  struct error *error)
{
    struct text_set seen = {.arena = lookup->arena};
    enum error_code code = ERROR_NONE;
    if (lookup->selectors.count == 0)
        return error_set(error, ERROR_INVALID, "no match[] parameter provided");
    json_raw(data, TEXT("["));
    for (size_t i = 0; code == ERROR_NONE && i < lookup->selectors.count && !lookup->truncated; i++)
        code = append_series(lookup, i, &seen, data, error);
    json_raw(data, TEXT("]"));
    if (code == ERROR_NONE && data->failed)
        code = api_memory_error(error);
    return code;
}

void api_series(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text selector;
    if (!api_parameters(request, &parameters))
        return;
    if (!http_parameters_find(parameters, TEXT("match[]"), &selector)) {
        api_respond_error(request, API_BAD_DATA, "no match[] parameter provided");
        return;
    }
    api_lookup_start(request, (struct text){0}, run_series);
}

/* --- Exemplars -------------------------------------------------------------------------------- */

static void append_exemplars(struct byte_buffer *data, const struct series_exemplars *series)
{
    json_raw(data, TEXT("{\"seriesLabels\":"));
    json_labels(data, series->labels);
    json_raw(data, TEXT(",\"exemplars\":["));
    for (size_t i = 0; i < series->count; i++) {
        const struct exemplar *exemplar = &series->exemplars[i];
        json_raw(data, i > 0 ? TEXT(",{\"labels\":") : TEXT("{\"labels\":"));
        json_labels(data, exemplar->labels);
        json_raw(data, TEXT(",\"value\":"));
        json_sample_value(data, exemplar->value);
        json_raw(data, TEXT(",\"timestamp\":"));
        json_timestamp(data, exemplar->timestamp_ms);
        json_raw(data, TEXT("}"));
    }
    json_raw(data, TEXT("]}"));
}

static enum error_code run_exemplars(struct api_lookup *lookup, struct byte_buffer *data,
                                     struct error *error)
{
    struct promql_query query = {0};
    struct promql_options options = {frontend_options(lookup->api->options.frontend)->features};
    enum error_code code = promql_parse(lookup->name, &options, lookup->arena, &query, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "invalid parameter \"query\"");
    const struct selector_node **selectors;
    size_t selector_count;
    if (!promql_selectors(query.root, lookup->arena, &selectors, &selector_count))
        code = api_memory_error(error);
    bool first = true;
    json_raw(data, TEXT("["));
    for (size_t s = 0; code == ERROR_NONE && s < selector_count; s++) {
        struct series_request request = request_of(lookup, 0, SERIES_NEED_ALL);
        struct series_exemplars *series;
        size_t count;
        request.matchers = selectors[s]->matchers;
        request.matcher_count = selectors[s]->matcher_count;
        code = series_source_exemplars(frontend_source(lookup->api->options.frontend), &request,
                                       &series, &count, error);
        for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
            if (!first)
                json_raw(data, TEXT(","));
            first = false;
            append_exemplars(data, &series[i]);
        }
    }
    json_raw(data, TEXT("]"));
    promql_query_clear(&query);
    if (code == ERROR_NONE && data->failed)
        code = api_memory_error(error);
    return code;
}

void api_query_exemplars(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text query;
    if (!api_parameters(request, &parameters))
        return;
    if (!http_parameters_find(parameters, TEXT("query"), &query) || query.size == 0) {
        api_respond_error(request, API_BAD_DATA,
                          "invalid parameter \"query\": unknown position: parse error: no "
                          "expression found in input");
        return;
    }
    api_lookup_start(request, query, run_exemplars);
}
