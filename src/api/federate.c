/*
 * federate: the latest sample of every series that a selector finds, for another Prometheus to
 * scrape.
 */
#include <stdlib.h>

#include "model/sample.h"
#include "wire/exposition.h"

#include "api_private.h"

struct latest {
    struct labels labels;
    int64_t timestamp_ms;
    double value;
    const struct histogram *histogram; /* in the arena; NULL: the value */
};

static enum error_code read(struct api_lookup *lookup, const struct http_parameters *parameters,
                            struct error *error)
{
    struct text accept;
    http_request_header(lookup->request, TEXT("Accept"), &accept);
    struct exposition *exposition = calloc(1, sizeof *exposition);
    if (exposition == NULL)
        return api_memory_error(error);
    exposition->form = exposition_negotiate(accept);
    lookup->state = exposition;
    lookup->content_type = exposition_content_type(exposition->form);
    lookup->end_ms = clock_now_ms(lookup->api->options.clock);
    lookup->start_ms =
        lookup->end_ms - frontend_options(lookup->api->options.frontend)->lookback_ms;
    return api_selectors_parse(parameters, TEXT("match[]"), lookup->arena, &lookup->selectors,
                               error);
}

/* --- The latest samples ----------------------------------------------------------------------- */

/* Nothing is taken where there is none, or the series has ended. */
static enum error_code take_latest(struct api_lookup *lookup, const struct sample_columns *columns,
                                   struct latest *latest, bool *taken_out, struct error *error)
{
    *taken_out = false;
    if (columns->count == 0)
        return ERROR_NONE;
    size_t last = columns->count - 1;
    latest->timestamp_ms = columns->timestamps_ms[last];
    latest->value = columns->values[last];
    latest->histogram = NULL;
    const struct histogram *histogram =
        columns->histograms == NULL ? NULL : columns->histograms[last];
    if (value_is_stale(histogram == NULL ? latest->value : histogram->sum))
        return ERROR_NONE;
    if (histogram != NULL) {
        struct histogram *copy = arena_array(lookup->arena, 1, sizeof *copy);
        if (copy == NULL || !histogram_copy(lookup->arena, histogram, copy))
            return api_memory_error(error);
        latest->histogram = copy;
    }
    *taken_out = true;
    return ERROR_NONE;
}

static enum error_code read_set(struct api_lookup *lookup, struct series_set *set,
                                struct latest *found, size_t *count, struct error *error)
{
    struct series_reader *reader = NULL;
    struct labels *labels = arena_array(lookup->arena, set->count, sizeof *labels);
    enum error_code code =
        labels == NULL ? api_memory_error(error) : api_lookup_labels(lookup, set, labels, error);
    if (code == ERROR_NONE)
        code = series_reader_open(set, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->count; i++) {
        struct sample_columns columns;
        struct latest *latest = &found[*count];
        bool taken = false;
        if (atomic_load_explicit(&lookup->job.canceled, memory_order_relaxed))
            code = error_set(error, ERROR_CANCELED, "the client has left");
        if (code == ERROR_NONE)
            code = series_reader_read(reader, i, &columns, error);
        if (code == ERROR_NONE)
            code = take_latest(lookup, &columns, latest, &taken, error);
        latest->labels = labels[i];
        *count += taken;
    }
    series_reader_close(reader);
    return code;
}

/* Families one after the other; their series in order. */
static int compare(const void *left_item, const void *right_item, void *context)
{
    (void)context;
    const struct latest *left = left_item, *right = right_item;
    int order = text_compare(labels_get(left->labels, LABEL_METRIC_NAME),
                             labels_get(right->labels, LABEL_METRIC_NAME));
    return order != 0 ? order : labels_compare(left->labels, right->labels);
}

static enum error_code run(struct api_lookup *lookup, struct byte_buffer *data, struct error *error)
{
    struct series_source *source = lookup->source;
    size_t total = 0, count = 0, kept = 0;
    enum error_code code = ERROR_NONE;
    (void)data;
    lookup->sets = arena_array(lookup->arena, lookup->selectors.count + 1, sizeof *lookup->sets);
    if (lookup->sets == NULL)
        return api_memory_error(error);
    for (size_t i = 0; i < lookup->selectors.count; i++) {
        struct series_request request = api_lookup_request(lookup, i, SERIES_NEED_LATEST);
        if (request.matcher_count == 0)
            continue; /* as Prometheus: {} asks for nothing */
        struct series_set **set = &lookup->sets[lookup->set_count];
        code = series_source_select(source, &request, set, error);
        if (code != ERROR_NONE)
            return code;
        lookup->set_count++;
        total += (*set)->count;
    }
    struct latest *found = arena_array(lookup->arena, total + 1, sizeof *found);
    if (found == NULL)
        return api_memory_error(error);
    for (size_t i = 0; code == ERROR_NONE && i < lookup->set_count; i++)
        code = read_set(lookup, lookup->sets[i], found, &count, error);
    if (code == ERROR_NONE)
        code = api_lookup_sort(lookup, found, count, sizeof *found, compare, error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) /* two selectors may find the same */
        if (kept == 0 || !labels_equal(found[kept - 1].labels, found[i].labels))
            found[kept++] = found[i];
    lookup->items = found;
    lookup->item_count = kept;
    return code;
}

/* --- The answer ------------------------------------------------------------------------------- */

static void append(struct api_lookup *lookup, size_t item, struct byte_buffer *piece)
{
    const struct latest *latest = (const struct latest *)lookup->items + item;
    struct exposition_sample sample = {
        .labels = latest->labels,
        .default_label = TEXT("instance"), /* so that the scraper does not put its own there */
        .timestamp_ms = latest->timestamp_ms,
        .value = latest->value,
        .histogram = latest->histogram,
    };
    exposition_append(lookup->state, &sample, piece);
}

static void finish(struct api_lookup *lookup, struct byte_buffer *piece)
{
    exposition_finish(lookup->state, piece);
}

static void clear(struct api_lookup *lookup)
{
    if (lookup->state != NULL)
        exposition_clear(lookup->state);
    free(lookup->state);
}

void api_federate(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "federate",
        .read = read,
        .run = run,
        .append = append,
        .is_plain = true,
        .has_plain_errors = true,
        .finish = finish,
        .clear = clear,
    };
    api_lookup_start(request, (struct text){0}, &KIND);
}
