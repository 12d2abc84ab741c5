/*
 * range_list - ranges of remote files that shall be fetched together. One thread.
 */
#ifndef BLOCK_RANGE_LIST_H
#define BLOCK_RANGE_LIST_H

#include "page_file.h"

/* Zero-initialise; clear at the end. */
struct range_list {
    struct page_range *items; /* [count] */
    size_t count;
    size_t capacity;
    uint64_t size_bytes; /* of all, about */
    bool failed;         /* out of memory: run says so */
};

/* Bytes [start, end) of the file, as far as they are inside; nothing of a file that is here. */
void range_list_add(struct range_list *list, const struct page_file *file, uint64_t start,
                    uint64_t end);

static inline void range_list_add_page(struct range_list *list, const struct page_file *file,
                                       struct page_reference page)
{
    range_list_add(list, file, page.offset_bytes, page.offset_bytes + page.size_bytes);
}

/* Fetch them all and empty the list. Errors: those of page_source_fetch, OUT_OF_MEMORY. */
enum error_code range_list_run(struct range_list *list, struct error *error);
void range_list_clear(struct range_list *list);

#endif
