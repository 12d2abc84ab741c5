/*
 * Every allocation of a request fails once, from its bytes to what is handed to the shards. What
 * consensus does with a proposal is not failed: its memory ends the process (group/README.md).
 */
#include "ingest_fixture.h"

#include "allocation_faults.h"

enum { NUMBERS_MAX = 5000 };

/* Sends the body; the `number`-th allocation fails (0: none). */
static enum ingest_status send(struct fixture *fixture, struct text body,
                               enum write_version version, size_t number, bool *injected_out)
{
    struct arena *arena = arena_create(0);
    struct simulated_request request = request_of(body, version, arena);
    if (number > 0)
        allocation_faults_arm(number);
    ingest_write(fixture->ingest, &request.request);
    *injected_out = allocation_faults_disarm();
    enum ingest_status status = request_await(fixture, &request);
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
    struct ingest_options options = fixture_options(fixture);
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
