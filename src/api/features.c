/* features: what this server can do, so that clients need not guess from its version. */
#include "api_private.h"
#include "wire/json_field.h"

struct feature {
    const char *name;
    bool enabled;
};

static void append_feature(struct byte_buffer *json, struct text name, bool enabled)
{
    if (json->bytes != NULL && json->bytes[json->size - 1] != '{')
        json_raw(json, TEXT(","));
    json_string(json, name);
    json_raw(json, enabled ? TEXT(":true") : TEXT(":false"));
}

static void append_category(struct byte_buffer *json, const char *name,
                            const struct feature *features, size_t count)
{
    json_field_name(json, name);
    json_raw(json, TEXT("{"));
    for (size_t i = 0; i < count; i++)
        append_feature(json, text_of(features[i].name), features[i].enabled);
    json_raw(json, TEXT("}"));
}

static void append_api(struct byte_buffer *json, const struct api_options *options)
{
    const struct feature features[] = {
        {"admin", options->admin_enabled},
        {"exclude_alerts", true},
        {"label_values_match", true},
        {"lifecycle", options->admin_enabled},
        {"openapi_3.1", true},
        {"openapi_3.2", true},
        {"otlp_write_receiver", false},
        {"query_stats", true},
        {"query_warnings", true},
        {"remote_write_receiver", (options->refused & API_SERVICE_WRITES) == 0},
        {"search", true},
        {"search_fuzz_alg_jarowinkler", true},
        {"search_fuzz_alg_subsequence", true},
        {"time_range_labels", true},
        {"time_range_series", true},
    };
    append_category(json, "api", features, sizeof features / sizeof features[0]);
}

static void append_language(struct byte_buffer *json, bool experimental)
{
    const struct feature features[] = {
        {"anchored", experimental},
        {"at_modifier", true},
        {"bool", true},
        {"by", true},
        {"delayed_name_removal", true},
        {"duration_expr", true},
        {"fill", experimental},
        {"fill_left", experimental},
        {"fill_right", experimental},
        {"group_left", true},
        {"group_right", true},
        {"ignoring", true},
        {"negative_offset", true},
        {"offset", true},
        {"on", true},
        {"per_query_lookback_delta", true},
        {"per_step_stats", experimental},
        {"smoothed", experimental},
        {"subqueries", true},
        {"type_and_unit_labels", true},
        {"without", true},
    };
    append_category(json, "promql", features, sizeof features / sizeof features[0]);
}

static void append_functions(struct byte_buffer *json, bool experimental)
{
    json_field_name(json, "promql_functions");
    json_raw(json, TEXT("{"));
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        const struct function *function = function_describe((enum function_id)i);
        append_feature(json, function->name, experimental || !function->experimental);
    }
    json_raw(json, TEXT("}"));
}

static void append_operators(struct byte_buffer *json, bool experimental)
{
    static const char *const OF_SELECTORS[] = {"!~", "=~", "@"};
    json_field_name(json, "promql_operators");
    json_raw(json, TEXT("{"));
    for (unsigned i = 0; i < BINARY_OPERATORS; i++)
        append_feature(json, text_of(binary_operator_text((enum binary_operator)i)), true);
    for (unsigned i = 0; i < AGGREGATIONS; i++) {
        enum aggregation operation = (enum aggregation)i;
        bool is_experimental = operation == AGGREGATE_LIMITK || operation == AGGREGATE_LIMIT_RATIO;
        append_feature(json, text_of(aggregation_name(operation)),
                       experimental || !is_experimental);
    }
    for (size_t i = 0; i < sizeof OF_SELECTORS / sizeof OF_SELECTORS[0]; i++)
        append_feature(json, text_of(OF_SELECTORS[i]), true);
    json_raw(json, TEXT("}"));
}

void api_features(struct http_request *request)
{
    static const struct feature PROGRAM[] = {{"agent_mode", false}, {"server_mode", true}};
    static const struct feature STORAGE[] = {
        {"exemplar_storage", true},
        {"native_histograms", true},
        {"out_of_order_samples", true},
    };
    const struct api_options *options = &api_of(request)->options;
    bool experimental = frontend_options(options->frontend)->features == PROMQL_EXPERIMENTAL;
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    append_api(&data, options);
    append_category(&data, "prometheus", PROGRAM, sizeof PROGRAM / sizeof PROGRAM[0]);
    append_language(&data, experimental);
    append_functions(&data, experimental);
    append_operators(&data, experimental);
    append_category(&data, "tsdb", STORAGE, sizeof STORAGE / sizeof STORAGE[0]);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}
