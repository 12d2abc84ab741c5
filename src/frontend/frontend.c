#include "frontend/frontend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "frontend_private.h"
#include "promql/union_source.h"

/* --- Memory of all queries -------------------------------------------------------------------- */

static struct frontend *frontend_of_account(struct arena_account *account)
{
    return (struct frontend *)((char *)account - offsetof(struct frontend, memory));
}

static bool charge(struct arena_account *self, size_t size_bytes)
{
    struct frontend *frontend = frontend_of_account(self);
    uint64_t before =
        atomic_fetch_add_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
    if (before + size_bytes <= frontend->options.memory_max_bytes)
        return true;
    atomic_fetch_sub_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
    return false;
}

static void release(struct arena_account *self, size_t size_bytes)
{
    struct frontend *frontend = frontend_of_account(self);
    atomic_fetch_sub_explicit(&frontend->memory_bytes, size_bytes, memory_order_relaxed);
}

/* --- Life ------------------------------------------------------------------------------------- */

enum error_code frontend_create(const struct frontend_options *options,
                                struct frontend **frontend_out, struct error *error)
{
    struct frontend *frontend = calloc(1, sizeof *frontend);
    if (frontend == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "frontend");
    frontend->options = *options;
    frontend->unreadable_log = (struct log_limit){.interval_ms = 60000, .burst = 3};
    frontend->slow_log = (struct log_limit){.interval_ms = 60000, .burst = 60};
    frontend->memory = (struct arena_account){.charge = charge, .release = release};
    pthread_mutex_init(&frontend->queue.lock, NULL);
    frontend->shards = malloc(options->shard_count * sizeof *frontend->shards);
    if (frontend->shards != NULL) {
        memcpy(frontend->shards, options->shards, options->shard_count * sizeof *frontend->shards);
        frontend->options.shards = frontend->shards;
        frontend->source = union_source_create(frontend->shards, options->shard_count);
    }
    if (frontend->source == NULL) {
        frontend_destroy(frontend);
        return error_set(error, ERROR_OUT_OF_MEMORY, "frontend");
    }
    *frontend_out = frontend;
    return ERROR_NONE;
}

void frontend_destroy(struct frontend *frontend)
{
    if (frontend == NULL)
        return;
    assert(frontend->queue.running_count == 0 && frontend->queue.waiting.count == 0);
    union_source_destroy(frontend->source);
    free(frontend->shards);
    pthread_mutex_destroy(&frontend->queue.lock);
    free(frontend);
}

struct series_source *frontend_source(struct frontend *frontend)
{
    return frontend->source;
}

const struct frontend_options *frontend_options(const struct frontend *frontend)
{
    return &frontend->options;
}

struct arena_account *frontend_memory(struct frontend *frontend)
{
    return &frontend->memory;
}

void frontend_statistics(struct frontend *frontend, struct frontend_statistics *statistics_out)
{
    pthread_mutex_lock(&frontend->queue.lock);
    size_t running = frontend->queue.running_count, waiting = frontend->queue.waiting.count;
    pthread_mutex_unlock(&frontend->queue.lock);
    *statistics_out = (struct frontend_statistics){
        .queries_total = frontend->queries_total,
        .queries_on_loops_total = frontend->on_loops_total,
        .queries_running = running,
        .queries_waiting = waiting,
        .queries_refused_total = frontend->refused_total,
        .queries_slow_total = frontend->slow_total,
        .queries_killed_total = frontend->killed_total,
        .waited_ns_total = frontend->waited_ns,
        .memory_bytes = frontend->memory_bytes,
        .memory_max_bytes = frontend->options.memory_max_bytes,
    };
    for (size_t i = 0; i < FRONTEND_FAILURES; i++)
        statistics_out->failed_total[i] = frontend->failed_total[i];
}
