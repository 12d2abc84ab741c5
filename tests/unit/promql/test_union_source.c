#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_set.h"
#include "promql/union_source.h"
#include "series_memory.h"

/* --- A source with limits, names and values over series_memory
 * ------------------------------------ */

struct whole_source {
    struct series_source base; /* first */
    struct series_source *inner;
};

static enum error_code whole_select(struct series_source *self,
                                    const struct series_request *request,
                                    struct series_set **set_out, struct error *error)
{
    enum error_code code =
        series_source_select(((struct whole_source *)self)->inner, request, set_out, error);
    if (code == ERROR_NONE && request->series_limit > 0 &&
        (*set_out)->count > request->series_limit) {
        (*set_out)->count = request->series_limit;
        (*set_out)->truncated = true;
    }
    return code;
}

/* Names when `name` is NULL, values of that label otherwise. */
static enum error_code find_texts(struct series_source *self, const struct series_request *request,
                                  const struct text *name, struct text_set *found,
                                  struct error *error)
{
    struct series_set *set;
    enum error_code code = series_source_select(self, request, &set, error);
    if (code != ERROR_NONE)
        return code;
    struct labels *labels = arena_array(request->arena, set->count, sizeof *labels);
    assert_non_null(labels);
    code = series_set_labels(set, 0, set->count, request->arena, labels, error);
    for (size_t i = 0; code == ERROR_NONE && i < set->count; i++) {
        struct labels_cursor cursor = labels_begin(labels[i]);
        struct label label;
        while (labels_next(&cursor, &label))
            if (name == NULL || text_equal(label.name, *name))
                assert_int_not_equal(text_set_add(found, name == NULL ? label.name : label.value),
                                     TEXT_SET_OUT_OF_MEMORY);
    }
    series_set_close(set);
    return code;
}

static enum error_code whole_names(struct series_source *self, const struct series_request *request,
                                   struct text_set *names, struct error *error)
{
    return find_texts(self, request, NULL, names, error);
}

static enum error_code whole_values(struct series_source *self,
                                    const struct series_request *request, struct text name,
                                    struct text_set *values, struct error *error)
{
    return find_texts(self, request, &name, values, error);
}

static const struct series_source_operations WHOLE = {
    .select = whole_select, .label_names = whole_names, .label_values = whole_values};

/* --- Three of them
 * ---------------------------------------------------------------------------------- */

/* Three sources, the middle one empty. */
struct fixture {
    struct series_memory *memories[3];
    struct whole_source wholes[3];
    struct series_source *sources[3];
    struct series_source *all;
    struct arena *arena;
};

static void add(struct fixture *fixture, size_t source, const char *metric, const char *name,
                double value)
{
    struct label labels[] = {{LABEL_METRIC_NAME, text_of(metric)}, {text_of(name), TEXT("x")}};
    struct labels built = labels_build(fixture->arena, labels, 2);
    series_memory_add(fixture->memories[source], built,
                      (struct memory_sample){.timestamp_ms = 1000, .value = value});
    series_memory_add(fixture->memories[source], built,
                      (struct memory_sample){.timestamp_ms = 2000, .value = value + 1});
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->arena = arena_create(0);
    for (size_t i = 0; i < 3; i++) {
        fixture->memories[i] = series_memory_create();
        fixture->wholes[i].base.operations = &WHOLE;
        fixture->wholes[i].inner = series_memory_source(fixture->memories[i]);
        fixture->sources[i] = &fixture->wholes[i].base;
    }
    add(fixture, 0, "first", "a", 10);
    add(fixture, 0, "second", "b", 20);
    add(fixture, 2, "third", "a", 30);
    fixture->all = union_source_create(fixture->sources, 3);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    union_source_destroy(fixture->all);
    for (size_t i = 0; i < 3; i++)
        series_memory_destroy(fixture->memories[i]);
    arena_destroy(fixture->arena);
    free(fixture);
    return 0;
}

static struct series_request everything(struct fixture *fixture)
{
    return (struct series_request){.end_ms = 10000, .arena = fixture->arena};
}

static void all_series_of_all_sources_are_selected(void **state)
{
    struct fixture *fixture = *state;
    struct series_request request = everything(fixture);
    struct series_set *set;
    struct error error;
    const char *const NAMES[] = {"first", "second", "third"};
    assert_int_equal(series_source_select(fixture->all, &request, &set, &error), ERROR_NONE);
    assert_int_equal(set->count, 3);
    assert_false(set->truncated);
    for (size_t first = 0; first < 3; first++)
        for (size_t count = 1; count <= 3 - first; count++) {
            struct labels labels[3];
            assert_int_equal(series_set_labels(set, first, count, fixture->arena, labels, &error),
                             ERROR_NONE);
            for (size_t i = 0; i < count; i++)
                assert_true(text_equal(labels_get(labels[i], LABEL_METRIC_NAME),
                                       text_of(NAMES[first + i])));
        }
    assert_true(series_set_may_have(set, LABEL_METRIC_NAME));
    assert_false(series_set_may_have(set, TEXT("nobody has this")));
    series_set_close(set);
}

static void samples_are_read_from_the_right_source_in_any_order(void **state)
{
    struct fixture *fixture = *state;
    struct series_request request = everything(fixture);
    static const size_t ORDER[] = {2, 0, 1, 2, 1, 0};
    struct series_set *set;
    struct series_reader *reader;
    struct error error;
    assert_int_equal(series_source_select(fixture->all, &request, &set, &error), ERROR_NONE);
    assert_int_equal(series_reader_open(set, &reader, &error), ERROR_NONE);
    for (size_t i = 0; i < sizeof ORDER / sizeof ORDER[0]; i++) {
        struct sample_columns columns;
        assert_int_equal(series_reader_read(reader, ORDER[i], &columns, &error), ERROR_NONE);
        assert_int_equal(columns.count, 2);
        assert_true(columns.values[0] == (double)(ORDER[i] + 1) * 10);
    }
    series_reader_close(reader);
    series_set_close(set);
}

static void a_limit_counts_over_all_sources(void **state)
{
    struct fixture *fixture = *state;
    struct series_request request = everything(fixture);
    struct error error;
    for (size_t limit = 1; limit <= 4; limit++) {
        struct series_set *set;
        request.series_limit = limit;
        assert_int_equal(series_source_select(fixture->all, &request, &set, &error), ERROR_NONE);
        assert_int_equal(set->count, limit < 3 ? limit : 3);
        if (limit < 3)
            assert_true(set->truncated);
        series_set_close(set);
    }
}

static void names_and_values_are_those_of_all_sources(void **state)
{
    struct fixture *fixture = *state;
    struct series_request request = everything(fixture);
    struct text_set names = {.arena = request.arena};
    struct text_set values = {.arena = request.arena};
    struct error error;
    assert_int_equal(series_source_label_names(fixture->all, &request, &names, &error), ERROR_NONE);
    assert_int_equal(names.count, 3);
    assert_true(text_set_contains(&names, TEXT("a")));
    assert_true(text_set_contains(&names, TEXT("b")));
    assert_true(text_set_contains(&names, LABEL_METRIC_NAME));
    assert_int_equal(series_source_label_values(fixture->all, &request, TEXT("a"), &values, &error),
                     ERROR_NONE);
    assert_int_equal(values.count, 1);
    assert_true(text_set_contains(&values, TEXT("x")));
}

/* --- A source that fails ---------------------------------------------------------------------- */

static size_t sets_open;

static void counted_close(struct series_set *set)
{
    (void)set;
    sets_open--;
}

static enum error_code counted_select(struct series_source *self,
                                      const struct series_request *request,
                                      struct series_set **set_out, struct error *error)
{
    static const struct series_set_operations OPERATIONS = {.close = counted_close};
    static struct series_set set = {.operations = &OPERATIONS};
    (void)self;
    (void)request;
    (void)error;
    sets_open++;
    *set_out = &set;
    return ERROR_NONE;
}

static enum error_code failing_select(struct series_source *self,
                                      const struct series_request *request,
                                      struct series_set **set_out, struct error *error)
{
    (void)self;
    (void)request;
    (void)set_out;
    return error_set(error, ERROR_UNAVAILABLE, "shard 2 has no leader");
}

static void the_failure_of_one_source_is_the_failure_of_all_and_leaves_nothing_open(void **state)
{
    struct fixture *fixture = *state;
    static const struct series_source_operations COUNTED = {.select = counted_select};
    static const struct series_source_operations FAILING = {.select = failing_select};
    struct series_source counted = {&COUNTED}, failing = {&FAILING};
    struct series_source *sources[] = {&counted, &counted, &failing};
    struct series_source *all = union_source_create(sources, 3);
    struct series_request request = everything(fixture);
    struct series_set *set;
    struct error error;
    assert_int_equal(series_source_select(all, &request, &set, &error), ERROR_UNAVAILABLE);
    assert_string_equal(error.message, "shard 2 has no leader");
    assert_int_equal(sets_open, 0);
    union_source_destroy(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_series_of_all_sources_are_selected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(samples_are_read_from_the_right_source_in_any_order, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_limit_counts_over_all_sources, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_and_values_are_those_of_all_sources, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            the_failure_of_one_source_is_the_failure_of_all_and_leaves_nothing_open, set_up,
            tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
