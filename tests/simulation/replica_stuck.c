/*
 * A freeze that is stuck: it would write a series segment anew that is rotten on this node, and
 * that the others have written anew since, so that nobody has the file any more. The replica is to
 * go on with the state of its leader, without losing its log, and to end with the same files.
 */
#include <stdio.h>
#include <string.h>

#include "replica_cluster.h"

enum {
    FIRST_PAGE_BIT = 30 * 8,
    SOME = 50,
    MORE = 400, /* than all segments have: each of them is written anew with these */
};

static struct cluster_node *await_leader(struct replica_cluster *cluster)
{
    struct cluster_node *leader = cluster_await_leader(cluster, 120000);
    if (leader == NULL)
        cluster_fail(cluster, "no leader although all is well");
    return leader;
}

static void write_and_freeze(struct replica_cluster *cluster, uint32_t count)
{
    cluster_write_others(cluster, await_leader(cluster), count);
    cluster_run_for(cluster, 1000);
    shard_freeze(replica_shard(await_leader(cluster)->replica));
    cluster_run_for(cluster, 1000);
}

/* One that votes, and does not lead. */
static struct cluster_node *choose_victim(struct replica_cluster *cluster)
{
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    struct cluster_node *leader = await_leader(cluster);
    size_t count = replica_members(leader->replica, members);
    for (size_t i = 0; i < count; i++)
        if (members[i].role == CONSENSUS_ROLE_VOTER && members[i].node_id != leader->number + 1 &&
            cluster->nodes[members[i].node_id - 1].alive)
            return &cluster->nodes[members[i].node_id - 1];
    cluster_fail(cluster, "the leader is alone although all is well");
}

/* In all of its lives, and those of others that have ended. */
static uint64_t count_adoptions(const struct cluster_node *node)
{
    struct group_statistics statistics;
    group_host_statistics(node->host, &statistics);
    return node->cluster->counts.adopted + statistics.snapshots_adopted;
}

/* The newest segment, which is one of those that there shall be. */
static void rot_segment(struct cluster_node *node)
{
    enum { LOOKS = 200 }; /* there are few */
    char newest[DISK_PATH_MAX + 1] = "";
    for (int i = 0; i < LOOKS; i++) {
        uint64_t size;
        const char *path = simulated_disk_choose(&node->disk, "shards/0000/series/", &size);
        if (path != NULL && strcmp(path, newest) > 0)
            snprintf(newest, sizeof newest, "%s", path);
    }
    if (newest[0] == '\0')
        cluster_fail(node->cluster, "node %zu has no series", node->number + 1);
    simulated_disk_flip(&node->disk, newest, FIRST_PAGE_BIT);
}

void cluster_stick(struct replica_cluster *cluster)
{
    write_and_freeze(cluster, SOME);
    cluster_heal_and_check(cluster);
    struct cluster_node *victim = choose_victim(cluster);
    cluster_node_stop(victim); /* what it has in memory is sound */
    rot_segment(victim);
    cluster_node_start(victim);
    uint64_t adoptions = count_adoptions(victim);
    cluster_run_for(cluster, 5000);
    write_and_freeze(cluster, MORE);
    for (int i = 0; i < 3; i++)
        write_and_freeze(cluster, SOME);
    if (cluster->seed % 2 == 0) { /* what it replays then is stuck as well */
        cluster_node_crash(victim);
        cluster_node_start(victim);
    }
    cluster_run_for(cluster, 60000);
    if (victim->alive && count_adoptions(victim) == adoptions)
        cluster_fail(cluster, "node %zu goes on without the file that it lacks",
                     victim->number + 1);
    cluster_heal_and_check(cluster);
}
