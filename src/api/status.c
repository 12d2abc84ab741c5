/* status/..., health, metrics, and the empty shapes of what a receiver does not have. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "api_private.h"
#include "wire/json_field.h"

static void respond_literal(struct http_request *request, const char *json)
{
    struct byte_buffer data = {0};
    json_raw(&data, text_of(json));
    api_respond_data(request, &data);
}

/* --- What the program is ---------------------------------------------------------------------- */

void api_status_buildinfo(struct http_request *request)
{
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    /* Grafana takes a version without "application" for Prometheus; the numbers say which API. */
    json_string_field(&data, "version", "3.14.0");
    json_string_field(&data, "revision", api_of(request)->options.version);
    json_string_field(&data, "branch", "main");
    json_string_field(&data, "buildUser", "gnomon");
    json_string_field(&data, "buildDate", "");
    json_string_field(&data, "goVersion", "");
    json_field_name(&data, "features");
    json_raw(&data, TEXT("{\"ruler_config_api\":\"false\",\"alertmanager_config_api\":\"false\"}"));
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

static const char *format_time(char *target, size_t size, int64_t time_ms)
{
    struct tm calendar;
    time_t seconds = (time_t)(time_ms / 1000);
    gmtime_r(&seconds, &calendar);
    size_t used = strftime(target, size, "%Y-%m-%dT%H:%M:%S", &calendar);
    snprintf(target + used, size - used, ".%03dZ", (int)(time_ms % 1000));
    return target;
}

static void add_statistics(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct shard_statistics *sum = context;
    struct shard_statistics part;
    shard_read_statistics(replica_shard(replica), &part);
    sum->series_count += part.series_count;
    sum->head_series_count += part.head_series_count;
    sum->block_count += part.block_count;
    sum->part_count += part.part_count;
    if (part.oldest_ms < sum->oldest_ms)
        sum->oldest_ms = part.oldest_ms;
    if (part.newest_ms > sum->newest_ms)
        sum->newest_ms = part.newest_ms;
}

struct shard_statistics api_sum_statistics(struct api *api)
{
    struct shard_statistics sum = {.oldest_ms = INT64_MAX, .newest_ms = INT64_MIN};
    replica_table_visit(api->options.replicas, add_statistics, &sum);
    return sum;
}

void api_status_runtimeinfo(struct http_request *request)
{
    struct api *api = api_of(request);
    struct byte_buffer data = {0};
    char text[256];
    json_raw(&data, TEXT("{"));
    json_string_field(&data, "startTime", format_time(text, sizeof text, api->options.started_ms));
    json_string_field(&data, "CWD", getcwd(text, sizeof text) == NULL ? "" : text);
    char host[256] = "";
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    json_string_field(&data, "hostname", host);
    json_string_field(&data, "serverTime",
                      format_time(text, sizeof text, clock_now_ms(api->options.clock)));
    json_field_name(&data, "reloadConfigSuccess");
    json_raw(&data, TEXT("true"));
    json_string_field(&data, "lastConfigTime",
                      format_time(text, sizeof text, api->options.started_ms));
    json_integer_field(&data, "timeSeriesCount", (int64_t)api_sum_statistics(api).series_count);
    json_integer_field(&data, "corruptionCount", 0);
    json_integer_field(&data, "goroutineCount", (int64_t)api->options.loop_count);
    json_integer_field(&data, "GOMAXPROCS", (int64_t)api->options.loop_count);
    json_integer_field(&data, "GOMEMLIMIT", INT64_MAX);
    json_string_field(&data, "GOGC", "");
    json_string_field(&data, "GODEBUG", "");
    json_string_field(&data, "storageRetention", api->options.retention_text);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

void api_status_flags(struct http_request *request)
{
    struct api *api = api_of(request);
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    for (size_t i = 0; i < api->options.setting_count; i++)
        json_string_field(&data, api->options.settings[i].name, api->options.settings[i].value);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

void api_status_config(struct http_request *request)
{
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    json_string_field(&data, "yaml", api_of(request)->options.config_yaml);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

static void add_replay(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct replica_replay *all = context;
    struct replica_replay one = replica_replay(replica);
    all->entries += one.entries;
    all->applied += one.applied;
}

/* Prometheus counts segments of its log here; ours are of any size, so it is entries. */
void api_status_walreplay(struct http_request *request)
{
    struct replica_replay all = {0};
    replica_table_visit(api_of(request)->options.replicas, add_replay, &all);
    bool done = all.applied == all.entries;
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    json_integer_field(&data, "min", 0);
    json_integer_field(&data, "max", (int64_t)all.entries);
    json_integer_field(&data, "current", (int64_t)all.applied);
    json_string_field(&data, "state", done ? "done" : "in progress");
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

/* --- Health and metrics ----------------------------------------------------------------------- */

void api_healthy(struct http_request *request)
{
    api_respond_text(request, 200, "Gnomon is Healthy.\n");
}

void api_ready(struct http_request *request)
{
    struct api *api = api_of(request);
    struct error error;
    if (api->options.program.check_ready(api->options.program.context, &error) == ERROR_NONE) {
        api_respond_text(request, 200, "Gnomon is Ready.\n");
        return;
    }
    struct byte_buffer body = {0};
    json_raw(&body, TEXT("Service Unavailable: "));
    json_raw(&body, text_of(error.message));
    json_raw(&body, TEXT("\n"));
    if (body.failed) {
        byte_buffer_clear(&body);
        api_respond_status(request, 503);
        return;
    }
    http_respond(request, &(struct http_response){
                              .status = 503,
                              .content_type = TEXT("text/plain; charset=utf-8"),
                              .body = {(char *)body.bytes, body.size},
                              .body_life = HTTP_BODY_OWNED,
                          });
}

void api_metrics(struct http_request *request)
{
    struct byte_buffer body = {0};
    metrics_expose(api_of(request)->options.metrics, &body);
    if (body.failed) {
        byte_buffer_clear(&body);
        api_respond_status(request, 503);
        return;
    }
    http_respond(request, &(struct http_response){
                              .status = 200,
                              .content_type = TEXT("text/plain; version=0.0.4; charset=utf-8"),
                              .body = {(char *)body.bytes, body.size},
                              .body_life = HTTP_BODY_OWNED,
                          });
}

/* --- What a receiver does not have ------------------------------------------------------------ */

void api_empty_rules(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text type;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("type"), &type) && type.size > 0 &&
        !text_equal_ignoring_case(type, TEXT("alert")) &&
        !text_equal_ignoring_case(type, TEXT("record"))) {
        struct error error;
        error_set(&error, ERROR_INVALID, "invalid parameter \"type\": not supported value \"%.*s\"",
                  TEXT_ARGUMENTS(type));
        api_respond_code(request, &error, API_BAD_DATA);
        return;
    }
    respond_literal(request, "{\"groups\":[]}");
}

void api_empty_alerts(struct http_request *request)
{
    respond_literal(request, "{\"alerts\":[]}");
}

/* Counts of dropped targets are there when the state that was asked for includes them. */
void api_empty_targets(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text state = {0};
    if (!api_parameters(request, &parameters))
        return;
    (void)http_parameters_find(parameters, TEXT("state"), &state);
    bool with_dropped = state.size == 0 || text_equal_ignoring_case(state, TEXT("any")) ||
                        text_equal_ignoring_case(state, TEXT("dropped"));
    respond_literal(request, with_dropped ? "{\"activeTargets\":[],\"droppedTargets\":[],"
                                            "\"droppedTargetCounts\":{}}"
                                          : "{\"activeTargets\":[],\"droppedTargets\":[],"
                                            "\"droppedTargetCounts\":null}");
}

void api_empty_alertmanagers(struct http_request *request)
{
    respond_literal(request, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

void api_empty_targets_metadata(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text text;
    struct promql_query selector = {0};
    struct error error;
    int64_t limit;
    enum error_code code = ERROR_NONE;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("limit"), &text) && text.size > 0 &&
        !text_to_int64(text, &limit))
        code = error_set(&error, ERROR_INVALID, "limit must be a number");
    if (code == ERROR_NONE && http_parameters_find(parameters, TEXT("match_target"), &text) &&
        text.size > 0) {
        code = promql_parse_selector(text, http_request_arena(request), &selector, &error);
        if (code != ERROR_NONE)
            error_wrap(&error, "invalid parameter \"match_target\"");
        promql_query_clear(&selector);
    }
    if (code != ERROR_NONE)
        api_respond_code(request, &error, API_BAD_DATA);
    else
        respond_literal(request, "[]");
}

void api_empty_scrape_pools(struct http_request *request)
{
    respond_literal(request, "{\"scrapePools\":[]}");
}

/* There is none, so any name is wrong. */
static void respond_no_pool(struct http_request *request, const char *doing,
                            const struct http_parameters *parameters)
{
    struct text pool;
    struct error error;
    if (http_parameters_find(parameters, TEXT("scrapePool"), &pool) && pool.size > 0)
        error_set(&error, ERROR_INVALID, "%sscrape pool \"%.*s\" not found", doing,
                  TEXT_ARGUMENTS(pool));
    else
        error_set(&error, ERROR_INVALID, "no scrapePool parameter provided");
    api_respond_code(request, &error, API_BAD_DATA);
}

void api_no_scrape_pool(struct http_request *request)
{
    const struct http_parameters *parameters;
    if (api_parameters(request, &parameters))
        respond_no_pool(request, "", parameters);
}

void api_no_relabel_steps(struct http_request *request)
{
    const struct http_parameters *parameters;
    struct text pool, labels;
    if (!api_parameters(request, &parameters))
        return;
    if (http_parameters_find(parameters, TEXT("scrapePool"), &pool) && pool.size > 0 &&
        (!http_parameters_find(parameters, TEXT("labels"), &labels) || labels.size == 0))
        api_respond_error(request, API_BAD_DATA, "no labels parameter provided");
    else
        respond_no_pool(request, "error retrieving scrape config: ", parameters);
}

void api_empty_notifications(struct http_request *request)
{
    respond_literal(request, "[]");
}

/* No content: a web page then does not ask again, and polls. */
void api_no_live_notifications(struct http_request *request)
{
    api_respond_status(request, 204);
}
