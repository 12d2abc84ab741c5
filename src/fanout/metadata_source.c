/* What is known of metrics in all shards of the cluster. */
#include "exchange.h"
#include "promql/record_format.h"

struct asking {
    struct fanout *fanout;
    const struct metadata_request *request;
    bool damaged;
    bool is_ended; /* by the visitor */
    struct exchange_tries tries;
};

static bool visit(void *context, struct text metric_name, const struct metric_metadata *metadata)
{
    struct asking *asking = context;
    if (!asking->is_ended)
        asking->is_ended = !asking->request->visit(asking->request->context, metric_name, metadata);
    return !asking->is_ended;
}

static enum error_code answer_here(void *context, const struct exchange_group *group,
                                   struct answer_frame **frames_out, struct error *error)
{
    struct asking *asking = context;
    struct fanout_replicas *replicas = asking->fanout->options.replicas;
    struct metadata_request request = *asking->request;
    enum error_code code = ERROR_NONE;
    (void)frames_out;
    request.visit = visit;
    request.context = asking;
    /* Told twice, when an error sends the question elsewhere, is not told differently. */
    for (size_t i = 0; code == ERROR_NONE && i < group->count; i++) {
        bool damaged = false;
        code = replicas->operations->visit_metadata(replicas, &group->replicas[i], &request,
                                                    &damaged, error);
        asking->damaged |= damaged;
    }
    return code;
}

static enum error_code visit_answer(struct asking *asking, const struct exchange_answer *answer,
                                    struct error *error)
{
    asking->damaged |= answer->damaged;
    for (struct answer_frame *frame = answer->first; frame != NULL; frame = frame->next) {
        struct byte_reader reader = byte_reader_over(frame->bytes, frame->size);
        struct text name;
        struct metric_metadata metadata;
        while (record_read_metadata(&reader, &name, &metadata))
            if (!visit(asking, name, &metadata))
                return ERROR_NONE;
        if (reader.failed)
            return error_set(error, ERROR_CORRUPT, "metadata of another node");
    }
    return ERROR_NONE;
}

static enum error_code visit_once(struct asking *asking,
                                  const struct fanout_metadata_source *source,
                                  const struct metadata_request *request, struct error *error)
{
    struct question question = {
        .kind = QUESTION_METADATA,
        .read = source->read,
        .tenant = request->tenant,
        .name = request->metric,
    };
    struct exchange_options options = {
        .fanout = source->fanout,
        .question = &question,
        .arena = request->arena,
        .canceled = request->canceled,
        .deadline_ns = request->deadline_ns,
        .tries = &asking->tries,
        .local = answer_here,
        .context = asking,
    };
    struct exchange *exchange;
    size_t count;
    enum error_code code = exchange_create(&options, &exchange, &count, error);
    if (code != ERROR_NONE)
        return code;
    code = exchange_run(exchange, error);
    for (size_t i = 0; code == ERROR_NONE && i < count && !asking->is_ended; i++)
        if (!exchange_answers(exchange)[i].is_local)
            code = visit_answer(asking, &exchange_answers(exchange)[i], error);
    exchange_close(exchange);
    return code;
}

/* What is visited twice, since a shard was split meanwhile, is the same. */
static enum error_code source_visit(struct metadata_source *self,
                                    const struct metadata_request *request, bool *damaged_out,
                                    struct error *error)
{
    const struct fanout_metadata_source *source = (const struct fanout_metadata_source *)self;
    struct asking asking = {.fanout = source->fanout, .request = request};
    enum error_code code;
    do
        code = visit_once(&asking, source, request, error);
    while (code != ERROR_NONE &&
           exchange_again(source->fanout, &asking.tries, request->canceled, error));
    if (code == ERROR_NONE)
        *damaged_out = asking.damaged;
    return code == ERROR_NONE ? code : error->code;
}

const struct metadata_source_operations FANOUT_METADATA_OPERATIONS = {.visit = source_visit};
