/* What a node looks after now and then: when it is ready, and the size of its files. */
#include "base/log.h"

#include "node_bucket.h"
#include "node_cluster.h"
#include "node_private.h"
#include "shard/shard_bucket.h"

static struct scheduler *first_loop_of(struct node *node)
{
    return node->loops[0].environment.scheduler;
}

/* Parts and blocks of all shards. */
struct stored {
    uint64_t bytes;
    int64_t first_cutoff_ms;    /* where the file ends that ends first */
    int64_t first_local_end_ms; /* the same of blocks whose files are here */
};

static void add_stored(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct stored *stored = context;
    struct shard_statistics statistics;
    shard_read_statistics(replica_shard(replica), &statistics);
    stored->bytes += statistics.part_bytes + statistics.block_bytes;
    if (statistics.first_cutoff_ms < stored->first_cutoff_ms)
        stored->first_cutoff_ms = statistics.first_cutoff_ms;
    if (statistics.first_local_end_ms < stored->first_local_end_ms)
        stored->first_local_end_ms = statistics.first_local_end_ms;
}

static void retain_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct node *node = context;
    shard_retain_from(replica_shard(replica), atomic_load(&node->size_cutoff_ms));
}

static void retain(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, retain_task));
    struct node *node = loop->node;
    atomic_store(&loop->retain_queued, false);
    if (atomic_load(&node->draining))
        return;
    hosting_visit_loop(node->hosting, loop->number, retain_replica, node);
}

/* Percent of the disk in use: what is not free for us, be it used or reserved. */
static bool disk_is_used(struct node *node, uint64_t percent)
{
    uint64_t free_bytes, total_bytes;
    struct error ignored; /* a disk that can't tell raises no alarm */
    return disk_free_bytes(node->blocking_disk, &free_bytes, &total_bytes, &ignored) ==
               ERROR_NONE &&
           total_bytes > 0 && free_bytes / (total_bytes / 100 + 1) < 100 - percent;
}

static void look_at_disk(struct node *node)
{
    uint64_t percent = node->settings->storage_disk_alarm_percent;
    bool is_used = disk_is_used(node, percent);
    if (atomic_exchange(&node->disk_alarm, is_used) == is_used)
        return;
    if (is_used)
        log_event(LOG_WARNING, "server", "the disk fills up: writes are refused at the limit",
                  "used_percent_above=%llu limit_percent=%llu", (unsigned long long)percent,
                  (unsigned long long)node->settings->storage_disk_limit_percent);
    else
        log_event(LOG_INFO, "server", "the disk is below storage.disk_alarm again", "");
}

/* Blocks that are in the bucket leave the disk, those first that end first; nothing is deleted that
 * is not there. The shards take their time for it. */
static void drop_local(struct node *node, const struct stored *stored)
{
    struct shard_bucket *bucket = node_bucket_shared(node);
    bool is_too_large = node->settings->storage_retention_bytes > 0 &&
                        stored->bytes > node->settings->storage_retention_bytes;
    if ((!is_too_large && !atomic_load(&node->disk_alarm)) ||
        stored->first_local_end_ms == INT64_MAX)
        return;
    if (atomic_load(&bucket->local_cutoff_ms) < stored->first_local_end_ms)
        atomic_store(&bucket->local_cutoff_ms, stored->first_local_end_ms);
}

/* The files that end first go, one step at a time, until the size fits. Not those that begin first:
 * a single old sample would keep its file, and with it all that are younger. True: not yet. */
static bool enforce_size(struct node *node)
{
    struct stored stored = {.first_cutoff_ms = INT64_MAX, .first_local_end_ms = INT64_MAX};
    if (node->settings->storage_retention_bytes == 0 && node_bucket_shared(node) == NULL)
        return false;
    replica_table_visit(node->replicas, add_stored, &stored);
    if (node_bucket_shared(node) != NULL) {
        drop_local(node, &stored);
        return false;
    }
    if (stored.bytes <= node->settings->storage_retention_bytes ||
        stored.first_cutoff_ms == INT64_MAX)
        return false;
    atomic_store(&node->size_cutoff_ms, stored.first_cutoff_ms);
    for (size_t i = 0; i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        if (atomic_exchange(&loop->retain_queued, true))
            continue;
        loop->retain_task.run = retain;
        scheduler_post(loop->environment.scheduler, &loop->retain_task);
    }
    return true;
}

/* --- Replay ----------------------------------------------------------------------------------- */

static void check_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    bool *ready = context;
    *ready = *ready && replica_is_ready(replica);
}

bool node_shards_are_ready(const struct node *node)
{
    bool ready = true;
    replica_table_visit(node->replicas, check_replica, &ready);
    return ready;
}

static void add_replay(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct replica_replay *all = context;
    struct replica_replay one = replica_replay(replica);
    all->entries += one.entries;
    all->applied += one.applied;
}

struct replica_replay node_replay(const struct node *node)
{
    struct replica_replay all = {0};
    replica_table_visit(node->replicas, add_replay, &all);
    return all;
}

/* On the way now and then, and at its end. */
static void tell_replay(struct node *node, const char *message)
{
    uint64_t now_ms = clock_monotonic_ms(clock_system());
    struct replica_replay replay = node_replay(node);
    node->replay_told_ms = now_ms;
    log_event(LOG_INFO, "server", message, "entries=%llu of=%llu since_start_ms=%llu",
              (unsigned long long)replay.applied, (unsigned long long)replay.entries,
              (unsigned long long)(now_ms - node->opened_ms));
}

static void close_recovery(struct job *job)
{
    struct node *node = (struct node *)((char *)job - offsetof(struct node, close_recovery));
    journal_recovery_close(node->closing_recovery);
    node->closing_recovery = NULL;
}

static void recovery_closed(struct job *job)
{
    (void)job;
}

/* Everything replayed is in the heads: the recovered log can go. Its files take a while. */
static void release_recovery(struct node *node)
{
    node->closing_recovery = node->recovery;
    node->recovery = NULL;
    node->close_recovery =
        (struct job){.run = close_recovery, .done = recovery_closed, .class = JOB_STORAGE};
    scheduler_submit(first_loop_of(node), &node->close_recovery);
}

/* Nobody looks into the recovered log any more. */
static bool is_replayed(const struct node *node)
{
    return node->cluster == NULL ? node_shards_are_ready(node) : node_cluster_is_replayed(node);
}

enum {
    UPKEEP_MS = 100,
    UPKEEPS_PER_SIZE_CHECK = 20,
    UPKEEPS_PER_SETTLING = 10,
    UPKEEPS_PER_SCRUB_NOTE = 10,
    UPKEEPS_PER_RETENTION = 5,
    TELL_REPLAY_MS = 2000
};

static void upkeep(struct timer *timer)
{
    struct node *node = (struct node *)((char *)timer - offsetof(struct node, upkeep));
    if (node->cluster != NULL)
        node_cluster_look(node);
    if (node->recovery != NULL && is_replayed(node)) {
        tell_replay(node, "ready");
        release_recovery(node);
    } else if (node->recovery != NULL &&
               clock_monotonic_ms(clock_system()) - node->replay_told_ms >= TELL_REPLAY_MS) {
        tell_replay(node, "replaying the log");
    }
    if (node->recovery == NULL)
        node_bucket_look(node);
    if (node->upkeep_count % UPKEEPS_PER_SIZE_CHECK == 0)
        look_at_disk(node);
    bool check_is_due = ++node->upkeep_count % UPKEEPS_PER_SIZE_CHECK == 0 || node->is_too_large;
    if (node->recovery == NULL && check_is_due)
        node->is_too_large = enforce_size(node);
    if (node->upkeep_count % UPKEEPS_PER_RETENTION == 1)
        node_tell_retention(node); /* new shards, and those of the former settings */
    if (node->upkeep_count % UPKEEPS_PER_SETTLING == 0)
        head_spares_settle(node->head_spares);
    if (node->upkeep_count % UPKEEPS_PER_SCRUB_NOTE == 0)
        node_note_scrub(node);
    scheduler_timer_start(first_loop_of(node), timer, UPKEEP_MS);
}

void node_start_upkeep(struct node *node)
{
    node->upkeep = (struct timer){.fire = upkeep, .heap_index = TIMER_IDLE};
    scheduler_timer_start(first_loop_of(node), &node->upkeep, UPKEEP_MS);
}
