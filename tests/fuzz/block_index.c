/* Ask the index of a hostile segment for names, values and selections. */
#include "block/series_segment_reader.h"
#include "block_memory_source.h"
#include "model/index_source.h"

static void select_with(struct index_source *index, struct arena *arena, enum matcher_type type,
                        struct text name, struct text value)
{
    struct error error;
    struct matcher *matcher;
    if (matcher_create(type, name, value, &matcher, &error) != ERROR_NONE)
        return;
    const struct matcher *matchers[] = {matcher};
    struct index_query query = {
        .tenant = TEXT("first"), .matchers = matchers, .matcher_count = 1, .arena = arena};
    struct positions positions;
    if (index_select(index, &query, &positions, &error) == ERROR_NONE)
        for (size_t i = 1; i < positions.count; i++)
            if (positions.items[i] <= positions.items[i - 1])
                abort();
    struct text_set names = {.arena = arena};
    struct text_set values = {.arena = arena};
    (void)index_label_names(index, &query, &names, &error);
    (void)index_label_values(index, &query, TEXT("instance"), &values, &error);
    matcher_destroy(matcher);
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
        struct index_source *index = series_segment_index(segment);
        select_with(index, arena, MATCHER_EQUAL, TEXT("__name__"), TEXT("metric_03"));
        select_with(index, arena, MATCHER_REGEX, TEXT("__name__"), TEXT("metric_0.*"));
        select_with(index, arena, MATCHER_NOT_EQUAL, TEXT("instance"), TEXT("host-1"));
        select_with(index, arena, MATCHER_EQUAL, TEXT("job"), TEXT(""));
        struct index_query query = {.tenant = TEXT("second"), .arena = arena};
        struct text_set names = {.arena = arena};
        (void)index_label_names(index, &query, &names, &error);
        arena_destroy(arena);
        series_segment_unref(segment);
    }
    page_cache_destroy(cache);
    return 0;
}
