#include <string.h>

#include "../../src/shard/manifest.h"
#include "shard/shard.h"
#include "shard_ids.h"
#include "shard_run.h"

enum { OPERATIONS_PER_LIFE = 2000 }; /* on the disk, about */
/* A file that could not be opened has been tried again by then. */
#define REOPENED_NS UINT64_C(20000000000)

/* --- Checking -------------------------------------------------------------------------------- */

static bool has_tombstones(struct run *run)
{
    uint64_t tombstones = 0;
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[i]), &statistics);
        tombstones += statistics.tombstone_count;
    }
    return tombstones > 0;
}

bool run_check(struct run *run, enum model_check check, struct error *error)
{
    struct simulated_disk_settings *settings = &run->node.environment->disk.settings;
    struct simulated_disk_settings before = *settings;
    settings->failure_per_million = 0;
    settings->fail_at_operation = 0;
    settings->crash_at_operation = 0;
    bool right = true;
    run_note_rules(run);
    for (size_t i = 0; right && i < NODE_SHARDS; i++)
        right = shard_model_check(&run->models[i], replica_shard(run->node.replicas[i]), check,
                                  error) &&
                model_check_ids(&run->models[i], replica_shard(run->node.replicas[i]));
    right = right && run_query(run, error);
    *settings = before;
    run->counts.checks++;
    run->counts.checks_under_tombstones += has_tombstones(run);
    return right;
}

/* What a failed operation kept from being opened is tried again, and can be. */
static bool wait_for_damaged_files(struct run *run)
{
    uint64_t damaged_before = 0, damaged_after = 0;
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < NODE_SHARDS; i++) {
            struct shard_statistics statistics;
            shard_read_statistics(replica_shard(run->node.replicas[i]), &statistics);
            *(after == 0 ? &damaged_before : &damaged_after) += statistics.damaged_files;
        }
        if (after == 0 && damaged_before > 0)
            simulated_scheduler_run_for(&run->node.environment->scheduler, REOPENED_NS);
    }
    run->counts.files_reopened += damaged_before - damaged_after;
    return damaged_before > 0 && damaged_after == 0;
}

static bool check_whatever_the_store(struct run *run, enum model_check check, struct error *error)
{
    return run_check(run, check, error) || run_check_with_store(run, check, error);
}

void run_expect(struct run *run, enum model_check check)
{
    struct error error;
    if (check_whatever_the_store(run, check, &error) || run->failure[0] != '\0')
        return;
    if (wait_for_damaged_files(run) &&
        (check_whatever_the_store(run, check, &error) || run->failure[0] != '\0'))
        return;
    for (size_t i = 0; i < NODE_SHARDS; i++)
        if (run->models[i].failure[0] != '\0')
            run_fail(run, i == 0 ? "shard 0" : "shard 1", run->models[i].failure);
    run_fail(run, "reading", error.message);
}

/* --- Living ---------------------------------------------------------------------------------- */

static enum simulated_crash choose_crash(struct run *run)
{
    return run_chance(run, 65) ? SIMULATED_POWER_FAILURE : SIMULATED_KILL;
}

/* In the middle of one of the next operations: of a job, of the journal, of a start. */
static void arm_crash(struct run *run, uint32_t operations)
{
    struct simulated_disk *disk = &run->node.environment->disk;
    disk->settings.crash_at_operation = disk->operations + 1 + run_below(run, operations);
    disk->settings.crash = choose_crash(run);
    disk->settings.crash_at_sync = run_chance(run, 30);
}

static void operate(struct run *run)
{
    size_t shard = run_below(run, NODE_SHARDS);
    uint32_t dice = run_below(run, 1000);
    if (dice < 900)
        run_write(run, shard);
    else if (dice < 910)
        run_flush(run, shard);
    else if (dice < 930)
        shard_freeze(replica_shard(run->node.replicas[shard]));
    else if (dice < 945 && run->requests_in_flight[shard] == 0) {
        if (run_chance(run, 5))
            arm_crash(run, 4);
        run_delete(run, shard);
    } else if (dice < 952)
        run_retain(run, shard);
    else if (dice < 970) {
        /* Now and then so far that windows become quiet and overlays old. */
        uint32_t minutes_max = run_below(run, 10) == 0 ? 40 * 60 : 90;
        run->node.environment->clock.wall_offset_ms += run_below(run, minutes_max * 60 * 1000);
        run->counts.clock_jumps++;
    } else if (dice < 985)
        simulated_scheduler_run_for(&run->node.environment->scheduler, UINT64_C(3000000000));
    else if (dice < 990)
        run_expect(run, MODEL_CHECK);
    else if (dice < 991)
        run_shorten_rules(run);
    run->node.environment->clock.wall_offset_ms += run_below(run, 40000);
    run_grow_old(run);
}

/* What a life begins with: nothing fails but what the run breaks on purpose. */
static void make_disk_well(struct run *run)
{
    run->node.environment->disk.settings = (struct simulated_disk_settings){
        .capacity_bytes = UINT64_MAX,
        .ignore_sync = run->breakage.sync,
        .ignore_sync_of = run->breakage.files,
        .ignore_sync_directory_of = run->breakage.directories,
    };
}

static void take_counts(struct run *run)
{
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        if (run->node.replicas[i] == NULL)
            continue;
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[i]), &statistics);
        run->counts.freezes += statistics.freezes_total;
        run->counts.merges += statistics.merges_total;
        run->counts.job_failures += statistics.job_failures_total;
        run->counts.forgotten_series += statistics.series_forgotten;
        run->counts.rewritten_segments += statistics.segments_rewritten;
        run->counts.forgotten_metadata += statistics.metadata_forgotten;
        run->models[i].metadata_forgotten += statistics.metadata_forgotten;
    }
}

/* Which levels of merging the run has come to: the blocks that are there at its end. */
static void count_blocks(struct run *run, struct shard *shard)
{
    enum { HOUR_MS = 3600 * 1000 };
    struct byte_buffer bytes = {0};
    struct manifest manifest = {0};
    struct error error;
    uint64_t frozen_index;
    if (shard_snapshot(shard, &bytes, &frozen_index, &error) != ERROR_NONE ||
        manifest_decode(bytes.bytes, bytes.size, &manifest, &error) != ERROR_NONE)
        run_fail(run, "manifest", error.message);
    for (size_t i = 0; i < manifest.block_count; i++) {
        const struct manifest_block *block = &manifest.blocks[i];
        int64_t window_ms = block->window_end_ms - block->window_start_ms;
        bool is_overlay = false;
        for (size_t j = 0; j < i; j++)
            is_overlay |= manifest.blocks[j].window_start_ms < block->window_end_ms &&
                          block->window_start_ms < manifest.blocks[j].window_end_ms;
        run->counts.overlays += is_overlay;
        *(window_ms <= 2 * HOUR_MS    ? &run->counts.blocks_of_hours
          : window_ms <= 12 * HOUR_MS ? &run->counts.blocks_of_half_a_day
                                      : &run->counts.blocks_of_days) += 1;
    }
    manifest_clear(&manifest);
    byte_buffer_clear(&bytes);
}

static void live(struct run *run, uint64_t writes)
{
    struct simulated_disk *disk = &run->node.environment->disk;
    disk->settings.slow_per_thousand = run_chance(run, 20) ? run_below(run, 20) : 0;
    disk->settings.failure_per_million = run_chance(run, 15) ? 100 + run_below(run, 1500) : 0;
    bool fills = run_chance(run, 30);
    if (run_chance(run, 70))
        arm_crash(run, OPERATIONS_PER_LIFE);
    uint64_t end = run->writes_done + writes;
    uint64_t full_from = run->writes_done + writes / 3, full_to = run->writes_done + writes / 2;
    while (run->writes_done + run->writes_in_flight < end && run->failure[0] == '\0' &&
           !shard_node_is_broken(&run->node)) {
        if (fills && run->writes_done >= full_from) {
            disk->settings.capacity_bytes = simulated_disk_used_bytes(disk) + run_below(run, 60000);
            run->counts.full_disks++;
            fills = false;
        }
        if (run->writes_done >= full_to)
            disk->settings.capacity_bytes = UINT64_MAX;
        operate(run);
        uint32_t steps = run_chance(run, 10) ? run_below(run, 300) : run_below(run, 10);
        for (uint32_t i = 0; i < steps; i++)
            simulated_scheduler_step(&run->node.environment->scheduler);
        if (run->writes_in_flight > 40)
            run_step_until_quiet(run);
    }
    disk->settings.capacity_bytes = UINT64_MAX;
}

static bool start(struct run *run)
{
    struct error error;
    struct simulated_disk *disk = &run->node.environment->disk;
    run->started = false;
    if (run_chance(run, 8))
        disk->settings.fail_at_operation = disk->operations + 1 + run_below(run, 200);
    else if (run_chance(run, 8))
        arm_crash(run, 200);
    if (shard_node_open(&run->node, &error) != ERROR_NONE) {
        run->counts.failed_starts++;
        if (error.code != ERROR_IO)
            run_fail(run, "start", error.message);
        return false;
    }
    disk->settings.fail_at_operation = disk->settings.crash_at_operation = 0;
    run->started = true;
    for (size_t i = 0; i < NODE_SHARDS; i++)
        model_doubt_deaths(&run->models[i]);
    run_expect(run, MODEL_CONFIRM);
    run_check_bucket(run);
    return run->failure[0] == '\0';
}

/* As SIGTERM does; false when the machine went down over it. */
static bool end_orderly(struct run *run)
{
    make_disk_well(run);
    if (run_chance(run, 20))
        arm_crash(run, 60);
    if (run_chance(run, 70) && !shard_node_settle(&run->node))
        return false;
    make_disk_well(run);
    run->counts.clean_ends++;
    take_counts(run); /* settling did something too */
    shard_node_close(&run->node);
    simulated_environment_crash(run->node.environment, SIMULATED_KILL);
    return true;
}

/* Ends a life, orderly or by a crash. */
static void end(struct run *run)
{
    run->counts.journal_failures += run->node.journal_failed;
    if (run->node.replica_failed && run->node.failure.code != ERROR_IO)
        run_fail(run, "a shard stopped", run->node.failure.message);
    run->ended_orderly = run->started && !shard_node_is_broken(&run->node) && run_chance(run, 50) &&
                         end_orderly(run);
    if (!run->ended_orderly) {
        run->counts.crashes++;
        run->crashes_after_writes += run->writes_done > run->writes_before;
        take_counts(run);
        shard_node_crash(&run->node, choose_crash(run));
    }
    /* Flushes that were not done end with their shard. */
    memset(run->requests_in_flight, 0, sizeof run->requests_in_flight);
    simulated_environment_restart(run->node.environment);
}

void run_life(struct run *run, uint64_t writes)
{
    run->counts.lives++;
    make_disk_well(run);
    run->writes_before = run->writes_done;
    run_choose_store_faults(run);
    if (start(run))
        live(run, writes);
    end(run);
    make_disk_well(run);
    if (run->failure[0] == '\0' && !run_is_broken(run) && run_chance(run, 40))
        run_live_with_rot(run);
}

void run_last_life(struct run *run)
{
    make_disk_well(run);
    if (start(run)) {
        for (size_t i = 0; i < NODE_SHARDS; i++)
            count_blocks(run, replica_shard(run->node.replicas[i]));
        if (!run_is_broken(run))
            run_settle_bucket(run);
    }
    end(run);
    run_count_bucket(run);
}
