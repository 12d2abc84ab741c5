#include "node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "platform/random.h"
#include "platform/stream.h"

#include "machine.h"
#include "node_private.h"

/* --- Opening, bottom up ----------------------------------------------------------------------- */

static void fatal_error(void *context, const struct error *error)
{
    (void)context;
    log_event(LOG_ERROR, "server", "the process ends, what is durable is kept", "error=\"%s\"",
              error->message);
    abort();
}

static void fatal_group(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    fatal_error(context, error);
}

static void space_changed(void *context, enum journal_space space)
{
    (void)context;
    if (space == JOURNAL_SPACE_LOW)
        log_event(LOG_WARNING, "server", "the disk is nearly full: writes are refused", "");
    else
        log_event(LOG_INFO, "server", "the disk has room again", "");
}

static enum disk_engine engine_of(const struct settings *settings)
{
    if (strcmp(settings->storage_engine, "io_uring") == 0)
        return DISK_ENGINE_URING;
    return strcmp(settings->storage_engine, "pwritev2") == 0 ? DISK_ENGINE_THREADS
                                                             : DISK_ENGINE_BEST;
}

static enum error_code open_directory(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct topology wanted = {(uint32_t)settings->cluster_shards,
                              (uint32_t)settings->cluster_spread};
    enum error_code code = data_directory_open(settings->storage_directory, DATA_FORMAT_VERSION,
                                               &node->directory, error);
    if (code == ERROR_NONE)
        code = topology_open(settings->storage_directory, &wanted, &node->topology, error);
    if (code != ERROR_NONE)
        return code;
    if (node->topology.shard_count != wanted.shard_count || node->topology.spread != wanted.spread)
        log_event(LOG_WARNING, "server", "the data directory keeps the shards it was made with",
                  "shards=%u spread=%u", node->topology.shard_count, node->topology.spread);
    slot_map_init(&node->slots, node->topology.shard_count);
    return ERROR_NONE;
}

static enum error_code open_shared(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    node->metrics = metrics_create();
    if (node->metrics == NULL || !ingest_metrics_create(&node->ingest_metrics, node->metrics))
        return error_set(error, ERROR_OUT_OF_MEMORY, "metrics");
    /* One worker more than processors: a freeze goes on beside as many queries. */
    struct worker_pool_options pool_options = {.worker_count = settings->query_concurrency + 2};
    enum error_code code = worker_pool_create(&pool_options, &node->pool, error);
    if (code == ERROR_NONE)
        code = page_cache_create(settings->storage_cache_bytes, &node->cache, error);
    if (code == ERROR_NONE)
        code = disk_uring_create(settings->storage_directory, NULL, DISK_ENGINE_BEST,
                                 &node->blocking_disk, error);
    if (code == ERROR_NONE && settings->http_tls_certificate[0] != '\0') {
        struct tls_options tls = {
            .certificate_path = settings->http_tls_certificate,
            .key_path = settings->http_tls_key,
            .client_ca_path =
                settings->http_tls_client_ca[0] == '\0' ? NULL : settings->http_tls_client_ca,
        };
        code = tls_context_create(&tls, &node->tls, error);
    }
    if (code != ERROR_NONE)
        return code;
    struct journal_recovery_options recovery = {.directory = "journal", .pool = node->pool};
    code = journal_recover(node->blocking_disk, &recovery, &node->recovery, error);
    if (code == ERROR_CORRUPT)
        error_wrap(error, "the log is damaged; restore this data directory from a copy");
    return code;
}

/* The groups of this loop that the journal knew. */
static size_t adopted_groups(const struct node *node, size_t loop, uint64_t *groups)
{
    size_t count = 0;
    for (uint32_t shard = 0; shard < node->topology.shard_count; shard++)
        if (shard % node->loop_count == loop &&
            journal_recovery_find(node->recovery, shard + 1) != NULL)
            groups[count++] = shard + 1;
    return count;
}

static enum error_code open_storage_loop(struct node *node, size_t number, struct error *error)
{
    struct node_loop *loop = &node->loops[number];
    char name[16];
    snprintf(name, sizeof name, "loop-%zu", number);
    loop->node = node;
    loop->number = number;
    struct loop_options loop_options = {.name = name, .workers = node->pool};
    enum error_code code = loop_create(&loop_options, &loop->loop, error);
    if (code == ERROR_NONE)
        code = disk_uring_create(node->settings->storage_directory, loop->loop,
                                 engine_of(node->settings), &loop->disk, error);
    if (code != ERROR_NONE)
        return code;
    loop->environment = (struct environment){
        .scheduler = loop_scheduler(loop->loop),
        .disk = loop->disk,
        .clock = clock_system(),
        .random = random_system(),
    };
    uint64_t *groups = calloc(node->topology.shard_count, sizeof *groups);
    if (groups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "groups of a loop");
    struct journal_options journal_options = {.directory = "journal", .lane = (uint32_t)number};
    struct journal_events events = {.fatal = fatal_error, .space_changed = space_changed};
    code = journal_open(&loop->environment, &journal_options, &events, node->recovery, groups,
                        adopted_groups(node, number, groups), &loop->journal, error);
    free(groups);
    if (code != ERROR_NONE)
        return code;
    struct group_host_options host_options = {
        .environment = &loop->environment,
        .journal = loop->journal,
        .node_id = NODE_ID,
        .fatal = fatal_group,
    };
    return group_host_create(&host_options, &loop->host, error);
}

static enum error_code open_replica(struct node *node, uint32_t shard, struct error *error)
{
    const struct settings *settings = node->settings;
    struct node_loop *loop = &node->loops[shard % node->loop_count];
    static const struct group_member FOUNDER = {
        .node_id = NODE_ID, .role = GROUP_ROLE_VOTER, .address = "node-1"};
    uint32_t shards = node->topology.shard_count;
    snprintf(node->directories[shard], sizeof node->directories[shard], "shards/%04u", shard);
    struct replica_options options = {
        .environment = &loop->environment,
        .host = loop->host,
        .node = &node->replica_node,
        .shard =
            {
                .cache = node->cache,
                .shard_id = shard,
                .directory = node->directories[shard],
                .hash_seed = node->hash_seed,
                .future_window_ms = settings->ingest_future_window_ms,
                .retention_ms = settings->storage_retention_ms,
                .series_max = settings->ingest_max_series / shards + 1,
                .exemplars_max = (uint32_t)(settings->ingest_max_exemplars / shards),
                .metadata_max = (uint32_t)(settings->ingest_max_metadata / shards) + 1,
            },
        .group_id = shard + 1,
        .recovery = node->recovery,
        .founders = &FOUNDER,
        .founder_count = 1,
        .fatal = fatal_error,
    };
    enum error_code code = replica_create(&options, &node->replicas[shard], error);
    if (code == ERROR_NONE)
        code = replica_start(node->replicas[shard], error);
    return code == ERROR_NONE ? code : error_wrap(error, "shard %u", shard);
}

static enum error_code open_storage(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    uint32_t shards = node->topology.shard_count;
    node->loop_count = (size_t)settings->threads;
    node->loops = calloc(node->loop_count, sizeof *node->loops);
    node->replicas = calloc(shards, sizeof *node->replicas);
    node->directories = calloc(shards, sizeof *node->directories);
    if (node->loops == NULL || node->replicas == NULL || node->directories == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "node");
    node->replica_node = (struct replica_node){
        .unfrozen_bytes_max = settings->storage_unfrozen_bytes,
        .unfrozen_age_max_ms = settings->storage_freeze_interval_ms,
        .queued_bytes_max = 256u << 20,
        .replica_count = shards,
    };
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++)
        code = open_storage_loop(node, i, error);
    for (uint32_t shard = 0; code == ERROR_NONE && shard < shards; shard++)
        code = open_replica(node, shard, error);
    return code;
}

/* --- Opening, the upper floors ---------------------------------------------------------------- */

static enum error_code open_frontend(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    uint32_t shards = node->topology.shard_count;
    struct series_source **sources = calloc(shards, sizeof *sources);
    if (sources == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "frontend");
    for (uint32_t shard = 0; shard < shards; shard++)
        sources[shard] = shard_source(replica_shard(node->replicas[shard]));
    struct frontend_options options = {
        .shards = sources,
        .shard_count = shards,
        .pool = node->pool,
        .clock = clock_system(),
        .lookback_ms = settings->query_lookback_ms,
        .subquery_step_ms = settings->query_default_step_ms,
        .timeout_ms = settings->query_timeout_ms,
        .samples_max = settings->query_max_samples,
        .memory_max_bytes = settings->query_memory_bytes,
        .concurrency = settings->query_concurrency,
        .waiting_max = 1000,
        .features = settings->query_features,
    };
    enum error_code code = frontend_create(&options, &node->frontend, error);
    free(sources);
    return code;
}

static enum error_code open_ingest(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    uint64_t alias_bytes = machine_memory_bytes() / 16 / node->loop_count;
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++) {
        struct ingest_options options = {
            .scheduler = node->loops[i].environment.scheduler,
            .clock = clock_system(),
            .replicas = node->replicas,
            .slots = &node->slots,
            .spread = node->topology.spread,
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
        code = ingest_create(&options, &node->loops[i].ingest, error);
    }
    return code;
}

static enum error_code open_api(struct node *node, struct error *error)
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
        shown[i] = (struct api_setting){settings->names[i], settings->values[i]};
    node->shown_settings = shown;
    snprintf(node->retention_text, sizeof node->retention_text, "%lldd",
             (long long)(settings->storage_retention_ms / (24 * 3600 * 1000)));
    struct api_options options = {
        .loops = loops,
        .loop_count = node->loop_count,
        .replicas = node->replicas,
        .shard_count = node->topology.shard_count,
        .frontend = node->frontend,
        .metrics = node->metrics,
        .clock = clock_system(),
        .program = node_program(node),
        .tenants_enabled = settings->tenants_enabled,
        .admin_enabled = settings->http_admin,
        .version = GNOMON_VERSION,
        .started_ms = clock_now_ms(clock_system()),
        .settings = shown,
        .setting_count = settings->count,
        .config_yaml = (const char *)node->config_yaml.bytes,
        .retention_text = settings->storage_retention_ms == 0 ? "forever" : node->retention_text,
        .decoded_bytes_max = settings->ingest_max_request_bytes,
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

static enum error_code open_servers(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    node->http_budget.connections_max = settings->http_connections_max;
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
                  node->topology.shard_count);
    return code;
}

/* --- Running ---------------------------------------------------------------------------------- */

static void on_signal(void *context, enum signal_event event)
{
    struct node *node = context;
    struct error error;
    if (event == SIGNAL_TERMINATE) {
        node_drain(node);
        return;
    }
    struct api_program program = node_program(node);
    if (program.reload(program.context, &error) != ERROR_NONE)
        log_event(LOG_ERROR, "server", "the reload failed, former settings stay", "error=\"%s\"",
                  error.message);
}

static uint64_t stored_bytes(struct node *node, int64_t *oldest_ms)
{
    uint64_t bytes = 0;
    *oldest_ms = INT64_MAX;
    for (uint32_t shard = 0; shard < node->topology.shard_count; shard++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(node->replicas[shard]), &statistics);
        bytes += statistics.part_bytes + statistics.block_bytes;
        if (statistics.oldest_ms < *oldest_ms)
            *oldest_ms = statistics.oldest_ms;
    }
    return bytes;
}

static void retain(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, retain_task));
    struct node *node = loop->node;
    atomic_store(&loop->retain_queued, false);
    if (atomic_load(&node->draining))
        return;
    for (uint32_t shard = 0; shard < node->topology.shard_count; shard++)
        if (shard % node->loop_count == loop->number)
            shard_retain_from(replica_shard(node->replicas[shard]),
                              atomic_load(&node->size_cutoff_ms));
}

/* Oldest windows go, one at a time, until the size fits. */
static void enforce_size(struct node *node)
{
    int64_t oldest_ms;
    uint64_t bytes = stored_bytes(node, &oldest_ms);
    if (node->settings->storage_retention_bytes == 0 ||
        bytes <= node->settings->storage_retention_bytes || oldest_ms == INT64_MAX)
        return;
    enum { WINDOW_MS = 2 * 3600 * 1000 };
    atomic_store(&node->size_cutoff_ms, (oldest_ms / WINDOW_MS + 1) * WINDOW_MS);
    for (size_t i = 0; i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        if (atomic_exchange(&loop->retain_queued, true))
            continue;
        loop->retain_task.run = retain;
        scheduler_post(loop->environment.scheduler, &loop->retain_task);
    }
}

static bool all_ready(const struct node *node)
{
    for (uint32_t shard = 0; shard < node->topology.shard_count; shard++)
        if (!replica_is_ready(node->replicas[shard]))
            return false;
    return true;
}

enum { UPKEEP_MS = 100, UPKEEPS_PER_SIZE_CHECK = 100 };

static void upkeep(struct timer *timer)
{
    struct node *node = (struct node *)((char *)timer - offsetof(struct node, upkeep));
    if (node->recovery != NULL && all_ready(node)) {
        /* Everything replayed is in the heads: the recovered log can go. */
        journal_recovery_close(node->recovery);
        node->recovery = NULL;
        log_event(LOG_INFO, "server", "ready", "");
    }
    if (node->recovery == NULL && ++node->upkeep_count % UPKEEPS_PER_SIZE_CHECK == 0)
        enforce_size(node);
    scheduler_timer_start(node->loops[0].environment.scheduler, timer, UPKEEP_MS);
}

enum error_code node_open(const struct settings *settings, struct node **node_out,
                          struct error *error)
{
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "node");
    node->settings = settings;
    node->hash_seed = random_next(random_system());
    log_set_level(settings->log_level);
    enum error_code code = open_directory(node, error);
    if (code == ERROR_NONE)
        code = open_shared(node, error);
    if (code == ERROR_NONE)
        code = open_storage(node, error);
    if (code == ERROR_NONE)
        code = open_frontend(node, error);
    if (code == ERROR_NONE)
        code = open_ingest(node, error);
    if (code == ERROR_NONE)
        code = open_api(node, error);
    if (code == ERROR_NONE && !node_add_metrics(node))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "metrics");
    if (code == ERROR_NONE)
        code = open_servers(node, error);
    if (code == ERROR_NONE)
        code = signals_open(node->loops[0].loop, on_signal, node, &node->signals, error);
    if (code != ERROR_NONE)
        return code; /* the program ends: the system takes everything back */
    *node_out = node;
    return ERROR_NONE;
}

static void release(struct node *node)
{
    for (size_t i = 0; i < node->loop_count; i++) {
        ingest_destroy(node->loops[i].ingest);
        group_host_destroy(node->loops[i].host);
    }
    frontend_destroy(node->frontend);
    api_destroy(node->api);
    http_router_destroy(node->router);
    worker_pool_destroy(node->pool);
    journal_recovery_close(node->recovery);
    for (size_t i = 0; i < node->loop_count; i++) {
        disk_uring_destroy(node->loops[i].disk);
        loop_destroy(node->loops[i].loop);
    }
    page_cache_destroy(node->cache);
    disk_uring_destroy(node->blocking_disk);
    tls_context_destroy(node->tls);
    metrics_destroy(node->metrics);
    byte_buffer_clear(&node->config_yaml);
    free(node->shown_settings);
    free(node->loops);
    free(node->replicas);
    free(node->directories);
    data_directory_close(node->directory);
    free(node);
}

void node_run(struct node *node)
{
    struct error error;
    node->upkeep = (struct timer){.fire = upkeep, .heap_index = TIMER_IDLE};
    scheduler_timer_start(node->loops[0].environment.scheduler, &node->upkeep, UPKEEP_MS);
    if (node->settings->telemetry_self_write &&
        self_write_start(node, &node->self_write, &error) != ERROR_NONE)
        log_event(LOG_WARNING, "server", "own metrics are not written", "error=\"%s\"",
                  error.message);
    for (size_t i = 0; i < node->loop_count; i++)
        loop_figures_start(&node->loops[i].figures, node->loops[i].environment.scheduler,
                           node->loops[i].journal, node->loops[i].host, node->loops[i].ingest);
    for (size_t i = 1; i < node->loop_count; i++) {
        if (loop_start(node->loops[i].loop, &error) != ERROR_NONE)
            fatal_error(NULL, &error);
    }
    loop_run(node->loops[0].loop);
    for (size_t i = 1; i < node->loop_count; i++)
        loop_join(node->loops[i].loop);
    log_event(LOG_INFO, "server", "stopped", "");
    release(node);
}
