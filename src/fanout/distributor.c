/*
 * Sub-queries to the nodes that have the series.
 *
 * Places are shards: the answer of those that were answered together is that of the lowest of them,
 * and the others have an empty one. So a place may move to another node, or fall apart, until all
 * answers are whole; only then the engine gets the first.
 */
#include <assert.h>
#include <stdlib.h>

#include "exchange.h"
#include "group_source.h"
#include "partial_run.h"

struct fanout_distribution {
    struct promql_distribution base; /* first */
    struct fanout *fanout;
    const struct promql_partial_request *request;
    const atomic_bool *canceled;
    struct arena_account *memory;
    struct arena *arena;
    struct question question;
    struct byte_buffer partial; /* bytes of the sub-query */
    struct exchange *exchange;
    struct answer_frame *empty;     /* the answer of nothing; NULL until it is needed */
    struct answer_frame **next;     /* [place_count], to be read */
    struct fanout_windows *windows; /* NULL: nobody wants to know */
    struct told_windows *told;      /* [place_count], of those that were answered here */
    bool is_complete;
    struct exchange_tries tries;
};

struct frames_sink {
    struct promql_partial_sink base; /* first */
    struct arena *arena;
    struct answer_frame *first;
    struct answer_frame **last;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- Evaluating here ------------------------------------------------------------------------- */

static enum error_code frames_write(struct promql_partial_sink *self, const uint8_t *bytes,
                                    size_t size, struct error *error)
{
    struct frames_sink *sink = (struct frames_sink *)self;
    struct answer_frame *frame = arena_allocate(sink->arena, sizeof *frame);
    uint8_t *copy = arena_allocate(sink->arena, size);
    if (frame == NULL || copy == NULL)
        return out_of_memory(error);
    memcpy(copy, bytes, size);
    *frame = (struct answer_frame){.bytes = copy, .size = size};
    *sink->last = frame;
    sink->last = &frame->next;
    return ERROR_NONE;
}

static enum error_code evaluate(struct fanout_distribution *distribution,
                                struct series_source *source, struct answer_frame **frames_out,
                                struct error *error)
{
    struct frames_sink sink = {.base.write = frames_write, .arena = distribution->arena};
    struct partial_run run = {
        .fanout = distribution->fanout,
        .request = distribution->request,
        .source = source,
        .canceled = distribution->canceled,
        .memory = distribution->memory,
    };
    sink.last = &sink.first;
    enum error_code code = partial_run(&run, &sink.base, error);
    if (code == ERROR_NONE)
        *frames_out = sink.first;
    return code;
}

static enum error_code evaluate_group(struct fanout_distribution *distribution,
                                      const struct fanout_replica *replicas, size_t count,
                                      struct answer_frame **frames_out, struct error *error)
{
    struct group_source source;
    group_source_init(&source, distribution->fanout, replicas, count);
    return evaluate(distribution, &source.base, frames_out, error);
}

/* What all of them had applied before, and what was read of them. */
static enum error_code evaluate_told(struct fanout_distribution *distribution,
                                     const struct exchange_group *group,
                                     struct answer_frame **frames_out, struct error *error)
{
    struct fanout_replicas *replicas = distribution->fanout->options.replicas;
    struct group_source source;
    uint64_t *applied = arena_array(distribution->arena, group->count, sizeof *applied);
    if (applied == NULL)
        return out_of_memory(error);
    for (size_t i = 0; i < group->count; i++)
        applied[i] = replicas->operations->applied_index(replicas, &group->replicas[i]);
    group_source_init(&source, distribution->fanout, group->replicas, group->count);
    enum error_code code = evaluate(distribution, &source.base, frames_out, error);
    for (size_t i = 0; code == ERROR_NONE && i < group->count; i++)
        distribution->told[group->indexes[i]] = told_windows_of(
            replicas, &group->replicas[i], applied[i], &source.span, distribution->arena);
    return code;
}

static enum error_code answer_here(void *context, const struct exchange_group *group,
                                   struct answer_frame **frames_out, struct error *error)
{
    return evaluate_told(context, group, frames_out, error);
}

/* --- Reading --------------------------------------------------------------------------------- */

static void lay_out(struct fanout_distribution *distribution)
{
    const struct exchange_answer *answers = exchange_answers(distribution->exchange);
    for (size_t place = 0; place < distribution->base.place_count; place++)
        distribution->next[place] =
            answers[place].group == place ? answers[place].first : distribution->empty;
    for (size_t place = 0; place < distribution->base.place_count; place++)
        fanout_windows_add(distribution->windows, answers[place].shard_id,
                           answers[place].is_local ? &distribution->told[place]
                                                   : &answers[place].windows);
}

/* Some node knows no sub-queries, or not this one, or a shard was split meanwhile: it sends the
 * series, and all is done here. */
static enum error_code complete_by_series(struct fanout_distribution *distribution,
                                          struct error *error)
{
    struct fanout_source source;
    fanout_source_init(&source, distribution->fanout, distribution->question.read,
                       distribution->windows);
    enum error_code code = evaluate(distribution, &source.base, &distribution->next[0], error);
    for (size_t place = 1; place < distribution->base.place_count; place++)
        distribution->next[place] = distribution->empty;
    return code;
}

static enum error_code complete(struct fanout_distribution *distribution, struct error *error)
{
    enum error_code code = evaluate_group(distribution, NULL, 0, &distribution->empty, error);
    if (code != ERROR_NONE)
        return code;
    code = exchange_run(distribution->exchange, error);
    if (code == ERROR_NONE)
        lay_out(distribution);
    else if (code == ERROR_UNSUPPORTED || distribution->tries.is_outdated)
        code = complete_by_series(distribution, error);
    distribution->is_complete = code == ERROR_NONE;
    return code;
}

static enum error_code distribution_read(struct promql_distribution *self, size_t place,
                                         const uint8_t **bytes_out, size_t *size_out,
                                         struct error *error)
{
    struct fanout_distribution *distribution = (struct fanout_distribution *)self;
    assert(place < self->place_count);
    if (!distribution->is_complete) {
        enum error_code code = complete(distribution, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct answer_frame *frame = distribution->next[place];
    while (frame != NULL && frame->size == 0) /* which would mean its end */
        frame = frame->next;
    *bytes_out = frame == NULL ? NULL : frame->bytes;
    *size_out = frame == NULL ? 0 : frame->size;
    distribution->next[place] = frame == NULL ? NULL : frame->next;
    return ERROR_NONE;
}

static void distribution_close(struct promql_distribution *self)
{
    struct fanout_distribution *distribution = (struct fanout_distribution *)self;
    exchange_close(distribution->exchange);
    byte_buffer_clear(&distribution->partial);
    arena_destroy(distribution->arena);
    free(distribution);
}

static const struct promql_distribution_operations DISTRIBUTION_OPERATIONS = {
    .read = distribution_read,
    .close = distribution_close,
};

/* --- Beginning ------------------------------------------------------------------------------- */

static enum error_code start(struct fanout_distribution *distribution,
                             const struct fanout_distributor *distributor, struct error *error)
{
    enum { NS_PER_MS = 1000 * 1000 };
    const struct promql_partial_request *request = distribution->request;
    distribution->arena =
        distributor->memory == NULL ? arena_create(0) : arena_create_charged(distributor->memory);
    promql_partial_request_encode(request, &distribution->partial);
    if (distribution->arena == NULL || distribution->partial.failed)
        return out_of_memory(error);
    distribution->question = (struct question){
        .kind = QUESTION_PARTIAL,
        .read = distributor->read,
        .wants_windows = distributor->windows != NULL,
        .partial = {(const char *)distribution->partial.bytes, distribution->partial.size},
    };
    struct exchange_options options = {
        .fanout = distributor->fanout,
        .mode = EXCHANGE_GROUPS,
        .question = &distribution->question,
        .arena = distribution->arena,
        .canceled = distributor->canceled,
        .deadline_ns = request->timeout_ms == 0
                           ? 0
                           : fanout_now_ns(distributor->fanout) + request->timeout_ms * NS_PER_MS,
        .tries = &distribution->tries,
        .local = answer_here,
        .context = distribution,
    };
    enum error_code code =
        exchange_create(&options, &distribution->exchange, &distribution->base.place_count, error);
    if (code != ERROR_NONE)
        return code;
    distribution->next = arena_array(distribution->arena, distribution->base.place_count,
                                     sizeof *distribution->next);
    distribution->told = arena_array(distribution->arena, distribution->base.place_count,
                                     sizeof *distribution->told);
    if (distribution->next == NULL || distribution->told == NULL)
        return out_of_memory(error);
    return exchange_begin(distribution->exchange, error);
}

static enum error_code distributor_begin(struct promql_distributor *self,
                                         const struct promql_partial_request *request,
                                         struct promql_distribution **distribution_out,
                                         struct error *error)
{
    const struct fanout_distributor *distributor = (const struct fanout_distributor *)self;
    *distribution_out = NULL;
    if (fanout_leads_all(distributor->fanout))
        return ERROR_NONE;
    struct fanout_distribution *distribution = calloc(1, sizeof *distribution);
    if (distribution == NULL)
        return out_of_memory(error);
    distribution->base.operations = &DISTRIBUTION_OPERATIONS;
    distribution->fanout = distributor->fanout;
    distribution->request = request;
    distribution->canceled = distributor->canceled;
    distribution->memory = distributor->memory;
    distribution->windows = distributor->windows;
    enum error_code code = start(distribution, distributor, error);
    if (code != ERROR_NONE) {
        bool declines = distribution->tries.is_outdated;
        distribution_close(&distribution->base);
        return declines ? ERROR_NONE : code;
    }
    *distribution_out = &distribution->base;
    return ERROR_NONE;
}

static const struct promql_distributor_operations DISTRIBUTOR_OPERATIONS = {.begin =
                                                                                distributor_begin};

struct promql_distributor *fanout_distributor_init(struct fanout_distributor *distributor,
                                                   struct fanout *fanout, enum fanout_read read,
                                                   const atomic_bool *canceled,
                                                   struct arena_account *memory)
{
    *distributor = (struct fanout_distributor){
        .base.operations = &DISTRIBUTOR_OPERATIONS,
        .fanout = fanout,
        .read = read,
        .canceled = canceled,
        .memory = memory,
    };
    return fanout_leads_all(fanout) ? NULL : &distributor->base;
}
