/* What the API asks of the program: readiness, reload, flush, deletion. */
#include <stdlib.h>

#include "base/log.h"

#include "node_private.h"

/* --- Readiness and reload --------------------------------------------------------------------- */

static const char *not_ready(void *context)
{
    struct node *node = context;
    if (atomic_load(&node->draining))
        return "Service Unavailable: shutting down\n";
    for (uint32_t shard = 0; shard < node->topology.shard_count; shard++)
        if (!replica_is_ready(node->replicas[shard]))
            return "Service Unavailable: shards replay their logs\n";
    return NULL;
}

static enum error_code reload(void *context, struct error *error)
{
    struct node *node = context;
    if (node->tls != NULL) {
        enum error_code code = tls_context_reload(node->tls, error);
        if (code != ERROR_NONE)
            return code;
    }
    log_event(LOG_INFO, "server", "reloaded", "tls=%s", node->tls != NULL ? "true" : "false");
    return ERROR_NONE;
}

/* --- Flush ------------------------------------------------------------------------------------ */

struct flush_all;

struct flush_one {
    struct shard_flush flush; /* first */
    struct task task;
    struct flush_all *all;
    struct replica *replica;
    struct journal *journal; /* of the same loop */
};

struct flush_all {
    struct scheduler *origin;
    void (*done)(void *argument, const struct error *error);
    void *argument;
    _Atomic size_t outstanding;
    struct task task;
    struct flush_one shards[];
};

static void flush_answer(struct task *task)
{
    struct flush_all *all = (struct flush_all *)((char *)task - offsetof(struct flush_all, task));
    struct error none;
    error_clear(&none);
    all->done(all->argument, &none);
    free(all);
}

static void shard_flushed(struct shard_flush *flush, const struct error *error)
{
    struct flush_one *one = (struct flush_one *)flush;
    struct flush_all *all = one->all;
    (void)error;                /* a flush waits until it succeeds */
    journal_trim(one->journal); /* the log before it is not needed any more */
    if (atomic_fetch_sub(&all->outstanding, 1) > 1)
        return;
    all->task.run = flush_answer;
    scheduler_post(all->origin, &all->task);
}

static void flush_on_loop(struct task *task)
{
    struct flush_one *one = (struct flush_one *)((char *)task - offsetof(struct flush_one, task));
    one->flush.done = shard_flushed;
    replica_flush(one->replica, &one->flush);
}

static struct node_loop *loop_of_shard(struct node *node, uint32_t shard)
{
    return &node->loops[shard % node->loop_count];
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
        one->flush.reach = reach;
        one->replica = node->replicas[shard];
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
        replica_propose(node->replicas[shard], &one->entry);
    }
    byte_buffer_clear(&entry);
}

static void snapshot(void *context, enum api_snapshot_head head, struct scheduler *origin,
                     void (*done)(void *argument, const char *name, const struct error *error),
                     void *argument)
{
    node_snapshot(context, head, origin, done, argument);
}

struct api_program node_program(struct node *node)
{
    return (struct api_program){
        .context = node,
        .reload = reload,
        .flush = flush,
        .snapshot = snapshot,
        .delete_series = delete_series,
        .not_ready = not_ready,
    };
}
