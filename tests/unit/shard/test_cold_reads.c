/* Queries over blocks in the bucket, nothing of which is near: round trips are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "block/block_fetch.h"
#include "cold_blocks.h"
#include "counting_store.h"
#include "selection_fetch.h"
#include "shard/bucket_cache.h"
#include "shard/bucket_source.h"
#include "simulated_environment.h"
#include "view_reader.h"

enum { BLOCKS_MAX = 6, MATCHERS_MAX = 4 };

/* More index than is fetched whole: 200 k series, each with a label value of its own. */
static const struct cold_shape LARGE = {1, 100, 2000, 4};
static const struct cold_shape SMALL = {1, 20, 50, 240};
static const struct cold_shape SHARED = {40, 10, 40, 20};
/* Chunks are most of it. */
static const struct cold_shape DAY = {1, 10, 80, 24 * 240};

struct fixture {
    struct simulated_environment *environment;
    struct counting_store store;
    const struct cold_shape *shape;
    unsigned windows;

    /* Of one query. */
    struct bucket_cache *near;
    struct page_cache *pages;
    struct view *view;
    struct arena *arena;
    struct matcher *matchers[MATCHERS_MAX];
    struct series_request request;
    struct error error;
};

/* --- Blocks ----------------------------------------------------------------------------------- */

static void put_block(struct fixture *fixture, unsigned window)
{
    struct disk *disk = fixture->environment->base.disk;
    struct file_summary summary;
    char key[32];
    snprintf(key, sizeof key, "block-%u", window);
    assert_int_equal(cold_write_block(disk, key, fixture->shape, window, &summary, &fixture->error),
                     ERROR_NONE);
    struct file *file;
    uint8_t *bytes = malloc(summary.size_bytes);
    assert_non_null(bytes);
    assert_int_equal(disk_open(disk, key, DISK_OPEN_READ, &file, &fixture->error), ERROR_NONE);
    assert_int_equal(disk_read_at(disk, file, 0, bytes, summary.size_bytes, &fixture->error),
                     ERROR_NONE);
    disk_close(disk, file);
    counting_store_put(&fixture->store, key, bytes, summary.size_bytes);
    free(bytes);
}

static struct fixture *make(const struct cold_shape *shape, unsigned windows)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->environment = simulated_environment_create(1);
    fixture->shape = shape;
    fixture->windows = windows;
    counting_store_init(&fixture->store);
    for (unsigned i = 0; i < windows; i++)
        put_block(fixture, i);
    return fixture;
}

static void unmake(struct fixture *fixture)
{
    counting_store_clear(&fixture->store);
    simulated_environment_destroy(fixture->environment);
    free(fixture);
}

/* --- One query -------------------------------------------------------------------------------- */

static enum error_code open_view(struct fixture *fixture)
{
    struct page_source *sources[BLOCKS_MAX];
    struct view_block blocks[BLOCKS_MAX];
    struct block_fetch *fetch;
    struct error *error = &fixture->error;
    assert_int_equal(block_fetch_create(&fetch, error), ERROR_NONE);
    for (unsigned i = 0; i < fixture->windows; i++) {
        struct counted_object *object = &fixture->store.objects[i];
        struct bucket_source_options options = {.store = &fixture->store.base,
                                                .cache = fixture->near,
                                                .key = text_of(object->key),
                                                .size_bytes = object->size_bytes};
        assert_int_equal(bucket_source_open(&options, &sources[i], error), ERROR_NONE);
        block_fetch_add_end(fetch, sources[i]);
    }
    enum error_code code = block_fetch_run(fetch, error);
    block_fetch_destroy(fetch);
    size_t opened = 0;
    for (unsigned i = 0; i < fixture->windows; i++) {
        struct block *block = NULL;
        if (code != ERROR_NONE) {
            page_source_close(sources[i]);
            continue;
        }
        code = block_open(fixture->pages, sources[i], &block, error);
        if (code != ERROR_NONE)
            continue;
        struct file_summary summary = block_summary(block);
        blocks[opened++] = (struct view_block){
            .block = block, .start_ms = summary.min_time_ms, .end_ms = summary.max_time_ms};
    }
    struct view pieces = {.blocks = blocks, .block_count = opened};
    fixture->view = view_create(&pieces);
    assert_non_null(fixture->view);
    for (size_t i = 0; i < opened; i++)
        block_unref(blocks[i].block);
    return code;
}

static void add_matcher(struct fixture *fixture, enum matcher_type type, const char *name,
                        const char *value)
{
    assert_in_range(fixture->request.matcher_count, 0, MATCHERS_MAX - 1);
    assert_int_equal(matcher_create(type, text_of(name), text_of(value),
                                    &fixture->matchers[fixture->request.matcher_count++],
                                    &fixture->error),
                     ERROR_NONE);
}

/* A query that finds nothing near. */
static void begin(struct fixture *fixture, unsigned tenant)
{
    struct bucket_cache_options options = {.memory_bytes = 64 * 1024 * 1024};
    struct error refusal;
    static char name[32];
    cold_tenant(name, tenant);
    assert_int_equal(bucket_cache_create(&options, &fixture->near, &refusal, &fixture->error),
                     ERROR_NONE);
    assert_int_equal(page_cache_create(64 * 1024 * 1024, &fixture->pages, &fixture->error),
                     ERROR_NONE);
    fixture->arena = arena_create(0);
    fixture->request = (struct series_request){
        .tenant = text_of(name),
        .matchers = (const struct matcher *const *)fixture->matchers,
        .start_ms = COLD_START_MS,
        .end_ms = INT64_MAX,
        .arena = fixture->arena,
    };
    fixture->store.round_trips = fixture->store.reads = fixture->store.read_bytes = 0;
}

static void end(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->request.matcher_count; i++)
        matcher_destroy(fixture->matchers[i]);
    view_unref(fixture->view);
    fixture->view = NULL;
    page_cache_destroy(fixture->pages);
    bucket_cache_destroy(fixture->near);
    arena_destroy(fixture->arena);
}

/* The labels and samples are those of some series of the shape; returns which. */
static uint64_t assert_series(struct fixture *fixture, struct labels labels,
                              const struct sample_columns *columns)
{
    const struct cold_shape *shape = fixture->shape;
    char texts[COLD_LABELS][64];
    char metric[64], host[64];
    snprintf(metric, sizeof metric, "%.*s", (int)labels_get(labels, TEXT("__name__")).size,
             labels_get(labels, TEXT("__name__")).data);
    snprintf(host, sizeof host, "%.*s", (int)labels_get(labels, TEXT("instance")).size,
             labels_get(labels, TEXT("instance")).data);
    uint64_t number = cold_number(shape, (unsigned)strtoul(metric + 7, NULL, 10),
                                  (unsigned)strtoul(host + 5, NULL, 10));
    struct labels expected = cold_labels(shape, number, texts, fixture->arena);
    assert_int_equal(labels_compare(labels, expected), 0);
    assert_int_equal(columns->count, (size_t)shape->samples * fixture->windows);
    for (unsigned window = 0; window < fixture->windows; window++)
        for (size_t i = 0; i < shape->samples; i += 1 + shape->samples / 50)
            assert_true(columns->values[window * shape->samples + i] == cold_value(number, i));
    return number;
}

/* Select, read all labels, then all samples, as a query does. */
static enum error_code run(struct fixture *fixture, size_t *count_out)
{
    struct series_selection selection;
    struct view *view = fixture->view;
    struct error *error = &fixture->error;
    struct samples_ahead ahead = {0};
    struct view_reader *reader = NULL;
    enum error_code code = series_selection_find(view, NULL, &fixture->request, &selection, error);
    if (code != ERROR_NONE)
        return code;
    *count_out = selection.count;
    struct labels *labels = arena_array(fixture->arena, selection.count + 1, sizeof *labels);
    assert_non_null(labels);
    code = series_selection_labels(&selection, 0, selection.count, fixture->arena, labels, error);
    if (code == ERROR_NONE)
        code = view_reader_create(view, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < selection.count; i++) {
        struct block_position places[BLOCKS_MAX];
        struct view_series series = {
            .tenant = fixture->request.tenant, .id = SERIES_ID_NONE, .blocks = places};
        struct sample_columns columns;
        code = selection_fetch_samples(view, &selection, i, &ahead, error);
        series.block_count = series_selection_blocks(&selection, i, places);
        if (code == ERROR_NONE)
            code = view_reader_read(reader, &series, fixture->request.start_ms,
                                    fixture->request.end_ms, &columns, error);
        if (code == ERROR_NONE)
            assert_series(fixture, labels[i], &columns);
    }
    view_reader_destroy(reader);
    return code;
}

static void assert_query(struct fixture *fixture, size_t count, uint64_t round_trips_max)
{
    size_t found = 0;
    assert_int_equal(open_view(fixture), ERROR_NONE);
    assert_int_equal(run(fixture, &found), ERROR_NONE);
    assert_int_equal(found, count);
    print_message("%zu series of %u blocks: %llu round trips, %llu requests, %llu KiB of %llu\n",
                  count, fixture->windows, (unsigned long long)fixture->store.round_trips,
                  (unsigned long long)fixture->store.reads,
                  (unsigned long long)fixture->store.read_bytes / 1024,
                  (unsigned long long)fixture->store.objects[0].size_bytes * fixture->windows /
                      1024);
    assert_in_range(fixture->store.round_trips, 1, round_trips_max);
    end(fixture);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_series_takes_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
    add_matcher(fixture, MATCHER_EQUAL, "instance", "host-00013:9100");
    assert_query(fixture, 1, 3);
    unmake(fixture);
}

static void many_series_take_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&DAY, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00003");
    assert_query(fixture, DAY.instances, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_REGEX, "job", "job-0[12]"); /* instances 10 to 29 */
    add_matcher(fixture, MATCHER_NOT_EQUAL, "zone", "zone-1");
    assert_query(fixture, (size_t)DAY.metrics * 13, 3);
    begin(fixture, 0); /* everything */
    assert_query(fixture, (size_t)DAY.metrics * DAY.instances, 3);
    unmake(fixture);
}

static void many_blocks_take_three_round_trips_together(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 5);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
    assert_query(fixture, SMALL.instances, 3);
    unmake(fixture);
}

static void one_tenant_of_many_takes_three_round_trips(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SHARED, 2);
    begin(fixture, 23);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00004");
    assert_query(fixture, SHARED.instances, 3);
    begin(fixture, 39);
    add_matcher(fixture, MATCHER_EQUAL, "zone", "zone-2");
    assert_query(fixture, (size_t)SHARED.metrics * 13, 3);
    begin(fixture, 77); /* nobody */
    assert_query(fixture, 0, 1);
    unmake(fixture);
}

static void a_large_index_takes_three_round_trips_too(void **state)
{
    (void)state;
    struct fixture *fixture = make(&LARGE, 1);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00042");
    add_matcher(fixture, MATCHER_EQUAL, "job", "job-03");
    add_matcher(fixture, MATCHER_EQUAL, "instance", "host-00777:9100");
    assert_query(fixture, 1, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00042");
    assert_query(fixture, LARGE.instances, 3);
    begin(fixture, 0);
    add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00099");
    add_matcher(fixture, MATCHER_REGEX, "job", "job-0[5-9]");
    add_matcher(fixture, MATCHER_NOT_EQUAL, "zone", "zone-0");
    assert_query(fixture, 500, 3);
    char pod[64];
    cold_pod(pod, 777);
    begin(fixture, 0); /* no place in the order */
    add_matcher(fixture, MATCHER_EQUAL, "pod", pod);
    assert_query(fixture, LARGE.metrics, 3);
    unmake(fixture);
}

static bool count_value(void *context, struct text value, struct index_postings postings)
{
    (void)value, (void)postings;
    ++*(size_t *)context;
    return true;
}

static void values_of_a_label_take_two_round_trips(void **state)
{
    (void)state;
    static const struct cold_shape *const SHAPES[] = {&SMALL, &LARGE};
    for (size_t i = 0; i < 2; i++) {
        struct fixture *fixture = make(SHAPES[i], 1);
        struct text name = TEXT("pod");
        size_t count = 0;
        begin(fixture, 0);
        assert_int_equal(open_view(fixture), ERROR_NONE);
        struct index_source *index = block_index(fixture->view->blocks[0].block);
        assert_int_equal(
            selection_fetch_indexes(fixture->view, &fixture->request, &name, &fixture->error),
            ERROR_NONE);
        assert_int_equal(index->operations->values(index, fixture->request.tenant, name,
                                                   (struct text){0}, count_value, &count,
                                                   &fixture->error),
                         ERROR_NONE);
        assert_int_equal(count, SHAPES[i]->instances);
        assert_in_range(fixture->store.round_trips, 1, 2);
        end(fixture);
        unmake(fixture);
    }
}

/* Whatever request of a query fails, it fails as a whole, and the next one does not. */
static void a_store_that_breaks_off_fails_the_query_alone(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 3);
    for (uint64_t after = 0;; after++) {
        size_t count = 0;
        begin(fixture, 0);
        add_matcher(fixture, MATCHER_EQUAL, "__name__", "metric_00007");
        fixture->store.fail_after = after;
        enum error_code code = open_view(fixture);
        if (code == ERROR_NONE)
            code = run(fixture, &count);
        fixture->store.fail_after = UINT64_MAX;
        if (code == ERROR_NONE) {
            assert_in_range(after, 6, 1000);
            end(fixture);
            break;
        }
        assert_int_equal(code, ERROR_UNAVAILABLE);
        assert_non_null(strstr(fixture->error.message, "block-"));
        view_unref(fixture->view);
        assert_int_equal(open_view(fixture), ERROR_NONE); /* what came is near still */
        assert_int_equal(run(fixture, &count), ERROR_NONE);
        assert_int_equal(count, SMALL.instances);
        end(fixture);
    }
    unmake(fixture);
}

static void damaged_objects_are_said_to_be(void **state)
{
    (void)state;
    struct fixture *fixture = make(&SMALL, 1);
    struct counted_object *object = &fixture->store.objects[0];
    size_t count;
    for (size_t at = 100; at < object->size_bytes; at += 997) {
        begin(fixture, 0);
        add_matcher(fixture, MATCHER_EQUAL, "zone", "zone-1");
        object->bytes[at] ^= 0x10;
        enum error_code code = open_view(fixture);
        if (code == ERROR_NONE)
            code = run(fixture, &count);
        assert_true(code == ERROR_NONE || code == ERROR_CORRUPT || code == ERROR_UNSUPPORTED);
        object->bytes[at] ^= 0x10;
        end(fixture);
    }
    unmake(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_series_takes_three_round_trips),
        cmocka_unit_test(many_series_take_three_round_trips),
        cmocka_unit_test(many_blocks_take_three_round_trips_together),
        cmocka_unit_test(one_tenant_of_many_takes_three_round_trips),
        cmocka_unit_test(a_large_index_takes_three_round_trips_too),
        cmocka_unit_test(values_of_a_label_take_two_round_trips),
        cmocka_unit_test(a_store_that_breaks_off_fails_the_query_alone),
        cmocka_unit_test(damaged_objects_are_said_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
