#include "range_list.h"

#include <stdlib.h>

void range_list_add(struct range_list *list, const struct page_file *file, uint64_t start,
                    uint64_t end)
{
    if (end > file->source->size_bytes)
        end = file->source->size_bytes;
    if (start >= end || !page_source_is_remote(file->source))
        return;
    struct page_range *last = list->count > 0 ? &list->items[list->count - 1] : NULL;
    if (last != NULL && last->source == file->source && start >= last->offset_bytes &&
        start <= last->offset_bytes + last->size_bytes) {
        uint64_t last_end = last->offset_bytes + last->size_bytes;
        if (end > last_end) {
            list->size_bytes += end - last_end;
            last->size_bytes += end - last_end;
        }
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        struct page_range *grown = realloc(list->items, capacity * sizeof *grown);
        if (grown == NULL) {
            list->failed = true;
            return;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = (struct page_range){file->source, start, end - start};
    list->size_bytes += end - start;
}

enum error_code range_list_run(struct range_list *list, struct error *error)
{
    enum error_code code = list->failed
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "ranges to be fetched")
                               : page_source_fetch(list->items, list->count, error);
    list->count = 0;
    list->size_bytes = 0;
    list->failed = false;
    return code;
}

void range_list_clear(struct range_list *list)
{
    free(list->items);
    *list = (struct range_list){0};
}
