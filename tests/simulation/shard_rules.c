/*
 * shard_rules - in a fourth of the runs tenants and series have retentions of their own, which
 * become shorter once: what is past them is not seen, and nothing else is gone.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shard_run.h"

enum { HOUR_MS = 3600 * 1000, GRACE_MS = HOUR_MS };

/* How long a tenant is kept, and one instance of all tenants; at first, and in the end. */
static const int64_t TENANT_MS[] = {9 * HOUR_MS, 5 * HOUR_MS};
static const int64_t INSTANCE_MS[] = {6 * HOUR_MS, 4 * HOUR_MS};
enum { TENANT = 1, INSTANCE = 2 };

static struct retention_policy *policy_make(const struct run *run, unsigned variant)
{
    struct retention_rule *rules = calloc(2, sizeof *rules);
    struct retention_policy *policy;
    struct error error;
    assert(rules != NULL);
    struct text tenant = model_tenant_name(TENANT);
    rules[0].tenant = (struct text){strndup(tenant.data, tenant.size), tenant.size};
    rules[0].matchers = calloc(1, sizeof *rules[0].matchers);
    rules[0].keep_ms = TENANT_MS[variant];
    rules[1].tenant = (struct text){strdup(""), 0};
    rules[1].matchers = calloc(1, sizeof *rules[1].matchers);
    rules[1].keep_ms = INSTANCE_MS[variant];
    rules[1].matcher_count = 1;
    if (matcher_create(MATCHER_REGEX, TEXT("instance"), TEXT("host-2|none.*"),
                       &rules[1].matchers[0], &error) != ERROR_NONE ||
        retention_policy_create(run->node.retention_ms == 0 ? RETENTION_FOR_EVER
                                                            : run->node.retention_ms,
                                rules, 2, &policy, &error) != ERROR_NONE)
        abort();
    return policy;
}

static bool is_shortened(const struct run *run)
{
    return run->node.retention != NULL && run->rules_variant > 0;
}

/* The shortest of those that match; INT64_MAX: none does. */
static int64_t keep_ms(unsigned series, unsigned variant)
{
    int64_t shortest_ms = INT64_MAX;
    if (model_tenant_of(series) == TENANT)
        shortest_ms = TENANT_MS[variant];
    if (series / MODEL_TENANTS % 3 == INSTANCE && INSTANCE_MS[variant] < shortest_ms)
        shortest_ms = INSTANCE_MS[variant];
    return shortest_ms;
}

void run_open_rules(struct run *run)
{
    if (run->seed % 4 != 1)
        return;
    assert(run->has_bucket); /* and so the version */
    run->node.retention = policy_make(run, 0);
    run->node.retention_grace_ms = GRACE_MS;
    for (size_t shard = 0; shard < NODE_SHARDS; shard++)
        for (unsigned i = 0; i < MODEL_SERIES; i++)
            run->models[shard].series[i].keep_ms = keep_ms(i, 0);
}

void run_shorten_rules(struct run *run)
{
    if (run->node.retention == NULL || is_shortened(run))
        return;
    run->rules_variant = 1;
    retention_policy_unref(run->node.retention);
    run->node.retention = policy_make(run, 1);
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_want_retention(replica_shard(run->node.replicas[i]), run->node.retention, GRACE_MS);
}

void run_close_rules(struct run *run)
{
    retention_policy_unref(run->node.retention);
}

static void raise(int64_t *cutoff_ms, int64_t to_ms)
{
    if (to_ms > *cutoff_ms)
        *cutoff_ms = to_ms;
}

void run_grow_old_by_rules(struct run *run)
{
    for (unsigned i = 0; run->node.retention != NULL && i < MODEL_SERIES; i++) {
        int64_t kept_ms = keep_ms(i, run->rules_variant);
        for (size_t shard = 0; kept_ms != INT64_MAX && shard < NODE_SHARDS; shard++)
            raise(&run->models[shard].series[i].cutoff_ms, run_now_ms(run) - kept_ms);
    }
}

void run_note_rules(struct run *run)
{
    for (size_t shard = 0; run->node.retention != NULL && shard < NODE_SHARDS; shard++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(run->node.replicas[shard]), &statistics);
        raise(&run->models[shard].rules_at_ms, statistics.retention_at_ms);
        run->counts.checks_under_rules += statistics.retention_at_ms != INT64_MIN;
        run->counts.rules_announced += statistics.retention_announced_ms != 0;
    }
}
