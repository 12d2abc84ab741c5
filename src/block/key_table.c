#include "key_table.h"

#include <assert.h>

#include "front_coding.h"

enum { LEAF_BYTES = 4096 };

/* --- Writing ---------------------------------------------------------------------------------- */

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "key table");
}

static enum error_code leaf_write(struct table_writer *writer, struct error *error)
{
    struct byte_buffer leaf = {0};
    byte_buffer_varint(&leaf, writer->entry_count);
    byte_buffer_append(&leaf, writer->entries.bytes, writer->entries.size);
    struct page_reference page;
    enum error_code code = leaf.failed || writer->entries.failed || writer->first_key.failed
                               ? out_of_memory(error)
                               : page_writer_append(writer->tree.pages, PAGE_TABLE_LEAF, leaf.bytes,
                                                    leaf.size, &page, error);
    byte_buffer_clear(&leaf);
    struct text first_key = {(const char *)writer->first_key.bytes, writer->first_key.size};
    if (code == ERROR_NONE)
        code = tree_writer_add(&writer->tree, first_key, writer->entry_count, page, error);
    byte_buffer_reset(&writer->entries);
    byte_buffer_reset(&writer->previous_key);
    byte_buffer_reset(&writer->first_key);
    writer->entry_count = 0;
    return code;
}

enum error_code table_writer_add(struct table_writer *writer, struct text key, struct text payload,
                                 struct error *error)
{
    if (key.size > KEY_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "key of %zu bytes", key.size);
    if (writer->entry_count == 0)
        byte_buffer_append(&writer->first_key, key.data, key.size);
    front_coding_append(&writer->entries, &writer->previous_key, key);
    byte_buffer_text(&writer->entries, payload);
    writer->entry_count++;
    writer->total_count++;
    return writer->entries.size >= LEAF_BYTES ? leaf_write(writer, error) : ERROR_NONE;
}

enum error_code table_writer_finish(struct table_writer *writer, enum toc_section section,
                                    struct error *error)
{
    if (writer->entry_count > 0) {
        enum error_code code = leaf_write(writer, error);
        if (code != ERROR_NONE)
            return code;
    }
    return tree_writer_finish(&writer->tree, section, error);
}

void table_writer_clear(struct table_writer *writer)
{
    tree_writer_clear(&writer->tree);
    byte_buffer_clear(&writer->entries);
    byte_buffer_clear(&writer->previous_key);
    byte_buffer_clear(&writer->first_key);
}

/* --- Payloads --------------------------------------------------------------------------------- */

/* Read the payload at the reader, which is over the leaf, and note where it is. */
static struct text read_payload(struct byte_reader *reader, const struct page_pin *leaf,
                                struct table_place *place_out)
{
    place_out->offset_bytes = (uint32_t)(reader->position - leaf->bytes);
    return byte_reader_text(reader);
}

enum error_code table_read_payload(const struct table *table, struct table_place place,
                                   struct page_pin *pin_out, struct text *payload_out,
                                   struct error *error)
{
    struct page_pin pin = {0};
    enum error_code code =
        page_file_pin(table->tree.file, place.leaf, PAGE_TABLE_LEAF, &pin, error);
    if (code != ERROR_NONE)
        return code;
    struct byte_reader reader = byte_reader_over(pin.bytes, pin.size);
    byte_reader_take(&reader, place.offset_bytes);
    struct text payload = byte_reader_text(&reader);
    if (reader.failed) {
        page_unpin(&pin);
        return page_file_corrupt(table->tree.file, "leaf of a table", error);
    }
    *pin_out = pin;
    *payload_out = payload;
    return ERROR_NONE;
}

/* --- Finding one ------------------------------------------------------------------------------ */

enum error_code table_find(const struct table *table, struct text key,
                           struct table_entry *entry_out, bool *found_out, struct error *error)
{
    *found_out = false;
    struct tree_leaf leaf;
    bool found;
    enum error_code code = tree_find_key(&table->tree, key, &leaf, &found, error);
    if (code != ERROR_NONE || !found)
        return code;
    struct page_pin pin = {0};
    code = page_file_pin(table->tree.file, leaf.page, PAGE_TABLE_LEAF, &pin, error);
    if (code != ERROR_NONE)
        return code;

    struct byte_reader reader = byte_reader_over(pin.bytes, pin.size);
    uint64_t count = byte_reader_varint(&reader);
    struct front_search search = front_search_begin(key);
    for (uint64_t i = 0; i < count && front_search_next(&search, &reader); i++) {
        struct table_place place = {.leaf = leaf.page};
        struct text payload = read_payload(&reader, &pin, &place);
        if (!search.equal || reader.failed)
            continue;
        *entry_out = (struct table_entry){
            .ordinal = leaf.first_ordinal + i, .place = place, .payload = payload, .pin = pin};
        *found_out = true;
        return ERROR_NONE;
    }
    page_unpin(&pin);
    return reader.failed ? page_file_corrupt(table->tree.file, "leaf of a table", error)
                         : ERROR_NONE;
}

/* --- Walking ---------------------------------------------------------------------------------- */

static enum error_code corrupt(struct table_cursor *cursor, struct error *error)
{
    cursor->valid = false;
    return page_file_corrupt(cursor->table->tree.file, "leaf of a table", error);
}

static enum error_code leaf_open(struct table_cursor *cursor, struct tree_leaf leaf,
                                 struct error *error)
{
    page_unpin(&cursor->pin);
    cursor->valid = false;
    enum error_code code =
        page_file_pin(cursor->table->tree.file, leaf.page, PAGE_TABLE_LEAF, &cursor->pin, error);
    if (code != ERROR_NONE)
        return code;
    cursor->reader = byte_reader_over(cursor->pin.bytes, cursor->pin.size);
    cursor->leaf_left = byte_reader_varint(&cursor->reader);
    /* Two bytes of key and one of payload at least: a bound for those who walk to the end. */
    if (cursor->reader.failed || cursor->leaf_left == 0 ||
        cursor->leaf_left > byte_reader_left(&cursor->reader))
        return corrupt(cursor, error);
    cursor->ordinal = leaf.first_ordinal;
    cursor->place.leaf = leaf.page;
    byte_buffer_reset(&cursor->key);
    return ERROR_NONE;
}

/* Read the next entry of the open leaf, which has one. */
static enum error_code leaf_step(struct table_cursor *cursor, struct error *error)
{
    assert(cursor->leaf_left > 0);
    bool is_key = front_coding_read(&cursor->reader, &cursor->key);
    if (cursor->key.failed)
        return out_of_memory(error);
    cursor->payload = read_payload(&cursor->reader, &cursor->pin, &cursor->place);
    if (!is_key || cursor->reader.failed)
        return corrupt(cursor, error);
    cursor->leaf_left--;
    cursor->valid = true;
    return ERROR_NONE;
}

enum error_code table_cursor_next(struct table_cursor *cursor, struct error *error)
{
    assert(cursor->valid);
    uint64_t ordinal = cursor->ordinal + 1;
    if (cursor->leaf_left == 0)
        return table_cursor_seek_ordinal(cursor, ordinal, error);
    cursor->ordinal = ordinal;
    return leaf_step(cursor, error);
}

enum error_code table_cursor_seek_ordinal(struct table_cursor *cursor, uint64_t ordinal,
                                          struct error *error)
{
    if (ordinal >= table_count(cursor->table)) {
        cursor->valid = false;
        return ERROR_NONE;
    }
    bool is_near = cursor->valid && ordinal >= cursor->ordinal &&
                   ordinal - cursor->ordinal <= cursor->leaf_left;
    if (!is_near) {
        struct tree_leaf leaf;
        enum error_code code = tree_find_ordinal(&cursor->table->tree, ordinal, &leaf, error);
        if (code == ERROR_NONE)
            code = leaf_open(cursor, leaf, error);
        if (code == ERROR_NONE)
            code = leaf_step(cursor, error);
        if (code != ERROR_NONE) {
            cursor->valid = false;
            return code;
        }
        if (ordinal - cursor->ordinal > cursor->leaf_left)
            return corrupt(cursor, error);
    }
    while (cursor->ordinal < ordinal) {
        enum error_code code = leaf_step(cursor, error);
        if (code != ERROR_NONE)
            return code;
        cursor->ordinal++;
    }
    return ERROR_NONE;
}

enum error_code table_cursor_seek(struct table_cursor *cursor, struct text key, struct error *error)
{
    cursor->valid = false;
    if (table_count(cursor->table) == 0)
        return ERROR_NONE;
    struct tree_leaf leaf;
    bool found;
    enum error_code code = tree_find_key(&cursor->table->tree, key, &leaf, &found, error);
    if (code != ERROR_NONE)
        return code;
    if (!found)
        return table_cursor_seek_ordinal(cursor, 0, error);
    code = leaf_open(cursor, leaf, error);
    if (code == ERROR_NONE)
        code = leaf_step(cursor, error);
    while (code == ERROR_NONE && cursor->valid && text_compare(table_cursor_key(cursor), key) < 0)
        code = table_cursor_next(cursor, error);
    return code;
}

void table_cursor_clear(struct table_cursor *cursor)
{
    page_unpin(&cursor->pin);
    byte_buffer_clear(&cursor->key);
    cursor->valid = false;
}
