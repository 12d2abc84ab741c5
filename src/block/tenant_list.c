#include "tenant_list.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/limits.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "list of tenants");
}

static uint32_t *slot_find(const struct tenant_list *list, uint32_t *slots, size_t slot_count,
                           struct text tenant)
{
    size_t at = hash64(tenant.data, tenant.size, HASH_SEED_STORED) & (slot_count - 1);
    while (slots[at] != 0 && !text_equal(list->tenants[slots[at] - 1], tenant))
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

/* Room for one tenant more. */
static bool grow(struct tenant_list *list)
{
    if (list->arena == NULL)
        list->arena = arena_create(0);
    if (list->arena == NULL)
        return false;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        struct text *grown = realloc(list->tenants, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        list->tenants = grown;
        list->capacity = capacity;
    }
    if (2 * list->count >= list->slot_count) {
        size_t slot_count = list->slot_count == 0 ? 8 : list->slot_count * 2;
        uint32_t *slots = calloc(slot_count, sizeof *slots);
        if (slots == NULL)
            return false;
        for (uint32_t i = 0; i < list->count; i++)
            *slot_find(list, slots, slot_count, list->tenants[i]) = i + 1;
        free(list->slots);
        list->slots = slots;
        list->slot_count = slot_count;
    }
    return true;
}

enum error_code tenant_list_add(struct tenant_list *list, struct text tenant, uint32_t *number_out,
                                struct error *error)
{
    if (tenant_list_find(list, tenant, number_out))
        return ERROR_NONE;
    if (tenant.size > TENANT_ID_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "tenant of %zu bytes", tenant.size);
    if (list->count == UINT32_MAX - 1 || !grow(list))
        return out_of_memory(error);
    struct text copy = arena_copy_text(list->arena, tenant);
    if (copy.data == NULL)
        return out_of_memory(error);
    uint32_t number = (uint32_t)list->count;
    *slot_find(list, list->slots, list->slot_count, tenant) = number + 1;
    list->tenants[list->count++] = copy;
    *number_out = number;
    return ERROR_NONE;
}

bool tenant_list_find(const struct tenant_list *list, struct text tenant, uint32_t *number_out)
{
    if (list->count == 0)
        return false;
    uint32_t found = *slot_find(list, list->slots, list->slot_count, tenant);
    if (found == 0)
        return false;
    *number_out = found - 1;
    return true;
}

enum error_code tenant_list_write(const struct tenant_list *list, struct page_writer *pages,
                                  struct error *error)
{
    struct byte_buffer bytes = {0};
    byte_buffer_varint(&bytes, list->count);
    for (size_t i = 0; i < list->count; i++)
        byte_buffer_text(&bytes, list->tenants[i]);
    enum error_code code =
        bytes.failed ? out_of_memory(error)
                     : page_writer_section(pages, TOC_TENANTS, bytes.bytes, bytes.size, error);
    byte_buffer_clear(&bytes);
    return code;
}

enum error_code tenant_list_read(struct tenant_list *list, const struct page_file *file,
                                 struct error *error)
{
    struct byte_reader reader = page_file_section(file, TOC_TENANTS);
    if (byte_reader_left(&reader) == 0)
        return ERROR_NONE;
    uint64_t count = byte_reader_varint(&reader);
    for (uint64_t i = 0; i < count && !reader.failed; i++) {
        struct text tenant = byte_reader_text(&reader);
        uint32_t number = 0;
        if (reader.failed || tenant.size > TENANT_ID_BYTES_MAX)
            return page_file_corrupt(file, "list of tenants", error);
        enum error_code code = tenant_list_add(list, tenant, &number, error);
        if (code != ERROR_NONE)
            return code;
        if (number != i)
            return page_file_corrupt(file, "a tenant twice", error);
    }
    if (reader.failed || byte_reader_left(&reader) > 0)
        return page_file_corrupt(file, "list of tenants", error);
    return ERROR_NONE;
}

void tenant_list_clear(struct tenant_list *list)
{
    arena_destroy(list->arena);
    free(list->tenants);
    free(list->slots);
    *list = (struct tenant_list){0};
}
