#include "written_series.h"

#include <assert.h>
#include <stdlib.h>

struct written_record {
    uint64_t key;
    uint64_t offset; /* in the entries */
};

/* How the entry of a chunk begins: its kind and one, and what follows. */
enum {
    HEAD_END = 0, /* no chunk */
    HEAD_KIND = 3,
    HEAD_HAS_COLUMN = 4,
    HEAD_HAS_GROUP = 8,
    HEAD_HAS_STARTS = 16,
};

/* Before the first chunk of a series, which says everything. */
static const struct written_chunk NOTHING_EXPECTED = {.column = UINT32_MAX, .group = UINT64_MAX};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "write samples");
}

/* The place of the chunk behind. */
static struct written_chunk chunk_behind(const struct written_chunk *chunk)
{
    return (struct written_chunk){
        .column = chunk->column,
        .first = chunk->first + chunk->count,
        .group = chunk->group,
        .offset = chunk->offset + chunk->values_bytes + chunk->starts_bytes,
    };
}

/* --- Writing ---------------------------------------------------------------------------------- */

enum error_code written_series_begin(struct written_series *list, uint64_t key, uint32_t tenant,
                                     uint16_t slot, struct error *error)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 256 : list->capacity * 2;
        struct written_record *grown = realloc(list->records, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        list->records = grown;
        list->capacity = capacity;
    }
    list->records[list->count++] = (struct written_record){key, list->entries.size};
    list->expected = NOTHING_EXPECTED;
    byte_buffer_varint(&list->entries, tenant);
    byte_buffer_varint(&list->entries, slot);
    return ERROR_NONE;
}

void written_series_add_chunk(struct written_series *list, const struct written_chunk *chunk)
{
    struct byte_buffer *entries = &list->entries;
    const struct written_chunk *expected = &list->expected;
    bool has_column = chunk->column != expected->column || chunk->first != expected->first;
    bool has_group = chunk->group != expected->group || chunk->offset != expected->offset;
    unsigned head = 1 + (unsigned)chunk->kind;
    head |= has_column ? HEAD_HAS_COLUMN : 0;
    head |= has_group ? HEAD_HAS_GROUP : 0;
    head |= chunk->starts_bytes > 0 ? HEAD_HAS_STARTS : 0;
    byte_buffer_varint(entries, head);
    if (has_column) {
        byte_buffer_varint(entries, chunk->column);
        byte_buffer_varint(entries, chunk->first);
    }
    byte_buffer_varint(entries, chunk->count);
    if (has_group) {
        byte_buffer_varint(entries, chunk->group);
        byte_buffer_varint(entries, chunk->offset);
    }
    byte_buffer_varint(entries, chunk->values_bytes);
    if (chunk->starts_bytes > 0)
        byte_buffer_varint(entries, chunk->starts_bytes);
    list->expected = chunk_behind(chunk);
}

enum error_code written_series_end(struct written_series *list,
                                   const struct written_exemplars *exemplars, struct error *error)
{
    byte_buffer_varint(&list->entries, HEAD_END);
    byte_buffer_varint(&list->entries, exemplars->size_bytes);
    if (exemplars->size_bytes > 0) {
        byte_buffer_varint(&list->entries, exemplars->group);
        byte_buffer_varint(&list->entries, exemplars->offset);
    }
    return list->entries.failed ? out_of_memory(error) : ERROR_NONE;
}

static int record_order(const void *left, const void *right)
{
    const struct written_record *a = left;
    const struct written_record *b = right;
    return a->key < b->key ? -1 : a->key > b->key;
}

enum error_code written_series_sort(struct written_series *list, struct error *error)
{
    bool sorted = true;
    for (size_t i = 1; sorted && i < list->count; i++)
        sorted = list->records[i - 1].key < list->records[i].key;
    if (sorted)
        return ERROR_NONE;
    qsort(list->records, list->count, sizeof *list->records, record_order);
    for (size_t i = 1; i < list->count; i++)
        if (list->records[i - 1].key == list->records[i].key)
            return error_set(error, ERROR_INVALID, "series %llu twice",
                             (unsigned long long)list->records[i].key);
    return ERROR_NONE;
}

size_t written_series_size_bytes(const struct written_series *list)
{
    return list->entries.capacity + list->capacity * sizeof *list->records;
}

void written_series_clear(struct written_series *list)
{
    byte_buffer_clear(&list->entries);
    free(list->records);
    *list = (struct written_series){0};
}

/* --- Reading back ----------------------------------------------------------------------------- */

struct written_cursor written_series_open(const struct written_series *list, size_t place)
{
    assert(place < list->count);
    const struct written_record *record = &list->records[place];
    struct written_cursor cursor = {
        .key = record->key,
        .reader = byte_reader_over(list->entries.bytes + record->offset,
                                   list->entries.size - record->offset),
        .expected = NOTHING_EXPECTED,
    };
    cursor.tenant = (uint32_t)byte_reader_varint(&cursor.reader);
    cursor.slot = (uint16_t)byte_reader_varint(&cursor.reader);
    return cursor;
}

static void read_exemplars(struct written_cursor *cursor)
{
    cursor->exemplars.size_bytes = byte_reader_varint(&cursor->reader);
    if (cursor->exemplars.size_bytes > 0) {
        cursor->exemplars.group = byte_reader_varint(&cursor->reader);
        cursor->exemplars.offset = byte_reader_varint(&cursor->reader);
    }
}

bool written_cursor_next(struct written_cursor *cursor, struct written_chunk *chunk_out)
{
    struct byte_reader *reader = &cursor->reader;
    struct written_chunk chunk = cursor->expected;
    uint64_t head = byte_reader_varint(reader);
    if (head == HEAD_END) {
        read_exemplars(cursor);
        assert(!reader->failed);
        return false;
    }
    chunk.kind = (enum chunk_kind)((head & HEAD_KIND) - 1);
    if ((head & HEAD_HAS_COLUMN) != 0) {
        chunk.column = (uint32_t)byte_reader_varint(reader);
        chunk.first = (uint32_t)byte_reader_varint(reader);
    }
    chunk.count = (uint32_t)byte_reader_varint(reader);
    if ((head & HEAD_HAS_GROUP) != 0) {
        chunk.group = byte_reader_varint(reader);
        chunk.offset = byte_reader_varint(reader);
    }
    chunk.values_bytes = byte_reader_varint(reader);
    if ((head & HEAD_HAS_STARTS) != 0)
        chunk.starts_bytes = byte_reader_varint(reader);
    assert(!reader->failed);
    cursor->expected = chunk_behind(&chunk);
    *chunk_out = chunk;
    return true;
}
