#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "head/memory_index.h"

/* --- Support ---------------------------------------------------------------------------------- */

enum { FIRST_ID = 5000, TENANTS = 7, SERIES = 3000 };

static struct memory_index *index_with(size_t memory_limit_bytes)
{
    struct memory_index_options options = {
        .first_id = FIRST_ID, .hash_seed = 42, .memory_limit_bytes = memory_limit_bytes};
    struct memory_index *index;
    struct error error;
    assert_int_equal(memory_index_create(&options, &index, &error), ERROR_NONE);
    return index;
}

static struct text tenant_of(unsigned number)
{
    static const char *const NAMES[TENANTS] = {"anonymous", "a", "b", "tenant-4", "x", "y", "z"};
    return text_of(NAMES[number % TENANTS]);
}

/* A fleet: few metrics and jobs, many instances; one label only some series have. */
static struct labels labels_of(struct arena *arena, unsigned number)
{
    struct label array[5];
    size_t count = 0;
    array[count++] =
        (struct label){LABEL_METRIC_NAME, arena_format(arena, "metric_%u_total", number / 7 % 40)};
    array[count++] = (struct label){TEXT("job"), arena_format(arena, "job-%u", number % 3)};
    array[count++] = (struct label){TEXT("instance"), arena_format(arena, "10.0.0.%u", number)};
    if (number % 4 == 0)
        array[count++] = (struct label){TEXT("zone"), arena_format(arena, "z%u", number % 8)};
    return labels_build(arena, array, count);
}

static enum error_code add_number(struct memory_index *index, struct arena *arena, unsigned number,
                                  uint64_t *id_out)
{
    struct memory_series series = {.tenant = tenant_of(number),
                                   .labels = labels_of(arena, number),
                                   .target_id = number * 3u,
                                   .slot = (uint16_t)(number % 4096)};
    struct error error;
    return memory_index_add(index, &series, id_out, &error);
}

static struct memory_index *index_of_many(struct arena *arena)
{
    struct memory_index *index = index_with(0);
    for (unsigned number = 0; number < SERIES; number++) {
        uint64_t id;
        assert_int_equal(add_number(index, arena, number, &id), ERROR_NONE);
        assert_int_equal(id, FIRST_ID + number);
    }
    return index;
}

/* --- Registry --------------------------------------------------------------------------------- */

static void series_are_found_by_id_and_by_labels(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct memory_index *index = index_of_many(arena);
    assert_int_equal(memory_index_count(index), SERIES);
    assert_int_equal(memory_index_tenant_count(index), TENANTS);
    struct error error;
    for (unsigned number = 0; number < SERIES; number++) {
        struct labels labels = labels_of(arena, number);
        uint64_t id;
        assert_true(memory_index_find(index, tenant_of(number), labels, &id));
        assert_int_equal(id, FIRST_ID + number);
        assert_false(memory_index_find(index, tenant_of(number + 1), labels, &id));
        struct memory_series series;
        assert_int_equal(memory_index_get(index, id, arena, &series, &error), ERROR_NONE);
        assert_true(labels_equal(series.labels, labels));
        assert_true(text_equal(series.tenant, tenant_of(number)));
        uint64_t target_id;
        uint16_t slot;
        assert_true(memory_index_target(index, id, &target_id, &slot));
        assert_int_equal(target_id, number * 3);
        assert_int_equal(slot, number % 4096);
        assert_int_equal(series.target_id, target_id);
        assert_int_equal(series.slot, slot);
    }
    struct memory_series series;
    assert_int_equal(memory_index_get(index, FIRST_ID + SERIES, arena, &series, &error),
                     ERROR_NOT_FOUND);
    assert_int_equal(memory_index_get(index, FIRST_ID - 1, arena, &series, &error),
                     ERROR_NOT_FOUND);
    memory_index_unref(index);
    arena_destroy(arena);
}

static void a_series_is_added_once(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct memory_index *index = index_of_many(arena);
    uint64_t id = 0;
    assert_int_equal(add_number(index, arena, 77, &id), ERROR_EXISTS);
    assert_int_equal(id, FIRST_ID + 77);
    assert_int_equal(memory_index_count(index), SERIES);
    memory_index_unref(index);
    arena_destroy(arena);
}

/* --- Postings --------------------------------------------------------------------------------- */

static struct positions select_one(struct memory_index *index, struct arena *arena,
                                   struct text tenant, enum matcher_type type, const char *name,
                                   const char *value)
{
    struct matcher *matcher;
    struct error error;
    assert_int_equal(matcher_create(type, text_of(name), text_of(value), &matcher, &error),
                     ERROR_NONE);
    const struct matcher *matchers[] = {matcher};
    struct index_query query = {
        .tenant = tenant, .matchers = matchers, .matcher_count = 1, .arena = arena};
    struct positions positions;
    assert_int_equal(index_select(memory_index_source(index), &query, &positions, &error),
                     ERROR_NONE);
    matcher_destroy(matcher);
    return positions;
}

static void matchers_select_what_a_scan_selects(void **state)
{
    (void)state;
    static const struct {
        enum matcher_type type;
        const char *name;
        const char *value;
    } CASES[] = {
        {MATCHER_EQUAL, "job", "job-1"},
        {MATCHER_NOT_EQUAL, "job", "job-1"},
        {MATCHER_EQUAL, "zone", ""},
        {MATCHER_NOT_EQUAL, "zone", ""},
        {MATCHER_REGEX, "zone", "z0|z4"},
        {MATCHER_REGEX, "instance", "10.0.0.1.*"},
        {MATCHER_NOT_REGEX, "zone", "z.*"},
        {MATCHER_EQUAL, "job", "none"},
        {MATCHER_REGEX, "__name__", ".*_3_.*"},
        {MATCHER_EQUAL, "none", "x"},
    };
    struct arena *arena = arena_create(0);
    struct memory_index *index = index_of_many(arena);
    for (size_t c = 0; c < sizeof CASES / sizeof CASES[0]; c++) {
        struct matcher *matcher;
        struct error error;
        assert_int_equal(matcher_create(CASES[c].type, text_of(CASES[c].name),
                                        text_of(CASES[c].value), &matcher, &error),
                         ERROR_NONE);
        for (unsigned tenant = 0; tenant < TENANTS; tenant++) {
            struct positions positions = select_one(index, arena, tenant_of(tenant), CASES[c].type,
                                                    CASES[c].name, CASES[c].value);
            size_t seen = 0;
            for (unsigned number = tenant; number < SERIES; number += TENANTS) {
                struct text value = labels_get(labels_of(arena, number), text_of(CASES[c].name));
                if (!matcher_matches(matcher, value))
                    continue;
                assert_true(seen < positions.count);
                assert_int_equal(positions.items[seen++], number);
            }
            assert_int_equal(seen, positions.count);
        }
        matcher_destroy(matcher);
    }
    assert_int_equal(select_one(index, arena, TEXT("nobody"), MATCHER_EQUAL, "job", "job-1").count,
                     0);
    memory_index_unref(index);
    arena_destroy(arena);
}

static void names_and_values_are_of_the_tenant(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct memory_index *index = index_of_many(arena);
    struct index_query query = {.tenant = tenant_of(2), .arena = arena};
    struct error error;
    struct index_source *source = memory_index_source(index);
    struct text_set names = {.arena = arena};
    struct text_set zones = {.arena = arena};
    struct text_set instances = {.arena = arena};
    assert_int_equal(index_label_names(source, &query, &names, &error), ERROR_NONE);
    assert_int_equal(index_label_values(source, &query, TEXT("zone"), &zones, &error), ERROR_NONE);
    assert_int_equal(index_label_values(source, &query, TEXT("instance"), &instances, &error),
                     ERROR_NONE);
    assert_int_equal(names.count, 4);
    assert_int_equal(zones.count, 2);
    assert_int_equal(instances.count, (SERIES - 2 + TENANTS - 1) / TENANTS);
    memory_index_unref(index);
    arena_destroy(arena);
}

/* Positions far apart, many blocks: what is read is what was appended, to any limit. */
static void long_postings_are_read_back(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    struct memory_index *index = index_with(0);
    for (unsigned number = 0; number < 20000; number++) {
        uint64_t id;
        arena_reset(arena);
        struct label array[] = {
            {LABEL_METRIC_NAME, number % 300 == 5 ? TEXT("rare") : TEXT("common")},
            {TEXT("n"), arena_format(arena, "%u", number)},
        };
        struct memory_series series = {.tenant = TEXT("t"),
                                       .labels = labels_build(arena, array, 2)};
        struct error error;
        assert_int_equal(memory_index_add(index, &series, &id, &error), ERROR_NONE);
    }
    struct positions rare = select_one(index, arena, TEXT("t"), MATCHER_EQUAL, "__name__", "rare");
    assert_int_equal(rare.count, (20000 - 5 + 299) / 300);
    for (size_t i = 0; i < rare.count; i++)
        assert_int_equal(rare.items[i], 5 + 300 * i);
    assert_int_equal(select_one(index, arena, TEXT("t"), MATCHER_EQUAL, "__name__", "common").count,
                     20000 - rare.count);
    memory_index_unref(index);
    arena_destroy(arena);
}

/* --- Memory ----------------------------------------------------------------------------------- */

static void adding_survives_every_failed_allocation(void **state)
{
    (void)state;
    struct arena *arena = arena_create(0);
    for (size_t limit = 100; limit < 70000; limit += 53) {
        struct memory_index *index = index_with(limit);
        uint32_t added[40];
        uint32_t count = 0;
        for (unsigned number = 0; number < 40; number++) {
            uint64_t id;
            enum error_code code = add_number(index, arena, number, &id);
            if (code == ERROR_NONE) {
                assert_int_equal(id, FIRST_ID + count);
                added[count++] = number;
            } else {
                assert_int_equal(code, ERROR_OUT_OF_MEMORY);
            }
        }
        assert_int_equal(memory_index_count(index), count);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t id;
            assert_true(
                memory_index_find(index, tenant_of(added[i]), labels_of(arena, added[i]), &id));
            assert_int_equal(id, FIRST_ID + i);
        }
        size_t selected = 0;
        for (unsigned tenant = 0; tenant < TENANTS; tenant++)
            selected +=
                select_one(index, arena, tenant_of(tenant), MATCHER_NOT_EQUAL, "job", "").count;
        assert_int_equal(selected, count);
        memory_index_unref(index);
        arena_reset(arena);
    }
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(series_are_found_by_id_and_by_labels),
        cmocka_unit_test(a_series_is_added_once),
        cmocka_unit_test(matchers_select_what_a_scan_selects),
        cmocka_unit_test(names_and_values_are_of_the_tenant),
        cmocka_unit_test(long_postings_are_read_back),
        cmocka_unit_test(adding_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
