/* status/..., health, metrics, and the empty shapes of what a receiver does not have. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/checksum.h"

#include "api_private.h"

/* --- Small helpers ---------------------------------------------------------------------------- */

static void key(struct byte_buffer *buffer, const char *name)
{
    if (buffer->size > 0 && buffer->bytes[buffer->size - 1] != '{')
        json_raw(buffer, TEXT(","));
    json_string(buffer, text_of(name));
    json_raw(buffer, TEXT(":"));
}

static void string_field(struct byte_buffer *buffer, const char *name, const char *value)
{
    key(buffer, name);
    json_string(buffer, text_of(value));
}

static void integer_field(struct byte_buffer *buffer, const char *name, int64_t value)
{
    key(buffer, name);
    json_integer(buffer, value);
}

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
    string_field(&data, "version", "3.14.0");
    string_field(&data, "revision", api_of(request)->options.version);
    string_field(&data, "branch", "main");
    string_field(&data, "buildUser", "gnomon");
    string_field(&data, "buildDate", "");
    string_field(&data, "goVersion", "");
    key(&data, "features");
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

static struct shard_statistics sum_statistics(struct api *api)
{
    struct shard_statistics sum = {.oldest_ms = INT64_MAX, .newest_ms = INT64_MIN};
    for (size_t i = 0; i < api->options.shard_count; i++) {
        struct shard_statistics part;
        shard_read_statistics(replica_shard(api->options.replicas[i]), &part);
        sum.series_count += part.series_count;
        sum.head_series_count += part.head_series_count;
        sum.block_count += part.block_count;
        sum.part_count += part.part_count;
        if (part.oldest_ms < sum.oldest_ms)
            sum.oldest_ms = part.oldest_ms;
        if (part.newest_ms > sum.newest_ms)
            sum.newest_ms = part.newest_ms;
    }
    return sum;
}

void api_status_runtimeinfo(struct http_request *request)
{
    struct api *api = api_of(request);
    struct byte_buffer data = {0};
    char text[256];
    json_raw(&data, TEXT("{"));
    string_field(&data, "startTime", format_time(text, sizeof text, api->options.started_ms));
    string_field(&data, "CWD", getcwd(text, sizeof text) == NULL ? "" : text);
    char host[256] = "";
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    string_field(&data, "hostname", host);
    string_field(&data, "serverTime",
                 format_time(text, sizeof text, clock_now_ms(api->options.clock)));
    key(&data, "reloadConfigSuccess");
    json_raw(&data, TEXT("true"));
    string_field(&data, "lastConfigTime", format_time(text, sizeof text, api->options.started_ms));
    integer_field(&data, "timeSeriesCount", (int64_t)sum_statistics(api).series_count);
    integer_field(&data, "corruptionCount", 0);
    integer_field(&data, "goroutineCount", (int64_t)api->options.loop_count);
    integer_field(&data, "GOMAXPROCS", (int64_t)api->options.loop_count);
    integer_field(&data, "GOMEMLIMIT", INT64_MAX);
    string_field(&data, "GOGC", "");
    string_field(&data, "GODEBUG", "");
    string_field(&data, "storageRetention", api->options.retention_text);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

void api_status_flags(struct http_request *request)
{
    struct api *api = api_of(request);
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    for (size_t i = 0; i < api->options.setting_count; i++)
        string_field(&data, api->options.settings[i].name, api->options.settings[i].value);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

void api_status_config(struct http_request *request)
{
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{"));
    string_field(&data, "yaml", api_of(request)->options.config_yaml);
    json_raw(&data, TEXT("}"));
    api_respond_data(request, &data);
}

void api_status_walreplay(struct http_request *request)
{
    bool ready = api_of(request)->options.program.not_ready(
                     api_of(request)->options.program.context) == NULL;
    respond_literal(request, ready
                                 ? "{\"min\":0,\"max\":0,\"current\":0,\"state\":\"done\"}"
                                 : "{\"min\":0,\"max\":0,\"current\":0,\"state\":\"in progress\"}");
}

/* --- Cardinality ------------------------------------------------------------------------------ */

/* Counts of one kind, by name: a table in the arena. */
struct count_item {
    struct text name;
    uint64_t count;
};

struct count_table {
    struct arena *arena;
    struct count_item *items; /* [capacity], open addressing */
    size_t capacity;
    size_t count;
};

static struct count_item *count_place(struct count_item *items, size_t capacity, struct text name)
{
    for (size_t i = hash64(name.data, name.size, HASH_SEED_STORED) & (capacity - 1);;
         i = (i + 1) & (capacity - 1))
        if (items[i].name.data == NULL || text_equal(items[i].name, name))
            return &items[i];
}

static bool count_add(struct count_table *table, struct text name, uint64_t amount)
{
    if ((table->count + 1) * 2 > table->capacity) {
        size_t capacity = table->capacity == 0 ? 1024 : table->capacity * 2;
        struct count_item *items = arena_array(table->arena, capacity, sizeof *items);
        if (items == NULL)
            return false;
        for (size_t i = 0; i < table->capacity; i++)
            if (table->items[i].name.data != NULL)
                *count_place(items, capacity, table->items[i].name) = table->items[i];
        table->items = items;
        table->capacity = capacity;
    }
    struct count_item *place = count_place(table->items, table->capacity, name);
    if (place->name.data == NULL) {
        place->name = arena_copy_text(table->arena, name);
        if (place->name.data == NULL)
            return false;
        table->count++;
    }
    place->count += amount;
    return true;
}

static int compare_counts(const void *left, const void *right)
{
    const struct count_item *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return text_compare(a->name, b->name);
}

static void append_top(struct byte_buffer *data, const char *name, struct count_table *table,
                       uint64_t limit)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->items[i].name.data != NULL)
            table->items[kept++] = table->items[i];
    if (kept > 0)
        qsort(table->items, kept, sizeof *table->items, compare_counts);
    key(data, name);
    json_raw(data, TEXT("["));
    for (size_t i = 0; i < kept && i < limit; i++) {
        json_raw(data, i > 0 ? TEXT(",{") : TEXT("{"));
        key(data, "name");
        json_string(data, table->items[i].name);
        integer_field(data, "value", (int64_t)table->items[i].count);
        json_raw(data, TEXT("}"));
    }
    json_raw(data, TEXT("]"));
}

struct cardinality {
    struct count_table series_by_metric;
    struct count_table values_by_label;
    struct count_table bytes_by_label;
    struct count_table series_by_pair;
};

static bool count_series(struct cardinality *cardinality, struct labels labels, struct arena *arena)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    while (labels_next(&cursor, &label)) {
        struct text pair = arena_format(arena, "%.*s=%.*s", TEXT_ARGUMENTS(label.name),
                                        TEXT_ARGUMENTS(label.value));
        if (pair.data == NULL)
            return false;
        size_t pairs = cardinality->series_by_pair.count;
        if (!count_add(&cardinality->series_by_pair, pair, 1))
            return false;
        /* The first series with this pair brings a new value. */
        if (cardinality->series_by_pair.count > pairs &&
            (!count_add(&cardinality->values_by_label, label.name, 1) ||
             !count_add(&cardinality->bytes_by_label, label.name, label.value.size)))
            return false;
        if (text_equal(label.name, LABEL_METRIC_NAME) &&
            !count_add(&cardinality->series_by_metric, label.value, 1))
            return false;
    }
    return true;
}

static enum error_code run_tsdb(struct api_lookup *lookup, struct byte_buffer *data,
                                struct error *error)
{
    struct cardinality cardinality = {.series_by_metric.arena = lookup->arena,
                                      .values_by_label.arena = lookup->arena,
                                      .bytes_by_label.arena = lookup->arena,
                                      .series_by_pair.arena = lookup->arena};
    uint64_t limit = lookup->limit == 0 ? 10 : lookup->limit < 10000 ? lookup->limit : 10000;
    struct series_request request = api_series_request(
        NULL, lookup->tenant, API_TIME_MIN, API_TIME_MAX, SERIES_NEED_ALL, lookup->arena);
    struct series_set *set;
    enum error_code code =
        series_source_select(frontend_source(lookup->api->options.frontend), &request, &set, error);
    if (code != ERROR_NONE)
        return code;
    bool fits = true;
    for (size_t i = 0; fits && i < set->count; i++)
        fits = count_series(&cardinality, series_set_labels(set, i), lookup->arena);
    size_t series_count = set->count;
    series_set_close(set);
    if (!fits)
        return api_memory_error(error);
    struct shard_statistics sum = sum_statistics(lookup->api);
    json_raw(data, TEXT("{\"headStats\":{"));
    integer_field(data, "numSeries", (int64_t)series_count);
    integer_field(data, "numLabelPairs", (int64_t)cardinality.series_by_pair.count);
    integer_field(data, "chunkCount", (int64_t)(sum.part_count + sum.block_count));
    integer_field(data, "minTime", sum.oldest_ms == INT64_MAX ? 0 : sum.oldest_ms);
    integer_field(data, "maxTime", sum.newest_ms == INT64_MIN ? 0 : sum.newest_ms);
    json_raw(data, TEXT("}"));
    append_top(data, "seriesCountByMetricName", &cardinality.series_by_metric, limit);
    append_top(data, "labelValueCountByLabelName", &cardinality.values_by_label, limit);
    append_top(data, "memoryInBytesByLabelName", &cardinality.bytes_by_label, limit);
    append_top(data, "seriesCountByLabelValuePair", &cardinality.series_by_pair, limit);
    json_raw(data, TEXT("}"));
    return data->failed ? api_memory_error(error) : ERROR_NONE;
}

void api_status_tsdb(struct http_request *request)
{
    api_lookup_start(request, (struct text){0}, run_tsdb);
}

/* --- Cluster
 * -------------------------------------------------------------------------------------- */

void api_cluster(struct http_request *request)
{
    struct api *api = api_of(request);
    struct byte_buffer data = {0};
    json_raw(&data, TEXT("{\"shards\":["));
    for (size_t i = 0; i < api->options.shard_count; i++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(api->options.replicas[i]), &statistics);
        json_raw(&data, i > 0 ? TEXT(",{") : TEXT("{"));
        integer_field(&data, "shard", (int64_t)i);
        key(&data, "ready");
        json_raw(&data, replica_is_ready(api->options.replicas[i]) ? TEXT("true") : TEXT("false"));
        integer_field(&data, "series", (int64_t)statistics.series_count);
        integer_field(&data, "appliedIndex", (int64_t)statistics.applied_index);
        integer_field(&data, "parts", (int64_t)statistics.part_count);
        integer_field(&data, "blocks", (int64_t)statistics.block_count);
        json_raw(&data, TEXT("}"));
    }
    json_raw(&data, TEXT("]}"));
    api_respond_data(request, &data);
}

/* --- Health and metrics
 * --------------------------------------------------------------------------- */

void api_healthy(struct http_request *request)
{
    api_respond_text(request, 200, "Gnomon is Healthy.\n");
}

void api_ready(struct http_request *request)
{
    struct api *api = api_of(request);
    const char *why = api->options.program.not_ready(api->options.program.context);
    if (why == NULL)
        api_respond_text(request, 200, "Gnomon is Ready.\n");
    else
        api_respond_text(request, 503, why);
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

/* --- What a receiver does not have
 * ----------------------------------------------------------------- */

void api_empty_rules(struct http_request *request)
{
    respond_literal(request, "{\"groups\":[]}");
}

void api_empty_alerts(struct http_request *request)
{
    respond_literal(request, "{\"alerts\":[]}");
}

void api_empty_targets(struct http_request *request)
{
    respond_literal(request, "{\"activeTargets\":[],\"droppedTargets\":[],"
                             "\"droppedTargetCounts\":{}}");
}

void api_empty_alertmanagers(struct http_request *request)
{
    respond_literal(request, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

void api_empty_list(struct http_request *request)
{
    respond_literal(request, "[]");
}
