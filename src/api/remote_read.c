/*
 * read: the samples of selected series, for another Prometheus to evaluate; as one message of
 * samples or as a stream of chunks.
 */
#include <stdlib.h>

#include "wire/compression.h"
#include "wire/remote_read.h"

#include "api_private.h"

/* A series of one of the queries. */
struct found {
    struct labels labels;
    size_t query;
    size_t index; /* in the query's set */
};

struct read_state {
    struct read_request request;
    struct matcher **matchers; /* [matcher_count], of all queries, owned */
    size_t matcher_count;
    struct series_reader *reader; /* of `reader_query`; NULL: none */
    size_t reader_query;
    struct read_scratch scratch;
    struct byte_buffer result;  /* samples of one query */
    struct byte_buffer message; /* samples of all */
    uint64_t charged_bytes;     /* of these two, to the look-up's memory */
    uint64_t sample_count;
};

/* --- The request -------------------------------------------------------------------------------
 */

static enum error_code read(struct api_lookup *lookup, const struct http_parameters *parameters,
                            struct error *error)
{
    (void)parameters;
    struct text body = http_request_body(lookup->request);
    uint8_t *bytes;
    size_t size;
    struct read_state *state = calloc(1, sizeof *state);
    if (state == NULL)
        return api_memory_error(error);
    lookup->state = state;
    enum error_code code =
        snappy_decode((const uint8_t *)body.data, body.size, lookup->api->options.decoded_bytes_max,
                      lookup->arena, &bytes, &size, error);
    if (code == ERROR_LIMIT)
        error->code = code = ERROR_INVALID;
    if (code == ERROR_NONE)
        code = read_request_decode(bytes, size, lookup->arena, &state->request, error);
    if (code != ERROR_NONE)
        return code;
    bool is_stream = state->request.answer == READ_CHUNKS;
    lookup->content_type =
        is_stream ? TEXT("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
                  : TEXT("application/x-protobuf");
    lookup->content_encoding = is_stream ? (struct text){0} : TEXT("snappy");
    return ERROR_NONE;
}

static enum error_code make_matchers(struct api_lookup *lookup, struct error *error)
{
    struct read_state *state = lookup->state;
    size_t total = 0;
    for (size_t q = 0; q < state->request.query_count; q++)
        total += state->request.queries[q].matcher_count;
    state->matchers = arena_array(lookup->arena, total + 1, sizeof(struct matcher *));
    if (state->matchers == NULL)
        return api_memory_error(error);
    for (size_t q = 0; q < state->request.query_count; q++) {
        const struct read_query *query = &state->request.queries[q];
        for (size_t m = 0; m < query->matcher_count; m++) {
            const struct read_matcher *wanted = &query->matchers[m];
            enum error_code code = matcher_create(wanted->type, wanted->name, wanted->value,
                                                  &state->matchers[state->matcher_count], error);
            if (code != ERROR_NONE)
                return code;
            state->matcher_count++;
        }
    }
    return ERROR_NONE;
}

/* --- Series ------------------------------------------------------------------------------------
 */

static int compare(const void *left_item, const void *right_item, void *context)
{
    (void)context;
    const struct found *left = left_item, *right = right_item;
    if (left->query != right->query)
        return left->query < right->query ? -1 : 1;
    return labels_compare(left->labels, right->labels);
}

/* A query without matchers asks for nothing, as in Prometheus. */
static enum error_code select_series(struct api_lookup *lookup, size_t *total_out,
                                     struct error *error)
{
    struct read_state *state = lookup->state;
    struct series_source *source = lookup->source;
    const struct matcher *const *matchers = (const struct matcher *const *)state->matchers;
    lookup->sets = arena_array(lookup->arena, state->request.query_count + 1, sizeof *lookup->sets);
    if (lookup->sets == NULL)
        return api_memory_error(error);
    for (size_t q = 0; q < state->request.query_count; q++) {
        const struct read_query *query = &state->request.queries[q];
        struct series_request request = {
            .tenant = lookup->tenant,
            .matchers = matchers,
            .matcher_count = query->matcher_count,
            .start_ms = query->start_ms > API_TIME_MIN ? query->start_ms : API_TIME_MIN,
            .end_ms = query->end_ms < API_TIME_MAX ? query->end_ms : API_TIME_MAX,
            .need = SERIES_NEED_ALL,
            .canceled = &lookup->job.canceled,
            .arena = lookup->arena,
        };
        lookup->sets[q] = NULL;
        enum error_code code = ERROR_NONE;
        if (query->matcher_count > 0 && request.start_ms <= request.end_ms)
            code = series_source_select(source, &request, &lookup->sets[q], error);
        if (code != ERROR_NONE)
            return code;
        lookup->set_count = q + 1;
        matchers += query->matcher_count;
        *total_out += lookup->sets[q] == NULL ? 0 : lookup->sets[q]->count;
    }
    return ERROR_NONE;
}

/* NULL with an error. */
static struct labels *labels_of_set(struct api_lookup *lookup, struct series_set *set,
                                    struct error *error)
{
    struct labels *labels = arena_array(lookup->arena, set->count, sizeof *labels);
    if (labels == NULL)
        api_memory_error(error);
    else if (api_lookup_labels(lookup, set, labels, error) != ERROR_NONE)
        labels = NULL;
    return labels;
}

static enum error_code find_series(struct api_lookup *lookup, struct error *error)
{
    size_t total = 0, count = 0;
    enum error_code code = select_series(lookup, &total, error);
    if (code != ERROR_NONE)
        return code;
    struct found *found = arena_array(lookup->arena, total + 1, sizeof *found);
    if (found == NULL)
        return api_memory_error(error);
    for (size_t q = 0; q < lookup->set_count; q++) {
        struct series_set *set = lookup->sets[q];
        struct labels *labels = set == NULL ? NULL : labels_of_set(lookup, set, error);
        if (set != NULL && labels == NULL)
            return error->code;
        for (size_t i = 0; set != NULL && i < set->count; i++)
            found[count++] = (struct found){labels[i], q, i};
    }
    lookup->items = found;
    lookup->item_count = count;
    return api_lookup_sort(lookup, found, count, sizeof *found, compare, error);
}

/* The columns live until the next read. */
static enum error_code read_found(struct api_lookup *lookup, const struct found *found,
                                  struct sample_columns *columns_out, struct error *error)
{
    struct read_state *state = lookup->state;
    if (atomic_load_explicit(&lookup->job.canceled, memory_order_relaxed))
        return error_set(error, ERROR_CANCELED, "the client has left");
    if (state->reader != NULL && state->reader_query != found->query) {
        series_reader_close(state->reader);
        state->reader = NULL;
    }
    enum error_code code = ERROR_NONE;
    if (state->reader == NULL)
        code = series_reader_open(lookup->sets[found->query], &state->reader, error);
    state->reader_query = found->query;
    return code == ERROR_NONE ? series_reader_read(state->reader, found->index, columns_out, error)
                              : code;
}

/* --- Samples -----------------------------------------------------------------------------------
 */

/* What the message takes counts as memory of the query. */
static enum error_code charge(struct api_lookup *lookup, struct error *error)
{
    struct read_state *state = lookup->state;
    struct arena_account *account = &lookup->memory.account;
    uint64_t bytes = state->result.capacity + state->message.capacity;
    if (state->result.failed || state->message.failed)
        return api_memory_error(error);
    if (bytes > state->charged_bytes) {
        if (!account->charge(account, bytes - state->charged_bytes))
            return memory_budget_error(&lookup->memory, error);
        state->charged_bytes = bytes;
    }
    return ERROR_NONE;
}

static enum error_code append_samples(struct api_lookup *lookup, const struct found *found,
                                      struct error *error)
{
    struct read_state *state = lookup->state;
    uint64_t samples_max = frontend_options(lookup->api->options.frontend)->samples_max;
    struct sample_columns columns;
    enum error_code code = read_found(lookup, found, &columns, error);
    if (code != ERROR_NONE)
        return code;
    state->sample_count += columns.count;
    if (state->sample_count > samples_max)
        return error_set(error, ERROR_INVALID, "exceeded sample limit (%llu)",
                         (unsigned long long)samples_max);
    read_append_series(found->labels, &columns, &state->result);
    return charge(lookup, error);
}

/* One message, compressed as a whole. */
static enum error_code answer_samples(struct api_lookup *lookup, struct byte_buffer *data,
                                      struct error *error)
{
    struct read_state *state = lookup->state;
    const struct found *found = lookup->items;
    enum error_code code = ERROR_NONE;
    size_t at = 0;
    for (size_t q = 0; code == ERROR_NONE && q < state->request.query_count; q++) {
        byte_buffer_reset(&state->result);
        for (; code == ERROR_NONE && at < lookup->item_count && found[at].query == q; at++)
            code = append_samples(lookup, &found[at], error);
        read_append_result(&state->result, &state->message);
        if (code == ERROR_NONE)
            code = charge(lookup, error);
    }
    uint8_t *compressed;
    size_t size;
    if (code == ERROR_NONE)
        code = snappy_encode(state->message.bytes, state->message.size, lookup->arena, &compressed,
                             &size, error);
    if (code == ERROR_NONE)
        byte_buffer_append(data, compressed, size);
    lookup->item_count = 0; /* nothing is streamed */
    return code;
}

/* --- Answers -----------------------------------------------------------------------------------
 */

static enum error_code run(struct api_lookup *lookup, struct byte_buffer *data, struct error *error)
{
    struct read_state *state = lookup->state;
    enum error_code code = make_matchers(lookup, error);
    if (code == ERROR_NONE)
        code = find_series(lookup, error);
    if (code == ERROR_NONE && state->request.answer == READ_SAMPLES)
        code = answer_samples(lookup, data, error);
    return code;
}

static void append(struct api_lookup *lookup, size_t item, struct byte_buffer *piece)
{
    struct read_state *state = lookup->state;
    const struct found *found = (const struct found *)lookup->items + item;
    struct sample_columns columns;
    if (read_found(lookup, found, &columns, &lookup->failure) == ERROR_NONE)
        read_append_frames(found->query, found->labels, &columns, &state->scratch, piece);
}

static void clear(struct api_lookup *lookup)
{
    struct read_state *state = lookup->state;
    if (state == NULL)
        return;
    series_reader_close(state->reader);
    for (size_t i = 0; i < state->matcher_count; i++)
        matcher_destroy(state->matchers[i]);
    read_scratch_clear(&state->scratch);
    byte_buffer_clear(&state->result);
    byte_buffer_clear(&state->message);
    lookup->memory.account.release(&lookup->memory.account, state->charged_bytes);
    free(state);
}

void api_remote_read(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "read",
        .read = read,
        .run = run,
        .append = append,
        .is_plain = true,
        .has_plain_errors = true,
        .clear = clear,
    };
    api_lookup_start(request, (struct text){0}, &KIND);
}
