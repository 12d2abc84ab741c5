/*
 * Sub-queries of a query: this cluster is the first place, every other one that can have series of
 * it is one more. Others are asked at once; this one is evaluated when it is read, meanwhile.
 *
 * Answers of others are whole before the engine gets their first byte, so that one that breaks off
 * can be left out.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "federation_private.h"
#include "promql/labelled_source.h"
#include "promql/partial.h"
#include "promql/selectors.h"

struct piece {
    struct piece *next;
    const uint8_t *bytes; /* [size] */
    size_t size;
};

struct place {
    size_t cluster; /* not of the first place */
    struct transfer *transfer;
    struct piece *pieces; /* to be read */
    bool is_whole;
};

struct federated {
    struct promql_distribution base; /* first */
    struct federation_read *read;
    struct promql_partial_request request; /* to this cluster */
    uint64_t deadline_ns;
    struct arena *arena;
    struct place *places; /* [base.place_count] */
};

struct pieces_sink {
    struct promql_partial_sink base; /* first */
    struct arena *arena;
    struct piece *first;
    struct piece **last;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- This cluster ---------------------------------------------------------------------------- */

static enum error_code pieces_write(struct promql_partial_sink *self, const uint8_t *bytes,
                                    size_t size, struct error *error)
{
    struct pieces_sink *sink = (struct pieces_sink *)self;
    struct piece *piece = arena_allocate(sink->arena, sizeof *piece);
    uint8_t *copy = arena_allocate(sink->arena, size);
    if (piece == NULL || copy == NULL)
        return out_of_memory(error);
    memcpy(copy, bytes, size);
    *piece = (struct piece){.bytes = copy, .size = size};
    *sink->last = piece;
    sink->last = &piece->next;
    return ERROR_NONE;
}

/* What the answer says itself, as the error of the query. */
static bool is_of_the_query(enum error_code code)
{
    return code == ERROR_NONE || code == ERROR_INVALID || code == ERROR_LIMIT ||
           code == ERROR_TIMEOUT || code == ERROR_CONFLICT;
}

static enum error_code evaluate_here(struct federated *federated, struct place *place,
                                     struct error *error)
{
    struct federation_read *read = federated->read;
    const struct federation_options *options = &read->federation->options;
    struct pieces_sink sink = {.base.write = pieces_write, .arena = federated->arena};
    struct promql_partial_environment environment = {
        .source = read->source,
        .distributor = read->distributor,
        .pool = options->pool,
        .clock = options->clock,
        .memory_max_bytes = options->query_memory_max_bytes,
        .samples_max = options->samples_max,
        .deadline_ns = federated->deadline_ns,
        .canceled = read->canceled,
        .memory = options->memory,
    };
    sink.last = &sink.first;
    enum error_code code = promql_partial_run(&federated->request, &environment, &sink.base, error);
    if (!is_of_the_query(code))
        return code;
    place->pieces = sink.first;
    place->is_whole = true;
    return ERROR_NONE;
}

/* --- Others ---------------------------------------------------------------------------------- */

/* An error that ends the answer: the query's own, which it would have anywhere, or the cluster's.
 */
static enum error_code check_error(const uint8_t *payload, size_t size, struct error *error)
{
    enum { NUMBER_INVALID = 1, NUMBER_LIMIT = 3 };
    struct byte_reader reader = byte_reader_over(payload, size);
    uint8_t number = byte_reader_u8(&reader);
    struct text message = byte_reader_text(&reader);
    if (!reader.failed && (number == NUMBER_INVALID || number == NUMBER_LIMIT))
        return ERROR_NONE;
    return error_set(error, ERROR_UNAVAILABLE, "%.*s", TEXT_ARGUMENTS(message));
}

enum error_code federation_check_frames(struct text body, struct error *error)
{
    enum { FRAME_ERROR = 5, FRAME_END = 6 };
    struct byte_reader reader = byte_reader_over((const uint8_t *)body.data, body.size);
    const uint8_t *payload = NULL;
    uint64_t size = 0;
    uint8_t kind = 0;
    while (!reader.failed && byte_reader_left(&reader) > 0) {
        kind = byte_reader_u8(&reader);
        size = byte_reader_varint(&reader);
        if (size > byte_reader_left(&reader))
            reader.failed = true;
        else
            payload = byte_reader_take(&reader, (size_t)size);
    }
    if (reader.failed || (kind != FRAME_ERROR && kind != FRAME_END))
        return error_set(error, ERROR_CORRUPT, "its answer to a sub-query ended early");
    return kind == FRAME_ERROR ? check_error(payload, (size_t)size, error) : ERROR_NONE;
}

static enum error_code leave_out(struct federated *federated, struct place *place,
                                 struct error *error)
{
    char warning[512];
    struct byte_buffer bytes = {0};
    enum error_code code =
        federation_judge(federated->read, place->cluster, warning, sizeof warning, error);
    if (code != ERROR_NONE)
        return code;
    struct pieces_sink sink = {.base.write = pieces_write, .arena = federated->arena};
    sink.last = &sink.first;
    promql_partial_answer_without(&federated->request, text_of(warning), &bytes);
    code = bytes.failed ? out_of_memory(error)
                        : pieces_write(&sink.base, bytes.bytes, bytes.size, error);
    byte_buffer_clear(&bytes);
    place->pieces = sink.first;
    place->is_whole = code == ERROR_NONE;
    return code;
}

static enum error_code wait_for(struct federated *federated, struct place *place,
                                struct error *error)
{
    struct text body;
    enum error_code code = transfer_wait(place->transfer, federated->read->canceled,
                                         federated->deadline_ns, &body, error);
    if (code == ERROR_NONE)
        code = federation_check_frames(body, error);
    if (code != ERROR_NONE)
        return leave_out(federated, place, error);
    struct piece *piece = arena_array(federated->arena, 1, sizeof *piece);
    if (piece == NULL)
        return out_of_memory(error);
    *piece = (struct piece){.bytes = (const uint8_t *)body.data, .size = body.size};
    place->pieces = piece;
    place->is_whole = true;
    return ERROR_NONE;
}

/* --- Reading --------------------------------------------------------------------------------- */

static enum error_code federated_read(struct promql_distribution *self, size_t number,
                                      const uint8_t **bytes_out, size_t *size_out,
                                      struct error *error)
{
    struct federated *federated = (struct federated *)self;
    assert(number < self->place_count);
    struct place *place = &federated->places[number];
    if (!place->is_whole) {
        enum error_code code = number == 0 ? evaluate_here(federated, place, error)
                                           : wait_for(federated, place, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct piece *piece = place->pieces;
    *bytes_out = piece == NULL ? NULL : piece->bytes;
    *size_out = piece == NULL ? 0 : piece->size;
    place->pieces = piece == NULL ? NULL : piece->next;
    return ERROR_NONE;
}

static void federated_close(struct promql_distribution *self)
{
    struct federated *federated = (struct federated *)self;
    for (size_t i = 0; federated->places != NULL && i < self->place_count; i++)
        transfer_end(federated->places[i].transfer);
    arena_destroy(federated->arena);
    free(federated);
}

static const struct promql_distribution_operations FEDERATED_OPERATIONS = {
    .read = federated_read,
    .close = federated_close,
};

/* --- Beginning ------------------------------------------------------------------------------- */

/* Whether a cluster with these labels can have series of any selector. */
static bool can_have(struct labels labels, const struct selector_node **selectors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (labelled_source_may_match(labels, (const struct matcher *const *)selectors[i]->matchers,
                                      selectors[i]->matcher_count))
            return true;
    return count == 0;
}

static enum error_code ask(struct federated *federated, struct place *place, struct error *error)
{
    struct federation *federation = federated->read->federation;
    struct promql_partial_request request = federated->request;
    struct byte_buffer body = {0};
    request.packing = PROMQL_PARTIAL_SHORT;
    request.external_labels = federation->remotes[place->cluster].labels;
    request.timeout_ms = federation_timeout_ms(federation, federated->deadline_ns);
    promql_partial_request_encode(&request, &body);
    return federation_ask(federated->read, place->cluster, REMOTE_SUB_QUERY, &body,
                          federated->deadline_ns, &place->transfer, error);
}

static enum error_code ask_all(struct federated *federated,
                               const struct promql_partial_request *request, struct error *error)
{
    struct federation *federation = federated->read->federation;
    size_t count = federation->options.cluster_count;
    const struct selector_node **selectors;
    size_t selector_count;
    federated->places = arena_array(federated->arena, count + 1, sizeof *federated->places);
    if (federated->places == NULL ||
        !promql_selectors(request->tree, federated->arena, &selectors, &selector_count))
        return out_of_memory(error);
    federated->base.place_count = 1;
    for (size_t i = 0; i < count; i++) {
        if (!can_have(federation->remotes[i].labels, selectors, selector_count)) {
            atomic_fetch_add_explicit(&federation->remotes[i].pruned, 1, memory_order_relaxed);
            continue;
        }
        struct place *place = &federated->places[federated->base.place_count];
        place->cluster = i;
        enum error_code code = ask(federated, place, error);
        if (code != ERROR_NONE)
            return code;
        federated->base.place_count++;
    }
    return ERROR_NONE;
}

static enum error_code federated_begin(struct promql_distributor *self,
                                       const struct promql_partial_request *request,
                                       struct promql_distribution **distribution_out,
                                       struct error *error)
{
    enum { NS_PER_MS = 1000 * 1000 };
    struct federation_read *read = ((struct federation_read_distributor *)self)->read;
    const struct federation_options *options = &read->federation->options;
    struct federated *federated = calloc(1, sizeof *federated);
    if (federated == NULL)
        return out_of_memory(error);
    federated->base.operations = &FEDERATED_OPERATIONS;
    federated->read = read;
    federated->request = *request;
    federated->request.external_labels = read->federation->own_labels;
    federated->deadline_ns = request->timeout_ms == 0 ? 0
                                                      : clock_monotonic_ns(options->clock) +
                                                            request->timeout_ms * NS_PER_MS;
    federated->arena =
        options->memory == NULL ? arena_create(0) : arena_create_charged(options->memory);
    enum error_code code =
        federated->arena == NULL ? out_of_memory(error) : ask_all(federated, request, error);
    if (code != ERROR_NONE) {
        federated_close(&federated->base);
        return code;
    }
    *distribution_out = &federated->base;
    return ERROR_NONE;
}

const struct promql_distributor_operations FEDERATION_DISTRIBUTOR_OPERATIONS = {
    .begin = federated_begin};
