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
        .flush = {.done = on_flushed, .cleans = run_below(run, 3) == 0},
        .run = run,
        .shard = shard,
    };
    run->requests_in_flight[shard]++;
    run->counts.flushes++;
    replica_flush(run->node.replicas[shard], &request->flush);
}

/* --- Deletions ------------------------------------------------------------------------------- */

struct simulated_deletion {
    struct replica_entry entry; /* first */
    struct run *run;
    size_t shard;
    unsigned series;
    int64_t start_ms, end_ms;
};

static void on_deleted(struct replica_entry *entry)
{
    struct simulated_deletion *request = (struct simulated_deletion *)entry;
    struct run *run = request->run;
    run->requests_in_flight[request->shard]--;
    if (entry->error.code == ERROR_NONE)
        model_deleted(&run->models[request->shard].series[request->series], request->start_ms,
                      request->end_ms);
    byte_buffer_clear(&entry->bytes);
    free(request);
}

void run_delete(struct run *run, size_t shard)
{
    run_step_until_quiet(run);
    if (shard_node_is_broken(&run->node))
        return;
    unsigned series = run_below(run, MODEL_SERIES);
    struct simulated_deletion *request = calloc(1, sizeof *request);
    struct matcher *matcher;
    struct error error;
    char name[32];
    assert(request != NULL);
    *request = (struct simulated_deletion){
        .entry = {.origin = run->node.environment->base.scheduler, .done = on_deleted},
        .run = run,
        .shard = shard,
        .series = series,
        .start_ms = run_now_ms(run) - run_below(run, 6 * 3600 * 1000),
    };
    request->end_ms = request->start_ms + run_below(run, 3 * 3600 * 1000);
    snprintf(name, sizeof name, "metric_%u", series);
    if (matcher_create(MATCHER_EQUAL, LABEL_METRIC_NAME, text_of(name), &matcher, &error) !=
        ERROR_NONE)
        abort();
    const struct matcher *const matchers[] = {matcher};
    if (shard_encode_delete(&request->entry.bytes, run_now_ms(run), TEXT("anonymous"), matchers, 1,
                            request->start_ms, request->end_ms, &error) != ERROR_NONE)
        abort();
    matcher_destroy(matcher);
    model_deleting(&run->models[shard].series[series], request->start_ms, request->end_ms);
    run->requests_in_flight[shard]++;
    run->counts.deletions++;
    replica_propose(run->node.replicas[shard], &request->entry);
    /* Nothing else until it is answered. */
    for (size_t i = 0; i < NODE_STEPS_MAX && !shard_node_is_broken(&run->node) &&
                       run->requests_in_flight[shard] > 0;
         i++)
        simulated_scheduler_step(&run->node.environment->scheduler);
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
}

void run_retain(struct run *run, size_t shard)
{
    int64_t cutoff_ms = run_now_ms(run) - (2 + run_below(run, 12)) * INT64_C(3600000);
    may_go_before(&run->models[shard], cutoff_ms);
    run->counts.retentions++;
    shard_retain_from(replica_shard(run->node.replicas[shard]), cutoff_ms);
}