#include "naive_series.h"

#include "block/segment_order.h"
#include "block/series_segment_writer.h"
#include "simulated_environment.h"

enum { SERIES = 3000, FIRST_ID = 100 };

struct fixture {
    struct simulated_environment *environment;
    struct arena *arena;
    struct page_cache *cache;
    struct segment_series series[SERIES]; /* ids ascend, every tenth number is a gap */
    struct series_segment *segment;
    struct error error;
};

/* Few values, so that series agree in what decides first; some labels are missing. */
static struct labels random_labels(struct arena *arena, struct naive_random *random, size_t number)
{
    static const char *const NAMES[] = {"__name__", "aa", "instance", "job", "zone"};
    struct label labels[6];
    size_t count = 0;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (naive_next(random, 5) > 0)
            labels[count++] = (struct label){
                text_of(NAMES[i]), arena_format(arena, "%s%d", naive_next(random, 2) ? "long_" : "",
                                                (int)naive_next(random, 4))};
    labels[count++] = (struct label){TEXT("unique"), arena_format(arena, "%zu", number / 2)};
    return labels_build(arena, labels, count);
}

static void write_segment(struct fixture *fixture)
{
    struct disk *disk = fixture->environment->base.disk;
    struct series_segment_writer *writer;
    struct file_summary summary;
    struct page_source *source;
    struct error *error = &fixture->error;
    assert_int_equal(series_segment_writer_create(disk, "segment", &writer, error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++)
        assert_int_equal(series_segment_writer_add(writer, &fixture->series[i], error), ERROR_NONE);
    assert_int_equal(series_segment_writer_finish(writer, &summary, error), ERROR_NONE);
    series_segment_writer_destroy(writer);
    assert_int_equal(page_source_open_file(disk, "segment", &source, error), ERROR_NONE);
    assert_int_equal(series_segment_open(fixture->cache, source, &fixture->segment, error),
                     ERROR_NONE);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct naive_random random = {3};
    fixture->environment = simulated_environment_create(1);
    fixture->arena = arena_create(0);
    assert_int_equal(page_cache_create(1 << 22, &fixture->cache, &fixture->error), ERROR_NONE);
    for (size_t i = 0; i < SERIES; i++)
        fixture->series[i] = (struct segment_series){
            .id = FIRST_ID + i + i / 9,
            .target = i,
            .tenant = i % 3 == 0 ? TEXT("zzz") : TEXT("a"), /* numbered as they come */
            .slot = (uint16_t)(i % 100),
            .labels = random_labels(fixture->arena, &random, i),
        };
    write_segment(fixture);
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

static const struct segment_series *series_of(const struct fixture *fixture, uint64_t id)
{
    for (size_t i = 0; i < SERIES; i++)
        if (fixture->series[i].id == id)
            return &fixture->series[i];
    return NULL;
}

static void series_come_in_block_order_with_their_labels(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ids[SERIES];
    for (size_t step = 1; step < 20; step += 6) {
        struct segment_order *order;
        size_t count = 0;
        for (size_t i = 0; i < SERIES; i += step)
            ids[count++] = fixture->series[i].id;
        assert_int_equal(
            segment_order_create(fixture->segment, ids, count, &order, &fixture->error),
            ERROR_NONE);
        assert_int_equal(segment_order_count(order), count);
        struct block_series before = {0};
        for (size_t place = 0; place < count; place++) {
            struct block_series series;
            assert_int_equal(
                segment_order_series(order, place, fixture->arena, &series, &fixture->error),
                ERROR_NONE);
            const struct segment_series *written =
                series_of(fixture, segment_order_id(order, place));
            assert_non_null(written);
            assert_true(labels_equal(series.labels, written->labels));
            assert_true(text_equal(series.tenant, written->tenant));
            assert_int_equal(series.slot, written->slot);
            if (place > 0)
                assert_true(block_series_compare(&before, &series) < 0);
            before = series;
        }
        segment_order_destroy(order);
    }
}

static void ids_that_the_segment_lacks_are_left_out(void **state)
{
    struct fixture *fixture = *state;
    /* The tenth id after the first one is a gap. */
    uint64_t ids[] = {0, FIRST_ID - 1, FIRST_ID, FIRST_ID + 9, FIRST_ID + 10, 100000, UINT64_MAX};
    struct segment_order *order;
    assert_int_equal(segment_order_create(fixture->segment, ids, sizeof ids / sizeof *ids, &order,
                                          &fixture->error),
                     ERROR_NONE);
    assert_int_equal(segment_order_count(order), 2);
    segment_order_destroy(order);
}

static void no_ids_are_an_empty_order(void **state)
{
    struct fixture *fixture = *state;
    struct segment_order *order;
    assert_int_equal(segment_order_create(fixture->segment, NULL, 0, &order, &fixture->error),
                     ERROR_NONE);
    assert_int_equal(segment_order_count(order), 0);
    segment_order_destroy(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(series_come_in_block_order_with_their_labels, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ids_that_the_segment_lacks_are_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_ids_are_an_empty_order, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
