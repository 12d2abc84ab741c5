#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "federation/selection.h"
#include "promql/record_format.h"
#include "promql/series_format.h"
#include "series_memory.h"

enum { SERIES = 600, SAMPLES = 50 };

struct fixture {
    struct arena *arena;
    struct series_memory *memory;
    struct labels external;
    struct matcher *matcher;
    struct selection selection; /* of all series */
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error;
    struct label external = {TEXT("cluster"), TEXT("b")};
    fixture->arena = arena_create(0);
    fixture->memory = series_memory_create();
    fixture->external = labels_build(fixture->arena, &external, 1);
    for (int number = 0; number < SERIES; number++) {
        struct label array[] = {{LABEL_METRIC_NAME, TEXT("load")},
                                {TEXT("n"), arena_format(fixture->arena, "%04d", number)}};
        struct labels labels = labels_build(fixture->arena, array, 2);
        for (int i = 0; i < SAMPLES; i++)
            series_memory_add(fixture->memory, labels,
                              (struct memory_sample){1000 * i, number + 0.1 * i, NULL, 0});
    }
    assert_int_equal(
        matcher_create(MATCHER_EQUAL, LABEL_METRIC_NAME, TEXT("load"), &fixture->matcher, &error),
        ERROR_NONE);
    fixture->selection = (struct selection){
        .kind = SELECTION_SERIES,
        .external_labels = fixture->external,
        .end_ms = 1000 * SAMPLES,
        .timeout_ms = 30000,
        .matchers = (const struct matcher *const *)&fixture->matcher,
        .matcher_count = 1,
    };
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    matcher_destroy(fixture->matcher);
    series_memory_destroy(fixture->memory);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

struct keeping_sink {
    struct selection_sink base; /* first */
    struct byte_buffer bytes;
};

static enum error_code keep(struct selection_sink *self, const uint8_t *bytes, size_t size,
                            struct error *error)
{
    (void)error;
    byte_buffer_append(&((struct keeping_sink *)self)->bytes, bytes, size);
    return ERROR_NONE;
}

static void answer(struct fixture *fixture, const struct selection *selection,
                   struct keeping_sink *sink)
{
    struct selection_environment environment = {
        .source = series_memory_source(fixture->memory),
        .tenant = TEXT("anonymous"),
        .arena = fixture->arena,
    };
    struct error error;
    *sink = (struct keeping_sink){.base.write = keep};
    assert_int_equal(selection_answer(selection, &environment, &sink->base, &error), ERROR_NONE);
}

static void a_question_is_read_as_it_was_written(void **state)
{
    struct fixture *fixture = *state;
    struct byte_buffer buffer = {0};
    struct selection again;
    struct error error;
    struct selection selection = fixture->selection;
    selection.kind = SELECTION_LABEL_VALUES;
    selection.name = TEXT("n");
    selection.need = SERIES_NEED_LABELS;
    selection.series_limit = 7;
    selection_encode(&selection, &buffer);
    assert_int_equal(selection_decode(buffer.bytes, buffer.size, fixture->arena, &again, &error),
                     ERROR_NONE);
    assert_int_equal(again.kind, SELECTION_LABEL_VALUES);
    assert_true(text_equal(again.name, TEXT("n")));
    assert_true(labels_equal(again.external_labels, fixture->external));
    assert_int_equal(again.end_ms, selection.end_ms);
    assert_int_equal(again.need, SERIES_NEED_LABELS);
    assert_int_equal(again.series_limit, 7);
    assert_int_equal(again.timeout_ms, 30000);
    assert_int_equal(again.matcher_count, 1);
    assert_true(text_equal(again.matchers[0]->value, TEXT("load")));
    selection_clear(&again);
    for (size_t size = 2; size < buffer.size; size++)
        assert_int_equal(selection_decode(buffer.bytes, size, fixture->arena, &again, &error),
                         ERROR_CORRUPT);
    buffer.bytes[0] = 2;
    assert_int_equal(selection_decode(buffer.bytes, buffer.size, fixture->arena, &again, &error),
                     ERROR_UNSUPPORTED);
    byte_buffer_clear(&buffer);
}

static void series_arrive_with_samples_and_external_labels(void **state)
{
    struct fixture *fixture = *state;
    struct keeping_sink sink;
    struct selection_answer read;
    struct error error;
    answer(fixture, &fixture->selection, &sink);
    assert_int_equal(selection_answer_open(sink.bytes.bytes, sink.bytes.size, &read, &error),
                     ERROR_NONE);
    assert_false(read.is_truncated);
    struct series_list list = {.arena = fixture->arena, .end_ms = fixture->selection.end_ms};
    const uint8_t *payload;
    size_t size;
    while (selection_answer_next(&read, &payload, &size))
        assert_int_equal(series_list_add(&list, payload, size, &error), ERROR_NONE);
    assert_int_equal(list.count, SERIES);
    struct answer_decoder *decoder;
    assert_int_equal(answer_decoder_create(&decoder, &error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        struct sample_columns columns;
        assert_true(text_equal(labels_get(list.entries[i].labels, TEXT("cluster")), TEXT("b")));
        assert_int_equal(answer_decoder_read(decoder, &list, i, &columns, &error), ERROR_NONE);
        assert_int_equal(columns.count, SAMPLES);
        assert_true(columns.values[3] == (double)i + 0.1 * 3);
    }
    answer_decoder_destroy(decoder);
    byte_buffer_clear(&sink.bytes);
}

static void limits_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct selection selection = fixture->selection;
    struct keeping_sink sink;
    struct selection_answer read;
    struct error error;
    selection.need = SERIES_NEED_LABELS;
    selection.series_limit = 5;
    answer(fixture, &selection, &sink);
    assert_int_equal(selection_answer_open(sink.bytes.bytes, sink.bytes.size, &read, &error),
                     ERROR_NONE);
    assert_true(read.is_truncated);
    byte_buffer_clear(&sink.bytes);
}

static void names_arrive_with_external_ones(void **state)
{
    struct fixture *fixture = *state;
    struct selection selection = fixture->selection;
    struct keeping_sink sink;
    struct selection_answer read;
    struct error error;
    const uint8_t *payload;
    size_t size, count = 0;
    selection.kind = SELECTION_LABEL_NAMES;
    answer(fixture, &selection, &sink);
    assert_int_equal(selection_answer_open(sink.bytes.bytes, sink.bytes.size, &read, &error),
                     ERROR_NONE);
    while (selection_answer_next(&read, &payload, &size)) {
        struct byte_reader reader = byte_reader_over(payload, size);
        struct text text;
        while (record_read_text(&reader, &text))
            count++;
    }
    assert_int_equal(count, 3); /* __name__, cluster, n */
    byte_buffer_clear(&sink.bytes);
}

/* A connection can break anywhere. */
static void an_answer_that_is_cut_off_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct keeping_sink sink;
    struct selection_answer read;
    struct error error;
    answer(fixture, &fixture->selection, &sink);
    for (size_t size = 0; size < sink.bytes.size; size += size < 100 ? 1 : 97)
        assert_int_equal(selection_answer_open(sink.bytes.bytes, size, &read, &error),
                         ERROR_CORRUPT);
    byte_buffer_clear(&sink.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read_as_it_was_written),
        cmocka_unit_test(series_arrive_with_samples_and_external_labels),
        cmocka_unit_test(limits_are_told),
        cmocka_unit_test(names_arrive_with_external_ones),
        cmocka_unit_test(an_answer_that_is_cut_off_is_refused),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
