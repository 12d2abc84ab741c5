/* Collectors for the ways between nodes: connections, files, writes for others, replicas kept. */
#include <string.h>

#include "metric_emit.h"
#include "node_private.h"

static void emit(const struct metric_emitter *emitter, const char *name, const char *help,
                 enum metric_kind kind, uint64_t value, double divisor)
{
    metric_emit(emitter, name, help, kind, NULL, 0, (double)value / divisor);
}

/* --- Connections ----------------------------------------------------------------------------- */

static const char *const CLASS_NAMES[TRANSPORT_CLASSES] = {
    [TRANSPORT_CONTROL] = "control",
    [TRANSPORT_APPEND] = "append",
    [TRANSPORT_REQUEST] = "request",
    [TRANSPORT_FILE] = "file",
};

static const char *const DROP_NAMES[TRANSPORT_DROPS] = {
    [TRANSPORT_DROP_DISCONNECTED] = "disconnected",
    [TRANSPORT_DROP_BUDGET] = "budget",
    [TRANSPORT_DROP_LOST] = "lost",
    [TRANSPORT_DROP_UNKNOWN_KIND] = "unknown_kind",
};

static void emit_labelled(const struct metric_emitter *emitter, const char *name, const char *help,
                          enum metric_kind kind, const char *label_name, const char *const *labels,
                          const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct metric_label label = {label_name, labels[i]};
        metric_emit(emitter, name, help, kind, &label, 1, (double)values[i]);
    }
}

/* Numbers of all loops; every field but the last is a sum. */
static struct network_figures sum_network(struct node *node)
{
    struct network_figures sum = {0};
    enum { SUMMED = offsetof(struct network_figures, round_trip_ns_max) / sizeof(uint64_t) };
    for (size_t i = 0; i < node->loop_count; i++) {
        struct figures figures;
        loop_figures_read(&node->loops[i].figures, &figures);
        uint64_t totals[SUMMED], parts[SUMMED];
        memcpy(totals, &sum, sizeof totals);
        memcpy(parts, &figures.network, sizeof parts);
        for (size_t k = 0; k < SUMMED; k++)
            totals[k] += parts[k];
        memcpy(&sum, totals, sizeof totals);
        if (figures.network.round_trip_ns_max > sum.round_trip_ns_max)
            sum.round_trip_ns_max = figures.network.round_trip_ns_max;
    }
    return sum;
}

static void collect_network(void *context, metric_visit *visit, void *visit_context)
{
    struct metric_emitter emitter = {visit, visit_context};
    struct network_figures sum = sum_network(context);
    emit(&emitter, "gnomon_transport_peers", "Nodes to be connected to, on each loop.",
         METRIC_KIND_GAUGE, sum.peers, 1);
    emit(&emitter, "gnomon_transport_peers_connected", "Of them connected.", METRIC_KIND_GAUGE,
         sum.peers_connected, 1);
    emit(&emitter, "gnomon_transport_connects_total", "Connections that came to stand.",
         METRIC_KIND_COUNTER, sum.connects, 1);
    emit(&emitter, "gnomon_transport_disconnects_total", "Of these that are gone.",
         METRIC_KIND_COUNTER, sum.disconnects, 1);
    emit(&emitter, "gnomon_transport_failures_total", "Attempts to connect that failed.",
         METRIC_KIND_COUNTER, sum.failures, 1);
    emit(&emitter, "gnomon_transport_refusals_total",
         "Connections that either side refused: another cluster, name or version.",
         METRIC_KIND_COUNTER, sum.refusals, 1);
    emit(&emitter, "gnomon_transport_strangers_refused_total",
         "Connections of nodes that nobody knows.", METRIC_KIND_COUNTER, sum.strangers_refused, 1);
    emit(&emitter, "gnomon_transport_round_trip_seconds", "To the peer that is furthest away.",
         METRIC_KIND_GAUGE, sum.round_trip_ns_max, 1e9);
    emit_labelled(&emitter, "gnomon_transport_sent_messages_total", "Messages sent.",
                  METRIC_KIND_COUNTER, "class", CLASS_NAMES, sum.sent_messages, TRANSPORT_CLASSES);
    emit_labelled(&emitter, "gnomon_transport_sent_bytes_total", "Their bytes.",
                  METRIC_KIND_COUNTER, "class", CLASS_NAMES, sum.sent_bytes, TRANSPORT_CLASSES);
    emit_labelled(&emitter, "gnomon_transport_received_messages_total", "Messages received.",
                  METRIC_KIND_COUNTER, "class", CLASS_NAMES, sum.received_messages,
                  TRANSPORT_CLASSES);
    emit_labelled(&emitter, "gnomon_transport_received_bytes_total", "Their bytes.",
                  METRIC_KIND_COUNTER, "class", CLASS_NAMES, sum.received_bytes, TRANSPORT_CLASSES);
    emit_labelled(&emitter, "gnomon_transport_queued_bytes", "Bytes that wait to be sent.",
                  METRIC_KIND_GAUGE, "class", CLASS_NAMES, sum.queued_bytes, TRANSPORT_CLASSES);
    emit_labelled(&emitter, "gnomon_transport_dropped_messages_total",
                  "Messages that were not sent or not taken.", METRIC_KIND_COUNTER, "reason",
                  DROP_NAMES, sum.dropped, TRANSPORT_DROPS);
}

/* --- Files ----------------------------------------------------------------------------------- */

static void collect_transfer(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct transfer_statistics sum = {0};
    for (size_t i = 0; i < node->loop_count; i++) {
        struct figures figures;
        loop_figures_read(&node->loops[i].figures, &figures);
        const struct transfer_statistics *part = &figures.transfer;
        sum.files_fetched += part->files_fetched;
        sum.bytes_fetched += part->bytes_fetched;
        sum.ranges_failed += part->ranges_failed;
        sum.files_resumed += part->files_resumed;
        sum.fetches_active += part->fetches_active;
        sum.fetches_waiting += part->fetches_waiting;
        sum.throttled_ms += part->throttled_ms;
        sum.ranges_served += part->ranges_served;
        sum.bytes_served += part->bytes_served;
        sum.ranges_refused += part->ranges_refused;
    }
    emit(&emitter, "gnomon_transfer_files_fetched_total", "Files of shards fetched from replicas.",
         METRIC_KIND_COUNTER, sum.files_fetched, 1);
    emit(&emitter, "gnomon_transfer_fetched_bytes_total", "Bytes that came.", METRIC_KIND_COUNTER,
         sum.bytes_fetched, 1);
    emit(&emitter, "gnomon_transfer_files_resumed_total", "Files that were here in part before.",
         METRIC_KIND_COUNTER, sum.files_resumed, 1);
    emit(&emitter, "gnomon_transfer_ranges_failed_total",
         "Pieces that were asked for again, of the same node or another.", METRIC_KIND_COUNTER,
         sum.ranges_failed, 1);
    emit(&emitter, "gnomon_transfer_fetches_active", "Files that are coming.", METRIC_KIND_GAUGE,
         sum.fetches_active, 1);
    emit(&emitter, "gnomon_transfer_fetches_waiting", "Files that wait to come.", METRIC_KIND_GAUGE,
         sum.fetches_waiting, 1);
    emit(&emitter, "gnomon_transfer_throttled_seconds_total", "Time waited for cluster.copy_rate.",
         METRIC_KIND_COUNTER, sum.throttled_ms, 1e3);
    emit(&emitter, "gnomon_transfer_ranges_served_total", "Pieces read for others.",
         METRIC_KIND_COUNTER, sum.ranges_served, 1);
    emit(&emitter, "gnomon_transfer_served_bytes_total", "Their bytes.", METRIC_KIND_COUNTER,
         sum.bytes_served, 1);
    emit(&emitter, "gnomon_transfer_ranges_refused_total",
         "Pieces refused: too many at once, or no such file.", METRIC_KIND_COUNTER,
         sum.ranges_refused, 1);
}

/* --- Writes ---------------------------------------------------------------------------------- */

static void collect_routing(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct routing_statistics sum = {0};
    for (size_t i = 0; i < node->loop_count; i++) {
        struct routing_statistics part;
        routing_read_statistics(node->loops[i].routing, &part);
        sum.local += part.local;
        sum.sent += part.sent;
        sum.sent_bytes += part.sent_bytes;
        sum.received += part.received;
        sum.received_bytes += part.received_bytes;
        sum.redirected += part.redirected;
        sum.retried += part.retried;
        sum.unavailable += part.unavailable;
        sum.malformed += part.malformed;
        sum.under_way += part.under_way;
        sum.sent_bytes_under_way += part.sent_bytes_under_way;
        sum.received_bytes_under_way += part.received_bytes_under_way;
    }
    emit(&emitter, "gnomon_routing_local_total", "Parts of writes for leaders on this node.",
         METRIC_KIND_COUNTER, sum.local, 1);
    emit(&emitter, "gnomon_routing_sent_total", "Parts of writes asked of other nodes.",
         METRIC_KIND_COUNTER, sum.sent, 1);
    emit(&emitter, "gnomon_routing_sent_bytes_total", "Their bytes.", METRIC_KIND_COUNTER,
         sum.sent_bytes, 1);
    emit(&emitter, "gnomon_routing_received_total", "Parts of writes that other nodes asked.",
         METRIC_KIND_COUNTER, sum.received, 1);
    emit(&emitter, "gnomon_routing_received_bytes_total", "Their bytes.", METRIC_KIND_COUNTER,
         sum.received_bytes, 1);
    emit(&emitter, "gnomon_routing_redirected_total", "Answers that another node leads.",
         METRIC_KIND_COUNTER, sum.redirected, 1);
    emit(&emitter, "gnomon_routing_retried_total", "Parts that went on to another node.",
         METRIC_KIND_COUNTER, sum.retried, 1);
    emit(&emitter, "gnomon_routing_unavailable_total", "Parts for which no leader was found.",
         METRIC_KIND_COUNTER, sum.unavailable, 1);
    emit(&emitter, "gnomon_routing_malformed_total", "Questions and answers that can't be read.",
         METRIC_KIND_COUNTER, sum.malformed, 1);
    emit(&emitter, "gnomon_routing_under_way", "Parts that are not answered yet.",
         METRIC_KIND_GAUGE, sum.under_way, 1);
    emit(&emitter, "gnomon_routing_memory_bytes", "Memory of parts between nodes.",
         METRIC_KIND_GAUGE, sum.sent_bytes_under_way + sum.received_bytes_under_way, 1);
}

/* --- Replicas -------------------------------------------------------------------------------- */

static void collect_hosting(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct metric_emitter emitter = {visit, visit_context};
    struct hosting_statistics hosting;
    hosting_read_statistics(node->hosting, &hosting);
    emit(&emitter, "gnomon_hosting_replicas", "Replicas on this node.", METRIC_KIND_GAUGE,
         hosting.replicas, 1);
    emit(&emitter, "gnomon_hosting_replicas_missing", "Replicas that shall be here and are not.",
         METRIC_KIND_GAUGE, hosting.missing, 1);
    emit(&emitter, "gnomon_hosting_replicas_empty",
         "Replicas of shards that were split off while this node was away, and that wait for what "
         "they hold.",
         METRIC_KIND_GAUGE, hosting.empty, 1);
    emit(&emitter, "gnomon_hosting_replicas_lacking",
         "Replicas that are not open until other nodes sent files that are damaged here.",
         METRIC_KIND_GAUGE, hosting.lacking, 1);
    emit(&emitter, "gnomon_hosting_replicas_replaying",
         "Replicas that apply what was in their log at the start.", METRIC_KIND_GAUGE,
         hosting.replaying, 1);
    emit(&emitter, "gnomon_hosting_created_total", "Replicas made.", METRIC_KIND_COUNTER,
         hosting.created_total, 1);
    emit(&emitter, "gnomon_hosting_removed_total", "Replicas removed.", METRIC_KIND_COUNTER,
         hosting.removed_total, 1);
    emit(&emitter, "gnomon_hosting_member_changes_total",
         "Changes of members begun for shards led here.", METRIC_KIND_COUNTER, hosting.steps_total,
         1);
    emit(&emitter, "gnomon_hosting_transfers_total", "Leaderships given away.", METRIC_KIND_COUNTER,
         hosting.transfers_total, 1);
}

bool node_add_network_metrics(struct node *node)
{
    if (node->cluster == NULL)
        return true;
    return metrics_add_collector(node->metrics, collect_network, node) &&
           metrics_add_collector(node->metrics, collect_transfer, node) &&
           metrics_add_collector(node->metrics, collect_routing, node) &&
           metrics_add_collector(node->metrics, collect_hosting, node);
}
