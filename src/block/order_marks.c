#include "order_marks.h"

#include <assert.h>
#include <stdlib.h>

enum { TEXT_END = 0, BEHIND_TEXT_END = 1 };

/* --- Writing ---------------------------------------------------------------------------------- */

static void add_text(struct byte_buffer *key, struct text text)
{
    byte_buffer_append(key, text.data, text.size);
    byte_buffer_u8(key, TEXT_END);
}

static void add_tenant(struct byte_buffer *key, uint32_t tenant)
{
    uint8_t bytes[4];
    key_store_be32(bytes, tenant);
    byte_buffer_append(key, bytes, sizeof bytes);
}

void order_marks_add(struct order_marks_writer *writer, uint32_t position, uint32_t tenant,
                     const struct block_order_key *key)
{
    size_t size = 4 + 3;
    for (size_t i = ORDER_NAME; i < ORDER_TEXTS; i++)
        size += key->texts[i].text.size;
    if (position % ORDER_MARK_SERIES != 0 || size > ORDER_MARK_BYTES_MAX)
        return;
    byte_buffer_u32(&writer->marks, position);
    byte_buffer_varint(&writer->marks, size);
    add_tenant(&writer->marks, tenant);
    for (size_t i = ORDER_NAME; i < ORDER_TEXTS; i++)
        add_text(&writer->marks, key->texts[i].text);
}

struct late_marks {
    struct late_write late; /* first */
    struct byte_buffer marks;
    struct page_writer *pages;
};

static enum error_code late_marks_write(struct late_write *late, struct error *error)
{
    const struct late_marks *self = (const struct late_marks *)late;
    struct table_writer table = {.tree = {.pages = self->pages}};
    struct byte_reader reader = byte_reader_over(self->marks.bytes, self->marks.size);
    struct text before = {0};
    enum error_code code = ERROR_NONE;
    while (code == ERROR_NONE && byte_reader_left(&reader) > 0) {
        uint32_t position = byte_reader_u32(&reader);
        struct text key = byte_reader_text(&reader);
        uint8_t payload[VARINT_MAX_BYTES];
        size_t size = (size_t)(varint_store(payload, position) - payload);
        assert(!reader.failed);
        /* Equal: more series of one target than a mark stands for. Below: NUL in a value. */
        if (before.size > 0 && text_compare(before, key) >= 0)
            continue;
        code = table_writer_add(&table, key, (struct text){(const char *)payload, size}, error);
        before = key;
    }
    if (code == ERROR_NONE)
        code = table_writer_finish(&table, TOC_ORDER, error);
    table_writer_clear(&table);
    return code;
}

static void late_marks_clear(struct late_write *late)
{
    byte_buffer_clear(&((struct late_marks *)late)->marks);
    free(late);
}

enum error_code order_marks_finish(struct order_marks_writer *writer, struct page_writer *pages,
                                   struct error *error)
{
    struct late_marks *late = malloc(sizeof *late);
    if (late == NULL || writer->marks.failed) {
        free(late);
        return error_set(error, ERROR_OUT_OF_MEMORY, "write the order of series");
    }
    *late = (struct late_marks){
        {.write = late_marks_write, .clear = late_marks_clear}, writer->marks, pages};
    writer->marks = (struct byte_buffer){0};
    page_writer_defer(pages, &late->late);
    return ERROR_NONE;
}

void order_marks_clear(struct order_marks_writer *writer)
{
    byte_buffer_clear(&writer->marks);
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* The position of the mark at the cursor; the last of all when there is none. */
static uint32_t position_at(const struct table_cursor *cursor)
{
    if (!cursor->valid)
        return UINT32_MAX;
    struct byte_reader reader =
        byte_reader_over((const uint8_t *)cursor->payload.data, cursor->payload.size);
    uint64_t position = byte_reader_varint(&reader);
    return reader.failed || position > UINT32_MAX ? UINT32_MAX : (uint32_t)position;
}

enum error_code order_marks_find(const struct table *marks, const struct order_prefix *prefix,
                                 uint32_t *first_out, uint32_t *end_out, struct error *error)
{
    struct byte_buffer key = {0};
    struct table_cursor cursor = {.table = marks};
    uint32_t first = 0, end = UINT32_MAX;
    add_tenant(&key, prefix->tenant);
    for (size_t i = 0; i < prefix->count; i++)
        add_text(&key, prefix->texts[i]);
    enum error_code code =
        key.failed ? error_set(error, ERROR_OUT_OF_MEMORY, "order of series") : ERROR_NONE;
    struct text bound = {(const char *)key.bytes, key.size};
    if (code == ERROR_NONE)
        code = table_cursor_seek(&cursor, bound, error);
    /* The mark before this one stands for series up to it. */
    uint64_t ordinal = cursor.valid ? cursor.ordinal : table_count(marks);
    if (code == ERROR_NONE && ordinal > 0)
        code = table_cursor_seek_ordinal(&cursor, ordinal - 1, error);
    if (code == ERROR_NONE && ordinal > 0)
        first = position_at(&cursor);
    if (code == ERROR_NONE && prefix->count > 0) {
        key.bytes[key.size - 1] = BEHIND_TEXT_END;
        code = table_cursor_seek(&cursor, bound, error);
        if (code == ERROR_NONE)
            end = position_at(&cursor);
    }
    table_cursor_clear(&cursor);
    byte_buffer_clear(&key);
    if (code != ERROR_NONE)
        return code;
    *first_out = first;
    *end_out = end;
    return ERROR_NONE;
}
