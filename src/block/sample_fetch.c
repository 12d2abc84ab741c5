#include "sample_fetch.h"

/* The pages that were added last: neighbours are on the same. */
struct last_pages {
    uint64_t times_offset;
    uint64_t values_offset;
};

static void add_page(const struct sample_store *store, struct page_reference page,
                     uint64_t *last_offset, struct range_list *list)
{
    if (page.offset_bytes == *last_offset)
        return;
    *last_offset = page.offset_bytes;
    range_list_add_page(list, store->file, page);
}

static void add_series(const struct sample_reader *reader, enum sample_fetch_what what,
                       struct last_pages *last, struct range_list *list)
{
    const struct sample_store *store = reader->store;
    const struct series_entry *series = &reader->cursor.series;
    for (uint32_t i = 0; i < series->chunk_count; i++)
        add_page(store, reader->cursor.chunks[i].column.page, &last->times_offset, list);
    if (what == SAMPLE_FETCH_TIMES)
        return;
    for (uint32_t i = 0; i < series->chunk_count; i++)
        add_page(store, reader->cursor.chunks[i].values.page, &last->values_offset, list);
}

enum error_code sample_fetch_pages(const struct sample_store *store, struct positions positions,
                                   enum sample_fetch_what what, uint64_t bytes_max,
                                   struct range_list *list, size_t *done_out, struct error *error)
{
    struct sample_reader reader;
    struct last_pages last = {0};
    size_t done = 0;
    enum error_code code = sample_reader_init(&reader, store, error);
    while (code == ERROR_NONE && done < positions.count &&
           (done == 0 || list->size_bytes < bytes_max)) {
        bool found;
        code = sample_reader_seek(&reader, positions.items[done++], &found, error);
        if (code == ERROR_NONE && found)
            add_series(&reader, what, &last, list);
    }
    sample_reader_clear(&reader);
    *done_out = done;
    return code;
}
