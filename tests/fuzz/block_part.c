/* Open a hostile part and read everything in it. */
#include "block/part_reader.h"
#include "block_memory_source.h"

enum { SERIES_READ_MAX = 200 };

static bool visit_metadata(void *context, struct text tenant, struct text metric_name,
                           const struct metric_metadata *metadata)
{
    size_t *left = context;
    (void)tenant;
    if (metric_name.size == 0 || metadata->type >= METRIC_TYPES)
        abort();
    return --*left > 0;
}

static void read_series(struct part_reader *reader, const struct part_entry *entry)
{
    struct error error;
    struct sample_columns columns;
    const struct exemplar *exemplars;
    size_t count;
    if (part_reader_read(reader, entry->id, INT64_MIN, INT64_MAX, &columns, &error) == ERROR_NONE) {
        if (columns.count != entry->sample_count)
            abort();
        for (size_t i = 1; i < columns.count; i++)
            if (columns.timestamps_ms[i] <= columns.timestamps_ms[i - 1])
                abort();
        int64_t middle = columns.count == 0 ? 0 : columns.timestamps_ms[columns.count / 2];
        if (part_reader_read(reader, entry->id, middle, INT64_MAX, &columns, &error) ==
                ERROR_NONE &&
            columns.count > 0 && columns.timestamps_ms[0] < middle)
            abort();
        if (part_reader_read_latest(reader, entry->id, INT64_MIN, middle, &columns, &error) ==
                ERROR_NONE &&
            columns.count > 1)
            abort();
    }
    (void)part_reader_read_exemplars(reader, entry->id, 0, INT64_MAX, &exemplars, &count, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_source *source = memory_source_create(data, size, 1);
    if (source == NULL)
        return 0;
    struct error error;
    struct page_cache *cache;
    struct part *part;
    struct part_reader *reader;
    if (page_cache_create(1 << 16, &cache, &error) != ERROR_NONE)
        abort();
    if (part_open(cache, source, &part, &error) == ERROR_NONE) {
        if (part_reader_create(part, &reader, &error) != ERROR_NONE)
            abort();
        uint64_t from_id = 0;
        for (size_t i = 0; i < SERIES_READ_MAX; i++) {
            struct part_entry entry;
            bool found;
            if (part_reader_next(reader, from_id, &entry, &found, &error) != ERROR_NONE || !found)
                break;
            read_series(reader, &entry);
            from_id = entry.id + 1;
        }
        size_t left = SERIES_READ_MAX;
        (void)part_visit_metadata(part, NULL, visit_metadata, &left, &error);
        part_reader_destroy(reader);
        part_unref(part);
    }
    page_cache_destroy(cache);
    return 0;
}
