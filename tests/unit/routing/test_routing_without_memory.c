/* The n-th allocation fails: calls end all the same, and nothing is left behind. */
#include "routing_cluster.h"

#include "allocation_faults.h"

#include "write_codec.h"

static void a_write_that_finds_no_memory_to_be_sent_ends(void **state)
{
    (void)state;
    cluster_open(1);
    struct member *asker = follower_of(0);
    unsigned failed = 0;
    for (size_t number = 1;; number++) {
        struct written *written = written_build(NULL, wall_ms());
        allocation_faults_arm(number);
        written_send(asker, 0, written);
        bool injected = allocation_faults_disarm();
        enum error_code code = written_await(written);
        written_free(written);
        if (!injected) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        assert_true(code == ERROR_OUT_OF_MEMORY || code == ERROR_UNAVAILABLE);
        assert_int_equal(statistics_of_member(asker).under_way, 0);
        failed++;
    }
    assert_true(failed >= 3);
    assert_int_equal(samples_of(leader_of(0), 0), WRITE_SERIES);
    cluster_close();
}

static void a_write_without_memory_is_neither_encoded_nor_decoded(void **state)
{
    (void)state;
    struct written *written = written_build(NULL, 1);
    struct entry_metadata metadata = {TEXT("up"), {METRIC_GAUGE, TEXT("help"), TEXT("")}};
    written->write.write.metadata = &metadata;
    written->write.write.metadata_count = 1;
    struct shared_bytes *bytes = NULL;
    for (size_t number = 1; bytes == NULL; number++) {
        allocation_faults_arm(number);
        bytes = write_question_encode(1, &written->write.write);
        assert_int_equal(allocation_faults_disarm(), bytes == NULL);
    }
    size_t failed = 0;
    for (size_t number = 1;; number++) {
        struct arena *arena = arena_create(0);
        struct shard_write decoded;
        uint32_t shard_id;
        struct error error;
        allocation_faults_arm(number);
        enum error_code code =
            write_question_decode(bytes->bytes, bytes->size, arena, &shard_id, &decoded, &error);
        bool injected = allocation_faults_disarm();
        arena_destroy(arena);
        assert_int_equal(code, injected ? ERROR_OUT_OF_MEMORY : ERROR_NONE);
        if (!injected)
            break;
        failed++;
    }
    assert_true(failed > 0);
    shared_bytes_unref(bytes);
    written_free(written);
}

static void a_routing_without_memory_is_not_made(void **state)
{
    (void)state;
    struct routing *routing = NULL;
    struct routing_options options = {0};
    struct error error;
    allocation_faults_arm(1);
    enum error_code code = routing_create(&options, &routing, &error);
    assert_true(allocation_faults_disarm());
    assert_int_equal(code, ERROR_OUT_OF_MEMORY);
    assert_null(routing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_finds_no_memory_to_be_sent_ends),
        cmocka_unit_test(a_write_without_memory_is_neither_encoded_nor_decoded),
        cmocka_unit_test(a_routing_without_memory_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
