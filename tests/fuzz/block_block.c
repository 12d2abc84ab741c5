/* Open a hostile block and read its series, as samples and as chunks. */
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
        for (uint32_t i = 0; i < SERIES_READ_MAX && i < block_summary(block).series_count; i++)
            read_series(reader, i);
        block_reader_destroy(reader);
        block_unref(block);
    }
    page_cache_destroy(cache);
    return 0;
}
