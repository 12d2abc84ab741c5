/* What the API asks of the program: readiness, reload, flush, deletion. */
#include <stdlib.h>

#include "node_cluster.h"
#include "node_private.h"

/* --- Readiness and reload --------------------------------------------------------------------- */

static enum error_code check_ready(void *context, struct error *error)
{
    struct node *node = context;
    if (atomic_load(&node->draining))
        return error_set(error, ERROR_UNAVAILABLE, "shutting down");
    if (node->cluster != NULL)
        return node_cluster_check_ready(node, error);
    if (node_shards_are_ready(node))
        return ERROR_NONE;
    struct replica_replay replay = node_replay(node);
    return error_set(error, ERROR_UNAVAILABLE,
                     "shards replay their logs, %llu of %llu entries are applied",
                     (unsigned long long)replay.applied, (unsigned long long)replay.entries);
}

static enum error_code reload(void *context, struct error *error)
{
    return node_reload(context, error);
}

/* --- Flush ------------------------------------------------------------------------------------ */

struct flush_all;

struct flush_one {
    struct shard_flush flush; /* first */
    struct task task;
    struct flush_all *all;
    struct node *node;
    uint32_t shard_id;
    struct replica *replica;
    struct journal *journal; /* of the same loop */
};

struct flush_all {
    struct scheduler *origin;
    void (*done)(void *argument, const struct error *error);
    void *argument;
    _Atomic size_t outstanding;
    atomic_bool canceled; /* the node ends */
    struct task task;
    struct flush_one shards[];
};

static void flush_answer(struct task *task)
{
    struct flush_all *all = (struct flush_all *)((char *)task - offsetof(struct flush_all, task));
    struct error outcome;
    error_clear(&outcome);
    if (atomic_load(&all->canceled))
        error_set(&outcome, ERROR_UNAVAILABLE, "shutting down");
    all->done(all->argument, &outcome);
    free(all);
}

static void shard_flushed(struct shard_flush *flush, const struct error *error)
{
    struct flush_one *one = (struct flush_one *)flush;
    struct flush_all *all = one->all;
    replica_table_release(one->node->replicas, one->shard_id);
    if (error->code == ERROR_NONE)
        journal_trim(one->journal); /* the log before it is not needed any more */
    else
        atomic_store(&all->canceled, true); /* a flush waits until it succeeds */
    if (atomic_fetch_sub(&all->outstanding, 1) > 1)
        return;
    all->task.run = flush_answer;
    scheduler_post(all->origin, &all->task);
}

static void flush_on_loop(struct task *task)
{
    struct flush_one *one = (struct flush_one *)((char *)task - offsetof(struct flush_one, task));
    struct replica *replica = one->replica;
    bool draining = atomic_load(&one->node->draining); /* those before are canceled already */
    one->flush.done = shard_flushed;
    replica_flush(replica, &one->flush); /* it may be over now, and its memory gone */
    if (draining)
        shard_cancel_flushes(replica_shard(replica));
}

static struct node_loop *loop_of_shard(struct node *node, uint32_t shard)
{
    return &node->loops[hosting_loop_of(node->hosting, shard)];
}

static void flush(void *context, enum flush_reach reach, struct scheduler *origin,
                  void (*done)(void *argument, const struct error *error), void *argument)
{
    struct node *node = context;
    uint32_t shards = node->topology.shard_count;
    struct flush_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0]);
    if (all == NULL) {
        struct error error;
        error_set(&error, ERROR_UNAVAILABLE, "not enough memory to flush");
        done(argument, &error);
        return;
    }
    all->origin = origin;
    all->done = done;
    all->argument = argument;
    all->outstanding = shards;
    for (uint32_t shard = 0; shard < shards; shard++) {
        struct flush_one *one = &all->shards[shard];
        one->all = all;
        one->node = node;
        one->shard_id = shard;
        one->flush.reach = reach;
        one->replica = replica_table_hold(node->replicas, shard);
        one->journal = loop_of_shard(node, shard)->journal;
        one->task.run = flush_on_loop;
        scheduler_post(loop_of_shard(node, shard)->environment.scheduler, &one->task);
    }
}

/* --- Deletion
 * -------------------------------------------------------------------------------------- */

struct delete_all;

struct delete_one {
    struct replica_entry entry; /* first */
    struct task task;
    struct delete_all *all;
};

struct delete_all {
    void (*done)(void *argument, const struct error *error);
    void *argument;
    size_t outstanding; /* on the origin's loop */
    struct error error;
    struct delete_one shards[];
};

static void shard_deleted(struct replica_entry *entry)
{
    struct delete_all *all = ((struct delete_one *)entry)->all;
    if (entry->error.code != ERROR_NONE)
        all->error = entry->error;
    byte_buffer_clear(&entry->bytes);
    if (--all->outstanding > 0)
        return;
    all->done(all->argument, &all->error);
    free(all);
}

static void shard_not_asked(struct task *task)
{
    shard_deleted(
        &((struct delete_one *)((char *)task - offsetof(struct delete_one, task)))->entry);
}

static void delete_series(void *context, struct scheduler *origin, struct text tenant,
                          const struct matcher *const *matchers, size_t matcher_count,
                          int64_t start_ms, int64_t end_ms,
                          void (*done)(void *argument, const struct error *error), void *argument)
{
    struct node *node = context;
    uint32_t shards = node->topology.shard_count;
    struct error error;
    struct byte_buffer entry = {0};
    struct delete_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0]);
    enum error_code code = shard_encode_delete(&entry, clock_now_ms(clock_system()), tenant,
                                               matchers, matcher_count, start_ms, end_ms, &error);
    if (code == ERROR_NONE && all == NULL)
        code = error_set(&error, ERROR_OUT_OF_MEMORY, "deletion");
    if (code != ERROR_NONE) {
        byte_buffer_clear(&entry);
        free(all);
        done(argument, &error);
        return;
    }
    all->done = done;
    all->argument = argument;
    all->outstanding = shards;
    for (uint32_t shard = 0; shard < shards; shard++) {
        struct delete_one *one = &all->shards[shard];
        one->all = all;
        one->entry.origin = origin;
        one->entry.done = shard_deleted;
        byte_buffer_append(&one->entry.bytes, entry.bytes, entry.size);
        if (one->entry.bytes.failed) {
            /* The others go on: a deletion that is sent again does no harm. */
            error_set(&one->entry.error, ERROR_UNAVAILABLE, "not enough memory to delete");
            one->task.run = shard_not_asked;
            scheduler_defer(origin, &one->task);
            continue;
        }
        replica_propose(node->direct[shard], &one->entry);
    }
    byte_buffer_clear(&entry);
}

static void snapshot(void *context, enum api_snapshot_head head, struct scheduler *origin,
                     void (*done)(void *argument, const char *name, const struct error *error),
                     void *argument)
{
    node_snapshot(context, head, origin, done, argument);
}

static void describe_cluster(void *context, struct scheduler *origin,
                             void (*done)(void *argument, struct byte_buffer *json,
                                          const struct error *error),
                             void *argument)
{
    node_describe_cluster(context, origin, done, argument);
}

static void command_cluster(void *context, const struct api_cluster_command *command,
                            struct scheduler *origin,
                            void (*done)(void *argument, const struct error *error), void *argument)
{
    node_command_cluster(context, command, origin, done, argument);
}

struct api_program node_program(struct node *node)
{
    return (struct api_program){
        .context = node,
        .reload = reload,
        .flush = flush,
        .snapshot = snapshot,
        .delete_series = delete_series,
        .describe_cluster = describe_cluster,
        .command_cluster = command_cluster,
        .check_ready = check_ready,
    };
}
