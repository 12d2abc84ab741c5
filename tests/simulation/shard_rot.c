#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard_run.h"

/* A place that the error must name, so that an operator knows what to repair. */
static void expect_place(struct run *run, const char *what, const struct error *error)
{
    if (error->code != ERROR_CORRUPT && error->code != ERROR_UNSUPPORTED)
        run_fail(run, what, error->message);
    else if (strstr(error->message, "shards/") == NULL && strstr(error->message, "journal") == NULL)
        run_fail(run, "it is not told which file is rotten", error->message);
}

/* Whether what was read is right; a refusal is right too, but counted. */
static bool reads_right(struct run *run)
{
    struct error error;
    if (run_check(run, MODEL_CHECK, &error) || run_check_with_store(run, MODEL_CHECK, &error))
        return true;
    if (run->failure[0] != '\0')
        return false;
    if (error.code == ERROR_NONE) {
        run_expect(run, MODEL_CHECK);
        return false;
    }
    expect_place(run, "reading rot", &error);
    run->counts.rot_found_by_reading++;
    return false;
}

/* Merging reads everything: what is rotten must not get a good checksum by being written anew. */
static void merge_all(struct run *run)
{
    struct shard_statistics before, after;
    uint64_t failures = 0;
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        shard_read_statistics(replica_shard(run->node.replicas[i]), &before);
        failures += before.job_failures_total;
        run_flush(run, i);
    }
    simulated_scheduler_run_for(&run->node.environment->scheduler, UINT64_C(10000000000));
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        shard_read_statistics(replica_shard(run->node.replicas[i]), &after);
        failures -= after.job_failures_total;
    }
    run->counts.rot_found_by_merging += failures != 0;
}

/* What the log says was merged is merged again, if need be, before there is a start; a job that
 * fails over rot names the file in its log line, and is tried for ever. */
static bool jobs_failed(struct run *run)
{
    uint64_t failures = 0;
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        struct shard_statistics statistics;
        if (run->node.replicas[i] == NULL)
            continue;
        shard_read_statistics(replica_shard(run->node.replicas[i]), &statistics);
        failures += statistics.job_failures_total;
    }
    return failures > 0;
}

/* All metadata of a shard may be missing, and it says so. */
static void excuse_metadata(struct run *run)
{
    for (size_t i = 0; i < NODE_SHARDS; i++)
        if (shard_metadata_is_damaged(replica_shard(run->node.replicas[i])))
            run->models[i].metadata_forgotten += UINT32_MAX;
}

static void live_on_rot(struct run *run)
{
    struct error error;
    uint64_t metadata_missed[NODE_SHARDS]; /* it comes back with the disk */
    uint64_t metadata_forgotten[NODE_SHARDS];
    int64_t rules_at_ms[NODE_SHARDS];
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        rules_at_ms[i] = run->models[i].rules_at_ms;
        metadata_missed[i] = run->models[i].metadata_missed;
        metadata_forgotten[i] = run->models[i].metadata_forgotten;
    }
    if (shard_node_open(&run->node, &error) != ERROR_NONE) {
        if (error.code != ERROR_TIMEOUT || !jobs_failed(run))
            expect_place(run, "start with rot", &error);
        run->counts.rot_refused_start++;
    } else {
        excuse_metadata(run);
        bool right = reads_right(run);
        merge_all(run);
        if (shard_node_is_broken(&run->node))
            expect_place(run, "a shard stopped over rot", &run->node.failure);
        else if (reads_right(run) && right)
            run->counts.rot_harmless++;
    }
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        run->models[i].rules_at_ms = rules_at_ms[i];
        run->models[i].metadata_missed = metadata_missed[i];
        run->models[i].metadata_forgotten = metadata_forgotten[i];
    }
    shard_node_crash(&run->node, SIMULATED_KILL);
    memset(run->requests_in_flight, 0, sizeof run->requests_in_flight);
    simulated_environment_restart(run->node.environment);
}

void run_live_with_rot(struct run *run)
{
    /* After an orderly end the journal knows of all its batches that they are durable, so that rot
     * in the last one is no torn tail. */
    const char *place = run->ended_orderly && run_chance(run, 50) ? "journal/" : "shards/";
    struct simulated_disk *disk = &run->node.environment->disk;
    uint64_t size = 0;
    const char *chosen = simulated_disk_choose(disk, place, &size);
    if (chosen == NULL)
        return;
    char path[DISK_PATH_MAX + 1];
    snprintf(path, sizeof path, "%s", chosen);
    struct simulated_disk_image *image = simulated_disk_save(disk);
    run->store.is_down = true; /* it does not go back */
    simulated_disk_flip(disk, path, simulated_disk_choose_bit(disk, path));
    run->counts.rot_in_journal += place[0] == 'j';
    live_on_rot(run);
    simulated_disk_go_back(disk, image);
    if (run->failure[0] != '\0')
        run_fail_at(run, path);
}
