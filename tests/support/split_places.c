#include "split_places.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { PLACES_MAX = 16 };

struct split_places {
    struct promql_distributor distributor;
    struct series_memory *memories[PLACES_MAX];
    size_t place_count;
    struct worker_pool *pool;
    struct split_faults faults;
    enum promql_partial_packing packing;
    bool checks_texts;
    size_t request_count;
    size_t under_way;
    size_t under_way_max;
    uint64_t answer_bytes;
    struct byte_buffer latest;
};

/* One sub-expression: the answers are whole when it has begun. */
struct split_distribution {
    struct promql_distribution distribution;
    struct split_places *places;
    struct byte_buffer answers[PLACES_MAX];
    size_t read[PLACES_MAX];
    size_t next_size;
    size_t turn;
};

struct buffer_sink {
    struct promql_partial_sink sink;
    struct byte_buffer *buffer;
};

static enum error_code buffer_write(struct promql_partial_sink *self, const uint8_t *bytes,
                                    size_t size, struct error *error)
{
    struct byte_buffer *buffer = ((struct buffer_sink *)self)->buffer;
    byte_buffer_append(buffer, bytes, size);
    return buffer->failed ? error_set(error, ERROR_OUT_OF_MEMORY, "answer") : ERROR_NONE;
}

static enum error_code split_read(struct promql_distribution *self, size_t place,
                                  const uint8_t **bytes_out, size_t *size_out, struct error *error)
{
    /* One byte, a few, many: frames are cut everywhere. */
    static const size_t SIZES[] = {1, 2, 700, 3, 65536, 17, 4096};
    struct split_distribution *split = (struct split_distribution *)self;
    const struct byte_buffer *answer = &split->answers[place];
    const struct split_faults *faults = &split->places->faults;
    if (faults->refused_place == place + 1)
        return error_set(error, ERROR_UNAVAILABLE, "place %zu can't be reached", place + 1);
    size_t end = answer->size;
    if (faults->cut_after_bytes > 0 && faults->cut_after_bytes < end)
        end = faults->cut_after_bytes;
    size_t left = end - split->read[place];
    size_t size = SIZES[split->next_size++ % (sizeof SIZES / sizeof SIZES[0])];
    if (size > left)
        size = left;
    *bytes_out = size == 0 ? NULL : answer->bytes + split->read[place];
    *size_out = size;
    split->read[place] += size;
    return ERROR_NONE;
}

/* The next unfinished one after some places or none. */
static size_t split_await(struct promql_distribution *self, const bool *unfinished)
{
    struct split_distribution *split = (struct split_distribution *)self;
    split->turn += 1 + split->next_size % 2;
    while (!unfinished[split->turn % self->place_count])
        split->turn++;
    return split->turn % self->place_count;
}

static void split_close(struct promql_distribution *self)
{
    struct split_distribution *split = (struct split_distribution *)self;
    for (size_t place = 0; place < split->places->place_count; place++)
        byte_buffer_clear(&split->answers[place]);
    split->places->under_way--;
    free(split);
}

static const struct promql_distribution_operations IN_ORDER = {
    .read = split_read,
    .close = split_close,
};

static const struct promql_distribution_operations AS_THEY_COME = {
    .read = split_read,
    .await = split_await,
    .close = split_close,
};

static void place_answer(struct split_places *places, size_t place,
                         const struct byte_buffer *request_bytes, struct byte_buffer *answer)
{
    struct promql_partial_request request;
    struct error error;
    enum error_code code =
        promql_partial_request_decode(request_bytes->bytes, request_bytes->size, &request, &error);
    if (code != ERROR_NONE) {
        fprintf(stderr, "request is refused: %s\n", error.message);
        abort();
    }
    if (places->faults.left_out_place == place + 1) {
        promql_partial_answer_without(&request, TEXT("a place is not there"), answer);
        return;
    }
    struct promql_partial_environment environment = {
        .source = series_memory_source(places->memories[place]),
        .pool = places->pool,
        .clock = clock_system(),
        .samples_max = places->faults.samples_max,
        .memory_max_bytes = places->faults.memory_bytes,
    };
    struct buffer_sink sink = {.sink.write = buffer_write, .buffer = answer};
    (void)promql_partial_run(&request, &environment, &sink.sink, &error); /* told in the answer */
}

/* The text that is sent means what stood in the query. */
static void text_check(const struct promql_partial_request *request)
{
    struct arena *arena = arena_create(0);
    struct promql_query query = {0};
    struct error error;
    struct promql_options options = {.features = request->features};
    enum error_code code = promql_parse(request->expression, &options, arena, &query, &error);
    if (code != ERROR_NONE || !promql_equal(query.root, request->tree)) {
        fprintf(stderr, "text of a sub-expression: %.*s\n", TEXT_ARGUMENTS(request->expression));
        abort();
    }
    promql_query_clear(&query);
    arena_destroy(arena);
}

static enum error_code split_begin(struct promql_distributor *self,
                                   const struct promql_partial_request *request,
                                   struct promql_distribution **distribution_out,
                                   struct error *error)
{
    struct split_places *places = (struct split_places *)self;
    if (places->faults.declines) {
        *distribution_out = NULL;
        return ERROR_NONE;
    }
    if (places->checks_texts)
        text_check(request);
    struct split_distribution *split = calloc(1, sizeof *split);
    if (split == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "distribution");
    split->distribution.operations =
        places->place_count > 2 && !places->faults.reads_in_order ? &AS_THEY_COME : &IN_ORDER;
    split->distribution.place_count = places->place_count;
    split->places = places;
    places->request_count++;
    if (++places->under_way > places->under_way_max)
        places->under_way_max = places->under_way;
    byte_buffer_reset(&places->latest);
    byte_buffer_append(&places->latest, request->expression.data, request->expression.size);
    struct byte_buffer bytes = {0};
    struct promql_partial_request sent = *request;
    sent.packing = places->packing;
    promql_partial_request_encode(&sent, &bytes);
    for (size_t place = 0; place < places->place_count && !bytes.failed; place++) {
        place_answer(places, place, &bytes, &split->answers[place]);
        places->answer_bytes += split->answers[place].size;
    }
    bool is_whole = !bytes.failed;
    byte_buffer_clear(&bytes);
    if (!is_whole) {
        split_close(&split->distribution);
        return error_set(error, ERROR_OUT_OF_MEMORY, "request");
    }
    *distribution_out = &split->distribution;
    return ERROR_NONE;
}

static const struct promql_distributor_operations DISTRIBUTOR_OPERATIONS = {.begin = split_begin};

struct split_places *split_places_create(const struct series_memory *memory, size_t place_count,
                                         struct worker_pool *pool)
{
    assert(place_count <= PLACES_MAX);
    struct split_places *places = calloc(1, sizeof *places);
    if (places == NULL)
        abort();
    places->distributor.operations = &DISTRIBUTOR_OPERATIONS;
    places->place_count = place_count;
    places->pool = pool;
    places->checks_texts = true;
    for (size_t place = 0; place < place_count; place++)
        places->memories[place] = series_memory_create();
    for (size_t i = 0; i < series_memory_count(memory); i++) {
        struct labels labels = series_memory_labels(memory, i);
        size_t place = (size_t)(labels_hash(labels, 7).low % place_count);
        struct sample_columns columns = series_memory_columns(memory, i);
        for (size_t j = 0; j < columns.count; j++)
            series_memory_add(
                places->memories[place], labels,
                (struct memory_sample){
                    .timestamp_ms = columns.timestamps_ms[j],
                    .value = columns.values[j],
                    .histogram = columns.histograms == NULL ? NULL : columns.histograms[j],
                    .start_timestamp_ms =
                        columns.start_timestamps_ms == NULL ? 0 : columns.start_timestamps_ms[j],
                });
    }
    return places;
}

void split_places_destroy(struct split_places *places)
{
    if (places == NULL)
        return;
    for (size_t place = 0; place < places->place_count; place++)
        series_memory_destroy(places->memories[place]);
    byte_buffer_clear(&places->latest);
    free(places);
}

struct promql_distributor *split_places_distributor(struct split_places *places)
{
    return &places->distributor;
}

void split_places_set_faults(struct split_places *places, struct split_faults faults)
{
    places->faults = faults;
    places->checks_texts = false;
}

void split_places_set_packing(struct split_places *places, enum promql_partial_packing packing)
{
    places->packing = packing;
}

size_t split_places_request_count(const struct split_places *places)
{
    return places->request_count;
}

size_t split_places_under_way_max(const struct split_places *places)
{
    return places->under_way_max;
}

size_t split_places_under_way(const struct split_places *places)
{
    return places->under_way;
}

uint64_t split_places_answer_bytes(const struct split_places *places)
{
    return places->answer_bytes;
}

struct text split_places_latest(const struct split_places *places)
{
    return (struct text){(const char *)places->latest.bytes, places->latest.size};
}
