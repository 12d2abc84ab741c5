#include "endpoints.h"

#include "api_private.h"

enum { GET_POST = HTTP_GET | HTTP_POST, POST_PUT = HTTP_POST | HTTP_PUT };

#define SERVED(methods, path, handler, tag, summary, parameters, answer, service)                  \
    {                                                                                              \
        methods, "/api/v1" path, "/prometheus/api/v1" path, handler, tag, summary, parameters,     \
            API_ANSWERS_##answer, service                                                          \
    }
#define ENDPOINT(methods, path, handler, tag, summary, parameters, answer)                         \
    SERVED(methods, path, handler, tag, summary, parameters, answer, 0)
#define WRITE(methods, path, handler, tag, summary, parameters, answer)                            \
    SERVED(methods, path, handler, tag, summary, parameters, answer, API_SERVICE_WRITES)
#define QUERY(methods, path, handler, tag, summary, parameters, answer)                            \
    SERVED(methods, path, handler, tag, summary, parameters, answer, API_SERVICE_QUERIES)

/* clang-format off */
static const struct api_endpoint ENDPOINTS[] = {
    WRITE(HTTP_POST, "/write", api_write, "write",
             "Remote write 1.0 and 2.0, told apart by Content-Type", "", NOTHING),
    WRITE(HTTP_POST, "/push", api_write, "write",
             "Remote write under the name that Mimir has for it", "", NOTHING),
    QUERY(HTTP_POST, "/read", api_remote_read, "query",
             "Remote read, as samples or as a stream of chunks", "", PROTOBUF),
    QUERY(HTTP_POST, "/internal/sub-query", api_internal_sub_query, "query",
             "A sub-query of another cluster, over the shards of this one", "", PROTOBUF),
    QUERY(HTTP_POST, "/internal/select", api_internal_select, "query",
             "Series, names, values, exemplars or metadata for another cluster", "", PROTOBUF),

    QUERY(GET_POST, "/query", api_query, "query", "Evaluate an expression at one time",
             "!query time timeout limit lookback_delta stats partial_response", JSON),
    QUERY(GET_POST, "/query_range", api_query_range, "query",
             "Evaluate an expression over a range of time",
             "!query !start !end !step timeout limit lookback_delta stats partial_response", JSON),
    QUERY(GET_POST, "/query_exemplars", api_query_exemplars, "query",
             "Exemplars of the series that an expression selects", "!query start end", JSON),
    QUERY(GET_POST, "/format_query", api_format_query, "query",
             "An expression, laid out", "!query", JSON),
    QUERY(GET_POST, "/parse_query", api_parse_query, "query",
             "An expression as a tree", "!query", JSON),

    QUERY(GET_POST, "/series", api_series, "series", "Label sets of series",
             "!match[] start end limit partial_response", JSON),
    QUERY(GET_POST, "/labels", api_labels, "series", "Names of labels",
             "match[] start end limit partial_response", JSON),
    QUERY(HTTP_GET, "/label/{name}/values", api_label_values, "series", "Values of a label",
             "match[] start end limit partial_response", JSON),
    QUERY(HTTP_GET, "/metadata", api_metadata, "series", "Type, help and unit of metrics",
             "metric limit limit_per_metric", JSON),
    QUERY(GET_POST, "/search/metric_names", api_search_metric_names, "search",
             "Metric names that fit what somebody types",
             "search[] match[] start end fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir "
             "include_score include_metadata limit batch_size", LINES),
    QUERY(GET_POST, "/search/label_names", api_search_label_names, "search",
             "Label names that fit what somebody types",
             "search[] match[] start end fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir "
             "include_score limit batch_size", LINES),
    QUERY(GET_POST, "/search/label_values", api_search_label_values, "search",
             "Values of a label that fit what somebody types",
             "!label search[] match[] start end fuzz_threshold fuzz_alg case_sensitive sort_by "
             "sort_dir include_score limit batch_size", LINES),

    ENDPOINT(HTTP_GET, "/status/buildinfo", api_status_buildinfo, "status", "The version", "", JSON),
    ENDPOINT(HTTP_GET, "/status/runtimeinfo", api_status_runtimeinfo, "status",
             "Since when it runs, and with what", "", JSON),
    ENDPOINT(HTTP_GET, "/status/flags", api_status_flags, "status", "All settings", "", JSON),
    ENDPOINT(HTTP_GET, "/status/config", api_status_config, "status", "All settings as YAML", "",
             JSON),
    ENDPOINT(HTTP_GET, "/status/tsdb", api_status_tsdb, "status",
             "Which names and labels have most series", "limit", JSON),
    ENDPOINT(HTTP_GET, "/status/tsdb/blocks", api_status_blocks, "status", "The blocks on disk", "",
             JSON),
    ENDPOINT(HTTP_GET, "/status/self_metrics", api_status_self_metrics, "status",
             "The node's own metrics as JSON", "metric_name_pattern", JSON),
    ENDPOINT(HTTP_GET, "/status/active_queries", api_active_queries, "status",
             "Queries that run or wait", "", JSON),
    ENDPOINT(HTTP_GET, "/status/walreplay", api_status_walreplay, "status",
             "How much of the log is read after a start", "", JSON),
    ENDPOINT(HTTP_GET, "/cluster", api_cluster, "status", "Nodes, shards, leaders and replicas", "",
             JSON),
    ENDPOINT(HTTP_GET, "/features", api_features, "status", "What this server can do", "", JSON),
    ENDPOINT(HTTP_GET, "/openapi.yaml", api_openapi, "status", "This description",
             "openapi_version", YAML),

    ENDPOINT(HTTP_GET, "/rules", api_empty_rules, "discovery", "Rules: none", "type", JSON),
    ENDPOINT(HTTP_GET, "/alerts", api_empty_alerts, "discovery", "Alerts: none", "", JSON),
    ENDPOINT(HTTP_GET, "/targets", api_empty_targets, "discovery", "Targets: none", "state", JSON),
    ENDPOINT(HTTP_GET, "/targets/metadata", api_empty_targets_metadata, "discovery",
             "Metadata of targets: none", "match_target limit", JSON),
    ENDPOINT(HTTP_GET, "/targets/relabel_steps", api_no_relabel_steps, "discovery",
             "How a target is relabeled: there is none", "!scrapePool !labels", JSON),
    ENDPOINT(HTTP_GET, "/alertmanagers", api_empty_alertmanagers, "discovery",
             "Alertmanagers: none", "", JSON),
    ENDPOINT(HTTP_GET, "/scrape_pools", api_empty_scrape_pools, "discovery", "Scrape pools: none",
             "", JSON),
    ENDPOINT(HTTP_GET, "/scrape_pools/config", api_no_scrape_pool, "discovery",
             "The configuration of a scrape pool: there is none", "!scrapePool", JSON),
    ENDPOINT(HTTP_GET, "/notifications", api_empty_notifications, "discovery",
             "Notifications: none", "", JSON),
    ENDPOINT(HTTP_GET, "/notifications/live", api_no_live_notifications, "discovery",
             "Notifications as they come: none will", "", NOTHING),
};

static const struct api_endpoint ADMIN_ENDPOINTS[] = {
    ENDPOINT(POST_PUT, "/admin/tsdb/delete_series", api_delete_series, "admin",
             "Delete samples of series", "!match[] start end", NOTHING),
    ENDPOINT(POST_PUT, "/admin/tsdb/clean_tombstones", api_clean_tombstones, "admin",
             "Remove deleted samples from the disk", "", NOTHING),
    ENDPOINT(POST_PUT, "/admin/tsdb/snapshot", api_snapshot, "admin",
             "Make a copy that a node can be started on", "skip_head", JSON),
    ENDPOINT(HTTP_POST, "/admin/flush", api_flush, "admin",
             "Write everything in memory into blocks", "", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/tenant/delete", api_tenant_delete, "admin",
             "Delete everything that a tenant has", "!tenant", NOTHING),
    ENDPOINT(HTTP_GET, "/admin/tenant/status", api_tenant_status, "admin",
             "How far the deletion of a tenant is", "!tenant", JSON),
    ENDPOINT(HTTP_POST, "/admin/cluster/drain", api_cluster_drain, "admin",
             "Move replicas and leaders off a node", "!node", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/undrain", api_cluster_undrain, "admin",
             "Let a draining node have replicas again", "!node", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/remove", api_cluster_remove, "admin",
             "A node has left: its replicas are made anew on others", "!node force", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/rebalance", api_cluster_rebalance, "admin",
             "Even leaders and replicas now", "", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/replication", api_cluster_replication, "admin",
             "How many replicas each shard shall have", "!number", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/hold-version", api_cluster_hold_version, "admin",
             "The state-machine version stays what it is", "", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/raise-version", api_cluster_raise_version, "admin",
             "The state-machine version rises to what all nodes know", "", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/split", api_cluster_split, "admin",
             "Have the upper half of a shard's slots become a new shard", "!shard", NOTHING),
    ENDPOINT(HTTP_POST, "/admin/cluster/verify", api_cluster_verify, "admin",
             "Read all files of all replicas, and compare them", "", JSON),
    ENDPOINT(HTTP_GET, "/admin/cluster/verify", api_cluster_verify_look, "admin",
             "How far verifying is, and what it found", "first", JSON),
    ENDPOINT(HTTP_POST, "/admin/cluster/recover-quorum", api_cluster_recover_quorum, "admin",
             "Have a replica whose majority is gone for good go on alone", "!shard confirm", JSON),
    ENDPOINT(HTTP_DELETE, "/status/active_queries/{id}", api_kill_query, "admin",
             "End a query that runs or waits", "", NOTHING),
};

#define STRING  "{type: string}"
#define STRINGS "{type: array, items: {type: string}}"
#define TIME                                                                                       \
    "{oneOf: [{type: string, format: date-time}, {type: number, format: unixtime}]}"
#define DURATION "{oneOf: [{type: string, format: duration}, {type: number, format: float}]}"
#define COUNT    "{type: integer, format: int64, minimum: 0}"
#define TRUTH    "{type: boolean}"

static const struct api_parameter PARAMETERS[] = {
    {"query", STRING, "An expression"},
    {"time", TIME, "When; now by default"},
    {"start", TIME, "From then on"},
    {"end", TIME, "Up to then"},
    {"step", DURATION, "From one time to the next; at most 11,000 of them"},
    {"timeout", DURATION, "How long it may take; at most query.timeout"},
    {"limit", COUNT, "At most so many are shown"},
    {"limit_per_metric", COUNT, "At most so many of each metric"},
    {"lookback_delta", DURATION, "How far back a sample counts; query.lookback by default"},
    {"stats", "{type: string, enum: [\"true\", all]}", "Tell what it took"},
    {"partial_response", TRUTH,
     "Whether to answer without clusters that do not; federation.partial_response by default"},
    {"match[]", STRINGS, "Series selectors, any of which may fit"},
    {"metric", STRING, "Of this metric only"},
    {"label", STRING, "The label whose values are searched"},
    {"search[]", STRINGS, "Terms, any of which may fit"},
    {"fuzz_threshold", "{type: integer, minimum: 0, maximum: 100}", "The lowest score, in percent"},
    {"fuzz_alg", "{type: string, enum: [subsequence, jarowinkler]}", "How terms fit"},
    {"case_sensitive", TRUTH, "Whether upper and lower case differ; they do by default"},
    {"sort_by", "{type: string, enum: [alpha, score]}", "The order"},
    {"sort_dir", "{type: string, enum: [asc, dsc]}", "Its direction"},
    {"include_score", TRUTH, "Tell the scores"},
    {"include_metadata", TRUTH, "Tell type, help and unit"},
    {"batch_size", COUNT, "Results in a line"},
    {"metric_name_pattern", STRING, "A regular expression for whole names"},
    {"openapi_version", "{type: string, enum: [\"3.1\", \"3.2\"]}", "Of the description"},
    {"type", "{type: string, enum: [alert, record]}", "Which rules"},
    {"state", "{type: string, enum: [active, dropped, any]}", "Which targets"},
    {"match_target", STRING, "A selector of targets"},
    {"scrapePool", STRING, "The name of a scrape pool"},
    {"labels", STRING, "The labels of a target as JSON"},
    {"node", STRING, "The name of a node"},
    {"tenant", STRING, "The name of a tenant"},
    {"force", TRUTH, "Even if the node is alive and has replicas"},
    {"number", COUNT, "How many"},
    {"shard", STRING, "The number of a shard, or meta"},
    {"confirm", TRUTH, "Do it, and do not only tell what would be done"},
    {"first", COUNT, "From this shard on"},
    {"skip_head", TRUTH, "Leave out what is only in memory"},
};
/* clang-format on */

struct api_endpoints api_endpoints(void)
{
    return (struct api_endpoints){ENDPOINTS, sizeof ENDPOINTS / sizeof ENDPOINTS[0]};
}

struct api_endpoints api_admin_endpoints(void)
{
    return (struct api_endpoints){ADMIN_ENDPOINTS,
                                  sizeof ADMIN_ENDPOINTS / sizeof ADMIN_ENDPOINTS[0]};
}

const struct api_parameter *api_parameter_find(struct text name)
{
    for (size_t i = 0; i < sizeof PARAMETERS / sizeof PARAMETERS[0]; i++)
        if (text_equal(name, text_of(PARAMETERS[i].name)))
            return &PARAMETERS[i];
    return NULL;
}

bool api_is_of_the_node(const char *route)
{
    static const char *const PATHS[] = {
        "/metrics",       "/-/reload",           "/status/runtimeinfo",   "/status/flags",
        "/status/config", "/status/tsdb/blocks", "/status/walreplay",     "/status/self_metrics",
        "/cluster",       "/delete_tenant",      "/delete_tenant_status",
    };
    struct text whole = text_of(route);
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++)
        if (text_ends_with(whole, text_of(PATHS[i])))
            return true;
    struct api_endpoints admin = api_admin_endpoints();
    for (size_t i = 0; i < admin.count; i++)
        if (text_equal(whole, text_of(admin.entries[i].path)) ||
            text_equal(whole, text_of(admin.entries[i].prefixed)))
            return true;
    return false;
}
