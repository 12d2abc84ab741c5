/*
 * Look-ups: what the endpoints share that read series, labels, exemplars or metadata on a worker.
 *
 * What was found is in the look-up's arena, charged to the memory of queries. A list becomes JSON
 * piece by piece, so that a long one never is in memory as text.
 */
#include <stdlib.h>

#include "api_private.h"

/* --- The answer: on a worker ------------------------------------------------------------------ */

/* The same of an answer that is no JSON. */
static bool append_plain_piece(struct api_lookup *lookup, struct byte_buffer *piece,
                               size_t piece_bytes)
{
    while (lookup->next_item < lookup->item_count && piece->size < piece_bytes &&
           lookup->failure.code == ERROR_NONE)
        lookup->kind->append(lookup, lookup->next_item++, piece);
    if (lookup->next_item < lookup->item_count && lookup->failure.code == ERROR_NONE)
        return false;
    if (lookup->kind->finish != NULL)
        lookup->kind->finish(lookup, piece);
    return true;
}

/* True when it is complete. */
static bool append_piece(struct api_lookup *lookup, struct byte_buffer *piece, size_t piece_bytes)
{
    if (lookup->kind->is_plain)
        return append_plain_piece(lookup, piece, piece_bytes);
    size_t count = lookup->item_count;
    size_t shown = lookup->limit < count ? (size_t)lookup->limit : count;
    if (lookup->kind->append != NULL) {
        if (lookup->next_item == 0)
            json_raw(piece, TEXT("["));
        while (lookup->next_item < shown && piece->size < piece_bytes) {
            if (lookup->next_item > 0)
                json_raw(piece, TEXT(","));
            lookup->kind->append(lookup, lookup->next_item++, piece);
        }
        if (lookup->next_item < shown)
            return false;
        json_raw(piece, TEXT("]"));
    }
    const char *warning = shown < count ? "results truncated due to limit" : lookup->warning;
    bool is_first = api_reading_warnings(&lookup->reading, true, piece);
    if (warning != NULL) {
        json_raw(piece, is_first ? TEXT(",\"warnings\":[") : TEXT(","));
        json_string(piece, text_of(warning));
        is_first = false;
    }
    if (!is_first)
        json_raw(piece, TEXT("]"));
    json_raw(piece, TEXT("}"));
    return true;
}

static void lookup_run(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    struct byte_buffer *answer = &lookup->answer;
    if (!lookup->kind->is_plain)
        json_raw(answer, TEXT("{\"status\":\"success\",\"data\":"));
    size_t begun_bytes = answer->size;
    if (lookup->kind->run(lookup, answer, &job->error) != ERROR_NONE) {
        if (job->error.code == ERROR_OUT_OF_MEMORY)
            (void)memory_budget_error(&lookup->memory, &job->error);
        return;
    }
    lookup->is_empty = lookup->kind->append == NULL && answer->size == begun_bytes;
    lookup->is_complete = append_piece(lookup, answer, API_FIRST_PIECE_BYTES);
    if (lookup->failure.code != ERROR_NONE)
        job->error = lookup->failure;
    else if (answer->failed)
        (void)api_memory_error(&job->error); /* its code is in the error */
}

static enum http_production produce(struct http_producer *producer, struct byte_buffer *piece)
{
    struct api_lookup *lookup =
        (struct api_lookup *)((char *)producer - offsetof(struct api_lookup, producer));
    if (lookup->answer.size > 0) {
        byte_buffer_append(piece, lookup->answer.bytes, lookup->answer.size);
        byte_buffer_clear(&lookup->answer);
    } else {
        lookup->is_complete = append_piece(lookup, piece, HTTP_PIECE_BYTES);
    }
    if (piece->failed || lookup->failure.code != ERROR_NONE)
        return HTTP_PRODUCTION_BROKEN;
    return lookup->is_complete ? HTTP_PRODUCTION_END : HTTP_PRODUCTION_MORE;
}

/* --- Life: on the loop ------------------------------------------------------------------------ */

static void lookup_destroy(struct api_lookup *lookup)
{
    if (lookup->kind->clear != NULL)
        lookup->kind->clear(lookup);
    promql_query_clear(&lookup->query);
    api_selectors_clear(&lookup->selectors);
    for (size_t i = 0; i < lookup->set_count; i++)
        series_set_close(lookup->sets[i]);
    api_reading_close(&lookup->reading);
    byte_buffer_clear(&lookup->answer);
    arena_destroy(lookup->arena);
    free(lookup);
}

static void produced(struct http_producer *producer)
{
    lookup_destroy((struct api_lookup *)((char *)producer - offsetof(struct api_lookup, producer)));
}

static void respond_error(const struct api_lookup_kind *kind, struct http_request *request,
                          const struct error *error, enum api_error invalid_kind)
{
    if (kind->has_plain_errors)
        api_respond_plain_error(request, error, invalid_kind);
    else
        api_respond_code(request, error, invalid_kind);
}

static struct http_response response_of(const struct api_lookup *lookup, struct http_header *header)
{
    *header = (struct http_header){TEXT("Content-Encoding"), lookup->content_encoding};
    return (struct http_response){
        .status = 200,
        .content_type = lookup->content_type,
        .headers = header,
        .header_count = lookup->content_encoding.size > 0,
    };
}

static void respond_whole(struct api_lookup *lookup)
{
    struct http_header header;
    struct http_response response = response_of(lookup, &header);
    response.body = (struct text){(char *)lookup->answer.bytes, lookup->answer.size};
    response.body_life = HTTP_BODY_OWNED;
    lookup->answer = (struct byte_buffer){0};
    http_respond(lookup->request, &response);
}

static void start(struct http_request *request, struct text name,
                  const struct api_lookup_kind *kind, bool is_repeatable);

static void lookup_done(struct frontend_job *job)
{
    struct api_lookup *lookup = (struct api_lookup *)job;
    struct http_request *request = lookup->request;
    http_request_on_gone(request, NULL, NULL);
    if (job->error.code == ERROR_WOULD_WAIT) {
        struct text name = lookup->name;
        const struct api_lookup_kind *kind = lookup->kind;
        lookup_destroy(lookup);
        start(request, name, kind, false);
        return;
    }
    if (job->error.code == ERROR_NONE && !lookup->is_complete) {
        struct http_header header;
        struct http_response response = response_of(lookup, &header);
        lookup->producer =
            (struct http_producer){.produce = produce, .finished = produced, .class = JOB_QUERY};
        http_respond_produced(request, &response, &lookup->producer);
        return;
    }
    if (job->error.code != ERROR_NONE)
        respond_error(lookup->kind, request, &job->error,
                      lookup->kind->has_plain_errors ? API_BAD_DATA : API_EXECUTION);
    else if (lookup->is_empty)
        api_respond_status(request, 204);
    else
        respond_whole(lookup);
    lookup_destroy(lookup);
}

static void lookup_gone(void *context)
{
    struct api_lookup *lookup = context;
    frontend_withdraw(&lookup->job);
}

/* What a look-up is about: its first selector or query, if it has one. */
static struct text subject_of(const struct http_parameters *parameters)
{
    struct text text;
    if (!http_parameters_find(parameters, TEXT("match[]"), &text))
        http_parameters_find(parameters, TEXT("query"), &text);
    return text;
}

static void start(struct http_request *request, struct text name,
                  const struct api_lookup_kind *kind, bool is_repeatable)
{
    const struct http_parameters *parameters;
    struct text tenant;
    struct error error;
    struct api *api = api_of(request);
    if (!api_tenant(request, &tenant) || !api_parameters(request, &parameters))
        return;
    struct api_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup != NULL) {
        memory_budget_init(&lookup->memory,
                           frontend_options(api->options.frontend)->memory_max_bytes,
                           frontend_memory(api->options.frontend));
        lookup->arena = arena_create_charged(&lookup->memory.account);
    }
    if (lookup == NULL || lookup->arena == NULL) {
        free(lookup);
        api_respond_error(request, API_UNAVAILABLE, "out of memory");
        return;
    }
    lookup->job = (struct frontend_job){
        .run = lookup_run,
        .done = lookup_done,
        .subject = {.tenant = tenant,
                    .kind = kind->name,
                    .text = subject_of(parameters),
                    .label = name},
        .memory = &lookup->memory,
    };
    lookup->request = request;
    lookup->api = api;
    lookup->tenant = tenant; /* in the request, which outlives the look-up */
    lookup->name = name;
    lookup->limit = API_NO_LIMIT;
    lookup->kind = kind;
    lookup->content_type = TEXT("application/json");
    enum error_code code = api_reading_open(request, parameters, tenant, &lookup->job.canceled,
                                            &lookup->reading, &error);
    lookup->source = lookup->reading.source;
    if (code == ERROR_NONE)
        code = kind->read(lookup, parameters, &error);
    /* Only the first selector is in the subject, by which the frontend knows what was short. */
    lookup->job.is_repeatable = is_repeatable && lookup->selectors.count <= 1;
    lookup->job.subject.start_ms = lookup->start_ms;
    lookup->job.subject.end_ms = lookup->end_ms;
    if (code == ERROR_NONE)
        code = frontend_submit(api->options.frontend, http_request_scheduler(request), &lookup->job,
                               &error);
    if (code == ERROR_NONE) {
        http_request_on_gone(request, lookup_gone, lookup);
    } else {
        lookup_destroy(lookup);
        respond_error(kind, request, &error, API_BAD_DATA);
    }
}

void api_lookup_start(struct http_request *request, struct text name,
                      const struct api_lookup_kind *kind)
{
    start(request, name, kind, kind->is_repeatable);
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
    request.canceled = &lookup->job.canceled;
    request.deadline_ns = lookup->job.deadline_ns;
    return request;
}

static bool client_has_left(void *context)
{
    const struct api_lookup *lookup = context;
    return atomic_load_explicit(&lookup->job.canceled, memory_order_relaxed);
}

enum error_code api_lookup_sort(struct api_lookup *lookup, void *items, size_t count,
                                size_t item_bytes, item_compare *compare, struct error *error)
{
    struct parallel_sort sort = {
        .pool = frontend_options(lookup->api->options.frontend)->pool,
        .compare = compare,
        .is_over = client_has_left,
        .is_over_context = lookup,
        .account = &lookup->memory.account,
    };
    switch (parallel_sort(&sort, items, count, item_bytes)) {
    case SORT_DONE:
        return ERROR_NONE;
    case SORT_OUT_OF_MEMORY:
        return api_memory_error(error);
    default:
        return error_set(error, ERROR_CANCELED, "the client has left");
    }
}

enum error_code api_lookup_labels(struct api_lookup *lookup, struct series_set *set,
                                  struct labels *labels_out, struct error *error)
{
    enum { BATCH_SERIES = 8192 };
    enum error_code code = ERROR_NONE;
    for (size_t at = 0; code == ERROR_NONE && at < set->count; at += BATCH_SERIES) {
        size_t count = set->count - at < BATCH_SERIES ? set->count - at : BATCH_SERIES;
        if (client_has_left(lookup))
            return error_set(error, ERROR_CANCELED, "the client has left");
        code = series_set_labels(set, at, count, lookup->arena, labels_out + at, error);
    }
    return code;
}

enum error_code api_lookup_texts(struct api_lookup *lookup, const struct text **texts_out,
                                 size_t *count_out, struct error *error)
{
    struct series_source *source = lookup->source;
    struct text_set found = {.arena = lookup->arena};
    size_t count = lookup->selectors.count > 0 ? lookup->selectors.count : 1;
    enum error_code code = ERROR_NONE;
    if (lookup->end_ms < lookup->start_ms)
        count = 0; /* no time at all */
    for (size_t i = 0; code == ERROR_NONE && i < count; i++) {
        struct series_request request = api_lookup_request(lookup, i, SERIES_NEED_LABELS);
        code = lookup->name.size == 0
                   ? series_source_label_names(source, &request, &found, error)
                   : series_source_label_values(source, &request, lookup->name, &found, error);
    }
    if (code != ERROR_NONE)
        return code;
    *texts_out = text_set_sorted(&found);
    *count_out = found.count;
    return *texts_out == NULL ? api_memory_error(error) : ERROR_NONE;
}
