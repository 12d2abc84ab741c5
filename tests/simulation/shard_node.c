#include "shard_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Events ---------------------------------------------------------------------------------- */

static void on_journal_fatal(void *context, const struct error *error)
{
    struct shard_node *node = context;
    (void)error;
    node->journal_failed = true;
    if (node->host != NULL)
        group_host_journal_lost(node->host);
}

static void on_group_fatal(void *context, uint64_t group_id, const struct error *error)
{
    struct shard_node *node = context;
    (void)group_id;
    node->replica_failed = true;
    node->failure = *error;
}

static void on_replica_fatal(void *context, const struct error *error)
{
    on_group_fatal(context, 0, error);
}

bool shard_node_is_broken(const struct shard_node *node)
{
    return node->journal_failed || node->replica_failed || node->environment->disk.crashed;
}

/* --- Opening --------------------------------------------------------------------------------- */

static enum error_code open_journal(struct shard_node *node, struct error *error)
{
    struct journal_recovery_options recovery = {.directory = "journal"};
    enum error_code code =
        journal_recover(node->environment->base.disk, &recovery, &node->recovery, error);
    uint64_t groups[NODE_SHARDS];
    size_t count = 0;
    for (uint64_t group = 1; code == ERROR_NONE && group <= NODE_SHARDS; group++)
        if (journal_recovery_find(node->recovery, group) != NULL)
            groups[count++] = group;
    struct journal_options options = {
        .directory = "journal",
        .segment_bytes_min = 64 * 1024,
        .segment_bytes_max = 256 * 1024,
        .free_bytes_min = 1,
        .durability = node->durability,
    };
    struct journal_events events = {.context = node, .fatal = on_journal_fatal};
    if (code == ERROR_NONE)
        code = journal_open(&node->environment->base, &options, &events, node->recovery, groups,
                            count, &node->journal, error);
    struct group_host_options host_options = {
        .environment = &node->environment->base,
        .journal = node->journal,
        .node_id = 1,
        .snapshot_log_bytes = 16 * 1024,
        .fatal = on_group_fatal,
        .fatal_context = node,
    };
    return code == ERROR_NONE ? group_host_create(&host_options, &node->host, error) : code;
}

static enum error_code open_replica(struct shard_node *node, size_t number, struct error *error)
{
    static const struct consensus_member FOUNDER = {
        .node_id = 1, .role = CONSENSUS_ROLE_VOTER, .address = "node-1"};
    snprintf(node->directories[number], sizeof node->directories[number], "shards/%04zu", number);
    struct replica_options options = {
        .environment = &node->environment->base,
        .host = node->host,
        .node = &node->limits,
        .shard =
            {
                .cache = node->cache,
                .shard_id = (uint32_t)number,
                .directory = node->directories[number],
                .hash_seed = 1 + number,
                .future_window_ms = 600000,
                .quiet_ms = 10 * 60 * 1000,
                .metadata_quiet_periods = 4,
                .retention_ms = node->retention == NULL ? node->retention_ms : RETENTION_IS_TOLD,
                .exemplars_max = 100000,
                .metadata_max = 100,
                .bucket = node->bucket.store == NULL ? NULL : &node->bucket,
            },
        .group_id = number + 1,
        .recovery = node->recovery,
        .founders = &FOUNDER,
        .founder_count = 1,
        .fatal = on_replica_fatal,
        .fatal_context = node,
    };
    enum error_code code = replica_create(&options, &node->replicas[number], error);
    return code == ERROR_NONE ? replica_start(node->replicas[number], error) : code;
}

static bool all_ready(const struct shard_node *node)
{
    for (size_t i = 0; i < NODE_SHARDS; i++)
        if (!replica_is_ready(node->replicas[i]))
            return false;
    return true;
}

static enum error_code await_ready(struct shard_node *node, struct error *error)
{
    for (size_t steps = 0; !all_ready(node); steps++) {
        if (node->replica_failed) {
            *error = node->failure;
            return error->code;
        }
        if (node->journal_failed || node->environment->disk.crashed)
            return error_set(error, ERROR_IO, "the journal or the machine failed");
        if (steps == NODE_STEPS_MAX || !simulated_scheduler_step(&node->environment->scheduler))
            return error_set(error, ERROR_TIMEOUT, "a shard does not become ready");
    }
    return ERROR_NONE;
}

enum error_code shard_node_open(struct shard_node *node, struct error *error)
{
    node->journal_failed = node->replica_failed = false;
    node->limits = (struct replica_node){
        .unfrozen_bytes_max = 32 * 1024,
        .unfrozen_age_max_ms = 15 * 60 * 1000,
        .queued_bytes_max = 64 << 20,
    };
    enum error_code code = page_cache_create(4 << 20, &node->cache, error);
    if (code == ERROR_NONE)
        code = open_journal(node, error);
    for (size_t i = 0; code == ERROR_NONE && i < NODE_SHARDS; i++)
        code = open_replica(node, i, error);
    if (code == ERROR_NONE)
        code = await_ready(node, error);
    if (code == ERROR_NONE) {
        journal_recovery_close(node->recovery);
        node->recovery = NULL;
        for (size_t i = 0; i < NODE_SHARDS; i++) {
            shard_want_version(replica_shard(node->replicas[i]), node->version);
            if (node->retention != NULL)
                shard_want_retention(replica_shard(node->replicas[i]), node->retention,
                                     node->retention_grace_ms);
        }
        if (node->environment->disk.crashed)
            code = error_set(error, ERROR_IO, "the machine failed as it became ready");
    }
    return code;
}

/* --- Closing --------------------------------------------------------------------------------- */

static void on_part_closed(void *context)
{
    ((struct shard_node *)context)->closing--;
}

static void await_closed(struct shard_node *node)
{
    for (size_t steps = 0; node->closing > 0; steps++)
        if (steps == NODE_STEPS_MAX || !simulated_scheduler_step(&node->environment->scheduler)) {
            printf("FAILED: the node does not close\n");
            exit(1);
        }
}

static void close_journal(struct shard_node *node)
{
    if (node->journal == NULL)
        return;
    node->closing++;
    journal_close(node->journal, on_part_closed, node);
    await_closed(node);
    node->journal = NULL;
}

static void close_replicas(struct shard_node *node)
{
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        if (node->replicas[i] == NULL)
            continue;
        node->closing++;
        replica_close(node->replicas[i], on_part_closed, node);
        node->replicas[i] = NULL;
    }
    await_closed(node);
    group_host_destroy(node->host);
    node->host = NULL;
}

static void on_settled(void *context)
{
    ((struct shard_node *)context)->settling--;
}

bool shard_node_settle(struct shard_node *node)
{
    node->settling = NODE_SHARDS;
    for (size_t i = 0; i < NODE_SHARDS; i++)
        replica_settle(node->replicas[i], on_settled, node);
    for (size_t steps = 0; node->settling > 0 && !shard_node_is_broken(node); steps++)
        if (steps == NODE_STEPS_MAX || !simulated_scheduler_step(&node->environment->scheduler)) {
            printf("FAILED: the node does not settle\n");
            exit(1);
        }
    return node->settling == 0;
}

void shard_node_close(struct shard_node *node)
{
    if (node->journal_failed)
        close_journal(node);
    close_replicas(node);
    close_journal(node);
    journal_recovery_close(node->recovery);
    node->recovery = NULL;
    page_cache_destroy(node->cache);
    node->cache = NULL;
}

void shard_node_crash(struct shard_node *node, enum simulated_crash crash)
{
    if (!node->environment->disk.crashed)
        simulated_environment_crash(node->environment, crash);
    node->journal_failed = true;
    if (node->host != NULL)
        group_host_journal_lost(node->host);
    shard_node_close(node);
}
