/* Open a hostile series segment; find its series by id, position and labels. */
#include "block/series_segment_reader.h"
#include "block_memory_source.h"

enum { SERIES_READ_MAX = 200 };

static void read_all(struct series_segment *segment, struct arena *arena)
{
    struct error error;
    uint64_t count = series_segment_summary(segment).series_count;
    if (count > SERIES_READ_MAX)
        count = SERIES_READ_MAX;
    struct positions positions;
    struct segment_series series[SERIES_READ_MAX];
    struct segment_lookup lookups[SERIES_READ_MAX];
    uint64_t ids[SERIES_READ_MAX];
    if (!positions_range(arena, 0, count, &positions))
        abort();
    (void)series_segment_ids(segment, positions, ids, &error);
    for (size_t i = 0; i < count; i++)
        ids[i] = series_segment_first_id(segment) + i;
    (void)series_segment_read(segment, ids, count, arena, series, &error);
    if (series_segment_read_at(segment, positions, arena, series, &error) != ERROR_NONE)
        return;
    for (size_t i = 0; i < count; i++)
        lookups[i] = (struct segment_lookup){
            .tenant = series[i].tenant,
            .labels = series[i].labels,
            .hash = series_segment_hash(series[i].tenant, series[i].labels)};
    (void)series_segment_find(segment, lookups, count, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct page_source *source = memory_source_create(data, size, 2);
    if (source == NULL)
        return 0;
    struct error error;
    struct page_cache *cache;
    struct series_segment *segment;
    if (page_cache_create(1 << 16, &cache, &error) != ERROR_NONE)
        abort();
    if (series_segment_open(cache, source, &segment, &error) == ERROR_NONE) {
        struct arena *arena = arena_create(64 << 20);
        read_all(segment, arena);
        arena_destroy(arena);
        series_segment_unref(segment);
    }
    page_cache_destroy(cache);
    return 0;
}
