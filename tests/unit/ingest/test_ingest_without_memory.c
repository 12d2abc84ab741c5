/*
 * Every allocation of a request fails once, from its bytes to what is handed to the shards. What
 * consensus does with a proposal is not failed: its memory ends the process (group/README.md).
 */
#include "../../simulation/shard_node.c" /* a node without HTTP */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "allocation_faults.h"
#include "ingest/ingest.h"
#include "wire/compression.h"
#include "write_builder.h"

enum { SERIES = 30, NUMBERS_MAX = 5000 };

struct fixture {
    struct shard_node node;
    struct slot_map slots;
    struct metrics *registry;
    struct ingest_metrics metrics;
    struct ingest *ingest;
};

static int set_up(void **state)
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

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    ingest_destroy(fixture->ingest);
    shard_node_close(&fixture->node);
    metrics_destroy(fixture->registry);
    simulated_environment_destroy(fixture->node.environment);
    free(fixture);
    return 0;
}

/* A body with one sample of each series, an exemplar and metadata, compressed. */
static struct text build_body(struct arena *arena, int64_t time_ms, enum write_version version)
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
    uint8_t *compressed;
    size_t size;
    struct error error;
    assert_false(body.failed);
    assert_int_equal(snappy_encode(body.bytes, body.size, arena, &compressed, &size, &error),
                     ERROR_NONE);
    byte_buffer_clear(&body);
    return (struct text){(const char *)compressed, size};
}

struct simulated_request {
    struct ingest_request request;
    bool done;
};

static void on_done(struct ingest_request *request)
{
    ((struct simulated_request *)request)->done = true;
}

/* Sends the body; the `number`-th allocation fails (0: none). */
static enum ingest_status send(struct fixture *fixture, struct text body,
                               enum write_version version, size_t number, bool *injected_out)
{
    struct arena *arena = arena_create(0);
    struct simulated_request request = {
        .request = {.version = version,
                    .body = (const uint8_t *)body.data,
                    .body_size = body.size,
                    .tenant = TEXT("anonymous"),
                    .arena = arena,
                    .done = on_done},
    };
    if (number > 0)
        allocation_faults_arm(number);
    ingest_write(fixture->ingest, &request.request);
    *injected_out = allocation_faults_disarm();
    assert_false(request.done);
    assert_true(simulated_scheduler_run_until(&fixture->node.environment->scheduler, &request.done,
                                              1000000));
    enum ingest_status status = request.request.status;
    if (status == INGEST_STORED)
        assert_int_equal(request.request.samples_written, SERIES);
    arena_destroy(arena);
    return status;
}

static uint64_t stored_samples(struct fixture *fixture)
{
    uint64_t samples = 0;
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        struct shard_statistics statistics;
        shard_read_statistics(replica_shard(fixture->node.replicas[i]), &statistics);
        samples += statistics.samples_appended;
    }
    return samples;
}

static void send_without_memory(struct fixture *fixture, enum write_version version)
{
    size_t survived = 0;
    uint64_t bodies = 0;
    uint64_t before = stored_samples(fixture);
    int64_t time_ms = clock_now_ms(fixture->node.environment->base.clock) - NUMBERS_MAX;
    for (size_t number = 1; number < NUMBERS_MAX; number++) {
        struct arena *arena = arena_create(0);
        struct text body = build_body(arena, time_ms + (int64_t)number, version);
        bool injected, ignored;
        enum ingest_status status = send(fixture, body, version, number, &injected);
        assert_true(status == INGEST_STORED || status == INGEST_UNAVAILABLE);
        survived += status != INGEST_STORED;
        /* The sender repeats it; nothing is stored twice, whatever was. */
        assert_int_equal(send(fixture, body, version, 0, &ignored), INGEST_STORED);
        assert_int_equal(stored_samples(fixture) - before, ++bodies * SERIES);
        arena_destroy(arena);
        if (!injected) {
            assert_int_equal(status, INGEST_STORED);
            break;
        }
    }
    assert_true(survived > 0);
    struct ingest_statistics statistics;
    ingest_read_statistics(fixture->ingest, &statistics);
    assert_int_equal(statistics.requests_in_flight, 0);
}

static void a_request_of_1_0_without_memory_is_to_be_sent_again(void **state)
{
    send_without_memory(*state, WRITE_VERSION_1);
}

static void a_request_of_2_0_without_memory_is_to_be_sent_again(void **state)
{
    send_without_memory(*state, WRITE_VERSION_2);
}

static void an_ingest_without_memory_is_not_made(void **state)
{
    struct fixture *fixture = *state;
    struct ingest_options options = {
        .scheduler = fixture->node.environment->base.scheduler,
        .clock = fixture->node.environment->base.clock,
        .replicas = fixture->node.replicas,
        .slots = &fixture->slots,
        .spread = 4,
        .limits = {.alias_bytes_max = 1 << 20},
        .metrics = &fixture->metrics,
    };
    size_t survived = 0;
    for (size_t number = 1;; number++) {
        struct ingest *ingest = NULL;
        struct error error;
        allocation_faults_arm(number);
        enum error_code code = ingest_create(&options, &ingest, &error);
        bool injected = allocation_faults_disarm();
        ingest_destroy(ingest);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_int_equal(code, ERROR_OUT_OF_MEMORY);
        survived++;
    }
    assert_true(survived > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_of_1_0_without_memory_is_to_be_sent_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_request_of_2_0_without_memory_is_to_be_sent_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_ingest_without_memory_is_not_made, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
