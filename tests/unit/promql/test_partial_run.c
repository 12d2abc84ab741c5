#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "platform/worker_pool.h"
#include "promql/partial.h"
#include "series_memory.h"

enum { SERIES = 3000, SAMPLES = 30, STEPS = 50 };

/* --- A place --------------------------------------------------------------------------------- */

struct fixture {
    struct series_memory *memory;
    struct worker_pool *pool;
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct worker_pool_options options = {.worker_count = 4};
    struct error error;
    struct arena *arena = arena_create(0);
    fixture->memory = series_memory_create();
    for (int number = 0; number < SERIES; number++) {
        arena_reset(arena);
        struct label array[] = {
            {LABEL_METRIC_NAME, TEXT("a")},
            {TEXT("group"), arena_format(arena, "%d", number % 600)},
            {TEXT("z"), arena_format(arena, "%d", number)},
        };
        struct labels labels = labels_build(arena, array, 3);
        for (int i = 0; i < SAMPLES; i++)
            series_memory_add(
                fixture->memory, labels,
                (struct memory_sample){(int64_t)i * 15000, (i * 7 + number) % 11 * 0.3, NULL, 0});
    }
    arena_destroy(arena);
    assert_int_equal(worker_pool_create(&options, &fixture->pool, &error), ERROR_NONE);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    worker_pool_destroy(fixture->pool);
    series_memory_destroy(fixture->memory);
    free(fixture);
    return 0;
}

static struct promql_partial_request request_make(const char *expression,
                                                  enum promql_partial_mode mode)
{
    return (struct promql_partial_request){
        .mode = mode,
        .expression = text_of(expression),
        .line = 1,
        .column = 1,
        .query_start_ms = 120000,
        .query_end_ms = 120000 + (STEPS - 1) * 5000,
        .query_step_ms = 5000,
        .start_ms = 120000,
        .step_ms = 5000,
        .step_count = STEPS,
        .lookback_ms = 300000,
        .subquery_step_default_ms = 60000,
        .sample_weight = 1,
    };
}

static struct promql_partial_environment environment_make(struct fixture *fixture,
                                                          struct worker_pool *pool)
{
    return (struct promql_partial_environment){
        .source = series_memory_source(fixture->memory),
        .pool = pool,
        .clock = clock_system(),
    };
}

/* Keeps what it gets, up to a piece. */
struct keeping_sink {
    struct promql_partial_sink sink;
    struct byte_buffer bytes;
    size_t piece_count;
    size_t largest;
    size_t refuses_after; /* pieces; 0: never */
};

static enum error_code keep(struct promql_partial_sink *self, const uint8_t *bytes, size_t size,
                            struct error *error)
{
    struct keeping_sink *sink = (struct keeping_sink *)self;
    assert_true(size > 0);
    if (sink->refuses_after > 0 && sink->piece_count == sink->refuses_after)
        return error_set(error, ERROR_CLOSED, "nobody listens any more");
    sink->piece_count++;
    sink->largest = size > sink->largest ? size : sink->largest;
    byte_buffer_append(&sink->bytes, bytes, size);
    return ERROR_NONE;
}

static enum error_code run(struct fixture *fixture, struct worker_pool *pool,
                           const struct promql_partial_request *request, struct keeping_sink *sink,
                           struct error *error)
{
    struct promql_partial_environment environment = environment_make(fixture, pool);
    sink->sink.write = keep;
    return promql_partial_run(request, &environment, &sink->sink, error);
}

/* --- Tests ----------------------------------------------------------------------------------- */

static void an_answer_has_the_same_bytes_with_any_number_of_threads(void **state)
{
    struct fixture *fixture = *state;
    const struct promql_partial_request requests[] = {
        request_make("rate(a[1m])", PROMQL_PARTIAL_SERIES),
        request_make("sum by (group) (rate(a[1m]))", PROMQL_PARTIAL_GROUPS),
        request_make("count_values by (group) (\"v\", a)", PROMQL_PARTIAL_GROUPS),
        request_make("topk by (group) (2, a)", PROMQL_PARTIAL_SERIES),
    };
    for (size_t i = 0; i < 2 * sizeof requests / sizeof requests[0]; i++) {
        struct promql_partial_request request = requests[i / 2];
        request.packing = i % 2 == 0 ? PROMQL_PARTIAL_FAST : PROMQL_PARTIAL_SHORT;
        struct keeping_sink alone = {0};
        struct keeping_sink together = {0};
        struct error error;
        assert_int_equal(run(fixture, NULL, &request, &alone, &error), ERROR_NONE);
        assert_int_equal(run(fixture, fixture->pool, &request, &together, &error), ERROR_NONE);
        assert_int_equal(alone.bytes.size, together.bytes.size);
        assert_memory_equal(alone.bytes.bytes, together.bytes.bytes, alone.bytes.size);
        byte_buffer_clear(&alone.bytes);
        byte_buffer_clear(&together.bytes);
    }
}

static void a_short_answer_is_shorter(void **state)
{
    struct fixture *fixture = *state;
    struct promql_partial_request request = request_make("a * 7.77", PROMQL_PARTIAL_SERIES);
    struct keeping_sink sinks[2] = {0};
    struct error error;
    assert_int_equal(run(fixture, NULL, &request, &sinks[0], &error), ERROR_NONE);
    request.packing = PROMQL_PARTIAL_SHORT;
    assert_int_equal(run(fixture, NULL, &request, &sinks[1], &error), ERROR_NONE);
    assert_true(sinks[1].bytes.size * 3 < sinks[0].bytes.size * 2);
    byte_buffer_clear(&sinks[0].bytes);
    byte_buffer_clear(&sinks[1].bytes);
}

static void an_answer_comes_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    struct promql_partial_request request = request_make("rate(a[1m])", PROMQL_PARTIAL_SERIES);
    struct keeping_sink sink = {0};
    struct error error;
    assert_int_equal(run(fixture, fixture->pool, &request, &sink, &error), ERROR_NONE);
    assert_true(sink.bytes.size > 4 * PROMQL_PARTIAL_PIECE_BYTES);
    assert_true(sink.piece_count > 4);
    assert_true(sink.largest < PROMQL_PARTIAL_PIECE_BYTES + 8192);
    byte_buffer_clear(&sink.bytes);
}

static void a_sink_that_refuses_ends_the_evaluation(void **state)
{
    struct fixture *fixture = *state;
    struct promql_partial_request request = request_make("rate(a[1m])", PROMQL_PARTIAL_SERIES);
    for (size_t refuses_after = 1; refuses_after <= 4; refuses_after++) {
        struct keeping_sink sink = {.refuses_after = refuses_after};
        struct error error;
        assert_int_equal(run(fixture, fixture->pool, &request, &sink, &error), ERROR_CLOSED);
        assert_string_equal(error.message, "nobody listens any more");
        assert_int_equal(sink.piece_count, refuses_after);
        byte_buffer_clear(&sink.bytes);
    }
}

static void what_fails_in_the_middle_is_the_end_of_the_answer(void **state)
{
    struct fixture *fixture = *state;
    struct promql_partial_request request = request_make("rate(a[1m])", PROMQL_PARTIAL_SERIES);
    request.samples_max = 3;
    struct keeping_sink sink = {0};
    struct error error;
    assert_int_equal(run(fixture, fixture->pool, &request, &sink, &error), ERROR_LIMIT);
    const struct byte_buffer *bytes = &sink.bytes;
    assert_true(bytes->size > strlen(error.message));
    assert_memory_equal(bytes->bytes + bytes->size - strlen(error.message), error.message,
                        strlen(error.message));
    byte_buffer_clear(&sink.bytes);
}

static void what_is_no_vector_or_has_no_groups_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *expression;
        enum promql_partial_mode mode;
        enum error_code code;
    } CASES[] = {
        {"1", PROMQL_PARTIAL_SERIES, ERROR_INVALID},
        {"a[5m]", PROMQL_PARTIAL_SERIES, ERROR_INVALID},
        {"a +", PROMQL_PARTIAL_SERIES, ERROR_INVALID},
        {"a", PROMQL_PARTIAL_GROUPS, ERROR_UNSUPPORTED},
        {"topk(1, a)", PROMQL_PARTIAL_GROUPS, ERROR_UNSUPPORTED},
        {"quantile(0.5, a)", PROMQL_PARTIAL_GROUPS, ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct promql_partial_request request = request_make(CASES[i].expression, CASES[i].mode);
        struct keeping_sink sink = {0};
        struct error error;
        assert_int_equal(run(fixture, NULL, &request, &sink, &error), CASES[i].code);
        assert_int_equal(sink.piece_count, 1); /* the error */
        byte_buffer_clear(&sink.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_has_the_same_bytes_with_any_number_of_threads),
        cmocka_unit_test(a_short_answer_is_shorter),
        cmocka_unit_test(an_answer_comes_in_pieces),
        cmocka_unit_test(a_sink_that_refuses_ends_the_evaluation),
        cmocka_unit_test(what_fails_in_the_middle_is_the_end_of_the_answer),
        cmocka_unit_test(what_is_no_vector_or_has_no_groups_is_refused),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
