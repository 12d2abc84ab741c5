/*
 * group_simulation - consensus under crashes and a bad network, one run a seed.
 *
 *     group_simulation [--seeds=FIRST-LAST] [--nodes=N] [--steps=N] [--until-failure]
 *                      [--without-rule=N] [--lying] [--only-duels] [--script=NAME]
 *
 * Three founders or one (of up to five nodes), one to three groups. Each step is a fault, a repair
 * or a burst of proposals, then some virtual time. At the end everything is healed and every
 * replica must have the same entries, with all that was acknowledged among them.
 *
 * --script runs one of group_scripts.h instead of the steps.
 *
 * --without-rule (again for another one) leaves out a rule of
 * enum consensus_rule, --lying makes the log answer before it is durable; both
 * must fail, and the exit code then is 2.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "group_cluster.h"
#include "group_machine.h"
#include "group_scenarios.h"
#include "group_scripts.h"
#include "simulated_seeds.h"

struct options {
    struct seed_range seeds;
    uint64_t nodes; /* 0: 1 to 5, by seed */
    uint64_t steps;
    uint32_t without_rules; /* a bit each */
    bool lying;
    bool until_failure;
    bool over_transport;                       /* in place of letters */
    bool no_members, no_snapshots, no_crashes; /* to narrow a failure down */
    bool only_duels; /* of the scenarios: as the seeds were run that once failed */
    const struct group_script *script; /* NULL: steps */
};

/* --- Steps --------------------------------------------------------------------------------- */

static void propose_somewhere(struct cluster *cluster)
{
    for (size_t node = 0; node < cluster->settings.node_count; node++) {
        if (!cluster->nodes[node].alive)
            continue;
        for (size_t group = 0; group < cluster->settings.group_count; group++) {
            uint32_t count = cluster_below(cluster, 4);
            for (uint32_t i = 0; i < count; i++)
                (void)cluster_propose(cluster, node, group, 8 + cluster_below(cluster, 200));
        }
    }
}

static void cut_or_mend(struct cluster *cluster)
{
    size_t count = cluster->settings.node_count;
    size_t node = cluster_below(cluster, (uint32_t)count),
           other = cluster_below(cluster, (uint32_t)count);
    switch (cluster_below(cluster, 5)) {
    case 0: /* one way */
        cluster->cut[node][other] = node != other;
        break;
    case 1: /* one node, both ways */
        for (size_t i = 0; i < count; i++)
            cluster->cut[node][i] = cluster->cut[i][node] = i != node;
        break;
    case 2: /* two halves */
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < count; j++)
                cluster->cut[i][j] = (i < count / 2) != (j < count / 2);
        break;
    case 3:
        for (size_t i = 0; i < count; i++)
            cluster->cut[node][i] = cluster->cut[i][node] = false;
        break;
    default:
        memset(cluster->cut, 0, sizeof cluster->cut);
        break;
    }
}

static void change_network(struct cluster *cluster)
{
    static const uint32_t losses[] = {0, 0, 0, 20, 200};
    static const uint32_t duplicates[] = {0, 0, 20, 100};
    static const uint64_t delays[] = {0, 0, 20, 300, 2000};
    cluster->loss_per_thousand = losses[cluster_below(cluster, 5)];
    cluster->duplicate_per_thousand = duplicates[cluster_below(cluster, 4)];
    cluster->delay_ms_max = delays[cluster_below(cluster, 5)];
}

static void change_disk(struct cluster *cluster)
{
    static const uint64_t delays[] = {0, 0, 5, 60, 1500};
    group_medium_set_delay(
        cluster->nodes[cluster_below(cluster, (uint32_t)cluster->settings.node_count)].medium,
        delays[cluster_below(cluster, 5)]);
}

static void crash_or_start(struct cluster *cluster)
{
    size_t node = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    if (!cluster->nodes[node].alive)
        cluster_start(cluster, node);
    else if (cluster_below(cluster, 8) == 0)
        cluster_stop(cluster, node);
    else
        cluster_crash(cluster, node);
    /* Most crashes are short. */
    if (!cluster->nodes[node].alive && cluster_below(cluster, 3) != 0)
        cluster_start(cluster, node);
}

static void freeze_somewhere(struct cluster *cluster)
{
    size_t node = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    size_t group = cluster_below(cluster, (uint32_t)cluster->settings.group_count);
    if (cluster->nodes[node].alive)
        cluster_freeze(cluster, node, group);
}

static void stall_somewhere(struct cluster *cluster)
{
    size_t node = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    size_t group = cluster_below(cluster, (uint32_t)cluster->settings.group_count);
    cluster->nodes[node].machines[group].stalled = cluster_below(cluster, 3) == 0;
}

/* The state of whom leads, for one that has not applied so much. Not chosen by the generator: runs
 * without are to be what they were. */
static void adopt_somewhere(struct cluster *cluster, const struct options *options)
{
    size_t node = cluster->counts.messages % cluster->settings.node_count;
    size_t group = cluster->counts.proposals % cluster->settings.group_count;
    size_t leader = cluster_leader(cluster, group);
    bool is_plain = options->without_rules == 0 && !options->lying && !options->only_duels;
    if (is_plain && leader != SIZE_MAX)
        (void)cluster_adopt(cluster, node, leader, group); /* it is not always possible */
}

/* Voters must not fall below two, or one crash too many would be ours. */
static void change_members(struct cluster *cluster)
{
    size_t group = cluster_below(cluster, (uint32_t)cluster->settings.group_count);
    size_t leader = cluster_leader(cluster, group);
    size_t member = cluster_below(cluster, (uint32_t)cluster->settings.node_count);
    if (leader == SIZE_MAX)
        return;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    size_t count = group_members(cluster->nodes[leader].machines[group].group, members), voters = 0;
    const struct consensus_member *found = NULL;
    for (size_t i = 0; i < count; i++) {
        voters += members[i].role == CONSENSUS_ROLE_VOTER;
        if (members[i].node_id == member + 1)
            found = &members[i];
    }
    bool may_lose = found == NULL || found->role != CONSENSUS_ROLE_VOTER || voters > 2;
    if (found == NULL)
        (void)cluster_change(cluster, leader, group, GROUP_CHANGE_ADD, member,
                             CONSENSUS_ROLE_SPARE);
    else if (found->role == CONSENSUS_ROLE_SPARE && cluster_below(cluster, 4) == 0)
        (void)cluster_change(cluster, leader, group, GROUP_CHANGE_REMOVE, member,
                             CONSENSUS_ROLE_SPARE);
    else if (may_lose && cluster_below(cluster, 3) == 0)
        (void)cluster_change(cluster, leader, group, GROUP_CHANGE_ASSIGN, member,
                             cluster_below(cluster, 2) ? CONSENSUS_ROLE_STANDBY
                                                       : CONSENSUS_ROLE_SPARE);
    else if (cluster_below(cluster, 2) == 0)
        (void)cluster_change(cluster, leader, group, GROUP_CHANGE_ASSIGN, member,
                             CONSENSUS_ROLE_VOTER);
    else
        (void)cluster_transfer(cluster, leader, group, member);
}

static void step(struct cluster *cluster, const struct options *options)
{
    uint32_t choice = cluster_below(cluster, 100);
    if (choice < 50)
        propose_somewhere(cluster);
    else if (choice < 60)
        cut_or_mend(cluster);
    else if (choice < 64)
        change_network(cluster);
    else if (choice < 68)
        change_disk(cluster);
    else if (choice < 74 && !options->no_crashes)
        crash_or_start(cluster);
    else if (choice < 80 && !options->no_snapshots)
        freeze_somewhere(cluster);
    else if (choice < 83)
        stall_somewhere(cluster);
    else if (choice < 90 && !options->no_members)
        change_members(cluster);
    else if (choice < 92 && cluster->settings.node_count > 2)
        scenario_duel(cluster);
    else if (choice < 93 && cluster->settings.node_count > 2 && !options->only_duels)
        scenario_slow_follower(cluster);
    else if (choice < 94 && cluster->settings.node_count > 2 && !options->only_duels)
        scenario_rivals(cluster);
    adopt_somewhere(cluster, options);
    /* Mostly moments, now and then long enough for elections. */
    cluster_run_for(cluster, cluster_below(cluster, 6) == 0 ? cluster_below(cluster, 4000)
                                                            : cluster_below(cluster, 100));
}

/* --- Runs ---------------------------------------------------------------------------------- */

static void print_status(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->settings.node_count; i++) {
        for (size_t g = 0; cluster->nodes[i].alive && g < cluster->settings.group_count; g++) {
            struct cluster_machine *machine = &cluster->nodes[i].machines[g];
            struct group_status status;
            if (machine->group == NULL)
                continue;
            group_status(machine->group, &status);
            printf(
                "  node %zu group %zu: state %d%s term %llu leader %llu commit %llu last %llu "
                "stored %llu delivered %llu applied %llu snapshot %llu frozen %llu\n",
                i + 1, g + 1, status.state, status.ready ? " ready" : "",
                (unsigned long long)status.term, (unsigned long long)status.leader_id,
                (unsigned long long)status.commit_index, (unsigned long long)status.last_index,
                (unsigned long long)status.stored_index, (unsigned long long)status.delivered_index,
                (unsigned long long)machine->applied_index,
                (unsigned long long)status.snapshot_index, (unsigned long long)status.frozen_index);
            struct consensus_member members[CONSENSUS_MEMBERS_MAX];
            size_t count = group_members(machine->group, members);
            for (size_t m = 0; m < count; m++)
                printf(" %llu%c", (unsigned long long)members[m].node_id, "sv-"[members[m].role]);
            printf("\n");
        }
    }
}

static void run_script(struct cluster *cluster, const struct group_script *script)
{
    if (!cluster_await_leader(cluster, 0, 60000))
        cluster_fail(cluster, "no leader to begin with");
    cluster_run_for(cluster, 1000);
    cluster->counts.scripts += script->run(cluster);
    cluster->holds = NULL;
    cluster_drop_letters(cluster);
    /* A write may still be under way that began on a slow disk. */
    for (size_t i = 0; i < cluster->settings.node_count; i++)
        group_medium_set_delay(cluster->nodes[i].medium, 0);
    cluster_run_for(cluster, 100000);
}

static struct cluster_settings choose_settings(uint64_t seed, const struct options *options)
{
    struct cluster_settings settings = {
        .seed = seed,
        .medium_mode = options->lying ? MEDIUM_LYING : MEDIUM_DURABLE,
        .disabled_rules = options->without_rules,
        .over_transport = options->over_transport,
        .slow_to_prepare = !options->only_duels && options->script == NULL,
    };
    if (options->script != NULL) {
        settings.node_count = settings.founder_count = options->script->founders;
        settings.group_count = 1;
        return settings;
    }
    settings.node_count = options->nodes != 0 ? options->nodes : 1 + seed % 5;
    settings.group_count = 1 + seed % 7 % 3;
    settings.snapshot_log_bytes = options->no_snapshots ? 0 : 3000 + seed % 5 * 2000;
    /* Now and then one voter alone founds, and others join without a vote (rule 14). */
    settings.founder_count = seed % 8 == 7 ? 1 : settings.node_count < 3 ? settings.node_count : 3;
    return settings;
}

/* False when the checker found a contradiction; what the run held is then not released. */
static bool run_seed(uint64_t seed, const struct options *options, struct cluster_counts *sum)
{
    seed_begin(seed);
    struct cluster_settings settings = choose_settings(seed, options);
    jmp_buf failed;
    struct cluster *volatile cluster = cluster_create(&settings);
    cluster->on_failure = &failed;
    if (setjmp(failed) != 0) {
        printf("seed %llu: %s\n", (unsigned long long)seed, cluster->failure);
        print_status(cluster);
        return false;
    }
    for (size_t i = 0; i < settings.node_count; i++)
        cluster_start(cluster, i);
    if (options->script != NULL)
        run_script(cluster, options->script);
    for (uint64_t i = 0; i < options->steps && options->script == NULL; i++)
        step(cluster, options);
    if (!options->only_duels)
        cluster_check_majority(cluster);
    cluster_heal_and_check(cluster);
    for (size_t i = 0; i < settings.node_count; i++)
        cluster_stop(cluster, i);
    seed_counts_add(sum, &cluster->counts, sizeof *sum / sizeof(uint64_t));
    cluster_destroy(cluster);
    return true;
}

/* As one array, so that none is forgotten. */
enum { COUNTS = sizeof(struct cluster_counts) / sizeof(uint64_t) };

static const char *const COUNT_NAMES[COUNTS] = {
    "proposals",  "acknowledged",   "unknown",   "crashes",  "messages",       "lost",
    "duplicated", "delayed",        "snapshots", "installs", "replayed",       "read_back",
    "elections",  "member_changes", "transfers", "duels",    "slow_followers", "rivals",
    "majorities", "scripts",        "cuts",      "prepared", "superseded",     "unprepared",
    "cancelled",  "frozen_exports", "adopted",
};

/* Over many seeds of all sizes every kind of thing must have happened. */
static bool counts_are_full(const struct cluster_counts *counts)
{
    const uint64_t *values = (const uint64_t *)counts;
    bool full = true;
    for (size_t i = 0; i < COUNTS; i++) {
        if (values[i] != 0 || &values[i] == &counts->scripts || &values[i] == &counts->cuts)
            continue;
        printf("never happened: %s\n", COUNT_NAMES[i]);
        full = false;
    }
    return full;
}

static bool is_default_run(const struct options *options)
{
    enum { SEEDS_FOR_ALL = 100 };
    return options->seeds.last - options->seeds.first + 1 >= SEEDS_FOR_ALL && options->nodes == 0 &&
           options->without_rules == 0 && !options->lying && !options->only_duels &&
           !options->over_transport && options->script == NULL && !options->no_members &&
           !options->no_snapshots && !options->no_crashes;
}

static bool read_option(struct options *options, struct text argument)
{
    struct text name, value;
    if (!text_split(argument, '=', &name, &value))
        value = TEXT("");
    if (text_equal(name, TEXT("--seeds")))
        return seed_range_read(value, &options->seeds);
    if (text_equal(name, TEXT("--nodes")))
        return text_to_uint64(value, &options->nodes) && options->nodes <= CLUSTER_NODES_MAX;
    if (text_equal(name, TEXT("--script")))
        return (options->script = group_script_find(value)) != NULL;
    if (text_equal(name, TEXT("--steps")))
        return text_to_uint64(value, &options->steps);
    if (text_equal(name, TEXT("--without-rule"))) {
        uint64_t rule;
        if (!text_to_uint64(value, &rule) || rule >= 32)
            return false;
        options->without_rules |= UINT32_C(1) << rule;
        return true;
    }
    if (text_equal(name, TEXT("--lying")))
        return options->lying = true;
    if (text_equal(name, TEXT("--until-failure")))
        return options->until_failure = true;
    if (text_equal(name, TEXT("--over-transport")))
        return options->over_transport = true;
    if (text_equal(name, TEXT("--only-duels")))
        return options->only_duels = true;
    if (text_equal(name, TEXT("--no-members")))
        return options->no_members = true;
    if (text_equal(name, TEXT("--no-snapshots")))
        return options->no_snapshots = true;
    if (text_equal(name, TEXT("--no-crashes")))
        return options->no_crashes = true;
    return false;
}

/* Without a rule consensus may well end the process: that was noticed too. */
static void on_crash(int signal)
{
    static const char MESSAGE[] = "seed: consensus crashed\n";
    (void)signal;
    (void)!write(STDOUT_FILENO, MESSAGE, sizeof MESSAGE - 1);
    _exit(2);
}

int main(int count, char **arguments)
{
    struct options options = {.seeds = {1, 300}, .steps = 300};
    for (int i = 1; i < count; i++) {
        if (!read_option(&options, text_of(arguments[i]))) {
            fprintf(stderr, "unknown option %s\n", arguments[i]);
            return 1;
        }
    }
    if (options.without_rules != 0) {
        signal(SIGSEGV, on_crash);
        signal(SIGABRT, on_crash);
    }
    log_set_level(LOG_ERROR);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct cluster_counts sum = {0};
    uint64_t failures = 0;
    for (uint64_t seed = options.seeds.first;
         seed <= options.seeds.last && !(options.until_failure && failures > 0); seed++)
        failures += !run_seed(seed, &options, &sum);
    (void)seed_counts_print(&sum, COUNT_NAMES, COUNTS); /* see counts_are_full */
    printf("%llu of %llu seeds failed\n", (unsigned long long)failures,
           (unsigned long long)(options.seeds.last - options.seeds.first + 1));
    if (options.script != NULL && failures == 0 && sum.scripts == 0) {
        printf("never happened: %s\n", options.script->name);
        return 1;
    }
    if (is_default_run(&options) && !counts_are_full(&sum))
        return 1;
    return failures == 0 ? 0 : 2;
}
