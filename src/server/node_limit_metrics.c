/* The limits of the settings as metrics, so that what comes near one can be told. */
#include <stddef.h>

#include "metric_emit.h"
#include "node_private.h"

struct limit {
    const char *setting;
    size_t offset; /* of a uint64_t in struct settings */
};

#define LIMIT(setting, field)                                                                      \
    {                                                                                              \
        setting, offsetof(struct settings, field)                                                  \
    }

static const struct limit LIMITS[] = {
    LIMIT("http.max_connections", http_connections_max),
    LIMIT("http.max_body", http_body_bytes_max),
    LIMIT("ingest.max_series", ingest_max_series),
    LIMIT("ingest.max_labels", ingest_max_labels),
    LIMIT("ingest.max_label_bytes", ingest_max_label_bytes),
    LIMIT("ingest.max_request_bytes", ingest_max_request_bytes),
    LIMIT("ingest.max_request_series", ingest_max_request_series),
    LIMIT("ingest.max_exemplars", ingest_max_exemplars),
    LIMIT("ingest.max_metadata", ingest_max_metadata),
    LIMIT("ingest.tenant_rate", ingest_tenant_rate),
    LIMIT("object_store.cache", object_store_cache_bytes),
    LIMIT("object_store.cache_memory", object_store_cache_memory_bytes),
    LIMIT("query.concurrency", query_concurrency),
    LIMIT("query.max_samples", query_max_samples),
    LIMIT("query.memory", query_memory_bytes),
    LIMIT("storage.cache", storage_cache_bytes),
    LIMIT("storage.retention_size", storage_retention_bytes),
    LIMIT("storage.unfrozen_log", storage_unfrozen_bytes),
};

static void collect_limits(void *context, metric_visit *visit, void *visit_context)
{
    const struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        struct metric_label label = {"setting", LIMITS[i].setting};
        const char *field = (const char *)node->settings + LIMITS[i].offset;
        metric_emit(&emitter, "gnomon_settings_limit", "What a setting allows; 0: no limit.",
                    METRIC_KIND_GAUGE, &label, 1, (double)*(const uint64_t *)(const void *)field);
    }
}

static void collect_self_write(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    metric_emit(&emitter, "gnomon_telemetry_self_writes_total",
                "Times that the node wrote its own metrics into itself.", METRIC_KIND_COUNTER, NULL,
                0, (double)atomic_load(&node->self_writes));
    metric_emit(&emitter, "gnomon_telemetry_self_write_failures_total",
                "Times that they were not stored.", METRIC_KIND_COUNTER, NULL, 0,
                (double)atomic_load(&node->self_write_failures));
}

bool node_add_limit_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect_limits, node) &&
           metrics_add_collector(node->metrics, collect_self_write, node);
}
