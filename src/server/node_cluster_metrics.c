#include "node_cluster_metrics.h"

#include "metric_emit.h"
#include "node_cluster.h"
#include "program_version.h"

/* --- Noting ---------------------------------------------------------------------------------- */

static bool is_alive(const struct meta_view *view, uint64_t node_id)
{
    for (size_t i = 0; i < view->alive_count; i++)
        if (view->alive[i] == node_id)
            return true;
    return false;
}

void cluster_figures_observe(struct cluster_figures *figures, const struct cluster_state *state,
                             const struct meta_view *view, int64_t wall_ms, uint64_t now_ms)
{
    size_t node_count;
    uint64_t alive = 0, dead = 0, without_leader = 0;
    const struct cluster_node *nodes = cluster_state_nodes(state, &node_count);
    for (size_t i = 0; i < node_count; i++) {
        if (nodes[i].state == CLUSTER_NODE_LEFT)
            continue;
        if (is_alive(view, nodes[i].node_id))
            alive++;
        else
            dead++;
    }
    for (size_t i = 0; i < view->shard_count; i++)
        without_leader += view->shard_leaders[i] == 0;
    atomic_store(&figures->nodes_alive, alive);
    atomic_store(&figures->nodes_dead, dead);
    atomic_store(&figures->shards_without_leader, without_leader);
    atomic_store(&figures->clock_ahead_ms, wall_ms - view->agreed_ms);
    atomic_store(&figures->observed_ms, now_ms);
}

static uint64_t count_missing(const struct cluster_shard *shard, uint32_t replication,
                              const struct meta_shard_report *report)
{
    /* With too few nodes fewer are desired than the operator wants. */
    uint64_t missing =
        shard->replicas.count < replication ? replication - shard->replicas.count : 0;
    for (uint32_t i = 0; i < shard->replicas.count; i++) {
        bool is_whole = false;
        for (size_t m = 0; m < report->member_count; m++)
            is_whole |= report->members[m].node_id == shard->replicas.node_ids[i] &&
                        report->members[m].role == PLACEMENT_VOTER &&
                        report->members[m].bytes_behind < PLACEMENT_BYTES_LACKING;
        missing += !is_whole;
    }
    return missing;
}

void cluster_figures_report(struct cluster_figures *figures, const struct cluster_state *state,
                            const struct meta_report *report)
{
    uint64_t missing = 0, behind_bytes = 0;
    for (size_t i = 0; i < report->shard_count; i++) {
        const struct meta_shard_report *led = &report->shards[i];
        const struct cluster_shard *shard = cluster_state_find_shard(state, led->shard_id);
        if (shard != NULL)
            missing += count_missing(shard, cluster_state_facts(state)->replication, led);
        for (size_t m = 0; m < led->member_count; m++)
            if (led->members[m].bytes_behind > behind_bytes)
                behind_bytes = led->members[m].bytes_behind;
    }
    atomic_store(&figures->shards_led, report->shard_count);
    atomic_store(&figures->replicas_missing, missing);
    atomic_store(&figures->behind_bytes_max, behind_bytes);
    atomic_store(&figures->state_version, cluster_state_facts(state)->version);
}

/* --- Showing --------------------------------------------------------------------------------- */

static void emit(const struct metric_emitter *emitter, const char *name, const char *help,
                 double value)
{
    metric_emit(emitter, name, help, METRIC_KIND_GAUGE, NULL, 0, value);
}

static void collect_cluster(void *context, metric_visit *visit, void *visit_context)
{
    struct node *node = context;
    struct cluster_figures *figures = &node->cluster->figures;
    struct metric_emitter emitter = {visit, visit_context};
    emit(&emitter, "gnomon_cluster_shards_led", "Shards that this node leads.",
         (double)atomic_load(&figures->shards_led));
    emit(&emitter, "gnomon_cluster_replicas_missing",
         "Replicas of them that shall be and do not vote, or vote without what the shard holds.",
         (double)atomic_load(&figures->replicas_missing));
    emit(&emitter, "gnomon_cluster_replica_behind_bytes",
         "What the replica that is furthest behind lacks, of them.",
         (double)atomic_load(&figures->behind_bytes_max));
    emit(&emitter, "gnomon_cluster_state_version", "State-machine version in force; 0: not known.",
         (double)atomic_load(&figures->state_version));
    emit(&emitter, "gnomon_cluster_state_version_known",
         "The newest state-machine version that the program knows.", PROGRAM_STATE_VERSION_MAX);
    uint64_t observed_ms = atomic_load(&figures->observed_ms);
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    emit(&emitter, "gnomon_cluster_observed_age_seconds",
         "Since the leader of the meta group was heard, or since the start.",
         (double)(now_ms - (observed_ms == 0 ? node->cluster->opened_ms : observed_ms)) / 1000);
    if (observed_ms == 0)
        return; /* what follows is not known */
    struct metric_label alive = {"state", "alive"}, dead = {"state", "dead"};
    metric_emit(&emitter, "gnomon_cluster_nodes", "Nodes that have not left.", METRIC_KIND_GAUGE,
                &alive, 1, (double)atomic_load(&figures->nodes_alive));
    metric_emit(&emitter, "gnomon_cluster_nodes", "Nodes that have not left.", METRIC_KIND_GAUGE,
                &dead, 1, (double)atomic_load(&figures->nodes_dead));
    emit(&emitter, "gnomon_cluster_shards_without_leader",
         "Shards of which no leader is known: they take no writes.",
         (double)atomic_load(&figures->shards_without_leader));
    emit(&emitter, "gnomon_cluster_clock_ahead_seconds",
         "The node's wall clock before the median of all.",
         (double)atomic_load(&figures->clock_ahead_ms) / 1000);
}

bool node_add_cluster_metrics(struct node *node)
{
    return node->cluster == NULL || metrics_add_collector(node->metrics, collect_cluster, node);
}
