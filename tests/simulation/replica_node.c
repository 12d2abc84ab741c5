#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/state_version.h"
#include "replica_cluster.h"

/* --- Events ---------------------------------------------------------------------------------- */

static void on_journal_fatal(void *context, const struct error *error)
{
    struct cluster_node *node = context;
    (void)error;
    node->failed = true;
    if (node->host != NULL)
        group_host_journal_lost(node->host);
}

static void on_replica_fatal(void *context, const struct error *error)
{
    struct cluster_node *node = context;
    if (node->disk.crashed || node->failed)
        return;
    cluster_fail(node->cluster, "node %zu stopped: %s", node->number + 1, error->message);
}

static void on_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    on_replica_fatal(context, error);
}

static void on_disconnected(void *context, struct transport_peer *peer)
{
    struct cluster_node *node = context;
    group_link_disconnected(node->link, peer);
}

static void on_drained(void *context, struct transport_peer *peer, enum transport_class class)
{
    struct cluster_node *node = context;
    (void)class;
    group_link_drained(node->link, peer);
}

static const struct transport_events EVENTS = {
    .disconnected = on_disconnected,
    .drained = on_drained,
};

/* --- Opening --------------------------------------------------------------------------------- */

static void name_of(size_t number, char name[16])
{
    snprintf(name, 16, "node-%zu", number + 1);
}

void cluster_node_init(struct replica_cluster *cluster, size_t number)
{
    struct cluster_node *node = &cluster->nodes[number];
    char name[16];
    uint64_t seed = cluster->seed * 16 + number;
    *node = (struct cluster_node){.cluster = cluster, .number = number, .exists = true};
    simulated_disk_init(&node->disk, &cluster->world->scheduler, seed * 2 + 1);
    random_generator_init(&node->random, seed * 2 + 2);
    name_of(number, name);
    (void)simulated_network_add(&cluster->network, name, 1);
    node->environment = cluster->world->base;
    node->environment.disk = &node->disk.base;
    node->environment.random = &node->random.base;
    node->environment.network = simulated_network_lane(&cluster->network, number, 0);
    node->double_fetcher.operations = &DOUBLE_FETCHER;
    cluster->node_count = number + 1;
}

static enum error_code open_transport(struct cluster_node *node, struct error *error)
{
    char name[16];
    name_of(node->number, name);
    struct transport_options options = {
        .environment = &node->environment,
        .name = name,
        .listen_address = "x:1",
        .lane_count = 1,
        .incarnation = node->incarnation,
        .identity = {.cluster_id = {1}, .node_id = node->number + 1},
        .events = &EVENTS,
        .context = node,
    };
    enum error_code code = transport_open(&options, &node->transport, error);
    if (code == ERROR_NONE)
        code = group_link_create(node->transport, &node->link, error);
    node->budget.bytes_per_second = node->cluster->seed % 3 == 1 ? 50000 : 0;
    struct transfer_options transfer_options = {
        .environment = &node->environment,
        .transport = node->transport,
        .budget = &node->budget,
        .range_bytes = node->cluster->seed % 8 == 3 ? 300 : 4000,
        .timeout_ms = 3000,
    };
    if (code == ERROR_NONE)
        code = transfer_create(&transfer_options, &node->transfer, error);
    for (size_t i = 0; code == ERROR_NONE && i < REPLICA_NODES_MAX; i++) {
        char address[32];
        struct transport_peer *peer;
        if (i == node->number)
            continue;
        name_of(i, name);
        snprintf(address, sizeof address, "%s:1", name);
        code = transport_add_peer(node->transport, name, address, &peer, error);
    }
    return code;
}

static enum error_code open_journal(struct cluster_node *node, struct error *error)
{
    static const uint64_t GROUP = REPLICA_GROUP;
    struct journal_recovery_options recovery = {.directory = "journal"};
    enum error_code code =
        journal_recover(node->environment.disk, &recovery, &node->recovery, error);
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = 64 * 1024,
        .segment_bytes_max = 256 * 1024,
        .free_bytes_min = 1,
    };
    struct journal_events events = {.context = node, .fatal = on_journal_fatal};
    if (code == ERROR_NONE)
        code = journal_open(&node->environment, &options, &events, node->recovery, &GROUP,
                            journal_recovery_find(node->recovery, GROUP) != NULL, &node->journal,
                            error);
    return code;
}

static enum error_code open_replica(struct cluster_node *node, struct error *error)
{
    struct consensus_member founders[REPLICA_FOUNDERS] = {0};
    for (size_t i = 0; i < REPLICA_FOUNDERS; i++) {
        founders[i].node_id = i + 1;
        founders[i].role = CONSENSUS_ROLE_VOTER;
        name_of(i, founders[i].address);
    }
    struct replica_options options = {
        .environment = &node->environment,
        .host = node->host,
        .node = &node->limits,
        .shard =
            {
                .cache = node->cache,
                .shard_id = 0,
                .directory = "shards/0000",
                .hash_seed = 1 + node->number,
                .future_window_ms = 600000,
                .quiet_ms = 10 * 60 * 1000,
                .exemplars_max = 1000,
                .metadata_max = 100,
                .version_max = node->cluster->is_mixed && node->number == 0
                                   ? STATE_VERSION_MAX
                                   : STATE_VERSION_REHEARSAL,
            },
        .fetcher =
            node->cluster->real_transfer ? transfer_fetcher(node->transfer) : &node->double_fetcher,
        .group_id = REPLICA_GROUP,
        .recovery = node->recovery,
        .founders = founders,
        .founder_count = node->number < REPLICA_FOUNDERS ? REPLICA_FOUNDERS : 0,
        .fatal = on_replica_fatal,
        .fatal_context = node,
    };
    enum error_code code = replica_create(&options, &node->replica, error);
    if (code == ERROR_NONE)
        code =
            transfer_add_shard(node->transfer, REPLICA_GROUP, replica_shard(node->replica), error);
    return code == ERROR_NONE ? replica_start(node->replica, error) : code;
}

void cluster_node_start(struct cluster_node *node)
{
    struct error error;
    assert(node->exists && !node->alive);
    node->incarnation++;
    node->failed = false;
    if (node->disk.crashed)
        simulated_disk_restart(&node->disk);
    node->disk.settings.capacity_bytes = UINT64_MAX; /* without room no node starts */
    node->limits = (struct replica_node){
        .unfrozen_bytes_max = 24 * 1024,
        .unfrozen_age_max_ms = 15 * 60 * 1000,
        .queued_bytes_max = 64 << 20,
    };
    enum error_code code = page_cache_create(1 << 20, &node->cache, &error);
    if (code == ERROR_NONE)
        code = open_transport(node, &error);
    if (code == ERROR_NONE)
        code = open_journal(node, &error);
    struct group_host_options host_options = {
        .environment = &node->environment,
        .journal = node->journal,
        .transport = code == ERROR_NONE ? group_link_transport(node->link) : NULL,
        .node_id = node->number + 1,
        .snapshot_log_bytes = 16 * 1024,
        .fatal = on_group_fatal,
        .fatal_context = node,
    };
    if (code == ERROR_NONE)
        code = group_host_create(&host_options, &node->host, &error);
    if (code == ERROR_NONE) {
        node->alive = true;
        group_link_deliver_to(node->link, node->host);
        code = open_replica(node, &error);
    }
    if (code != ERROR_NONE)
        cluster_fail(node->cluster, "node %zu does not start: %s", node->number + 1, error.message);
}

/* --- Closing --------------------------------------------------------------------------------- */

static void part_closed(void *context)
{
    ((struct cluster_node *)context)->closing--;
}

static void await_closed(struct cluster_node *node, const char *what)
{
    for (size_t steps = 0; node->closing > 0; steps++)
        if (steps == REPLICA_STEPS_MAX ||
            !simulated_scheduler_step(&node->cluster->world->scheduler))
            cluster_fail(node->cluster, "the %s of node %zu does not close", what,
                         node->number + 1);
}

static void close_journal(struct cluster_node *node)
{
    node->closing++;
    journal_close(node->journal, part_closed, node);
    await_closed(node, "journal");
    node->journal = NULL;
}

static void count_life(struct cluster_node *node)
{
    struct replica_counts *counts = &node->cluster->counts;
    struct group_statistics group;
    struct shard_install_progress progress;
    struct shard_statistics shard;
    group_host_statistics(node->host, &group);
    shard_read_install_progress(replica_shard(node->replica), &progress);
    shard_read_statistics(replica_shard(node->replica), &shard);
    counts->prepared += group.snapshots_prepared;
    counts->installs += group.snapshots_installed;
    counts->adopted += group.snapshots_adopted;
    counts->read_back += group.entries_read_back;
    counts->files_fetched += progress.files_fetched_total;
    counts->files_rejected += progress.files_rejected_total;
    counts->repaired += progress.files_repaired_total;
    counts->merges += shard.merges_total;
    counts->freezes += shard.freezes_total;
}

static void close_replica(struct cluster_node *node)
{
    group_link_deliver_to(node->link, NULL);
    transfer_remove_shard(node->transfer, REPLICA_GROUP);
    count_life(node);
    node->closing++;
    replica_close(node->replica, part_closed, node);
    await_closed(node, "replica");
    node->replica = NULL;
    group_host_destroy(node->host);
    node->host = NULL;
}

static void close_rest(struct cluster_node *node)
{
    node->closing++;
    transport_close(node->transport, 0, part_closed, node);
    await_closed(node, "transport");
    struct transfer_statistics transfer;
    struct replica_counts *counts = &node->cluster->counts;
    transfer_read_statistics(node->transfer, &transfer);
    counts->ranges_served += transfer.ranges_served;
    counts->ranges_refused += transfer.ranges_refused;
    counts->ranges_failed += transfer.ranges_failed;
    counts->files_resumed += transfer.files_resumed;
    counts->throttled_ms += transfer.throttled_ms;
    node->closing++;
    transfer_close(node->transfer, part_closed, node);
    await_closed(node, "transfer");
    node->transfer = NULL;
    group_link_destroy(node->link);
    node->transport = NULL;
    node->link = NULL;
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
    page_cache_destroy(node->cache);
    node->cache = NULL;
}

void cluster_node_stop(struct cluster_node *node)
{
    assert(node->alive);
    node->alive = false;
    node->disk.settings.crash_at_operation = 0;
    close_replica(node);
    close_journal(node);
    close_rest(node);
}

void cluster_node_crash(struct cluster_node *node)
{
    struct replica_cluster *cluster = node->cluster;
    assert(node->alive);
    node->alive = false;
    if (!node->disk.crashed)
        simulated_disk_crash(&node->disk, cluster_chance(cluster, 25) ? SIMULATED_KILL
                                                                      : SIMULATED_POWER_FAILURE);
    node->failed = true;
    node->disk.settings.crash_at_operation = 0;
    group_host_journal_lost(node->host);
    close_journal(node);
    close_replica(node);
    for (size_t i = 0; i < cluster->node_count; i++)
        if (i != node->number)
            simulated_network_cut(&cluster->network, node->number, i);
    close_rest(node);
}
