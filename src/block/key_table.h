/*
 * key_table - sorted keys with payloads in a file, found by key or by ordinal.
 *
 * Byte layout: docs/formats/pages.md, "Table".
 */
#ifndef BLOCK_KEY_TABLE_H
#define BLOCK_KEY_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "page_tree.h"

/* --- Writing ---------------------------------------------------------------------------------- */

/* Zero-initialise with tree.pages. */
struct table_writer {
    struct tree_writer tree;
    struct byte_buffer entries; /* of the open leaf */
    struct byte_buffer previous_key;
    struct byte_buffer first_key;
    uint64_t entry_count; /* of the open leaf */
    uint64_t total_count;
};

/* Keys strictly ascending, at most KEY_BYTES_MAX. Errors: LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code table_writer_add(struct table_writer *writer, struct text key, struct text payload,
                                 struct error *error);
enum error_code table_writer_finish(struct table_writer *writer, enum toc_section section,
                                    struct error *error);
void table_writer_clear(struct table_writer *writer);

/* --- Reading ---------------------------------------------------------------------------------- */

struct table {
    struct tree tree;
};

static inline enum error_code table_open(struct table *table, const struct page_file *file,
                                         enum toc_section section, struct error *error)
{
    return tree_open(&table->tree, file, section, error);
}

static inline uint64_t table_count(const struct table *table)
{
    return table->tree.entry_count;
}

/* Where a payload was found, to read it again without looking for it. */
struct table_place {
    struct page_reference leaf;
    uint32_t offset_bytes; /* of the payload's length, in the leaf */
};

/* One entry; `payload` lives as long as the pin, which the caller releases. */
struct table_entry {
    uint64_t ordinal;
    struct table_place place;
    struct text payload;
    struct page_pin pin;
};

/* Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. When it is not found nothing is pinned. */
enum error_code table_find(const struct table *table, struct text key,
                           struct table_entry *entry_out, bool *found_out, struct error *error);

/* The payload at a place of the same table; as long as the pin, which the caller releases. On error
 * nothing is pinned. */
enum error_code table_read_payload(const struct table *table, struct table_place place,
                                   struct page_pin *pin_out, struct text *payload_out,
                                   struct error *error);

/*
 * A walk. Zero-initialise with `table`, seek, then read key and payload while `valid`; clear at the
 * end. One thread.
 */
struct table_cursor {
    const struct table *table;
    bool valid;
    uint64_t ordinal;
    struct byte_buffer key;
    struct table_place place; /* of the payload */
    struct text payload;
    uint64_t leaf_left; /* entries of the leaf behind this one */
    struct byte_reader reader;
    struct page_pin pin;
};

/* To the first entry with a key >= `key`. */
enum error_code table_cursor_seek(struct table_cursor *cursor, struct text key,
                                  struct error *error);

/* To the entry `ordinal`; beyond the last: not valid. Short steps forward are cheap. */
enum error_code table_cursor_seek_ordinal(struct table_cursor *cursor, uint64_t ordinal,
                                          struct error *error);
enum error_code table_cursor_next(struct table_cursor *cursor, struct error *error);
void table_cursor_clear(struct table_cursor *cursor);

static inline struct text table_cursor_key(const struct table_cursor *cursor)
{
    return (struct text){(const char *)cursor->key.bytes, cursor->key.size};
}

#endif
