#include "group_scripts.h"

#include <string.h>

#include "../../cluster/group/group_private.h"

/* --- Helpers ------------------------------------------------------------------------------- */

enum { GROUP = 0, STEP_MS = 2, ELECTION_MS_MAX = 20000 };

static size_t other(const struct cluster *cluster, size_t node, size_t distance)
{
    return (node + distance) % cluster->settings.node_count;
}

static struct consensus_status consensus_of(const struct cluster *cluster, size_t node)
{
    struct consensus_status status;
    consensus_status(cluster->nodes[node].machines[GROUP].group->consensus, &status);
    return status;
}

static void link_nodes(struct cluster *cluster, size_t left, size_t right, bool is_up)
{
    cluster->cut[left][right] = cluster->cut[right][left] = !is_up;
}

static void isolate(struct cluster *cluster, size_t node)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        if (i != node)
            link_nodes(cluster, node, i, false);
}

typedef bool (*condition)(const struct cluster *cluster, size_t node);

static bool await(struct cluster *cluster, condition is_met, size_t node, uint64_t milliseconds)
{
    for (uint64_t waited = 0; waited < milliseconds && !is_met(cluster, node); waited += STEP_MS)
        cluster_run_for(cluster, STEP_MS);
    return is_met(cluster, node);
}

static bool leads(const struct cluster *cluster, size_t node)
{
    return cluster->nodes[node].alive && consensus_of(cluster, node).state == CONSENSUS_LEADER;
}

/* Another node than `former`, and whether it takes proposals or not; SIZE_MAX: none in time. */
static size_t await_leader(struct cluster *cluster, size_t former)
{
    for (uint64_t waited = 0; waited < ELECTION_MS_MAX; waited += STEP_MS) {
        for (size_t i = 0; i < cluster->settings.node_count; i++)
            if (i != former && leads(cluster, i))
                return i;
        cluster_run_for(cluster, STEP_MS);
    }
    return SIZE_MAX;
}

static bool propose(struct cluster *cluster, size_t node)
{
    return cluster_propose(cluster, node, GROUP, 8 + cluster_below(cluster, 40)) == ERROR_NONE;
}

/* Most of the nodes are alive, linked and well: somebody must lead them. */
static void expect_leader(struct cluster *cluster)
{
    if (!cluster_await_leader(cluster, GROUP, 60000))
        cluster_fail(cluster, "no leader of a majority for a minute");
}

/* --- Rules 3 and 6: a write that ends late --------------------------------------------------- */

enum { SLOW_DISK_MS = 100000 };

/* Entries that the leader sends to this node alone, whose disk takes them and does not answer.
 * False: none of them came so far. */
static bool write_slowly(struct cluster *cluster, size_t leader, size_t slow, size_t entries)
{
    isolate(cluster, leader);
    isolate(cluster, slow);
    link_nodes(cluster, leader, slow, true);
    group_medium_set_delay(cluster->nodes[slow].medium, SLOW_DISK_MS);
    for (size_t i = 0; i < entries; i++)
        if (!propose(cluster, leader))
            return false;
    cluster_run_for(cluster, 50);
    isolate(cluster, leader);
    return consensus_of(cluster, slow).stored_index < consensus_of(cluster, slow).last_index;
}

/*
 * Rule 3: the write of a former leader's entries ends when there is another leader, which has
 * entries of its own under their indexes, and takes the answer for one about these.
 */
static bool late_answer(struct cluster *cluster)
{
    size_t former = cluster_leader(cluster, GROUP);
    size_t slow = other(cluster, former, 1 + cluster_below(cluster, 4));
    if (!write_slowly(cluster, former, slow, 3))
        return false;
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        link_nodes(cluster, slow, i, i != former);
    size_t leader = await_leader(cluster, former);
    if (leader == SIZE_MAX)
        return false;
    cluster_run_for(cluster, 1000); /* its own entry is committed */
    /* Only one other node gets what is written now, and three make a majority. */
    for (size_t i = 0, friends = 0; i < cluster->settings.node_count; i++)
        if (i != leader && i != slow && i != former && friends++ > 0)
            link_nodes(cluster, leader, i, false);
    if (!propose(cluster, leader) || !propose(cluster, leader))
        return false;
    if (consensus_of(cluster, slow).leader_id != leader + 1)
        return false;
    group_medium_set_delay(cluster->nodes[slow].medium, 0);
    cluster_run_for(cluster, SLOW_DISK_MS);
    return true;
}

static bool holds_entries(struct cluster *cluster, size_t from, size_t to,
                          const struct consensus_message *message)
{
    (void)cluster, (void)from, (void)to;
    return message->type == CONSENSUS_APPEND;
}

/*
 * Rule 6: entries are truncated by the next leader and come again from the one after it, which is
 * the one that wrote them, while their first write is still under way.
 */
static bool written_twice(struct cluster *cluster)
{
    size_t first = cluster_leader(cluster, GROUP);
    size_t slow = other(cluster, first, 1 + cluster_below(cluster, 4));
    if (!write_slowly(cluster, first, slow, 2))
        return false;
    /* The second leader's entry reaches nobody but the slow node. */
    cluster->holds = holds_entries;
    size_t second = await_leader(cluster, first);
    cluster->holds = NULL;
    cluster_drop_letters(cluster);
    if (second == SIZE_MAX)
        return false;
    isolate(cluster, second);
    link_nodes(cluster, second, slow, true);
    cluster_run_for(cluster, 1000);
    isolate(cluster, second);
    /* The first has the longest log of the three that are left. */
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        if (i != first && i != second && i != slow)
            link_nodes(cluster, first, i, true);
    if (!await(cluster, leads, first, ELECTION_MS_MAX))
        return false;
    link_nodes(cluster, first, slow, true);
    cluster_run_for(cluster, 1000);
    group_medium_set_delay(cluster->nodes[slow].medium, 0);
    cluster_run_for(cluster, SLOW_DISK_MS);
    return true;
}

/* --- Rules 18 and 19: nobody stands who could win -------------------------------------------- */

static bool holds_real_requests(struct cluster *cluster, size_t from, size_t to,
                                const struct consensus_message *message)
{
    (void)cluster, (void)from, (void)to;
    return message->type == CONSENSUS_VOTE && !message->vote.pre_vote;
}

/*
 * Rule 18: the node with the longest log asks for a term that the other one has behind it, and the
 * refusal does not tell it so. Pre-votes never raise a term.
 */
static bool low_term(struct cluster *cluster)
{
    size_t former = cluster_leader(cluster, GROUP);
    isolate(cluster, former);
    if (!propose(cluster, former))
        return false;
    /* The others stand in one term after the other, and nobody hears it. */
    cluster->holds = holds_real_requests;
    size_t high = other(cluster, former, 1), low = other(cluster, former, 2);
    uint64_t term = consensus_of(cluster, former).term;
    for (uint64_t waited = 0; waited < 10 * ELECTION_MS_MAX; waited += STEP_MS) {
        if (consensus_of(cluster, high).term >= term + 3)
            break;
        cluster_run_for(cluster, STEP_MS);
    }
    cluster->holds = NULL;
    cluster_drop_letters(cluster);
    if (consensus_of(cluster, high).term < term + 3 || leads(cluster, former))
        return false;
    cluster_crash(cluster, low);
    cluster_crash(cluster, high); /* it asks for pre-votes again */
    cluster_start(cluster, high);
    link_nodes(cluster, former, high, true);
    expect_leader(cluster);
    return true;
}

/*
 * Rule 19: a voter hears of its demotion before it is committed, and nobody else does but the
 * leader, which is gone then. Without its vote there is no majority of those who know nothing.
 */
static bool own_demotion(struct cluster *cluster)
{
    size_t former = cluster_leader(cluster, GROUP);
    size_t demoted = other(cluster, former, 1 + cluster_below(cluster, 3));
    isolate(cluster, former);
    link_nodes(cluster, former, demoted, true);
    if (!cluster_change(cluster, former, GROUP, GROUP_CHANGE_ASSIGN, demoted, CONSENSUS_ROLE_STANDBY))
        return false;
    cluster_run_for(cluster, 400);
    cluster_crash(cluster, former);
    expect_leader(cluster);
    return true;
}

/* --- All of them ----------------------------------------------------------------------------- */

static const struct group_script SCRIPTS[] = {
    {"late_answer", 5, late_answer},   {"written_twice", 5, written_twice},
    {"low_term", 3, low_term},         {"own_demotion", 4, own_demotion},
};

const struct group_script *group_script_find(struct text name)
{
    for (size_t i = 0; i < sizeof SCRIPTS / sizeof *SCRIPTS; i++)
        if (text_equal(name, text_of(SCRIPTS[i].name)))
            return &SCRIPTS[i];
    return NULL;
}
