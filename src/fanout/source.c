/* All shards of the cluster as one series_source. */
#include "exchange.h"
#include "fanout_set.h"
#include "promql/record_format.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
}

/* --- Asking ---------------------------------------------------------------------------------- */

/* A request on its way; what comes of replicas here goes to one of the last five. */
struct asking {
    struct fanout *fanout;
    const struct series_request *request;
    struct question question;
    struct exchange *exchange;
    size_t shard_count;
    struct fanout_set *set;
    struct text_set *texts;
    struct series_exemplars *exemplars; /* [exemplar_count] */
    size_t exemplar_count;
    size_t exemplar_capacity;
    struct exchange_tries tries;
};

static enum error_code add_series(struct asking *asking, const struct series_exemplars *found,
                                  size_t count, struct error *error)
{
    if (count > asking->exemplar_capacity - asking->exemplar_count) {
        size_t capacity = 2 * asking->exemplar_capacity + count;
        struct series_exemplars *all = arena_grow(asking->request->arena, asking->exemplars,
                                                  asking->exemplar_capacity, capacity, sizeof *all);
        if (all == NULL)
            return out_of_memory(error);
        asking->exemplars = all;
        asking->exemplar_capacity = capacity;
    }
    memcpy(asking->exemplars + asking->exemplar_count, found, count * sizeof *found);
    asking->exemplar_count += count;
    return ERROR_NONE;
}

static enum error_code read_here(struct asking *asking, struct series_source *source,
                                 struct error *error)
{
    const struct series_request *request = asking->request;
    if (asking->question.kind == QUESTION_LABEL_NAMES)
        return series_source_label_names(source, request, asking->texts, error);
    if (asking->question.kind == QUESTION_LABEL_VALUES)
        return series_source_label_values(source, request, asking->question.name, asking->texts,
                                          error);
    struct series_exemplars *found;
    size_t count;
    enum error_code code = series_source_exemplars(source, request, &found, &count, error);
    return code != ERROR_NONE || count == 0 ? code : add_series(asking, found, count, error);
}

static enum error_code answer_here(void *context, const struct exchange_group *group,
                                   struct answer_frame **frames_out, struct error *error)
{
    struct asking *asking = context;
    struct fanout_replicas *replicas = asking->fanout->options.replicas;
    size_t exemplars_before = asking->exemplar_count;
    enum error_code code = ERROR_NONE;
    (void)frames_out;
    if (asking->question.kind == QUESTION_SELECT)
        return fanout_set_select(asking->set, asking->fanout, group, error);
    for (size_t i = 0; code == ERROR_NONE && i < group->count; i++)
        code =
            read_here(asking, replicas->operations->source(replicas, &group->replicas[i]), error);
    if (code != ERROR_NONE)
        asking->exemplar_count = exemplars_before; /* names and values may come twice */
    return code;
}

static enum error_code begin(struct asking *asking, const struct fanout_source *source,
                             const struct series_request *request, enum question_kind kind,
                             struct error *error)
{
    asking->fanout = source->fanout;
    asking->request = request;
    asking->question = (struct question){
        .kind = kind,
        .read = source->read,
        .wants_windows = kind == QUESTION_SELECT && source->windows != NULL,
        .tenant = request->tenant,
        .name = asking->question.name,
        .matchers = request->matchers,
        .matcher_count = request->matcher_count,
        .start_ms = request->start_ms,
        .end_ms = request->end_ms,
        .need = request->need,
        .series_limit = request->series_limit,
    };
    struct exchange_options options = {
        .fanout = source->fanout,
        .question = &asking->question,
        .arena = request->arena,
        .canceled = request->canceled,
        .deadline_ns = request->deadline_ns,
        .tries = &asking->tries,
        .local = answer_here,
        .context = asking,
    };
    return exchange_create(&options, &asking->exchange, &asking->shard_count, error);
}

/* --- Select ---------------------------------------------------------------------------------- */

static enum error_code select_once(struct asking *asking, const struct fanout_source *source,
                                   const struct series_request *request, struct error *error)
{
    enum error_code code = begin(asking, source, request, QUESTION_SELECT, error);
    if (code != ERROR_NONE)
        return code;
    asking->set = fanout_set_create(request, asking->exchange, asking->shard_count);
    if (asking->set == NULL) {
        exchange_close(asking->exchange);
        return out_of_memory(error);
    }
    code = exchange_run(asking->exchange, error);
    if (code == ERROR_NONE)
        code = fanout_set_complete(asking->set, error);
    if (code != ERROR_NONE)
        series_set_close(fanout_set_base(asking->set));
    return code;
}

static enum error_code source_select(struct series_source *self,
                                     const struct series_request *request,
                                     struct series_set **set_out, struct error *error)
{
    const struct fanout_source *source = (const struct fanout_source *)self;
    struct asking asking = {0};
    enum error_code code;
    do
        code = select_once(&asking, source, request, error);
    while (code != ERROR_NONE &&
           exchange_again(source->fanout, &asking.tries, request->canceled, error));
    if (code != ERROR_NONE)
        return error->code;
    fanout_set_tell(asking.set, source->fanout, source->windows);
    *set_out = fanout_set_base(asking.set);
    return ERROR_NONE;
}

/* --- Finding all but series ------------------------------------------------------------------ */

/* Takes what another node answered for a shard. */
typedef enum error_code add_answer(struct asking *asking, const struct exchange_answer *answer,
                                   struct error *error);

static enum error_code find_once(struct asking *asking, const struct fanout_source *source,
                                 const struct series_request *request, enum question_kind kind,
                                 add_answer *add, struct error *error)
{
    asking->exemplar_count = 0;
    enum error_code code = begin(asking, source, request, kind, error);
    if (code != ERROR_NONE)
        return code;
    code = exchange_run(asking->exchange, error);
    for (size_t i = 0; code == ERROR_NONE && i < asking->shard_count; i++) {
        const struct exchange_answer *answer = &exchange_answers(asking->exchange)[i];
        if (!answer->is_local)
            code = add(asking, answer, error);
    }
    exchange_close(asking->exchange);
    return code;
}

/* Texts that were found before a shard was split are right all the same. */
static enum error_code find(struct asking *asking, const struct fanout_source *source,
                            const struct series_request *request, enum question_kind kind,
                            add_answer *add, struct error *error)
{
    enum error_code code;
    do
        code = find_once(asking, source, request, kind, add, error);
    while (code != ERROR_NONE &&
           exchange_again(source->fanout, &asking->tries, request->canceled, error));
    return code == ERROR_NONE ? code : error->code;
}

/* --- Names and values ------------------------------------------------------------------------ */

/* What other nodes sent stays in the request's arena, as the set's texts shall. */
static enum error_code add_texts(struct asking *asking, const struct exchange_answer *answer,
                                 struct error *error)
{
    for (struct answer_frame *frame = answer->first; frame != NULL; frame = frame->next) {
        struct byte_reader reader = byte_reader_over(frame->bytes, frame->size);
        struct text text;
        while (record_read_text(&reader, &text))
            if (text_set_add(asking->texts, text) == TEXT_SET_OUT_OF_MEMORY)
                return out_of_memory(error);
        if (reader.failed)
            return error_set(error, ERROR_CORRUPT, "texts of another node");
    }
    return ERROR_NONE;
}

static enum error_code source_label_names(struct series_source *self,
                                          const struct series_request *request,
                                          struct text_set *names, struct error *error)
{
    struct asking asking = {.texts = names};
    return find(&asking, (struct fanout_source *)self, request, QUESTION_LABEL_NAMES, add_texts,
                error);
}

static enum error_code source_label_values(struct series_source *self,
                                           const struct series_request *request, struct text name,
                                           struct text_set *values, struct error *error)
{
    struct asking asking = {.texts = values, .question.name = name};
    return find(&asking, (struct fanout_source *)self, request, QUESTION_LABEL_VALUES, add_texts,
                error);
}

/* --- Exemplars ------------------------------------------------------------------------------- */

static enum error_code add_exemplars(struct asking *asking, const struct exchange_answer *answer,
                                     struct error *error)
{
    struct arena *arena = asking->request->arena;
    for (struct answer_frame *frame = answer->first; frame != NULL; frame = frame->next) {
        struct byte_reader reader = byte_reader_over(frame->bytes, frame->size);
        while (byte_reader_left(&reader) > 0) {
            struct series_exemplars series;
            enum error_code code = record_read_exemplars(&reader, arena, &series, error);
            if (code == ERROR_NONE)
                code = add_series(asking, &series, 1, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

static enum error_code source_exemplars(struct series_source *self,
                                        const struct series_request *request,
                                        struct series_exemplars **series_out, size_t *count_out,
                                        struct error *error)
{
    struct asking asking = {0};
    enum error_code code = find(&asking, (struct fanout_source *)self, request, QUESTION_EXEMPLARS,
                                add_exemplars, error);
    if (code != ERROR_NONE)
        return code;
    *series_out = asking.exemplars;
    *count_out = asking.exemplar_count;
    return ERROR_NONE;
}

const struct series_source_operations FANOUT_SOURCE_OPERATIONS = {
    .select = source_select,
    .label_names = source_label_names,
    .label_values = source_label_values,
    .exemplars = source_exemplars,
};
