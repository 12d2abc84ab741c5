#include "label_index_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/limits.h"
#include "key_table.h"
#include "page_tree.h"
#include "postings.h"

enum {
    /* Lists up to this size stand in the payload of their pair. */
    INLINE_BYTES_MAX = 64,
    /* Values between a page of lists and the last pair that it has lists of. */
    PENDING_BYTES_MAX = 32 * 1024,
};

struct interned_name {
    uint32_t tenant;
    struct text name; /* empty: all series of the tenant */
    uint32_t ordinal; /* among the sorted names; at finish */
};

struct interned_pair {
    uint32_t name;
    uint32_t value_size;
    const char *value;
    uint32_t count;   /* series that have it */
    uint32_t ordinal; /* among the sorted pairs; at finish */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "write label index");
}

static struct text pair_value(const struct interned_pair *pair)
{
    return (struct text){pair->value, pair->value_size};
}

/* --- Interning -------------------------------------------------------------------------------- */

static uint32_t *name_slot(const struct label_index_writer *writer, uint32_t *slots,
                           size_t slot_count, uint32_t tenant, struct text name)
{
    size_t at = hash64(name.data, name.size, writer->hash_seed + tenant) & (slot_count - 1);
    while (slots[at] != 0) {
        const struct interned_name *other = &writer->names[slots[at] - 1];
        if (other->tenant == tenant && text_equal(other->name, name))
            break;
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static uint32_t *pair_slot(const struct label_index_writer *writer, uint32_t *slots,
                           size_t slot_count, uint32_t name, struct text value)
{
    size_t at = hash64(value.data, value.size, writer->hash_seed + name) & (slot_count - 1);
    while (slots[at] != 0) {
        const struct interned_pair *other = &writer->pairs[slots[at] - 1];
        if (other->name == name && text_equal(pair_value(other), value))
            break;
        at = (at + 1) & (slot_count - 1);
    }
    return &slots[at];
}

static bool names_grow(struct label_index_writer *writer)
{
    if (writer->name_count < writer->name_capacity)
        return true;
    size_t capacity = writer->name_capacity == 0 ? 64 : writer->name_capacity * 2;
    struct interned_name *names = realloc(writer->names, capacity * sizeof *names);
    if (names == NULL)
        return false;
    writer->names = names;
    writer->name_capacity = capacity;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < writer->name_count; i++)
        *name_slot(writer, slots, 2 * capacity, names[i].tenant, names[i].name) = i + 1;
    free(writer->name_slots);
    writer->name_slots = slots;
    writer->name_slot_count = 2 * capacity;
    return true;
}

static bool pairs_grow(struct label_index_writer *writer)
{
    if (writer->pair_count < writer->pair_capacity)
        return true;
    size_t capacity = writer->pair_capacity == 0 ? 256 : writer->pair_capacity * 2;
    struct interned_pair *pairs = realloc(writer->pairs, capacity * sizeof *pairs);
    if (pairs == NULL)
        return false;
    writer->pairs = pairs;
    writer->pair_capacity = capacity;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint32_t i = 0; i < writer->pair_count; i++)
        *pair_slot(writer, slots, 2 * capacity, pairs[i].name, pair_value(&pairs[i])) = i + 1;
    free(writer->pair_slots);
    writer->pair_slots = slots;
    writer->pair_slot_count = 2 * capacity;
    return true;
}

static bool intern_name(struct label_index_writer *writer, uint32_t tenant, struct text name,
                        uint32_t *number_out)
{
    if (!names_grow(writer))
        return false;
    uint32_t *slot = name_slot(writer, writer->name_slots, writer->name_slot_count, tenant, name);
    if (*slot == 0) {
        struct text copy = arena_copy_text(writer->arena, name);
        if (copy.data == NULL)
            return false;
        writer->names[writer->name_count++] =
            (struct interned_name){.tenant = tenant, .name = copy};
        *slot = (uint32_t)writer->name_count;
    }
    *number_out = *slot - 1;
    return true;
}

static bool intern_pair(struct label_index_writer *writer, uint32_t tenant, struct label label,
                        uint32_t *number_out)
{
    uint32_t name;
    if (!intern_name(writer, tenant, label.name, &name) || !pairs_grow(writer))
        return false;
    uint32_t *slot =
        pair_slot(writer, writer->pair_slots, writer->pair_slot_count, name, label.value);
    if (*slot == 0) {
        struct text copy = arena_copy_text(writer->arena, label.value);
        if (copy.data == NULL)
            return false;
        writer->pairs[writer->pair_count++] = (struct interned_pair){
            .name = name, .value = copy.data, .value_size = (uint32_t)copy.size};
        *slot = (uint32_t)writer->pair_count;
    }
    *number_out = *slot - 1;
    return true;
}

/* --- Adding ----------------------------------------------------------------------------------- */

static bool pair_is(const struct label_index_writer *writer, uint32_t number, uint32_t tenant,
                    const struct label *label)
{
    const struct interned_pair *pair = &writer->pairs[number];
    const struct interned_name *name = &writer->names[pair->name];
    return name->tenant == tenant && text_equal(pair_value(pair), label->value) &&
           text_equal(name->name, label->name);
}

static bool writer_begin(struct label_index_writer *writer)
{
    if (writer->arena == NULL) {
        writer->arena = arena_create(0);
        /* The system places memory at random. */
        writer->hash_seed = hash64(&writer->arena, sizeof writer->arena, HASH_SEED_STORED);
    }
    if (writer->previous == NULL)
        writer->previous = calloc(LABELS_PER_SERIES_MAX + 1, sizeof *writer->previous);
    return writer->arena != NULL && writer->previous != NULL;
}

/* The number of the label at `place`, most often that of the series before. */
static bool add_pair(struct label_index_writer *writer, uint32_t tenant, size_t place,
                     struct label label, uint32_t *number_out)
{
    uint32_t number;
    if (place < writer->previous_count && pair_is(writer, writer->previous[place], tenant, &label))
        number = writer->previous[place];
    else if (!intern_pair(writer, tenant, label, &number))
        return false;
    writer->pairs[number].count++;
    writer->posting_count++;
    uint32_t before = place < writer->previous_count ? writer->previous[place] : 0;
    byte_buffer_zigzag(&writer->rows, (int64_t)number - before);
    *number_out = number;
    return true;
}

enum error_code label_index_writer_add(struct label_index_writer *writer,
                                       const struct label_series *series, struct error *error)
{
    bool has_ids = writer->columns == LABEL_COLUMNS_SEGMENT;
    size_t label_count = labels_count(series->labels);
    if (label_count == 0 || label_count > LABELS_PER_SERIES_MAX ||
        series->labels.size > LABEL_SET_BYTES_MAX)
        return error_set(error, ERROR_INVALID, "series of %zu labels", label_count);
    if (has_ids && writer->series_count > 0 && series->id <= writer->previous_id)
        return error_set(error, ERROR_INVALID, "series ids do not ascend");
    if (writer->series_count == UINT32_MAX - 1)
        return error_set(error, ERROR_LIMIT, "too many series for one file");
    if (!writer_begin(writer))
        return out_of_memory(error);

    byte_buffer_varint(&writer->rows, series->tenant);
    byte_buffer_varint(&writer->rows, series->slot);
    if (has_ids) {
        byte_buffer_varint(&writer->rows, series->id - writer->previous_id);
        byte_buffer_varint(&writer->rows, series->target);
    }
    byte_buffer_varint(&writer->rows, label_count);
    /* The pair of all series of the tenant comes first. */
    uint32_t numbers[LABELS_PER_SERIES_MAX + 1];
    if (!add_pair(writer, series->tenant, 0, (struct label){0}, &numbers[0]))
        return out_of_memory(error);
    struct labels_cursor cursor = labels_begin(series->labels);
    struct label label;
    size_t count = 1;
    while (labels_next(&cursor, &label)) {
        if (!add_pair(writer, series->tenant, count, label, &numbers[count]))
            return out_of_memory(error);
        count++;
    }
    memcpy(writer->previous, numbers, count * sizeof *numbers);
    writer->previous_count = count;
    writer->previous_id = series->id;
    writer->series_count++;
    return writer->rows.failed ? out_of_memory(error) : ERROR_NONE;
}

/* --- Rows, read back -------------------------------------------------------------------------- */

struct row_reader {
    const struct label_index_writer *writer;
    struct byte_reader reader;
    struct label_series series;                /* without labels */
    uint32_t pairs[LABELS_PER_SERIES_MAX + 1]; /* [pair_count], the tenant's pair first */
    size_t pair_count;
};

static struct row_reader rows_begin(const struct label_index_writer *writer)
{
    return (struct row_reader){.writer = writer,
                               .reader = byte_reader_over(writer->rows.bytes, writer->rows.size)};
}

static void rows_next(struct row_reader *rows)
{
    struct byte_reader *reader = &rows->reader;
    rows->series.tenant = (uint32_t)byte_reader_varint(reader);
    rows->series.slot = (uint16_t)byte_reader_varint(reader);
    if (rows->writer->columns == LABEL_COLUMNS_SEGMENT) {
        rows->series.id += byte_reader_varint(reader);
        rows->series.target = byte_reader_varint(reader);
    }
    size_t count = byte_reader_varint(reader) + 1;
    for (size_t place = 0; place < count; place++) {
        uint32_t before = place < rows->pair_count ? rows->pairs[place] : 0;
        rows->pairs[place] = (uint32_t)(before + byte_reader_zigzag(reader));
    }
    rows->pair_count = count;
    assert(!reader->failed);
}

/* --- Order of names and pairs ----------------------------------------------------------------- */

static int name_order(const void *left, const void *right, void *context)
{
    const struct label_index_writer *writer = context;
    const struct interned_name *a = &writer->names[*(const uint32_t *)left];
    const struct interned_name *b = &writer->names[*(const uint32_t *)right];
    if (a->tenant != b->tenant)
        return a->tenant < b->tenant ? -1 : 1;
    return text_compare(a->name, b->name);
}

static int pair_order(const void *left, const void *right, void *context)
{
    const struct label_index_writer *writer = context;
    const struct interned_pair *a = &writer->pairs[*(const uint32_t *)left];
    const struct interned_pair *b = &writer->pairs[*(const uint32_t *)right];
    if (a->name != b->name)
        return writer->names[a->name].ordinal < writer->names[b->name].ordinal ? -1 : 1;
    return text_compare(pair_value(a), pair_value(b));
}

/* 0..count-1, sorted; owned by the caller. */
static uint32_t *sorted_numbers(struct label_index_writer *writer, size_t count,
                                int (*order)(const void *, const void *, void *))
{
    uint32_t *numbers = malloc((count + 1) * sizeof *numbers);
    if (numbers == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (uint32_t)i;
    qsort_r(numbers, count, sizeof *numbers, order, writer);
    return numbers;
}

/* The table of names, at the end of the file: each look for labels begins with it. */
struct late_names {
    struct late_write late; /* first */
    const struct label_index_writer *writer;
    uint32_t *sorted; /* numbers of names, owned */
};

static enum error_code late_names_write(struct late_write *late, struct error *error)
{
    const struct late_names *self = (const struct late_names *)late;
    const struct label_index_writer *writer = self->writer;
    struct table_writer table = {.tree = {.pages = writer->pages}};
    struct byte_buffer key = {0};
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < writer->name_count; i++) {
        const struct interned_name *name = &writer->names[self->sorted[i]];
        uint8_t tenant[4];
        key_store_be32(tenant, name->tenant);
        byte_buffer_reset(&key);
        byte_buffer_append(&key, tenant, sizeof tenant);
        byte_buffer_append(&key, name->name.data, name->name.size);
        code = key.failed ? out_of_memory(error)
                          : table_writer_add(&table, (struct text){(char *)key.bytes, key.size},
                                             (struct text){0}, error);
    }
    if (code == ERROR_NONE)
        code = table_writer_finish(&table, TOC_NAMES, error);
    table_writer_clear(&table);
    byte_buffer_clear(&key);
    return code;
}

static void late_names_clear(struct late_write *late)
{
    free(((struct late_names *)late)->sorted);
    free(late);
}

/* Number the names, and have them written at the end. */
static enum error_code finish_names(struct label_index_writer *writer, struct error *error)
{
    uint32_t *sorted = sorted_numbers(writer, writer->name_count, name_order);
    struct late_names *late = malloc(sizeof *late);
    if (sorted == NULL || late == NULL) {
        free(sorted);
        free(late);
        return out_of_memory(error);
    }
    for (size_t i = 0; i < writer->name_count; i++)
        writer->names[sorted[i]].ordinal = (uint32_t)i;
    *late =
        (struct late_names){{.write = late_names_write, .clear = late_names_clear}, writer, sorted};
    page_writer_defer(writer->pages, &late->late);
    return ERROR_NONE;
}

/* --- Postings --------------------------------------------------------------------------------- */

/* All postings, list after list in the order of the sorted pairs; owned by the caller. */
static uint32_t *gather_postings(struct label_index_writer *writer, const uint32_t *sorted)
{
    uint32_t *postings = malloc((writer->posting_count + 1) * sizeof *postings);
    uint64_t *ends = malloc((writer->pair_count + 1) * sizeof *ends);
    if (postings == NULL || ends == NULL) {
        free(postings);
        free(ends);
        return NULL;
    }
    uint64_t start = 0;
    for (size_t i = 0; i < writer->pair_count; i++) {
        ends[sorted[i]] = start;
        start += writer->pairs[sorted[i]].count;
    }
    struct row_reader rows = rows_begin(writer);
    for (uint32_t position = 0; position < writer->series_count; position++) {
        rows_next(&rows);
        for (size_t i = 0; i < rows.pair_count; i++)
            postings[ends[rows.pairs[i]]++] = position;
    }
    free(ends);
    return postings;
}

/* A pair whose list waits for its page, or is in its payload. */
struct pending_pair {
    uint32_t number;
    enum postings_form form;
    bool external;
    size_t offset; /* in `inlined` or in the page */
    size_t size;
};

struct pair_table_writer {
    struct label_index_writer *writer;
    struct table_writer table;
    struct byte_buffer page;    /* lists of the page that is being filled */
    struct byte_buffer inlined; /* lists of pending pairs that need no page */
    struct byte_buffer list;
    struct byte_buffer key;
    struct byte_buffer payload;
    struct pending_pair *pending;
    size_t pending_count;
    size_t pending_capacity;
    size_t pending_bytes; /* of the values of those that wait */
};

static void payload_encode(struct pair_table_writer *pairs, const struct pending_pair *pending,
                           struct page_reference page)
{
    struct byte_buffer *payload = &pairs->payload;
    uint32_t count = pairs->writer->pairs[pending->number].count;
    byte_buffer_reset(payload);
    byte_buffer_varint(payload, count);
    if (count > 1)
        byte_buffer_u8(payload, (uint8_t)((unsigned)pending->form |
                                          (pending->external ? (unsigned)POSTINGS_EXTERNAL : 0u)));
    if (pending->external) {
        byte_buffer_varint(payload, page.offset_bytes);
        byte_buffer_varint(payload, page.size_bytes);
        byte_buffer_varint(payload, pending->offset);
        byte_buffer_varint(payload, pending->size);
    } else {
        byte_buffer_append(payload, pairs->inlined.bytes + pending->offset, pending->size);
    }
}

/* Write the page of lists, then the pairs that waited for it. */
static enum error_code pending_write(struct pair_table_writer *pairs, struct error *error)
{
    struct page_reference page = {0};
    if (pairs->page.size > 0) {
        enum error_code code = page_writer_append(
            pairs->writer->pages, PAGE_POSTINGS, pairs->page.bytes, pairs->page.size, &page, error);
        if (code != ERROR_NONE)
            return code;
    }
    for (size_t i = 0; i < pairs->pending_count; i++) {
        const struct pending_pair *pending = &pairs->pending[i];
        const struct interned_pair *pair = &pairs->writer->pairs[pending->number];
        uint8_t name[4];
        key_store_be32(name, pairs->writer->names[pair->name].ordinal);
        byte_buffer_reset(&pairs->key);
        byte_buffer_append(&pairs->key, name, sizeof name);
        byte_buffer_append(&pairs->key, pair->value, pair->value_size);
        payload_encode(pairs, pending, page);
        if (pairs->key.failed || pairs->payload.failed)
            return out_of_memory(error);
        enum error_code code = table_writer_add(
            &pairs->table, (struct text){(char *)pairs->key.bytes, pairs->key.size},
            (struct text){(char *)pairs->payload.bytes, pairs->payload.size}, error);
        if (code != ERROR_NONE)
            return code;
    }
    pairs->pending_count = 0;
    pairs->pending_bytes = 0;
    byte_buffer_reset(&pairs->page);
    byte_buffer_reset(&pairs->inlined);
    return ERROR_NONE;
}

static enum error_code pair_add(struct pair_table_writer *pairs, uint32_t number,
                                const uint32_t *positions, struct error *error)
{
    if (pairs->pending_count == pairs->pending_capacity) {
        size_t capacity = pairs->pending_capacity == 0 ? 64 : pairs->pending_capacity * 2;
        struct pending_pair *grown = realloc(pairs->pending, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        pairs->pending = grown;
        pairs->pending_capacity = capacity;
    }
    uint32_t count = pairs->writer->pairs[number].count;
    struct pending_pair pending = {.number = number};
    byte_buffer_reset(&pairs->list);
    if (count == 1)
        byte_buffer_varint(&pairs->list, positions[0]);
    else
        pending.form = postings_encode(positions, count, &pairs->list);
    pending.size = pairs->list.size;
    pending.external = pending.size > INLINE_BYTES_MAX;
    struct byte_buffer *target = pending.external ? &pairs->page : &pairs->inlined;
    pending.offset = target->size;
    byte_buffer_append(target, pairs->list.bytes, pairs->list.size);
    if (pairs->list.failed || target->failed)
        return out_of_memory(error);
    pairs->pending[pairs->pending_count++] = pending;
    pairs->pending_bytes += pairs->writer->pairs[number].value_size;
    /* Lists lie close before their pairs: who reads ahead of a leaf has both. */
    bool full = pairs->page.size >= PAGE_RAW_BYTES_TARGET ||
                pairs->inlined.size >= PAGE_RAW_BYTES_TARGET ||
                (pairs->page.size > 0 && pairs->pending_bytes >= PENDING_BYTES_MAX);
    return full ? pending_write(pairs, error) : ERROR_NONE;
}

static enum error_code write_pairs(struct label_index_writer *writer, struct error *error)
{
    uint32_t *sorted = sorted_numbers(writer, writer->pair_count, pair_order);
    uint32_t *postings = sorted == NULL ? NULL : gather_postings(writer, sorted);
    struct pair_table_writer pairs = {.writer = writer,
                                      .table = {.tree = {.pages = writer->pages}}};
    enum error_code code = postings == NULL ? out_of_memory(error) : ERROR_NONE;
    uint64_t start = 0;
    for (size_t i = 0; code == ERROR_NONE && i < writer->pair_count; i++) {
        struct interned_pair *pair = &writer->pairs[sorted[i]];
        pair->ordinal = (uint32_t)i;
        code = pair_add(&pairs, sorted[i], postings + start, error);
        start += pair->count;
    }
    if (code == ERROR_NONE)
        code = pending_write(&pairs, error);
    if (code == ERROR_NONE)
        code = table_writer_finish(&pairs.table, TOC_PAIRS, error);
    table_writer_clear(&pairs.table);
    byte_buffer_clear(&pairs.page);
    byte_buffer_clear(&pairs.inlined);
    byte_buffer_clear(&pairs.list);
    byte_buffer_clear(&pairs.key);
    byte_buffer_clear(&pairs.payload);
    free(pairs.pending);
    free(postings);
    free(sorted);
    return code;
}

/* --- Label pages ------------------------------------------------------------------------------ */

/* State of the page that is being filled. */
struct label_page {
    struct byte_buffer rows;
    size_t count;
    uint64_t first_key;
    struct label_series previous;
    uint32_t pairs[LABELS_PER_SERIES_MAX];
    size_t pair_count;
};

static void label_page_add(struct label_page *page, const struct row_reader *rows,
                           uint32_t position)
{
    const struct label_index_writer *writer = rows->writer;
    const struct label_series *series = &rows->series;
    const struct label_series *previous = &page->previous;
    bool has_ids = writer->columns == LABEL_COLUMNS_SEGMENT;
    byte_buffer_zigzag(&page->rows, (int64_t)series->tenant - previous->tenant);
    byte_buffer_zigzag(&page->rows, (int64_t)series->slot - previous->slot);
    if (has_ids) {
        byte_buffer_varint(&page->rows,
                           page->count == 0 ? series->id : series->id - previous->id - 1);
        byte_buffer_zigzag(&page->rows, (int64_t)(series->target - previous->target));
    }
    if (page->count == 0)
        page->first_key = has_ids ? series->id : position;
    size_t count = rows->pair_count - 1; /* without that of the tenant */
    byte_buffer_varint(&page->rows, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t ordinal = writer->pairs[rows->pairs[i + 1]].ordinal;
        uint32_t before = i < page->pair_count ? page->pairs[i] : 0;
        byte_buffer_zigzag(&page->rows, (int64_t)ordinal - before);
        page->pairs[i] = ordinal;
    }
    page->pair_count = count;
    page->previous = *series;
    page->count++;
}

static enum error_code label_page_write(struct label_page *page, struct tree_writer *tree,
                                        struct error *error)
{
    struct byte_buffer bytes = {0};
    byte_buffer_varint(&bytes, page->count);
    byte_buffer_append(&bytes, page->rows.bytes, page->rows.size);
    uint8_t key[8];
    key_store_be64(key, page->first_key);
    struct page_reference reference;
    enum error_code code = bytes.failed || page->rows.failed
                               ? out_of_memory(error)
                               : page_writer_append(tree->pages, PAGE_LABELS, bytes.bytes,
                                                    bytes.size, &reference, error);
    byte_buffer_clear(&bytes);
    if (code == ERROR_NONE)
        code = tree_writer_add(tree, (struct text){(const char *)key, sizeof key}, page->count,
                               reference, error);
    byte_buffer_reset(&page->rows);
    page->count = 0;
    page->pair_count = 0;
    page->previous = (struct label_series){0};
    return code;
}

static enum error_code write_labels(struct label_index_writer *writer, struct error *error)
{
    struct tree_writer tree = {.pages = writer->pages};
    struct label_page page = {0};
    struct row_reader rows = rows_begin(writer);
    enum error_code code = ERROR_NONE;
    for (uint32_t position = 0; code == ERROR_NONE && position < writer->series_count; position++) {
        rows_next(&rows);
        label_page_add(&page, &rows, position);
        if (page.count == LABEL_PAGE_SERIES)
            code = label_page_write(&page, &tree, error);
    }
    if (code == ERROR_NONE && page.count > 0)
        code = label_page_write(&page, &tree, error);
    if (code == ERROR_NONE)
        code = tree_writer_finish(&tree, TOC_LABELS, error);
    tree_writer_clear(&tree);
    byte_buffer_clear(&page.rows);
    return code;
}

enum error_code label_index_writer_finish(struct label_index_writer *writer, struct error *error)
{
    page_writer_begin_index(writer->pages);
    enum error_code code = finish_names(writer, error);
    if (code == ERROR_NONE)
        code = write_pairs(writer, error);
    if (code == ERROR_NONE)
        code = write_labels(writer, error);
    return code;
}

size_t label_index_writer_size_bytes(const struct label_index_writer *writer)
{
    return (writer->arena == NULL ? 0 : arena_size_bytes(writer->arena)) +
           writer->name_capacity * sizeof *writer->names +
           writer->pair_capacity * sizeof *writer->pairs +
           (writer->name_slot_count + writer->pair_slot_count) * sizeof(uint32_t) +
           writer->rows.capacity;
}

void label_index_writer_clear(struct label_index_writer *writer)
{
    arena_destroy(writer->arena);
    free(writer->names);
    free(writer->pairs);
    free(writer->name_slots);
    free(writer->pair_slots);
    free(writer->previous);
    byte_buffer_clear(&writer->rows);
    *writer = (struct label_index_writer){0};
}
