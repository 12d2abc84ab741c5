#include "index_writer.h"

#include <stdlib.h>

#include "base/checksum.h"
#include "base/text_set.h"
#include "big_endian.h"
#include "index_format.h"
#include "platform/file_writer.h"

/* A pair of name and value; references of both in the symbols. */
struct pair {
    struct text name;
    struct text value;
    uint32_t number; /* in the order they came */
    uint32_t name_symbol;
    uint32_t value_symbol;
    uint32_t series_count;
    uint64_t postings_first; /* in `postings` */
};

struct index_writer {
    struct arena *arena;
    struct text_set pair_set; /* as they stand in canonical labels */
    struct byte_buffer records;
    uint64_t *record_offsets; /* [series_count] */
    size_t series_count;
    size_t series_capacity;
    size_t label_count; /* of all series */
    /* From here on: while the file is written. */
    struct file_writer *file;
    struct byte_buffer section;
    struct text *symbols; /* [symbol_count], sorted */
    size_t symbol_count;
    struct pair *pairs;   /* [pair_set.count], by name, then value */
    uint32_t *ranks;      /* [pair_set.count], place of a number in `pairs` */
    uint32_t *postings;   /* [label_count], references of series, pair by pair */
    uint32_t *all_series; /* [series_count], their references */
    uint64_t places[INDEX_SECTIONS];
};

/* --- Gathering --------------------------------------------------------------------------------
 */

struct index_writer *index_writer_create(void)
{
    struct index_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->arena = arena_create(0);
    writer->pair_set.arena = writer->arena;
    if (writer->arena == NULL) {
        free(writer);
        return NULL;
    }
    return writer;
}

void index_writer_destroy(struct index_writer *writer)
{
    if (writer == NULL)
        return;
    file_writer_abandon(writer->file);
    arena_destroy(writer->arena);
    byte_buffer_clear(&writer->records);
    byte_buffer_clear(&writer->section);
    free(writer->record_offsets);
    free(writer);
}

static enum error_code memory_error(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "index of a block");
}

static bool grow_offsets(struct index_writer *writer)
{
    enum { CAPACITY_FIRST = 1024 };
    if (writer->series_count < writer->series_capacity)
        return true;
    size_t capacity = writer->series_capacity == 0 ? CAPACITY_FIRST : 2 * writer->series_capacity;
    uint64_t *offsets =
        reallocarray(writer->record_offsets, capacity, sizeof *writer->record_offsets);
    if (offsets == NULL)
        return false;
    writer->record_offsets = offsets;
    writer->series_capacity = capacity;
    return true;
}

/* The label as it stands in canonical labels is a pair: what the cursor passes over. */
static bool put_pairs(struct index_writer *writer, struct labels labels)
{
    struct labels_cursor cursor = labels_begin(labels);
    struct label label;
    byte_buffer_varint(&writer->records, labels_count(labels));
    for (const uint8_t *start = labels.bytes; labels_next(&cursor, &label);
         start = cursor.reader.position) {
        struct text encoded = {(const char *)start, (size_t)(cursor.reader.position - start)};
        if (text_set_add(&writer->pair_set, encoded) == TEXT_SET_OUT_OF_MEMORY)
            return false;
        byte_buffer_varint(&writer->records, writer->pair_set.next - 1);
        writer->label_count++;
    }
    return true;
}

enum error_code index_writer_add(struct index_writer *writer, struct labels labels,
                                 const struct index_chunk *chunks, size_t chunk_count,
                                 struct error *error)
{
    struct byte_buffer *records = &writer->records;
    if (!grow_offsets(writer))
        return memory_error(error);
    writer->record_offsets[writer->series_count++] = records->size;
    if (!put_pairs(writer, labels))
        return memory_error(error);
    byte_buffer_varint(records, chunk_count);
    for (size_t i = 0; i < chunk_count; i++) {
        byte_buffer_zigzag(records, chunks[i].start_ms);
        byte_buffer_varint(records, (uint64_t)chunks[i].end_ms - (uint64_t)chunks[i].start_ms);
        byte_buffer_varint(records, chunks[i].reference);
    }
    return records->failed ? memory_error(error) : ERROR_NONE;
}

/* --- Symbols and pairs in order ---------------------------------------------------------------
 */

static int compare_pairs(const void *left_item, const void *right_item)
{
    const struct pair *left = left_item, *right = right_item;
    int order = text_compare(left->name, right->name);
    return order != 0 ? order : text_compare(left->value, right->value);
}

static int compare_texts(const void *left, const void *right)
{
    return text_compare(*(const struct text *)left, *(const struct text *)right);
}

static uint32_t symbol_number(const struct index_writer *writer, struct text symbol)
{
    const struct text *found = bsearch(&symbol, writer->symbols, writer->symbol_count,
                                       sizeof *writer->symbols, compare_texts);
    return (uint32_t)(found - writer->symbols);
}

static enum error_code order_pairs(struct index_writer *writer, struct error *error)
{
    size_t count = writer->pair_set.count;
    struct text_set symbols = {.arena = writer->arena};
    writer->pairs = arena_array(writer->arena, count, sizeof *writer->pairs);
    writer->ranks = arena_array(writer->arena, count, sizeof *writer->ranks);
    if (writer->pairs == NULL || writer->ranks == NULL)
        return memory_error(error);
    for (size_t i = 0; i < count; i++) {
        struct text encoded = writer->pair_set.texts[i];
        struct byte_reader reader = byte_reader_over((const uint8_t *)encoded.data, encoded.size);
        struct pair *pair = &writer->pairs[i];
        pair->number = (uint32_t)i;
        pair->name = byte_reader_text(&reader);
        pair->value = byte_reader_text(&reader);
        if (text_set_add(&symbols, pair->name) == TEXT_SET_OUT_OF_MEMORY ||
            text_set_add(&symbols, pair->value) == TEXT_SET_OUT_OF_MEMORY)
            return memory_error(error);
    }
    qsort(writer->pairs, count, sizeof *writer->pairs, compare_pairs);
    writer->symbols = text_set_sorted(&symbols);
    writer->symbol_count = symbols.count;
    if (writer->symbols == NULL)
        return memory_error(error);
    for (size_t i = 0; i < count; i++) {
        struct pair *pair = &writer->pairs[i];
        writer->ranks[pair->number] = (uint32_t)i;
        pair->name_symbol = symbol_number(writer, pair->name);
        pair->value_symbol = symbol_number(writer, pair->value);
    }
    return ERROR_NONE;
}

/* --- Series in order --------------------------------------------------------------------------
 */

static struct byte_reader record_at(const struct index_writer *writer, uint64_t offset)
{
    return byte_reader_over(writer->records.bytes + offset, writer->records.size - (size_t)offset);
}

/* As the labels are ordered: pair by pair, then the fewer. */
static int compare_records(const void *left_item, const void *right_item, void *context)
{
    const struct index_writer *writer = context;
    struct byte_reader left = record_at(writer, *(const uint64_t *)left_item);
    struct byte_reader right = record_at(writer, *(const uint64_t *)right_item);
    uint64_t left_count = byte_reader_varint(&left), right_count = byte_reader_varint(&right);
    for (uint64_t i = 0; i < left_count && i < right_count; i++) {
        uint32_t left_rank = writer->ranks[byte_reader_varint(&left)];
        uint32_t right_rank = writer->ranks[byte_reader_varint(&right)];
        if (left_rank != right_rank)
            return left_rank < right_rank ? -1 : 1;
    }
    return (left_count > right_count) - (left_count < right_count);
}

static enum error_code order_series(struct index_writer *writer, struct error *error)
{
    uint64_t *offsets = writer->record_offsets;
    bool is_ordered = true;
    for (size_t i = 1; is_ordered && i < writer->series_count; i++)
        is_ordered = compare_records(&offsets[i - 1], &offsets[i], writer) < 0;
    if (is_ordered)
        return ERROR_NONE;
    qsort_r(offsets, writer->series_count, sizeof *offsets, compare_records, writer);
    for (size_t i = 1; i < writer->series_count; i++)
        if (compare_records(&offsets[i - 1], &offsets[i], writer) == 0)
            return error_set(error, ERROR_INVALID, "index of a block: a series is there twice");
    return ERROR_NONE;
}

/* --- The file ---------------------------------------------------------------------------------
 */

static enum error_code pad(struct index_writer *writer, size_t alignment, struct error *error)
{
    static const uint8_t ZEROES[INDEX_SERIES_ALIGNMENT];
    size_t over = (size_t)(file_writer_position(writer->file) % alignment);
    return over == 0 ? ERROR_NONE
                     : file_writer_append(writer->file, ZEROES, alignment - over, error);
}

/* What is in `section`, its checksum behind it. */
static enum error_code append_checked(struct index_writer *writer, struct error *error)
{
    struct byte_buffer *section = &writer->section;
    if (!section->failed)
        byte_buffer_big_u32(section, crc32c(0, section->bytes, section->size));
    if (section->failed)
        return memory_error(error);
    return file_writer_append(writer->file, section->bytes, section->size, error);
}

/* The same with its length in front, in four bytes. */
static enum error_code append_section(struct index_writer *writer, struct error *error)
{
    uint8_t length[4];
    if (writer->section.size > UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "index of a block: a section of %zu bytes",
                         writer->section.size);
    store_u32(length, __builtin_bswap32((uint32_t)writer->section.size));
    enum error_code code = file_writer_append(writer->file, length, sizeof length, error);
    return code == ERROR_NONE ? append_checked(writer, error) : code;
}

static enum error_code write_symbols(struct index_writer *writer, struct error *error)
{
    uint8_t head[INDEX_HEAD_BYTES] = {0, 0, 0, 0, 2};
    store_u32(head, __builtin_bswap32(INDEX_MAGIC));
    enum error_code code = file_writer_append(writer->file, head, sizeof head, error);
    if (code != ERROR_NONE)
        return code;
    writer->places[INDEX_SYMBOLS] = file_writer_position(writer->file);
    byte_buffer_reset(&writer->section);
    byte_buffer_big_u32(&writer->section, (uint32_t)writer->symbol_count);
    for (size_t i = 0; i < writer->symbol_count; i++)
        byte_buffer_text(&writer->section, writer->symbols[i]);
    return append_section(writer, error);
}

static void put_chunks(struct byte_reader *record, struct byte_buffer *section)
{
    uint64_t count = byte_reader_varint(record), last_ms = 0, last_reference = 0;
    byte_buffer_varint(section, count);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t start_ms = (uint64_t)byte_reader_zigzag(record);
        uint64_t length_ms = byte_reader_varint(record);
        uint64_t reference = byte_reader_varint(record);
        if (i == 0)
            byte_buffer_zigzag(section, (int64_t)start_ms);
        else
            byte_buffer_varint(section, start_ms - last_ms);
        byte_buffer_varint(section, length_ms);
        if (i == 0)
            byte_buffer_varint(section, reference);
        else
            byte_buffer_zigzag(section, (int64_t)(reference - last_reference));
        last_ms = start_ms + length_ms;
        last_reference = reference;
    }
}

static enum error_code write_one_series(struct index_writer *writer, size_t i, struct error *error)
{
    struct byte_reader record = record_at(writer, writer->record_offsets[i]);
    struct byte_buffer *section = &writer->section;
    enum error_code code = pad(writer, INDEX_SERIES_ALIGNMENT, error);
    if (code != ERROR_NONE)
        return code;
    uint64_t reference = file_writer_position(writer->file) / INDEX_SERIES_ALIGNMENT;
    if (reference > UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "index of a block: too many series");
    writer->all_series[i] = (uint32_t)reference;
    uint64_t label_count = byte_reader_varint(&record);
    byte_buffer_reset(section);
    byte_buffer_varint(section, label_count);
    for (uint64_t l = 0; l < label_count; l++) {
        struct pair *pair = &writer->pairs[writer->ranks[byte_reader_varint(&record)]];
        byte_buffer_varint(section, pair->name_symbol);
        byte_buffer_varint(section, pair->value_symbol);
        pair->series_count++;
    }
    put_chunks(&record, section);
    uint8_t length[VARINT_MAX_BYTES];
    size_t length_bytes = (size_t)(varint_store(length, section->size) - length);
    code = file_writer_append(writer->file, length, length_bytes, error);
    return code == ERROR_NONE ? append_checked(writer, error) : code;
}

static enum error_code write_series(struct index_writer *writer, struct error *error)
{
    writer->all_series =
        arena_array(writer->arena, writer->series_count, sizeof *writer->all_series);
    if (writer->all_series == NULL)
        return memory_error(error);
    enum error_code code = pad(writer, INDEX_SERIES_ALIGNMENT, error);
    writer->places[INDEX_SERIES] = file_writer_position(writer->file);
    for (size_t i = 0; code == ERROR_NONE && i < writer->series_count; i++)
        code = write_one_series(writer, i, error);
    return code;
}

/* The values of each name; readers use them no more, but the format has them. The table of their
 * places is put into `table`. */
static enum error_code write_label_indices(struct index_writer *writer, struct byte_buffer *table,
                                           struct error *error)
{
    enum { NAMES_OF_ONE = 1, ALIGNMENT = 4 };
    size_t pair_count = writer->pair_set.count;
    uint32_t name_count = 0;
    enum error_code code = pad(writer, ALIGNMENT, error);
    writer->places[INDEX_LABEL_INDICES] = file_writer_position(writer->file);
    for (size_t first = 0, end; code == ERROR_NONE && first < pair_count; first = end) {
        struct text name = writer->pairs[first].name;
        for (end = first + 1; end < pair_count && text_equal(writer->pairs[end].name, name);)
            end++;
        code = pad(writer, ALIGNMENT, error);
        byte_buffer_u8(table, NAMES_OF_ONE);
        byte_buffer_text(table, name);
        byte_buffer_varint(table, file_writer_position(writer->file));
        name_count++;
        byte_buffer_reset(&writer->section);
        byte_buffer_big_u32(&writer->section, NAMES_OF_ONE);
        byte_buffer_big_u32(&writer->section, (uint32_t)(end - first));
        for (size_t i = first; i < end; i++)
            byte_buffer_big_u32(&writer->section, writer->pairs[i].value_symbol);
        if (code == ERROR_NONE)
            code = append_section(writer, error);
    }
    if (!table->failed)
        store_u32(table->bytes, __builtin_bswap32(name_count));
    return code;
}

/* Which series have each pair. */
static enum error_code gather_postings(struct index_writer *writer, struct error *error)
{
    uint64_t *next = arena_array(writer->arena, writer->pair_set.count, sizeof *next);
    writer->postings = arena_array(writer->arena, writer->label_count, sizeof *writer->postings);
    if (next == NULL || writer->postings == NULL)
        return memory_error(error);
    uint64_t at = 0;
    for (size_t i = 0; i < writer->pair_set.count; i++) {
        next[i] = writer->pairs[i].postings_first = at;
        at += writer->pairs[i].series_count;
    }
    for (size_t i = 0; i < writer->series_count; i++) {
        struct byte_reader record = record_at(writer, writer->record_offsets[i]);
        uint64_t label_count = byte_reader_varint(&record);
        for (uint64_t l = 0; l < label_count; l++)
            writer->postings[next[writer->ranks[byte_reader_varint(&record)]]++] =
                writer->all_series[i];
    }
    return ERROR_NONE;
}

static enum error_code write_list(struct index_writer *writer, struct text name, struct text value,
                                  const uint32_t *series, size_t count, struct byte_buffer *table,
                                  struct error *error)
{
    enum { TEXTS_OF_A_PAIR = 2, ALIGNMENT = 4 };
    enum error_code code = pad(writer, ALIGNMENT, error);
    if (code != ERROR_NONE)
        return code;
    byte_buffer_u8(table, TEXTS_OF_A_PAIR);
    byte_buffer_text(table, name);
    byte_buffer_text(table, value);
    byte_buffer_varint(table, file_writer_position(writer->file));
    byte_buffer_reset(&writer->section);
    byte_buffer_big_u32(&writer->section, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        byte_buffer_big_u32(&writer->section, series[i]);
    return append_section(writer, error);
}

/* The list of all series has the empty pair, which comes first. */
static enum error_code write_postings(struct index_writer *writer, struct byte_buffer *table,
                                      struct error *error)
{
    enum { ALIGNMENT = 4 };
    enum error_code code = gather_postings(writer, error);
    if (code == ERROR_NONE)
        code = pad(writer, ALIGNMENT, error);
    writer->places[INDEX_POSTINGS] = file_writer_position(writer->file);
    if (code == ERROR_NONE)
        code = write_list(writer, (struct text){0}, (struct text){0}, writer->all_series,
                          writer->series_count, table, error);
    for (size_t i = 0; code == ERROR_NONE && i < writer->pair_set.count; i++) {
        const struct pair *pair = &writer->pairs[i];
        code = write_list(writer, pair->name, pair->value, writer->postings + pair->postings_first,
                          pair->series_count, table, error);
    }
    if (!table->failed)
        store_u32(table->bytes, __builtin_bswap32((uint32_t)writer->pair_set.count + 1));
    return code;
}

static enum error_code write_table(struct index_writer *writer, const struct byte_buffer *table,
                                   enum index_section section, struct error *error)
{
    writer->places[section] = file_writer_position(writer->file);
    byte_buffer_reset(&writer->section);
    byte_buffer_append(&writer->section, table->bytes, table->size);
    writer->section.failed |= table->failed;
    return append_section(writer, error);
}

static enum error_code write_contents(struct index_writer *writer, struct error *error)
{
    byte_buffer_reset(&writer->section);
    for (size_t i = 0; i < INDEX_SECTIONS; i++)
        byte_buffer_big_u64(&writer->section, writer->places[i]);
    return append_checked(writer, error);
}

enum error_code index_writer_finish(struct index_writer *writer, struct disk *disk,
                                    const char *path, struct error *error)
{
    struct byte_buffer label_table = {0}, postings_table = {0};
    byte_buffer_u32(&label_table, 0); /* how many, known later */
    byte_buffer_u32(&postings_table, 0);
    enum error_code code = order_pairs(writer, error);
    if (code == ERROR_NONE)
        code = order_series(writer, error);
    if (code == ERROR_NONE)
        code = file_writer_open(disk, path, FILE_WRITER_PLAIN, &writer->file, error);
    if (code == ERROR_NONE)
        code = write_symbols(writer, error);
    if (code == ERROR_NONE)
        code = write_series(writer, error);
    if (code == ERROR_NONE)
        code = write_label_indices(writer, &label_table, error);
    if (code == ERROR_NONE)
        code = write_postings(writer, &postings_table, error);
    if (code == ERROR_NONE)
        code = write_table(writer, &label_table, INDEX_LABEL_OFFSETS, error);
    if (code == ERROR_NONE)
        code = write_table(writer, &postings_table, INDEX_POSTINGS_OFFSETS, error);
    if (code == ERROR_NONE)
        code = write_contents(writer, error);
    if (code == ERROR_NONE) {
        struct file_writer *file = writer->file;
        writer->file = NULL; /* finish frees it */
        code = file_writer_finish(file, error);
    }
    byte_buffer_clear(&label_table);
    byte_buffer_clear(&postings_table);
    return code;
}
