/* What requests read: this node's shards, or those of the whole cluster. */
#include "api_private.h"

static enum fanout_read read_of(const struct http_request *request)
{
    struct text consistency;
    bool is_strong = http_request_header(request, TEXT("X-Read-Consistency"), &consistency) &&
                     text_equal_ignoring_case(text_trim(consistency), TEXT("strong"));
    return is_strong ? FANOUT_READ_STRONG : FANOUT_READ_DEFAULT;
}

struct series_source *api_source(struct http_request *request)
{
    const struct api_options *options = &api_of(request)->options;
    enum fanout_read read = read_of(request);
    /* The frontend's own source is what the program made it of. */
    return options->fanout == NULL || read == FANOUT_READ_DEFAULT
               ? frontend_source(options->frontend)
               : fanout_source(options->fanout, read);
}

struct promql_distributor *api_distributor(struct http_request *request,
                                           struct fanout_distributor *distributor,
                                           const atomic_bool *canceled)
{
    const struct api_options *options = &api_of(request)->options;
    if (options->fanout == NULL)
        return NULL;
    return fanout_distributor_init(distributor, options->fanout, read_of(request), canceled,
                                   frontend_memory(options->frontend));
}

/* --- Metadata --------------------------------------------------------------------------------- */

struct visiting {
    struct text tenant;
    shard_metadata_visit *visit;
    void *context;
    bool is_over;
    bool is_damaged;
};

static bool visit_until_over(void *context, struct text metric_name,
                             const struct metric_metadata *metadata)
{
    struct visiting *visiting = context;
    visiting->is_over = !visiting->visit(visiting->context, metric_name, metadata);
    return !visiting->is_over;
}

static void visit_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    struct visiting *visiting = context;
    struct shard *shard = replica_shard(replica);
    (void)shard_id;
    if (visiting->is_over)
        return;
    shard_visit_metadata(shard, visiting->tenant, visit_until_over, visiting);
    visiting->is_damaged |= shard_metadata_is_damaged(shard);
}

enum error_code api_visit_metadata(struct api_lookup *lookup, shard_metadata_visit *visit,
                                   void *context, bool *damaged_out, struct error *error)
{
    const struct api_options *options = &lookup->api->options;
    if (options->fanout == NULL) {
        struct visiting visiting = {.tenant = lookup->tenant, .visit = visit, .context = context};
        replica_table_visit(options->replicas, visit_replica, &visiting);
        *damaged_out = visiting.is_damaged;
        return ERROR_NONE;
    }
    struct metadata_request request = {
        .tenant = lookup->tenant,
        .canceled = &lookup->job.canceled,
        .deadline_ns = lookup->job.deadline_ns,
        .arena = lookup->arena,
        .visit = visit,
        .context = context,
    };
    struct metadata_source *source = fanout_metadata(options->fanout, read_of(lookup->request));
    return metadata_source_visit(source, &request, damaged_out, error);
}
