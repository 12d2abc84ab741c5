/* The bucket of a run: what the newest lists name is there at any time, and at the end each list
 * has the blocks of its shard and nothing else is left. */
#include <stdio.h>
#include <string.h>

#include "base/state_version.h"
#include "shard/bucket_list.h"
#include "shard_run.h"

enum {
    GRACE_MS = 10 * 60 * 1000,
    SWEEP_AGE_MS = 2 * 3600 * 1000,
    LOCAL_RETENTION_MS = 2 * 3600 * 1000,
    SETTLING_S_MAX = 600,
    SETTLING_ROUNDS_MAX = 50
};

void run_open_bucket(struct run *run)
{
    struct shard_node *node = &run->node;
    if (run->seed % 2 == 0)
        return; /* half of the runs have none, and stay with the first version */
    simulated_store_init(&run->store, node->environment->base.clock, run->seed);
    node->version = STATE_VERSION_MAX;
    node->bucket.store = &run->store.base;
    node->bucket.delete_grace_ms = GRACE_MS;
    node->bucket.sweep_age_ms = SWEEP_AGE_MS;
    node->bucket.incarnation = 1;
    /* Half of these keep only the newest files. */
    node->bucket.local_retention_ms = run->seed % 4 == 1 ? LOCAL_RETENTION_MS : 0;
    run->has_bucket = true;
}

bool run_check_with_store(struct run *run, enum model_check check, struct error *error)
{
    struct simulated_store before = run->store;
    if (!run->has_bucket || error->code != ERROR_UNAVAILABLE)
        return false;
    run->counts.reads_without_store++;
    run->store.is_down = false;
    run->store.fail_before_permille = run->store.fail_after_permille = 0;
    bool right = run_check(run, check, error);
    run->store.is_down = before.is_down;
    run->store.fail_before_permille = before.fail_before_permille;
    run->store.fail_after_permille = before.fail_after_permille;
    return right;
}

void run_choose_store_faults(struct run *run)
{
    struct simulated_store *store = &run->store;
    store->is_down = run_chance(run, 10);
    store->fail_before_permille = run_chance(run, 50) ? run_below(run, 300) : 0;
    store->fail_after_permille = run_chance(run, 50) ? run_below(run, 300) : 0;
    store->listing_lag_ns = run_chance(run, 50) ? UINT64_C(60000000000) : 0;
}

/* False: there is none yet. */
static bool read_newest_list(struct run *run, uint32_t shard, struct bucket_list *list_out)
{
    const struct simulated_object *newest = NULL;
    struct error error;
    for (size_t i = 0; i < run->store.count; i++) {
        const struct simulated_object *object = &run->store.objects[i];
        struct bucket_list_key key;
        if (object->gone_ns == UINT64_MAX && bucket_list_key_parse(text_of(object->key), &key) &&
            key.shard_id == shard && (newest == NULL || strcmp(object->key, newest->key) > 0))
            newest = object;
    }
    if (newest == NULL)
        return false;
    if (bucket_list_decode(newest->bytes, newest->size_bytes, list_out, &error) == ERROR_NONE)
        return true;
    run_fail(run, "list of the bucket", error.message);
    return false;
}

static bool is_there(const struct simulated_store *store, const struct bucket_listed *block)
{
    char key[BUCKET_KEY_MAX];
    bucket_block_key_format(&block->key, key);
    const struct simulated_object *object = simulated_store_find(store, key);
    return object != NULL && object->size_bytes == block->size_bytes &&
           hash128_equal(hash128(object->bytes, object->size_bytes, HASH_SEED_STORED),
                         block->key.hash);
}

void run_check_bucket(struct run *run)
{
    if (!run->has_bucket)
        return;
    if (run->store.overwritten > 0)
        run_fail(run, "bucket", "a key got other bytes than it had");
    for (uint32_t shard = 0; shard < NODE_SHARDS; shard++) {
        struct bucket_list list;
        if (!read_newest_list(run, shard, &list))
            continue;
        for (size_t i = 0; i < list.block_count; i++)
            if (!is_there(&run->store, &list.blocks[i]))
                run_fail(run, "bucket", "an object is listed and not there");
        run->counts.bucket_checks += list.block_count > 0;
        bucket_list_clear(&list);
    }
}

/* --- At the end ------------------------------------------------------------------------------- */

struct comparison {
    struct run *run;
    struct bucket_list list;
    size_t blocks;
};

static void find_block(void *context, const struct shard_block_status *block)
{
    struct comparison *comparison = context;
    size_t found = 0;
    for (size_t i = 0; i < comparison->list.block_count; i++) {
        const struct bucket_listed *listed = &comparison->list.blocks[i];
        found += listed->key.index == block->index && listed->window_end_ms == block->end_ms &&
                 listed->summary.min_time_ms == block->start_ms &&
                 listed->summary.sample_count == block->sample_count;
    }
    if (found != 1)
        run_fail(comparison->run, "bucket", "a block is not listed, or not once");
    comparison->blocks++;
}

/* Each block of the shard is listed once, and nothing besides: no sample is missing or doubled. */
static void compare_shard(struct run *run, uint32_t shard)
{
    struct comparison comparison = {.run = run};
    if (!read_newest_list(run, shard, &comparison.list)) {
        run_fail(run, "bucket", "no list at the end");
        return;
    }
    shard_visit_blocks(replica_shard(run->node.replicas[shard]), find_block, &comparison);
    if (comparison.list.block_count != comparison.blocks)
        run_fail(run, "bucket", "the list has not as many blocks as the shard");
    bucket_list_clear(&comparison.list);
}

struct last_flush {
    struct shard_flush flush; /* first */
    bool done;
    struct error error;
};

static void on_flushed(struct shard_flush *flush, const struct error *error)
{
    ((struct last_flush *)flush)->error = *error;
    ((struct last_flush *)flush)->done = true;
}

static void flush(struct run *run, uint32_t shard)
{
    struct last_flush request = {.flush = {.done = on_flushed}};
    replica_flush(run->node.replicas[shard], &request.flush);
    for (int second = 0; !request.done && second < SETTLING_S_MAX; second++)
        simulated_scheduler_run_for(&run->node.environment->scheduler, 1000000000);
    if (!request.done) {
        run_fail(run, "bucket", "the last flush does not end");
        shard_cancel_flushes(replica_shard(run->node.replicas[shard]));
    } else if (request.error.code != ERROR_NONE) {
        run_fail(run, "the last flush", request.error.message);
    }
}

/* As many blocks as there are in the shards, and of each a list and at most one object of metadata.
 */
static bool is_clean(const struct run *run)
{
    const struct simulated_store *store = &run->store;
    size_t blocks = 0;
    for (uint32_t shard = 0; shard < NODE_SHARDS; shard++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[shard]), &statistics);
        blocks += statistics.block_count;
    }
    size_t first = simulated_store_count(store, "shards/00000000/metadata/");
    size_t second = simulated_store_count(store, "shards/00000001/metadata/");
    return first <= 1 && second <= 1 &&
           simulated_store_count(store, "shards/") == blocks + NODE_SHARDS + first + second &&
           simulated_store_count(store, "shards/00000000/manifests/") == 1 &&
           simulated_store_count(store, "shards/00000001/manifests/") == 1;
}

void run_settle_bucket(struct run *run)
{
    struct simulated_store *store = &run->store;
    struct simulated_environment *environment = run->node.environment;
    if (!run->has_bucket || run->failure[0] != '\0')
        return;
    store->is_down = false;
    store->fail_before_permille = store->fail_after_permille = 0;
    store->listing_lag_ns = 0;
    for (uint32_t shard = 0; shard < NODE_SHARDS; shard++)
        flush(run, shard);
    /* Objects of before are deleted, and what no entry names is swept. */
    environment->clock.wall_offset_ms += 2 * SWEEP_AGE_MS;
    simulated_scheduler_run_for(&environment->scheduler, SWEEP_AGE_MS * UINT64_C(1000000));
    /* Time makes further merges due, each of which leaves what it replaced for a while. */
    for (int rounds = 0; !is_clean(run) && rounds < SETTLING_ROUNDS_MAX; rounds++)
        simulated_scheduler_run_for(&environment->scheduler, GRACE_MS * UINT64_C(1000000));
    if (!is_clean(run))
        run_fail(run, "bucket", "objects are left that nothing names");
    for (uint32_t shard = 0; shard < NODE_SHARDS; shard++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[shard]), &statistics);
        run->counts.absent_blocks += statistics.absent_block_count;
    }
    for (uint32_t shard = 0; shard < NODE_SHARDS && run->failure[0] == '\0'; shard++)
        compare_shard(run, shard);
    run_check_bucket(run);
}

void run_count_bucket(struct run *run)
{
    run->counts.bucket_uploads = run->node.bucket.uploads;
    run->counts.bucket_removals = run->node.bucket.removals;
    run->counts.bucket_swept = run->node.bucket.swept;
    run->counts.bucket_failures = run->node.bucket.failures;
}
