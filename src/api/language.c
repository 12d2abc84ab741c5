/* format_query. */
#include "api_private.h"

void api_format_query(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text text;
    struct error error;
    struct promql_query query = {0};
    struct promql_options options = {frontend_options(api_of(request)->options.frontend)->features};
    if (!api_parameters(request, &parameters))
        return;
    http_parameters_find(parameters, TEXT("query"), &text);
    if (promql_parse(text, &options, http_request_arena(request), &query, &error) != ERROR_NONE) {
        error_wrap(&error, "invalid parameter \"query\"");
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    struct byte_buffer printed = {0}, data = {0};
    promql_print(query.root, &printed);
    json_string(&data, (struct text){(char *)printed.bytes, printed.size});
    data.failed |= printed.failed;
    byte_buffer_clear(&printed);
    promql_query_clear(&query);
    api_respond_data(request, &data);
}
