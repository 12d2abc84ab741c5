#include "node_bucket.h"

#include <stdlib.h>

#include "base/log.h"
#include "meta/meta.h"
#include "metric_emit.h"
#include "node_bucket_meta.h"
#include "node_cluster.h"
#include "node_identity.h"
#include "object/object_store_options.h"
#include "shard/bucket_cache.h"
#include "shard/bucket_list.h"

enum {
    LOOK_AGAIN_MS = 60 * 1000, /* when all is well */
    /* While it is not ours yet, and between a claim and the look whether it held. */
    LOOK_SOON_MS = 2000,
    LOOK_PATIENCE_MS = 30 * 1000,
    FIRST_INCARNATION = 1,
};
_Static_assert((int)BUCKET_OWNER_BYTES == (int)CLUSTER_ID_BYTES &&
                   (int)BUCKET_OWNER_BYTES == (int)CLUSTER_DIRECTORY_ID_BYTES,
               "ids of owners");

/* What is known of the claim. */
enum claim_state {
    CLAIM_UNKNOWN, /* the store did not answer yet */
    CLAIM_MISSING, /* there is none; who may puts one */
    CLAIM_OWN,
    CLAIM_FOREIGN, /* another cluster's, which may have been recovered from this one */
    CLAIM_STATES
};

struct node_bucket {
    struct shard_bucket shared;
    struct node *node;

    /* Loop 0. */
    struct job job;
    bool looks; /* the job runs */
    uint64_t due_ms, looked_ms;
    struct error told; /* what was said of it last in the log */

    /* The job's. */
    atomic_bool canceled; /* of any thread */
    bool may_claim;
    struct bucket_claim own; /* incarnation 0: it is not known which one */
    struct bucket_claim found;
    bool inherits; /* a claim of `testator`, a node of the cluster that was alone before */
    uint8_t testator[BUCKET_OWNER_BYTES];
    struct node_bucket_meta meta;
    enum claim_state outcome;
    struct error error;

    _Atomic int state; /* enum claim_state */
};

/* --- On a worker ------------------------------------------------------------------------------ */

static enum error_code read_claim(struct node_bucket *bucket, const struct object_call *call)
{
    struct byte_buffer bytes = {0};
    enum error_code code =
        object_store_read_whole(bucket->shared.store, call, TEXT(BUCKET_CLUSTER_KEY),
                                BUCKET_CLAIM_BYTES_MAX, &bytes, &bucket->error);
    if (code == ERROR_NONE)
        code = bucket_claim_decode(bytes.bytes, bytes.size, &bucket->found, &bucket->error);
    byte_buffer_clear(&bytes);
    return code;
}

static void put_claim(struct node_bucket *bucket, const struct object_call *call)
{
    struct byte_buffer bytes = {0};
    struct bucket_claim claim = bucket->own;
    if (claim.incarnation == 0)
        claim.incarnation = FIRST_INCARNATION;
    bucket_claim_encode(&claim, &bytes);
    if (bytes.failed)
        error_set(&bucket->error, ERROR_OUT_OF_MEMORY, "claim of a bucket");
    else
        (void)object_store_put(bucket->shared.store, call, TEXT(BUCKET_CLUSTER_KEY), bytes.bytes,
                               bytes.size, &bucket->error); /* its outcome is in the error */
    byte_buffer_clear(&bytes);
}

/* An id has one incarnation for ever: whoever recovers a cluster takes another id. */
static bool is_own(const struct node_bucket *bucket)
{
    return memcmp(bucket->found.owner, bucket->own.owner, BUCKET_OWNER_BYTES) == 0 &&
           (bucket->own.incarnation == 0 || bucket->found.incarnation == bucket->own.incarnation);
}

static bool is_inherited(const struct node_bucket *bucket)
{
    return bucket->inherits &&
           memcmp(bucket->found.owner, bucket->testator, BUCKET_OWNER_BYTES) == 0;
}

static void look_run(struct job *job)
{
    struct node_bucket *bucket =
        (struct node_bucket *)((char *)job - offsetof(struct node_bucket, job));
    struct object_call call = {.canceled = &bucket->canceled,
                               .deadline_ns = clock_monotonic_ns(clock_system()) +
                                              LOOK_PATIENCE_MS * UINT64_C(1000000)};
    error_clear(&bucket->error);
    enum error_code code = read_claim(bucket, &call);
    if (code == ERROR_NONE && is_inherited(bucket))
        code = ERROR_NOT_FOUND; /* as good as none: it is put anew */
    if (code == ERROR_NONE) {
        bucket->outcome = is_own(bucket) ? CLAIM_OWN : CLAIM_FOREIGN;
        if (bucket->outcome == CLAIM_OWN && bucket->meta.bytes.size > 0)
            node_bucket_meta_put(&bucket->meta, bucket->shared.store, &call,
                                 bucket->shared.delete_grace_ms);
        return;
    }
    bucket->outcome = code == ERROR_NOT_FOUND ? CLAIM_MISSING : CLAIM_UNKNOWN;
    if (code == ERROR_NOT_FOUND && bucket->may_claim) {
        error_clear(&bucket->error);
        put_claim(bucket, &call);
    }
}

/* --- On loop 0 ---------------------------------------------------------------------------------
 */

static void describe_foreign(struct node_bucket *bucket)
{
    char owner[2 * BUCKET_OWNER_BYTES + 1], own[2 * BUCKET_OWNER_BYTES + 1];
    bucket_owner_format(bucket->found.owner, owner);
    bucket_owner_format(bucket->own.owner, own);
    bool is_successor = bucket->found.was_recovered &&
                        memcmp(bucket->found.former, bucket->own.owner, BUCKET_OWNER_BYTES) == 0;
    if (is_successor || memcmp(bucket->found.owner, bucket->own.owner, BUCKET_OWNER_BYTES) == 0)
        error_set(&bucket->error, ERROR_CONFLICT,
                  "the object store belongs to incarnation %llu of this cluster, which was "
                  "recovered elsewhere as %s: nothing is uploaded",
                  (unsigned long long)bucket->found.incarnation, owner);
    else
        error_set(
            &bucket->error, ERROR_CONFLICT,
            "the object store belongs to cluster %s, this one is %s: nothing is uploaded; give "
            "each cluster a bucket, directory or object_store.s3.prefix of its own",
            owner, own);
}

/* Whether it is the claim of a node that was alone and is one of a cluster now: its shards are the
 * cluster's, and so is what they uploaded. */
static bool may_inherit(struct node_bucket *bucket)
{
    const struct node_cluster *cluster = bucket->node->cluster;
    size_t count = 0;
    const struct cluster_node *nodes = cluster == NULL || cluster->meta == NULL
                                           ? NULL
                                           : cluster_state_nodes(meta_state(cluster->meta), &count);
    for (size_t i = 0; i < count; i++)
        if (memcmp(nodes[i].identity.directory_id, bucket->found.owner, BUCKET_OWNER_BYTES) == 0)
            return true;
    return false;
}

static void take_foreign(struct node_bucket *bucket)
{
    if (!may_inherit(bucket)) {
        describe_foreign(bucket);
        return;
    }
    bucket->inherits = true;
    memcpy(bucket->testator, bucket->found.owner, BUCKET_OWNER_BYTES);
    bucket->own.incarnation = bucket->found.incarnation;
    bucket->outcome = CLAIM_MISSING;
}

/* Once for each reason. */
static void tell(struct node_bucket *bucket)
{
    if (bucket->error.code == ERROR_NONE || bucket->outcome == CLAIM_MISSING) {
        error_clear(&bucket->told);
        return;
    }
    if (strcmp(bucket->told.message, bucket->error.message) == 0)
        return;
    bucket->told = bucket->error;
    log_event(LOG_ERROR, "server", "nothing is written to the object store", "error=\"%s\"",
              bucket->error.message);
}

static void look_done(struct job *job)
{
    struct node_bucket *bucket =
        (struct node_bucket *)((char *)job - offsetof(struct node_bucket, job));
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    bool was_own = atomic_load(&bucket->state) == CLAIM_OWN;
    bucket->looks = false;
    bucket->due_ms = now_ms + LOOK_SOON_MS;
    node_bucket_meta_done(&bucket->meta);
    if (bucket->outcome == CLAIM_FOREIGN)
        take_foreign(bucket);
    tell(bucket);
    if (bucket->outcome == CLAIM_UNKNOWN && was_own)
        return; /* a store that does not answer is still ours */
    if (bucket->outcome == CLAIM_OWN)
        bucket->own.incarnation = bucket->found.incarnation;
    atomic_store(&bucket->state, bucket->outcome);
    atomic_store(&bucket->shared.incarnation,
                 bucket->outcome == CLAIM_OWN ? bucket->own.incarnation : 0);
    bucket->looked_ms = now_ms;
    if (bucket->outcome == CLAIM_OWN)
        bucket->due_ms = now_ms + LOOK_AGAIN_MS;
    if (bucket->outcome == CLAIM_OWN && !was_own)
        log_event(LOG_INFO, "server", "the object store is this cluster's", "");
}

/* Who we are, and whether we may say so there; false: that is not known yet. */
static bool identify(struct node_bucket *bucket)
{
    struct node *node = bucket->node;
    if (node->cluster == NULL) {
        bucket->may_claim = true;
        return true; /* read at the start */
    }
    struct meta_status status;
    if (node->cluster->meta == NULL || node->cluster->node_id == 0)
        return false;
    meta_status(node->cluster->meta, &status);
    memcpy(bucket->own.owner, node->cluster->cluster_id, BUCKET_OWNER_BYTES);
    bucket->may_claim = status.leads;
    return true;
}

/* Whether this node shall put the meta object. */
static bool meta_is_due(const struct node_bucket *bucket)
{
    return bucket->may_claim && atomic_load(&bucket->state) == CLAIM_OWN &&
           node_bucket_meta_is_due(bucket->node, &bucket->meta);
}

void node_bucket_look(struct node *node)
{
    struct node_bucket *bucket = node->bucket;
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    if (bucket == NULL || bucket->looks || atomic_load(&node->draining) ||
        now_ms - bucket->looked_ms < LOOK_SOON_MS || !identify(bucket))
        return;
    bool puts_meta = meta_is_due(bucket);
    if (now_ms < bucket->due_ms && !puts_meta)
        return;
    if (puts_meta)
        node_bucket_meta_prepare(node, bucket->own.incarnation, &bucket->meta);
    bucket->looks = true;
    bucket->job = (struct job){.run = look_run, .done = look_done, .class = JOB_TRANSFER};
    scheduler_submit(node->loops[0].environment.scheduler, &bucket->job);
}

void node_bucket_stop(struct node *node)
{
    if (node->bucket != NULL)
        atomic_store(&node->bucket->canceled, true);
}

/* --- Life ------------------------------------------------------------------------------------- */

struct object_store_options node_bucket_options(const struct settings *settings)
{
    struct object_store_options options = {
        .type = settings->object_store_type,
        .directory = settings->object_store_directory,
        .s3 = settings->s3,
        .clock = clock_system(),
        .random = random_system(),
    };
    options.s3.parts_at_once = (uint32_t)settings->s3_parts_at_once;
    options.s3.connections = (uint32_t)settings->s3_connections;
    options.s3.attempts = (uint32_t)settings->s3_attempts;
    return options;
}

/* A disk that refuses costs queries time, and nothing else. */
static enum error_code open_cache(struct node *node, struct bucket_cache **cache_out,
                                  struct error *error)
{
    struct bucket_cache_options options = {
        .memory_bytes = node->settings->object_store_cache_memory_bytes,
        .disk = node->blocking_disk,
        .directory = "bucket-cache",
        .disk_bytes = node->settings->object_store_cache_bytes,
    };
    struct error refusal;
    enum error_code code = bucket_cache_create(&options, cache_out, &refusal, error);
    if (code == ERROR_NONE && refusal.code != ERROR_NONE)
        log_event(LOG_WARNING, "server", "what is read of the object store is kept in memory only",
                  "error=\"%s\"", refusal.message);
    return code;
}

enum error_code node_open_bucket(struct node *node, struct error *error)
{
    const struct settings *settings = node->settings;
    struct object_store *store = NULL;
    struct object_store_options options = node_bucket_options(settings);
    options.metrics = node->metrics;
    enum error_code code = object_store_create(&options, &store, error);
    if (code != ERROR_NONE || store == NULL)
        return code;
    struct node_bucket *bucket = calloc(1, sizeof *bucket);
    if (bucket == NULL) {
        object_store_destroy(store);
        return error_set(error, ERROR_OUT_OF_MEMORY, "object store");
    }
    bucket->node = node;
    bucket->shared.store = store;
    bucket->shared.delete_grace_ms = (uint64_t)settings->object_store_delete_grace_ms;
    bucket->shared.sweep_age_ms = (uint64_t)settings->object_store_sweep_age_ms;
    bucket->shared.local_retention_ms = settings->storage_local_retention_ms;
    code = open_cache(node, &bucket->shared.cache, error);
    if (code == ERROR_NONE && node->cluster == NULL)
        code = node_identity_directory(settings->storage_directory, bucket->own.owner, error);
    if (code != ERROR_NONE) {
        bucket_cache_destroy(bucket->shared.cache);
        object_store_destroy(store);
        free(bucket);
        return code;
    }
    node->bucket = bucket;
    return ERROR_NONE;
}

void node_close_bucket(struct node *node)
{
    if (node->bucket == NULL)
        return;
    bucket_cache_destroy(node->bucket->shared.cache);
    object_store_destroy(node->bucket->shared.store);
    byte_buffer_clear(&node->bucket->meta.bytes);
    free(node->bucket);
}

struct shard_bucket *node_bucket_shared(const struct node *node)
{
    return node->bucket == NULL ? NULL : &node->bucket->shared;
}

/* --- Metrics ---------------------------------------------------------------------------------- */

/* Of the shards that this node leads. */
static void add_backlog(void *context, uint32_t shard_id, struct replica *replica)
{
    struct shard_backlog *sum = context, one;
    (void)shard_id;
    shard_read_backlog(replica_shard(replica), &one);
    sum->blocks += one.blocks;
    sum->bytes += one.bytes;
    if (one.oldest_block_ms < sum->oldest_block_ms)
        sum->oldest_block_ms = one.oldest_block_ms;
    if (one.oldest_loss_ms < sum->oldest_loss_ms)
        sum->oldest_loss_ms = one.oldest_loss_ms;
}

static double seconds_since(int64_t time_ms)
{
    int64_t now_ms = clock_now_ms(clock_system());
    return time_ms == INT64_MAX || time_ms > now_ms ? 0 : (double)(now_ms - time_ms) / 1000;
}

static void emit(const struct metric_emitter *emitter, const char *name, const char *help,
                 enum metric_kind kind, double value)
{
    metric_emit(emitter, name, help, kind, NULL, 0, value);
}

static void collect_counters(const struct metric_emitter *emitter,
                             const struct shard_bucket *shared)
{
    emit(emitter, "gnomon_bucket_uploads_total", "Blocks uploaded and verified.",
         METRIC_KIND_COUNTER, (double)shared->uploads);
    emit(emitter, "gnomon_bucket_upload_bytes_total", "Their bytes.", METRIC_KIND_COUNTER,
         (double)shared->upload_bytes);
    emit(emitter, "gnomon_bucket_lists_total", "Lists of what is in the bucket, published.",
         METRIC_KIND_COUNTER, (double)shared->lists);
    emit(emitter, "gnomon_bucket_removals_total", "Merged or expired blocks deleted from it.",
         METRIC_KIND_COUNTER, (double)shared->removals);
    emit(emitter, "gnomon_bucket_swept_total", "Objects that nothing named, deleted from it.",
         METRIC_KIND_COUNTER, (double)shared->swept);
    emit(emitter, "gnomon_bucket_failures_total",
         "Uploads and other work in the bucket that failed and are tried again.",
         METRIC_KIND_COUNTER, (double)shared->failures);
}

static void collect_reads(const struct metric_emitter *emitter,
                          const struct bucket_cache_statistics *reads)
{
    emit(emitter, "gnomon_bucket_round_trips_total",
         "Waits of readers of blocks for the object store, each for any number of ranges.",
         METRIC_KIND_COUNTER, (double)reads->round_trips);
    emit(emitter, "gnomon_bucket_reads_total", "Ranges of blocks asked of the object store.",
         METRIC_KIND_COUNTER, (double)reads->reads);
    emit(emitter, "gnomon_bucket_read_bytes_total", "Their bytes.", METRIC_KIND_COUNTER,
         (double)reads->read_bytes);
    emit(emitter, "gnomon_bucket_read_failures_total", "Those that did not come.",
         METRIC_KIND_COUNTER, (double)reads->read_failures);
}

static void collect_cache(const struct metric_emitter *emitter,
                          const struct bucket_cache_statistics *cache)
{
    const struct {
        const char *place;
        uint64_t hits, bytes;
    } places[] = {{"memory", cache->memory_hits, cache->memory_bytes},
                  {"disk", cache->disk_hits, cache->disk_bytes}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct metric_label label = {"place", places[i].place};
        metric_emit(emitter, "gnomon_bucket_cache_hits_total",
                    "Extents of blocks in the bucket that were near.", METRIC_KIND_COUNTER, &label,
                    1, (double)places[i].hits);
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct metric_label label = {"place", places[i].place};
        metric_emit(emitter, "gnomon_bucket_cache_bytes", "Size of what is near.",
                    METRIC_KIND_GAUGE, &label, 1, (double)places[i].bytes);
    }
    emit(emitter, "gnomon_bucket_cache_misses_total", "Extents read from the object store.",
         METRIC_KIND_COUNTER, (double)cache->misses);
    emit(emitter, "gnomon_bucket_cache_evictions_total", "Extents that left the disk for others.",
         METRIC_KIND_COUNTER, (double)cache->disk_evictions);
    emit(emitter, "gnomon_bucket_cache_failures_total",
         "Extents that the disk did not take or give back.", METRIC_KIND_COUNTER,
         (double)cache->disk_failures);
    emit(emitter, "gnomon_bucket_cache_corrupt_total",
         "Extents that the disk gave back with other bytes.", METRIC_KIND_COUNTER,
         (double)cache->disk_corrupt);
}

static void collect_bucket(void *context, metric_visit *visit, void *visit_context)
{
    static const char *const STATES[CLAIM_STATES] = {[CLAIM_UNKNOWN] = "unknown",
                                                     [CLAIM_MISSING] = "missing",
                                                     [CLAIM_OWN] = "own",
                                                     [CLAIM_FOREIGN] = "foreign"};
    struct node *node = context;
    struct node_bucket *bucket = node->bucket;
    struct metric_emitter emitter = {visit, visit_context};
    struct shard_backlog backlog = {.oldest_block_ms = INT64_MAX, .oldest_loss_ms = INT64_MAX};
    replica_table_visit(node->replicas, add_backlog, &backlog);
    for (int state = 0; state < CLAIM_STATES; state++) {
        struct metric_label label = {"state", STATES[state]};
        metric_emit(&emitter, "gnomon_bucket_owner",
                    "1 at what is known of whose the bucket is; only an own one is written to.",
                    METRIC_KIND_GAUGE, &label, 1, atomic_load(&bucket->state) == state);
    }
    emit(&emitter, "gnomon_bucket_incarnation",
         "Incarnation of the cluster as the bucket has it; 0 while the bucket is not own.",
         METRIC_KIND_GAUGE, (double)atomic_load(&bucket->shared.incarnation));
    collect_counters(&emitter, &bucket->shared);
    struct bucket_cache_statistics cache = bucket_cache_statistics(bucket->shared.cache);
    collect_reads(&emitter, &cache);
    collect_cache(&emitter, &cache);
    emit(&emitter, "gnomon_bucket_backlog_blocks", "Blocks of led shards that are not uploaded.",
         METRIC_KIND_GAUGE, (double)backlog.blocks);
    emit(&emitter, "gnomon_bucket_backlog_bytes", "Their bytes.", METRIC_KIND_GAUGE,
         (double)backlog.bytes);
    emit(&emitter, "gnomon_bucket_backlog_age_seconds", "Age of the oldest of them.",
         METRIC_KIND_GAUGE, seconds_since(backlog.oldest_block_ms));
    emit(&emitter, "gnomon_bucket_at_risk_seconds",
         "Seconds of data of led shards that the loss of all disks would cost.", METRIC_KIND_GAUGE,
         seconds_since(backlog.oldest_loss_ms));
}

bool node_add_bucket_metrics(struct node *node)
{
    return node->bucket == NULL || metrics_add_collector(node->metrics, collect_bucket, node);
}
