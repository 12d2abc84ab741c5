/* format_query and parse_query: on a worker, since a text may be long. */
#include "api_private.h"

static enum error_code read_query(struct api_lookup *lookup,
                                  const struct http_parameters *parameters, struct error *error)
{
    struct promql_options options = {frontend_options(lookup->api->options.frontend)->features};
    struct text text;
    http_parameters_find(parameters, TEXT("query"), &text);
    enum error_code code = promql_parse(text, &options, lookup->arena, &lookup->query, error);
    return code == ERROR_NONE ? code : error_wrap(error, "invalid parameter \"query\"");
}

static enum error_code format(struct api_lookup *lookup, struct byte_buffer *data,
                              struct error *error)
{
    struct byte_buffer printed = {0};
    promql_print_pretty(lookup->query.root, &printed);
    bool is_cut = printed.size > PROMQL_PRETTY_BYTES_MAX;
    json_string(data, (struct text){(char *)printed.bytes, printed.size});
    data->failed |= printed.failed;
    byte_buffer_clear(&printed);
    if (is_cut)
        return error_set(error, ERROR_LIMIT, "the formatted query is larger than 16 MiB");
    return ERROR_NONE;
}

static enum error_code parse(struct api_lookup *lookup, struct byte_buffer *data,
                             struct error *error)
{
    api_append_syntax_tree(data, lookup->query.root);
    if (data->size > API_SYNTAX_TREE_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "the syntax tree is larger than 16 MiB");
    return ERROR_NONE;
}

void api_format_query(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "format_query", .read = read_query, .run = format};
    api_lookup_start(request, (struct text){0}, &KIND);
}

void api_parse_query(struct http_request *request)
{
    static const struct api_lookup_kind KIND = {
        .name = "parse_query", .read = read_query, .run = parse};
    api_lookup_start(request, (struct text){0}, &KIND);
}
