/* Opening a node from the bottom: directory, journal, groups, shards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#include "node_bucket.h"
#include "node_cluster.h"
#include "node_identity.h"
#include "node_private.h"
#include "program_version.h"
#include "recovered_directory.h"
#include "shard_loops.h"

/* 48 samples of a series on the mean of all shards, and 80 in the one that is about to freeze: with
 * so many, chunks of parts are well filled. */
enum {
    UNFROZEN_SERIES_BYTES = 256,
    /* So a series that is written every other hour keeps its place. */
    SERIES_QUIET_MS = 2 * 60 * 60 * 1000,
    /* A day: senders state it every minute, or with each sample. */
    METADATA_QUIET_PERIODS = 12,
    /* What a head of many series grows by in some seconds. */
    HEAD_SPARES_BYTES = 32 * 1024 * 1024,
};

const struct consensus_member NODE_FOUNDER = {
    .node_id = NODE_ID, .role = CONSENSUS_ROLE_VOTER, .address = "node-1"};

/* --- What the journal says -------------------------------------------------------------------- */

static void fatal_group(void *context, uint64_t group_id, const struct error *error)
{
    (void)group_id;
    node_fatal_error(context, error);
}

/* Replicas of shards are made anew by who keeps them; what the cluster knows of itself is not. */
static void superseded_group(void *context, uint64_t group_id, const struct error *error)
{
    struct error reason;
    if (group_id != META_GROUP_ID)
        return;
    error_set(
        &reason, ERROR_CONFLICT,
        "the cluster was recovered without this node, which has to join it anew with an empty "
        "directory: %s",
        error->message);
    node_fatal_error(context, &reason);
}

static void space_changed(void *context, enum journal_space space)
{
    struct node *node = context;
    if (space == JOURNAL_SPACE_LOW) {
        atomic_fetch_add(&node->replica_node.journals_low, 1);
        log_event(LOG_WARNING, "server", "the disk is nearly full: writes are refused", "");
    } else {
        atomic_fetch_sub(&node->replica_node.journals_low, 1);
        log_event(LOG_INFO, "server", "the disk has room again", "");
    }
}

/* What stays free of the disk, whose size is looked at once. */
static uint64_t free_bytes_min(struct node *node)
{
    enum { LEAST_BYTES = 128 * 1024 * 1024 };
    uint64_t free_bytes, total_bytes;
    struct error ignored; /* the least then */
    if (disk_free_bytes(node->blocking_disk, &free_bytes, &total_bytes, &ignored) != ERROR_NONE)
        return LEAST_BYTES;
    uint64_t kept = total_bytes / 100 * (100 - node->settings->storage_disk_limit_percent);
    return kept > LEAST_BYTES ? kept : LEAST_BYTES;
}

/* --- Opening, bottom up ----------------------------------------------------------------------- */

/* A node that was one of a cluster would go on by itself with what it has. */
static enum error_code check_alone(const struct settings *settings, struct error *error)
{
    bool belongs;
    enum error_code code = node_identity_exists(settings->storage_directory, &belongs, error);
    if (code == ERROR_NONE && belongs)
        code =
            error_set(error, ERROR_INVALID,
                      "'%s' belongs to a cluster: set cluster.listen and cluster.peers as before",
                      settings->storage_directory);
    return code;
}

static enum error_code open_alone(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct topology wanted;
    topology_init(&wanted, (uint32_t)settings->cluster_shards, (uint32_t)settings->cluster_spread);
    enum error_code code = check_alone(settings, error);
    if (code == ERROR_NONE)
        code = topology_open(settings->storage_directory, &wanted, &node->topology, error);
    if (code != ERROR_NONE)
        return code;
    const struct topology *kept = &node->topology;
    if (kept->slots.shard_count != wanted.slots.shard_count || kept->spread != wanted.spread)
        log_event(LOG_WARNING, "server", "the data directory keeps the shards it was made with",
                  "shards=%u spread=%u", kept->slots.shard_count, kept->spread);
    return ERROR_NONE;
}

enum error_code node_open_directory(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    enum error_code code = data_directory_open(settings->storage_directory, DATA_FORMAT_VERSION,
                                               &node->directory, error);
    if (code == ERROR_NONE)
        code = recovered_directory_check(settings->storage_directory, error);
    if (code == ERROR_NONE)
        code = settings_are_clustered(settings) ? node_cluster_prepare(node, error)
                                                : open_alone(node, error);
    if (code != ERROR_NONE)
        return code;
    node_sweep_snapshots(settings->storage_directory);
    return ERROR_NONE;
}

static void tell_recovery(const struct node *node)
{
    struct journal_recovery_summary summary = journal_recovery_summary(node->recovery);
    log_event(LOG_INFO, "server", "the log is whole",
              "segments=%llu bytes=%llu records=%llu torn_tails=%llu since_start_ms=%llu",
              (unsigned long long)summary.segments, (unsigned long long)summary.bytes_read,
              (unsigned long long)summary.records, (unsigned long long)summary.torn_tails,
              (unsigned long long)(clock_monotonic_ms(clock_system()) - node->opened_ms));
}

enum error_code node_open_shared(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    node->metrics = metrics_create();
    if (node->metrics == NULL || !ingest_metrics_create(&node->ingest_metrics, node->metrics))
        return error_set(error, ERROR_OUT_OF_MEMORY, "metrics");
    /* One worker more than processors: a freeze goes on beside as many queries. */
    struct worker_pool_options pool_options = {.worker_count = settings->query_concurrency + 2};
    /* Queries that wait for other nodes keep their workers; as many are there for those nodes. */
    if (settings_are_clustered(settings))
        pool_options.worker_count += settings->query_concurrency;
    if (pool_options.worker_count > WORKER_COUNT_MAX)
        pool_options.worker_count = WORKER_COUNT_MAX;
    enum error_code code = worker_pool_create(&pool_options, &node->pool, error);
    if (code == ERROR_NONE)
        code = page_cache_create(settings->storage_cache_bytes, &node->cache, error);
    if (code == ERROR_NONE)
        code = head_spares_create(HEAD_SPARES_BYTES, &node->head_spares, error);
    if (code == ERROR_NONE)
        code = disk_uring_create(settings->storage_directory, NULL, DISK_ENGINE_BEST,
                                 &node->blocking_disk, error);
    if (code == ERROR_NONE)
        code = node_open_access(node, error);
    if (code != ERROR_NONE)
        return code;
    struct journal_recovery_options recovery = {.directory = "journal", .pool = node->pool};
    code = journal_recover(node->blocking_disk, &recovery, &node->recovery, error);
    if (code == ERROR_CORRUPT)
        error_wrap(error, "the log is damaged; restore this data directory from a copy");
    if (code == ERROR_NONE)
        tell_recovery(node);
    return code;
}

/* The groups of this loop that the journal knew. */
static size_t adopted_groups(const struct node *node, const uint32_t *loop_of_shard, size_t loop,
                             uint64_t *groups)
{
    size_t count = 0;
    for (size_t i = 0; i < journal_recovery_group_count(node->recovery); i++) {
        uint64_t group = journal_recovery_group(node->recovery, i)->group;
        uint64_t shard = group - hosting_group_of(0);
        uint64_t keeper = 0; /* of the meta group, too */
        if (shard < CLUSTER_SHARDS_MAX)
            keeper = node->cluster != NULL || shard >= node->topology.slots.shard_count
                         ? shard % node->loop_count
                         : loop_of_shard[shard];
        if (keeper == loop)
            groups[count++] = group;
    }
    return count;
}

static enum error_code open_storage_loop(struct node *node, size_t number,
                                         const uint32_t *loop_of_shard, struct error *error)
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
                                 node->settings->storage_engine, &loop->disk, error);
    if (code != ERROR_NONE)
        return code;
    loop->environment = (struct environment){
        .scheduler = loop_scheduler(loop->loop),
        .disk = loop->disk,
        .clock = clock_system(),
        .random = random_system(),
    };
    uint64_t *groups = calloc(journal_recovery_group_count(node->recovery) + 1, sizeof *groups);
    if (groups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "groups of a loop");
    struct journal_options journal_options = {
        .directory = "journal",
        .lane = (uint32_t)number,
        .free_bytes_min = free_bytes_min(node),
    };
    struct journal_events events = {
        .context = node, .fatal = node_fatal_error, .space_changed = space_changed};
    code = journal_open(&loop->environment, &journal_options, &events, node->recovery, groups,
                        adopted_groups(node, loop_of_shard, number, groups), &loop->journal, error);
    free(groups);
    if (code == ERROR_NONE)
        code = node->cluster != NULL ? node_peers_open(loop, error)
                                     : node_open_host(loop, NODE_ID, error);
    return code;
}

enum error_code node_open_host(struct node_loop *loop, uint64_t node_id, struct error *error)
{
    struct group_host_options options = {
        .environment = &loop->environment,
        .journal = loop->journal,
        .transport = loop->link == NULL ? NULL : group_link_transport(loop->link),
        .node_id = node_id,
        .fatal = fatal_group,
        .superseded = superseded_group,
    };
    enum error_code code = group_host_create(&options, &loop->host, error);
    if (code == ERROR_NONE && loop->link != NULL)
        group_link_deliver_to(loop->link, loop->host);
    return code;
}

/* What each of the shards may have, so that all have no more than about `limit`; 0 stays 0. */
static uint32_t share_of(uint64_t limit, uint32_t shards)
{
    return (uint32_t)((limit + shards - 1) / shards);
}

/* What all shards of the node have in common. */
static struct shard_options shard_options_of(struct node *node)
{
    const struct settings *settings = node->settings;
    uint32_t shards = node->topology.slots.shard_count;
    return (struct shard_options){
        .cache = node->cache,
        .hash_seed = node->hash_seed,
        .future_window_ms = settings->ingest_future_window_ms,
        .quiet_ms = SERIES_QUIET_MS,
        .metadata_quiet_periods = METADATA_QUIET_PERIODS,
        .retention_ms = RETENTION_IS_TOLD, /* node_retention.c */
        .retention = settings->retention_policy,
        .series_max = settings->ingest_max_series,
        .node_series = &node->series,
        .exemplars_max = share_of(settings->ingest_max_exemplars, shards),
        .metadata_max = share_of(settings->ingest_max_metadata, shards),
        .head_spares = node->head_spares,
        .version_max = PROGRAM_STATE_VERSION_MAX,
        .bucket = node_bucket_shared(node),
    };
}

static enum error_code open_hosting(struct node *node, struct error *error)
{
    struct hosting_loop_options *loops = calloc(node->loop_count, sizeof *loops);
    if (loops == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "hosting");
    for (size_t i = 0; i < node->loop_count; i++)
        loops[i] = (struct hosting_loop_options){.environment = &node->loops[i].environment,
                                                 .journal = node->loops[i].journal,
                                                 .transport = node->loops[i].transport,
                                                 .transfer = node->loops[i].transfer};
    struct hosting_options options = {
        .loops = loops,
        .loop_count = node->loop_count,
        .table = node->replicas,
        .node = &node->replica_node,
        .board = node->cluster == NULL ? NULL : node->cluster->board,
        .has_new_directory = node->topology.is_new,
        .shard = shard_options_of(node),
        .limits = node_placement_limits(node),
        .fatal = node_fatal_error,
    };
    enum error_code code = hosting_create(&options, &node->hosting, error);
    free(loops);
    return code;
}

/* By how many entries are to be replayed: they are of about one size, requests go to all shards. */
static enum error_code deal_shards(const struct node *node, uint32_t *loop_of_shard,
                                   struct error *error)
{
    uint32_t shards = node->topology.slots.shard_count;
    uint64_t *replayed = calloc(shards, sizeof *replayed);
    if (replayed == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "node");
    for (uint32_t shard = 0; shard < shards; shard++) {
        const struct journal_group *group =
            journal_recovery_find(node->recovery, hosting_group_of(shard));
        if (group == NULL)
            continue;
        uint64_t first = group->first_index;
        if (group->has_snapshot && group->snapshot.index >= first)
            first = group->snapshot.index + 1;
        replayed[shard] = group->next_index > first ? group->next_index - first : 0;
    }
    shard_loops_deal(replayed, shards, (uint32_t)node->loop_count, loop_of_shard);
    free(replayed);
    return ERROR_NONE;
}

static enum error_code open_loops(struct node *node, uint32_t *loop_of_shard, struct error *error)
{
    enum error_code code = deal_shards(node, loop_of_shard, error);
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++)
        code = open_storage_loop(node, i, loop_of_shard, error);
    if (code == ERROR_NONE)
        code = open_hosting(node, error);
    if (node->cluster != NULL)
        return code == ERROR_NONE ? node_cluster_open(node, error) : code;
    if (code == ERROR_NONE)
        code = hosting_deal(node->hosting, loop_of_shard, node->topology.slots.shard_count, error);
    for (size_t i = 0; code == ERROR_NONE && i < node->loop_count; i++)
        code = hosting_open(node->hosting, i, node->loops[i].host, NODE_ID, node->recovery, error);
    return code;
}

enum error_code node_open_storage(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    node->loop_count = (size_t)settings->threads;
    node->loops = calloc(node->loop_count, sizeof *node->loops);
    uint32_t *loop_of_shard = calloc(node->topology.slots.shard_count, sizeof *loop_of_shard);
    if (node->loops == NULL || loop_of_shard == NULL) {
        free(loop_of_shard);
        return error_set(error, ERROR_OUT_OF_MEMORY, "node");
    }
    node->replica_node = (struct replica_node){
        .unfrozen_bytes_max = settings->storage_unfrozen_bytes,
        .unfrozen_series_bytes = UNFROZEN_SERIES_BYTES,
        .unfrozen_age_max_ms = settings->storage_freeze_interval_ms,
        .queued_bytes_max = 256u << 20,
    };
    enum error_code code = replica_table_create(CLUSTER_SHARDS_MAX, &node->replicas, error);
    if (code == ERROR_NONE)
        code = open_loops(node, loop_of_shard, error);
    free(loop_of_shard);
    return code;
}
