/* Collectors for what belongs to loops: their turns, connections, journals, groups and aliases. */
#include <stdio.h>
#include <string.h>

#include "metric_emit.h"
#include "node_private.h"

/* --- A number per loop ------------------------------------------------------------------------ */

/* Everything that is counted on one loop. */
struct loop_counts {
    struct figures figures;
    struct loop_statistics loop;
    struct http_statistics http;
};

struct loop_metric {
    const char *name;
    const char *help;
    enum metric_kind kind;
    size_t offset;  /* of a uint64_t in struct loop_counts */
    double divisor; /* to the unit of the name */
};

#define COUNTER(name, field, divisor, help)                                                        \
    {                                                                                              \
        "gnomon_" name, help, METRIC_KIND_COUNTER, offsetof(struct loop_counts, field), divisor    \
    }
#define GAUGE(name, field, divisor, help)                                                          \
    {                                                                                              \
        "gnomon_" name, help, METRIC_KIND_GAUGE, offsetof(struct loop_counts, field), divisor      \
    }

static const struct loop_metric LOOP_METRICS[] = {
    COUNTER("loop_busy_seconds_total", loop.busy_ns, 1e9, "Time outside of waiting."),
    GAUGE("loop_longest_turn_seconds", loop.turn_ns_max, 1e9,
          "The longest that anything on the loop had to wait."),

    COUNTER("http_connections_accepted_total", http.connections_accepted, 1,
            "Connections accepted."),
    COUNTER("http_connections_refused_total", http.connections_refused, 1,
            "Connections refused: http.max_connections was reached."),
    COUNTER("http_connections_failed_total", http.connections_failed, 1,
            "Connections that broke: TLS refused, network errors."),
    GAUGE("http_requests_active", http.requests_active, 1, "Requests with a handler."),
    COUNTER("http_requests_malformed_total", http.requests_malformed, 1,
            "Requests that are not HTTP."),
    COUNTER("http_head_timeouts_total", http.timeouts_head, 1,
            "Clients too slow with the head of a request."),
    COUNTER("http_body_timeouts_total", http.timeouts_body, 1,
            "Clients too slow with the body of a request."),
    COUNTER("http_idle_timeouts_total", http.timeouts_idle, 1,
            "Connections closed after http.idle_timeout."),
    COUNTER("http_write_timeouts_total", http.timeouts_write, 1,
            "Clients that did not read their answer."),
    COUNTER("http_clients_gone_total", http.clients_gone, 1,
            "Clients that left before their answer was complete."),
    COUNTER("http_received_bytes_total", http.received_bytes, 1, "Bytes received."),
    COUNTER("http_sent_bytes_total", http.sent_bytes, 1, "Bytes sent."),

    GAUGE("ingest_requests_active", figures.ingest.requests_in_flight, 1,
          "Remote-write requests not acknowledged yet."),
    GAUGE("ingest_aliases", figures.ingest.alias_count, 1,
          "Series that are found without looking at their labels."),
    GAUGE("ingest_alias_bytes", figures.ingest.alias_bytes, 1, "Memory of the alias table."),
    COUNTER(
        "ingest_alias_evictions_total", figures.ingest.alias_evictions, 1,
        "Aliases whose place a new one took: not used for half an hour, or the table was full."),

    COUNTER("journal_batches_total", figures.journal.batches, 1, "Batches written and durable."),
    COUNTER("journal_batch_bytes_total", figures.journal.batch_bytes, 1,
            "Their bytes, padding included."),
    COUNTER("journal_records_total", figures.journal.records, 1, "Records written."),
    COUNTER("journal_payload_bytes_total", figures.journal.payload_bytes, 1,
            "Bytes of their payloads."),
    COUNTER("journal_copied_records_total", figures.journal.copied_records, 1,
            "Records copied forward out of old segments."),
    COUNTER("journal_copied_bytes_total", figures.journal.copied_bytes, 1, "Their bytes."),
    COUNTER("journal_segments_created_total", figures.journal.segments_created, 1,
            "Segments made."),
    COUNTER("journal_segments_recycled_total", figures.journal.segments_recycled, 1,
            "Segments used again."),
    COUNTER("journal_segments_removed_total", figures.journal.segments_removed, 1,
            "Segments deleted."),
    COUNTER("journal_trims_total", figures.journal.trims, 1,
            "Times the log moved to a small segment."),
    COUNTER("journal_stalls_total", figures.journal.stalls, 1,
            "Batches that waited for a segment."),
    GAUGE("journal_queued_bytes", figures.journal.queued_bytes, 1,
          "Records that wait to be written."),
    GAUGE("journal_queued_bytes_max", figures.journal.queued_bytes_max, 1,
          "The most that ever waited."),
    GAUGE("journal_live_bytes", figures.journal.live_bytes, 1, "Records still needed."),
    GAUGE("journal_segments", figures.journal.segment_count, 1, "Segments on disk."),
    GAUGE("journal_segment_bytes", figures.journal.segment_bytes, 1, "Their size."),
    GAUGE("journal_write_age_seconds", figures.journal.write_age_us, 1e6,
          "Age of the oldest batch on its way to the device; 0: none."),

    COUNTER("group_proposals_total", figures.groups.proposals, 1, "Entries proposed."),
    COUNTER("group_proposals_not_leader_total", figures.groups.proposals_refused_not_leader, 1,
            "Proposals refused because another node leads."),
    COUNTER("group_proposals_over_limit_total", figures.groups.proposals_refused_limit, 1,
            "Proposals refused because too much was in flight."),
    COUNTER("group_commits_total", figures.groups.commits, 1, "Entries committed."),
    COUNTER("group_outcomes_unknown_total", figures.groups.outcomes_unknown, 1,
            "Proposals of which nobody knows whether they were committed."),
    COUNTER("group_commit_seconds_total", figures.groups.commit_latency_ns_sum, 1e9,
            "Time from proposal to commit."),
    GAUGE("group_longest_commit_seconds", figures.groups.commit_latency_ns_max, 1e9,
          "The longest of them."),
    COUNTER("group_elections_won_total", figures.groups.elections_won, 1, "Elections won."),
    COUNTER("group_leaderships_lost_total", figures.groups.leaderships_lost, 1,
            "Leaderships lost."),
    COUNTER("group_snapshots_stored_total", figures.groups.snapshots_stored, 1,
            "Snapshots stored."),
    COUNTER("group_snapshot_bytes_total", figures.groups.snapshot_bytes, 1, "Their bytes."),
    COUNTER("group_snapshots_adopted_total", figures.groups.snapshots_adopted, 1,
            "States of leaders that took the place of what could not be written here."),
    COUNTER("group_entries_delivered_total", figures.groups.entries_delivered, 1,
            "Entries given to the shards."),
    COUNTER("group_entries_replayed_total", figures.groups.entries_replayed, 1,
            "Of them at the start, from the log."),
    COUNTER("group_entries_read_back_total", figures.groups.entries_read_back, 1,
            "Entries read from the disk for replicas that were behind."),
    GAUGE("group_in_flight_bytes", figures.groups.in_flight_bytes, 1,
          "Proposals not committed yet."),
    GAUGE("group_log_bytes", figures.groups.log_bytes, 1, "Log that consensus keeps in memory."),
};

enum { LOOP_METRIC_COUNT = sizeof LOOP_METRICS / sizeof LOOP_METRICS[0] };

static void read_counts(struct node_loop *loop, struct loop_counts *counts_out)
{
    loop_figures_read(&loop->figures, &counts_out->figures);
    loop_statistics(loop->loop, &counts_out->loop);
    http_server_statistics(loop->server, &counts_out->http);
}

/* Families first, loops inside: samples of a family must stand together. */
static void collect_loops(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    for (size_t metric = 0; metric < LOOP_METRIC_COUNT; metric++) {
        const struct loop_metric *shown = &LOOP_METRICS[metric];
        for (size_t i = 0; i < node->loop_count; i++) {
            struct loop_counts counts;
            uint64_t value;
            char number[24];
            read_counts(&node->loops[i], &counts);
            memcpy(&value, (char *)&counts + shown->offset, sizeof value);
            snprintf(number, sizeof number, "%zu", i);
            struct metric_label label = {"loop", number};
            metric_emit(&emitter, shown->name, shown->help, shown->kind, &label, 1,
                        (double)value / shown->divisor);
        }
    }
}

/* --- How long the device takes ---------------------------------------------------------------- */

#define WRITE_SECONDS "gnomon_journal_write_duration_seconds"

static void visit_write(const struct metric_emitter *emitter, const char *name,
                        const struct metric_label *label, double value)
{
    struct metric_sample sample = {
        .family = WRITE_SECONDS,
        .help = "From the submission of a batch until it is durable.",
        .kind = METRIC_KIND_HISTOGRAM,
        .name = name,
        .labels = label,
        .label_count = label == NULL ? 0 : 1,
        .value = value,
    };
    emitter->visit(emitter->context, &sample);
}

/* The journal counts by powers of two of microseconds; below 64 us nobody looks. */
static void collect_journal_writes(void *context, metric_visit *visit, void *visit_context)
{
    enum { BUCKET_FIRST = 6 };
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    uint64_t counts[JOURNAL_LATENCY_BUCKETS] = {0}, sum_us = 0, count = 0;
    for (size_t i = 0; i < node->loop_count; i++) {
        struct figures figures;
        loop_figures_read(&node->loops[i].figures, &figures);
        for (size_t bucket = 0; bucket < JOURNAL_LATENCY_BUCKETS; bucket++)
            counts[bucket] += figures.journal.write_latency_us[bucket];
        sum_us += figures.journal.write_latency_us_sum;
    }
    for (size_t bucket = 0; bucket < JOURNAL_LATENCY_BUCKETS; bucket++) {
        char bound[32];
        count += counts[bucket];
        if (bucket < BUCKET_FIRST)
            continue;
        snprintf(bound, sizeof bound, "%.6f", (double)(UINT64_C(1) << bucket) / 1e6);
        struct metric_label label = {"le", bucket == JOURNAL_LATENCY_BUCKETS - 1 ? "+Inf" : bound};
        visit_write(&emitter, WRITE_SECONDS "_bucket", &label, (double)count);
    }
    visit_write(&emitter, WRITE_SECONDS "_sum", NULL, (double)sum_us / 1e6);
    visit_write(&emitter, WRITE_SECONDS "_count", NULL, (double)count);
}

bool node_add_loop_metrics(struct node *node)
{
    return metrics_add_collector(node->metrics, collect_loops, node) &&
           metrics_add_collector(node->metrics, collect_journal_writes, node);
}
