/*
 * shard_run - one seed of the shard simulation: a node, what it must hold, what happened to it.
 *
 *     shard_writes    writes of all kinds, and what of them is acknowledged
 *     shard_requests  flushes, deletions, retention
 *     shard_life      from a start to a crash or an orderly end
 *     shard_query     what a user reads
 *     shard_bucket    what half of the runs upload
 *     shard_rules     retention by tenant and series
 *     shard_rot       lives in which bits of files are wrong
 */
#ifndef TESTS_SHARD_RUN_H
#define TESTS_SHARD_RUN_H

#include "shard_model.h"
#include "shard_node.h"
#include "simulated_store.h"

/* What is broken on purpose, and must be noticed. */
struct breakage {
    bool sync;               /* nothing is synced */
    bool journal;            /* the journal writes without syncing */
    const char *files;       /* files whose path holds this are not synced; NULL: none */
    const char *directories; /* the same for names in directories */
};

/* How often each thing happened, over lives and seeds; shard_run.c has the names. */
struct run_counts {
    uint64_t lives, writes, written_samples, refused_writes, refused_samples, late, days_late,
        duplicates, conflicts, written_after_deletion;
    uint64_t nan_payloads, stale_markers, integer_histograms, float_histograms, custom_histograms,
        stale_histograms, start_timestamps, exemplars, metadata, new_series;
    uint64_t forgotten_series, stale_ids, returned_series, rewritten_segments, forgotten_metadata;
    uint64_t freezes, merges, flushes, deletions, deletions_of_many, deletions_unanswered,
        checks_under_tombstones, retentions, retired_samples, clock_jumps, checks, samples_queried;
    uint64_t crashes, clean_ends, failed_starts, journal_failures, job_failures, full_disks;
    uint64_t blocks_of_hours, blocks_of_half_a_day, blocks_of_days, overlays;
    uint64_t rot_refused_start, rot_found_by_reading, rot_found_by_merging, rot_in_journal,
        rot_harmless, files_reopened;
    uint64_t checks_under_rules, rules_announced, retired_by_rules;
    uint64_t absent_blocks, reads_without_store;
    uint64_t bucket_checks, bucket_uploads, bucket_removals, bucket_swept, bucket_failures;
};

struct run {
    struct random_generator random;
    struct shard_node node;
    struct shard_model models[NODE_SHARDS];
    struct simulated_store store;
    bool has_bucket;
    unsigned rules_variant; /* 1: they became shorter */
    uint64_t seed;
    struct breakage breakage;
    size_t writes_in_flight;
    size_t requests_in_flight[NODE_SHARDS]; /* flushes and deletions */
    uint64_t writes_done, writes_before;    /* this life */
    uint64_t crashes_after_writes;          /* of that life: others prove little */
    bool started, ended_orderly;            /* of the last life */
    struct run_counts counts;
    char failure[MODEL_FAILURE_MAX + 100];
};

struct run *run_create(uint64_t seed, struct breakage breakage);

bool run_is_broken(const struct run *run);
void run_destroy(struct run *run);

uint32_t run_below(struct run *run, uint32_t bound);
bool run_chance(struct run *run, uint32_t percent);
int64_t run_now_ms(struct run *run);

/* The first failure stays. */
void run_fail(struct run *run, const char *what, const char *message);

/* Adds where the rot is to a failure. */
void run_fail_at(struct run *run, const char *path);

/* Until no write is under way, or the node is broken. */
void run_step_until_quiet(struct run *run);

void run_counts_add(struct run_counts *sum, const struct run_counts *counts);
void run_counts_print(const struct run_counts *counts);

/* Whether each thing happened that many seeds must bring about; tells what did not. */
bool run_counts_are_full(const struct run_counts *counts);

/* --- shard_writes.c -------------------------------------------------------------------------- */

void run_write(struct run *run, size_t shard);

/* --- shard_requests.c ------------------------------------------------------------------------ */

void run_flush(struct run *run, size_t shard);

/* With no write under way, so that it is known what the deletion covers. */
void run_delete(struct run *run, size_t shard);

/* Ask for what is older than some hours to go. */
void run_retain(struct run *run, size_t shard);

/* The same by the retention of the node, as time goes by. */
void run_grow_old(struct run *run);

/* --- shard_rules.c --------------------------------------------------------------------------- */

/* After run_open_bucket, and once there are models. */
void run_open_rules(struct run *run);
void run_close_rules(struct run *run);

/* Once: from then on what is kept by rules is kept shorter. */
void run_shorten_rules(struct run *run);

/* What may be gone by rules, as time goes by. */
void run_grow_old_by_rules(struct run *run);

/* Before a check: what must be gone by them. */
void run_note_rules(struct run *run);

/* --- shard_life.c ---------------------------------------------------------------------------- */

/* Compare all shards with their models; false: a model's failure or *error tells why. */
bool run_check(struct run *run, enum model_check check, struct error *error);

/* The same through a query. False: the run has failed, or *error tells why it cannot be read. */
bool run_query(struct run *run, struct error *error);

/* The same; a difference is a failure of the run. */
void run_expect(struct run *run, enum model_check check);

/* From a start to a crash or an orderly end, with so many writes in between. */
void run_life(struct run *run, uint64_t writes);

/* Start, check and end. */
void run_last_life(struct run *run);

/* --- shard_bucket.c -------------------------------------------------------------------------- */

void run_open_bucket(struct run *run);

/* Whether what failed as the bucket could not be read is right once it can. */
bool run_check_with_store(struct run *run, enum model_check check, struct error *error);

/* How the store is for one life. */
void run_choose_store_faults(struct run *run);

/* At any time: what is listed is there. */
void run_check_bucket(struct run *run);

/* With all faults over: all is uploaded, listed once, and nothing else is left. */
void run_settle_bucket(struct run *run);

/* What was done in it. */
void run_count_bucket(struct run *run);

/* --- shard_rot.c ----------------------------------------------------------------------------- */

/* One bit of a data file is wrong for one life: that is noticed, or does not matter. */
void run_live_with_rot(struct run *run);

#endif
