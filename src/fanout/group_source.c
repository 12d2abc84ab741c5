#include "group_source.h"

#include "fanout_set.h"

static enum error_code group_select(struct series_source *self,
                                    const struct series_request *request,
                                    struct series_set **set_out, struct error *error)
{
    struct group_source *source = (struct group_source *)self;
    read_span_note(&source->span, request->start_ms, request->end_ms);
    struct fanout_set *set = fanout_set_create(request, NULL, source->count);
    if (set == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "the query needs too much memory");
    struct exchange_group all = {.replicas = source->replicas, .count = source->count};
    enum error_code code = fanout_set_select(set, source->fanout, &all, error);
    if (code == ERROR_NONE)
        code = fanout_set_complete(set, error);
    if (code != ERROR_NONE) {
        series_set_close(fanout_set_base(set));
        return code;
    }
    *set_out = fanout_set_base(set);
    return ERROR_NONE;
}

static const struct series_source_operations GROUP_OPERATIONS = {.select = group_select};

void group_source_init(struct group_source *source, struct fanout *fanout,
                       const struct fanout_replica *replicas, size_t count)
{
    *source = (struct group_source){.base.operations = &GROUP_OPERATIONS,
                                    .fanout = fanout,
                                    .replicas = replicas,
                                    .count = count};
    read_span_init(&source->span);
}
