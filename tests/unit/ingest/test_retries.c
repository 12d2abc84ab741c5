/* What a shard did not take is built anew and sent again, and only that. */
#include "ingest_fixture.h"

struct sent {
    struct arena *arena;
    struct simulated_request request;
};

static void send(struct fixture *fixture, struct sent *sent, enum write_version version)
{
    int64_t time_ms = clock_now_ms(fixture->node.environment->base.clock) - 1000;
    sent->arena = arena_create(0);
    sent->request = request_of(build_body(sent->arena, time_ms, version), version, sent->arena);
    ingest_write(fixture->ingest, &sent->request.request);
}

static enum ingest_status await(struct fixture *fixture, struct sent *sent)
{
    return request_await(fixture, &sent->request);
}

static void run_ms(struct fixture *fixture, uint64_t duration_ms)
{
    simulated_scheduler_run_for(&fixture->node.environment->scheduler, duration_ms * 1000000);
}

static void await_waiting(struct fixture *fixture, uint64_t count)
{
    struct ingest_statistics statistics;
    do {
        assert_true(simulated_scheduler_step(&fixture->node.environment->scheduler));
        ingest_read_statistics(fixture->ingest, &statistics);
    } while (statistics.requests_waiting != count);
    assert_true(statistics.requests_in_flight >= count);
}

static uint64_t now_ms(const struct fixture *fixture)
{
    return clock_monotonic_ms(fixture->node.environment->base.clock);
}

static void assert_writes(const struct fixture *fixture, unsigned of_first, unsigned of_second)
{
    assert_int_equal(fixture->router.writes[0], of_first);
    assert_int_equal(fixture->router.writes[1], of_second);
}

static uint64_t stored_series(struct fixture *fixture)
{
    uint64_t count = 0;
    for (size_t i = 0; i < NODE_SHARDS; i++)
        count += shard_series_count(replica_shard(fixture->node.replicas[i]));
    return count;
}

static struct shard_statistics sum_of_shards(struct fixture *fixture)
{
    struct shard_statistics sum = {0};
    for (size_t i = 0; i < NODE_SHARDS; i++) {
        struct shard_statistics one;
        shard_read_statistics(replica_shard(fixture->node.replicas[i]), &one);
        sum.samples_appended += one.samples_appended;
        sum.samples_duplicate += one.samples_duplicate;
    }
    return sum;
}

/* --- Again ------------------------------------------------------------------------------------ */

static void only_the_part_that_failed_is_sent_again(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    uint64_t before_ms = now_ms(fixture);
    fixture->router.refuse[0] = 3;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    assert_writes(fixture, 4, 1);
    assert_int_equal(stored_series(fixture), SERIES);
    assert_int_equal(counter_value(fixture->metrics.retries), 3);
    assert_int_equal(counter_value(fixture->metrics.samples), SERIES);
    assert_int_equal(counter_value(fixture->metrics.new_series), SERIES);
    assert_true(now_ms(fixture) - before_ms >= 50 + 100 + 200);
    assert_true(now_ms(fixture) - before_ms < 50 + 100 + 200 + 100);
    arena_destroy(sent.arena);
}

static void parts_of_known_series_are_built_anew(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 3; i++) {
        struct sent sent;
        fixture->router.refuse[0] = i;
        fixture->router.refuse[1] = 2 * i;
        send(fixture, &sent, i == 1 ? WRITE_VERSION_2 : WRITE_VERSION_1);
        assert_int_equal(await(fixture, &sent), INGEST_STORED);
        arena_destroy(sent.arena);
        run_ms(fixture, 1000);
    }
    assert_writes(fixture, 3 + 3, 3 + 6);
    assert_int_equal(sum_of_shards(fixture).samples_appended, 3 * SERIES);
    assert_int_equal(stored_series(fixture), SERIES);
}

static void what_was_stored_all_the_same_is_a_duplicate(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    fixture->router.refuse[0] = fixture->router.refuse[1] = 1;
    fixture->router.stores = true;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    assert_writes(fixture, 2, 2);
    assert_int_equal(stored_series(fixture), SERIES);
    assert_int_equal(sum_of_shards(fixture).samples_appended, SERIES);
    arena_destroy(sent.arena);
}

static bool count_metadata(void *context, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    (void)metric_name;
    (void)metadata;
    ++*(unsigned *)context;
    return true;
}

static void metadata_are_sent_again_with_their_shard(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    unsigned count = 0;
    fixture->router.refuse[0] = 2;
    fixture->router.refuse[1] = 1;
    send(fixture, &sent, WRITE_VERSION_2);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    for (size_t i = 0; i < NODE_SHARDS; i++)
        shard_visit_metadata(replica_shard(fixture->node.replicas[i]), TEXT("anonymous"),
                             count_metadata, &count);
    assert_int_equal(count, 1);
    arena_destroy(sent.arena);
}

/* A series that contradicts itself, and one with an invalid name: both shards fail first. */
static void what_is_refused_is_counted_once(void **state)
{
    struct fixture *fixture = *state;
    struct arena *arena = arena_create(0);
    int64_t time_ms = clock_now_ms(fixture->node.environment->base.clock) - 1000;
    int64_t times[] = {time_ms, time_ms};
    double values[] = {1, 2};
    struct label labels[3][2] = {
        {{LABEL_METRIC_NAME, TEXT("up")}, {TEXT("instance"), TEXT("a")}},
        {{LABEL_METRIC_NAME, TEXT("up")}, {TEXT("instance"), TEXT("b")}},
        {{TEXT("instance"), TEXT("c")}, {TEXT("job"), TEXT("d")}},
    };
    struct byte_buffer body = {0};
    for (size_t i = 0; i < 3; i++)
        build_series_1(&body, &(struct built_series){.labels = labels[i],
                                                     .label_count = 2,
                                                     .timestamps_ms = times,
                                                     .values = values,
                                                     .sample_count = i == 0 ? 2 : 1});
    struct simulated_request request = request_of(compress(&body, arena), WRITE_VERSION_1, arena);
    fixture->router.refuse[0] = fixture->router.refuse[1] = 3;
    ingest_write(fixture->ingest, &request.request);
    assert_true(simulated_scheduler_run_until(&fixture->node.environment->scheduler, &request.done,
                                              1000000));
    assert_int_equal(request.request.status, INGEST_REFUSED);
    assert_int_equal(request.request.samples_written, 2);
    assert_int_equal(counter_value(fixture->metrics.refused[INGEST_REASON_CONFLICT]), 1);
    assert_int_equal(counter_value(fixture->metrics.refused[INGEST_REASON_LABELS]), 1);
    assert_non_null(strstr(request.request.message, "(and 1 more refused)"));
    arena_destroy(arena);
}

/* --- No more ---------------------------------------------------------------------------------- */

static void it_ends_at_its_deadline_in_the_words_of_the_shard(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    uint64_t before_ms = now_ms(fixture);
    fixture->router.refuse[1] = 1000;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_UNAVAILABLE);
    assert_string_equal(sent.request.request.message, "shard 1: no leader is known");
    assert_in_range(now_ms(fixture) - before_ms, 10000, 10600);
    assert_in_range(fixture->router.writes[1], 20, 26);
    assert_int_equal(fixture->router.writes[0], 1);
    arena_destroy(sent.arena);
}

static void other_failures_end_it_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    fixture->router.refuse[0] = 1;
    fixture->router.refusal = ERROR_OUT_OF_MEMORY;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_UNAVAILABLE);
    assert_writes(fixture, 1, 1);
    arena_destroy(sent.arena);
}

static void without_retries_it_ends_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    struct error error;
    struct ingest_options options = fixture_options(fixture);
    ingest_destroy(fixture->ingest);
    options.retry_ms = 0;
    assert_int_equal(ingest_create(&options, &fixture->ingest, &error), ERROR_NONE);
    fixture->router.refuse[0] = 1;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_UNAVAILABLE);
    assert_writes(fixture, 1, 1);
    assert_int_equal(counter_value(fixture->metrics.retries), 0);
    arena_destroy(sent.arena);
}

static void nobody_waits_for_those_who_went_away(void **state)
{
    struct fixture *fixture = *state;
    struct sent waiting, early;
    struct ingest_statistics statistics;
    fixture->router.refuse[0] = 1000;
    send(fixture, &waiting, WRITE_VERSION_1);
    run_ms(fixture, 2000);
    await_waiting(fixture, 1);
    send(fixture, &early, WRITE_VERSION_1);
    ingest_cancel(&early.request.request); /* what it sent is under way */
    ingest_read_statistics(fixture->ingest, &statistics);
    assert_int_equal(statistics.requests_in_flight, 2);
    assert_int_equal(statistics.requests_waiting, 1);
    ingest_cancel(&waiting.request.request);
    assert_false(waiting.request.done);
    run_ms(fixture, 1);
    assert_true(waiting.request.done);
    assert_int_equal(waiting.request.request.status, INGEST_UNAVAILABLE);
    if (!early.request.done)
        assert_int_equal(await(fixture, &early), INGEST_UNAVAILABLE);
    ingest_read_statistics(fixture->ingest, &statistics);
    assert_int_equal(statistics.requests_in_flight + statistics.requests_waiting, 0);
    arena_destroy(waiting.arena);
    arena_destroy(early.arena);
}

static void a_node_that_drains_sends_nothing_again(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent[3];
    fixture->router.refuse[0] = 1000;
    for (size_t i = 0; i < 2; i++)
        send(fixture, &sent[i], WRITE_VERSION_1);
    run_ms(fixture, 1000);
    await_waiting(fixture, 2);
    ingest_drain(fixture->ingest, 0);
    run_ms(fixture, 1);
    assert_true(sent[0].request.done && sent[1].request.done);
    unsigned writes = fixture->router.writes[0];
    send(fixture, &sent[2], WRITE_VERSION_1);
    await(fixture, &sent[2]);
    assert_int_equal(fixture->router.writes[0], writes + 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sent[i].request.request.status, INGEST_UNAVAILABLE);
        assert_string_equal(sent[i].request.request.message, "shard 0: no leader is known");
        arena_destroy(sent[i].arena);
    }
}

static void a_node_that_drains_beside_others_sends_again_for_a_while(void **state)
{
    struct fixture *fixture = *state;
    struct sent saved, lost;
    fixture->router.refuse[0] = 1;
    ingest_drain(fixture->ingest, 2000);
    send(fixture, &saved, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &saved), INGEST_STORED);
    fixture->router.refuse[0] = 1000;
    send(fixture, &lost, WRITE_VERSION_1);
    run_ms(fixture, 1000);
    assert_false(lost.request.done);
    run_ms(fixture, 1100);
    assert_true(lost.request.done);
    assert_int_equal(lost.request.request.status, INGEST_UNAVAILABLE);
    arena_destroy(saved.arena);
    arena_destroy(lost.arena);
}

/* --- Slots ------------------------------------------------------------------------------------ */

/* Half of the slots of shard 0 go to shard 1, while a request waits and after it. */
static void series_of_slots_that_moved_are_looked_up_again(void **state)
{
    struct fixture *fixture = *state;
    struct slot_map moved = fixture->slots;
    struct sent sent;
    moved.version++;
    for (size_t slot = 0; slot < SLOT_COUNT / 4; slot++)
        moved.shards[slot] = 1;
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    arena_destroy(sent.arena);
    run_ms(fixture, 1000);
    uint64_t misses = counter_value(fixture->metrics.alias_misses);
    uint64_t of_first = shard_series_count(replica_shard(fixture->node.replicas[0]));

    fixture->router.refuse[0] = 2;
    send(fixture, &sent, WRITE_VERSION_1);
    run_ms(fixture, 20);
    ingest_set_slots(fixture->ingest, &moved);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    arena_destroy(sent.arena);
    misses = counter_value(fixture->metrics.alias_misses) - misses;
    assert_in_range(misses, 1, SERIES / 2);
    assert_int_equal(stored_series(fixture), SERIES + misses);
    assert_int_equal(shard_series_count(replica_shard(fixture->node.replicas[0])), of_first);
    assert_int_equal(counter_value(fixture->metrics.new_series), SERIES + misses);

    run_ms(fixture, 1000);
    ingest_set_slots(fixture->ingest, &fixture->slots); /* older: ignored */
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    assert_int_equal(counter_value(fixture->metrics.new_series), SERIES + misses);
    assert_int_equal(counter_value(fixture->metrics.alias_misses), SERIES + misses);
    arena_destroy(sent.arena);
}

/* The map that a node starts with may be a guess, with more shards than there are. */
static void a_map_of_fewer_shards_is_followed(void **state)
{
    struct fixture *fixture = *state;
    struct sent sent;
    fixture->router.refuse[0] = 1;
    send(fixture, &sent, WRITE_VERSION_2);
    run_ms(fixture, 20);
    slot_map_init(&fixture->slots, 1); /* of the same version */
    ingest_set_slots(fixture->ingest, &fixture->slots);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    arena_destroy(sent.arena);
    unsigned writes = fixture->router.writes[1];
    send(fixture, &sent, WRITE_VERSION_1);
    assert_int_equal(await(fixture, &sent), INGEST_STORED);
    assert_int_equal(fixture->router.writes[1], writes);
    arena_destroy(sent.arena);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(only_the_part_that_failed_is_sent_again),
        WITH_FIXTURE(parts_of_known_series_are_built_anew),
        WITH_FIXTURE(what_was_stored_all_the_same_is_a_duplicate),
        WITH_FIXTURE(metadata_are_sent_again_with_their_shard),
        WITH_FIXTURE(what_is_refused_is_counted_once),
        WITH_FIXTURE(it_ends_at_its_deadline_in_the_words_of_the_shard),
        WITH_FIXTURE(other_failures_end_it_at_once),
        WITH_FIXTURE(without_retries_it_ends_at_once),
        WITH_FIXTURE(nobody_waits_for_those_who_went_away),
        WITH_FIXTURE(a_node_that_drains_sends_nothing_again),
        WITH_FIXTURE(a_node_that_drains_beside_others_sends_again_for_a_while),
        WITH_FIXTURE(series_of_slots_that_moved_are_looked_up_again),
        WITH_FIXTURE(a_map_of_fewer_shards_is_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
