/* Open a hostile block and read its series, as samples and as chunks, as one that is far away. */
#include "block/block_fetch.h"
#include "block/block_reader.h"
#include "block_memory_source.h"

enum { SERIES_READ_MAX = 200 };

static void read_series(struct block_reader *reader, uint32_t position)
{
    struct error error;
    struct sample_columns columns;
    struct encoded_series encoded;
    struct block_series series;
    const struct exemplar *exemplars;
    size_t count;
    if (block_reader_read(reader, position, INT64_MIN, INT64_MAX, &columns, &error) == ERROR_NONE)
        for (size_t i = 1; i < columns.count; i++)
            if (columns.timestamps_ms[i] <= columns.timestamps_ms[i - 1])
                abort();
    (void)block_reader_read_latest(reader, position, 0, INT64_MAX, &columns, &error);
    (void)block_reader_read_exemplars(reader, position, 0, INT64_MAX, &exemplars, &count, &error);
    if (block_reader_read_encoded(reader, position, &encoded, &error) == ERROR_NONE) {
        size_t samples = 0;
        for (size_t i = 0; i < encoded.chunk_count; i++)
            samples += encoded.chunks[i].sample_count;
        if (samples != encoded.sample_count)
            abort();
    }
    if (block_reader_series(reader, position, &series, &error) == ERROR_NONE &&
        labels_count(series.labels) == 0)
        abort();
}

/* What would be fetched for a look at a tenant's series, and for those at the beginning. */
static void fetch_block(struct block *block)
{
    static const char *const NAMES[] = {"__name__", "job", "instance"};
    struct error error;
    struct block_fetch *fetch;
    struct matcher *matchers[4] = {0};
    uint32_t items[SERIES_READ_MAX];
    size_t done;
    if (block_fetch_create(&fetch, &error) != ERROR_NONE)
        abort();
    for (size_t i = 0; i < 3; i++)
        if (matcher_create(MATCHER_EQUAL, text_of(NAMES[i]), TEXT("m"), &matchers[i], &error) !=
            ERROR_NONE)
            abort();
    if (matcher_create(MATCHER_REGEX, TEXT("job"), TEXT("n.*"), &matchers[3], &error) != ERROR_NONE)
        abort();
    for (size_t i = 0; i < block_tenant_count(block) && i < 4; i++) {
        struct index_query query = {.tenant = block_tenant(block, i),
                                    .matchers = (const struct matcher *const *)matchers};
        for (; query.matcher_count <= 4; query.matcher_count++)
            (void)block_fetch_add_query(fetch, block, &query, &error);
        (void)block_fetch_add_values(fetch, block, query.tenant, TEXT("job"), &error);
    }
    struct positions positions = {items, 0};
    for (; positions.count < SERIES_READ_MAX; positions.count++)
        items[positions.count] = (uint32_t)positions.count;
    (void)block_fetch_add_places(fetch, block, positions, &error);
    (void)block_fetch_add_labels(fetch, block, positions, &error);
    (void)block_fetch_add_samples(fetch, block, positions, BLOCK_FETCH_SAMPLES, UINT64_MAX, &done,
                                  &error);
    (void)block_fetch_run(fetch, &error);
    for (size_t i = 0; i < 4; i++)
        matcher_destroy(matchers[i]);
    block_fetch_destroy(fetch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_source *source = memory_source_create(data, size, 3);
    if (source == NULL)
        return 0;
    struct error error;
    struct page_cache *cache;
    struct block *block;
    struct block_reader *reader;
    if (page_cache_create(1 << 16, &cache, &error) != ERROR_NONE)
        abort();
    if (block_open(cache, source, &block, &error) == ERROR_NONE) {
        if (block_reader_create(block, &reader, &error) != ERROR_NONE)
            abort();
        fetch_block(block);
        for (uint32_t i = 0; i < SERIES_READ_MAX && i < block_summary(block).series_count; i++)
            read_series(reader, i);
        block_reader_destroy(reader);
        block_unref(block);
    }
    page_cache_destroy(cache);
    return 0;
}
