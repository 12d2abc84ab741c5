/*
 * tenant_list - the tenants of a file and their numbers, in the table of contents.
 *
 *   vu count, each: text      the number of a tenant is its place
 */
#ifndef BLOCK_TENANT_LIST_H
#define BLOCK_TENANT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"
#include "page_file.h"

/* Zero-initialised is empty. Immutable, and for any thread, once it is complete. */
struct tenant_list {
    struct arena *arena;  /* the names */
    struct text *tenants; /* [count], by number */
    size_t count;
    size_t capacity;
    uint32_t *slots; /* [slot_count], a power of two: number + 1, 0 free */
    size_t slot_count;
};

/* The number of `tenant`, which is added when it is new. Errors: INVALID (longer than
 * TENANT_ID_BYTES_MAX), OUT_OF_MEMORY. */
enum error_code tenant_list_add(struct tenant_list *list, struct text tenant, uint32_t *number_out,
                                struct error *error);

/* False when there is no such tenant. */
bool tenant_list_find(const struct tenant_list *list, struct text tenant, uint32_t *number_out);

/* As the section TOC_TENANTS, and back. Errors: OUT_OF_MEMORY; CORRUPT. */
enum error_code tenant_list_write(const struct tenant_list *list, struct page_writer *pages,
                                  struct error *error);
enum error_code tenant_list_read(struct tenant_list *list, const struct page_file *file,
                                 struct error *error);
void tenant_list_clear(struct tenant_list *list);

#endif
