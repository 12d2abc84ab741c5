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

/* --- A write that ends late --------------------------------------------------- */

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
 * The write of a former leader's entries ends when there is another leader, which has
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
 * Entries are truncated by the next leader and come again from the one after it, which is
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

/* --- Nobody stands who could win -------------------------------------------- */

static bool holds_real_requests(struct cluster *cluster, size_t from, size_t to,
                                const struct consensus_message *message)
{
    (void)cluster, (void)from, (void)to;
    return message->type == CONSENSUS_VOTE && !message->vote.pre_vote;
}

/*
 * The node with the longest log asks for a term that the other one has behind it, and the
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
 * A voter hears of its demotion before it is committed, and nobody else does but the
 * leader, which is gone then. Without its vote there is no majority of those who know nothing.
 */
static bool own_demotion(struct cluster *cluster)
{
    size_t former = cluster_leader(cluster, GROUP);
    size_t demoted = other(cluster, former, 1 + cluster_below(cluster, 3));
    isolate(cluster, former);
    link_nodes(cluster, former, demoted, true);
    if (!cluster_change(cluster, former, GROUP, GROUP_CHANGE_ASSIGN, demoted,
                        CONSENSUS_ROLE_STANDBY))
        return false;
    cluster_run_for(cluster, 400);
    cluster_crash(cluster, former);
    expect_leader(cluster);
    return true;
}

/* --- Changes of members that make majorities without a common member ---------------------------
 */

/* The five nodes by their part in a script; [0] leads. */
struct cast {
    size_t nodes[5];
};

static struct cast cast_from(const struct cluster *cluster, size_t leader)
{
    struct cast cast;
    for (size_t i = 0; i < 5; i++)
        cast.nodes[i] = other(cluster, leader, i);
    return cast;
}

/* Take the vote of a node, and have that committed. */
static bool demote(struct cluster *cluster, size_t leader, size_t node)
{
    bool taken =
        cluster_change(cluster, leader, GROUP, GROUP_CHANGE_ASSIGN, node, CONSENSUS_ROLE_STANDBY);
    cluster_run_for(cluster, 500);
    return taken && leads(cluster, leader);
}

static void split(struct cluster *cluster, const struct cast *cast, size_t first_count)
{
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < i; k++)
            link_nodes(cluster, cast->nodes[i], cast->nodes[k],
                       (i < first_count) == (k < first_count));
}

/*
 * One change at a time: a leader of three voters gives votes to two more at once, and is cut off
 * with them. They are three of five; the other two are two of three.
 */
static bool two_changes(struct cluster *cluster)
{
    struct cast cast = cast_from(cluster, cluster_leader(cluster, GROUP));
    const size_t *nodes = cast.nodes;
    if (!demote(cluster, nodes[0], nodes[1]) || !demote(cluster, nodes[0], nodes[2]))
        return false;
    split(cluster, &cast, 3);
    (void)cluster_change(cluster, nodes[0], GROUP, GROUP_CHANGE_ASSIGN, nodes[1],
                         CONSENSUS_ROLE_VOTER);
    (void)cluster_change(cluster, nodes[0], GROUP, GROUP_CHANGE_ASSIGN, nodes[2],
                         CONSENSUS_ROLE_VOTER);
    (void)propose(cluster, nodes[0]);
    cluster_run_for(cluster, ELECTION_MS_MAX);
    return true;
}

/* As group_change_members, which refuses by itself what consensus must refuse too. */
static void remove_member(struct cluster *cluster, size_t leader, size_t node)
{
    struct group *group = cluster->nodes[leader].machines[GROUP].group;
    struct membership membership = *consensus_membership(group->consensus);
    struct error error;
    uint64_t index;
    (void)membership_remove(&membership, node + 1);
    (void)consensus_change(group->consensus, &membership, &index, &error);
    group_after_step(group);
}

/*
 * A change only behind an entry of the own term: a leader of four voters gives a fifth one a vote
 * and is cut off with it. The next leader removes the first before anything of its term is
 * committed, and so commits that with two of three. The first comes back with the fifth and the one
 * that heard nothing of it, as three of five.
 */
static bool early_change(struct cluster *cluster)
{
    struct cast cast = cast_from(cluster, cluster_leader(cluster, GROUP));
    const size_t *nodes = cast.nodes;
    if (!demote(cluster, nodes[0], nodes[1]))
        return false;
    split(cluster, &cast, 2);
    if (!cluster_change(cluster, nodes[0], GROUP, GROUP_CHANGE_ASSIGN, nodes[1],
                        CONSENSUS_ROLE_VOTER))
        return false;
    cluster_run_for(cluster, 50);
    cluster->holds = holds_entries;
    size_t next = await_leader(cluster, nodes[0]);
    cluster->holds = NULL;
    cluster_drop_letters(cluster);
    if (next == SIZE_MAX || next == nodes[1])
        return false;
    size_t silent = nodes[2] == next ? nodes[3] : nodes[2];
    isolate(cluster, silent);
    remove_member(cluster, next, nodes[0]);
    cluster_run_for(cluster, 1000);
    isolate(cluster, next);
    link_nodes(cluster, silent, nodes[0], true);
    link_nodes(cluster, silent, nodes[1], true);
    cluster_run_for(cluster, 2 * ELECTION_MS_MAX);
    return true;
}

/* --- Entries of former terms -------------------------------------------------------------------
 */

enum { LARGE_BYTES = 1200 * 1000 }; /* so that nothing else fits into its message */

static bool holds_own_entries(struct cluster *cluster, size_t from, size_t to,
                              const struct consensus_message *message)
{
    return holds_entries(cluster, from, to, message) && message->append.entry_count > 0 &&
           message->append.entries[0].term == message->term;
}

/* The leader of the nodes [first, first + count) of the cast; SIZE_MAX: none in time. */
static size_t await_leader_of(struct cluster *cluster, const struct cast *cast, size_t first,
                              size_t count)
{
    for (uint64_t waited = 0; waited < 2 * ELECTION_MS_MAX; waited += STEP_MS) {
        for (size_t i = first; i < first + count; i++)
            if (leads(cluster, cast->nodes[i]))
                return cast->nodes[i];
        cluster_run_for(cluster, STEP_MS);
    }
    return SIZE_MAX;
}

/*
 * Figure 3.7 of the dissertation: a leader's entry is on two of five, another leader has one of its
 * own in that place, and the first comes back and brings its old entry to a third. Counting makes
 * that a majority, and the other leader replaces it all the same.
 */
static bool former_entry(struct cluster *cluster)
{
    struct cast cast = cast_from(cluster, cluster_leader(cluster, GROUP));
    const size_t *nodes = cast.nodes;
    split(cluster, &cast, 2);
    if (cluster_propose(cluster, nodes[0], GROUP, LARGE_BYTES) != ERROR_NONE)
        return false;
    cluster_run_for(cluster, 100);
    isolate(cluster, nodes[0]);
    cluster->holds = holds_entries;
    size_t rival = await_leader_of(cluster, &cast, 2, 3);
    if (rival == SIZE_MAX)
        return false;
    cluster_drop_letters(cluster);
    cluster->holds = holds_own_entries;
    size_t third = nodes[2] == rival ? nodes[3] : nodes[2];
    for (size_t i = 2; i < 5; i++)
        isolate(cluster, nodes[i]);
    link_nodes(cluster, nodes[0], nodes[1], true);
    link_nodes(cluster, third, nodes[0], true);
    link_nodes(cluster, third, nodes[1], true);
    cluster_run_for(cluster, 3000); /* until the first knows that it leads nobody */
    size_t again = await_leader_of(cluster, &cast, 0, 2);
    if (again == SIZE_MAX)
        return false;
    cluster_run_for(cluster, 1000);
    isolate(cluster, nodes[0]);
    isolate(cluster, nodes[1]);
    cluster->holds = NULL;
    cluster_drop_letters(cluster);
    for (size_t i = 2; i < 5; i++)
        link_nodes(cluster, rival, nodes[i], nodes[i] != rival);
    cluster_run_for(cluster, ELECTION_MS_MAX);
    return true;
}

/* --- All of them ----------------------------------------------------------------------------- */

static const struct group_script SCRIPTS[] = {
    {"late_answer", 5, late_answer},   {"written_twice", 5, written_twice},
    {"low_term", 3, low_term},         {"own_demotion", 4, own_demotion},
    {"two_changes", 5, two_changes},   {"early_change", 5, early_change},
    {"former_entry", 5, former_entry}, {"forced", 5, group_script_forced},
};

const struct group_script *group_script_find(struct text name)
{
    for (size_t i = 0; i < sizeof SCRIPTS / sizeof *SCRIPTS; i++)
        if (text_equal(name, text_of(SCRIPTS[i].name)))
            return &SCRIPTS[i];
    return NULL;
}
