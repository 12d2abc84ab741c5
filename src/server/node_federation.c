/* Other clusters: queries over them, answers to them, and what is counted of that. */
#include <stdlib.h>

#include "metric_emit.h"
#include "node_private.h"

/* What answers other clusters mostly waits for nodes of this one, or shares its work with the
 * workers of queries. */
enum { INTERNAL_WORKERS = 8 };

/* --- Opening --------------------------------------------------------------------------------- */

static enum error_code open_clusters(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    size_t count = settings->federation_cluster_count;
    struct federation_cluster *clusters = calloc(count, sizeof *clusters);
    struct label(*labels)[FEDERATION_LABELS_MAX] = calloc(count, sizeof *labels);
    if (clusters == NULL || labels == NULL) {
        free(clusters);
        free(labels);
        return error_set(error, ERROR_OUT_OF_MEMORY, "federation");
    }
    for (size_t i = 0; i < count; i++) {
        const struct settings_cluster *cluster = &settings->federation_clusters[i];
        for (size_t label = 0; label < cluster->label_count; label++)
            labels[i][label] = (struct label){text_of(cluster->label_names[label]),
                                              text_of(cluster->label_values[label])};
        clusters[i] = (struct federation_cluster){
            .name = cluster->name,
            .url = cluster->url,
            .labels = labels[i],
            .label_count = cluster->label_count,
            .ca_path = cluster->ca,
            .certificate_path = cluster->certificate,
            .key_path = cluster->key,
            .user = cluster->user,
            .password = cluster->password,
            .token = cluster->token,
        };
    }
    struct federation_options options = {
        .clusters = clusters,
        .cluster_count = count,
        .name = settings->cluster_name,
        .timeout_ms = (uint64_t)settings->federation_timeout_ms,
        .clock = clock_system(),
        .pool = node->pool,
        .query_memory_max_bytes = settings->query_memory_bytes,
        .samples_max = settings->query_max_samples,
        .memory = frontend_memory(node->frontend),
    };
    enum error_code code = federation_create(&options, &node->federation, error);
    free(clusters);
    free(labels);
    return code;
}

enum error_code node_open_federation(struct node *node, struct error *error)
{
    struct worker_pool_options options = {.worker_count = INTERNAL_WORKERS};
    enum error_code code = worker_pool_create(&options, &node->internal_workers, error);
    if (code == ERROR_NONE && node->settings->federation_cluster_count > 0)
        code = open_clusters(node, error);
    return code;
}

void node_close_federation(struct node *node)
{
    worker_pool_destroy(node->internal_workers);
    federation_destroy(node->federation);
}

/* --- Metrics --------------------------------------------------------------------------------- */

static void emit(const struct metric_emitter *emitter, const char *name, const char *help,
                 const struct federation_statistics *statistics, uint64_t value)
{
    struct metric_label label = {"remote", statistics->name};
    metric_emit(emitter, name, help, METRIC_KIND_COUNTER, &label, 1, (double)value);
}

static void collect_federation(void *context, metric_visit *visit, void *visit_context)
{
    const struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    size_t count = node->federation == NULL ? 0 : federation_cluster_count(node->federation);
    struct federation_statistics statistics[FEDERATION_CLUSTERS_MAX];
    for (size_t i = 0; i < count; i++)
        federation_statistics(node->federation, i, &statistics[i]);
    for (size_t i = 0; i < count; i++)
        emit(&emitter, "gnomon_federation_asked_total", "Requests to other clusters.",
             &statistics[i], statistics[i].asked);
    for (size_t i = 0; i < count; i++)
        emit(&emitter, "gnomon_federation_pruned_total",
             "Requests that were not made, since no selector fits the labels of the cluster.",
             &statistics[i], statistics[i].pruned);
    for (size_t i = 0; i < count; i++)
        emit(&emitter, "gnomon_federation_failed_total",
             "Requests to other clusters without a useful answer.", &statistics[i],
             statistics[i].failed);
    for (size_t i = 0; i < count; i++) {
        struct metric_label label = {"remote", statistics[i].name};
        metric_emit(&emitter, "gnomon_federation_silent",
                    "1: nothing comes from the cluster, it is left out until it answers again.",
                    METRIC_KIND_GAUGE, &label, 1, statistics[i].is_silent ? 1 : 0);
    }
    for (size_t i = 0; i < count; i++)
        emit(&emitter, "gnomon_federation_sub_query_received_bytes_total",
             "Answers of other clusters to sub-queries.", &statistics[i],
             statistics[i].received_bytes_sub_query);
    for (size_t i = 0; i < count; i++)
        emit(&emitter, "gnomon_federation_select_received_bytes_total",
             "Answers of other clusters that are series, names, values, exemplars or metadata.",
             &statistics[i], statistics[i].received_bytes_select);
}

bool node_add_federation_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect_federation, node);
}
