#include "export_window.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_set.h"
#include "node_stream.h"
#include "platform/clock.h"
#include "tsdb/tsdb_writer.h"
#include "wire/compression.h"
#include "wire/read_stream.h"

enum { STEP_MS = 2 * 3600 * 1000 };

/* A series of which more may follow in the next frame. Its memory is in one arena or in both. */
struct pending {
    struct labels labels; /* bytes NULL: there is none */
    struct chunk_samples samples;
    bool uses[2];
};

struct export_source {
    const struct block_options *options;
    struct node_stream *stream;
    struct node_patience patience;
    struct arena *arena;     /* of a request */
    struct arena *arenas[2]; /* of frames, in turns */
    size_t turn;             /* of the frame that is decoded */
    struct byte_buffer received;
    size_t consumed; /* of what was received */
    struct pending pending;
    struct text_set seen; /* labels by their hashes; with several selectors only */
    struct arena *seen_arena;
    struct tsdb_writer *writer;
    int64_t start_ms; /* of the window; end excluded */
    int64_t end_ms;
    struct error failure; /* inside an answer */
    bool has_failed;
};

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code export_source_open(const struct block_options *options,
                                   struct export_source **source_out, struct error *error)
{
    struct export_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "an export");
    source->options = options;
    source->patience.granted_ms = options->patience_ms;
    source->arena = arena_create(0);
    source->arenas[0] = arena_create(0);
    source->arenas[1] = arena_create(0);
    source->seen_arena = arena_create(0);
    enum error_code code = ERROR_NONE;
    if (source->arena == NULL || source->arenas[0] == NULL || source->arenas[1] == NULL ||
        source->seen_arena == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "an export");
    if (code == ERROR_NONE)
        code = node_stream_open(&options->client, &source->stream, error);
    if (code != ERROR_NONE) {
        export_source_close(source);
        return code;
    }
    *source_out = source;
    return ERROR_NONE;
}

void export_source_close(struct export_source *source)
{
    if (source == NULL)
        return;
    tsdb_writer_abandon(source->writer);
    node_stream_close(source->stream);
    byte_buffer_clear(&source->received);
    arena_destroy(source->arena);
    arena_destroy(source->arenas[0]);
    arena_destroy(source->arenas[1]);
    arena_destroy(source->seen_arena);
    free(source);
}

/* --- Where samples begin ---------------------------------------------------------------------- */

static void put_path(const struct export_source *source, int64_t start_ms, int64_t end_ms,
                     struct byte_buffer *path)
{
    char times[128];
    int size = snprintf(times, sizeof times, "/api/v1/labels?limit=1&start=%.3f&end=%.3f",
                        (double)start_ms / 1000, (double)end_ms / 1000);
    byte_buffer_append(path, times, (size_t)size);
    for (size_t i = 0; i < source->options->match_count; i++) {
        char *escaped = node_client_escape(source->options->match_texts[i]);
        path->failed |= escaped == NULL;
        byte_buffer_append(path, "&match[]=", strlen("&match[]="));
        if (escaped != NULL)
            byte_buffer_append(path, escaped, strlen(escaped));
        free(escaped);
    }
    byte_buffer_u8(path, '\0');
}

static enum error_code has_samples(struct export_source *source, int64_t start_ms, int64_t end_ms,
                                   bool *has_out, struct error *error)
{
    struct byte_buffer path = {0};
    json_t *names;
    put_path(source, start_ms, end_ms, &path);
    enum error_code code =
        path.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "a request") : ERROR_UNAVAILABLE;
    while (code == ERROR_UNAVAILABLE) {
        code = node_client_get(&source->options->client, (const char *)path.bytes, &names, error);
        if (code == ERROR_UNAVAILABLE && !node_patience_wait(&source->patience, NULL))
            break;
    }
    if (code == ERROR_NONE) {
        node_patience_renew(&source->patience);
        *has_out = json_array_size(names) > 0;
        json_decref(names);
    }
    byte_buffer_clear(&path);
    return code;
}

enum error_code export_source_oldest(struct export_source *source, int64_t start_ms, int64_t end_ms,
                                     int64_t *oldest_ms_out, struct error *error)
{
    /* Nothing is in [start_ms, low); something is in [low, high]. */
    int64_t low = start_ms, high = end_ms;
    bool has;
    *oldest_ms_out = end_ms + 1;
    if (start_ms > end_ms)
        return ERROR_NONE;
    enum error_code code = has_samples(source, low, high, &has, error);
    if (code != ERROR_NONE || !has)
        return code;
    while (code == ERROR_NONE && high - low > STEP_MS) {
        int64_t middle = low + (high - low) / 2;
        code = has_samples(source, low, middle, &has, error);
        if (code == ERROR_NONE && has)
            high = middle;
        else
            low = middle + 1;
    }
    if (code == ERROR_NONE)
        *oldest_ms_out = low;
    return code;
}

/* --- Series of an answer ---------------------------------------------------------------------- */

static void forget_pending(struct export_source *source)
{
    source->pending = (struct pending){0};
}

/* Whether it comes for the first time; of several selectors more than one may select it. */
static enum error_code is_new(struct export_source *source, struct labels labels, bool *new_out,
                              struct error *error)
{
    *new_out = true;
    if (source->options->match_count < 2)
        return ERROR_NONE;
    struct hash128 hash = labels_hash(labels, HASH_SEED_STORED);
    enum text_set_outcome outcome =
        text_set_add(&source->seen, (struct text){(const char *)&hash, sizeof hash});
    if (outcome == TEXT_SET_OUT_OF_MEMORY)
        return error_set(error, ERROR_OUT_OF_MEMORY, "series of a window");
    *new_out = outcome == TEXT_SET_NEW;
    return ERROR_NONE;
}

static enum error_code write_pending(struct export_source *source, struct error *error)
{
    if (source->pending.labels.bytes == NULL)
        return ERROR_NONE;
    bool is_first;
    enum error_code code = is_new(source, source->pending.labels, &is_first, error);
    if (code == ERROR_NONE && is_first) {
        struct sample_columns columns = chunk_samples_columns(&source->pending.samples);
        code = tsdb_writer_add(source->writer, source->pending.labels, &columns, error);
    }
    forget_pending(source);
    return code;
}

/* More of the series that is pending. Samples that do not ascend are of another selector. */
static enum error_code append_pending(struct export_source *source,
                                      const struct chunk_samples *more, struct error *error)
{
    struct chunk_samples *samples = &source->pending.samples;
    size_t count = samples->count;
    if (more->count == 0 ||
        (count > 0 && more->timestamps_ms[0] <= samples->timestamps_ms[count - 1]))
        return ERROR_NONE;
    if (!chunk_samples_append(samples, more))
        return error_set(error, ERROR_OUT_OF_MEMORY, "a series of a window");
    source->pending.uses[source->turn] = true;
    return ERROR_NONE;
}

static enum error_code take_series(void *context, const struct read_stream_series *series,
                                   struct error *error)
{
    struct export_source *source = context;
    struct pending *pending = &source->pending;
    if (pending->labels.bytes != NULL && labels_equal(pending->labels, series->labels))
        return append_pending(source, &series->samples, error);
    enum error_code code = write_pending(source, error);
    if (code == ERROR_NONE) {
        *pending = (struct pending){.labels = series->labels, .samples = series->samples};
        pending->uses[source->turn] = true;
    }
    return code;
}

/* Into the arena that the pending series does not use; a long series may use both. */
static enum error_code take_frame(struct export_source *source, const struct read_frame *frame,
                                  struct error *error)
{
    const bool *uses = source->pending.uses;
    source->turn = uses[1] ? 0 : 1;
    if (!uses[source->turn])
        arena_reset(source->arenas[source->turn]);
    return read_frame_visit(frame, source->arenas[source->turn], take_series, source, error);
}

/* --- The answer ------------------------------------------------------------------------------- */

static enum error_code take_frames(struct export_source *source, struct error *error)
{
    struct byte_buffer *received = &source->received;
    enum error_code code = ERROR_NONE;
    for (;;) {
        struct read_frame frame;
        code = read_frame_decode(received->bytes + source->consumed,
                                 received->size - source->consumed, &frame, error);
        if (code != ERROR_NONE || frame.frame_size == 0)
            break;
        code = take_frame(source, &frame, error);
        source->consumed += frame.frame_size;
        if (code != ERROR_NONE)
            break;
    }
    if (source->consumed > 0) {
        memmove(received->bytes, received->bytes + source->consumed,
                received->size - source->consumed);
        received->size -= source->consumed;
        source->consumed = 0;
    }
    return code;
}

static bool take_bytes(void *context, const uint8_t *bytes, size_t size)
{
    struct export_source *source = context;
    byte_buffer_append(&source->received, bytes, size);
    enum error_code code =
        source->received.failed
            ? error_set(&source->failure, ERROR_OUT_OF_MEMORY, "an answer of the node")
            : take_frames(source, &source->failure);
    source->has_failed = code != ERROR_NONE;
    return code == ERROR_NONE;
}

static struct read_query query_of(struct export_source *source, size_t match,
                                  struct read_matcher *matchers)
{
    const struct selector_node *selector = &source->options->matches[match].root->selector;
    for (size_t i = 0; i < selector->matcher_count; i++)
        matchers[i] = (struct read_matcher){
            selector->matchers[i]->type, selector->matchers[i]->name, selector->matchers[i]->value};
    return (struct read_query){source->start_ms, source->end_ms - 1, matchers,
                               selector->matcher_count};
}

/* A query for each selector; without one, for every series. */
static enum error_code make_request(struct export_source *source, uint8_t **bytes_out,
                                    size_t *size_out, struct error *error)
{
    static const struct read_matcher EVERY = {MATCHER_REGEX, {"__name__", 8}, {".*", 2}};
    const struct block_options *options = source->options;
    size_t count = options->match_count == 0 ? 1 : options->match_count;
    struct byte_buffer body = {0};
    arena_reset(source->arena);
    struct read_query *queries = arena_array(source->arena, count, sizeof *queries);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; queries != NULL && i < options->match_count; i++) {
        size_t matchers_max = options->matches[i].root->selector.matcher_count;
        struct read_matcher *matchers =
            arena_array(source->arena, matchers_max + 1, sizeof *matchers);
        body.failed |= matchers == NULL;
        if (matchers != NULL)
            queries[i] = query_of(source, i, matchers);
    }
    if (queries == NULL || body.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "a request");
    if (options->match_count == 0)
        queries[0] = (struct read_query){source->start_ms, source->end_ms - 1, &EVERY, 1};
    struct read_request request = {queries, count, READ_CHUNKS};
    read_request_encode(&request, &body);
    code = body.failed
               ? error_set(error, ERROR_OUT_OF_MEMORY, "a request")
               : snappy_encode(body.bytes, body.size, source->arena, bytes_out, size_out, error);
    byte_buffer_clear(&body);
    return code;
}

/* UNAVAILABLE: it may be asked again. `outcome` is written when there was an answer. */
static enum error_code ask(struct export_source *source, const uint8_t *body, size_t size,
                           struct node_outcome *outcome, struct error *error)
{
    static const char *const HEADERS[] = {"Content-Type: application/x-protobuf",
                                          "Content-Encoding: snappy",
                                          "X-Prometheus-Remote-Read-Version: 0.1.0"};
    struct node_post post = {
        .path = "/api/v1/read",
        .headers = HEADERS,
        .header_count = sizeof HEADERS / sizeof HEADERS[0],
        .body = body,
        .body_size = size,
        .take = take_bytes,
        .context = source,
    };
    enum error_code code = node_stream_post(source->stream, &post, outcome, error);
    if (source->has_failed) {
        *error = source->failure;
        return error->code;
    }
    if (code != ERROR_NONE)
        return code;
    if (outcome->status != 200)
        return error_set(
            error, node_status_is_temporary(outcome->status) ? ERROR_UNAVAILABLE : ERROR_INVALID,
            "%s answers %ld: %s", source->options->client.url, outcome->status, outcome->message);
    if (source->received.size > 0)
        return error_set(error, ERROR_UNAVAILABLE, "%s: the answer broke off",
                         source->options->client.url);
    return write_pending(source, error);
}

static enum error_code begin(struct export_source *source, struct disk *disk, struct error *error)
{
    struct tsdb_writer_options options = {
        .disk = disk,
        .random = random_system(),
        .now_ms = clock_now_ms(clock_system()),
        .start_ms = source->start_ms,
        .end_ms = source->end_ms,
    };
    tsdb_writer_abandon(source->writer);
    source->writer = NULL;
    byte_buffer_reset(&source->received);
    source->consumed = 0;
    source->has_failed = false;
    forget_pending(source);
    arena_reset(source->seen_arena);
    source->seen = (struct text_set){.arena = source->seen_arena};
    return tsdb_writer_open(&options, &source->writer, error);
}

enum error_code export_window(struct export_source *source, struct disk *disk, int64_t start_ms,
                              int64_t end_ms, struct tsdb_meta *meta_out, struct error *error)
{
    uint8_t *body;
    size_t size;
    source->start_ms = start_ms;
    source->end_ms = end_ms;
    enum error_code code = make_request(source, &body, &size, error);
    while (code == ERROR_NONE) {
        struct node_outcome outcome = {0};
        code = begin(source, disk, error);
        if (code == ERROR_NONE)
            code = ask(source, body, size, &outcome, error);
        if (code != ERROR_UNAVAILABLE)
            break;
        if (!node_patience_wait(&source->patience, outcome.status == 0 ? NULL : &outcome))
            break;
        code = ERROR_NONE;
    }
    struct tsdb_writer *writer = source->writer;
    source->writer = NULL;
    if (code != ERROR_NONE) {
        tsdb_writer_abandon(writer);
        return code;
    }
    node_patience_renew(&source->patience);
    return tsdb_writer_finish(writer, meta_out, error); /* the writer is gone */
}
