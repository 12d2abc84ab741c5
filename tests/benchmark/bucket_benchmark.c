/*
 * Cold queries of blocks in an object store: round trips, requests, bytes and time.
 *
 *     bucket_benchmark [METRICS [INSTANCES [SAMPLES [BLOCKS [LATENCY_MS]]]]]
 *
 * Writes BLOCKS blocks of METRICS x INSTANCES series with SAMPLES samples each, 100 1000 720 2 if
 * nothing is said, and puts them into a store: one in S3 when S3_ENDPOINT is set
 * (tests/support/s3/with_server.py), else a directory. Each wait for the store takes LATENCY_MS
 * longer, 0 if nothing is said. Each query is asked with empty caches, then with what is on the
 * disk alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/block_fetch.h"
#include "block_file.h"
#include "cold_blocks.h"
#include "object/object_store_options.h"
#include "platform/clock.h"
#include "platform/disk_uring.h"
#include "platform/random.h"
#include "scratch_directory.h"
#include "selection_fetch.h"
#include "shard/bucket_cache.h"
#include "shard/bucket_source.h"
#include "view_reader.h"

enum { BLOCKS_MAX = 64, MATCHERS_MAX = 3 };

/* --- The world -------------------------------------------------------------------------------- */

/* A store that is farther away. */
struct distant_store {
    struct object_store base;
    struct object_store *store;
    struct timespec latency;
};

struct bench {
    struct cold_shape shape;
    unsigned blocks;
    struct scratch_directory folder;
    struct disk *disk;
    struct distant_store store;
    uint64_t sizes[BLOCKS_MAX];
    struct bucket_cache *near;
};

struct query {
    const char *name;
    const char *matchers[MATCHERS_MAX][2]; /* name, value; NULL: no more */
    bool is_regex;
    const char *values_of; /* NULL: samples are read */
};

static void must(enum error_code code, const struct error *error)
{
    if (code == ERROR_NONE)
        return;
    fprintf(stderr, "bucket_benchmark: %s\n", error->message);
    exit(1);
}

static void distant_read(struct object_store *self, const struct object_call *call,
                         struct object_read *reads, size_t count)
{
    struct distant_store *distant = (struct distant_store *)self;
    nanosleep(&distant->latency, NULL);
    object_store_read_many(distant->store, call, reads, count);
}

static void open_store(struct bench *bench, unsigned latency_ms)
{
    static const struct object_store_operations OPERATIONS = {.read = distant_read};
    static char directory[SCRATCH_PATH_MAX + 16];
    struct error error;
    snprintf(directory, sizeof directory, "%s/store", bench->folder.path);
    struct object_store_options options = {
        .type = getenv("S3_ENDPOINT") == NULL ? OBJECT_STORE_DIRECTORY : OBJECT_STORE_S3,
        .directory = directory,
        .s3 = {.endpoint = getenv("S3_ENDPOINT"),
               .bucket = getenv("S3_BUCKET"),
               .region = getenv("S3_REGION"),
               .access_key = getenv("S3_ACCESS_KEY"),
               .secret_key = getenv("S3_SECRET_KEY")},
        .clock = clock_system(),
        .random = random_system(),
    };
    bench->store.base.operations = &OPERATIONS;
    bench->store.latency = (struct timespec){.tv_sec = latency_ms / 1000,
                                             .tv_nsec = (long)(latency_ms % 1000) * 1000000};
    must(object_store_create(&options, &bench->store.store, &error), &error);
}

static void key_of(char key[32], unsigned block)
{
    snprintf(key, 32, "block-%02u", block);
}

static void put_block(struct bench *bench, unsigned number)
{
    struct file_summary summary;
    struct error error;
    char key[32];
    key_of(key, number);
    must(cold_write_block(bench->disk, key, &bench->shape, number, &summary, &error), &error);
    struct object_file file = {.disk = bench->disk, .size_bytes = summary.size_bytes};
    must(disk_open(bench->disk, key, DISK_OPEN_READ, &file.file, &error), &error);
    must(object_store_put_file(bench->store.store, NULL, text_of(key), &file, &error), &error);
    disk_close(bench->disk, file.file);
    must(disk_remove(bench->disk, key, &error), &error);
    bench->sizes[number] = summary.size_bytes;
}

/* --- Queries ---------------------------------------------------------------------------------- */

static void open_cache(struct bench *bench)
{
    struct bucket_cache_options options = {.memory_bytes = 64 << 20,
                                           .disk = bench->disk,
                                           .directory = "cache",
                                           .disk_bytes = UINT64_C(10) << 30};
    struct error refusal, error;
    bucket_cache_destroy(bench->near);
    must(bucket_cache_create(&options, &bench->near, &refusal, &error), &error);
}

static struct view *open_view(struct bench *bench, struct page_cache *pages, uint64_t *index_bytes)
{
    struct page_source *sources[BLOCKS_MAX];
    struct view_block blocks[BLOCKS_MAX];
    struct block_fetch *fetch;
    struct error error;
    must(block_fetch_create(&fetch, &error), &error);
    for (unsigned i = 0; i < bench->blocks; i++) {
        char key[32];
        key_of(key, i);
        struct bucket_source_options options = {.store = &bench->store.base,
                                                .cache = bench->near,
                                                .key = text_of(key),
                                                .size_bytes = bench->sizes[i]};
        must(bucket_source_open(&options, &sources[i], &error), &error);
        block_fetch_add_end(fetch, sources[i]);
    }
    must(block_fetch_run(fetch, &error), &error);
    block_fetch_destroy(fetch);
    *index_bytes = 0;
    for (unsigned i = 0; i < bench->blocks; i++) {
        struct block *block;
        must(block_open(pages, sources[i], &block, &error), &error);
        struct file_summary summary = block_summary(block);
        blocks[i] = (struct view_block){
            .block = block, .start_ms = summary.min_time_ms, .end_ms = summary.max_time_ms};
        *index_bytes += summary.size_bytes - block->file.index_start;
    }
    struct view pieces = {.blocks = blocks, .block_count = bench->blocks};
    struct view *view = view_create(&pieces);
    for (unsigned i = 0; i < bench->blocks; i++)
        block_unref(blocks[i].block);
    return view;
}

static void read_samples(struct view *view, const struct series_request *request,
                         size_t *series_out, size_t *samples_out)
{
    struct series_selection selection;
    struct view_reader *reader;
    struct error error;
    struct samples_ahead ahead = {0};
    struct samples_needed needed = {SERIES_NEED_ALL, request->start_ms, request->end_ms};
    must(series_selection_find(view, NULL, request, &selection, &error), &error);
    struct labels *labels = arena_array(request->arena, selection.count, sizeof *labels);
    must(series_selection_labels(&selection, 0, selection.count, request->arena, labels, &error),
         &error);
    must(view_reader_create(view, &reader, &error), &error);
    for (size_t i = 0; i < selection.count; i++) {
        struct block_position places[BLOCKS_MAX];
        struct sample_columns columns;
        must(selection_fetch_samples(view, &selection, &needed, i, &ahead, &error), &error);
        struct view_series series = {.tenant = request->tenant,
                                     .id = SERIES_ID_NONE,
                                     .blocks = places,
                                     .block_count = series_selection_blocks(&selection, i, places)};
        must(
            view_reader_read(reader, &series, request->start_ms, request->end_ms, &columns, &error),
            &error);
        *samples_out += columns.count;
    }
    view_reader_destroy(reader);
    *series_out = selection.count;
}

static void read_values(struct view *view, const struct series_request *request, const char *name,
                        size_t *count_out)
{
    struct text wanted = text_of(name);
    struct text_set values = {.arena = request->arena};
    struct index_query query = {.tenant = request->tenant, .arena = request->arena};
    struct error error;
    must(selection_fetch_indexes(view, request, &wanted, &error), &error);
    for (size_t i = 0; i < view->block_count; i++)
        must(
            index_label_values(block_index(view->blocks[i].block), &query, wanted, &values, &error),
            &error);
    *count_out = values.count;
}

static double now_ms(void)
{
    return (double)clock_monotonic_ns(clock_system()) / 1e6;
}

static void ask(struct bench *bench, const struct query *query, const char *state)
{
    struct page_cache *pages;
    struct matcher *matchers[MATCHERS_MAX];
    struct error error;
    struct series_request request = {.tenant = TEXT("tenant-000"),
                                     .matchers = (const struct matcher *const *)matchers,
                                     .start_ms = COLD_START_MS,
                                     .end_ms = INT64_MAX,
                                     .arena = arena_create(0)};
    must(page_cache_create(256 << 20, &pages, &error), &error);
    for (; request.matcher_count < MATCHERS_MAX; request.matcher_count++) {
        const char *const *matcher = query->matchers[request.matcher_count];
        if (matcher[0] == NULL)
            break;
        must(matcher_create(query->is_regex && request.matcher_count > 0 ? MATCHER_REGEX
                                                                         : MATCHER_EQUAL,
                            text_of(matcher[0]), text_of(matcher[1]),
                            &matchers[request.matcher_count], &error),
             &error);
    }
    struct bucket_cache_statistics before = bucket_cache_statistics(bench->near);
    uint64_t index_bytes;
    size_t series = 0, samples = 0;
    double start_ms = now_ms();
    struct view *view = open_view(bench, pages, &index_bytes);
    if (query->values_of != NULL)
        read_values(view, &request, query->values_of, &series);
    else
        read_samples(view, &request, &series, &samples);
    double took_ms = now_ms() - start_ms;
    struct bucket_cache_statistics after = bucket_cache_statistics(bench->near);
    printf("%-28s %-5s %7zu %10zu %5llu %6llu %9.1f %9.1f %8.1f\n", query->name, state, series,
           samples, (unsigned long long)(after.round_trips - before.round_trips),
           (unsigned long long)(after.reads - before.reads),
           (double)(after.read_bytes - before.read_bytes) / (1 << 20),
           (double)index_bytes / (1 << 20), took_ms);
    for (size_t i = 0; i < request.matcher_count; i++)
        matcher_destroy(matchers[i]);
    view_unref(view);
    page_cache_destroy(pages);
    arena_destroy(request.arena);
}

static unsigned argument(int count, char **arguments, int at, unsigned fallback)
{
    return at < count ? (unsigned)strtoul(arguments[at], NULL, 10) : fallback;
}

int main(int count, char **arguments)
{
    static const struct query QUERIES[] = {
        {.name = "one series",
         .matchers = {{"__name__", "metric_00007"}, {"instance", "host-00321:9100"}}},
        {.name = "a host", .matchers = {{"instance", "host-00321:9100"}}},
        {.name = "a metric of two jobs",
         .matchers = {{"__name__", "metric_00007"}, {"job", "job-0[12]"}},
         .is_regex = true},
        {.name = "a metric", .matchers = {{"__name__", "metric_00007"}}},
        {.name = "values of a label", .values_of = "pod"},
    };
    static struct bench bench;
    struct error error;
    bench.shape = (struct cold_shape){.tenants = 1,
                                      .metrics = argument(count, arguments, 1, 100),
                                      .instances = argument(count, arguments, 2, 1000),
                                      .samples = argument(count, arguments, 3, 720)};
    bench.blocks = argument(count, arguments, 4, 2);
    if (bench.shape.samples > COLD_SAMPLES_MAX || bench.blocks > BLOCKS_MAX ||
        bench.shape.metrics * bench.shape.instances == 0) {
        fprintf(stderr, "bucket_benchmark: too much\n");
        return 2;
    }
    scratch_directory_make(&bench.folder);
    must(disk_uring_create(bench.folder.path, NULL, DISK_ENGINE_BEST, &bench.disk, &error), &error);
    open_store(&bench, argument(count, arguments, 5, 0));
    uint64_t bytes = 0;
    for (unsigned i = 0; i < bench.blocks; i++) {
        put_block(&bench, i);
        bytes += bench.sizes[i];
    }
    printf("%u series, %u blocks, %.1f MiB\n", bench.shape.metrics * bench.shape.instances,
           bench.blocks, (double)bytes / (1 << 20));
    printf("%-28s %-5s %7s %10s %5s %6s %9s %9s %8s\n", "query", "", "series", "samples", "trips",
           "reads", "MiB", "index MiB", "ms");
    for (size_t i = 0; i < sizeof QUERIES / sizeof QUERIES[0]; i++) {
        open_cache(&bench);
        ask(&bench, &QUERIES[i], "cold");
        ask(&bench, &QUERIES[i], "near");
    }
    bucket_cache_destroy(bench.near);
    object_store_destroy(bench.store.store);
    disk_uring_destroy(bench.disk);
    scratch_directory_remove(&bench.folder);
    return 0;
}
