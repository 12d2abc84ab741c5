/* Opening the upper floors of a node: queries, writes, API, servers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "platform/stream.h"

#include "machine.h"
#include "node_cluster.h"
#include "node_private.h"

/* --- Opening, the upper floors ---------------------------------------------------------------- */

/* Queries reach replicas of this node and of others in one way. */
static enum error_code open_fanout(struct node *node, struct error *error)
{
    struct node_cluster *cluster = node->cluster;
    enum error_code code = fanout_replicas_create(node->replicas, &node->fanout_replicas, error);
    if (code != ERROR_NONE)
        return code;
    struct fanout_options options = {
        .board = cluster == NULL ? NULL : cluster->board,
        .replicas = node->fanout_replicas,
        .clock = clock_system(),
        .loop_count = cluster == NULL ? 0 : node->loop_count,
        .pool = node->pool,
        .query_memory_max_bytes = node->settings->query_memory_bytes,
        .samples_max = node->settings->query_max_samples,
        .timeout_ms = (uint64_t)node->settings->query_timeout_ms,
    };
    code = fanout_create(&options, &node->fanout, error);
    if (code == ERROR_NONE && cluster == NULL)
        fanout_set_node(node->fanout, NODE_ID);
    for (size_t i = 0; code == ERROR_NONE && cluster != NULL && i < node->loop_count; i++)
        fanout_attach(node->fanout, i, node->loops[i].environment.scheduler,
                      node->loops[i].transport);
    return code;
}

enum error_code node_open_frontend(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    enum error_code code = open_fanout(node, error);
    if (code != ERROR_NONE)
        return code;
    struct series_source *source = fanout_source(node->fanout, FANOUT_READ_DEFAULT);
    struct frontend_options options = {
        .shards = &source,
        .shard_count = 1,
        .pool = node->pool,
        .clock = clock_system(),
        .lookback_ms = settings->query_lookback_ms,
        .subquery_step_ms = settings->query_default_step_ms,
        .timeout_ms = settings->query_timeout_ms,
        .samples_max = settings->query_max_samples,
        .memory_max_bytes = settings->query_memory_bytes,
        .concurrency = settings->query_concurrency,
        .waiting_max = 1000,
        .slow_ms = settings->query_slow_ms,
        .features = settings->query_features,
    };
    code = frontend_create(&options, &node->frontend, error);
    if (code == ERROR_NONE)
        fanout_set_memory(node->fanout, frontend_memory(node->frontend));
    return code;
}

/* The log before a flush is not needed any more. */
static void flushed(void *context, uint32_t shard_id, struct replica *replica)
{
    struct node *node = context;
    (void)replica;
    journal_trim(node->loops[hosting_loop_of(node->hosting, shard_id)].journal);
}

static void slots_changed(void *context)
{
    node_cluster_follow(context);
}

static enum error_code open_routing(struct node *node, struct node_loop *loop, struct error *error)
{
    struct routing_options options = {
        .scheduler = loop->environment.scheduler,
        .table = node->replicas,
        .board = node->cluster == NULL ? NULL : node->cluster->board,
        .transport = loop->transport,
        .node_id = node->cluster == NULL ? NODE_ID : 0,
        .flushed = flushed,
        .slots_changed = slots_changed,
        .context = node,
    };
    return routing_create(&options, &loop->routing, error);
}

/* A write may wait for the next leader as long as senders wait for it. */
enum { WRITE_RETRY_MS = 10 * 1000 };

enum error_code node_open_ingest(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    uint64_t alias_bytes = machine_memory_bytes() / 16 / node->loop_count;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        code = open_routing(node, loop, error);
        if (code != ERROR_NONE)
            break;
        struct ingest_options options = {
            .scheduler = loop->environment.scheduler,
            .clock = clock_system(),
            .router = routing_router(loop->routing),
            .slots = &node->topology.slots,
            .spread = node->topology.spread,
            .retry_ms = node->cluster == NULL ? 0 : WRITE_RETRY_MS,
            .hash_seed = node->hash_seed,
            .limits =
                {
                    .decoded_bytes_max = settings->ingest_max_request_bytes,
                    .series_per_request_max = settings->ingest_max_request_series,
                    .labels_max = settings->ingest_max_labels,
                    .label_bytes_max = settings->ingest_max_label_bytes,
                    .alias_bytes_max = alias_bytes,
                    .tenant_samples_per_second = settings->ingest_tenant_rate,
                },
            .metrics = &node->ingest_metrics,
        };
        code = ingest_create(&options, &loop->ingest, error);
    }
    return code;
}

enum error_code node_open_api(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct api_loop *loops = calloc(node->loop_count, sizeof *loops);
    struct api_setting *shown = calloc(settings->count, sizeof *shown);
    settings_print(settings, &node->config_yaml);
    byte_buffer_u8(&node->config_yaml, 0);
    if (loops == NULL || shown == NULL || node->config_yaml.failed) {
        free(loops);
        free(shown);
        return error_set(error, ERROR_OUT_OF_MEMORY, "api");
    }
    for (size_t i = 0; i < node->loop_count; i++)
        loops[i] = (struct api_loop){node->loops[i].environment.scheduler, node->loops[i].ingest};
    for (size_t i = 0; i < settings->count; i++)
        shown[i] = (struct api_setting){settings->names[i], settings_shown_value(settings, i)};
    node->shown_settings = shown;
    snprintf(node->retention_text, sizeof node->retention_text, "%lldd",
             (long long)(settings->storage_retention_ms / (24 * 3600 * 1000)));
    struct api_options options = {
        .loops = loops,
        .loop_count = node->loop_count,
        .replicas = node->replicas,
        .frontend = node->frontend,
        .fanout = node->fanout,
        .federation = node->federation,
        .federation_partial = settings->federation_partial,
        .internal_workers = node->internal_workers,
        .metrics = node->metrics,
        .clock = clock_system(),
        .program = node_program(node),
        .refused = ((settings->roles & CLUSTER_ROLE_INGEST) == 0 ? API_SERVICE_WRITES : 0) |
                   ((settings->roles & CLUSTER_ROLE_QUERY) == 0 ? API_SERVICE_QUERIES : 0),
        .tenants_enabled = settings->tenants_enabled,
        .admin_enabled = settings->http_admin,
        .version = GNOMON_VERSION,
        .started_ms = clock_now_ms(clock_system()),
        .settings = shown,
        .setting_count = settings->count,
        .config_yaml = (const char *)node->config_yaml.bytes,
        .retention_text = settings->storage_retention_ms == 0 ? "forever" : node->retention_text,
        .decoded_bytes_max = settings->ingest_max_request_bytes,
        .write_memory_bytes_max = machine_memory_bytes() / 16,
    };
    enum error_code code = api_create(&options, &node->api, error);
    free(loops);
    if (code != ERROR_NONE)
        return code;
    node->router = http_router_create();
    if (node->router == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "router");
    return api_add_routes(node->api, node->router, error);
}

/* Connections leave descriptors to the files: of those there are a few thousand at most. */
static size_t connections_max(const struct settings *settings)
{
    enum { FILES_RESERVED = 4096 };
    uint64_t files = machine_raise_open_files();
    uint64_t reserved = files / 2 < FILES_RESERVED ? files / 2 : FILES_RESERVED;
    if (settings->http_connections_max <= files - reserved)
        return settings->http_connections_max;
    log_event(LOG_WARNING, "server", "the limit of open files allows fewer connections",
              "http.max_connections=%llu open_files=%llu connections=%llu",
              (unsigned long long)settings->http_connections_max, (unsigned long long)files,
              (unsigned long long)(files - reserved));
    return (size_t)(files - reserved);
}

enum error_code node_open_servers(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    node->http_budget.connections_max = connections_max(settings);
    node->http_budget.body_bytes_max = machine_memory_bytes() / 16;
    char address[300];
    snprintf(address, sizeof address, "%s", settings->http_listen);
    enum error_code code = listener_check_free(address, error);
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++) {
        struct http_server_options options = {
            .address = address,
            .tls = node->tls,
            .router = node->router,
            .budget = &node->http_budget,
            .hooks = api_hooks(node->api),
            .guard = gate_guard(node->gate),
            .body_bytes_max = settings->http_body_bytes_max,
            .idle_timeout_ms = (uint64_t)settings->http_idle_timeout_ms,
        };
        code = http_server_open(node->loops[i].loop, &options, &node->loops[i].server, error);
        /* With port 0 the first server's port is everybody's. */
        char *colon = strrchr(address, ':');
        if (code == ERROR_NONE && i == 0 && colon != NULL)
            snprintf(colon, sizeof address - (size_t)(colon - address), ":%u",
                     http_server_port(node->loops[0].server));
    }
    if (code == ERROR_NONE)
        log_event(LOG_INFO, "server", "listening", "address=%s tls=%s loops=%zu shards=%u", address,
                  node->tls != NULL ? "true" : "false", node->loop_count,
                  node->topology.slots.shard_count);
    return code;
}
