/* Deleting tenants, and how far that is: with the paths of Mimir, too. */
#include "model/tenant.h"
#include "wire/json_field.h"

#include "api_private.h"

/* --- Whom it is about ------------------------------------------------------------------------- */

/* Of /api/v1/admin/tenant: the parameter, so that nothing is deleted by a header left out. */
static bool named_tenant(struct http_request *request, struct text *tenant_out)
{
    struct api *api = api_of(request);
    const struct http_parameters *parameters;
    if (!api_parameters(request, &parameters))
        return false;
    if (!http_parameters_find(parameters, TEXT("tenant"), tenant_out) ||
        !tenant_id_is_valid(*tenant_out)) {
        api_respond_error(request, API_BAD_DATA,
                          "the parameter \"tenant\" must name a tenant: letters, digits and "
                          "!-_.*'()");
        return false;
    }
    if (!api->options.tenants_enabled && !text_equal(*tenant_out, TEXT("anonymous"))) {
        api_respond_error(request, API_BAD_DATA,
                          "without tenants.enabled there is one tenant: anonymous");
        return false;
    }
    return true;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void accepted(void *argument, const struct error *error)
{
    if (error->code != ERROR_NONE)
        api_respond_code(argument, error, API_UNAVAILABLE);
    else
        api_respond_status(argument, 204);
}

static void accepted_as_mimir(void *argument, const struct error *error)
{
    if (error->code != ERROR_NONE)
        api_respond_text(argument, 500, error->message);
    else
        api_respond_status(argument, 200);
}

static void described(void *argument, const struct shard_tenant_state *state,
                      const struct error *error)
{
    struct byte_buffer data = {0};
    if (error->code != ERROR_NONE) {
        api_respond_code(argument, error, API_UNAVAILABLE);
        return;
    }
    json_raw(&data, TEXT("{"));
    json_string_field(&data, "state", state->is_being_deleted ? "deleting" : "idle");
    json_integer_field(&data, "filesLeft", (int64_t)state->files_left);
    json_integer_field(&data, "bytesLeft", (int64_t)state->bytes_left);
    json_integer_field(&data, "objectsLeft", (int64_t)state->objects_left);
    json_integer_field(&data, "objectBytesLeft", (int64_t)state->object_bytes_left);
    json_integer_field(&data, "blocks", (int64_t)state->blocks);
    json_raw(&data, TEXT("}"));
    api_respond_data(argument, &data);
}

/* Mimir's field says whether no block has anything of the tenant any more. */
static void described_as_mimir(void *argument, const struct shard_tenant_state *state,
                               const struct error *error)
{
    struct byte_buffer json = {0};
    struct text tenant;
    if (error->code != ERROR_NONE) {
        api_respond_text(argument, 500, error->message);
        return;
    }
    if (!api_tenant(argument, &tenant))
        return;
    json_raw(&json, TEXT("{\"tenant_id\":"));
    json_string(&json, tenant);
    json_raw(&json, state->is_being_deleted || state->blocks > 0
                        ? TEXT(",\"blocks_deleted\":false}")
                        : TEXT(",\"blocks_deleted\":true}"));
    api_respond_json(argument, 200, &json);
}

/* --- Endpoints -------------------------------------------------------------------------------- */

void api_tenant_delete(struct http_request *request)
{
    struct api *api = api_of(request);
    struct text tenant;
    if (named_tenant(request, &tenant))
        api->options.program.delete_tenant(api->options.program.context,
                                           http_request_scheduler(request), tenant, accepted,
                                           request);
}

void api_tenant_status(struct http_request *request)
{
    struct api *api = api_of(request);
    struct text tenant;
    if (named_tenant(request, &tenant))
        api->options.program.ask_tenant(api->options.program.context,
                                        http_request_scheduler(request), tenant, described,
                                        request);
}

void api_compactor_delete_tenant(struct http_request *request)
{
    struct api *api = api_of(request);
    struct text tenant;
    if (!api->options.admin_enabled)
        api_admin_disabled(request);
    else if (api_tenant(request, &tenant))
        api->options.program.delete_tenant(api->options.program.context,
                                           http_request_scheduler(request), tenant,
                                           accepted_as_mimir, request);
}

void api_compactor_tenant_status(struct http_request *request)
{
    struct api *api = api_of(request);
    struct text tenant;
    if (!api->options.admin_enabled)
        api_admin_disabled(request);
    else if (api_tenant(request, &tenant))
        api->options.program.ask_tenant(api->options.program.context,
                                        http_request_scheduler(request), tenant, described_as_mimir,
                                        request);
}
