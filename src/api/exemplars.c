/* query_exemplars: the exemplars of every series that an expression selects. */
#include "base/text_set.h"
#include "promql/selectors.h"

#include "api_private.h"

static enum error_code read_exemplars(struct api_lookup *lookup,
                                      const struct http_parameters *parameters, struct error *error)
{
    struct promql_options options = {frontend_options(lookup->api->options.frontend)->features};
    struct text text;
    enum error_code code = api_lookup_read_times(lookup, parameters, error);
    if (code == ERROR_NONE && lookup->end_ms < lookup->start_ms)
        code = error_set(error, ERROR_INVALID, "end timestamp must not be before start timestamp");
    if (code != ERROR_NONE)
        return code;
    http_parameters_find(parameters, TEXT("query"), &text);
    return promql_parse(text, &options, lookup->arena, &lookup->query, error);
}

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

/* A series that two selectors find is shown once. */
static enum error_code append_found(struct byte_buffer *data, struct text_set *seen,
                                    const struct series_exemplars *found, size_t count,
                                    struct error *error)
{
    for (size_t i = 0; i < count; i++) {
        struct text key = {(const char *)found[i].labels.bytes, found[i].labels.size};
        enum text_set_outcome outcome = text_set_add(seen, key);
        if (outcome == TEXT_SET_OUT_OF_MEMORY)
            return api_memory_error(error);
        if (outcome != TEXT_SET_NEW)
            continue;
        if (seen->count > 1)
            json_raw(data, TEXT(","));
        append_exemplars(data, &found[i]);
    }
    return ERROR_NONE;
}

static enum error_code run_exemplars(struct api_lookup *lookup, struct byte_buffer *data,
                                     struct error *error)
{
    const struct selector_node **selectors;
    size_t selector_count;
    struct text_set seen = {.arena = lookup->arena};
    enum error_code code = ERROR_NONE;
    if (!promql_selectors(lookup->query.root, lookup->arena, &selectors, &selector_count))
        return api_memory_error(error);
    if (selector_count == 0)
        return ERROR_NONE; /* no data: 204 */
    json_raw(data, TEXT("["));
    for (size_t s = 0; code == ERROR_NONE && s < selector_count; s++) {
        struct series_request request = api_lookup_request(lookup, 0, SERIES_NEED_ALL);
        struct series_exemplars *found;
        size_t count;
        request.matchers = selectors[s]->matchers;
        request.matcher_count = selectors[s]->matcher_count;
        code = series_source_exemplars(lookup->source, &request, &found, &count, error);
        if (code == ERROR_NONE)
            code = append_found(data, &seen, found, count, error);
    }
    json_raw(data, TEXT("]"));
    if (code == ERROR_NONE && data->failed)
        code = api_memory_error(error);
    return code;
}

void api_query_exemplars(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "query_exemplars",
        .read = read_exemplars,
        .run = run_exemplars,
    };
    api_lookup_start(request, (struct text){0}, &KIND);
}
