#include "group_scripts.h"

#include <string.h>

#include "../../cluster/group/group_private.h"

enum { GROUP = 0, DEAD = 3, PATIENCE_MS = 20000, CHANGE_MS = 3000 };

static struct group_status status_of(const struct cluster *cluster, size_t node)
{
    struct group_status status;
    group_status(cluster->nodes[node].machines[GROUP].group, &status);
    return status;
}

/* The nodes of the first part hear each other, and none of the other. */
static void part(struct cluster *cluster, const size_t nodes[5], size_t first_count)
{
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 5; k++)
            cluster->cut[nodes[i]][nodes[k]] = (i < first_count) != (k < first_count);
}

static void propose(struct cluster *cluster, size_t node, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)cluster_propose(cluster, node, GROUP, 8 + cluster_below(cluster, 40));
}

/* As a planner would have it: known, then with the log, then with a vote. */
static bool admit(struct cluster *cluster, size_t leader, size_t node)
{
    bool taken =
        cluster_change(cluster, leader, GROUP, GROUP_CHANGE_ADD, node, CONSENSUS_ROLE_SPARE);
    cluster_run_for(cluster, CHANGE_MS);
    taken = taken && cluster_change(cluster, leader, GROUP, GROUP_CHANGE_ASSIGN, node,
                                    CONSENSUS_ROLE_STANDBY);
    cluster_run_for(cluster, CHANGE_MS);
    return taken;
}

static void promote(struct cluster *cluster, size_t leader, size_t node)
{
    if (!cluster_change(cluster, leader, GROUP, GROUP_CHANGE_ASSIGN, node, CONSENSUS_ROLE_VOTER))
        cluster_fail(cluster, "node %zu can't have a vote", node + 1);
    cluster_run_for(cluster, CHANGE_MS);
}

/* One of the two that are left, the one with the longer log. */
static size_t choose_survivor(const struct cluster *cluster, size_t left, size_t right)
{
    struct group_status of_left = status_of(cluster, left), of_right = status_of(cluster, right);
    if (of_left.last_term != of_right.last_term)
        return of_left.last_term > of_right.last_term ? left : right;
    return of_left.last_index >= of_right.last_index ? left : right;
}

/* Made anew, and a member that has what the others have. */
static void make_anew(struct cluster *cluster, size_t node)
{
    cluster_stop(cluster, node);
    cluster_wipe(cluster, node);
    cluster_start(cluster, node);
    cluster_run_for(cluster, CHANGE_MS);
}

/* The dead come back with entries that were committed and are not in the forced log, whether they
 * still know that they were (they ran all the time) or have to hear
 * it first. They may not lead, nor make the forced one follow. As members, who knew must be made
 * anew. */
static void bring_back(struct cluster *cluster, const size_t nodes[5], size_t forced)
{
    bool knew[DEAD];
    uint64_t era = consensus_era(status_of(cluster, forced).term);
    for (size_t i = 0; i < DEAD; i++) {
        knew[i] = cluster->nodes[nodes[i]].alive;
        if (!knew[i])
            cluster_start(cluster, nodes[i]);
    }
    memset(cluster->cut, 0, sizeof cluster->cut);
    cluster_run_for(cluster, PATIENCE_MS);
    for (size_t i = 0; i < DEAD; i++) {
        propose(cluster, nodes[i], 1);
        if (status_of(cluster, nodes[i]).state == GROUP_STATE_LEADER)
            cluster_fail(cluster, "node %zu leads with the members of before", nodes[i] + 1);
    }
    size_t leader = cluster_leader(cluster, GROUP);
    if (leader == SIZE_MAX || cluster->nodes[leader].is_of_former_era ||
        consensus_era(status_of(cluster, leader).term) != era)
        cluster_fail(cluster, "those of before have taken the forced log's leader away");
    for (size_t i = 0; i < DEAD; i++) {
        leader = cluster_leader(cluster, GROUP);
        if (leader == SIZE_MAX || !admit(cluster, leader, nodes[i]))
            cluster_fail(cluster, "node %zu can't be a member again", nodes[i] + 1);
        bool is_superseded = status_of(cluster, nodes[i]).is_superseded;
        if (knew[i] && !is_superseded)
            cluster_fail(cluster, "node %zu keeps what the forced log has not", nodes[i] + 1);
        if (is_superseded)
            make_anew(cluster, nodes[i]);
        cluster->nodes[nodes[i]].is_of_former_era = false;
        promote(cluster, leader, nodes[i]);
        propose(cluster, leader, 2);
    }
}

bool group_script_forced(struct cluster *cluster)
{
    size_t first = cluster_leader(cluster, GROUP), nodes[5];
    for (size_t i = 0; i < 5; i++)
        nodes[i] = (first + i) % 5;
    propose(cluster, first, 1 + cluster_below(cluster, 5));
    cluster_run_for(cluster, 1000);
    part(cluster, nodes, DEAD);
    propose(cluster, first, 1 + cluster_below(cluster, 5));
    cluster_run_for(cluster, 1000);
    uint64_t lost_index = status_of(cluster, first).commit_index;
    for (size_t i = 0; i < DEAD; i++) {
        cluster->nodes[nodes[i]].is_of_former_era = true;
        if (cluster_below(cluster, 3) > 0)
            cluster_crash(cluster, nodes[i]);
    }
    size_t forced = choose_survivor(cluster, nodes[3], nodes[4]);
    size_t other = nodes[3] + nodes[4] - forced;
    if (status_of(cluster, forced).last_index >= lost_index)
        return false; /* nothing is lost */
    if (status_of(cluster, forced).leader_id != 0)
        cluster_run_for(cluster, 2 * PATIENCE_MS);
    if (!cluster_force(cluster, forced, GROUP))
        cluster_fail(cluster, "node %zu can't be forced", forced + 1);
    cluster_run_for(cluster, 1000);
    if (cluster_leader(cluster, GROUP) != forced)
        cluster_fail(cluster, "node %zu does not lead, which was forced to", forced + 1);
    if (cluster_force(cluster, forced, GROUP))
        cluster_fail(cluster, "a leader was forced");
    propose(cluster, forced, 5);
    /* Who has nothing but what the forced one has goes on with its log. */
    if (!admit(cluster, forced, other) || status_of(cluster, other).is_superseded)
        cluster_fail(cluster, "node %zu can't go on with the log that it has", other + 1);
    promote(cluster, forced, other);
    /* Whether it stays up or not, and whether it leads or not. */
    if (cluster_below(cluster, 2) == 0) {
        cluster_crash(cluster, forced);
        cluster_start(cluster, forced);
        cluster_run_for(cluster, PATIENCE_MS);
    }
    bring_back(cluster, nodes, forced);
    return true;
}
