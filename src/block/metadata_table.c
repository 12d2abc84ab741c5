#include "metadata_table.h"

#include <stdlib.h>

#include "base/limits.h"
#include "key_table.h"

/* --- Writing ---------------------------------------------------------------------------------- */

struct metadata_item {
    uint32_t tenant;
    struct text metric_name;
    struct metric_metadata metadata;
    size_t order; /* of adding */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "metadata");
}

enum error_code metadata_writer_add(struct metadata_writer *writer, uint32_t tenant,
                                    struct text metric_name, const struct metric_metadata *metadata,
                                    struct error *error)
{
    if (metric_name.size == 0 || metric_name.size > LABEL_SET_BYTES_MAX ||
        metadata->help.size > LABEL_SET_BYTES_MAX || metadata->unit.size > LABEL_SET_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "metadata: a text too long or no name");
    if (writer->arena == NULL)
        writer->arena = arena_create(0);
    if (writer->arena == NULL)
        return out_of_memory(error);
    if (writer->count == writer->capacity) {
        size_t capacity = writer->capacity == 0 ? 64 : writer->capacity * 2;
        struct metadata_item *grown = realloc(writer->items, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        writer->items = grown;
        writer->capacity = capacity;
    }
    struct metadata_item item = {
        .tenant = tenant,
        .metric_name = arena_copy_text(writer->arena, metric_name),
        .metadata = {.type = metadata->type,
                     .help = arena_copy_text(writer->arena, metadata->help),
                     .unit = arena_copy_text(writer->arena, metadata->unit)},
        .order = writer->count,
    };
    if (item.metric_name.data == NULL || item.metadata.help.data == NULL ||
        item.metadata.unit.data == NULL)
        return out_of_memory(error);
    writer->items[writer->count++] = item;
    return ERROR_NONE;
}

static int key_order(const struct metadata_item *left, const struct metadata_item *right)
{
    if (left->tenant != right->tenant)
        return left->tenant < right->tenant ? -1 : 1;
    return text_compare(left->metric_name, right->metric_name);
}

static int item_order(const void *left, const void *right)
{
    const struct metadata_item *a = left;
    const struct metadata_item *b = right;
    int order = key_order(a, b);
    if (order != 0)
        return order;
    return a->order < b->order ? -1 : a->order > b->order;
}

static enum error_code item_write(const struct metadata_item *item, struct table_writer *table,
                                  struct byte_buffer *bytes, struct error *error)
{
    uint8_t number[4];
    key_store_be32(number, item->tenant);
    byte_buffer_reset(bytes);
    byte_buffer_append(bytes, number, sizeof number);
    byte_buffer_append(bytes, item->metric_name.data, item->metric_name.size);
    size_t key_size = bytes->size;
    byte_buffer_u8(bytes, (uint8_t)item->metadata.type);
    byte_buffer_text(bytes, item->metadata.unit);
    byte_buffer_text(bytes, item->metadata.help);
    if (bytes->failed)
        return out_of_memory(error);
    return table_writer_add(
        table, (struct text){(const char *)bytes->bytes, key_size},
        (struct text){(const char *)bytes->bytes + key_size, bytes->size - key_size}, error);
}

enum error_code metadata_writer_finish(struct metadata_writer *writer,
                                       const struct tenant_list *tenants, struct content_hash *hash,
                                       struct page_writer *pages, struct error *error)
{
    if (writer->count == 0)
        return ERROR_NONE;
    qsort(writer->items, writer->count, sizeof *writer->items, item_order);
    struct table_writer table = {.tree = {.pages = pages}};
    struct byte_buffer bytes = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < writer->count; i++) {
        const struct metadata_item *item = &writer->items[i];
        if (i + 1 < writer->count && key_order(item, item + 1) == 0)
            continue; /* a later one stays */
        code = item_write(item, &table, &bytes, error);
        if (code == ERROR_NONE && !content_hash_metadata(hash, tenants->tenants[item->tenant],
                                                         item->metric_name, &item->metadata))
            code = out_of_memory(error);
    }
    if (code == ERROR_NONE)
        code = table_writer_finish(&table, TOC_METADATA, error);
    table_writer_clear(&table);
    byte_buffer_clear(&bytes);
    return code;
}

void metadata_writer_clear(struct metadata_writer *writer)
{
    arena_destroy(writer->arena);
    free(writer->items);
    *writer = (struct metadata_writer){0};
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* Tenant number, metric name and metadata of the entry that the cursor is on. */
static enum error_code item_read(const struct table_cursor *cursor, const struct page_file *file,
                                 struct metadata_item *item_out, struct error *error)
{
    struct text key = table_cursor_key(cursor);
    struct byte_reader payload =
        byte_reader_over((const uint8_t *)cursor->payload.data, cursor->payload.size);
    uint8_t type = byte_reader_u8(&payload);
    struct text unit = byte_reader_text(&payload);
    struct text help = byte_reader_text(&payload);
    if (payload.failed || byte_reader_left(&payload) > 0 || type >= METRIC_TYPES || key.size < 5)
        return page_file_corrupt(file, "metadata", error);
    *item_out = (struct metadata_item){
        .tenant = key_load_be32((const uint8_t *)key.data),
        .metric_name = {key.data + 4, key.size - 4},
        .metadata = {.type = (enum metric_type)type, .help = help, .unit = unit},
    };
    return ERROR_NONE;
}

static enum error_code visit_from(struct table_cursor *cursor, const struct page_file *file,
                                  const struct tenant_list *tenants, const uint32_t *only,
                                  metadata_visit *visit, void *context, struct error *error)
{
    while (cursor->valid) {
        struct metadata_item item;
        enum error_code code = item_read(cursor, file, &item, error);
        if (code != ERROR_NONE)
            return code;
        if (item.tenant >= tenants->count)
            return page_file_corrupt(file, "metadata of an unknown tenant", error);
        if (only != NULL && item.tenant != *only)
            break;
        if (!visit(context, tenants->tenants[item.tenant], item.metric_name, &item.metadata))
            break;
        code = table_cursor_next(cursor, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

enum error_code metadata_table_visit(const struct page_file *file,
                                     const struct tenant_list *tenants, const struct text *tenant,
                                     metadata_visit *visit, void *context, struct error *error)
{
    uint32_t number = 0;
    if (tenant != NULL && !tenant_list_find(tenants, *tenant, &number))
        return ERROR_NONE;
    struct table table;
    enum error_code code = table_open(&table, file, TOC_METADATA, error);
    if (code != ERROR_NONE)
        return code;
    uint8_t key[4];
    key_store_be32(key, number);
    struct table_cursor cursor = {.table = &table};
    code = table_cursor_seek(&cursor, (struct text){(const char *)key, sizeof key}, error);
    if (code == ERROR_NONE)
        code = visit_from(&cursor, file, tenants, tenant == NULL ? NULL : &number, visit, context,
                          error);
    table_cursor_clear(&cursor);
    return code;
}
