#include "group_scenarios.h"

#include <string.h>

/* --- Helpers --------------------------------------------------------------------------------- */

static void set_link(struct cluster *cluster, size_t node, size_t other, bool cut)
{
    cluster->cut[node][other] = cluster->cut[other][node] = cut;
}

/* From all, both ways. */
static void isolate(struct cluster *cluster, size_t node, bool cut)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        if (i != node)
            set_link(cluster, node, i, cut);
}

static size_t some_group(struct cluster *cluster)
{
    return cluster_below(cluster, (uint32_t)cluster->settings.group_count);
}

/* Any node but one; there are others. */
static size_t some_other(struct cluster *cluster, size_t node)
{
    size_t count = cluster->settings.node_count;
    return (node + 1 + cluster_below(cluster, (uint32_t)count - 1)) % count;
}

static void propose_some(struct cluster *cluster, size_t node, size_t group)
{
    for (uint32_t i = 1 + cluster_below(cluster, 3); i > 0; i--)
        (void)cluster_propose(cluster, node, group, 8 + cluster_below(cluster, 40));
}

static void crash_if_alive(struct cluster *cluster, size_t node)
{
    if (cluster->nodes[node].alive)
        cluster_crash(cluster, node);
}

static void start_if_dead(struct cluster *cluster, size_t node)
{
    if (!cluster->nodes[node].alive)
        cluster_start(cluster, node);
}

/* Whoever leads, ready or not; not `former`. SIZE_MAX: nobody within the time. */
static size_t await_other_leader(struct cluster *cluster, size_t group, size_t former,
                                 uint64_t milliseconds)
{
    enum { STEP_MS = 5 };
    for (uint64_t waited = 0; waited < milliseconds; waited += STEP_MS) {
        for (size_t i = 0; i < cluster->settings.node_count; i++) {
            struct group_status status;
            if (i == former || !cluster->nodes[i].alive)
                continue;
            group_status(cluster->nodes[i].machines[group].group, &status);
            if (status.state == GROUP_STATE_LEADER)
                return i;
        }
        cluster_run_for(cluster, STEP_MS);
    }
    return SIZE_MAX;
}

/* --- Duel ------------------------------------------------------------------------------------ */

void scenario_duel(struct cluster *cluster)
{
    size_t group = some_group(cluster);
    size_t former = cluster_leader(cluster, group);
    if (former == SIZE_MAX)
        return;
    cluster->counts.duels++;
    memset(cluster->cut, 0, sizeof cluster->cut);
    isolate(cluster, former, true);
    propose_some(cluster, former, group);
    cluster_run_for(cluster, 3000 + cluster_below(cluster, 4000));

    size_t next = cluster_leader(cluster, group);
    if (next == SIZE_MAX || next == former)
        return;
    size_t third = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    if (cluster_below(cluster, 2) == 0)
        propose_some(cluster, next, group);
    if (third != next)
        set_link(cluster, next, third, true);
    isolate(cluster, former, false);
    /* Writes that end under another leader than the one that asked for them. */
    bool slow = cluster_below(cluster, 3) == 0;
    if (slow)
        group_medium_set_delay(cluster->nodes[former].medium, 1000 + cluster_below(cluster, 4000));
    cluster_run_for(cluster, cluster_below(cluster, 400));
    propose_some(cluster, next, group);
    cluster_run_for(cluster, cluster_below(cluster, 400));

    isolate(cluster, next, true);
    if (cluster_below(cluster, 2) == 0 && cluster->nodes[next].alive)
        cluster_crash(cluster, next);
    if (third != next && third != former)
        set_link(cluster, former, third, false);
    cluster_run_for(cluster, 2000 + cluster_below(cluster, 4000));
    if (slow)
        group_medium_set_delay(cluster->nodes[former].medium, 0);
    start_if_dead(cluster, next);
    isolate(cluster, next, false);
}

/* --- Slow follower --------------------------------------------------------------------------- */

/* `leader` and `friend` on one side, all others on the other. */
static void part_from_others(struct cluster *cluster, size_t leader, size_t friend)
{
    size_t count = cluster->settings.node_count;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            cluster->cut[i][j] = (i == leader || i == friend) != (j == leader || j == friend);
}

void scenario_slow_follower(struct cluster *cluster)
{
    size_t group = some_group(cluster);
    size_t former = cluster_leader(cluster, group);
    if (former == SIZE_MAX)
        return;
    cluster->counts.slow_followers++;
    size_t slow = some_other(cluster, former);
    memset(cluster->cut, 0, sizeof cluster->cut);
    isolate(cluster, former, true);
    set_link(cluster, former, slow, false);
    group_medium_set_delay(cluster->nodes[slow].medium, 3000 + cluster_below(cluster, 9000));
    propose_some(cluster, former, group);
    cluster_run_for(cluster, 300 + cluster_below(cluster, 300)); /* a heartbeat at least */
    isolate(cluster, former, true);
    if (cluster_below(cluster, 4) == 0)
        isolate(cluster, slow, true); /* for now */

    size_t next = await_other_leader(cluster, group, former, 9000);
    size_t friend = next == SIZE_MAX ? 0 : some_other(cluster, next);
    if (next != SIZE_MAX) {
        if (next != slow)
            set_link(cluster, next, slow, false);
        cluster_run_for(cluster, cluster_below(cluster, 60));
        /* It knows its leader, and may hear no more of it. */
        cluster->cut[next][slow] = next != slow && cluster_below(cluster, 2) == 0;
        for (size_t i = 0; i < cluster->settings.node_count; i++)
            if (i != next && i != friend && i != slow)
                set_link(cluster, next, i, true);
        propose_some(cluster, next, group);
        cluster_run_for(cluster, cluster_below(cluster, 6000));
        propose_some(cluster, next, group);
        cluster_run_for(cluster, cluster_below(cluster, 1000));
        part_from_others(cluster, next, friend);
    }
    if (cluster_below(cluster, 2) == 0)
        crash_if_alive(cluster, slow);
    group_medium_set_delay(cluster->nodes[slow].medium, 0);
    start_if_dead(cluster, slow);
    cluster_run_for(cluster, 3000 + cluster_below(cluster, 5000));
    memset(cluster->cut, 0, sizeof cluster->cut);
}

/* --- Rivals ---------------------------------------------------------------------------------- */

void scenario_rivals(struct cluster *cluster)
{
    size_t group = some_group(cluster);
    size_t former = cluster_leader(cluster, group);
    if (former == SIZE_MAX)
        return;
    cluster->counts.rivals++;
    memset(cluster->cut, 0, sizeof cluster->cut);
    isolate(cluster, former, true);
    cluster_run_for(cluster, 700 + cluster_below(cluster, 800));
    if (cluster->nodes[former].alive)
        (void)cluster_transfer(cluster, former, group, some_other(cluster, former));
    size_t next = await_other_leader(cluster, group, former, 6000);
    isolate(cluster, former, false);
    cluster_run_for(cluster, cluster_below(cluster, 400));

    cluster->delay_ms_max = 200 + cluster_below(cluster, 2500);
    cluster->duplicate_per_thousand = cluster_below(cluster, 500);
    if (next != SIZE_MAX) {
        crash_if_alive(cluster, next);
        start_if_dead(cluster, next);
    }
    cluster_run_for(cluster, 4000 + cluster_below(cluster, 8000));
    cluster->delay_ms_max = 0;
    cluster->duplicate_per_thousand = 0;
}
