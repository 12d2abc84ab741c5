/*
 * shard_query - what a user reads: a PromQL query over all shards, compared with the models.
 */
#include <stdio.h>
#include <stdlib.h>

#include "frontend/frontend.h"
#include "promql/engine.h"
#include "shard_run.h"

struct comparison {
    struct run *run;
    unsigned tenant;
    bool seen[NODE_SHARDS][MODEL_SERIES];
};

static bool compare_series(struct comparison *comparison, const struct promql_series *series)
{
    struct run *run = comparison->run;
    struct text shard_text = labels_get(series->labels, TEXT("shard"));
    size_t shard = shard_text.size == 1 ? (size_t)(shard_text.data[0] - '0') : NODE_SHARDS;
    unsigned number;
    if (shard >= NODE_SHARDS ||
        !shard_model_find_series(&run->models[shard], comparison->tenant, series->labels,
                                 &number) ||
        comparison->seen[shard][number]) {
        run_fail(run, "query", "a series of unknown labels, or twice the same");
        return false;
    }
    comparison->seen[shard][number] = true;
    struct sample_columns columns = {
        .count = series->point_count,
        .timestamps_ms = series->timestamps_ms,
        .values = series->values,
        .histograms = series->histograms,
    };
    if (shard_model_check_queried(&run->models[shard], number, &columns))
        return true;
    run_fail(run, "query", run->models[shard].failure);
    return false;
}

static bool compare(struct run *run, unsigned tenant, const struct promql_result *result)
{
    struct comparison comparison = {.run = run, .tenant = tenant};
    for (size_t i = 0; i < result->series_count; i++)
        if (!compare_series(&comparison, &result->series[i]))
            return false;
    static const struct sample_columns NOTHING = {0};
    for (size_t shard = 0; shard < NODE_SHARDS; shard++)
        for (unsigned i = tenant; i < MODEL_SERIES; i += MODEL_TENANTS)
            if (!comparison.seen[shard][i] &&
                !shard_model_check_queried(&run->models[shard], i, &NOTHING)) {
                run_fail(run, "query without the series", run->models[shard].failure);
                return false;
            }
    run->counts.samples_queried += result->statistics.samples_read;
    return true;
}

static bool query_tenant(struct run *run, struct frontend *frontend, unsigned tenant,
                         struct error *error)
{
    int64_t end_ms = run_now_ms(run) + 3600 * 1000;
    struct promql_execution_options query = {
        .query = TEXT("{job=\"simulation\"}[3650d]"),
        .tenant = model_tenant_name(tenant),
        .start_ms = end_ms,
        .end_ms = end_ms,
        .source = frontend_source(frontend),
        .clock = run->node.environment->base.clock,
    };
    struct promql_execution *execution = NULL;
    if (promql_execution_create(&query, &execution, error) != ERROR_NONE)
        abort();
    bool right = promql_execution_run(execution, error) == ERROR_NONE &&
                 compare(run, tenant, promql_execution_result(execution));
    promql_execution_destroy(execution);
    return right;
}

bool run_query(struct run *run, struct error *error)
{
    struct series_source *shards[NODE_SHARDS];
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shards[i] = shard_source(replica_shard(run->node.replicas[i]));
    struct frontend_options options = {
        .shards = shards,
        .shard_count = NODE_SHARDS,
        .clock = run->node.environment->base.clock,
        .memory_max_bytes = 1 << 30,
        .concurrency = 1,
    };
    struct frontend *frontend = NULL;
    if (frontend_create(&options, &frontend, error) != ERROR_NONE)
        abort();
    bool right = true;
    for (unsigned tenant = 0; right && tenant < MODEL_TENANTS; tenant++)
        right = query_tenant(run, frontend, tenant, error);
    frontend_destroy(frontend);
    return right;
}
