/* What requests read: this node's shards, or those of the whole cluster. */
#include "api_private.h"

enum fanout_read api_read_consistency(const struct http_request *request)
{
    struct text consistency;
    bool is_strong = http_request_header(request, TEXT("X-Read-Consistency"), &consistency) &&
                     text_equal_ignoring_case(text_trim(consistency), TEXT("strong"));
    return is_strong ? FANOUT_READ_STRONG : FANOUT_READ_DEFAULT;
}

static enum error_code read_partial(const struct http_parameters *parameters,
                                    enum federation_partial *partial, struct error *error)
{
    struct text value;
    if (!http_parameters_find(parameters, TEXT("partial_response"), &value) || value.size == 0)
        return ERROR_NONE;
    if (text_equal_ignoring_case(value, TEXT("true")) || text_equal(value, TEXT("1")))
        *partial = FEDERATION_WARN;
    else if (text_equal_ignoring_case(value, TEXT("false")) || text_equal(value, TEXT("0")))
        *partial = FEDERATION_ABORT;
    else
        return error_set(error, ERROR_INVALID,
                         "invalid parameter \"partial_response\": true or false");
    return ERROR_NONE;
}

enum error_code api_reading_open(struct http_request *request,
                                 const struct http_parameters *parameters, struct text tenant,
                                 const atomic_bool *canceled, struct api_reading *reading,
                                 struct error *error)
{
    const struct api_options *options = &api_of(request)->options;
    enum fanout_read read = api_read_consistency(request);
    enum federation_partial partial = options->federation_partial;
    enum error_code code = read_partial(parameters, &partial, error);
    if (code != ERROR_NONE)
        return code;
    /* The frontend's own source is what the program made it of. */
    reading->source = options->fanout == NULL || read == FANOUT_READ_DEFAULT
                          ? frontend_source(options->frontend)
                          : fanout_source(options->fanout, read);
    if (options->fanout == NULL)
        return ERROR_NONE;
    reading->metadata = fanout_metadata(options->fanout, read);
    reading->distributor = fanout_distributor_init(&reading->within, options->fanout, read,
                                                   canceled, frontend_memory(options->frontend));
    if (options->federation == NULL)
        return ERROR_NONE;
    reading->across = (struct federation_read){
        .federation = options->federation,
        .partial = partial,
        .tenant = tenant,
        .source = reading->source,
        .metadata = reading->metadata,
        .distributor = reading->distributor,
        .canceled = canceled,
    };
    federation_read_init(&reading->across);
    reading->is_federated = true;
    reading->source = federation_source(&reading->across);
    reading->metadata = federation_metadata(&reading->across);
    reading->distributor = federation_distributor(&reading->across);
    return ERROR_NONE;
}

void api_reading_close(struct api_reading *reading)
{
    if (reading->is_federated)
        federation_read_clear(&reading->across);
    reading->is_federated = false;
}

bool api_reading_warnings(struct api_reading *reading, bool is_first, struct byte_buffer *json)
{
    struct federation_warning *position = NULL;
    struct text warning;
    while (reading->is_federated &&
           federation_next_warning(&reading->across, &position, &warning)) {
        json_raw(json, is_first ? TEXT(",\"warnings\":[") : TEXT(","));
        json_string(json, warning);
        is_first = false;
    }
    return is_first;
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
    return metadata_source_visit(lookup->reading.metadata, &request, damaged_out, error);
}
