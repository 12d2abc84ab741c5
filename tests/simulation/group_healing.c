#include <string.h>

#include "group_checker.h"
#include "group_cluster.h"

/* --- The end ------------------------------------------------------------------------------- */

static void check_replica(struct cluster *cluster, size_t number, size_t group_number)
{
    const struct cluster_values *committed = &cluster->committed[group_number];
    const struct cluster_values *values = &cluster->nodes[number].machines[group_number].values;
    if (values->count != committed->count ||
        memcmp(values->items, committed->items, values->count * sizeof *values->items) != 0)
        cluster_fail(cluster, "node %zu has %zu values of %zu at the end", number + 1,
                     values->count, committed->count);
    for (size_t i = 0; i < cluster->acknowledged[group_number].count; i++) {
        struct cluster_value value = cluster->acknowledged[group_number].items[i];
        size_t position = cluster_values_find(values, value.index);
        if (position == values->count || values->items[position].index != value.index ||
            values->items[position].value != value.value)
            cluster_fail(cluster, "acknowledged value %llu at %llu is lost",
                         (unsigned long long)value.value, (unsigned long long)value.index);
    }
}

/* Everything is well from here on; the node `dead` is down, SIZE_MAX: none is. */
static void heal(struct cluster *cluster, size_t dead)
{
    memset(cluster->cut, 0, sizeof cluster->cut);
    cluster->loss_per_thousand = cluster->duplicate_per_thousand = 0;
    cluster->delay_ms_max = 0;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        group_medium_set_delay(cluster->nodes[i].medium, 0);
        if (i == dead && cluster->nodes[i].alive)
            cluster_crash(cluster, i);
        else if (i != dead && !cluster->nodes[i].alive)
            cluster_start(cluster, i);
        for (size_t g = 0; g < cluster->settings.group_count; g++)
            cluster->nodes[i].machines[g].stalled = false;
    }
}

static void expect_leader(struct cluster *cluster, size_t group_number, const char *when)
{
    if (!cluster_await_leader(cluster, group_number, 120000))
        cluster_fail(cluster, "no leader of group %zu after %s for two minutes", group_number + 1,
                     when);
}

/* Whether the living know a membership of the group, and are a majority of each that they know. */
static bool is_led_without(struct cluster *cluster, size_t dead, size_t group_number)
{
    bool is_known = false;
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        struct consensus_member members[CONSENSUS_MEMBERS_MAX];
        if (i == dead)
            continue;
        size_t count = group_members(cluster->nodes[i].machines[group_number].group, members);
        size_t voters = 0, alive = 0;
        for (size_t m = 0; m < count; m++) {
            voters += members[m].role == CONSENSUS_ROLE_VOTER;
            alive += members[m].role == CONSENSUS_ROLE_VOTER && members[m].node_id != dead + 1;
        }
        if (2 * alive <= voters && count > 0)
            return false;
        is_known |= count > 0;
    }
    return is_known;
}

void cluster_check_majority(struct cluster *cluster)
{
    size_t dead = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    heal(cluster, dead);
    cluster_run_for(cluster, 5000); /* what it had sent may still change the members */
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        if (!is_led_without(cluster, dead, g))
            continue;
        cluster->counts.majorities++;
        expect_leader(cluster, g, "all but one node were well");
    }
}

void cluster_heal_and_check(struct cluster *cluster)
{
    heal(cluster, SIZE_MAX);
    for (size_t g = 0; g < cluster->settings.group_count; g++)
        expect_leader(cluster, g, "everything was well");
    cluster_run_for(cluster, 90000); /* an install that was lost is repeated after 30 s */
    for (size_t g = 0; g < cluster->settings.group_count; g++) {
        size_t leader = cluster_leader(cluster, g);
        if (leader == SIZE_MAX || cluster_propose(cluster, leader, g, 16) != ERROR_NONE)
            cluster_fail(cluster, "the leader takes nothing");
        cluster_run_for(cluster, 5000);
        struct consensus_member members[CONSENSUS_MEMBERS_MAX];
        size_t count = group_members(cluster->nodes[leader].machines[g].group, members);
        for (size_t i = 0; i < count; i++)
            if (members[i].role != CONSENSUS_ROLE_SPARE)
                check_replica(cluster, members[i].node_id - 1, g);
    }
    if (cluster->requests_out != 0)
        cluster_fail(cluster, "%llu requests are not answered",
                     (unsigned long long)cluster->requests_out);
}
