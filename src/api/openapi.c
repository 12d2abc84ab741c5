/* openapi.yaml: the endpoints, as they are in their table, for those who generate clients. */
#include <assert.h>
#include <string.h>

#include "api_private.h"
#include "endpoints.h"

static void append(struct byte_buffer *yaml, const char *text)
{
    byte_buffer_append(yaml, text, strlen(text));
}

static void append_all(struct byte_buffer *yaml, const char *first, const char *second,
                       const char *third)
{
    append(yaml, first);
    append(yaml, second);
    append(yaml, third);
}

/* --- Parameters --------------------------------------------------------------------------------
 */

/* The next of the names; false at their end. */
static bool next_parameter(struct text *names, const struct api_parameter **parameter_out,
                           bool *is_required_out)
{
    struct text name;
    if (names->size == 0)
        return false;
    text_split(*names, ' ', &name, names);
    *is_required_out = text_starts_with(name, TEXT("!"));
    if (*is_required_out)
        name = (struct text){name.data + 1, name.size - 1};
    *parameter_out = api_parameter_find(name);
    assert(*parameter_out != NULL);
    return true;
}

static void append_path_parameters(struct byte_buffer *yaml, const char *path)
{
    const char *open = strchr(path, '{'), *close = strchr(path, '}');
    if (open == NULL || close == NULL)
        return;
    append(yaml, "        - {name: ");
    byte_buffer_append(yaml, open + 1, (size_t)(close - open - 1));
    append(yaml, ", in: path, required: true, schema: {type: string}}\n");
}

static void append_query_parameters(struct byte_buffer *yaml, const struct api_endpoint *endpoint)
{
    const struct api_parameter *parameter;
    bool is_required;
    if (endpoint->parameters[0] == '\0' && strchr(endpoint->path, '{') == NULL)
        return;
    append(yaml, "      parameters:\n");
    append_path_parameters(yaml, endpoint->path);
    struct text names = text_of(endpoint->parameters);
    while (next_parameter(&names, &parameter, &is_required)) {
        append_all(yaml, "        - name: \"", parameter->name, "\"\n          in: query\n");
        append(yaml, is_required ? "          required: true\n" : "");
        append_all(yaml, "          description: \"", parameter->description, "\"\n");
        append_all(yaml, "          schema: ", parameter->schema, "\n");
    }
}

/* The same as a form. */
static void append_form(struct byte_buffer *yaml, const struct api_endpoint *endpoint)
{
    const struct api_parameter *parameter;
    bool is_required, any_required = false;
    append(yaml, "      requestBody:\n        content:\n"
                 "          application/x-www-form-urlencoded:\n            schema:\n"
                 "              type: object\n              properties:\n");
    struct text names = text_of(endpoint->parameters);
    while (next_parameter(&names, &parameter, &is_required)) {
        append_all(yaml, "                \"", parameter->name, "\": ");
        append_all(yaml, parameter->schema, "\n", "");
    }
    names = text_of(endpoint->parameters);
    while (next_parameter(&names, &parameter, &is_required)) {
        if (!is_required)
            continue;
        append_all(yaml, any_required ? ", \"" : "              required: [\"", parameter->name,
                   "\"");
        any_required = true;
    }
    append(yaml, any_required ? "]\n" : "");
}

static void append_message(struct byte_buffer *yaml)
{
    append(yaml, "      requestBody:\n        required: true\n        content:\n"
                 "          application/x-protobuf: {schema: {type: string, format: binary}}\n");
}

/* --- Operations --------------------------------------------------------------------------------
 */

static void append_responses(struct byte_buffer *yaml, enum api_answer answer)
{
    static const char *const GOOD[] = {
        [API_ANSWERS_JSON] = "        \"200\": {$ref: \"#/components/responses/Success\"}\n",
        [API_ANSWERS_LINES] = "        \"200\": {$ref: \"#/components/responses/Lines\"}\n",
        [API_ANSWERS_YAML] =
            "        \"200\": {description: YAML, content: {application/yaml: {}}}\n",
        [API_ANSWERS_PROTOBUF] = "        \"200\": {$ref: \"#/components/responses/Samples\"}\n",
        [API_ANSWERS_NOTHING] = "        \"204\": {description: Done}\n",
    };
    append(yaml, "      responses:\n");
    append(yaml, GOOD[answer]);
    append(yaml, "        default: {$ref: \"#/components/responses/Error\"}\n");
}

/* query_range_post from POST /query_range */
static void append_operation_id(struct byte_buffer *yaml, const char *path, const char *method)
{
    append(yaml, "      operationId: ");
    for (const char *at = path + strlen("/api/v1/"); *at != '\0'; at++) {
        if (*at == '{' || *at == '}')
            continue;
        bool is_letter = strchr("/_.", *at) == NULL;
        byte_buffer_u8(yaml, is_letter ? (uint8_t)*at : '_');
    }
    append_all(yaml, "_", method, "\n");
}

static void append_operation(struct byte_buffer *yaml, const struct api_endpoint *endpoint,
                             enum http_method method, const char *name)
{
    if ((endpoint->methods & method) == 0)
        return;
    bool has_message =
        strcmp(endpoint->tag, "write") == 0 || endpoint->answer == API_ANSWERS_PROTOBUF;
    append_all(yaml, "    ", name, ":\n      tags: [");
    append_all(yaml, endpoint->tag, "]\n      summary: \"", endpoint->summary);
    append(yaml, "\"\n");
    append_operation_id(yaml, endpoint->path, name);
    if (has_message)
        append_message(yaml);
    else if (method == HTTP_POST && endpoint->parameters[0] != '\0')
        append_form(yaml, endpoint);
    else
        append_query_parameters(yaml, endpoint);
    append_responses(yaml, endpoint->answer);
}

static void append_endpoints(struct byte_buffer *yaml, struct api_endpoints endpoints)
{
    static const struct {
        enum http_method method;
        const char *name;
    } METHODS[] = {
        {HTTP_GET, "get"}, {HTTP_POST, "post"}, {HTTP_PUT, "put"}, {HTTP_DELETE, "delete"}};
    for (size_t i = 0; i < endpoints.count; i++) {
        const struct api_endpoint *endpoint = &endpoints.entries[i];
        append_all(yaml, "  ", endpoint->path + strlen("/api/v1"), ":\n");
        for (size_t m = 0; m < sizeof METHODS / sizeof METHODS[0]; m++)
            append_operation(yaml, endpoint, METHODS[m].method, METHODS[m].name);
    }
}

/* --- The whole ---------------------------------------------------------------------------------
 */

static const char HEAD[] =
    "info:\n"
    "  title: Gnomon HTTP API\n"
    "  description: The API of Prometheus 3, and what a receiver has beside it. Every path is "
    "there\n"
    "    again below /prometheus/api/v1. With tenants.enabled X-Scope-OrgID names the tenant.\n"
    "  version: \"1\"\n"
    "servers:\n"
    "  - url: /api/v1\n"
    "tags:\n"
    "  - {name: write, description: Samples come in}\n"
    "  - {name: query, description: PromQL}\n"
    "  - {name: series, description: Series and their labels}\n"
    "  - {name: search, description: Completion as somebody types}\n"
    "  - {name: status, description: What the node tells of itself}\n"
    "  - {name: discovery, description: \"What a receiver has none of, in the shapes of "
    "Prometheus\"}\n"
    "  - {name: admin, description: With http.admin only}\n"
    "paths:\n";

static const char COMPONENTS[] =
    "components:\n"
    "  responses:\n"
    "    Success:\n"
    "      description: The answer\n"
    "      content:\n"
    "        application/json:\n"
    "          schema:\n"
    "            type: object\n"
    "            required: [status, data]\n"
    "            properties:\n"
    "              status: {type: string, enum: [success]}\n"
    "              data: {}\n"
    "              warnings: {type: array, items: {type: string}}\n"
    "              infos: {type: array, items: {type: string}}\n"
    "    Lines:\n"
    "      description: Batches of results, and a trailer, each in a line\n"
    "      content:\n"
    "        application/x-ndjson: {schema: {type: object}}\n"
    "    Samples:\n"
    "      description: A message of protobuf, or a stream of them\n"
    "      content:\n"
    "        application/x-protobuf: {}\n"
    "        application/x-streamed-protobuf: {}\n"
    "    Error:\n"
    "      description: Why not\n"
    "      content:\n"
    "        application/json:\n"
    "          schema:\n"
    "            type: object\n"
    "            required: [status, errorType, error]\n"
    "            properties:\n"
    "              status: {type: string, enum: [error]}\n"
    "              errorType: {type: string}\n"
    "              error: {type: string}\n"
    "        text/plain: {schema: {type: string}}\n";

void api_openapi(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text version;
    struct byte_buffer yaml = {0};
    if (!api_parameters(request, &parameters))
        return;
    http_parameters_find(parameters, TEXT("openapi_version"), &version);
    append(&yaml, text_starts_with(version, TEXT("3.2")) ? "openapi: 3.2.0\n" : "openapi: 3.1.0\n");
    append(&yaml, HEAD);
    append_endpoints(&yaml, api_endpoints());
    append_endpoints(&yaml, api_admin_endpoints());
    append(&yaml, COMPONENTS);
    if (yaml.failed) {
        byte_buffer_clear(&yaml);
        api_respond_status(request, 503);
        return;
    }
    http_respond(request, &(struct http_response){
                              .status = 200,
                              .content_type = TEXT("application/yaml; charset=utf-8"),
                              .body = {(char *)yaml.bytes, yaml.size},
                              .body_life = HTTP_BODY_OWNED,
                          });
}
