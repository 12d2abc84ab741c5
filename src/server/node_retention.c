/* How long samples are kept: from the settings to the shards of the loops, at reloads anew. */
#include <string.h>

#include "base/log.h"

#include "node_private.h"
#include "settings.h"

static void tell_replica(void *context, uint32_t shard_id, struct replica *replica)
{
    (void)shard_id;
    struct node *node = context;
    pthread_mutex_lock(&node->retention_mutex);
    struct retention_policy *policy = retention_policy_ref(node->retention);
    int64_t grace_ms = node->retention_grace_ms;
    pthread_mutex_unlock(&node->retention_mutex);
    shard_want_retention(replica_shard(replica), policy, grace_ms);
    retention_policy_unref(policy);
}

static void tell(struct task *task)
{
    struct node_loop *loop =
        (struct node_loop *)((char *)task - offsetof(struct node_loop, retention_task));
    atomic_store(&loop->retention_queued, false);
    if (!atomic_load(&loop->node->draining))
        hosting_visit_loop(loop->node->hosting, loop->number, tell_replica, loop->node);
}

void node_tell_retention(struct node *node)
{
    for (size_t i = 0; i < node->loop_count; i++) {
        struct node_loop *loop = &node->loops[i];
        if (atomic_exchange(&loop->retention_queued, true))
            continue;
        loop->retention_task.run = tell;
        scheduler_post(loop->environment.scheduler, &loop->retention_task);
    }
}

static void take(struct node *node, const struct settings *settings)
{
    pthread_mutex_lock(&node->retention_mutex);
    retention_policy_unref(node->retention);
    node->retention = retention_policy_ref(settings->retention_policy);
    node->retention_grace_ms = settings->storage_retention_grace_ms;
    pthread_mutex_unlock(&node->retention_mutex);
}

void node_open_retention(struct node *node)
{
    pthread_mutex_init(&node->retention_mutex, NULL);
    take(node, node->settings);
}

void node_close_retention(struct node *node)
{
    retention_policy_unref(node->retention);
    pthread_mutex_destroy(&node->retention_mutex);
}

/* Whether a setting is looked at again at a reload. */
static bool is_reloaded(const char *name)
{
    return strcmp(name, "storage.retention") == 0 || strcmp(name, "storage.retention_grace") == 0;
}

/* Of the other settings those that differ need a restart, which the log tells. */
static void tell_unchanged(const struct node *node, const struct settings *settings)
{
    for (size_t i = 0; i < settings->count; i++)
        if (!is_reloaded(settings->names[i]) &&
            strcmp(settings->values[i], node->settings->values[i]) != 0)
            log_event(LOG_WARNING, "server", "a changed setting needs a restart", "setting=%s",
                      settings->names[i]);
}

enum error_code node_reload_retention(struct node *node, struct error *error)
{
    struct settings settings;
    enum error_code code =
        settings_load(node->settings->argument_count, node->settings->arguments, &settings, error);
    if (code != ERROR_NONE)
        return code;
    tell_unchanged(node, &settings);
    take(node, &settings);
    settings_clear(&settings);
    return ERROR_NONE;
}
