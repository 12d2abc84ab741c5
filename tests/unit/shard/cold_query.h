/*
 * cold_query - queries over blocks in a store, nothing of which is near.
 */
#ifndef COLD_QUERY_H
#define COLD_QUERY_H

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

/* More than the end that is read first. */
static const struct cold_shape SMALL = {1, 20, 50, 240};

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
    unsigned sources_opened = 0;
    fixture->view = NULL;
    enum error_code code = block_fetch_create(&fetch, error);
    if (code != ERROR_NONE)
        return code;
    for (unsigned i = 0; code == ERROR_NONE && i < fixture->windows; i++) {
        struct counted_object *object = &fixture->store.objects[i];
        struct bucket_source_options options = {.store = &fixture->store.base,
                                                .cache = fixture->near,
                                                .key = text_of(object->key),
                                                .size_bytes = object->size_bytes};
        code = bucket_source_open(&options, &sources[i], error);
        if (code != ERROR_NONE)
            break;
        sources_opened++;
        block_fetch_add_end(fetch, sources[i]);
    }
    if (code == ERROR_NONE)
        code = block_fetch_run(fetch, error);
    block_fetch_destroy(fetch);
    size_t opened = 0;
    for (unsigned i = 0; i < sources_opened; i++) {
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
    for (size_t i = 0; i < opened; i++)
        block_unref(blocks[i].block);
    return code == ERROR_NONE && fixture->view == NULL
               ? error_set(error, ERROR_OUT_OF_MEMORY, "view")
               : code;
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
    uint64_t number =
        strtoul(metric + 7, NULL, 10) * shape->instances + strtoul(host + 5, NULL, 10);
    struct labels expected = cold_labels(shape, number, texts, fixture->arena);
    if (expected.bytes != NULL) /* the test's own memory may be what is out */
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
    struct samples_needed needed = {SERIES_NEED_ALL, fixture->request.start_ms,
                                    fixture->request.end_ms};
    struct view_reader *reader = NULL;
    enum error_code code = series_selection_find(view, NULL, &fixture->request, &selection, error);
    if (code != ERROR_NONE)
        return code;
    *count_out = selection.count;
    struct labels *labels = arena_array(fixture->arena, selection.count + 1, sizeof *labels);
    if (labels == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "labels");
    code = series_selection_labels(&selection, 0, selection.count, fixture->arena, labels, error);
    if (code == ERROR_NONE)
        code = view_reader_create(view, &reader, error);
    for (size_t i = 0; code == ERROR_NONE && i < selection.count; i++) {
        struct block_position places[BLOCKS_MAX];
        struct view_series series = {
            .tenant = fixture->request.tenant, .id = SERIES_ID_NONE, .blocks = places};
        struct sample_columns columns;
        code = selection_fetch_samples(view, &selection, &needed, i, &ahead, error);
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

#endif
