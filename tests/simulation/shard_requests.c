#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "shard_run.h"

/* --- Flushes --------------------------------------------------------------------------------- */

struct simulated_flush {
    struct shard_flush flush; /* first */
    struct run *run;
    size_t shard;
};

static void on_flushed(struct shard_flush *flush, const struct error *error)
{
    struct simulated_flush *request = (struct simulated_flush *)flush;
    (void)error;
    request->run->requests_in_flight[request->shard]--;
    free(request);
}

void run_flush(struct run *run, size_t shard)
{
    struct simulated_flush *request = calloc(1, sizeof *request);
    assert(request != NULL);
    *request = (struct simulated_flush){
        .flush = {.done = on_flushed,
                  .reach = run_below(run, 3) == 0 ? FLUSH_DELETED : FLUSH_SAMPLES},
        .run = run,
        .shard = shard,
    };
    run->requests_in_flight[shard]++;
    run->counts.flushes++;
    replica_flush(run->node.replicas[shard], &request->flush);
}

/* --- Deletions ------------------------------------------------------------------------------- */

enum deletion_kind { DELETE_ONE_SERIES, DELETE_AN_INSTANCE, DELETE_A_TENANT };

struct simulated_deletion {
    struct replica_entry entry; /* first */
    struct run *run;
    size_t shard;
    enum deletion_kind kind;
    unsigned series; /* the one, or one of those that go */
    int64_t start_ms, end_ms;
};

static bool deletion_covers(const struct simulated_deletion *deletion, unsigned series)
{
    unsigned chosen = deletion->series;
    if (model_tenant_of(series) != model_tenant_of(chosen))
        return false;
    switch (deletion->kind) {
    case DELETE_ONE_SERIES:
        return series == chosen;
    case DELETE_AN_INSTANCE:
        return series / MODEL_TENANTS % 3 == chosen / MODEL_TENANTS % 3;
    case DELETE_A_TENANT:
        return true;
    }
    abort();
}

static void for_what_goes(struct simulated_deletion *deletion,
                          void (*tell)(struct model_series *series, int64_t start_ms,
                                       int64_t end_ms))
{
    for (unsigned i = 0; i < MODEL_SERIES; i++)
        if (deletion_covers(deletion, i))
            tell(&deletion->run->models[deletion->shard].series[i], deletion->start_ms,
                 deletion->end_ms);
}

static void on_deleted(struct replica_entry *entry)
{
    struct simulated_deletion *deletion = (struct simulated_deletion *)entry;
    struct run *run = deletion->run;
    run->requests_in_flight[deletion->shard]--;
    if (entry->error.code == ERROR_NONE)
        for_what_goes(deletion, model_deleted);
    else
        run->counts.deletions_unanswered++;
    byte_buffer_clear(&entry->bytes);
    free(deletion);
}

static struct matcher *deletion_matcher(const struct simulated_deletion *deletion)
{
    static const char *const NAMES[] = {
        [DELETE_ONE_SERIES] = "__name__",
        [DELETE_AN_INSTANCE] = "instance",
        [DELETE_A_TENANT] = "job",
    };
    struct arena *arena = arena_create(0);
    struct matcher *matcher;
    struct error error;
    assert(arena != NULL);
    struct labels labels = model_labels(arena, deletion->shard, deletion->series);
    struct text name = text_of(NAMES[deletion->kind]);
    if (matcher_create(MATCHER_EQUAL, name, labels_get(labels, name), &matcher, &error) !=
        ERROR_NONE)
        abort();
    arena_destroy(arena);
    return matcher;
}

static struct simulated_deletion *deletion_create(struct run *run, size_t shard)
{
    enum { HOUR_MS = 3600 * 1000 };
    struct simulated_deletion *deletion = calloc(1, sizeof *deletion);
    assert(deletion != NULL);
    uint32_t dice = run_below(run, 10);
    *deletion = (struct simulated_deletion){
        .entry = {.origin = run->node.environment->base.scheduler, .done = on_deleted},
        .run = run,
        .shard = shard,
        .kind = dice < 7   ? DELETE_ONE_SERIES
                : dice < 9 ? DELETE_AN_INSTANCE
                           : DELETE_A_TENANT,
        .series = run_below(run, MODEL_SERIES),
        .start_ms = run_now_ms(run) - run_below(run, 6 * HOUR_MS),
    };
    deletion->end_ms = deletion->start_ms + run_below(run, 3 * HOUR_MS);
    struct error error;
    struct matcher *matcher = deletion_matcher(deletion);
    const struct matcher *const matchers[] = {matcher};
    if (shard_encode_delete(&deletion->entry.bytes, run_now_ms(run),
                            model_tenant_name(model_tenant_of(deletion->series)), matchers, 1,
                            deletion->start_ms, deletion->end_ms, &error) != ERROR_NONE)
        abort();
    matcher_destroy(matcher);
    return deletion;
}

void run_delete(struct run *run, size_t shard)
{
    run_step_until_quiet(run);
    if (shard_node_is_broken(&run->node))
        return;
    struct simulated_deletion *deletion = deletion_create(run, shard);
    for_what_goes(deletion, model_deleting);
    run->requests_in_flight[shard]++;
    run->counts.deletions++;
    run->counts.deletions_of_many += deletion->kind != DELETE_ONE_SERIES;
    replica_propose(run->node.replicas[shard], &deletion->entry);
    /* Nothing else until it is answered; on a full disk that is when there is room again. */
    enum { PATIENCE_STEPS = 20000 };
    struct simulated_disk *disk = &run->node.environment->disk;
    for (size_t i = 0; i < NODE_STEPS_MAX && !shard_node_is_broken(&run->node) &&
                       run->requests_in_flight[shard] > 0;
         i++) {
        if (i == PATIENCE_STEPS)
            disk->settings.capacity_bytes = UINT64_MAX;
        simulated_scheduler_step(&run->node.environment->scheduler);
    }
}

/* --- Retention ------------------------------------------------------------------------------- */

static void may_go_before(struct shard_model *model, int64_t cutoff_ms)
{
    if (cutoff_ms > model->cutoff_ms)
        model->cutoff_ms = cutoff_ms;
}

void run_grow_old(struct run *run)
{
    for (size_t i = 0; i < NODE_SHARDS && run->node.retention_ms > 0; i++)
        may_go_before(&run->models[i], run_now_ms(run) - run->node.retention_ms);
    run_grow_old_by_rules(run);
}

void run_retain(struct run *run, size_t shard)
{
    /* In most runs samples live long enough for blocks of days. */
    int64_t hours = run->seed % 4 == 1 ? 2 + run_below(run, 12) : 30 + run_below(run, 40);
    int64_t cutoff_ms = run_now_ms(run) - hours * 3600 * 1000;
    may_go_before(&run->models[shard], cutoff_ms);
    run->counts.retentions++;
    shard_retain_from(replica_shard(run->node.replicas[shard]), cutoff_ms);
}