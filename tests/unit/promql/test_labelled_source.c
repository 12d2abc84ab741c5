#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "promql/distribution.h"
#include "promql/labelled_source.h"
#include "series_memory.h"

struct fixture {
    struct series_memory *memory;
    struct arena *arena;
    struct labels external;
    struct labelled_source labelled;
    struct series_source *source;
};

static void add(struct fixture *fixture, struct label *array, size_t count)
{
    series_memory_add(fixture->memory, labels_build(fixture->arena, array, count),
                      (struct memory_sample){1000, 1, NULL, 0});
}

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->memory = series_memory_create();
    fixture->arena = arena_create(0);
    struct label plain[] = {{LABEL_METRIC_NAME, TEXT("load")}, {TEXT("instance"), TEXT("one")}};
    struct label taken[] = {{LABEL_METRIC_NAME, TEXT("load")},
                            {TEXT("cluster"), TEXT("own")},
                            {TEXT("instance"), TEXT("two")}};
    struct label both[] = {{LABEL_METRIC_NAME, TEXT("load")},
                           {TEXT("cluster"), TEXT("own")},
                           {TEXT("exported_cluster"), TEXT("older")},
                           {TEXT("instance"), TEXT("three")}};
    struct label external[] = {{TEXT("zone"), TEXT("z")}, {TEXT("cluster"), TEXT("b")}};
    add(fixture, plain, 2);
    add(fixture, taken, 3);
    add(fixture, both, 4);
    fixture->external = labels_build(fixture->arena, external, 2);
    fixture->source = labelled_source_init(
        &fixture->labelled, series_memory_source(fixture->memory), fixture->external);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;
    series_memory_destroy(fixture->memory);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

/* Of one matcher, which is the caller's to destroy. */
static struct series_request request_of(struct fixture *fixture, enum matcher_type type,
                                        const char *name, const char *value)
{
    struct error error;
    struct matcher **matchers = arena_array(fixture->arena, 1, sizeof *matchers);
    assert_int_equal(matcher_create(type, text_of(name), text_of(value), &matchers[0], &error),
                     ERROR_NONE);
    return (struct series_request){
        .tenant = TEXT("anonymous"),
        .matchers = (const struct matcher *const *)matchers,
        .matcher_count = 1,
        .end_ms = 5000,
        .arena = fixture->arena,
    };
}

static void request_clear(const struct series_request *request)
{
    matcher_destroy((struct matcher *)request->matchers[0]);
}

/* Series that one matcher selects, as text in the order of the source. */
static const char *selected(struct fixture *fixture, enum matcher_type type, const char *name,
                            const char *value)
{
    struct series_request request = request_of(fixture, type, name, value);
    struct series_set *set;
    struct error error;
    struct byte_buffer all = {0};
    assert_int_equal(series_source_select(fixture->source, &request, &set, &error), ERROR_NONE);
    for (size_t i = 0; i < set->count; i++) {
        char line[256];
        struct labels labels;
        struct series_reader *reader;
        struct sample_columns columns;
        assert_int_equal(series_set_labels(set, i, 1, fixture->arena, &labels, &error), ERROR_NONE);
        assert_int_equal(series_reader_open(set, &reader, &error), ERROR_NONE);
        assert_int_equal(series_reader_read(reader, i, &columns, &error), ERROR_NONE);
        assert_int_equal(columns.count, 1);
        series_reader_close(reader);
        labels_format(line, sizeof line, labels);
        byte_buffer_append(&all, line, strlen(line));
        byte_buffer_append(&all, "\n", 1);
    }
    series_set_close(set);
    request_clear(&request);
    const char *text =
        arena_copy_text(fixture->arena, (struct text){(char *)all.bytes, all.size}).data;
    byte_buffer_clear(&all);
    return text;
}

#define ONE "load{cluster=\"b\", instance=\"one\", zone=\"z\"}\n"
#define TWO "load{cluster=\"b\", exported_cluster=\"own\", instance=\"two\", zone=\"z\"}\n"
#define THREE                                                                                      \
    "load{cluster=\"b\", exported_cluster=\"older\", exported_exported_cluster=\"own\", "          \
    "instance=\"three\", zone=\"z\"}\n"

static void external_labels_win_and_others_are_renamed(void **state)
{
    assert_string_equal(selected(*state, MATCHER_EQUAL, "__name__", "load"), ONE TWO THREE);
}

static void matchers_see_external_labels(void **state)
{
    assert_string_equal(selected(*state, MATCHER_EQUAL, "cluster", "b"), ONE TWO THREE);
    assert_string_equal(selected(*state, MATCHER_REGEX, "zone", "y|z"), ONE TWO THREE);
    assert_string_equal(selected(*state, MATCHER_EQUAL, "cluster", "own"), "");
    assert_string_equal(selected(*state, MATCHER_NOT_EQUAL, "zone", "z"), "");
    assert_string_equal(selected(*state, MATCHER_EQUAL, "zone", ""), "");
}

static void matchers_see_renamed_labels(void **state)
{
    assert_string_equal(selected(*state, MATCHER_EQUAL, "exported_cluster", "own"), TWO);
    assert_string_equal(selected(*state, MATCHER_EQUAL, "exported_cluster", ""), ONE);
    assert_string_equal(selected(*state, MATCHER_NOT_EQUAL, "exported_cluster", "own"), ONE THREE);
    assert_string_equal(selected(*state, MATCHER_EQUAL, "exported_exported_cluster", "own"), THREE);
}

static const char *texts(struct fixture *fixture, struct series_request *request, const char *name)
{
    struct text_set found = {.arena = fixture->arena};
    struct error error;
    struct byte_buffer all = {0};
    enum error_code code =
        name == NULL
            ? series_source_label_names(fixture->source, request, &found, &error)
            : series_source_label_values(fixture->source, request, text_of(name), &found, &error);
    assert_int_equal(code, ERROR_NONE);
    const struct text *sorted = text_set_sorted(&found);
    for (size_t i = 0; i < found.count; i++) {
        byte_buffer_append(&all, sorted[i].data, sorted[i].size);
        byte_buffer_append(&all, " ", 1);
    }
    const char *text =
        arena_copy_text(fixture->arena, (struct text){(char *)all.bytes, all.size}).data;
    byte_buffer_clear(&all);
    return text;
}

static void names_and_values_are_those_of_the_series(void **state)
{
    struct fixture *fixture = *state;
    struct series_request all = request_of(fixture, MATCHER_EQUAL, "__name__", "load");
    struct series_request one = request_of(fixture, MATCHER_EQUAL, "instance", "one");
    struct series_request none = request_of(fixture, MATCHER_EQUAL, "cluster", "a");
    struct series_request absent = request_of(fixture, MATCHER_EQUAL, "instance", "nine");
    assert_string_equal(texts(fixture, &all, NULL), "__name__ cluster exported_cluster "
                                                    "exported_exported_cluster instance zone ");
    assert_string_equal(texts(fixture, &one, NULL), "__name__ cluster instance zone ");
    assert_string_equal(texts(fixture, &none, NULL), "");
    assert_string_equal(texts(fixture, &absent, NULL), "");
    assert_string_equal(texts(fixture, &all, "cluster"), "b ");
    assert_string_equal(texts(fixture, &all, "exported_cluster"), "older own ");
    assert_string_equal(texts(fixture, &all, "instance"), "one three two ");
    assert_string_equal(texts(fixture, &absent, "cluster"), "");
    request_clear(&all);
    request_clear(&one);
    request_clear(&none);
    request_clear(&absent);
}

static void a_limit_counts_what_is_left_of_renamed_labels(void **state)
{
    struct fixture *fixture = *state;
    struct series_request request =
        request_of(fixture, MATCHER_NOT_EQUAL, "exported_cluster", "own");
    struct series_set *set;
    struct error error;
    request.series_limit = 1;
    assert_int_equal(series_source_select(fixture->source, &request, &set, &error), ERROR_NONE);
    assert_int_equal(set->count, 1);
    assert_true(set->truncated);
    series_set_close(set);
    request_clear(&request);
}

static void requests_carry_external_labels(void **state)
{
    struct fixture *fixture = *state;
    struct promql_partial_request request = {
        .mode = PROMQL_PARTIAL_SERIES,
        .expression = TEXT("a"),
        .line = 1,
        .column = 1,
        .step_ms = 1,
        .step_count = 1,
        .lookback_ms = 1,
        .subquery_step_default_ms = 1,
        .external_labels = fixture->external,
    };
    struct byte_buffer buffer = {0};
    struct promql_partial_request again;
    struct error error;
    promql_partial_request_encode(&request, &buffer);
    assert_int_equal(promql_partial_request_decode(buffer.bytes, buffer.size, &again, &error),
                     ERROR_NONE);
    assert_true(labels_equal(again.external_labels, fixture->external));
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(promql_partial_request_decode(buffer.bytes, size, &again, &error),
                         ERROR_CORRUPT);
    byte_buffer_clear(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(external_labels_win_and_others_are_renamed),
        cmocka_unit_test(matchers_see_external_labels),
        cmocka_unit_test(matchers_see_renamed_labels),
        cmocka_unit_test(names_and_values_are_those_of_the_series),
        cmocka_unit_test(a_limit_counts_what_is_left_of_renamed_labels),
        cmocka_unit_test(requests_carry_external_labels),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
