#include "node.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "platform/random.h"

#include "node_bucket.h"
#include "node_cluster.h"
#include "node_private.h"

/* --- Signals and the end ---------------------------------------------------------------------- */

void node_fatal_error(void *context, const struct error *error)
{
    (void)context;
    log_event(LOG_ERROR, "server", "the process ends, what is durable is kept", "error=\"%s\"",
              error->message);
    fflush(NULL);
    _Exit(EXIT_FAILURE); /* nothing is taken apart: other threads run */
}

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

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code node_open(const struct settings *settings, struct node **node_out,
                          struct error *error)
{
    struct node *node = calloc(1, sizeof *node);
    if (node == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "node");
    node->settings = settings;
    node->opened_ms = node->replay_told_ms = clock_monotonic_ms(clock_system());
    node->hash_seed = random_next(random_system());
    log_set_level(settings->log_level);
    node_open_retention(node);
    enum error_code code = node_open_directory(node, error);
    if (code == ERROR_NONE)
        code = node_open_shared(node, error);
    if (code == ERROR_NONE)
        code = node_open_bucket(node, error);
    if (code == ERROR_NONE)
        code = node_open_storage(node, error);
    if (code == ERROR_NONE)
        code = node_open_frontend(node, error);
    if (code == ERROR_NONE)
        code = node_open_federation(node, error);
    if (code == ERROR_NONE)
        code = node_open_ingest(node, error);
    if (code == ERROR_NONE)
        code = node_open_api(node, error);
    if (code == ERROR_NONE && !node_add_metrics(node))
        code = error_set(error, ERROR_OUT_OF_MEMORY, "metrics");
    if (code == ERROR_NONE)
        code = node_open_servers(node, error);
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
        routing_destroy(node->loops[i].routing);
        group_host_destroy(node->loops[i].host);
        group_link_destroy(node->loops[i].link);
    }
    hosting_destroy(node->hosting);
    node_close_federation(node);
    frontend_destroy(node->frontend);
    fanout_destroy(node->fanout);
    fanout_replicas_destroy(node->fanout_replicas);
    replica_table_destroy(node->replicas);
    api_destroy(node->api);
    http_router_destroy(node->router);
    worker_pool_destroy(node->pool);
    journal_recovery_close(node->recovery);
    journal_recovery_close(node->closing_recovery);
    for (size_t i = 0; i < node->loop_count; i++) {
        disk_uring_destroy(node->loops[i].disk);
        loop_destroy(node->loops[i].loop);
    }
    node_cluster_release(node);
    node_close_bucket(node);
    head_spares_unref(node->head_spares);
    page_cache_destroy(node->cache);
    disk_uring_destroy(node->blocking_disk);
    node_close_access(node);
    node_close_retention(node);
    metrics_destroy(node->metrics);
    byte_buffer_clear(&node->config_yaml);
    free(node->shown_settings);
    free(node->loops);
    data_directory_close(node->directory);
    free(node);
}

static void start_figures(struct node_loop *loop)
{
    struct loop_figures_sources sources = {
        .journal = loop->journal,
        .ingest = loop->ingest,
        .host = &loop->host,
        .transport = &loop->transport,
        .transfer = &loop->transfer,
    };
    loop_figures_start(&loop->figures, loop->environment.scheduler, &sources);
}

void node_run(struct node *node)
{
    struct error error;
    node_start_upkeep(node);
    if (node->cluster != NULL)
        node_cluster_start(node);
    if (node->settings->telemetry_self_write &&
        self_write_start(node, &node->self_write, &error) != ERROR_NONE)
        log_event(LOG_WARNING, "server", "own metrics are not written", "error=\"%s\"",
                  error.message);
    for (size_t i = 0; i < node->loop_count; i++)
        start_figures(&node->loops[i]);
    node_start_scrub(node);
    for (size_t i = 1; i < node->loop_count; i++) {
        if (loop_start(node->loops[i].loop, &error) != ERROR_NONE)
            node_fatal_error(NULL, &error);
    }
    loop_run(node->loops[0].loop);
    for (size_t i = 1; i < node->loop_count; i++)
        loop_join(node->loops[i].loop);
    log_event(LOG_INFO, "server", "stopped", "");
    release(node);
}
