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

struct fixture;

/* What is asked of the shards, and a way to make them refuse. */
struct fixture_router {
    struct write_router base; /* first */
    struct fixture *fixture;
    unsigned writes[NODE_SHARDS];
    unsigned refuse[NODE_SHARDS]; /* so many of the next writes */
    bool stores;                  /* what is refused is stored all the same */
    enum error_code refusal;
};

struct fixture {
    struct shard_node node;
    struct fixture_router router;
    struct slot_map slots;
    struct metrics *registry;
    struct ingest_metrics metrics;
    struct ingest *ingest;
};

struct refused_write {
    struct task task;
    struct replica_write *write;
    struct fixture_router *router;
    void (*done)(struct replica_write *write);
};

static inline void refuse_write(struct refused_write *refused)
{
    struct replica_write *write = refused->write;
    error_set(&write->error, refused->router->refusal, "no leader is known");
    write->done = refused->done;
    free(refused);
    write->done(write);
}

static inline void refuse_task(struct task *task)
{
    refuse_write((struct refused_write *)task);
}

/* Which of them the write belongs to: a few at a time are enough. */
static struct refused_write *refused_after[NODE_SHARDS];

static inline void refuse_stored(struct replica_write *write)
{
    for (size_t s = 0; s < NODE_SHARDS; s++) {
        struct refused_write *refused = refused_after[s];
        if (refused == NULL || refused->write != write)
            continue;
        refused_after[s] = NULL;
        refuse_write(refused);
        return;
    }
    fail();
}

static inline void fixture_write(struct write_router *base, uint32_t shard_id,
                                 struct replica_write *write)
{
    struct fixture_router *router = (struct fixture_router *)base;
    struct fixture *fixture = router->fixture;
    assert_true(shard_id < NODE_SHARDS);
    router->writes[shard_id]++;
    if (router->refuse[shard_id] == 0) {
        replica_write(fixture->node.replicas[shard_id], write);
        return;
    }
    router->refuse[shard_id]--;
    struct refused_write *refused = calloc(1, sizeof *refused);
    *refused = (struct refused_write){{refuse_task, NULL}, write, router, write->done};
    if (router->stores) {
        refused_after[shard_id] = refused;
        write->done = refuse_stored;
        replica_write(fixture->node.replicas[shard_id], write);
    } else
        scheduler_defer(fixture->node.environment->base.scheduler, &refused->task);
}

static inline struct ingest_options fixture_options(struct fixture *fixture)
{
    static const struct write_router_operations OPERATIONS = {.write = fixture_write};
    fixture->router.base.operations = &OPERATIONS;
    fixture->router.fixture = fixture;
    fixture->router.refusal = ERROR_UNAVAILABLE;
    return (struct ingest_options){
        .scheduler = fixture->node.environment->base.scheduler,
        .clock = fixture->node.environment->base.clock,
        .router = &fixture->router.base,
        .slots = &fixture->slots,
        .spread = 4,
        .retry_ms = 10000,
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
}

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
    struct ingest_options options = fixture_options(fixture);
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
