/* Labels by position, from decoded pages that are kept, evicted or cannot be made. */
#include "naive_series.h"

#include "block/series_segment_reader.h"
#include "block/series_segment_writer.h"
#include "model/index_source.h"
#include "model/label_identity.h"
#include "simulated_environment.h"

enum { SERIES = 1500 };

struct fixture {
    struct simulated_environment *environment;
    struct arena *arena;
    struct page_cache *cache;
    struct series_segment *segment;
    struct labels labels[SERIES];
    struct error error;
};

static struct labels labels_of(struct arena *arena, size_t index)
{
    struct label labels[] = {
        {TEXT("__name__"), arena_format(arena, "metric_%zu", index % 50)},
        {TEXT("instance"), arena_format(arena, "host-%zu:9100", index / 50)},
        {TEXT("uid"), arena_format(arena, "%zu", index * 7919)},
    };
    return labels_build(arena, labels, index % 3 == 0 ? 3 : 2);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error *error = &fixture->error;
    struct series_segment_writer *writer;
    struct file_summary summary;
    struct page_source *source;
    fixture->environment = simulated_environment_create(1);
    fixture->arena = arena_create(0);
    struct disk *disk = fixture->environment->base.disk;
    assert_int_equal(page_cache_create(1 << 22, &fixture->cache, error), ERROR_NONE);
    assert_int_equal(series_segment_writer_create(disk, "segment", &writer, error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++) {
        struct segment_series series = {.id = i * 2,
                                        .target = i / 50,
                                        .tenant = TEXT("tenant"),
                                        .slot = (uint16_t)(i / 50),
                                        .labels = labels_of(fixture->arena, i)};
        fixture->labels[i] = series.labels;
        assert_int_equal(series_segment_writer_add(writer, &series, error), ERROR_NONE);
    }
    assert_int_equal(series_segment_writer_finish(writer, &summary, error), ERROR_NONE);
    series_segment_writer_destroy(writer);
    assert_int_equal(page_source_open_file(disk, "segment", &source, error), ERROR_NONE);
    assert_int_equal(series_segment_open(fixture->cache, source, &fixture->segment, error),
                     ERROR_NONE);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    series_segment_unref(fixture->segment);
    page_cache_destroy(fixture->cache);
    arena_destroy(fixture->arena);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
    return 0;
}

/* Read the labels of every `step`-th series; the code, labels checked when it is none. */
static enum error_code read_labels(struct fixture *fixture, uint32_t step)
{
    struct index_source *index = series_segment_index(fixture->segment);
    struct arena *arena = arena_create(0);
    uint32_t items[SERIES];
    struct labels labels[SERIES];
    size_t count = 0;
    for (uint32_t position = 0; position < SERIES; position += step)
        items[count++] = position;
    enum error_code code = index->operations->labels(index, (struct positions){items, count}, arena,
                                                     labels, &fixture->error);
    for (size_t i = 0; code == ERROR_NONE && i < count; i++)
        assert_true(labels_equal(labels[i], fixture->labels[items[i]]));
    arena_destroy(arena);
    return code;
}

static void labels_are_those_written(void **state)
{
    for (uint32_t step = 1; step < SERIES; step = step * 3 + 1)
        assert_int_equal(read_labels(*state, step), ERROR_NONE);
}

/* The same whether an index knows them or not: an index in memory makes them of the labels. */
static void identities_are_those_of_the_labels(void **state)
{
    struct fixture *fixture = *state;
    struct index_source *index = series_segment_index(fixture->segment);
    struct index_source_operations without = *index->operations;
    without.identities = NULL;
    uint32_t items[SERIES];
    struct hash128 *identities = calloc(SERIES, sizeof *identities);
    struct hash128 *of_labels = calloc(SERIES, sizeof *of_labels);
    for (uint32_t position = 0; position < SERIES; position++)
        items[position] = position;
    struct positions all = {items, SERIES};
    assert_int_equal(index_identities(index, all, fixture->arena, identities, &fixture->error),
                     ERROR_NONE);
    const struct index_source_operations *with = index->operations;
    index->operations = &without;
    assert_int_equal(index_identities(index, all, fixture->arena, of_labels, &fixture->error),
                     ERROR_NONE);
    index->operations = with;
    for (size_t i = 0; i < SERIES; i++) {
        assert_true(hash128_equal(identities[i], of_labels[i]));
        assert_true(hash128_equal(identities[i], labels_identity(fixture->labels[i])));
        assert_true(i == 0 || !hash128_equal(identities[i], identities[i - 1]));
    }
    free(identities);
    free(of_labels);
}

static void what_was_read_before_needs_no_file(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(read_labels(fixture, 1), ERROR_NONE);
    uint64_t misses = page_cache_statistics(fixture->cache).misses;
    assert_int_equal(read_labels(fixture, 1), ERROR_NONE);
    assert_int_equal(page_cache_statistics(fixture->cache).misses, misses);
}

static void labels_come_back_when_nothing_may_be_kept(void **state)
{
    struct fixture *fixture = *state;
    page_cache_set_budget(fixture->cache, 0);
    assert_int_equal(read_labels(fixture, 1), ERROR_NONE);
    assert_int_equal(read_labels(fixture, 97), ERROR_NONE);
    page_cache_set_budget(fixture->cache, 0);
    assert_int_equal(page_cache_statistics(fixture->cache).page_count, 0);
}

static void every_failing_read_fails_the_labels_and_nothing_is_kept_of_it(void **state)
{
    struct fixture *fixture = *state;
    struct simulated_disk *disk = &fixture->environment->disk;
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        page_cache_set_budget(fixture->cache, 0);
        disk->settings.fail_at_operation = disk->operations + n;
        enum error_code code = read_labels(fixture, 250);
        reached = disk->operations >= disk->settings.fail_at_operation;
        disk->settings.fail_at_operation = 0;
        assert_int_equal(code, reached ? ERROR_IO : ERROR_NONE);
        assert_int_equal(read_labels(fixture, 250), ERROR_NONE);
        assert_true(n < 1000);
    }
}

static void a_position_beyond_the_last_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct index_source *index = series_segment_index(fixture->segment);
    uint32_t position = SERIES;
    struct labels labels;
    assert_int_equal(index->operations->labels(index, (struct positions){&position, 1},
                                               fixture->arena, &labels, &fixture->error),
                     ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(labels_are_those_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(identities_are_those_of_the_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_read_before_needs_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(labels_come_back_when_nothing_may_be_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            every_failing_read_fails_the_labels_and_nothing_is_kept_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_position_beyond_the_last_is_not_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
