/* Series of this cluster and all others, as one source. */
#include "gather.h"
#include "list_set.h"
#include "promql/labelled_source.h"
#include "promql/record_format.h"
#include "promql/union_source.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

static struct federation_read *read_of(struct series_source *self)
{
    return ((struct federation_read_source *)self)->read;
}

static struct selection selection_of(const struct series_request *request, enum selection_kind kind,
                                     struct text name)
{
    return (struct selection){
        .kind = kind,
        .name = name,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
        .series_limit = request->series_limit,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
    };
}

/* In the request's arena, since sets need it as long as they live. */
static struct series_source *own_source(struct federation_read *read,
                                        const struct series_request *request)
{
    struct labelled_source *own = arena_array(request->arena, 1, sizeof *own);
    return own == NULL ? NULL
                       : labelled_source_init(own, read->source, read->federation->own_labels);
}

/* --- Series ---------------------------------------------------------------------------------- */

/* The sets of others, behind this cluster's. */
static enum error_code take_sets(struct gather *gather, const struct series_request *request,
                                 struct series_set **sets, size_t *count, struct error *error)
{
    for (;;) {
        size_t cluster;
        struct text body;
        enum error_code code = gather_next(gather, &cluster, &body, error);
        if (code != ERROR_NONE || cluster == SIZE_MAX)
            return code;
        code = list_set_create(request, gather->transfers[cluster], body, &sets[*count], error);
        if (code == ERROR_NONE) {
            gather->transfers[cluster] = NULL;
            ++*count;
        } else {
            code = code == ERROR_OUT_OF_MEMORY ? code : gather_refuse(gather, cluster, error);
        }
        if (code != ERROR_NONE)
            return code;
    }
}

static enum error_code source_select(struct series_source *self,
                                     const struct series_request *request,
                                     struct series_set **set_out, struct error *error)
{
    struct federation_read *read = read_of(self);
    struct selection selection = selection_of(request, SELECTION_SERIES, (struct text){0});
    size_t count = 0;
    struct series_set **sets = arena_array(
        request->arena, read->federation->options.cluster_count + 1, sizeof(struct series_set *));
    struct series_source *own = own_source(read, request);
    struct gather gather;
    if (sets == NULL || own == NULL)
        return out_of_memory(error);
    enum error_code code = gather_begin(&gather, read, &selection, request->deadline_ns, error);
    if (code != ERROR_NONE)
        return code;
    code = series_source_select(own, request, &sets[0], error);
    if (code == ERROR_NONE) {
        count = 1;
        code = take_sets(&gather, request, sets, &count, error);
    }
    gather_end(&gather);
    struct series_set *all = NULL;
    if (code == ERROR_NONE) {
        all = union_set_create(request->arena, sets, count, request->series_limit);
        if (all == NULL)
            code = out_of_memory(error);
    }
    if (code != ERROR_NONE) {
        for (size_t i = 0; i < count; i++)
            series_set_close(sets[i]);
        return code;
    }
    *set_out = all;
    return ERROR_NONE;
}

/* --- Records --------------------------------------------------------------------------------- */

/* What comes of a payload. CORRUPT is the cluster's failure. */
typedef enum error_code payload_take(void *context, const uint8_t *bytes, size_t size,
                                     struct error *error);

static enum error_code take_body(struct text body, payload_take *take, void *context,
                                 struct error *error)
{
    struct selection_answer answer;
    enum error_code code =
        selection_answer_open((const uint8_t *)body.data, body.size, &answer, error);
    const uint8_t *payload;
    size_t size;
    while (code == ERROR_NONE && selection_answer_next(&answer, &payload, &size))
        code = take(context, payload, size, error);
    return code;
}

static enum error_code take_all(struct gather *gather, payload_take *take, void *context,
                                struct error *error)
{
    for (;;) {
        size_t cluster;
        struct text body;
        enum error_code code = gather_next(gather, &cluster, &body, error);
        if (code != ERROR_NONE || cluster == SIZE_MAX)
            return code;
        code = take_body(body, take, context, error);
        if (code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED)
            code = gather_refuse(gather, cluster, error);
        if (code != ERROR_NONE)
            return code;
    }
}

static enum error_code take_texts(void *context, const uint8_t *bytes, size_t size,
                                  struct error *error)
{
    struct text_set *texts = context;
    struct byte_reader reader = byte_reader_over(bytes, size);
    struct text text;
    while (record_read_text(&reader, &text))
        if (text_set_add(texts, text) == TEXT_SET_OUT_OF_MEMORY)
            return out_of_memory(error);
    return reader.failed ? error_set(error, ERROR_CORRUPT, "its texts") : ERROR_NONE;
}

static enum error_code source_label_names(struct series_source *self,
                                          const struct series_request *request,
                                          struct text_set *names, struct error *error)
{
    struct federation_read *read = read_of(self);
    struct selection selection = selection_of(request, SELECTION_LABEL_NAMES, (struct text){0});
    struct series_source *own = own_source(read, request);
    struct gather gather;
    if (own == NULL)
        return out_of_memory(error);
    enum error_code code = gather_begin(&gather, read, &selection, request->deadline_ns, error);
    if (code != ERROR_NONE)
        return code;
    code = series_source_label_names(own, request, names, error);
    if (code == ERROR_NONE)
        code = take_all(&gather, take_texts, names, error);
    gather_end(&gather);
    return code;
}

static enum error_code source_label_values(struct series_source *self,
                                           const struct series_request *request, struct text name,
                                           struct text_set *values, struct error *error)
{
    struct federation_read *read = read_of(self);
    struct selection selection = selection_of(request, SELECTION_LABEL_VALUES, name);
    struct series_source *own = own_source(read, request);
    struct gather gather;
    if (own == NULL)
        return out_of_memory(error);
    enum error_code code = gather_begin(&gather, read, &selection, request->deadline_ns, error);
    if (code != ERROR_NONE)
        return code;
    code = series_source_label_values(own, request, name, values, error);
    if (code == ERROR_NONE)
        code = take_all(&gather, take_texts, values, error);
    gather_end(&gather);
    return code;
}

/* --- Exemplars ------------------------------------------------------------------------------- */

struct exemplars {
    struct arena *arena;
    struct series_exemplars *series; /* [count] */
    size_t count;
    size_t capacity;
};

static enum error_code take_exemplars(void *context, const uint8_t *bytes, size_t size,
                                      struct error *error)
{
    struct exemplars *all = context;
    struct byte_reader reader = byte_reader_over(bytes, size);
    while (byte_reader_left(&reader) > 0) {
        if (all->count == all->capacity) {
            size_t capacity = 2 * all->capacity + 16;
            struct series_exemplars *grown =
                arena_grow(all->arena, all->series, all->capacity, capacity, sizeof *grown);
            if (grown == NULL)
                return out_of_memory(error);
            all->series = grown;
            all->capacity = capacity;
        }
        struct series_exemplars *series = &all->series[all->count];
        enum error_code code = record_read_exemplars(&reader, all->arena, series, error);
        if (code != ERROR_NONE)
            return code;
        /* The transfer ends before the request does. */
        struct exemplar *copies = arena_array(all->arena, series->count + 1, sizeof *copies);
        series->labels = labels_copy(all->arena, series->labels);
        bool is_copied = copies != NULL && series->labels.bytes != NULL;
        for (size_t i = 0; is_copied && i < series->count; i++) {
            copies[i] = series->exemplars[i];
            copies[i].labels = labels_copy(all->arena, copies[i].labels);
            is_copied = copies[i].labels.size == 0 || copies[i].labels.bytes != NULL;
        }
        if (!is_copied)
            return out_of_memory(error);
        series->exemplars = copies;
        all->count++;
    }
    return ERROR_NONE;
}

static enum error_code source_exemplars(struct series_source *self,
                                        const struct series_request *request,
                                        struct series_exemplars **series_out, size_t *count_out,
                                        struct error *error)
{
    struct federation_read *read = read_of(self);
    struct selection selection = selection_of(request, SELECTION_EXEMPLARS, (struct text){0});
    struct series_source *own = own_source(read, request);
    struct exemplars all = {.arena = request->arena};
    struct gather gather;
    if (own == NULL)
        return out_of_memory(error);
    enum error_code code = gather_begin(&gather, read, &selection, request->deadline_ns, error);
    if (code != ERROR_NONE)
        return code;
    code = series_source_exemplars(own, request, &all.series, &all.count, error);
    all.capacity = all.count;
    if (code == ERROR_NONE)
        code = take_all(&gather, take_exemplars, &all, error);
    gather_end(&gather);
    if (code != ERROR_NONE)
        return code;
    *series_out = all.series;
    *count_out = all.count;
    return ERROR_NONE;
}

const struct series_source_operations FEDERATION_SOURCE_OPERATIONS = {
    .select = source_select,
    .label_names = source_label_names,
    .label_values = source_label_values,
    .exemplars = source_exemplars,
};
