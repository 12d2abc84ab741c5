#include "sample_writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec/histogram_codec.h"
#include "codec/integer_codec.h"
#include "codec/value_codec.h"
#include "page_tree.h"
#include "sample_directory.h"

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "write samples");
}

/* --- Groups of chunks ------------------------------------------------------------------------- */

static enum error_code group_write(struct sample_writer *writer, struct error *error)
{
    if (writer->group.size == 0)
        return ERROR_NONE;
    if (writer->group_count == writer->group_capacity) {
        size_t capacity = writer->group_capacity == 0 ? 64 : writer->group_capacity * 2;
        struct page_reference *grown = realloc(writer->groups, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        writer->groups = grown;
        writer->group_capacity = capacity;
    }
    enum error_code code =
        page_writer_append(writer->pages, PAGE_CHUNKS, writer->group.bytes, writer->group.size,
                           &writer->groups[writer->group_count], error);
    if (code != ERROR_NONE)
        return code;
    writer->group_count++;
    byte_buffer_reset(&writer->group);
    return ERROR_NONE;
}

static enum error_code group_begin_chunk(struct sample_writer *writer, struct error *error)
{
    return writer->group.size >= PAGE_RAW_BYTES_TARGET ? group_write(writer, error) : ERROR_NONE;
}

/* --- Cutting a series into chunks ------------------------------------------------------------- */

static enum chunk_kind kind_at(const struct sample_columns *columns, size_t index)
{
    return columns->histograms != NULL && columns->histograms[index] != NULL ? CHUNK_HISTOGRAM
                                                                             : CHUNK_FLOAT;
}

static bool has_start_at(const struct sample_columns *columns, size_t index)
{
    return columns->start_timestamps_ms != NULL && columns->start_timestamps_ms[index] != 0;
}

/* The end of the window of `timestamp_ms`, rounding down also below 1970. */
static int64_t window_end(int64_t timestamp_ms, int64_t window_ms)
{
    if (window_ms == 0)
        return INT64_MAX;
    int64_t remainder = timestamp_ms % window_ms;
    if (remainder < 0)
        remainder += window_ms;
    int64_t end;
    return __builtin_add_overflow(timestamp_ms - remainder, window_ms, &end) ? INT64_MAX : end;
}

/* Samples of the chunk that begins at `first`. */
static size_t chunk_length(const struct sample_writer *writer, const struct sample_columns *columns,
                           size_t first)
{
    enum chunk_kind kind = kind_at(columns, first);
    bool has_start = has_start_at(columns, first);
    int64_t end_ms = window_end(columns->timestamps_ms[first], writer->chunk_window_ms);
    size_t limit = columns->count - first;
    if (limit > CHUNK_SAMPLES_MAX)
        limit = CHUNK_SAMPLES_MAX;
    size_t length = 1;
    while (length < limit && columns->timestamps_ms[first + length] < end_ms &&
           kind_at(columns, first + length) == kind &&
           has_start_at(columns, first + length) == has_start)
        length++;
    return length;
}

/* --- Exemplars -------------------------------------------------------------------------------- */

/* The exemplars go among the chunks, as one. */
static enum error_code write_exemplars(struct sample_writer *writer,
                                       const struct exemplar *exemplars, size_t count,
                                       struct written_exemplars *written_out, struct error *error)
{
    *written_out = (struct written_exemplars){0};
    if (count == 0)
        return ERROR_NONE;
    enum error_code code = group_begin_chunk(writer, error);
    if (code != ERROR_NONE)
        return code;
    struct byte_buffer *group = &writer->group;
    size_t offset = group->size;
    byte_buffer_varint(group, count);
    int64_t previous_ms = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && exemplars[i].timestamp_ms < previous_ms)
            return error_set(error, ERROR_INVALID, "exemplars out of order");
        byte_buffer_zigzag(group,
                           (int64_t)((uint64_t)exemplars[i].timestamp_ms - (uint64_t)previous_ms));
        byte_buffer_u64(group, double_to_bits(exemplars[i].value));
        byte_buffer_text(group, (struct text){(const char *)exemplars[i].labels.bytes,
                                              exemplars[i].labels.size});
        previous_ms = exemplars[i].timestamp_ms;
    }
    *written_out = (struct written_exemplars){
        .group = writer->group_count, .offset = offset, .size_bytes = group->size - offset};
    return group->failed ? out_of_memory(error) : ERROR_NONE;
}

/* --- Adding ----------------------------------------------------------------------------------- */

/* The directory of a block has no origins: they stand in its label index. */
static enum error_code record_begin(struct sample_writer *writer,
                                    const struct sample_series *series, struct error *error)
{
    bool has_origin = writer->order == TARGETS_ADJACENT;
    writer->slots[series->slot / 8] |= (uint8_t)(1u << (series->slot % 8));
    return written_series_begin(&writer->series, series->key, has_origin ? series->tenant : 0,
                                has_origin ? series->slot : 0, error);
}

/* Begin a series: check its timestamps, place them and open its entry. */
static enum error_code begin_series(struct sample_writer *writer,
                                    const struct sample_series *series,
                                    const int64_t *timestamps_ms, size_t count,
                                    struct column_range *range_out, struct error *error)
{
    assert(series->slot < SLOT_COUNT && series->key < UINT64_MAX);
    if (count > SERIES_SAMPLES_MAX)
        return error_set(error, ERROR_LIMIT, "series of %zu samples", count);
    for (size_t i = 1; i < count; i++)
        if (timestamps_ms[i] <= timestamps_ms[i - 1])
            return error_set(error, ERROR_INVALID, "timestamps do not ascend");
    enum error_code code = ERROR_NONE;
    if (writer->order == TARGETS_ADJACENT && series->target != writer->current_target)
        code = time_columns_flush(&writer->columns, error);
    writer->current_target = series->target;
    if (code == ERROR_NONE && count > 0)
        code = time_columns_place(&writer->columns, series->target, timestamps_ms, count, range_out,
                                  error);
    if (code == ERROR_NONE)
        code = record_begin(writer, series, error);
    if (code != ERROR_NONE || count == 0)
        return code;
    writer->sample_count += count;
    if (timestamps_ms[0] < writer->min_time_ms)
        writer->min_time_ms = timestamps_ms[0];
    if (timestamps_ms[count - 1] > writer->max_time_ms)
        writer->max_time_ms = timestamps_ms[count - 1];
    return ERROR_NONE;
}

/* A chunk whose bytes are the end of the group, from `offset` on; the next one goes on in the
 * column. */
static void record_chunk(struct sample_writer *writer, enum chunk_kind kind,
                         struct column_range *range, size_t count, size_t offset,
                         size_t values_bytes)
{
    struct written_chunk chunk = {
        .kind = kind,
        .column = range->column,
        .first = range->first,
        .count = (uint32_t)count,
        .group = writer->group_count,
        .offset = offset,
        .values_bytes = values_bytes,
        .starts_bytes = writer->group.size - offset - values_bytes,
    };
    written_series_add_chunk(&writer->series, &chunk);
    range->first += (uint32_t)count;
}

static enum error_code end_series(struct sample_writer *writer, const struct exemplar *exemplars,
                                  size_t exemplar_count, struct error *error)
{
    struct written_exemplars written;
    enum error_code code = write_exemplars(writer, exemplars, exemplar_count, &written, error);
    return code != ERROR_NONE ? code : written_series_end(&writer->series, &written, error);
}

static enum error_code encode_values(struct sample_writer *writer,
                                     const struct sample_columns *columns, size_t first,
                                     size_t count, struct error *error)
{
    struct byte_buffer *group = &writer->group;
    if (kind_at(columns, first) == CHUNK_HISTOGRAM) {
        arena_reset(writer->arena);
        return histogram_codec_encode(columns->histograms + first, count, writer->scratch,
                                      writer->arena, group, error);
    }
    if (!byte_buffer_reserve(group, value_codec_size_max(count)))
        return out_of_memory(error);
    group->size += value_codec_encode(columns->values + first, count, writer->scratch,
                                      group->bytes + group->size);
    return ERROR_NONE;
}

static enum error_code encode_starts(struct sample_writer *writer,
                                     const struct sample_columns *columns, size_t first,
                                     size_t count, struct error *error)
{
    if (!has_start_at(columns, first))
        return ERROR_NONE;
    struct byte_buffer *group = &writer->group;
    if (!byte_buffer_reserve(group, integer_column_size_max(count)))
        return out_of_memory(error);
    uint8_t *end = integer_column_encode(columns->start_timestamps_ms + first, count,
                                         writer->scratch, group->bytes + group->size);
    group->size = (size_t)(end - group->bytes);
    return ERROR_NONE;
}

enum error_code sample_writer_add(struct sample_writer *writer, const struct sample_series *series,
                                  const struct sample_columns *columns,
                                  const struct exemplar *exemplars, size_t exemplar_count,
                                  struct error *error)
{
    struct column_range range = {0};
    enum error_code code =
        begin_series(writer, series, columns->timestamps_ms, columns->count, &range, error);
    for (size_t first = 0; code == ERROR_NONE && first < columns->count;) {
        size_t count = chunk_length(writer, columns, first);
        code = group_begin_chunk(writer, error);
        if (code != ERROR_NONE)
            break;
        size_t offset = writer->group.size;
        code = encode_values(writer, columns, first, count, error);
        if (code != ERROR_NONE)
            break;
        size_t values_end = writer->group.size;
        code = encode_starts(writer, columns, first, count, error);
        if (code != ERROR_NONE)
            break;
        record_chunk(writer, kind_at(columns, first), &range, count, offset, values_end - offset);
        first += count;
    }
    if (code == ERROR_NONE)
        code = end_series(writer, exemplars, exemplar_count, error);
    return code;
}

enum error_code sample_writer_add_encoded(struct sample_writer *writer,
                                          const struct sample_series *series,
                                          const struct encoded_series *encoded,
                                          const struct exemplar *exemplars, size_t exemplar_count,
                                          struct error *error)
{
    struct column_range range = {0};
    enum error_code code =
        begin_series(writer, series, encoded->timestamps_ms, encoded->sample_count, &range, error);
    for (size_t i = 0; code == ERROR_NONE && i < encoded->chunk_count; i++) {
        const struct encoded_chunk *chunk = &encoded->chunks[i];
        code = group_begin_chunk(writer, error);
        if (code != ERROR_NONE)
            break;
        size_t offset = writer->group.size;
        byte_buffer_append(&writer->group, chunk->bytes, chunk->size_bytes);
        byte_buffer_append(&writer->group, chunk->start_timestamps, chunk->start_timestamps_bytes);
        if (writer->group.failed)
            return out_of_memory(error);
        record_chunk(writer, chunk->kind, &range, chunk->sample_count, offset, chunk->size_bytes);
    }
    if (code == ERROR_NONE)
        code = end_series(writer, exemplars, exemplar_count, error);
    return code;
}

/* --- Directory -------------------------------------------------------------------------------- */

static struct page_span group_span(const struct sample_writer *writer, uint64_t group,
                                   uint64_t offset, uint64_t size)
{
    assert(group < writer->group_count);
    return (struct page_span){.page = writer->groups[group],
                              .offset_bytes = (uint32_t)offset,
                              .size_bytes = (uint32_t)size};
}

static struct page_span column_span(const struct sample_writer *writer, uint64_t column)
{
    assert(column < writer->columns.column_count);
    struct column_location location = writer->columns.locations[column];
    return (struct page_span){.page = writer->columns.pages[location.page],
                              .offset_bytes = location.offset_bytes,
                              .size_bytes = location.size_bytes};
}

/* Chunks of one series while the directory is written. */
struct chunk_list {
    struct chunk_entry *chunks;
    size_t capacity;
};

static bool chunk_list_reserve(struct chunk_list *list, size_t count)
{
    if (count <= list->capacity)
        return true;
    size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
    struct chunk_entry *grown = realloc(list->chunks, capacity * sizeof *grown);
    if (grown == NULL)
        return false;
    list->chunks = grown;
    list->capacity = capacity;
    return true;
}

/* Read back a series, numbers replaced by places. */
static bool resolve_series(const struct sample_writer *writer, size_t place,
                           struct chunk_list *list, struct series_entry *series_out)
{
    struct written_cursor cursor = written_series_open(&writer->series, place);
    struct series_entry series = {.key = cursor.key, .tenant = cursor.tenant, .slot = cursor.slot};
    struct written_chunk chunk;
    while (written_cursor_next(&cursor, &chunk)) {
        if (!chunk_list_reserve(list, series.chunk_count + 1))
            return false;
        list->chunks[series.chunk_count++] = (struct chunk_entry){
            .kind = chunk.kind,
            .first = chunk.first,
            .count = chunk.count,
            .start_timestamps_bytes = (uint32_t)chunk.starts_bytes,
            .column = column_span(writer, chunk.column),
            .values = group_span(writer, chunk.group, chunk.offset, chunk.values_bytes),
        };
        series.sample_count += chunk.count;
    }
    if (cursor.exemplars.size_bytes > 0)
        series.exemplars = group_span(writer, cursor.exemplars.group, cursor.exemplars.offset,
                                      cursor.exemplars.size_bytes);
    *series_out = series;
    return true;
}

static enum error_code directory_page_write(struct sample_writer *writer,
                                            struct directory_page_writer *page,
                                            struct tree_writer *tree, struct error *error)
{
    uint8_t key[8];
    key_store_be64(key, page->first_key);
    size_t series_count = page->series_count;
    struct byte_buffer bytes = {0};
    struct page_reference reference;
    enum error_code code = ERROR_NONE;
    if (!directory_page_finish(page, &bytes))
        code = out_of_memory(error);
    else if (bytes.size > DIRECTORY_BYTES_MAX)
        code = error_set(error, ERROR_LIMIT, "a series of too many chunks");
    if (code == ERROR_NONE)
        code = page_writer_append(writer->pages, PAGE_DIRECTORY, bytes.bytes, bytes.size,
                                  &reference, error);
    if (code == ERROR_NONE)
        code = tree_writer_add(tree, (struct text){(const char *)key, sizeof key}, series_count,
                               reference, error);
    byte_buffer_clear(&bytes);
    return code;
}

static enum error_code write_directory(struct sample_writer *writer, struct error *error)
{
    struct directory_page_writer page = {0};
    struct tree_writer tree = {.pages = writer->pages};
    struct chunk_list list = {0};
    size_t series_a_page =
        writer->order == TARGETS_ADJACENT ? DIRECTORY_SERIES_PART : DIRECTORY_SERIES_MAX;
    enum error_code code = written_series_sort(&writer->series, error);
    for (size_t i = 0; code == ERROR_NONE && i < writer->series.count; i++) {
        struct series_entry series;
        if (!resolve_series(writer, i, &list, &series) ||
            !directory_page_add(&page, &series, list.chunks))
            code = out_of_memory(error);
        else if (page.series_count == series_a_page || page.series.size >= DIRECTORY_BYTES_TARGET)
            code = directory_page_write(writer, &page, &tree, error);
    }
    if (code == ERROR_NONE && page.series_count > 0)
        code = directory_page_write(writer, &page, &tree, error);
    if (code == ERROR_NONE)
        code = tree_writer_finish(&tree, TOC_DIRECTORY, error);
    directory_page_clear(&page);
    tree_writer_clear(&tree);
    free(list.chunks);
    return code;
}

size_t sample_writer_size_bytes(const struct sample_writer *writer)
{
    return written_series_size_bytes(&writer->series) +
           writer->group_capacity * sizeof *writer->groups +
           writer->columns.location_capacity * sizeof *writer->columns.locations +
           writer->columns.open_timestamps * sizeof(int64_t);
}

enum error_code sample_writer_finish(struct sample_writer *writer, struct error *error)
{
    enum error_code code = group_write(writer, error);
    if (code == ERROR_NONE)
        code = time_columns_finish(&writer->columns, error);
    page_writer_begin_index(writer->pages);
    if (code == ERROR_NONE)
        code = write_directory(writer, error);
    if (code == ERROR_NONE)
        code = page_writer_section(writer->pages, TOC_SLOTS, writer->slots, sizeof writer->slots,
                                   error);
    return code;
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

enum error_code sample_writer_init(struct sample_writer *writer, struct page_writer *pages,
                                   enum target_order order, int64_t chunk_window_ms,
                                   struct error *error)
{
    *writer = (struct sample_writer){.pages = pages,
                                     .order = order,
                                     .chunk_window_ms = chunk_window_ms,
                                     .min_time_ms = INT64_MAX,
                                     .max_time_ms = INT64_MIN};
    writer->scratch = malloc(sizeof *writer->scratch);
    writer->arena = arena_create(0);
    writer->columns = (struct time_columns){.writer = pages, .scratch = writer->scratch};
    if (writer->scratch == NULL || writer->arena == NULL)
        return out_of_memory(error);
    return ERROR_NONE;
}

void sample_writer_clear(struct sample_writer *writer)
{
    time_columns_clear(&writer->columns);
    byte_buffer_clear(&writer->group);
    free(writer->groups);
    written_series_clear(&writer->series);
    free(writer->scratch);
    arena_destroy(writer->arena);
    *writer = (struct sample_writer){0};
}
