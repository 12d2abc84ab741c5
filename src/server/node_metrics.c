/* Collectors: what the parts of a node count themselves, as metrics. */
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "metric_emit.h"
#include "node_bucket.h"
#include "node_cluster_metrics.h"
#include "node_private.h"

/* --- Shards
 * --------------------------------------------------------------------------------------- */

struct shard_metric {
    const char *name;
    const char *help;
    enum metric_kind kind;
    size_t offset; /* of a uint64_t in struct shard_statistics */
};

#define SHARD_METRIC(name, field, kind, help)                                                      \
    {                                                                                              \
        "gnomon_shard_" name, help, kind, offsetof(struct shard_statistics, field)                 \
    }

static const struct shard_metric SHARD_METRICS[] = {
    SHARD_METRIC("series", series_count, METRIC_KIND_GAUGE, "Series alive."),
    SHARD_METRIC("head_series", head_series_count, METRIC_KIND_GAUGE,
                 "Series with samples in the growing head."),
    SHARD_METRIC("samples_appended_total", samples_appended, METRIC_KIND_COUNTER,
                 "Samples stored."),
    SHARD_METRIC("samples_duplicate_total", samples_duplicate, METRIC_KIND_COUNTER,
                 "Samples that were stored before."),
    SHARD_METRIC("samples_late_total", samples_late, METRIC_KIND_COUNTER,
                 "Samples older than the newest of their series."),
    SHARD_METRIC("histograms_appended_total", histograms_appended, METRIC_KIND_COUNTER,
                 "Native histograms stored."),
    SHARD_METRIC("exemplars_appended_total", exemplars_appended, METRIC_KIND_COUNTER,
                 "Exemplars stored."),
    SHARD_METRIC("head_bytes", head_bytes, METRIC_KIND_GAUGE,
                 "Memory of the heads, growing and frozen."),
    SHARD_METRIC("registry_bytes", registry_bytes, METRIC_KIND_GAUGE, "Memory of labels and ids."),
    SHARD_METRIC("unfrozen_log_bytes", unfrozen_log_bytes, METRIC_KIND_GAUGE,
                 "Log since the last freeze."),
    SHARD_METRIC("frozen_heads", frozen_head_count, METRIC_KIND_GAUGE,
                 "Frozen heads that wait to be written."),
    SHARD_METRIC("parts", part_count, METRIC_KIND_GAUGE, "Parts on disk."),
    SHARD_METRIC("part_bytes", part_bytes, METRIC_KIND_GAUGE, "Their size."),
    SHARD_METRIC("blocks", block_count, METRIC_KIND_GAUGE, "Blocks, here or in the bucket only."),
    SHARD_METRIC("block_bytes", block_bytes, METRIC_KIND_GAUGE, "Size of those on the disk here."),
    SHARD_METRIC("absent_blocks", absent_block_count, METRIC_KIND_GAUGE,
                 "Blocks that are in the bucket only."),
    SHARD_METRIC("absent_block_bytes", absent_block_bytes, METRIC_KIND_GAUGE, "Their size."),
    SHARD_METRIC("unsplit_files", unsplit_count, METRIC_KIND_GAUGE,
                 "Parts and blocks that still have series of a shard that was split off, or of its "
                 "parent."),
    SHARD_METRIC("unsplit_bytes", unsplit_bytes, METRIC_KIND_GAUGE, "Their size."),
    SHARD_METRIC("series_segments", segment_count, METRIC_KIND_GAUGE, "Series segments on disk."),
    SHARD_METRIC("series_segment_bytes", segment_bytes, METRIC_KIND_GAUGE, "Their size."),
    SHARD_METRIC("series_forgotten_total", series_forgotten, METRIC_KIND_COUNTER,
                 "Series that went quiet and left the registry."),
    SHARD_METRIC("dead_series", dead_id_count, METRIC_KIND_GAUGE,
                 "Forgotten series that are still in a series segment."),
    SHARD_METRIC("series_segments_rewritten_total", segments_rewritten, METRIC_KIND_COUNTER,
                 "Series segments that a later one took the place of."),
    SHARD_METRIC("freezes_total", freezes_total, METRIC_KIND_COUNTER, "Freezes."),
    SHARD_METRIC("merges_total", merges_total, METRIC_KIND_COUNTER, "Merges finished."),
    SHARD_METRIC("merges_waiting", merges_waiting, METRIC_KIND_GAUGE,
                 "Merges that wait for a worker, or to be tried again."),
    SHARD_METRIC("merges_running", merges_running, METRIC_KIND_GAUGE, "Merges under way."),
    SHARD_METRIC("merge_bytes", merge_bytes, METRIC_KIND_GAUGE, "Memory of merges under way."),
    SHARD_METRIC("merge_failures_total", merge_failures_total, METRIC_KIND_COUNTER,
                 "Merges that failed; they are tried again, or given up when an input is damaged."),
    SHARD_METRIC("merges_given_up_total", merges_given_up_total, METRIC_KIND_COUNTER,
                 "Merges left undone, since a file that they need is damaged."),
    SHARD_METRIC("damaged_files", damaged_files, METRIC_KIND_GAUGE,
                 "Files known not to be readable as a whole; the log names them."),
    SHARD_METRIC("differing_files_total", differing_files_total, METRIC_KIND_COUNTER,
                 "Parts and merges that came out otherwise here than on the leader."),
    SHARD_METRIC("samples_merged_total", samples_merged_total, METRIC_KIND_COUNTER,
                 "Samples in the blocks that merges wrote."),
    SHARD_METRIC("late_refused_total", late_refused_total, METRIC_KIND_COUNTER,
                 "Late samples refused for now, since merges are behind."),
    SHARD_METRIC(
        "misplaced_samples_total", misplaced_total, METRIC_KIND_COUNTER,
        "Samples of slots that are another shard's, refused when they came to be applied."),
    SHARD_METRIC("job_failures_total", job_failures_total, METRIC_KIND_COUNTER,
                 "Freezes and merges that failed and are tried again."),
    SHARD_METRIC("tombstones", tombstone_count, METRIC_KIND_GAUGE, "Deletions not merged yet."),
    SHARD_METRIC("retention_pending_files", retention_pending_files, METRIC_KIND_GAUGE,
                 "Files that a shorter retention takes from when its grace is over."),
    SHARD_METRIC("retention_pending_bytes", retention_pending_bytes, METRIC_KIND_GAUGE,
                 "Bytes of these files."),
    SHARD_METRIC("metadata_metrics", metadata_count, METRIC_KIND_GAUGE, "Metrics with metadata."),
    SHARD_METRIC("metadata_refused_total", metadata_refused_total, METRIC_KIND_COUNTER,
                 "Statements of metadata left out: ingest.max_metadata was reached."),
    SHARD_METRIC("exemplars_dropped_total", exemplars_dropped_total, METRIC_KIND_COUNTER,
                 "Exemplars dropped for newer ones: ingest.max_exemplars was reached."),
    SHARD_METRIC("doomed_files", doomed_files, METRIC_KIND_GAUGE,
                 "Files that wait to be deleted: merged, or past the retention."),
    SHARD_METRIC("metadata_forgotten_total", metadata_forgotten, METRIC_KIND_COUNTER,
                 "Metrics whose metadata nobody stated any more."),
    SHARD_METRIC("state_version", state_version, METRIC_KIND_GAUGE,
                 "State-machine version in force in the log."),
    SHARD_METRIC("applied_index", applied_index, METRIC_KIND_GAUGE, "Last log entry applied."),
};

enum { SHARD_METRIC_COUNT = sizeof SHARD_METRICS / sizeof SHARD_METRICS[0] };

struct shard_collector {
    struct metric_emitter emitter;
    const struct shard_metric *metric;
};

static void collect_shard(void *context, uint32_t shard_id, struct replica *replica)
{
    struct shard_collector *collector = context;
    const struct shard_metric *metric = collector->metric;
    struct shard_statistics statistics;
    uint64_t value;
    char name[16];
    shard_read_statistics(replica_shard(replica), &statistics);
    memcpy(&value, (char *)&statistics + metric->offset, sizeof value);
    snprintf(name, sizeof name, "%u", shard_id);
    struct metric_label label = {"shard", name};
    metric_emit(&collector->emitter, metric->name, metric->help, metric->kind, &label, 1,
                (double)value);
}

/* Families first, shards inside: samples of a family must stand together. */
static void collect_shards(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct shard_collector collector = {.emitter = {visit, visit_context}};
    for (size_t metric = 0; metric < SHARD_METRIC_COUNT; metric++) {
        collector.metric = &SHARD_METRICS[metric];
        replica_table_visit(node->replicas, collect_shard, &collector);
    }
}

/* When the next shorter retention comes into force. */
struct retention_collector {
    struct metric_emitter emitter;
    int64_t grace_ms;
};

static void collect_announced(void *context, uint32_t shard_id, struct replica *replica)
{
    struct retention_collector *collector = context;
    struct shard_statistics statistics;
    char name[16];
    shard_read_statistics(replica_shard(replica), &statistics);
    int64_t announced_ms = statistics.retention_announced_ms;
    snprintf(name, sizeof name, "%u", shard_id);
    struct metric_label label = {"shard", name};
    metric_emit(&collector->emitter, "gnomon_shard_retention_pending_timestamp_seconds",
                "When a shorter retention comes into force; 0: none is announced.",
                METRIC_KIND_GAUGE, &label, 1,
                announced_ms == 0 ? 0 : (double)(announced_ms + collector->grace_ms) / 1000);
}

static void collect_retention(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    pthread_mutex_lock(&node->retention_mutex);
    struct retention_collector collector = {.emitter = {visit, visit_context},
                                            .grace_ms = node->retention_grace_ms};
    pthread_mutex_unlock(&node->retention_mutex);
    replica_table_visit(node->replicas, collect_announced, &collector);
}

/* --- The node as a whole
 * ---------------------------------------------------------------------------- */

static void collect_process(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct metric_label version = {"version", GNOMON_VERSION};
    metric_emit(&emitter, "gnomon_build_info", "Always 1.", METRIC_KIND_GAUGE, &version, 1, 1);
    metric_emit(&emitter, "gnomon_process_cpu_seconds_total", "User and system time.",
                METRIC_KIND_COUNTER, NULL, 0, process_cpu_seconds());
    metric_emit(&emitter, "gnomon_process_resident_memory_bytes", "Resident memory.",
                METRIC_KIND_GAUGE, NULL, 0, (double)process_resident_bytes());
    metric_emit(&emitter, "gnomon_process_open_fds", "Open files and sockets.", METRIC_KIND_GAUGE,
                NULL, 0, (double)process_open_files());
    metric_emit(&emitter, "gnomon_replica_queued_bytes", "Writes that wait for the log.",
                METRIC_KIND_GAUGE, NULL, 0, (double)atomic_load(&node->replica_node.queued_bytes));
    metric_emit(&emitter, "gnomon_replica_unfrozen_log_bytes",
                "Log since the last freezes, all shards.", METRIC_KIND_GAUGE, NULL, 0,
                (double)atomic_load(&node->replica_node.unfrozen_bytes));
    metric_emit(&emitter, "gnomon_http_connections", "Connections open.", METRIC_KIND_GAUGE, NULL,
                0, (double)atomic_load(&node->http_budget.connections));
    metric_emit(&emitter, "gnomon_http_body_bytes", "Request bodies in memory.", METRIC_KIND_GAUGE,
                NULL, 0, (double)atomic_load(&node->http_budget.body_bytes));
    metric_emit(&emitter, "gnomon_ingest_memory_bytes",
                "Memory of remote-write requests that are decoded and stored.", METRIC_KIND_GAUGE,
                NULL, 0, (double)api_write_memory_bytes(node->api));
    if (node->tls != NULL)
        metric_emit(&emitter, "gnomon_http_certificate_expiry_timestamp_seconds",
                    "When the server's certificate ends to be valid.", METRIC_KIND_GAUGE, NULL, 0,
                    (double)tls_context_expiry_s(node->tls));
}

static void collect_disk(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    uint64_t free_bytes, total_bytes;
    struct error ignored; /* a disk that can't tell shows nothing */
    metric_emit(&emitter, "gnomon_storage_disk_full",
                "1: the disk is nearly full and writes are refused.", METRIC_KIND_GAUGE, NULL, 0,
                atomic_load(&node->replica_node.journals_low) > 0);
    metric_emit(&emitter, "gnomon_storage_disk_alarm", "1: storage.disk_alarm is reached.",
                METRIC_KIND_GAUGE, NULL, 0, atomic_load(&node->disk_alarm));
    if (disk_free_bytes(node->blocking_disk, &free_bytes, &total_bytes, &ignored) != ERROR_NONE)
        return;
    metric_emit(&emitter, "gnomon_storage_disk_free_bytes", "Room on the disk of the data.",
                METRIC_KIND_GAUGE, NULL, 0, (double)free_bytes);
    metric_emit(&emitter, "gnomon_storage_disk_size_bytes", "Size of the disk of the data.",
                METRIC_KIND_GAUGE, NULL, 0, (double)total_bytes);
}

static void collect_head_spares(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    metric_emit(&emitter, "gnomon_head_spare_bytes", "Memory of ended heads, kept for the next.",
                METRIC_KIND_GAUGE, NULL, 0, (double)head_spares_size_bytes(node->head_spares));
}

static void collect_cache(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct page_cache_statistics cache = page_cache_statistics(node->cache);
    metric_emit(&emitter, "gnomon_page_cache_hits_total", "Pages found.", METRIC_KIND_COUNTER, NULL,
                0, (double)cache.hits);
    metric_emit(&emitter, "gnomon_page_cache_misses_total", "Pages read.", METRIC_KIND_COUNTER,
                NULL, 0, (double)cache.misses);
    metric_emit(&emitter, "gnomon_page_cache_evictions_total", "Pages dropped.",
                METRIC_KIND_COUNTER, NULL, 0, (double)cache.evictions);
    metric_emit(&emitter, "gnomon_page_cache_corrupt_total", "Pages with a wrong checksum.",
                METRIC_KIND_COUNTER, NULL, 0, (double)cache.corrupt_pages);
    metric_emit(&emitter, "gnomon_page_cache_bytes", "Memory of pages.", METRIC_KIND_GAUGE, NULL, 0,
                (double)cache.size_bytes);
    metric_emit(&emitter, "gnomon_page_cache_limit_bytes", "storage.cache.", METRIC_KIND_GAUGE,
                NULL, 0, (double)cache.budget_bytes);
    metric_emit(&emitter, "gnomon_page_cache_read_bytes_total", "Bytes read from files.",
                METRIC_KIND_COUNTER, NULL, 0, (double)cache.read_bytes);
}

static void collect_queries(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct frontend_statistics queries;
    frontend_statistics(node->frontend, &queries);
    metric_emit(&emitter, "gnomon_query_total", "Queries and look-ups taken.", METRIC_KIND_COUNTER,
                NULL, 0, (double)queries.queries_total);
    metric_emit(&emitter, "gnomon_query_refused_total", "Queries refused because too many waited.",
                METRIC_KIND_COUNTER, NULL, 0, (double)queries.queries_refused_total);
    metric_emit(&emitter, "gnomon_query_slow_total", "Queries that ran for query.slow or longer.",
                METRIC_KIND_COUNTER, NULL, 0, (double)queries.queries_slow_total);
    metric_emit(&emitter, "gnomon_query_on_loop_total",
                "Queries that were short enough to run on the loop that took them.",
                METRIC_KIND_COUNTER, NULL, 0, (double)queries.queries_on_loops_total);
    metric_emit(&emitter, "gnomon_query_killed_total", "Queries ended by an administrator.",
                METRIC_KIND_COUNTER, NULL, 0, (double)queries.queries_killed_total);
    static const char *const REASONS[FRONTEND_FAILURES] = {
        [FRONTEND_TIMED_OUT] = "timeout",     [FRONTEND_CANCELED] = "canceled",
        [FRONTEND_OVER_LIMIT] = "limit",      [FRONTEND_UNAVAILABLE] = "unavailable",
        [FRONTEND_UNREADABLE] = "unreadable", [FRONTEND_FAILED] = "execution",
    };
    for (int reason = 0; reason < FRONTEND_FAILURES; reason++) {
        struct metric_label label = {"reason", REASONS[reason]};
        metric_emit(&emitter, "gnomon_query_failed_total", "Queries that ended without an answer.",
                    METRIC_KIND_COUNTER, &label, 1, (double)queries.failed_total[reason]);
    }
    metric_emit(&emitter, "gnomon_query_running", "Queries under way.", METRIC_KIND_GAUGE, NULL, 0,
                (double)queries.queries_running);
    metric_emit(&emitter, "gnomon_query_waiting", "Queries in the queue.", METRIC_KIND_GAUGE, NULL,
                0, (double)queries.queries_waiting);
    metric_emit(&emitter, "gnomon_query_wait_seconds_total", "Time in the queue.",
                METRIC_KIND_COUNTER, NULL, 0, (double)queries.waited_ns_total / 1e9);
    metric_emit(&emitter, "gnomon_query_memory_bytes", "Memory of queries.", METRIC_KIND_GAUGE,
                NULL, 0, (double)queries.memory_bytes);
    metric_emit(&emitter, "gnomon_query_memory_limit_bytes", "query.memory.", METRIC_KIND_GAUGE,
                NULL, 0, (double)queries.memory_max_bytes);
}

static void collect_workers(void *context, metric_visit *visit, void *visit_context)
{
    static const char *const CLASSES[JOB_CLASSES] = {
        [JOB_QUERY] = "query",           [JOB_SUBQUERY] = "subquery", [JOB_STORAGE] = "storage",
        [JOB_BACKGROUND] = "background", [JOB_TRANSFER] = "transfer",
    };
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct worker_pool_statistics pool;
    worker_pool_statistics(node->pool, &pool);
    for (int class = 0; class < JOB_CLASSES; class ++) {
        struct metric_label label = {"class", CLASSES[class]};
        metric_emit(&emitter, "gnomon_worker_jobs_waiting", "Jobs in the queue.", METRIC_KIND_GAUGE,
                    &label, 1, (double)pool.classes[class].waiting);
    }
    for (int class = 0; class < JOB_CLASSES; class ++) {
        struct metric_label label = {"class", CLASSES[class]};
        metric_emit(&emitter, "gnomon_worker_jobs_running", "Workers busy.", METRIC_KIND_GAUGE,
                    &label, 1, (double)pool.classes[class].running);
    }
    for (int class = 0; class < JOB_CLASSES; class ++) {
        struct metric_label label = {"class", CLASSES[class]};
        metric_emit(&emitter, "gnomon_worker_busy_seconds_total", "Time of workers.",
                    METRIC_KIND_COUNTER, &label, 1, (double)pool.classes[class].busy_ns / 1e9);
    }
}

bool node_add_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect_shards, node) &&
           metrics_add_collector(node->metrics, collect_retention, node) &&
           metrics_add_collector(node->metrics, collect_process, node) &&
           metrics_add_collector(node->metrics, collect_disk, node) &&
           metrics_add_collector(node->metrics, collect_head_spares, node) &&
           metrics_add_collector(node->metrics, collect_cache, node) &&
           metrics_add_collector(node->metrics, collect_queries, node) &&
           metrics_add_collector(node->metrics, collect_workers, node) &&
           node_add_limit_metrics(node) && node_add_scrub_metrics(node) &&
           node_add_loop_metrics(node) && node_add_cluster_metrics(node) &&
           node_add_network_metrics(node) && node_add_fanout_metrics(node) &&
           node_add_federation_metrics(node) && node_add_bucket_metrics(node);
}
