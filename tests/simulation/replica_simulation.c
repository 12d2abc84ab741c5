/*
 * replica_simulation - one shard on several nodes, from one seed: consensus, journals, shards,
 * heads, parts and blocks, and files that go from node to node.
 *
 *     replica_simulation [--seeds=FIRST-LAST] [--steps=N] [--verbose]
 *
 * Three nodes found a group. Between bursts of writes nodes crash, stop, lag far behind, lose their
 * disks and are replaced by empty ones; links stall and break; disks are full and slow; freezes and
 * merges go on. In the end all faults are over: every replica has every acknowledged sample, the
 * same samples as the others, and the same files to the content checksum.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/state_version.h"
#include "base/text.h"
#include "replica_cluster.h"
#include "simulated_seeds.h"

struct options {
    struct seed_range seeds;
    uint64_t steps;
    bool verbose;
};

/* --- Cluster --------------------------------------------------------------------------------- */

void cluster_fail(struct replica_cluster *cluster, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cluster->failure, sizeof cluster->failure, format, arguments);
    va_end(arguments);
    longjmp(*cluster->on_failure, 1);
}

uint32_t cluster_below(struct replica_cluster *cluster, uint32_t bound)
{
    return random_below(&cluster->random.base, bound);
}

bool cluster_chance(struct replica_cluster *cluster, uint32_t percent)
{
    return cluster_below(cluster, 100) < percent;
}

void cluster_run_for(struct replica_cluster *cluster, uint64_t milliseconds)
{
    simulated_scheduler_run_for(&cluster->world->scheduler, milliseconds * 1000000);
}

struct cluster_node *cluster_leader(struct replica_cluster *cluster)
{
    struct cluster_node *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        struct group_status status;
        if (!node->alive || node->failed || !replica_is_ready(node->replica))
            continue;
        replica_group_status(node->replica, &status);
        if (status.term > term) {
            leader = node;
            term = status.term;
        }
    }
    return leader;
}

struct cluster_node *cluster_await_leader(struct replica_cluster *cluster, uint64_t milliseconds)
{
    for (uint64_t waited = 0; waited < milliseconds && cluster_leader(cluster) == NULL;
         waited += 20)
        cluster_run_for(cluster, 20);
    return cluster_leader(cluster);
}

/* --- Members --------------------------------------------------------------------------------- */

struct change_request {
    struct group_request base;
    struct replica_cluster *cluster;
};

static void change_done(struct group_request *base, enum group_outcome outcome)
{
    struct change_request *request = (struct change_request *)base;
    (void)outcome; /* the members tell, and what is missing is asked for again */
    request->cluster->requests_in_flight--;
    free(request);
}

static bool change(struct cluster_node *leader, enum group_change_kind kind, size_t number,
                   enum consensus_role role)
{
    char address[16];
    snprintf(address, sizeof address, "node-%zu", number + 1);
    struct group_change wanted = {
        .kind = kind, .node_id = number + 1, .role = role, .address = address};
    struct change_request *request = calloc(1, sizeof *request);
    struct error error;
    assert(request != NULL);
    request->base.done = change_done;
    request->cluster = leader->cluster;
    if (replica_change_members(leader->replica, &request->base, &wanted, &error) != ERROR_NONE) {
        free(request);
        return false;
    }
    leader->cluster->requests_in_flight++;
    return true;
}

/* One step to where every existing node is a voter and no other is a member. */
static void improve_members(struct replica_cluster *cluster)
{
    struct cluster_node *leader = cluster_leader(cluster);
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    bool is_member[REPLICA_NODES_MAX] = {false};
    if (leader == NULL)
        return;
    size_t count = replica_members(leader->replica, members);
    for (size_t i = 0; i < count; i++) {
        size_t number = (size_t)members[i].node_id - 1;
        is_member[number] = true;
        if (!cluster->nodes[number].exists) {
            cluster->counts.removed += change(leader, GROUP_CHANGE_REMOVE, number, 0);
            return;
        }
        if (members[i].role == CONSENSUS_ROLE_SPARE &&
            change(leader, GROUP_CHANGE_ASSIGN, number, CONSENSUS_ROLE_STANDBY))
            return;
        if (members[i].role == CONSENSUS_ROLE_STANDBY &&
            change(leader, GROUP_CHANGE_ASSIGN, number, CONSENSUS_ROLE_VOTER)) {
            cluster->counts.joined++;
            return;
        }
    }
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].exists && !is_member[i] && change(leader, GROUP_CHANGE_ADD, i, 0))
            return;
}

/* The disk is lost; a node with an empty one comes in its place. Only one at a time. */
static void wipe(struct replica_cluster *cluster, struct cluster_node *node)
{
    struct cluster_node *leader = cluster_leader(cluster);
    if (leader == NULL || leader == node || cluster->files_rot ||
        cluster->node_count == REPLICA_NODES_MAX)
        return;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    size_t count = replica_members(leader->replica, members), voters = 0;
    for (size_t i = 0; i < count; i++) {
        struct cluster_node *member = &cluster->nodes[members[i].node_id - 1];
        if (members[i].role != CONSENSUS_ROLE_VOTER || !member->exists || !member->alive)
            return;
        voters++;
    }
    if (voters < REPLICA_FOUNDERS)
        return;
    if (node->alive)
        cluster_node_crash(node);
    simulated_disk_restart(&node->disk);
    simulated_disk_clear(&node->disk);
    node->exists = false;
    cluster->counts.wiped++;
    cluster_node_init(cluster, cluster->node_count);
    cluster_node_start(&cluster->nodes[cluster->node_count - 1]);
}

/* --- Steps ----------------------------------------------------------------------------------- */

static struct cluster_node *choose(struct replica_cluster *cluster)
{
    struct cluster_node *node =
        &cluster->nodes[cluster_below(cluster, (uint32_t)cluster->node_count)];
    return node->exists ? node : NULL;
}

static void write_burst(struct replica_cluster *cluster)
{
    struct cluster_node *leader = cluster_leader(cluster);
    if (leader == NULL)
        leader = choose(cluster); /* refuses them */
    uint32_t count = 1 + cluster_below(cluster, cluster_chance(cluster, 20) ? 60 : 8);
    for (uint32_t i = 0; leader != NULL && leader->alive && i < count; i++)
        cluster_write(cluster, leader);
}

static void stall_or_mend(struct replica_cluster *cluster)
{
    size_t one = cluster_below(cluster, (uint32_t)cluster->node_count);
    size_t other = cluster_below(cluster, (uint32_t)cluster->node_count);
    switch (cluster_below(cluster, 4)) {
    case 0:
        simulated_network_stall(&cluster->network, one, other, true);
        break;
    case 1:
        simulated_network_cut(&cluster->network, one, other);
        cluster->counts.cuts++;
        break;
    default:
        for (size_t i = 0; i < cluster->node_count; i++)
            for (size_t k = 0; k < cluster->node_count; k++)
                simulated_network_stall(&cluster->network, i, k, false);
        break;
    }
}

struct free_flush {
    struct shard_flush base;
    struct replica_cluster *cluster;
};

static void free_flush_done(struct shard_flush *base, const struct error *error)
{
    struct free_flush *flush = (struct free_flush *)base;
    flush->cluster->counts.flushes += error->code == ERROR_NONE;
    free(flush);
}

static void flush_leader(struct replica_cluster *cluster)
{
    struct cluster_node *leader = cluster_leader(cluster);
    struct free_flush *flush = leader == NULL ? NULL : calloc(1, sizeof *flush);
    if (flush == NULL)
        return;
    *flush = (struct free_flush){.base = {.done = free_flush_done}, .cluster = cluster};
    replica_flush(leader->replica, &flush->base);
}

static void crash_or_start(struct replica_cluster *cluster)
{
    struct cluster_node *node = choose(cluster);
    if (node == NULL)
        return;
    if (!node->alive) {
        cluster_node_start(node);
    } else if (cluster_chance(cluster, 30)) {
        cluster->counts.stops++;
        cluster_node_stop(node);
    } else if (cluster_chance(cluster, 50)) {
        cluster->counts.crashes++;
        cluster_node_crash(node);
    } else {
        /* Soon, in the middle of something. */
        node->disk.settings.crash =
            cluster_chance(cluster, 25) ? SIMULATED_KILL : SIMULATED_POWER_FAILURE;
        node->disk.settings.crash_at_sync = cluster_chance(cluster, 50);
        node->disk.settings.crash_at_operation =
            node->disk.operations + 1 + cluster_below(cluster, 200);
    }
}

static void trouble_disk(struct replica_cluster *cluster)
{
    struct cluster_node *node = choose(cluster);
    if (node == NULL)
        return;
    struct simulated_disk_settings *settings = &node->disk.settings;
    if (cluster_chance(cluster, 50)) {
        settings->capacity_bytes = UINT64_MAX;
        settings->slow_per_thousand = 0;
    } else if (cluster_chance(cluster, 50)) {
        settings->slow_per_thousand = 20;
    } else {
        settings->capacity_bytes = simulated_disk_used_bytes(&node->disk) + 200000;
        cluster->counts.full_disks++;
    }
}

/* One bit of a part or block. Only of one node, and in seeds in which no disk is lost, so that
 * others have what it loses. */
static void rot(struct replica_cluster *cluster)
{
    struct cluster_node *node = &cluster->nodes[cluster->rotting];
    uint64_t size;
    if (!cluster->files_rot || node->disk.crashed)
        return;
    const char *path = simulated_disk_choose(
        &node->disk, cluster_chance(cluster, 50) ? "shards/0000/parts/" : "shards/0000/blocks/",
        &size);
    if (path == NULL || size == 0)
        return;
    simulated_disk_flip(&node->disk, path, simulated_disk_choose_bit(&node->disk, path));
    cluster->counts.rotten++;
}

struct free_scrub {
    struct shard_scrub base;
    struct replica_cluster *cluster;
};

static void free_scrub_done(struct shard_scrub *base, const struct error *error)
{
    struct free_scrub *scrub = (struct free_scrub *)base;
    scrub->cluster->counts.scrubbed += error->code == ERROR_NONE;
    scrub->cluster->counts.damaged += base->damaged;
    scrub->cluster->scrubbing = false;
    free(scrub);
}

void cluster_scrub(struct cluster_node *node)
{
    struct free_scrub *scrub = calloc(1, sizeof *scrub);
    assert(scrub != NULL);
    if (node->cluster->scrubbing || !node->alive || node->failed) {
        free(scrub);
        return;
    }
    *scrub = (struct free_scrub){.base = {.done = free_scrub_done}, .cluster = node->cluster};
    node->cluster->scrubbing = true;
    shard_scrub(replica_shard(node->replica), &scrub->base);
}

static void end_broken_nodes(struct replica_cluster *cluster)
{
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].alive &&
            (cluster->nodes[i].failed || cluster->nodes[i].disk.crashed)) {
            cluster->counts.crashes_in_operation++;
            cluster_node_crash(&cluster->nodes[i]);
        }
}

/* To what all nodes know; those that come later want it too. */
static void raise_version(struct replica_cluster *cluster)
{
    uint32_t most = cluster->is_mixed ? STATE_VERSION_MAX : STATE_VERSION_REHEARSAL;
    if (cluster->version_wanted == most)
        return;
    cluster->version_wanted++;
    cluster->counts.raised++;
}

static void want_version(struct replica_cluster *cluster)
{
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].alive)
            shard_want_version(replica_shard(cluster->nodes[i].replica), cluster->version_wanted);
}

static void step(struct replica_cluster *cluster)
{
    struct cluster_node *node;
    uint32_t dice = cluster_below(cluster, 100);
    if (dice < 55)
        write_burst(cluster);
    else if (dice < 70)
        crash_or_start(cluster);
    else if (dice < 78)
        stall_or_mend(cluster);
    else if (dice < 83)
        flush_leader(cluster);
    else if (dice < 85 && (node = cluster_leader(cluster)) != NULL)
        shard_freeze(replica_shard(node->replica));
    else if (dice < 88)
        trouble_disk(cluster);
    else if (dice < 91 && (node = choose(cluster)) != NULL)
        wipe(cluster, node);
    else if (dice < 93)
        rot(cluster);
    else if (dice < 94)
        cluster_scrub(&cluster->nodes[cluster->rotting]);
    else if (dice < 96)
        cluster->world->clock.wall_offset_ms += cluster_below(cluster, 2 * 3600 * 1000);
    else if (dice < 98)
        raise_version(cluster);
    want_version(cluster);
    improve_members(cluster);
    cluster_run_for(cluster, cluster_below(cluster, cluster_chance(cluster, 10) ? 20000 : 1500));
    end_broken_nodes(cluster);
}

/* --- Seeds ----------------------------------------------------------------------------------- */

static struct replica_cluster *cluster_create(uint64_t seed)
{
    struct replica_cluster *cluster = calloc(1, sizeof *cluster);
    assert(cluster != NULL);
    cluster->seed = seed;
    cluster->world = simulated_environment_create(seed);
    cluster->faulty_files = true;
    cluster->files_rot = seed % 4 < 2;
    cluster->rotting = seed % REPLICA_FOUNDERS;
    cluster->real_transfer = seed % 2 == 1;
    cluster->version_wanted = STATE_VERSION_FIRST;
    cluster->is_mixed = seed % 5 < 2;
    random_generator_init(&cluster->random, seed * 9 + 4);
    simulated_network_init(&cluster->network, &cluster->world->scheduler, seed + 1);
    for (size_t i = 0; i < REPLICA_FOUNDERS; i++)
        cluster_node_init(cluster, i);
    return cluster;
}

static void cluster_destroy(struct replica_cluster *cluster)
{
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].alive)
            cluster_node_stop(&cluster->nodes[i]);
    while (simulated_scheduler_step(&cluster->world->scheduler))
        ;
    assert(cluster->writes_in_flight == 0 && cluster->requests_in_flight == 0);
    for (size_t i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].exists)
            simulated_disk_clear(&cluster->nodes[i].disk);
    for (size_t i = 0; i < REPLICA_SERIES; i++)
        offered_clear(&cluster->series[i]);
    simulated_network_clear(&cluster->network);
    simulated_environment_destroy(cluster->world);
    free(cluster);
}

static void print_status(struct replica_cluster *cluster)
{
    for (size_t i = 0; i < cluster->node_count; i++) {
        struct cluster_node *node = &cluster->nodes[i];
        struct group_status status = {0};
        struct shard_statistics shard = {0};
        struct shard_install_progress progress = {0};
        if (node->replica != NULL) {
            replica_group_status(node->replica, &status);
            shard_read_statistics(replica_shard(node->replica), &shard);
            shard_read_install_progress(replica_shard(node->replica), &progress);
        }
        printf(
            "  node %zu%s%s: state %d%s%s%s term %llu commit %llu last %llu stored %llu delivered "
            "%llu snapshot %llu frozen %llu; shard applied %llu frozen heads %llu unfrozen %llu "
            "merges %llu+%llu damaged %llu; install %d files %llu/%llu\n",
            i + 1, node->exists ? "" : " gone", node->alive ? "" : " down", status.state,
            status.ready ? " ready" : "", status.replaying ? " replaying" : "",
            status.installing ? " installing" : "", (unsigned long long)status.term,
            (unsigned long long)status.commit_index, (unsigned long long)status.last_index,
            (unsigned long long)status.stored_index, (unsigned long long)status.delivered_index,
            (unsigned long long)status.snapshot_index, (unsigned long long)status.frozen_index,
            (unsigned long long)shard.applied_index, (unsigned long long)shard.frozen_head_count,
            (unsigned long long)shard.unfrozen_log_bytes, (unsigned long long)shard.merges_running,
            (unsigned long long)shard.merges_waiting, (unsigned long long)shard.damaged_files,
            progress.is_installing, (unsigned long long)progress.files_done,
            (unsigned long long)progress.files_total);
    }
}

static const char *const COUNT_NAMES[] = {
    "writes",
    "refused",
    "acknowledged_samples",
    "crashes",
    "stops",
    "crashes_in_operation",
    "wiped",
    "joined",
    "removed",
    "freezes",
    "flushes",
    "merges",
    "cuts",
    "full_disks",
    "prepared",
    "installs",
    "files_fetched",
    "files_rejected",
    "files_failed",
    "fetches_cancelled",
    "read_back",
    "checks",
    "rotten",
    "scrubbed",
    "damaged",
    "repaired",
    "ranges_served",
    "ranges_refused",
    "ranges_failed",
    "files_resumed",
    "throttled_ms",
    "raised",
    "adopted",
};
enum { COUNTS = sizeof COUNT_NAMES / sizeof COUNT_NAMES[0] };
_Static_assert(COUNTS == sizeof(struct replica_counts) / sizeof(uint64_t), "each has a name");

/* False when a check failed; what the run held is then not released. */
static bool run_seed(uint64_t seed, const struct options *options, struct replica_counts *sum)
{
    seed_begin(seed);
    jmp_buf failed;
    struct replica_cluster *volatile cluster = cluster_create(seed);
    cluster->on_failure = &failed;
    if (setjmp(failed) != 0) {
        printf("FAILED: seed %llu: %s\n", (unsigned long long)seed, cluster->failure);
        print_status(cluster);
        return false;
    }
    for (size_t i = 0; i < REPLICA_FOUNDERS; i++)
        cluster_node_start(&cluster->nodes[i]);
    for (uint64_t i = 0; i < options->steps; i++)
        step(cluster);
    cluster_heal_and_check(cluster);
    if (seed % 5 == 0)
        cluster_stick(cluster);
    seed_counts_add(sum, &cluster->counts, COUNTS);
    cluster_destroy(cluster);
    return true;
}

static bool read_option(struct options *options, struct text argument)
{
    struct text name, value;
    if (!text_split(argument, '=', &name, &value))
        return text_equal(argument, TEXT("--verbose")) && (options->verbose = true);
    if (text_equal(name, TEXT("--steps")))
        return text_to_uint64(value, &options->steps);
    return text_equal(name, TEXT("--seeds")) && seed_range_read(value, &options->seeds);
}

int main(int count, char **arguments)
{
    enum { SEEDS_FOR_ALL = 100 };
    struct options options = {.seeds = {1, 200}, .steps = 150};
    for (int i = 1; i < count; i++) {
        if (!read_option(&options, text_of(arguments[i]))) {
            fprintf(stderr, "unknown option %s\n", arguments[i]);
            return 1;
        }
    }
    if (!options.verbose)
        log_set_level(LOG_NOTHING);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct replica_counts sum = {0};
    uint64_t failures = 0, seeds = options.seeds.last - options.seeds.first + 1;
    for (uint64_t seed = options.seeds.first; seed <= options.seeds.last; seed++)
        failures += !run_seed(seed, &options, &sum);
    bool full = seed_counts_print(&sum, COUNT_NAMES, COUNTS);
    printf("%llu of %llu seeds failed\n", (unsigned long long)failures, (unsigned long long)seeds);
    return failures > 0 || (seeds >= SEEDS_FOR_ALL && !full);
}
