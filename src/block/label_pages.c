#include "label_pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "model/label_identity.h"

/*
 * Both kinds of page are items one behind the other:
 *
 *   PAGE = u32 offset of each item and of the end, from the start of the page | items
 *
 * A row is the u32 numbers of its pairs, ascending. A pair is varint name length | name | varint
 * value length | value, behind its identity (16 bytes); of the pair that lists all series of a
 * tenant that is all.
 */

/* --- Constants and types ---------------------------------------------------------------------- */

enum {
    ROW_GROUP_SERIES = LABEL_PAGE_SERIES, /* so that a group is made of one page */
    OFFSET_BYTES = 4,
    IDENTITY_BYTES = 16,
    GROUP_NONE = UINT32_MAX,
};

struct pair_group {
    struct page_pin pin;
    uint32_t next; /* pinned before */
};

struct row_maker {
    struct page_maker maker; /* first */
    const struct label_index *index;
    uint32_t first_position;
};

struct pair_maker {
    struct page_maker maker; /* first */
    const struct label_index *index;
    uint32_t first_pair;
};

/* --- Pages ------------------------------------------------------------------------------------ */

static struct text page_item(const struct page_pin *pin, uint32_t item)
{
    uint32_t start = load_u32(pin->bytes + item * OFFSET_BYTES);
    uint32_t end = load_u32(pin->bytes + (item + 1) * OFFSET_BYTES);
    assert(start <= end && end <= pin->size);
    return (struct text){(const char *)pin->bytes + start, end - start};
}

/* A page of `count` items begun: room for the offsets, to be filled in. */
static void page_begin(struct byte_buffer *page, uint32_t count)
{
    if (byte_buffer_reserve(page, (count + 1) * OFFSET_BYTES))
        page->size = (count + 1) * OFFSET_BYTES;
}

static void page_offset(struct byte_buffer *page, uint32_t item)
{
    if (!page->failed)
        store_u32(page->bytes + item * OFFSET_BYTES, (uint32_t)page->size);
}

static enum error_code page_end(struct byte_buffer *page, enum page_kind kind,
                                struct page_made *made_out, struct error *error)
{
    assert(page->size <= UINT32_MAX);
    if (page->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "page of labels");
    uint8_t *memory = realloc(page->bytes, page->size);
    if (memory == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "page of labels");
    *made_out = (struct page_made){
        .memory = memory,
        .bytes = memory,
        .size = page->size,
        .allocated_bytes = page->size,
        .kind = kind,
    };
    *page = (struct byte_buffer){0};
    return ERROR_NONE;
}

/* --- Rows ------------------------------------------------------------------------------------- */

static uint32_t at_most(uint32_t value, uint32_t limit)
{
    return value < limit ? value : limit;
}

static enum error_code rows_make(struct page_maker *maker, struct page_made *made_out,
                                 struct error *error)
{
    const struct row_maker *self = (const struct row_maker *)maker;
    uint32_t count = at_most(self->index->series_count - self->first_position, ROW_GROUP_SERIES);
    struct label_rows rows = {.index = self->index};
    struct byte_buffer page = {0};
    page_begin(&page, count);
    enum error_code code = ERROR_NONE;
    for (uint32_t i = 0; code == ERROR_NONE && i < count; i++) {
        code = label_rows_seek(&rows, self->first_position + i, error);
        page_offset(&page, i);
        for (uint32_t pair = 0; code == ERROR_NONE && pair < rows.row.pair_count; pair++)
            byte_buffer_u32(&page, rows.row.pairs[pair]);
    }
    page_offset(&page, count);
    if (code == ERROR_NONE)
        code = page_end(&page, PAGE_MADE_ROWS, made_out, error);
    label_rows_clear(&rows);
    byte_buffer_clear(&page);
    return code;
}

/* The numbers of the pairs of a series. */
static enum error_code row_find(struct label_pages *pages, uint32_t position,
                                struct text *numbers_out, struct error *error)
{
    uint32_t first_position = position - position % ROW_GROUP_SERIES;
    if (pages->rows.bytes == NULL || pages->first_position != first_position) {
        const struct page_file *file = pages->index->file;
        struct row_maker maker = {{rows_make}, pages->index, first_position};
        page_unpin(&pages->rows);
        enum error_code code =
            page_cache_pin_made(file->cache, file->cached, PAGE_MADE_ROWS, first_position,
                                &maker.maker, &pages->rows, error);
        if (code != ERROR_NONE)
            return code;
        pages->first_position = first_position;
    }
    *numbers_out = page_item(&pages->rows, position - first_position);
    return ERROR_NONE;
}

/* --- Pairs ------------------------------------------------------------------------------------ */

static enum error_code corrupt(const struct label_index *index, const char *what,
                               struct error *error)
{
    return page_file_corrupt(index->file, what, error);
}

/* The pair at the cursor, of the name that `names` is moved to. */
static enum error_code pair_append(const struct label_index *index,
                                   const struct table_cursor *pairs, struct table_cursor *names,
                                   struct byte_buffer *page, struct error *error)
{
    struct text key = table_cursor_key(pairs);
    if (!pairs->valid || key.size < 4)
        return corrupt(index, "a label pair", error);
    enum error_code code =
        table_cursor_seek_ordinal(names, key_load_be32((const uint8_t *)key.data), error);
    if (code != ERROR_NONE)
        return code;
    struct text name = table_cursor_key(names);
    if (!names->valid || name.size < 4 || name.size + key.size > LABEL_SET_BYTES_MAX)
        return corrupt(index, "the name of a label pair", error);
    struct hash128 identity = {0};
    size_t start = page->size;
    byte_buffer_append(page, &identity, sizeof identity);
    if (key.size == 4 || name.size == 4)
        return ERROR_NONE; /* not a label: all series of a tenant */
    byte_buffer_text(page, (struct text){name.data + 4, name.size - 4});
    byte_buffer_text(page, (struct text){key.data + 4, key.size - 4});
    if (page->failed)
        return ERROR_NONE; /* told at the end */
    uint8_t *item = page->bytes + start;
    identity = label_pair_identity(
        (struct text){(const char *)item + IDENTITY_BYTES, page->size - start - IDENTITY_BYTES});
    memcpy(item, &identity, sizeof identity);
    return ERROR_NONE;
}

static enum error_code pairs_make(struct page_maker *maker, struct page_made *made_out,
                                  struct error *error)
{
    const struct pair_maker *self = (const struct pair_maker *)maker;
    const struct label_index *index = self->index;
    uint32_t left = (uint32_t)table_count(&index->pairs) - self->first_pair;
    uint32_t count = at_most(left, PAIR_GROUP_PAIRS);
    struct table_cursor pairs = {.table = &index->pairs};
    struct table_cursor names = {.table = &index->names};
    struct byte_buffer page = {0};
    page_begin(&page, count);
    enum error_code code = ERROR_NONE;
    for (uint32_t i = 0; code == ERROR_NONE && i < count; i++) {
        page_offset(&page, i);
        code = table_cursor_seek_ordinal(&pairs, self->first_pair + i, error);
        if (code == ERROR_NONE)
            code = pair_append(index, &pairs, &names, &page, error);
    }
    page_offset(&page, count);
    if (code == ERROR_NONE)
        code = page_end(&page, PAGE_MADE_PAIRS, made_out, error);
    table_cursor_clear(&pairs);
    table_cursor_clear(&names);
    byte_buffer_clear(&page);
    return code;
}

/* The item of a pair, with text. */
static enum error_code pair_find(struct label_pages *pages, uint32_t number, struct text *item_out,
                                 struct error *error)
{
    uint32_t at = number / PAIR_GROUP_PAIRS;
    struct pair_group *group = &pages->groups[at];
    if (group->pin.bytes == NULL) {
        const struct page_file *file = pages->index->file;
        struct pair_maker maker = {{pairs_make}, pages->index, at * PAIR_GROUP_PAIRS};
        enum error_code code = page_cache_pin_made(file->cache, file->cached, PAGE_MADE_PAIRS, at,
                                                   &maker.maker, &group->pin, error);
        if (code != ERROR_NONE)
            return code;
        group->next = pages->last_group;
        pages->last_group = at;
    }
    *item_out = page_item(&group->pin, number % PAIR_GROUP_PAIRS);
    return item_out->size <= IDENTITY_BYTES ? corrupt(pages->index, "a label pair", error)
                                            : ERROR_NONE;
}

/* --- Public ----------------------------------------------------------------------------------- */

enum error_code label_pages_init(struct label_pages *pages, const struct label_index *index,
                                 struct error *error)
{
    *pages = (struct label_pages){.index = index, .last_group = GROUP_NONE};
    uint64_t pair_count = table_count(&index->pairs);
    if (pair_count > UINT32_MAX)
        return corrupt(index, "number of label pairs", error);
    /* Large arrays come as untouched pages: what is not used costs nothing. */
    pages->groups = calloc(pair_count / PAIR_GROUP_PAIRS + 1, sizeof *pages->groups);
    if (pages->groups == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read labels");
    return ERROR_NONE;
}

/* The items of a series' pairs: items[LABELS_PER_SERIES_MAX]. */
static enum error_code items_find(struct label_pages *pages, uint32_t position, struct text *items,
                                  size_t *count_out, struct error *error)
{
    const struct label_index *index = pages->index;
    struct text numbers;
    if (position >= index->series_count)
        return error_set(error, ERROR_NOT_FOUND, "series at position %u of %u", position,
                         index->series_count);
    enum error_code code = row_find(pages, position, &numbers, error);
    if (code != ERROR_NONE)
        return code;
    size_t count = numbers.size / sizeof(uint32_t);
    uint32_t before = 0;
    assert(count <= LABELS_PER_SERIES_MAX);
    for (size_t i = 0; i < count; i++) {
        uint32_t number = load_u32((const uint8_t *)numbers.data + i * sizeof number);
        /* Pairs are numbered by name, so ascending numbers of different names are canonical. */
        if (i > 0 && number <= before)
            return corrupt(index, "labels out of order", error);
        code = pair_find(pages, number, &items[i], error);
        if (code != ERROR_NONE)
            return code;
        before = number;
    }
    *count_out = count;
    return ERROR_NONE;
}

enum error_code label_pages_labels(struct label_pages *pages, uint32_t position,
                                   struct arena *arena, struct labels *labels_out,
                                   struct error *error)
{
    struct text items[LABELS_PER_SERIES_MAX];
    size_t count;
    enum error_code code = items_find(pages, position, items, &count, error);
    if (code != ERROR_NONE)
        return code;
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += items[i].size - IDENTITY_BYTES;
    if (size > LABEL_SET_BYTES_MAX)
        return corrupt(pages->index, "too many bytes of labels", error);
    uint8_t *bytes = arena_allocate(arena, size);
    if (bytes == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "read labels");
    *labels_out = (struct labels){.bytes = bytes, .size = (uint32_t)size};
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes, items[i].data + IDENTITY_BYTES, items[i].size - IDENTITY_BYTES);
        bytes += items[i].size - IDENTITY_BYTES;
    }
    return ERROR_NONE;
}

enum error_code label_pages_identity(struct label_pages *pages, uint32_t position,
                                     struct hash128 *identity_out, struct error *error)
{
    struct text items[LABELS_PER_SERIES_MAX];
    size_t count;
    enum error_code code = items_find(pages, position, items, &count, error);
    if (code != ERROR_NONE)
        return code;
    struct hash128 identity = {0};
    for (size_t i = 0; i < count; i++) {
        struct hash128 pair;
        memcpy(&pair, items[i].data, sizeof pair);
        label_identity_add(&identity, pair);
    }
    *identity_out = identity;
    return ERROR_NONE;
}

void label_pages_clear(struct label_pages *pages)
{
    page_unpin(&pages->rows);
    while (pages->last_group != GROUP_NONE) {
        struct pair_group *group = &pages->groups[pages->last_group];
        pages->last_group = group->next;
        page_unpin(&group->pin);
    }
    free(pages->groups);
    *pages = (struct label_pages){.last_group = GROUP_NONE};
}
