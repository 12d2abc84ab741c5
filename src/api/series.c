/* series, labels, label values: look-ups on a worker. */
#include <stdlib.h>

#include "base/text_set.h"
#include "promql/selectors.h"

#include "api_private.h"

/* --- Parameters ------------------------------------------------------------------------------- */

static enum error_code read_selectors(struct api_lookup *lookup,
                                      const struct http_parameters *parameters, struct error *error)
{
    enum error_code code =
        api_selectors_parse(parameters, TEXT("match[]"), lookup->arena, &lookup->selectors, error);
    for (size_t i = 0; code == ERROR_NONE && i < lookup->selectors.count; i++)
        if (!promql_refuses_empty(&lookup->selectors.queries[i].root->selector))
            code = error_set(error, ERROR_INVALID,
                             "match[] must contain at least one non-empty matcher");
    return code;
}

static enum error_code read_texts(struct api_lookup *lookup,
                                  const struct http_parameters *parameters, struct error *error)
{
    enum error_code code = api_limit(parameters, TEXT("limit"), &lookup->limit, error);
    if (code == ERROR_NONE)
        code = api_lookup_read_times(lookup, parameters, error);
    return code == ERROR_NONE ? read_selectors(lookup, parameters, error) : code;
}

static enum error_code read_series(struct api_lookup *lookup,
                                   const struct http_parameters *parameters, struct error *error)
{
    struct text selector;
    if (!http_parameters_find(parameters, TEXT("match[]"), &selector))
        return error_set(error, ERROR_INVALID, "no match[] parameter provided");
    enum error_code code = api_limit(parameters, TEXT("limit"), &lookup->limit, error);
    if (code == ERROR_NONE)
        code = api_lookup_read_times(lookup, parameters, error);
    if (code != ERROR_NONE)
        return code;
    code = read_selectors(lookup, parameters, error);
    /* Prometheus names the parameter here, not for labels and values. */
    return code == ERROR_INVALID ? error_wrap(error, "invalid parameter \"match[]\"") : code;
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
        if (i == lookup->limit) {
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
    if (lookup->end_ms < lookup->start_ms)
        count = 0; /* no time at all */
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct series_request request = api_lookup_request(lookup, i, SERIES_NEED_LABELS);
        code = lookup->name.size == 0
                   ? series_source_label_names(source, &request, &found, error)
                   : series_source_label_values(source, &request, lookup->name, &found, error);
    }
    return code == ERROR_NONE ? append_texts(lookup, &found, data, error) : code;
}

static const struct api_lookup_kind TEXTS = {read_texts, run_texts};

void api_labels(struct http_request *request)
{
    api_lookup_start(request, (struct text){0}, &TEXTS);
}

void api_label_values(struct http_request *request)
{
    struct text escaped = http_request_segment(request, TEXT("name"));
    struct text name = api_unescape_name(escaped, http_request_arena(request));
    if (name.size == 0 || !text_is_utf8(name)) {
        struct error error;
        error_set(&error, ERROR_INVALID, "invalid label name: \"%.*s\"", TEXT_ARGUMENTS(escaped));
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    api_lookup_start(request, name, &TEXTS);
}

/* --- Series ----------------------------------------------------------------------------------- */

/* What the selectors found; the labels are the sets'. */
struct found_series {
    struct series_set **sets; /* [set_count] */
    size_t set_count;
    struct labels *labels; /* [count] */
    size_t count;
};

static int compare_series(const void *left, const void *right)
{
    return labels_compare(*(const struct labels *)left, *(const struct labels *)right);
}

static enum error_code find_series(struct api_lookup *lookup, struct found_series *found,
                                   struct error *error)
{
    struct series_source *source = frontend_source(lookup->api->options.frontend);
    size_t total = 0;
    found->sets = arena_array(lookup->arena, lookup->selectors.count, sizeof *found->sets);
    if (found->sets == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < lookup->selectors.count; i++) {
        struct series_request request = api_lookup_request(lookup, i, SERIES_NEED_LABELS);
        enum error_code code = series_source_select(source, &request, &found->sets[i], error);
        if (code != ERROR_NONE)
            return code;
        found->set_count++;
        total += found->sets[i]->count;
    }
    found->labels = arena_array(lookup->arena, total, sizeof *found->labels);
    if (found->labels == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < found->set_count; i++)
        for (size_t s = 0; s < found->sets[i]->count; s++)
            found->labels[found->count++] = series_set_labels(found->sets[i], s);
    return ERROR_NONE;
}

/* By labels, each once. */
static void append_series(struct api_lookup *lookup, struct found_series *found,
                          struct byte_buffer *data)
{
    uint64_t shown = 0;
    if (found->count > 0)
        qsort(found->labels, found->count, sizeof *found->labels, compare_series);
    for (size_t i = 0; i < found->count; i++) {
        if (i > 0 && compare_series(&found->labels[i - 1], &found->labels[i]) == 0)
            continue;
        if (shown == lookup->limit) {
            lookup->truncated = true;
            return;
        }
        if (shown++ > 0)
            json_raw(data, TEXT(","));
        json_labels(data, found->labels[i]);
    }
}

static enum error_code run_series(struct api_lookup *lookup, struct byte_buffer *data,
                                  struct error *error)
{
    struct found_series found = {0};
    enum error_code code = ERROR_NONE;
    json_raw(data, TEXT("["));
    if (lookup->end_ms >= lookup->start_ms)
        code = find_series(lookup, &found, error);
    if (code == ERROR_NONE)
        append_series(lookup, &found, data);
    for (size_t i = 0; i < found.set_count; i++)
        series_set_close(found.sets[i]);
    json_raw(data, TEXT("]"));
    if (code == ERROR_NONE && data->failed)
        code = api_memory_error(error);
    return code;
}

void api_series(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {read_series, run_series};
    api_lookup_start(request, (struct text){0}, &KIND);
}
