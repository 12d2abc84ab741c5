/*
 * ingest_fixture - the write path before a whole node without HTTP, on the simulated world.
 */
#ifndef TESTS_UNIT_INGEST_INGEST_FIXTURE_H
#define TESTS_UNIT_INGEST_INGEST_FIXTURE_H

#include "../../simulation/shard_node.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ingest/ingest.h"
#include "wire/compression.h"
#include "write_builder.h"

enum { SERIES = 30 };

struct fixture {
    struct shard_node node;
    struct slot_map slots;
    struct metrics *registry;
    struct ingest_metrics metrics;
    struct ingest *ingest;
};

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    assert_non_null(fixture);
    fixture->node.environment = simulated_environment_create(9);
    assert_int_equal(shard_node_open(&fixture->node, &error), ERROR_NONE);
    slot_map_init(&fixture->slots, NODE_SHARDS);
    fixture->registry = metrics_create();
    assert_true(ingest_metrics_create(&fixture->metrics, fixture->registry));
    struct ingest_options options = {
        .scheduler = fixture->node.environment->base.scheduler,
        .clock = fixture->node.environment->base.clock,
        .replicas = fixture->node.replicas,
        .slots = &fixture->slots,
        .spread = 4,
        .hash_seed = 3,
        .limits =
            {
                .decoded_bytes_max = 1 << 20,
                .series_per_request_max = 1000,
                .labels_max = 64,
                .label_bytes_max = 8192,
                .alias_bytes_max = 1 << 20,
            },
        .metrics = &fixture->metrics,
    };
    assert_int_equal(ingest_create(&options, &fixture->ingest, &error), ERROR_NONE);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ingest_destroy(fixture->ingest);
    shard_node_close(&fixture->node);
    metrics_destroy(fixture->registry);
    simulated_environment_destroy(fixture->node.environment);
    free(fixture);
    return 0;
}

static inline struct text compress(struct byte_buffer *body, struct arena *arena)
{
    uint8_t *compressed;
    size_t size;
    struct error error;
    assert_false(body->failed);
    assert_int_equal(snappy_encode(body->bytes, body->size, arena, &compressed, &size, &error),
                     ERROR_NONE);
    byte_buffer_clear(body);
    return (struct text){(const char *)compressed, size};
}

/* A body with one sample of each series, an exemplar and metadata, compressed. */
static inline struct text build_body(struct arena *arena, int64_t time_ms,
                                     enum write_version version)
{
    struct byte_buffer body = {0};
    struct built_series series[SERIES];
    struct label *labels = arena_array(arena, SERIES * 3, sizeof *labels);
    static const double VALUE = 1.5;
    int64_t *time = arena_array(arena, 1, sizeof *time);
    struct exemplar *exemplar = arena_array(arena, 1, sizeof *exemplar);
    static const struct metric_metadata METADATA = {METRIC_GAUGE, {"help", 4}, {"", 0}};
    struct label trace = {TEXT("trace_id"), TEXT("1")};
    *time = time_ms;
    *exemplar = (struct exemplar){labels_build(arena, &trace, 1), 1, time_ms};
    for (size_t i = 0; i < SERIES; i++) {
        labels[3 * i] = (struct label){LABEL_METRIC_NAME, arena_format(arena, "metric_%zu", i)};
        labels[3 * i + 1] = (struct label){TEXT("instance"), arena_format(arena, "host-%zu", i)};
        labels[3 * i + 2] = (struct label){TEXT("job"), TEXT("test")};
        series[i] = (struct built_series){
            .labels = &labels[3 * i],
            .label_count = 3,
            .timestamps_ms = time,
            .values = &VALUE,
            .sample_count = 1,
            .exemplars = exemplar,
            .exemplar_count = i == 0,
            .metadata = i == 0 ? &METADATA : NULL,
        };
        if (version == WRITE_VERSION_1)
            build_series_1(&body, &series[i]);
    }
    if (version == WRITE_VERSION_2)
        build_request_2(&body, series, SERIES);
    return compress(&body, arena);
}

struct simulated_request {
    struct ingest_request request;
    bool done;
};

static inline void on_done(struct ingest_request *request)
{
    ((struct simulated_request *)request)->done = true;
}

static inline struct simulated_request request_of(struct text body, enum write_version version,
                                                  struct arena *arena)
{
    return (struct simulated_request){
        .request = {.version = version,
                    .body = (const uint8_t *)body.data,
                    .body_size = body.size,
                    .tenant = TEXT("anonymous"),
                    .arena = arena,
                    .done = on_done},
    };
}

/* After ingest_write. */
static inline enum ingest_status request_await(struct fixture *fixture,
                                               struct simulated_request *request)
{
    assert_false(request->done);
    assert_true(simulated_scheduler_run_until(&fixture->node.environment->scheduler, &request->done,
                                              1000000));
    if (request->request.status == INGEST_STORED)
        assert_int_equal(request->request.samples_written, SERIES);
    return request->request.status;
}

#endif
