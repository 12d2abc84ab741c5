/*
 * Label pages back to rows, and rows back to labels.
 */
#include <assert.h>
#include <stdlib.h>

#include "label_index.h"

/* --- Rows ------------------------------------------------------------------------------------- */

static enum error_code corrupt(struct label_rows *rows, struct error *error)
{
    rows->valid = false;
    rows->rows_left = 0;
    return page_file_corrupt(rows->index->file, "page of labels", error);
}

static enum error_code page_open(struct label_rows *rows, struct tree_leaf leaf,
                                 struct error *error)
{
    page_unpin(&rows->pin);
    rows->valid = false;
    rows->rows_left = 0;
    enum error_code code =
        page_file_pin(rows->index->file, leaf.page, PAGE_LABELS, &rows->pin, error);
    if (code != ERROR_NONE)
        return code;
    rows->reader = byte_reader_over(rows->pin.bytes, rows->pin.size);
    uint64_t count = byte_reader_varint(&rows->reader);
    if (rows->reader.failed || count == 0 || count > LABEL_PAGE_SERIES ||
        leaf.first_ordinal > rows->index->series_count ||
        count > rows->index->series_count - leaf.first_ordinal)
        return corrupt(rows, error);
    rows->rows_left = (uint32_t)count;
    rows->row = (struct label_row){.position = (uint32_t)leaf.first_ordinal};
    return ERROR_NONE;
}

/* Read the next row of the open page over the one before. */
static enum error_code row_read(struct label_rows *rows, struct error *error)
{
    assert(rows->rows_left > 0);
    struct label_row *row = &rows->row;
    struct byte_reader *reader = &rows->reader;
    bool is_first = !rows->valid;
    int64_t tenant = row->tenant + byte_reader_zigzag(reader);
    int64_t slot = row->slot + byte_reader_zigzag(reader);
    if (rows->index->columns == LABEL_COLUMNS_SEGMENT) {
        uint64_t gap = byte_reader_varint(reader);
        if (__builtin_add_overflow(is_first ? 0 : row->id + 1, gap, &row->id) ||
            row->id == UINT64_MAX)
            return corrupt(rows, error);
        row->target += (uint64_t)byte_reader_zigzag(reader);
    }
    uint64_t count = byte_reader_varint(reader);
    if (reader->failed || count == 0 || count > LABELS_PER_SERIES_MAX || tenant < 0 ||
        (uint64_t)tenant >= rows->index->tenants->count || slot < 0 || slot >= SLOT_COUNT)
        return corrupt(rows, error);
    for (uint32_t i = 0; i < count; i++) {
        int64_t before = i < row->pair_count ? row->pairs[i] : 0;
        int64_t pair = before + byte_reader_zigzag(reader);
        if (pair < 0 || (uint64_t)pair >= table_count(&rows->index->pairs))
            return corrupt(rows, error);
        row->pairs[i] = (uint32_t)pair;
    }
    if (reader->failed)
        return corrupt(rows, error);
    row->pair_count = (uint32_t)count;
    row->tenant = (uint32_t)tenant;
    row->slot = (uint16_t)slot;
    row->position += !is_first;
    rows->valid = true;
    rows->rows_left--;
    return ERROR_NONE;
}

enum error_code label_rows_seek(struct label_rows *rows, uint32_t position, struct error *error)
{
    if (position >= rows->index->series_count)
        return error_set(error, ERROR_NOT_FOUND, "series at position %u of %u", position,
                         rows->index->series_count);
    bool is_near = rows->valid && position >= rows->row.position &&
                   position - rows->row.position <= rows->rows_left;
    enum error_code code = ERROR_NONE;
    if (!is_near) {
        struct tree_leaf leaf;
        code = tree_find_ordinal(&rows->index->labels, position, &leaf, error);
        if (code == ERROR_NONE)
            code = page_open(rows, leaf, error);
        if (code == ERROR_NONE && position - rows->row.position >= rows->rows_left)
            code = corrupt(rows, error);
        if (code == ERROR_NONE)
            code = row_read(rows, error);
    }
    while (code == ERROR_NONE && rows->row.position < position)
        code = row_read(rows, error);
    return code;
}

enum error_code label_rows_seek_id(struct label_rows *rows, uint64_t id, struct error *error)
{
    assert(rows->index->columns == LABEL_COLUMNS_SEGMENT);
    enum error_code code = ERROR_NONE;
    bool is_ahead = rows->valid && id >= rows->row.id;
    while (code == ERROR_NONE && is_ahead && rows->row.id < id && rows->rows_left > 0)
        code = row_read(rows, error);
    if (code != ERROR_NONE || (is_ahead && rows->row.id >= id)) {
        if (code == ERROR_NONE && rows->row.id > id) {
            rows->valid = false; /* a gap */
            rows->rows_left = 0;
        }
        return code;
    }
    uint8_t key[8];
    key_store_be64(key, id);
    struct tree_leaf leaf;
    bool found;
    code = tree_find_key(&rows->index->labels, (struct text){(const char *)key, sizeof key}, &leaf,
                         &found, error);
    rows->valid = false;
    rows->rows_left = 0;
    if (code != ERROR_NONE || !found)
        return code;
    code = page_open(rows, leaf, error);
    do {
        if (code == ERROR_NONE)
            code = row_read(rows, error);
    } while (code == ERROR_NONE && rows->row.id < id && rows->rows_left > 0);
    if (code == ERROR_NONE && rows->row.id != id) {
        rows->valid = false;
        rows->rows_left = 0;
    }
    return code;
}

void label_rows_clear(struct label_rows *rows)
{
    page_unpin(&rows->pin);
    rows->valid = false;
}

/* --- Texts of pairs --------------------------------------------------------------------------- */

enum { PAIR_SLOTS_FIRST = 256 };

/* The pair as it stands in canonical labels. */
struct pair_slot {
    uint64_t number_plus_one; /* 0: free */
    struct text encoded;
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "read labels");
}

static struct pair_slot *slot_find(struct pair_slot *slots, size_t slot_count, uint32_t number)
{
    size_t at = (number * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slot_count - 1);
    while (slots[at].number_plus_one != 0 && slots[at].number_plus_one != (uint64_t)number + 1)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static bool slots_grow(struct pair_texts *texts)
{
    if (2 * texts->count < texts->slot_count)
        return true;
    size_t slot_count = texts->slot_count == 0 ? PAIR_SLOTS_FIRST : texts->slot_count * 2;
    struct pair_slot *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < texts->slot_count; i++)
        if (texts->slots[i].number_plus_one != 0)
            *slot_find(slots, slot_count, (uint32_t)(texts->slots[i].number_plus_one - 1)) =
                texts->slots[i];
    free(texts->slots);
    texts->slots = slots;
    texts->slot_count = slot_count;
    return true;
}

/* varint name length | name | varint value length | value, in the arena of the texts. */
static enum error_code pair_encode(struct pair_texts *texts, struct text name, struct text value,
                                   struct text *encoded_out, struct error *error)
{
    if (name.size + value.size > LABEL_SET_BYTES_MAX)
        return page_file_corrupt(texts->index->file, "a label too long", error);
    uint8_t *bytes = arena_allocate(texts->arena, name.size + value.size + 2 * VARINT_MAX_BYTES);
    if (bytes == NULL)
        return out_of_memory(error);
    uint8_t *end = varint_store(bytes, name.size);
    memcpy(end, name.data, name.size);
    end = varint_store(end + name.size, value.size);
    memcpy(end, value.data, value.size);
    end += value.size;
    *encoded_out = (struct text){(const char *)bytes, (size_t)(end - bytes)};
    return ERROR_NONE;
}

enum error_code pair_texts_read(struct pair_texts *texts, uint32_t number, struct text *encoded_out,
                                struct error *error)
{
    const struct label_index *index = texts->index;
    if (texts->arena == NULL)
        texts->arena = arena_create(0);
    if (texts->arena == NULL)
        return out_of_memory(error);
    texts->pairs.table = &index->pairs;
    texts->names.table = &index->names;
    enum error_code code = table_cursor_seek_ordinal(&texts->pairs, number, error);
    if (code != ERROR_NONE)
        return code;
    struct text key = table_cursor_key(&texts->pairs);
    if (!texts->pairs.valid || key.size < 5)
        return page_file_corrupt(index->file, "a label pair", error);
    code =
        table_cursor_seek_ordinal(&texts->names, key_load_be32((const uint8_t *)key.data), error);
    if (code != ERROR_NONE)
        return code;
    struct text name = table_cursor_key(&texts->names);
    if (!texts->names.valid || name.size < 5)
        return page_file_corrupt(index->file, "the name of a label pair", error);
    return pair_encode(texts, (struct text){name.data + 4, name.size - 4},
                       (struct text){key.data + 4, key.size - 4}, encoded_out, error);
}

static enum error_code pair_text(struct pair_texts *texts, uint32_t number,
                                 struct text *encoded_out, struct error *error)
{
    if (!slots_grow(texts))
        return out_of_memory(error);
    struct pair_slot *slot = slot_find(texts->slots, texts->slot_count, number);
    if (slot->number_plus_one == 0) {
        enum error_code code = pair_texts_read(texts, number, &slot->encoded, error);
        if (code != ERROR_NONE)
            return code;
        slot->number_plus_one = (uint64_t)number + 1;
        texts->count++;
    }
    *encoded_out = slot->encoded;
    return ERROR_NONE;
}

enum error_code pair_texts_labels(struct pair_texts *texts, const struct label_row *row,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error)
{
    struct text encoded[LABELS_PER_SERIES_MAX];
    size_t size = 0;
    for (uint32_t i = 0; i < row->pair_count; i++) {
        enum error_code code = pair_text(texts, row->pairs[i], &encoded[i], error);
        if (code != ERROR_NONE)
            return code;
        /* Pairs are numbered by name, so ascending numbers of different names are canonical. */
        if (i > 0 && row->pairs[i] <= row->pairs[i - 1])
            return page_file_corrupt(texts->index->file, "labels out of order", error);
        size += encoded[i].size;
    }
    if (size > LABEL_SET_BYTES_MAX)
        return page_file_corrupt(texts->index->file, "too many bytes of labels", error);
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return out_of_memory(error);
    size_t at = 0;
    for (uint32_t i = 0; i < row->pair_count; i++) {
        memcpy(bytes + at, encoded[i].data, encoded[i].size);
        at += encoded[i].size;
    }
    *labels_out = (struct labels){.bytes = bytes, .size = (uint32_t)size};
    return ERROR_NONE;
}

void pair_texts_clear(struct pair_texts *texts)
{
    arena_destroy(texts->arena);
    free(texts->slots);
    table_cursor_clear(&texts->names);
    table_cursor_clear(&texts->pairs);
    *texts = (struct pair_texts){0};
}
