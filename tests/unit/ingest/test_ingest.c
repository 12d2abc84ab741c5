/* What requests leave behind: aliases, counts, refusals. */
#include "ingest_fixture.h"

static int64_t time_now(const struct fixture *fixture)
{
    return clock_now_ms(fixture->node.environment->base.clock);
}

static enum ingest_status send_body(struct fixture *fixture, int64_t time_ms,
                                    enum write_version version)
{
    struct arena *arena = arena_create(0);
    struct simulated_request request =
        request_of(build_body(arena, time_ms, version), version, arena);
    ingest_write(fixture->ingest, &request.request);
    enum ingest_status status = request_await(fixture, &request);
    arena_destroy(arena);
    return status;
}

/* 2.0 spells the same labels in other bytes: other aliases, the same series. */
static void a_series_is_new_once_and_a_miss_once_for_each_spelling(void **state)
{
    struct fixture *fixture = *state;
    int64_t time_ms = time_now(fixture);
    static const struct {
        enum write_version version;
        uint64_t new_series, alias_misses;
    } STEPS[] = {
        {WRITE_VERSION_1, SERIES, SERIES},     {WRITE_VERSION_1, SERIES, SERIES},
        {WRITE_VERSION_2, SERIES, 2 * SERIES}, {WRITE_VERSION_2, SERIES, 2 * SERIES},
        {WRITE_VERSION_1, SERIES, 2 * SERIES},
    };
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        assert_int_equal(send_body(fixture, time_ms - 1000 + (int64_t)i, STEPS[i].version),
                         INGEST_STORED);
        assert_int_equal(counter_value(fixture->metrics.new_series), STEPS[i].new_series);
        assert_int_equal(counter_value(fixture->metrics.alias_misses), STEPS[i].alias_misses);
    }
}

static const struct label LABELS[] = {{{"__name__", 8}, {"up", 2}}};
static const double VALUE = 1;

/* `up`, and behind it a series whose labels are torn, in front of a sample that is not. */
static struct text build_torn_body(struct arena *arena, int64_t time_ms)
{
    static const uint8_t TORN[] = {0x0a, 0x05, 0x0a, 0x01, 'a', 0x12, 0x02};
    struct byte_buffer body = {0}, series = {0}, sample = {0};
    struct built_series known = {.labels = LABELS,
                                 .label_count = 1,
                                 .timestamps_ms = &time_ms,
                                 .values = &VALUE,
                                 .sample_count = 1};
    build_series_1(&body, &known);
    build_double_field(&sample, 1, VALUE);
    build_varint_field(&sample, 2, (uint64_t)time_ms);
    byte_buffer_append(&series, TORN, sizeof TORN);
    build_bytes_field(&series, 2, sample.bytes, sample.size);
    build_bytes_field(&body, 1, series.bytes, series.size);
    byte_buffer_clear(&series);
    byte_buffer_clear(&sample);
    return compress(&body, arena);
}

static void labels_taken_on_trust_are_looked_at_before_anything_is_stored(void **state)
{
    struct fixture *fixture = *state;
    struct arena *arena = arena_create(0);
    struct text body = build_torn_body(arena, time_now(fixture));
    struct simulated_request request = request_of(body, WRITE_VERSION_1, arena);
    ingest_write(fixture->ingest, &request.request);
    assert_int_equal(request_await(fixture, &request), INGEST_REFUSED);
    assert_int_equal(counter_value(fixture->metrics.refused[INGEST_REASON_MALFORMED]), 1);
    assert_int_equal(counter_value(fixture->metrics.samples), 0);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_series_is_new_once_and_a_miss_once_for_each_spelling,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            labels_taken_on_trust_are_looked_at_before_anything_is_stored, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
