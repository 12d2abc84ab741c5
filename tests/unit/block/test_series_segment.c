#include "naive_series.h"

#include "block/series_segment_reader.h"
#include "block/series_segment_writer.h"
#include "model/index_source.h"
#include "simulated_environment.h"

enum { SERIES = 6000 };

struct fixture {
    struct simulated_environment *environment;
    struct disk *disk;
    struct arena *arena;
    struct page_cache *cache;
    struct naive_random random;
    struct error error;
    struct segment_series *series; /* [SERIES] */
};

/* Labels as a fleet has them: a name, a target, some that differ, one unique for some. */
static struct labels random_labels(struct fixture *fixture, size_t index)
{
    struct naive_random *random = &fixture->random;
    struct arena *arena = fixture->arena;
    struct label labels[6] = {
        {TEXT("__name__"), arena_format(arena, "metric_%zu", index % 100)},
        {TEXT("instance"), arena_format(arena, "host-%zu:9100", index / 100)},
        {TEXT("job"), index / 100 % 2 == 0 ? TEXT("node") : TEXT("app")},
    };
    size_t count = 3;
    if (naive_next(random, 3) > 0)
        labels[count++] = (struct label){TEXT("mode"), arena_format(arena, "m%zu", index % 7)};
    if (naive_next(random, 4) == 0)
        labels[count++] = (struct label){
            TEXT("uid"),
            arena_format(arena, "%llx", (unsigned long long)naive_next(random, UINT64_C(1) << 62))};
    return labels_build(arena, labels, count);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->environment = simulated_environment_create(1);
    fixture->disk = fixture->environment->base.disk;
    fixture->arena = arena_create(0);
    fixture->random.state = 7;
    assert_int_equal(page_cache_create(1 << 22, &fixture->cache, &fixture->error), ERROR_NONE);
    fixture->series = arena_array(fixture->arena, SERIES, sizeof *fixture->series);
    uint64_t id = 5000;
    for (size_t i = 0; i < SERIES; i++) {
        id += i == 3000 ? 1000 : 1 + (naive_next(&fixture->random, 50) == 0);
        fixture->series[i] = (struct segment_series){
            .id = id,
            .target = i / 100,
            .tenant = i / 500 % 4 == 3 ? TEXT("second") : TEXT("first"),
            .slot = (uint16_t)(i / 100 * 17 % SLOT_COUNT),
            .labels = random_labels(fixture, i),
        };
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    page_cache_destroy(fixture->cache);
    arena_destroy(fixture->arena);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
    return 0;
}

static enum error_code write_segment(struct fixture *fixture, const char *path, size_t count,
                                     struct file_summary *summary_out)
{
    struct series_segment_writer *writer;
    struct error *error = &fixture->error;
    enum error_code code = series_segment_writer_create(fixture->disk, path, &writer, error);
    if (code != ERROR_NONE)
        return code;
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        code = series_segment_writer_add(writer, &fixture->series[i], error);
    if (code == ERROR_NONE)
        code = series_segment_writer_finish(writer, summary_out, error);
    series_segment_writer_destroy(writer);
    return code;
}

static enum error_code open_segment(struct fixture *fixture, const char *path,
                                    struct series_segment **segment_out)
{
    struct page_source *source;
    enum error_code code = page_source_open_file(fixture->disk, path, &source, &fixture->error);
    if (code != ERROR_NONE)
        return code;
    return series_segment_open(fixture->cache, source, segment_out, &fixture->error);
}

static struct series_segment *written_segment(struct fixture *fixture)
{
    struct file_summary summary;
    struct series_segment *segment;
    assert_int_equal(write_segment(fixture, "segment", SERIES, &summary), ERROR_NONE);
    assert_int_equal(summary.series_count, SERIES);
    assert_int_equal(open_segment(fixture, "segment", &segment), ERROR_NONE);
    return segment;
}

static void assert_series(const struct segment_series *read, const struct segment_series *series)
{
    assert_int_equal(read->id, series->id);
    assert_int_equal(read->target, series->target);
    assert_int_equal(read->slot, series->slot);
    assert_true(text_equal(read->tenant, series->tenant));
    assert_true(labels_equal(read->labels, series->labels));
}

static void series_come_back_by_id_and_position(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    struct error *error = &fixture->error;
    assert_int_equal(series_segment_first_id(segment), fixture->series[0].id);
    assert_int_equal(series_segment_span(segment),
                     fixture->series[SERIES - 1].id - fixture->series[0].id + 1);
    uint64_t *ids = arena_array(fixture->arena, SERIES, sizeof *ids);
    uint32_t *items = arena_array(fixture->arena, SERIES, sizeof *items);
    struct segment_series *read = arena_array(fixture->arena, SERIES, sizeof *read);
    for (size_t step = 1; step < 200; step += 33) {
        size_t count = 0;
        for (size_t i = 0; i < SERIES; i += step) {
            items[count] = (uint32_t)i;
            ids[count++] = fixture->series[i].id;
        }
        assert_int_equal(series_segment_read(segment, ids, count, fixture->arena, read, error),
                         ERROR_NONE);
        for (size_t i = 0; i < count; i++)
            assert_series(&read[i], &fixture->series[items[i]]);
        struct positions positions = {items, count};
        assert_int_equal(series_segment_read_at(segment, positions, fixture->arena, read, error),
                         ERROR_NONE);
        for (size_t i = 0; i < count; i++)
            assert_series(&read[i], &fixture->series[items[i]]);
        for (size_t i = 0; i < count; i++) {
            const struct segment_series *expected = &fixture->series[items[i]];
            assert_int_equal(series_segment_read_briefly(segment, items[i], 1, read, error),
                             ERROR_NONE);
            assert_int_equal(read->id, expected->id);
            assert_int_equal(read->target, expected->target);
            assert_int_equal(read->slot, expected->slot);
            assert_true(text_equal(read->tenant, expected->tenant));
            assert_int_equal(read->labels.size, 0);
        }
        uint64_t *found = arena_array(fixture->arena, count, sizeof *found);
        assert_int_equal(series_segment_ids(segment, positions, found, error), ERROR_NONE);
        assert_memory_equal(found, ids, count * sizeof *ids);
    }
    series_segment_unref(segment);
}

static void an_id_in_a_gap_has_no_labels(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    uint64_t gap = fixture->series[2999].id + 1;
    uint64_t ids[] = {1,         fixture->series[2999].id, gap,
                      gap + 500, fixture->series[3000].id, UINT64_MAX - 1};
    struct segment_series read[6];
    assert_int_equal(series_segment_read(segment, ids, 6, fixture->arena, read, &fixture->error),
                     ERROR_NONE);
    assert_series(&read[1], &fixture->series[2999]);
    assert_series(&read[4], &fixture->series[3000]);
    const size_t outside[] = {0, 2, 3, 5};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read[outside[i]].id, ids[outside[i]]);
        assert_int_equal(read[outside[i]].labels.size, 0);
    }
    series_segment_unref(segment);
}

static void labels_lead_to_ids_and_strangers_to_none(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    struct segment_lookup *lookups = arena_array(fixture->arena, 2 * SERIES, sizeof *lookups);
    for (size_t i = 0; i < SERIES; i++) {
        const struct segment_series *series = &fixture->series[i];
        lookups[2 * i] =
            (struct segment_lookup){.tenant = series->tenant, .labels = series->labels};
        /* The same labels of another tenant are another series. */
        lookups[2 * i + 1] =
            (struct segment_lookup){.tenant = TEXT("third"), .labels = series->labels};
    }
    for (size_t i = 0; i < 2 * SERIES; i++)
        lookups[i].hash = series_segment_hash(lookups[i].tenant, lookups[i].labels);
    /* A hash that leads to the wrong series. */
    lookups[1].hash = lookups[0].hash;
    assert_int_equal(series_segment_find(segment, lookups, 2 * SERIES, &fixture->error),
                     ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        assert_true(lookups[2 * i].found);
        assert_int_equal(lookups[2 * i].id, fixture->series[i].id);
        assert_int_equal(lookups[2 * i].target, fixture->series[i].target);
        assert_false(lookups[2 * i + 1].found);
    }
    series_segment_unref(segment);
}

/* --- Matchers --------------------------------------------------------------------------------- */

static bool naive_matches(const struct segment_series *series, struct text tenant,
                          const struct matcher *const *matchers, size_t count)
{
    if (!text_equal(series->tenant, tenant))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!matcher_matches(matchers[i], labels_get(series->labels, matchers[i]->name)))
            return false;
    return true;
}

struct matcher_text {
    enum matcher_type type;
    const char *name;
    const char *value;
};

static const struct matcher_text MATCHERS[] = {
    {MATCHER_EQUAL, "__name__", "metric_7"},
    {MATCHER_EQUAL, "__name__", "no such metric"},
    {MATCHER_REGEX, "__name__", "metric_1.*"},
    {MATCHER_REGEX, "instance", "host-(1|2|3):9100"},
    {MATCHER_NOT_EQUAL, "instance", "host-4:9100"},
    {MATCHER_NOT_REGEX, "instance", "host-5.*"},
    {MATCHER_EQUAL, "mode", ""},
    {MATCHER_NOT_EQUAL, "mode", ""},
    {MATCHER_NOT_EQUAL, "mode", "m3"},
    {MATCHER_REGEX, "mode", "m1|m2|"},
    {MATCHER_NOT_REGEX, "mode", "m.*"},
    {MATCHER_REGEX, "uid", ".+"},
    {MATCHER_REGEX, "uid", ".*"},
    {MATCHER_NOT_REGEX, "uid", "[0-7].*"},
    {MATCHER_EQUAL, "job", "node"},
    {MATCHER_NOT_EQUAL, "no_such_label", "x"},
    {MATCHER_EQUAL, "no_such_label", "x"},
    {MATCHER_EQUAL, "no_such_label", ""},
};

enum { MATCHER_KINDS = sizeof MATCHERS / sizeof *MATCHERS };

static void matchers_select_what_a_scan_selects(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    struct matcher *all[MATCHER_KINDS];
    for (size_t i = 0; i < MATCHER_KINDS; i++)
        assert_int_equal(matcher_create(MATCHERS[i].type, text_of(MATCHERS[i].name),
                                        text_of(MATCHERS[i].value), &all[i], &fixture->error),
                         ERROR_NONE);
    const struct text tenants[] = {TEXT("first"), TEXT("second"), TEXT("third")};
    for (size_t round = 0; round < 400; round++) {
        const struct matcher *chosen[3];
        size_t count = naive_next(&fixture->random, 4);
        for (size_t i = 0; i < count; i++)
            chosen[i] = all[naive_next(&fixture->random, MATCHER_KINDS)];
        struct index_query query = {.tenant = tenants[round % 7 == 0 ? 2 : round % 2],
                                    .matchers = chosen,
                                    .matcher_count = count,
                                    .arena = arena_create(0)};
        struct positions positions;
        assert_int_equal(
            index_select(series_segment_index(segment), &query, &positions, &fixture->error),
            ERROR_NONE);
        size_t at = 0;
        for (uint32_t i = 0; i < SERIES; i++) {
            if (!naive_matches(&fixture->series[i], query.tenant, chosen, count))
                continue;
            assert_true(at < positions.count);
            assert_int_equal(positions.items[at], i);
            at++;
        }
        assert_int_equal(positions.count, at);
        arena_destroy(query.arena);
    }
    for (size_t i = 0; i < MATCHER_KINDS; i++)
        matcher_destroy(all[i]);
    series_segment_unref(segment);
}

/* --- Names and values ------------------------------------------------------------------------- */

/* How many values a scan finds; each must have been found by the index. */
static size_t naive_value_count(struct fixture *fixture, struct text tenant, struct text name,
                                const struct matcher *const *matchers, size_t count,
                                struct text_set *found)
{
    struct text_set seen = {.arena = found->arena};
    for (size_t i = 0; i < SERIES; i++) {
        struct text value = labels_get(fixture->series[i].labels, name);
        if (value.size == 0 || !naive_matches(&fixture->series[i], tenant, matchers, count))
            continue;
        assert_true(text_set_contains(found, value));
        assert_int_not_equal(text_set_add(&seen, value), TEXT_SET_OUT_OF_MEMORY);
    }
    return seen.count;
}

/* Both ways: few series, whose labels are read, and many, whose postings are. */
static void names_and_values_are_those_of_the_selected_series(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    const struct matcher_text texts[] = {{MATCHER_EQUAL, "instance", "host-3:9100"},
                                         {MATCHER_EQUAL, "job", "node"},
                                         {MATCHER_NOT_EQUAL, "mode", "m3"},
                                         {MATCHER_EQUAL, "mode", ""}};
    const char *names[] = {"__name__", "mode", "uid", "job", "none"};
    for (size_t i = 0; i < 5; i++) {
        struct matcher *matcher = NULL;
        if (i < 4)
            assert_int_equal(matcher_create(texts[i].type, text_of(texts[i].name),
                                            text_of(texts[i].value), &matcher, &fixture->error),
                             ERROR_NONE);
        const struct matcher *matchers[] = {matcher};
        struct index_query query = {.tenant = TEXT("first"),
                                    .matchers = matchers,
                                    .matcher_count = i < 4,
                                    .arena = arena_create(0)};
        for (size_t j = 0; j < 5; j++) {
            struct text_set values = {.arena = query.arena};
            assert_int_equal(index_label_values(series_segment_index(segment), &query,
                                                text_of(names[j]), &values, &fixture->error),
                             ERROR_NONE);
            assert_int_equal(values.count,
                             naive_value_count(fixture, query.tenant, text_of(names[j]), matchers,
                                               query.matcher_count, &values));
        }
        struct text_set all_names = {.arena = query.arena};
        assert_int_equal(
            index_label_names(series_segment_index(segment), &query, &all_names, &fixture->error),
            ERROR_NONE);
        assert_int_equal(all_names.count, i == 3 ? 4 : 5);
        arena_destroy(query.arena);
        matcher_destroy(matcher);
    }
    series_segment_unref(segment);
}

/* Keys of thousands of bytes make leaves of one entry and a tree of several levels. */
static void long_values_are_found_and_come_back(void **state)
{
    enum { LONG_SERIES = 2000, LONG_BYTES = 5000 };
    struct fixture *fixture = *state;
    struct error *error = &fixture->error;
    char *value = arena_allocate(fixture->arena, LONG_BYTES);
    memset(value, 'x', LONG_BYTES);
    for (size_t i = 0; i < LONG_SERIES; i++) {
        /* They differ at their ends, or at their starts. */
        snprintf(i % 2 == 0 ? value : value + LONG_BYTES - 8, 8, "%06zu", i);
        struct label labels[2] = {{TEXT("__name__"), TEXT("long")},
                                  {TEXT("url"), {value, LONG_BYTES}}};
        fixture->series[i].tenant = TEXT("first");
        fixture->series[i].labels = labels_build(fixture->arena, labels, 2);
    }
    struct file_summary summary;
    struct series_segment *segment;
    assert_int_equal(write_segment(fixture, "segment", LONG_SERIES, &summary), ERROR_NONE);
    assert_int_equal(open_segment(fixture, "segment", &segment), ERROR_NONE);
    struct index_source *index = series_segment_index(segment);
    for (uint32_t i = 0; i < LONG_SERIES; i += 37) {
        struct arena *arena = arena_create(0);
        struct labels labels;
        struct index_postings postings;
        struct positions positions;
        struct text url = labels_get(fixture->series[i].labels, TEXT("url"));
        assert_int_equal(
            index->operations->find(index, TEXT("first"), TEXT("url"), url, &postings, error),
            ERROR_NONE);
        assert_int_equal(
            index->operations->read(index, TEXT("first"), postings, arena, &positions, error),
            ERROR_NONE);
        assert_int_equal(positions.count, 1);
        assert_int_equal(positions.items[0], i);
        assert_int_equal(index->operations->labels(index, positions, arena, &labels, error),
                         ERROR_NONE);
        assert_true(labels_equal(labels, fixture->series[i].labels));
        arena_destroy(arena);
    }
    series_segment_unref(segment);
}

/* --- Refusals and failures -------------------------------------------------------------------- */

static void the_same_series_twice_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    fixture->series[9].labels = fixture->series[3].labels;
    assert_int_equal(write_segment(fixture, "segment", 20, &summary), ERROR_INVALID);
    assert_int_equal(write_segment(fixture, "segment", 9, &summary), ERROR_NONE);
    fixture->series[5].id = fixture->series[4].id;
    assert_int_equal(write_segment(fixture, "segment", 9, &summary), ERROR_INVALID);
}

static void an_empty_segment_finds_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct file_summary summary;
    struct series_segment *segment;
    assert_int_equal(write_segment(fixture, "segment", 0, &summary), ERROR_NONE);
    assert_int_equal(open_segment(fixture, "segment", &segment), ERROR_NONE);
    struct segment_lookup lookup = {.tenant = TEXT("first"), .labels = fixture->series[0].labels};
    assert_int_equal(series_segment_find(segment, &lookup, 1, &fixture->error), ERROR_NONE);
    assert_false(lookup.found);
    struct index_query query = {.tenant = TEXT("first"), .arena = fixture->arena};
    struct positions positions;
    assert_int_equal(
        index_select(series_segment_index(segment), &query, &positions, &fixture->error),
        ERROR_NONE);
    assert_int_equal(positions.count, 0);
    series_segment_unref(segment);
}

static void every_failing_write_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct simulated_disk *disk = &fixture->environment->disk;
    struct file_summary summary;
    for (uint64_t n = 1;; n++) {
        disk->settings.fail_at_operation = disk->operations + n;
        enum error_code code = write_segment(fixture, "segment", SERIES, &summary);
        bool reached = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        if (!reached) {
            assert_int_equal(code, ERROR_NONE);
            assert_true(n > 2);
            break;
        }
        struct series_segment *segment;
        assert_int_equal(code, ERROR_IO);
        assert_int_not_equal(open_segment(fixture, "segment", &segment), ERROR_NONE);
    }
}

static void every_failing_read_is_reported(void **state)
{
    struct fixture *fixture = *state;
    struct series_segment *segment = written_segment(fixture);
    page_cache_set_budget(fixture->cache, 0);
    struct simulated_disk *disk = &fixture->environment->disk;
    for (uint64_t n = 1;; n++) {
        struct segment_lookup lookup = {.tenant = fixture->series[77].tenant,
                                        .labels = fixture->series[77].labels};
        lookup.hash = series_segment_hash(lookup.tenant, lookup.labels);
        disk->settings.fail_at_operation = disk->operations + n;
        enum error_code code = series_segment_find(segment, &lookup, 1, &fixture->error);
        bool reached = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        assert_int_equal(code, reached ? ERROR_IO : ERROR_NONE);
        assert_int_equal(lookup.found, !reached);
        if (!reached)
            break;
        assert_true(n < 20);
    }
    series_segment_unref(segment);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(series_come_back_by_id_and_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_id_in_a_gap_has_no_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(labels_lead_to_ids_and_strangers_to_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(matchers_select_what_a_scan_selects, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_and_values_are_those_of_the_selected_series, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(long_values_are_found_and_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_series_twice_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_segment_finds_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_write_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failing_read_is_reported, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
