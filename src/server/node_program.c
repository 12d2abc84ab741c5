/* What the API asks of the program: readiness, reload, flush, deletion. */
#include <stdlib.h>
#include <string.h>

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

/* --- All shards ---------------------------------------------------------------------------------
 */

void node_topology(const struct node *node, const struct cluster_view *view,
                   struct topology *topology_out)
{
    *topology_out = node->topology;
    if (node->cluster == NULL)
        return;
    size_t count = 0;
    if (view != NULL) {
        const struct cluster_state *state = cluster_view_state(view);
        (void)cluster_state_shards(state, &count);
        topology_out->spread = cluster_state_facts(state)->spread;
        if (count > 0)
            memcpy(topology_out->slots.shards, cluster_state_slots(state),
                   sizeof topology_out->slots.shards);
    }
    topology_out->slots.shard_count = (uint32_t)count;
}

struct shard_list *node_list_shards(const struct node *node)
{
    struct cluster_board *board = node->cluster == NULL ? NULL : node->cluster->board;
    struct cluster_view *view = board == NULL ? NULL : cluster_board_view(board);
    size_t count = board == NULL ? node->topology.slots.shard_count : 0;
    if (view != NULL)
        (void)cluster_state_shards(cluster_view_state(view), &count);
    struct shard_list *list = calloc(1, sizeof *list + count * sizeof list->shards[0]);
    for (uint32_t shard = 0; list != NULL && shard < count; shard++) {
        if (board != NULL && !cluster_board_is_split_off(board, cluster_view_state(view), shard))
            continue; /* still a part of another */
        uint32_t splits = board == NULL ? UINT32_MAX : cluster_board_splits(board, shard);
        if (board != NULL &&
            cluster_state_count_children(cluster_view_state(view), shard) < splits) {
            list->count = 0;
            break;
        }
        list->shards[list->count++] = (struct listed_shard){shard, splits};
    }
    cluster_view_unref(view);
    return list;
}

struct routing *node_routing_of(const struct node *node, const struct scheduler *origin)
{
    for (size_t i = 0; i < node->loop_count; i++)
        if (node->loops[i].environment.scheduler == origin)
            return node->loops[i].routing;
    return NULL;
}

/* --- Flush ------------------------------------------------------------------------------------ */

struct flush_all;

struct flush_one {
    struct routing_flush flush; /* first */
    struct flush_all *all;
};

struct flush_all {
    void (*done)(void *argument, const struct error *error);
    void *argument;
    size_t outstanding;
    struct error error; /* the last one */
    struct flush_one shards[];
};

static void shard_flushed(struct routing_flush *flush)
{
    struct flush_all *all = ((struct flush_one *)flush)->all;
    if (flush->error.code != ERROR_NONE)
        all->error = flush->error;
    if (--all->outstanding > 0)
        return;
    all->done(all->argument, &all->error);
    free(all);
}

static void flush(void *context, enum flush_reach reach, struct scheduler *origin,
                  void (*done)(void *argument, const struct error *error), void *argument)
{
    struct node *node = context;
    struct error error;
    struct shard_list *list = node_list_shards(node);
    size_t shards = list == NULL ? 0 : list->count;
    struct flush_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0]);
    if (list == NULL || all == NULL || shards == 0) {
        error_set(&error, ERROR_UNAVAILABLE,
                  list == NULL || all == NULL ? "not enough memory to flush"
                                              : "the cluster is not known yet");
        free(list);
        free(all);
        done(argument, &error);
        return;
    }
    error_clear(&all->error);
    all->done = done;
    all->argument = argument;
    all->outstanding = shards;
    for (size_t i = 0; i < shards; i++) {
        struct flush_one *one = &all->shards[i];
        one->all = all;
        one->flush.reach = reach;
        one->flush.done = shard_flushed;
        routing_flush(node_routing_of(node, origin), list->shards[i].shard_id, &one->flush);
    }
    free(list);
}

/* --- Deletion --------------------------------------------------------------------------------- */

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

static void delete_from(struct node *node, uint32_t shard, struct delete_one *one,
                        const struct byte_buffer *entry)
{
    byte_buffer_append(&one->entry.bytes, entry->bytes, entry->size);
    if (!one->entry.bytes.failed) {
        write_router_propose(routing_router(node_routing_of(node, one->entry.origin)), shard,
                             &one->entry);
        return;
    }
    /* The others go on: a deletion that is sent again does no harm. */
    error_set(&one->entry.error, ERROR_UNAVAILABLE, "not enough memory to delete");
    one->task.run = shard_not_asked;
    scheduler_defer(one->entry.origin, &one->task);
}

void node_delete_everywhere(struct node *node, struct scheduler *origin,
                            const struct byte_buffer *entry,
                            void (*done)(void *argument, const struct error *error), void *argument)
{
    struct error error;
    struct shard_list *list = node_list_shards(node);
    size_t shards = list == NULL ? 0 : list->count;
    struct delete_all *all = calloc(1, sizeof *all + shards * sizeof all->shards[0]);
    if (list == NULL || all == NULL || shards == 0) {
        if (list == NULL || all == NULL)
            error_set(&error, ERROR_OUT_OF_MEMORY, "deletion");
        else
            error_set(&error, ERROR_UNAVAILABLE, "the cluster is not known yet");
        free(list);
        free(all);
        done(argument, &error);
        return;
    }
    error_clear(&all->error);
    all->done = done;
    all->argument = argument;
    all->outstanding = shards;
    for (size_t i = 0; i < shards; i++) {
        struct delete_one *one = &all->shards[i];
        one->all = all;
        one->entry.origin = origin;
        one->entry.done = shard_deleted;
        one->entry.splits = list->shards[i].splits;
        delete_from(node, list->shards[i].shard_id, one, entry);
    }
    free(list);
}

static void delete_series(void *context, struct scheduler *origin, struct text tenant,
                          const struct matcher *const *matchers, size_t matcher_count,
                          int64_t start_ms, int64_t end_ms,
                          void (*done)(void *argument, const struct error *error), void *argument)
{
    struct error error;
    struct byte_buffer entry = {0};
    if (shard_encode_delete(&entry, clock_now_ms(clock_system()), tenant, matchers, matcher_count,
                            start_ms, end_ms, &error) == ERROR_NONE)
        node_delete_everywhere(context, origin, &entry, done, argument);
    else
        done(argument, &error);
    byte_buffer_clear(&entry);
}

static void delete_tenant(void *context, struct scheduler *origin, struct text tenant,
                          void (*done)(void *argument, const struct error *error), void *argument)
{
    node_delete_tenant(context, origin, tenant, done, argument);
}

static void ask_tenant(void *context, struct scheduler *origin, struct text tenant,
                       void (*done)(void *argument, const struct shard_tenant_state *state,
                                    const struct error *error),
                       void *argument)
{
    node_ask_tenant(context, origin, tenant, done, argument);
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

static void rescue(void *context, const struct api_rescue *asked, struct scheduler *origin,
                   void (*done)(void *argument, struct byte_buffer *json,
                                const struct error *error),
                   void *argument)
{
    node_rescue(context, asked, origin, done, argument);
}

struct api_program node_program(struct node *node)
{
    return (struct api_program){
        .context = node,
        .reload = reload,
        .flush = flush,
        .snapshot = snapshot,
        .delete_series = delete_series,
        .delete_tenant = delete_tenant,
        .ask_tenant = ask_tenant,
        .describe_cluster = describe_cluster,
        .command_cluster = command_cluster,
        .rescue = rescue,
        .check_ready = check_ready,
    };
}
