#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "replica_cluster.h"
#include "simulated_write.h"

enum { SAMPLES_PER_WRITE = 24 };

struct sample_of {
    unsigned series;
    int64_t time_ms;
};

struct simulated_write {
    struct replica_write write; /* first */
    struct replica_cluster *cluster;
    struct arena *arena;
    uint64_t began_at; /* a moment */
    struct sample_of samples[SAMPLES_PER_WRITE];
};

/* --- Answers --------------------------------------------------------------------------------- */

static void on_written(struct replica_write *base)
{
    struct simulated_write *write = (struct simulated_write *)base;
    struct replica_cluster *cluster = write->cluster;
    cluster->writes_in_flight--;
    cluster->counts.writes++;
    size_t refused = base->write.stale_count;
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        refused += base->write.refused_counts[i];
    if (base->error.code != ERROR_NONE)
        cluster->counts.refused++;
    else if (refused > 0)
        cluster_fail(cluster, "a sample was refused");
    enum offered_outcome outcome =
        base->error.code == ERROR_NONE ? OFFERED_STORED : OFFERED_UNKNOWN;
    cluster->moment++;
    for (size_t i = 0; i < SAMPLES_PER_WRITE; i++) {
        struct sample_of *sample = &write->samples[i];
        offered_answer(&cluster->series[sample->series], sample->time_ms, write->began_at,
                       cluster->moment, outcome);
        cluster->counts.acknowledged_samples += outcome == OFFERED_STORED;
    }
    arena_destroy(write->arena);
    free(write);
}

/* --- Writes ---------------------------------------------------------------------------------- */

static uint64_t name_series(struct simulated_write *write, unsigned series, unsigned *series_of)
{
    struct shard_write *shard_write = &write->write.write;
    for (size_t i = 0; i < shard_write->new_series_count; i++)
        if (series_of[i] == series)
            return SHARD_SERIES_NEW | i;
    struct label labels[] = {
        {LABEL_METRIC_NAME, arena_format(write->arena, "metric_%u", series % 5)},
        {TEXT("job"), TEXT("simulation")},
        {TEXT("number"), arena_format(write->arena, "%u", series)},
    };
    series_of[shard_write->new_series_count] = series;
    shard_write->new_series[shard_write->new_series_count] = (struct shard_new_series){
        .labels = labels_build(write->arena, labels, 3), .slot = 1, .id = SHARD_ID_UNKNOWN};
    return SHARD_SERIES_NEW | shard_write->new_series_count++;
}

struct other_write {
    struct replica_write write; /* first */
    struct replica_cluster *cluster;
    struct arena *arena;
};

static void on_other_written(struct replica_write *base)
{
    struct other_write *write = (struct other_write *)base;
    struct replica_cluster *cluster = write->cluster;
    cluster->writes_in_flight--;
    if (base->error.code != ERROR_NONE)
        cluster_fail(cluster, "a write fails although all is well: %s", base->error.message);
    for (size_t i = 0; i < SHARD_REFUSAL_REASONS; i++)
        if (base->write.refused_counts[i] > 0)
            cluster_fail(cluster, "a sample is refused although all is well: %zu", i);
    arena_destroy(write->arena);
    free(write);
}

void cluster_write_others(struct replica_cluster *cluster, struct cluster_node *node,
                          uint32_t count)
{
    struct other_write *request = calloc(1, sizeof *request);
    struct arena *arena = arena_create(0);
    assert(request != NULL && arena != NULL);
    request->cluster = cluster;
    request->arena = arena;
    struct shard_write *write = &request->write.write;
    simulated_write_init(write, arena, count);
    int64_t now_ms = clock_now_ms(cluster->world->base.clock);
    for (uint32_t i = 0; i < count; i++) {
        struct label labels[] = {
            {LABEL_METRIC_NAME, arena_format(arena, "other_%u", cluster->others++)},
            {TEXT("job"), TEXT("others")},
        };
        write->new_series[write->new_series_count++] = (struct shard_new_series){
            .labels = labels_build(arena, labels, 2), .slot = 1, .id = SHARD_ID_UNKNOWN};
        simulated_write_add(write, SHARD_SERIES_NEW | i, 0, now_ms, i);
    }
    request->write.origin = node->environment.scheduler;
    request->write.done = on_other_written;
    cluster->writes_in_flight++;
    replica_write(node->replica, &request->write);
}

void cluster_write(struct replica_cluster *cluster, struct cluster_node *node)
{
    struct simulated_write *request = calloc(1, sizeof *request);
    struct arena *arena = arena_create(0);
    assert(request != NULL && arena != NULL);
    request->cluster = cluster;
    request->arena = arena;
    request->began_at = ++cluster->moment;
    struct shard_write *write = &request->write.write;
    unsigned series_of[SAMPLES_PER_WRITE];
    simulated_write_init(write, arena, SAMPLES_PER_WRITE);
    /* Some series are quiet for long. */
    uint32_t from = (uint32_t)(clock_monotonic_ms(cluster->world->base.clock) / 1800000);
    for (uint32_t i = 0; i < SAMPLES_PER_WRITE; i++) {
        struct sample_of *sample = &request->samples[i];
        sample->series = (from * 7 + cluster_below(cluster, REPLICA_SERIES / 2)) % REPLICA_SERIES;
        sample->time_ms = simulated_write_time(&cluster->random.base, cluster->world->base.clock);
        simulated_write_add(write, name_series(request, sample->series, series_of), sample->series,
                            sample->time_ms, i);
        offered_attempt(&cluster->series[sample->series], sample->time_ms);
    }
    request->write.origin = node->environment.scheduler;
    request->write.done = on_written;
    cluster->writes_in_flight++;
    replica_write(node->replica, &request->write);
}
