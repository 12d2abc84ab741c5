/* What is known of metrics in this cluster and all others. */
#include "gather.h"
#include "promql/record_format.h"

struct visiting {
    const struct metadata_request *request;
    bool is_ended;
};

static bool visit(void *context, struct text metric_name, const struct metric_metadata *metadata)
{
    struct visiting *visiting = context;
    if (!visiting->is_ended)
        visiting->is_ended =
            !visiting->request->visit(visiting->request->context, metric_name, metadata);
    return !visiting->is_ended;
}

static enum error_code visit_answer(struct visiting *visiting, struct text body,
                                    bool *is_damaged_out, struct error *error)
{
    struct selection_answer answer;
    enum error_code code =
        selection_answer_open((const uint8_t *)body.data, body.size, &answer, error);
    const uint8_t *payload;
    size_t size;
    while (code == ERROR_NONE && selection_answer_next(&answer, &payload, &size)) {
        struct byte_reader reader = byte_reader_over(payload, size);
        struct text name;
        struct metric_metadata metadata;
        while (record_read_metadata(&reader, &name, &metadata))
            if (!visit(visiting, name, &metadata))
                return ERROR_NONE;
        if (reader.failed)
            code = error_set(error, ERROR_CORRUPT, "its metadata");
    }
    if (code == ERROR_NONE)
        *is_damaged_out |= answer.is_damaged;
    return code;
}

static enum error_code visit_others(struct gather *gather, struct visiting *visiting,
                                    bool *is_damaged_out, struct error *error)
{
    while (!visiting->is_ended) {
        size_t cluster;
        struct text body;
        enum error_code code = gather_next(gather, &cluster, &body, error);
        if (code != ERROR_NONE || cluster == SIZE_MAX)
            return code;
        code = visit_answer(visiting, body, is_damaged_out, error);
        if (code != ERROR_NONE)
            code = gather_refuse(gather, cluster, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static enum error_code metadata_visit(struct metadata_source *self,
                                      const struct metadata_request *request, bool *damaged_out,
                                      struct error *error)
{
    struct federation_read *read = ((struct federation_read_metadata *)self)->read;
    struct selection selection = {.kind = SELECTION_METADATA, .name = request->metric};
    struct visiting visiting = {.request = request};
    struct metadata_request own = *request;
    struct gather gather;
    bool is_damaged = false;
    own.visit = visit;
    own.context = &visiting;
    enum error_code code = gather_begin(&gather, read, &selection, request->deadline_ns, error);
    if (code != ERROR_NONE)
        return code;
    code = metadata_source_visit(read->metadata, &own, &is_damaged, error);
    if (code == ERROR_NONE)
        code = visit_others(&gather, &visiting, &is_damaged, error);
    gather_end(&gather);
    if (code == ERROR_NONE)
        *damaged_out = is_damaged;
    return code;
}

const struct metadata_source_operations FEDERATION_METADATA_OPERATIONS = {.visit = metadata_visit};
