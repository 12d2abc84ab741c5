/*
 * cluster_simulation - whole clusters, from one seed each.
 *
 *     cluster_simulation [--seeds=FIRST-LAST] [--nodes=N] [--shards=S] [--writes=N]
 *                        [--without-rule=N] [--until-failure] [--verbose]
 *
 * Nodes form a cluster. Between bursts of writes through any of them they crash, stop, stand apart,
 * lose their disks, join, are drained and removed; links are slow or broken, messages are lost,
 * late and doubled, disks full and slow, clocks wrong; leaders are handed over, files frozen and
 * merged. Everybody may read meanwhile what it may. In the end all faults are over, and every
 * replica has every acknowledged sample, the same samples as the others and the same files.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/text.h"
#include "cluster_world.h"

/* --- World ----------------------------------------------------------------------------------- */

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof world->failure, format, arguments);
    va_end(arguments);
    longjmp(*world->on_failure, 1);
}

uint32_t world_below(struct world *world, uint32_t bound)
{
    return random_below(&world->random.base, bound);
}

bool world_chance(struct world *world, uint32_t percent)
{
    return world_below(world, 100) < percent;
}

uint64_t world_now_ms(const struct world *world)
{
    return world->base->clock.now_ns / 1000000;
}

static void end_failed_nodes(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (!node->is_alive || !(node->failed || node->disk.crashed))
            continue;
        world->counts.crashes_in_operation += node->disk.crashed;
        node_crash(node);
    }
}

/* Whoever the cluster does not have any more ends; it comes back with an empty disk. */
static void end_dismissed_nodes(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        if (node->is_alive && node->is_dismissed && node != world->change.node)
            world_fail(world, "%s was dismissed, and nobody wanted it", node->name);
    }
}

void world_run_ms(struct world *world, uint64_t duration_ms)
{
    enum { PIECE_MS = 40 };
    uint64_t end_ms = world_now_ms(world) + duration_ms;
    do {
        uint64_t now_ms = world_now_ms(world);
        uint64_t piece_ms = end_ms - now_ms < PIECE_MS ? end_ms - now_ms : PIECE_MS;
        simulated_scheduler_run_for(&world->base->scheduler, piece_ms * 1000000);
        end_failed_nodes(world);
        end_dismissed_nodes(world);
        world_look_at_groups(world);
        world_look_at_readiness(world);
        world_look_at_lacking(world);
    } while (world_now_ms(world) < end_ms);
}

bool world_await(struct world *world, world_condition *condition, uint64_t milliseconds)
{
    uint64_t until_ms = world_now_ms(world) + milliseconds;
    while (!condition(world)) {
        if (world_now_ms(world) >= until_ms)
            return false;
        world_run_ms(world, 50);
    }
    return true;
}

struct node *world_any(struct world *world)
{
    size_t first = world_below(world, (uint32_t)world->node_count);
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[(first + i) % world->node_count];
        if (node->is_alive && !node->failed && node->node_id != 0)
            return node;
    }
    return NULL;
}

struct node *world_find(struct world *world, uint64_t node_id)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive && world->nodes[i].node_id == node_id)
            return &world->nodes[i];
    return NULL;
}

static struct world *world_create(uint64_t seed, const struct world_options *options)
{
    struct world *world = calloc(1, sizeof *world);
    assert(world != NULL);
    world->seed = seed;
    world->options = options;
    world->base = simulated_environment_create(seed);
    random_generator_init(&world->random, seed * 11 + 3);
    simulated_network_init(&world->network, &world->base->scheduler, seed + 1);
    world->founders = options->nodes != 0 ? options->nodes : 3 + world_below(world, 3);
    world->shard_count =
        options->shards != 0 ? (uint32_t)options->shards : 1 + world_below(world, 4);
    world->founding_shards = world->shard_count;
    static const uint32_t MESSAGE_FAULTS[] = {0, 2, 20, 60};
    world->message_faults_per_thousand = MESSAGE_FAULTS[world_below(world, 4)];
    world_make_series(world);
    for (size_t i = 0; i < world->founders; i++)
        (void)world_add(world);
    if (seed % 3 == 0)
        world->rotting = &world->nodes[seed / 3 % world->founders];
    return world;
}

static void world_destroy(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++)
        if (world->nodes[i].is_alive)
            node_stop(&world->nodes[i]);
    while (simulated_scheduler_step(&world->base->scheduler))
        ;
    assert(world->requests_out == 0);
    assert(simulated_network_stream_count(&world->network) == 0);
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        simulated_disk_clear(&node->disk);
        byte_buffer_clear(&node->identity);
        byte_buffer_clear(&node->remembered);
        for (size_t k = 0; k < WORLD_SERIES; k++)
            free(node->acknowledged[k].times_ms);
    }
    for (size_t i = 0; i < WORLD_SERIES; i++) {
        offered_clear(&world->series[i].offered);
        free(world->series[i].acknowledged.times_ms);
    }
    world_forget_leaders(world);
    arena_destroy(world->arena);
    simulated_network_clear(&world->network);
    simulated_environment_destroy(world->base);
    free(world);
}

/* --- A seed ---------------------------------------------------------------------------------- */

static void count_faults(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        world->counts.kills += world->nodes[i].disk.counts.kills;
        world->counts.power_failures += world->nodes[i].disk.counts.power_failures;
    }
}

static uint64_t count_crashes(const struct world *world)
{
    uint64_t crashes = 0;
    for (size_t i = 0; i < world->node_count; i++)
        crashes += world->nodes[i].disk.counts.kills + world->nodes[i].disk.counts.power_failures;
    return crashes;
}

static const char *readiness(const struct node *node, struct error *error)
{
    error_clear(error);
    if (node->was_ready)
        return "ready";
    if (!node->is_alive || node->host == NULL)
        return "not in the cluster";
    (void)hosting_check_ready(node->hosting, error); /* its words are kept */
    return error->message;
}

static void print_status(struct world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct node *node = &world->nodes[i];
        struct error error;
        printf("  %s: id %llu%s%s%s%s, %lld ms ahead, %s\n", node->name,
               (unsigned long long)node->node_id, node->exists ? "" : " gone",
               node->is_alive ? "" : " down", node->failed ? " failed" : "",
               node->is_dismissed ? " dismissed" : "", (long long)node->clock.ahead_ms,
               readiness(node, &error));
        for (uint32_t shard = 0; node->table != NULL && shard < world->shard_count; shard++) {
            struct replica *replica = replica_table_hold(node->table, shard);
            struct group_status group;
            struct shard_statistics statistics;
            if (replica == NULL)
                continue;
            replica_group_status(replica, &group);
            shard_read_statistics(replica_shard(replica), &statistics);
            printf("    shard %u: state %d%s%s%s%s term %llu leader %llu commit %llu last %llu "
                   "stored %llu delivered %llu snapshot %llu; applied %llu frozen heads %llu "
                   "unfrozen %llu merges %llu+%llu damaged %llu\n",
                   shard, group.state, group.ready ? " ready" : "",
                   group.replaying ? " replaying" : "", group.installing ? " installing" : "",
                   group.is_changing ? " changing" : "", (unsigned long long)group.term,
                   (unsigned long long)group.leader_id, (unsigned long long)group.commit_index,
                   (unsigned long long)group.last_index, (unsigned long long)group.stored_index,
                   (unsigned long long)group.delivered_index,
                   (unsigned long long)group.snapshot_index,
                   (unsigned long long)statistics.applied_index,
                   (unsigned long long)statistics.frozen_head_count,
                   (unsigned long long)statistics.unfrozen_log_bytes,
                   (unsigned long long)statistics.merges_running,
                   (unsigned long long)statistics.merges_waiting,
                   (unsigned long long)statistics.damaged_files);
            replica_table_release(node->table, shard);
        }
        if (node->meta == NULL)
            continue;
        size_t count;
        const struct cluster_state *state = meta_state(node->meta);
        struct meta_status status;
        meta_status(node->meta, &status);
        printf("    meta: phase %d leader %llu index %llu waits: %s\n", status.phase,
               (unsigned long long)status.leader,
               (unsigned long long)cluster_state_facts(state)->index, status.waiting_for);
        const struct cluster_shard *shards = cluster_state_shards(state, &count);
        for (size_t k = 0; k < count; k++) {
            printf("    desired %zu:", k);
            for (uint32_t r = 0; r < shards[k].replicas.count; r++)
                printf(" %llu", (unsigned long long)shards[k].replicas.node_ids[r]);
            printf("\n");
        }
    }
    printf("  change %d of %s, requests out %zu, unrest: %s\n", world->change.kind,
           world->change.node == NULL ? "none" : world->change.node->name, world->requests_out,
           world->change.unrest == NULL ? "none" : world->change.unrest);
}

static void run(struct world *world)
{
    enum { FORMING_MS = 60000, STEPS_MAX = 2000, CRASHES = 3 };
    for (size_t i = 0; i < world->founders; i++)
        node_start(&world->nodes[i]);
    if (!world_await(world, world_is_settled, FORMING_MS))
        world_fail(world, "no cluster is formed");
    for (uint64_t i = 0; world->counts.writes_acknowledged < world->options->writes ||
                         count_crashes(world) < CRASHES;
         i++) {
        if (i == STEPS_MAX)
            world_fail(world, "only %llu of %llu writes are acknowledged",
                       (unsigned long long)world->counts.writes_acknowledged,
                       (unsigned long long)world->counts.writes);
        world_step(world);
    }
    world_check(world);
    count_faults(world);
    world->digest =
        hash64(&world->counts, sizeof world->counts, world->digest + world->base->scheduler.steps);
}

/* --- Counts ---------------------------------------------------------------------------------- */

static const char *const COUNT_NAMES[] = {
    "versions_raised",
    "splits",
    "moved",
    "deletions_moved",
    "unreadable_by_splits",
    "writes",
    "writes_acknowledged",
    "writes_given_up",
    "writes_twice",
    "attempts",
    "samples_acknowledged",
    "samples_refused",
    "ids_stale",
    "kills",
    "power_failures",
    "crashes_in_operation",
    "stops",
    "starts",
    "crashes_of_all",
    "awaited_ready",
    "partitions",
    "partitions_one_way",
    "isolated",
    "cuts",
    "half_open",
    "links_slow",
    "messages_delayed",
    "messages_doubled",
    "messages_lost",
    "disks_slow",
    "disks_full",
    "clock_jumps",
    "clock_jumps_of_all",
    "stores_failed",
    "joined",
    "wiped",
    "lost_for_good",
    "drained",
    "undrained",
    "removed",
    "dismissed",
    "transfers_asked",
    "transfers",
    "member_steps",
    "replicas_made",
    "replicas_removed",
    "snapshots_prepared",
    "snapshots_installed",
    "entries_read_back",
    "elections",
    "files_fetched",
    "ranges_failed",
    "files_resumed",
    "freezes",
    "merges",
    "flushes",
    "series_forgotten",
    "deletions",
    "deletions_of_many",
    "deletions_unanswered",
    "samples_deleted",
    "written_again",
    "bits_flipped",
    "files_scrubbed",
    "damage_found",
    "damage_read",
    "damage_mended",
    "replicas_lacking",
    "stuck_leaders",
    "states_adopted",
    "redirected",
    "retried",
    "reads",
    "reads_unreadable",
    "reads_confirmed",
    "samples_read",
    "replicas_compared",
};
enum { COUNTS = sizeof COUNT_NAMES / sizeof COUNT_NAMES[0] };
_Static_assert(COUNTS == sizeof(struct world_counts) / sizeof(uint64_t), "each has a name");

/* Of all seeds. */
struct totals {
    struct world_counts counts;
    uint64_t slowest_ready_ms, slowest_seed;
    uint64_t digest;
};

static void add_world(struct totals *totals, const struct world *world)
{
    seed_counts_add(&totals->counts, &world->counts, COUNTS);
    totals->digest = hash64(&world->digest, sizeof world->digest, totals->digest);
    if (world->slowest_ready_ms <= totals->slowest_ready_ms)
        return;
    totals->slowest_ready_ms = world->slowest_ready_ms;
    totals->slowest_seed = world->seed;
}

/* False when a check failed; what the run held is then not released. */
static bool run_seed(uint64_t seed, const struct world_options *options, struct totals *totals)
{
    jmp_buf failed;
    seed_begin(seed);
    struct world *volatile world = world_create(seed, options);
    world->on_failure = &failed;
    if (setjmp(failed) != 0) {
        printf("FAILED: seed %llu: %s (at %llu ms)\n", (unsigned long long)seed, world->failure,
               (unsigned long long)world_now_ms(world));
        print_status(world);
        return false;
    }
    run(world);
    if (options->verbose)
        printf("seed %llu: digest %016llx, %llu steps, %llu s\n", (unsigned long long)seed,
               (unsigned long long)world->digest, (unsigned long long)world->base->scheduler.steps,
               (unsigned long long)world_now_ms(world) / 1000);
    add_world(totals, world);
    world_destroy(world);
    return true;
}

/* --- Options --------------------------------------------------------------------------------- */

static bool read_option(struct world_options *options, struct text argument)
{
    struct text name, value;
    if (text_equal(argument, TEXT("--verbose")))
        return options->verbose = true;
    if (text_equal(argument, TEXT("--until-failure")))
        return options->until_failure = true;
    if (!text_split(argument, '=', &name, &value))
        return false;
    if (text_equal(name, TEXT("--nodes")))
        return text_to_uint64(value, &options->nodes) && options->nodes >= 3 && options->nodes <= 7;
    if (text_equal(name, TEXT("--shards")))
        return text_to_uint64(value, &options->shards) && options->shards >= 1 &&
               options->shards <= WORLD_SHARDS_MAX;
    if (text_equal(name, TEXT("--without-rule")))
        return text_to_uint64(value, &options->without_rule) && options->without_rule < 32;
    if (text_equal(name, TEXT("--writes")))
        return text_to_uint64(value, &options->writes);
    return text_equal(name, TEXT("--seeds")) && seed_range_read(value, &options->seeds);
}

int main(int count, char **arguments)
{
    enum { SEEDS_FOR_ALL = 100 };
    struct world_options options = {.seeds = {1, 50}, .writes = 1000};
    for (int i = 1; i < count; i++) {
        if (!read_option(&options, text_of(arguments[i]))) {
            fprintf(stderr, "unknown option %s\n", arguments[i]);
            return 1;
        }
    }
    log_set_level(LOG_NOTHING);
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct totals totals = {0};
    uint64_t failures = 0, seeds = 0;
    for (uint64_t seed = options.seeds.first; seed <= options.seeds.last; seed++) {
        failures += !run_seed(seed, &options, &totals);
        seeds++;
        if (failures > 0 && options.until_failure)
            break;
    }
    bool full = seed_counts_print(&totals.counts, COUNT_NAMES, COUNTS);
    printf("all nodes ready after %llu ms at most, seed %llu\n",
           (unsigned long long)totals.slowest_ready_ms, (unsigned long long)totals.slowest_seed);
    printf("digest %016llx\n%llu of %llu seeds failed\n", (unsigned long long)totals.digest,
           (unsigned long long)failures, (unsigned long long)seeds);
    return failures > 0 || (seeds >= SEEDS_FOR_ALL && !full);
}
