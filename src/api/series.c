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

static void append_text(struct api_lookup *lookup, size_t item, struct byte_buffer *piece)
{
    json_string(piece, ((const struct text *)lookup->items)[item]);
}

static enum error_code run_texts(struct api_lookup *lookup, struct byte_buffer *data,
                                 struct error *error)
{
    const struct text *items;
    enum error_code code = api_lookup_texts(lookup, &items, &lookup->item_count, error);
    (void)data;
    lookup->items = items;
    return code;
}

static const struct api_lookup_kind TEXTS = {
    .name = "labels",
    .read = read_texts,
    .run = run_texts,
    .is_repeatable = true,
    .append = append_text,
};

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

static int compare_series(const void *left, const void *right, void *context)
{
    (void)context;
    return labels_compare(*(const struct labels *)left, *(const struct labels *)right);
}

/* A heap with the highest first; the labels at `at` may be too low for their place. */
static void sift_down(struct labels *heap, size_t count, size_t at)
{
    struct labels moved = heap[at];
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && labels_compare(heap[child], heap[child + 1]) < 0)
            child++;
        if (labels_compare(heap[child], moved) <= 0)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* The `wanted` lowest come to the front, in no order: most of the others cost one comparison. */
static void select_lowest(struct labels *labels, size_t count, size_t wanted)
{
    for (size_t i = wanted / 2; i > 0; i--)
        sift_down(labels, wanted, i - 1);
    for (size_t i = wanted; i < count; i++) {
        if (labels_compare(labels[i], labels[0]) >= 0)
            continue;
        labels[0] = labels[i];
        sift_down(labels, wanted, 0);
    }
}

/* By labels, each once. */
static enum error_code sort_series(struct api_lookup *lookup, struct labels *labels, size_t *count,
                                   struct error *error)
{
    size_t kept = 0;
    enum error_code code =
        api_lookup_sort(lookup, labels, *count, sizeof *labels, compare_series, error);
    for (size_t i = 0; i < *count; i++)
        if (kept == 0 || !labels_equal(labels[kept - 1], labels[i]))
            labels[kept++] = labels[i];
    *count = kept;
    return code;
}

static enum error_code run_series(struct api_lookup *lookup, struct byte_buffer *data,
                                  struct error *error)
{
    struct series_source *source = lookup->source;
    size_t total = 0, count = 0;
    (void)data;
    if (lookup->end_ms < lookup->start_ms)
        return ERROR_NONE; /* no time at all */
    lookup->sets = arena_array(lookup->arena, lookup->selectors.count, sizeof *lookup->sets);
    if (lookup->sets == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < lookup->selectors.count; i++) {
        struct series_request request = api_lookup_request(lookup, i, SERIES_NEED_LABELS);
        enum error_code code = series_source_select(source, &request, &lookup->sets[i], error);
        if (code != ERROR_NONE)
            return code;
        lookup->set_count++;
        total += lookup->sets[i]->count;
    }
    struct labels *labels = arena_array(lookup->arena, total, sizeof *labels);
    if (labels == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < lookup->set_count; i++) {
        enum error_code code = api_lookup_labels(lookup, lookup->sets[i], labels + count, error);
        if (code != ERROR_NONE)
            return code;
        count += lookup->sets[i]->count;
    }
    /* One more than the limit tells that there are more. A single set has each series once. */
    if (lookup->set_count == 1 && count > 0 && lookup->limit < count - 1) {
        select_lowest(labels, count, (size_t)lookup->limit + 1);
        count = (size_t)lookup->limit + 1;
    }
    lookup->items = labels;
    lookup->item_count = count;
    return sort_series(lookup, labels, &lookup->item_count, error);
}

static void append_series(struct api_lookup *lookup, size_t item, struct byte_buffer *piece)
{
    json_labels(piece, ((const struct labels *)lookup->items)[item]);
}

void api_series(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "series",
        .read = read_series,
        .run = run_series,
        .is_repeatable = true,
        .append = append_series,
    };
    api_lookup_start(request, (struct text){0}, &KIND);
}
