/* The cluster: what it looks like, and what operators ask of it. */
#include "api_private.h"

/* --- Looking ---------------------------------------------------------------------------------- */

static void described(void *argument, struct byte_buffer *json, const struct error *error)
{
    if (error->code != ERROR_NONE) {
        byte_buffer_clear(json);
        api_respond_code(argument, error, API_UNAVAILABLE);
    } else {
        api_respond_data(argument, json);
    }
}

void api_cluster(struct http_request *request)
{
    struct api *api = api_of(request);
    api->options.program.describe_cluster(api->options.program.context,
                                          http_request_scheduler(request), described, request);
}

/* --- Commands --------------------------------------------------------------------------------- */

static void commanded(void *argument, const struct error *error)
{
    if (error->code == ERROR_NONE)
        api_respond_status(argument, 204);
    else if (error->code == ERROR_NOT_FOUND)
        api_respond_code(argument, error, API_NOT_FOUND);
    else if (error->code == ERROR_TIMEOUT || error->code == ERROR_CLOSED ||
             error->code == ERROR_UNAVAILABLE)
        api_respond_code(argument, error, API_UNAVAILABLE);
    else
        api_respond_error(argument, API_BAD_DATA, error->message);
}

static void command(struct http_request *request, enum api_cluster_action action)
{
    struct api *api = api_of(request);
    const struct http_parameters *parameters;
    struct api_cluster_command asked = {.action = action};
    struct text text;
    struct error error;
    int64_t number = 0;
    if (!api_parameters(request, &parameters))
        return;
    bool takes_node = action <= API_CLUSTER_REMOVE;
    if (takes_node &&
        (!http_parameters_find(parameters, TEXT("node"), &asked.node) || asked.node.size == 0)) {
        error_set(&error, ERROR_INVALID, "the parameter 'node' names the node");
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    if (action == API_CLUSTER_REPLICATION &&
        (!http_parameters_find(parameters, TEXT("number"), &text) ||
         !text_to_int64(text, &number) || number < 1)) {
        error_set(&error, ERROR_INVALID, "the parameter 'number' says how many replicas");
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    if (action == API_CLUSTER_SPLIT &&
        (!http_parameters_find(parameters, TEXT("shard"), &text) ||
         (!text_equal(text, TEXT("largest")) &&
          (!text_to_int64(text, &number) || number < 0 || number > UINT16_MAX)))) {
        error_set(&error, ERROR_INVALID,
                  "the parameter 'shard' is the number of a shard, or 'largest'");
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    if (action == API_CLUSTER_SPLIT && text_equal(text, TEXT("largest")))
        number = -1;
    asked.number = (uint64_t)number;
    asked.force =
        http_parameters_find(parameters, TEXT("force"), &text) && text_equal(text, TEXT("true"));
    api->options.program.command_cluster(api->options.program.context, &asked,
                                         http_request_scheduler(request), commanded, request);
}

void api_cluster_drain(struct http_request *request)
{
    command(request, API_CLUSTER_DRAIN);
}

void api_cluster_undrain(struct http_request *request)
{
    command(request, API_CLUSTER_UNDRAIN);
}

void api_cluster_remove(struct http_request *request)
{
    command(request, API_CLUSTER_REMOVE);
}

void api_cluster_rebalance(struct http_request *request)
{
    command(request, API_CLUSTER_REBALANCE);
}

void api_cluster_replication(struct http_request *request)
{
    command(request, API_CLUSTER_REPLICATION);
}

void api_cluster_hold_version(struct http_request *request)
{
    command(request, API_CLUSTER_HOLD_VERSION);
}

void api_cluster_raise_version(struct http_request *request)
{
    command(request, API_CLUSTER_RAISE_VERSION);
}

void api_cluster_split(struct http_request *request)
{
    command(request, API_CLUSTER_SPLIT);
}

/* --- Replicas --------------------------------------------------------------------------------- */

static void rescued(void *argument, struct byte_buffer *json, const struct error *error)
{
    if (error->code == ERROR_NONE) {
        api_respond_data(argument, json);
        return;
    }
    byte_buffer_clear(json);
    commanded(argument, error);
}

static void rescue(struct http_request *request, const struct api_rescue *asked)
{
    struct api *api = api_of(request);
    api->options.program.rescue(api->options.program.context, asked,
                                http_request_scheduler(request), rescued, request);
}

void api_cluster_verify(struct http_request *request)
{
    rescue(request, &(struct api_rescue){.action = API_RESCUE_VERIFY});
}

void api_cluster_verify_look(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text text;
    int64_t first = 0;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("first"), &text) &&
        (!text_to_int64(text, &first) || first < 0 || first > UINT16_MAX)) {
        api_respond_error(request, API_BAD_DATA, "the parameter 'first' is the number of a shard");
        return;
    }
    rescue(request,
           &(struct api_rescue){.action = API_RESCUE_VERIFY_LOOK, .first = (uint32_t)first});
}

void api_cluster_recover_quorum(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text text;
    int64_t shard = 0;
    if (!api_parameters(request, &parameters))
        return;
    bool is_named = http_parameters_find(parameters, TEXT("shard"), &text);
    bool is_meta = is_named && text_equal(text, TEXT("meta"));
    if (!is_meta &&
        (!is_named || !text_to_int64(text, &shard) || shard < 0 || shard > UINT16_MAX)) {
        api_respond_error(request, API_BAD_DATA,
                          "the parameter 'shard' is the number of a shard, or 'meta'");
        return;
    }
    bool confirmed =
        http_parameters_find(parameters, TEXT("confirm"), &text) && text_equal(text, TEXT("true"));
    rescue(request, &(struct api_rescue){
                        .action = confirmed ? API_RESCUE_RECOVER : API_RESCUE_LOOK,
                        .shard = is_meta ? UINT32_MAX : (uint32_t)shard,
                    });
}
