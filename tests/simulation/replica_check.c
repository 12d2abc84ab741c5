#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "replica_cluster.h"

/* --- Samples --------------------------------------------------------------------------------- */

static void check_series(struct replica_cluster *cluster, size_t node, unsigned number,
                         const struct sample_columns *columns, uint64_t *hash)
{
    int64_t time_ms;
    const char *wrong = offered_check(&cluster->series[number], number, columns, hash, &time_ms);
    if (wrong != NULL)
        cluster_fail(cluster, "node %zu: series %u at %lld %s", node, number, (long long)time_ms,
                     wrong);
}

static unsigned number_of(struct replica_cluster *cluster, struct labels labels)
{
    uint64_t number;
    if (!text_to_uint64(labels_get(labels, TEXT("number")), &number) || number >= REPLICA_SERIES)
        cluster_fail(cluster, "unknown labels");
    return (unsigned)number;
}

/* In the order of their numbers, so that the hash does not depend on that of the set. */
static void check_set(struct replica_cluster *cluster, size_t node, struct series_set *set,
                      struct arena *arena, uint64_t *hash)
{
    size_t place[REPLICA_SERIES];
    struct series_reader *reader = NULL;
    struct error error;
    memset(place, 0xff, sizeof place);
    for (size_t i = 0; i < set->count; i++) {
        struct labels labels;
        if (series_set_labels(set, i, 1, arena, &labels, &error) != ERROR_NONE)
            cluster_fail(cluster, "node %zu: %s", node, error.message);
        unsigned number = number_of(cluster, labels);
        if (place[number] != SIZE_MAX)
            cluster_fail(cluster, "node %zu: series %u twice", node, number);
        place[number] = i;
    }
    if (series_reader_open(set, &reader, &error) != ERROR_NONE)
        cluster_fail(cluster, "node %zu: %s", node, error.message);
    for (unsigned number = 0; number < REPLICA_SERIES; number++) {
        struct sample_columns columns = {0};
        if (place[number] != SIZE_MAX &&
            series_reader_read(reader, place[number], &columns, &error) != ERROR_NONE)
            cluster_fail(cluster, "node %zu: %s", node, error.message);
        check_series(cluster, node, number, &columns, hash);
    }
    series_reader_close(reader);
}

uint64_t cluster_check_samples(struct replica_cluster *cluster, struct cluster_node *node)
{
    struct arena *arena = arena_create(0);
    struct matcher *matcher = NULL;
    struct series_set *set = NULL;
    struct error error;
    uint64_t hash = 1;
    if (matcher_create(MATCHER_EQUAL, TEXT("job"), TEXT("simulation"), &matcher, &error) !=
        ERROR_NONE)
        abort();
    const struct matcher *const matchers[] = {matcher};
    struct series_request request = {
        .tenant = TEXT("anonymous"),
        .matchers = matchers,
        .matcher_count = 1,
        .start_ms = INT64_MIN,
        .end_ms = INT64_MAX,
        .arena = arena,
    };
    if (series_source_select(shard_source(replica_shard(node->replica)), &request, &set, &error) !=
        ERROR_NONE)
        cluster_fail(cluster, "node %zu: %s", node->number + 1, error.message);
    check_set(cluster, node->number + 1, set, arena, &hash);
    series_set_close(set);
    matcher_destroy(matcher);
    arena_destroy(arena);
    cluster->counts.checks++;
    return hash;
}

/* --- In the end ------------------------------------------------------------------------------ */

static void mend(struct replica_cluster *cluster)
{
    cluster->faulty_files = false;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct simulated_disk *disk = &cluster->nodes[i].disk;
        for (size_t k = 0; k < cluster->node_count; k++)
            simulated_network_stall(&cluster->network, i, k, false);
        disk->settings.capacity_bytes = UINT64_MAX;
        disk->settings.crash_at_operation = 0;
        disk->settings.slow_per_thousand = disk->settings.failure_per_million = 0;
        if (cluster->nodes[i].exists && cluster->nodes[i].alive &&
            (cluster->nodes[i].failed || disk->crashed))
            cluster_node_crash(&cluster->nodes[i]);
        if (cluster->nodes[i].exists && !cluster->nodes[i].alive)
            cluster_node_start(&cluster->nodes[i]);
    }
}

/* Whether the log is sent to the node. */
static bool is_member(struct cluster_node *leader, const struct cluster_node *node)
{
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    size_t count = replica_members(leader->replica, members);
    for (size_t i = 0; i < count; i++)
        if (members[i].node_id == node->number + 1)
            return members[i].role != CONSENSUS_ROLE_SPARE;
    return false;
}

/* All members have applied what the leader has, and frozen what it froze. */
static bool is_settled(struct replica_cluster *cluster, struct cluster_node *leader)
{
    struct shard_statistics first;
    shard_read_statistics(replica_shard(leader->replica), &first);
    if (first.damaged_files > 0 || first.frozen_head_count > 0 || first.unfrozen_log_bytes > 0 ||
        first.merges_running > 0 || first.merges_waiting > 0)
        return false;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        struct shard_statistics other;
        if (!node->exists || !node->alive || !is_member(leader, node))
            continue;
        shard_read_statistics(replica_shard(node->replica), &other);
        if (other.damaged_files > 0 || other.applied_index != first.applied_index ||
            other.frozen_head_count > 0 || other.merges_running > 0 || other.merges_waiting > 0)
            return false;
    }
    return true;
}

struct flushing {
    struct shard_flush base;
    bool done;
};

static void on_flushed(struct shard_flush *base, const struct error *error)
{
    (void)error; /* asked for again when it was not all */
    ((struct flushing *)base)->done = true;
}

/* Everything in blocks, on each of them. */
static struct cluster_node *settle(struct replica_cluster *cluster)
{
    struct flushing *flushing = calloc(1, sizeof *flushing);
    assert(flushing != NULL);
    flushing->done = true;
    for (unsigned waited = 0; waited < 6000; waited++) {
        struct cluster_node *leader = cluster_leader(cluster);
        cluster_run_for(cluster, 100);
        if (leader == NULL || leader != cluster_leader(cluster))
            continue;
        if (flushing->done && is_settled(cluster, leader)) {
            free(flushing);
            return leader;
        }
        if (flushing->done && waited % 50 == 0) {
            *flushing = (struct flushing){.base = {.done = on_flushed}};
            replica_flush(leader->replica, &flushing->base);
        }
    }
    cluster_fail(cluster, "the replicas do not come to rest");
}

static void compare_files(struct replica_cluster *cluster, struct cluster_node *leader,
                          struct cluster_node *node)
{
    struct byte_buffer first = {0}, other = {0};
    uint64_t first_index, other_index;
    struct error error;
    if (shard_snapshot(replica_shard(leader->replica), &first, &first_index, &error) !=
            ERROR_NONE ||
        shard_snapshot(replica_shard(node->replica), &other, &other_index, &error) != ERROR_NONE)
        cluster_fail(cluster, "%s", error.message);
    if (first_index != other_index || first.size != other.size ||
        memcmp(first.bytes, other.bytes, first.size) != 0)
        cluster_fail(cluster, "node %zu has other files at %llu than node %zu at %llu",
                     node->number + 1, (unsigned long long)other_index, leader->number + 1,
                     (unsigned long long)first_index);
    byte_buffer_clear(&first);
    byte_buffer_clear(&other);
}

/* A node that missed much takes over files while these are read. */
static void find_rot(struct replica_cluster *cluster, struct cluster_node *node)
{
    for (unsigned times = 0; times < 2; times++) {
        while (cluster->scrubbing)
            cluster_run_for(cluster, 100);
        cluster_scrub(node);
    }
    while (cluster->scrubbing)
        cluster_run_for(cluster, 100);
}

void cluster_heal_and_check(struct replica_cluster *cluster)
{
    mend(cluster);
    if (cluster_await_leader(cluster, 120000) == NULL)
        cluster_fail(cluster, "no leader although all is well");
    cluster_run_for(cluster, 5000);
    if (cluster->nodes[cluster->rotting].exists)
        find_rot(cluster, &cluster->nodes[cluster->rotting]);
    struct cluster_node *leader = settle(cluster);
    uint64_t hash = cluster_check_samples(cluster, leader);
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        if (!node->exists || node == leader || !is_member(leader, node))
            continue;
        if (cluster_check_samples(cluster, node) != hash)
            cluster_fail(cluster, "node %zu has other samples than node %zu", node->number + 1,
                         leader->number + 1);
        compare_files(cluster, leader, node);
    }
}
