#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "replica_cluster.h"
#include "shard/slots.h"

enum { SAMPLES_PER_WRITE = 24 };

struct sample_of {
    unsigned series;
    int64_t time_ms;
};

struct simulated_write {
    struct replica_write write; /* first */
    struct replica_cluster *cluster;
    struct arena *arena;
    struct sample_of samples[SAMPLES_PER_WRITE];
};

double offered_value(unsigned series, int64_t time_ms)
{
    return (double)(hash64(&time_ms, sizeof time_ms, series) % 100000) / 8;
}

/* --- What was offered ------------------------------------------------------------------------ */

static struct offered_sample *offer(struct offered_series *series, int64_t time_ms)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (series->samples[middle].time_ms < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < series->count && series->samples[low].time_ms == time_ms)
        return &series->samples[low];
    if (series->count == series->capacity) {
        series->capacity = series->capacity * 2 + 64;
        series->samples = realloc(series->samples, series->capacity * sizeof *series->samples);
        assert(series->samples != NULL);
    }
    memmove(&series->samples[low + 1], &series->samples[low],
            (series->count - low) * sizeof *series->samples);
    series->samples[low] = (struct offered_sample){.time_ms = time_ms};
    series->count++;
    return &series->samples[low];
}

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
    for (size_t i = 0; base->error.code == ERROR_NONE && i < SAMPLES_PER_WRITE; i++) {
        struct sample_of *sample = &write->samples[i];
        offer(&cluster->series[sample->series], sample->time_ms)->acknowledged = true;
        cluster->counts.acknowledged_samples++;
    }
    arena_destroy(write->arena);
    free(write);
}

/* --- Writes ---------------------------------------------------------------------------------- */

static int64_t choose_time(struct replica_cluster *cluster)
{
    int64_t now_ms = clock_now_ms(cluster->world->base.clock);
    int64_t time_ms = now_ms - cluster_below(cluster, 5000);
    if (cluster_chance(cluster, 8)) /* late, by up to some windows */
        time_ms -= cluster_below(cluster, 6 * 3600 * 1000);
    return time_ms - time_ms % 10;
}

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

void cluster_write(struct replica_cluster *cluster, struct cluster_node *node)
{
    struct simulated_write *request = calloc(1, sizeof *request);
    struct arena *arena = arena_create(0);
    assert(request != NULL && arena != NULL);
    request->cluster = cluster;
    request->arena = arena;
    struct shard_write *write = &request->write.write;
    unsigned series_of[SAMPLES_PER_WRITE];
    write->tenant = TEXT("anonymous");
    write->new_series = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->new_series);
    write->ids = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->ids);
    write->timestamps_ms = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->timestamps_ms);
    write->values = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->values);
    write->origins = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->origins);
    write->stale_origins = arena_array(arena, SAMPLES_PER_WRITE, sizeof *write->stale_origins);
    /* Some series are quiet for long. */
    uint32_t from = (uint32_t)(clock_monotonic_ms(cluster->world->base.clock) / 1800000);
    for (uint32_t i = 0; i < SAMPLES_PER_WRITE; i++) {
        struct sample_of *sample = &request->samples[i];
        sample->series = (from * 7 + cluster_below(cluster, REPLICA_SERIES / 2)) % REPLICA_SERIES;
        sample->time_ms = choose_time(cluster);
        write->ids[i] = name_series(request, sample->series, series_of);
        write->timestamps_ms[i] = sample->time_ms;
        write->values[i] = offered_value(sample->series, sample->time_ms);
        write->origins[i] = i;
        (void)offer(&cluster->series[sample->series], sample->time_ms);
    }
    write->float_count = SAMPLES_PER_WRITE;
    request->write.origin = node->environment.scheduler;
    request->write.done = on_written;
    cluster->writes_in_flight++;
    replica_write(node->replica, &request->write);
}
