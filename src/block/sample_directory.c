#include "sample_directory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* Bits of a chunk's head. */
enum {
    HEAD_KIND_MASK = 3,
    HEAD_COLUMN = 1 << 2,
    HEAD_RANGE = 1 << 3,
    HEAD_STARTS = 1 << 4,
    HEAD_PLACE = 1 << 5,
    HEAD_NEXT_COLUMN = 1 << 6,
    HEAD_UNKNOWN = 1 << 7,
};

static bool page_equal(struct page_reference left, struct page_reference right)
{
    return left.offset_bytes == right.offset_bytes && left.size_bytes == right.size_bytes;
}

static uint64_t chunk_end(const struct chunk_entry *chunk)
{
    return (uint64_t)chunk->values.offset_bytes + chunk->values.size_bytes +
           chunk->start_timestamps_bytes;
}

static uint64_t column_end(const struct chunk_entry *chunk)
{
    return (uint64_t)chunk->column.offset_bytes + chunk->column.size_bytes;
}

/* --- Writing ---------------------------------------------------------------------------------- */

static bool page_number(struct directory_page_writer *page, struct page_reference reference,
                        size_t *number_out)
{
    for (size_t i = page->page_count; i > 0; i--) {
        if (page_equal(page->pages[i - 1], reference)) {
            *number_out = i - 1;
            return true;
        }
    }
    if (page->page_count == page->page_capacity) {
        size_t capacity = page->page_capacity == 0 ? 8 : page->page_capacity * 2;
        struct page_reference *grown = realloc(page->pages, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        page->pages = grown;
        page->page_capacity = capacity;
    }
    *number_out = page->page_count;
    page->pages[page->page_count++] = reference;
    return true;
}

static bool origin_number(struct directory_page_writer *page, struct directory_origin origin,
                          size_t *number_out)
{
    if (page->origins == NULL)
        page->origins = calloc(DIRECTORY_SERIES_MAX, sizeof *page->origins);
    if (page->origins == NULL)
        return false;
    for (size_t i = page->origin_count; i > 0; i--) {
        const struct directory_origin *known = &page->origins[i - 1];
        if (known->tenant == origin.tenant && known->slot == origin.slot) {
            *number_out = i - 1;
            return true;
        }
    }
    *number_out = page->origin_count;
    page->origins[page->origin_count++] = origin;
    return true;
}

static bool add_span(struct directory_page_writer *page, struct page_span span)
{
    size_t number;
    if (!page_number(page, span.page, &number))
        return false;
    byte_buffer_varint(&page->series, number);
    byte_buffer_varint(&page->series, span.offset_bytes);
    return true;
}

static bool add_chunk(struct directory_page_writer *page, const struct chunk_entry *chunk)
{
    const struct chunk_entry *previous = &page->previous;
    unsigned head = (unsigned)chunk->kind;
    bool same_page = page_equal(chunk->column.page, previous->column.page);
    if (same_page && chunk->column.offset_bytes == column_end(previous))
        head |= HEAD_NEXT_COLUMN; /* metrics have their targets in the same order */
    else if (!same_page || chunk->column.offset_bytes != previous->column.offset_bytes)
        head |= HEAD_COLUMN;
    if (chunk->first != previous->first || chunk->count != previous->count)
        head |= HEAD_RANGE;
    if (chunk->start_timestamps_bytes > 0)
        head |= HEAD_STARTS;
    if (!page_equal(chunk->values.page, previous->values.page) ||
        chunk->values.offset_bytes != chunk_end(previous))
        head |= HEAD_PLACE;

    byte_buffer_u8(&page->series, (uint8_t)head);
    if ((head & HEAD_COLUMN) && !add_span(page, chunk->column))
        return false;
    if (head & (HEAD_COLUMN | HEAD_NEXT_COLUMN))
        byte_buffer_varint(&page->series, chunk->column.size_bytes);
    if (head & HEAD_RANGE) {
        byte_buffer_varint(&page->series, chunk->first);
        byte_buffer_varint(&page->series, chunk->count);
    }
    if ((head & HEAD_PLACE) && !add_span(page, chunk->values))
        return false;
    byte_buffer_varint(&page->series, chunk->values.size_bytes);
    if (head & HEAD_STARTS)
        byte_buffer_varint(&page->series, chunk->start_timestamps_bytes);
    page->previous = *chunk;
    return true;
}

bool directory_page_add(struct directory_page_writer *page, const struct series_entry *series,
                        const struct chunk_entry *chunks)
{
    assert(page->series_count < DIRECTORY_SERIES_MAX);
    assert(page->series_count == 0 || series->key > page->previous_key);
    size_t origin;
    if (!origin_number(page, (struct directory_origin){series->tenant, series->slot}, &origin))
        return false;
    bool is_first = page->series_count == 0;
    if (is_first)
        page->first_key = series->key;
    byte_buffer_varint(&page->series,
                       is_first ? series->key : series->key - page->previous_key - 1);
    byte_buffer_varint(&page->series, origin);
    byte_buffer_varint(&page->series,
                       (uint64_t)series->chunk_count << 1 | (series->exemplars.size_bytes > 0));
    for (size_t i = 0; i < series->chunk_count; i++)
        if (!add_chunk(page, &chunks[i]))
            return false;
    if (series->exemplars.size_bytes > 0) {
        if (!add_span(page, series->exemplars))
            return false;
        byte_buffer_varint(&page->series, series->exemplars.size_bytes);
    }
    page->previous_key = series->key;
    page->series_count++;
    return !page->series.failed;
}

bool directory_page_finish(struct directory_page_writer *page, struct byte_buffer *target)
{
    byte_buffer_varint(target, page->page_count);
    uint64_t end_bytes = 0;
    for (size_t i = 0; i < page->page_count; i++) {
        struct page_reference reference = page->pages[i];
        byte_buffer_zigzag(target, (int64_t)(reference.offset_bytes - end_bytes));
        byte_buffer_varint(target, reference.size_bytes);
        end_bytes = reference.offset_bytes + reference.size_bytes;
    }
    byte_buffer_varint(target, page->origin_count);
    for (size_t i = 0; i < page->origin_count; i++) {
        byte_buffer_varint(target, page->origins[i].tenant);
        byte_buffer_varint(target, page->origins[i].slot);
    }
    byte_buffer_varint(target, page->series_count);
    byte_buffer_append(target, page->series.bytes, page->series.size);
    bool succeeded = !target->failed && !page->series.failed;

    byte_buffer_reset(&page->series);
    page->series_count = 0;
    page->page_count = 0;
    page->origin_count = 0;
    page->previous = (struct chunk_entry){0};
    return succeeded;
}

void directory_page_clear(struct directory_page_writer *page)
{
    byte_buffer_clear(&page->series);
    free(page->pages);
    free(page->origins);
    *page = (struct directory_page_writer){0};
}

/* --- Reading ---------------------------------------------------------------------------------- */

static enum error_code corrupt(struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "page of the series directory");
}

/* --- Reading: series -------------------------------------------------------------------------- */

/* Page and offset of a span; its size comes later. False: not in the page. */
static bool read_span(struct directory_cursor *cursor, struct page_span *span_out)
{
    uint64_t number = byte_reader_varint(&cursor->reader);
    uint64_t offset_bytes = byte_reader_varint(&cursor->reader);
    if (cursor->reader.failed || number >= cursor->page_count || offset_bytes > PAGE_RAW_BYTES_MAX)
        return false;
    span_out->page = cursor->pages[number];
    span_out->offset_bytes = (uint32_t)offset_bytes;
    return true;
}

static bool read_size(struct directory_cursor *cursor, uint32_t *size_out)
{
    uint64_t size = byte_reader_varint(&cursor->reader);
    if (cursor->reader.failed || size == 0 || size > PAGE_RAW_BYTES_MAX)
        return false;
    *size_out = (uint32_t)size;
    return true;
}

/* Over the chunk before it, which is cursor->previous; most that is read is passed over. */
static bool read_chunk(struct directory_cursor *cursor)
{
    struct byte_reader *reader = &cursor->reader;
    struct chunk_entry *chunk = &cursor->previous;
    uint64_t column = column_end(chunk);
    uint64_t end = chunk_end(chunk);
    unsigned head = byte_reader_u8(reader);
    unsigned kind = head & HEAD_KIND_MASK;
    bool next_column = head & HEAD_NEXT_COLUMN;
    if (kind > CHUNK_HISTOGRAM || (head & HEAD_UNKNOWN) || (next_column && (head & HEAD_COLUMN)) ||
        (next_column && column > PAGE_RAW_BYTES_MAX) || end > PAGE_RAW_BYTES_MAX)
        return false;
    chunk->kind = (enum chunk_kind)kind;
    if (next_column)
        chunk->column.offset_bytes = (uint32_t)column;
    if ((head & HEAD_COLUMN) && !read_span(cursor, &chunk->column))
        return false;
    if ((head & HEAD_COLUMN || next_column) && !read_size(cursor, &chunk->column.size_bytes))
        return false;
    if (head & HEAD_RANGE) {
        uint64_t first = byte_reader_varint(reader);
        uint64_t count = byte_reader_varint(reader);
        if (first > SERIES_SAMPLES_MAX || count > CHUNK_SAMPLES_MAX)
            return false;
        chunk->first = (uint32_t)first;
        chunk->count = (uint32_t)count;
    }
    chunk->values.offset_bytes = (uint32_t)end;
    if (head & HEAD_PLACE && !read_span(cursor, &chunk->values))
        return false;
    if (!read_size(cursor, &chunk->values.size_bytes))
        return false;
    chunk->start_timestamps_bytes = 0;
    if (head & HEAD_STARTS && !read_size(cursor, &chunk->start_timestamps_bytes))
        return false;
    return chunk->count > 0 && !reader->failed;
}

/* Room for `count` chunks, forgetting what is there. */
static bool chunks_reserve(struct directory_cursor *cursor, size_t count)
{
    if (count <= cursor->chunk_capacity)
        return true;
    free(cursor->chunks);
    cursor->chunk_capacity = 0;
    cursor->chunks = calloc(count, sizeof *cursor->chunks);
    if (cursor->chunks == NULL)
        return false;
    cursor->chunk_capacity = count;
    return true;
}

/* The series whose key, `series->key`, was read; chunks are kept when `wanted`. */
static enum error_code read_series(struct directory_cursor *cursor, bool wanted,
                                   struct error *error)
{
    struct byte_reader *reader = &cursor->reader;
    uint64_t origin = byte_reader_varint(reader);
    uint64_t counts = byte_reader_varint(reader);
    uint64_t chunk_count = counts >> 1;
    struct series_entry *series = &cursor->series;
    /* A chunk takes two bytes at least. */
    if (reader->failed || origin >= cursor->origin_count ||
        chunk_count > byte_reader_left(reader) / 2)
        return corrupt(error);
    if (wanted && !chunks_reserve(cursor, chunk_count))
        return error_set(error, ERROR_OUT_OF_MEMORY, "series directory");
    series->tenant = cursor->origins[origin].tenant;
    series->slot = cursor->origins[origin].slot;
    series->chunk_count = (uint32_t)chunk_count;
    series->sample_count = 0;
    series->exemplars = (struct page_span){0};
    for (size_t i = 0; i < chunk_count; i++) {
        if (!read_chunk(cursor) ||
            cursor->previous.count > SERIES_SAMPLES_MAX - series->sample_count)
            return corrupt(error);
        series->sample_count += cursor->previous.count;
        if (wanted)
            cursor->chunks[i] = cursor->previous;
    }
    if (counts & 1 && (!read_span(cursor, &series->exemplars) ||
                       !read_size(cursor, &series->exemplars.size_bytes)))
        return corrupt(error);
    return ERROR_NONE;
}

/* One series, whose chunks are kept when its key is `key` or above. */
static enum error_code step(struct directory_cursor *cursor, uint64_t key, struct error *error)
{
    struct series_entry *series = &cursor->series;
    uint64_t gap = byte_reader_varint(&cursor->reader);
    if (cursor->reader.failed ||
        __builtin_add_overflow(cursor->next_key_minimum, gap, &series->key) ||
        series->key == UINT64_MAX)
        return corrupt(error);
    enum error_code code = read_series(cursor, series->key >= key, error);
    if (code != ERROR_NONE)
        return code;
    cursor->next_key_minimum = series->key + 1;
    cursor->series_left--;
    return ERROR_NONE;
}

/* --- Preparing -------------------------------------------------------------------------------- */

/* Between two series, where reading can begin. */
struct directory_stop {
    uint64_t key_minimum; /* series before it are below, those behind it are not */
    size_t offset_bytes;  /* from the start of the series */
    struct chunk_entry previous;
};

enum {
    /* A stop takes as much as the page's bytes of some four series. */
    STOP_SERIES = 8,
    STOPS_MAX = DIRECTORY_SERIES_MAX / STOP_SERIES,
};

/* At the start of a prepared page; behind it pages, stops, origins, and the series. */
struct prepared_head {
    size_t page_count;
    size_t stop_count;
    size_t origin_count;
    uint64_t series_count;
    size_t series_bytes;
};

/* A page of a file being looked through. */
struct preparation {
    struct byte_reader reader;
    struct page_reference *pages;     /* owned */
    struct directory_origin *origins; /* owned */
    struct directory_stop stops[STOPS_MAX];
    struct prepared_head head;
};

/* A count of things of which each takes two bytes at least. */
static bool read_count(struct byte_reader *reader, size_t *count_out)
{
    uint64_t count = byte_reader_varint(reader);
    *count_out = (size_t)count;
    return !reader->failed && count <= byte_reader_left(reader) / 2;
}

static enum error_code read_pages(struct preparation *work, struct error *error)
{
    struct byte_reader *reader = &work->reader;
    if (!read_count(reader, &work->head.page_count))
        return corrupt(error);
    work->pages = malloc((work->head.page_count + 1) * sizeof *work->pages);
    if (work->pages == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "series directory");
    uint64_t end_bytes = 0;
    for (size_t i = 0; i < work->head.page_count; i++) {
        uint64_t offset_bytes = end_bytes + (uint64_t)byte_reader_zigzag(reader);
        uint64_t size_bytes = byte_reader_varint(reader);
        if (reader->failed || size_bytes > UINT32_MAX)
            return corrupt(error);
        work->pages[i] = (struct page_reference){offset_bytes, (uint32_t)size_bytes};
        end_bytes = offset_bytes + size_bytes;
    }
    return ERROR_NONE;
}

static enum error_code read_origins(struct preparation *work, struct error *error)
{
    struct byte_reader *reader = &work->reader;
    if (!read_count(reader, &work->head.origin_count))
        return corrupt(error);
    work->origins = malloc((work->head.origin_count + 1) * sizeof *work->origins);
    if (work->origins == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "series directory");
    for (size_t i = 0; i < work->head.origin_count; i++) {
        uint64_t tenant = byte_reader_varint(reader);
        uint64_t slot = byte_reader_varint(reader);
        if (reader->failed || tenant > UINT32_MAX || slot >= SLOT_COUNT)
            return corrupt(error);
        work->origins[i] = (struct directory_origin){(uint32_t)tenant, (uint16_t)slot};
    }
    return ERROR_NONE;
}

/* Step through all series once. */
static enum error_code find_stops(struct preparation *work, struct error *error)
{
    struct directory_cursor cursor = {
        .pages = work->pages,
        .page_count = work->head.page_count,
        .origins = work->origins,
        .origin_count = work->head.origin_count,
        .reader = work->reader,
    };
    size_t before = byte_reader_left(&cursor.reader);
    enum error_code code = ERROR_NONE;
    for (size_t i = 0; code == ERROR_NONE && i < work->head.series_count; i++) {
        if (i % STOP_SERIES == 0)
            work->stops[work->head.stop_count++] = (struct directory_stop){
                .key_minimum = cursor.next_key_minimum,
                .offset_bytes = before - byte_reader_left(&cursor.reader),
                .previous = cursor.previous,
            };
        code = step(&cursor, UINT64_MAX, error);
    }
    work->head.series_bytes = before - byte_reader_left(&cursor.reader);
    return code;
}

static void put(uint8_t **target, const void *array, size_t size)
{
    memcpy(*target, array, size);
    *target += size;
}

/* All of it in one piece of memory. */
static enum error_code assemble(const struct preparation *work, const uint8_t *series,
                                uint8_t **memory_out, size_t *size_out, struct error *error)
{
    const struct prepared_head *head = &work->head;
    size_t pages_bytes = head->page_count * sizeof *work->pages;
    size_t stops_bytes = head->stop_count * sizeof *work->stops;
    size_t origins_bytes = head->origin_count * sizeof *work->origins;
    size_t size = sizeof *head + pages_bytes + stops_bytes + origins_bytes + head->series_bytes;
    uint8_t *memory = malloc(size);
    if (memory == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "series directory");
    uint8_t *target = memory;
    put(&target, head, sizeof *head);
    put(&target, work->pages, pages_bytes);
    put(&target, work->stops, stops_bytes);
    put(&target, work->origins, origins_bytes);
    put(&target, series, head->series_bytes);
    *memory_out = memory;
    *size_out = size;
    return ERROR_NONE;
}

static enum error_code prepare(struct preparation *work, uint8_t **memory_out, size_t *size_out,
                               struct error *error)
{
    enum error_code code = read_pages(work, error);
    if (code == ERROR_NONE)
        code = read_origins(work, error);
    if (code != ERROR_NONE)
        return code;
    work->head.series_count = byte_reader_varint(&work->reader);
    if (work->reader.failed || work->head.series_count == 0 ||
        work->head.series_count > DIRECTORY_SERIES_MAX)
        return corrupt(error);
    code = find_stops(work, error);
    if (code != ERROR_NONE)
        return code;
    const uint8_t *series = byte_reader_take(&work->reader, work->head.series_bytes);
    return assemble(work, series, memory_out, size_out, error);
}

enum error_code directory_page_prepare(const uint8_t *bytes, size_t size, uint8_t **memory_out,
                                       size_t *size_out, struct error *error)
{
    if (size > DIRECTORY_BYTES_MAX)
        return corrupt(error);
    struct preparation work = {.reader = byte_reader_over(bytes, size)};
    enum error_code code = prepare(&work, memory_out, size_out, error);
    free(work.pages);
    free(work.origins);
    return code;
}

/* --- Walking ---------------------------------------------------------------------------------- */

void directory_cursor_open(struct directory_cursor *cursor, const uint8_t *prepared)
{
    const struct prepared_head *head = (const void *)prepared;
    cursor->pages = (const void *)(head + 1);
    cursor->page_count = head->page_count;
    cursor->stops = (const void *)(cursor->pages + head->page_count);
    cursor->stop_count = head->stop_count;
    cursor->origins = (const void *)(cursor->stops + head->stop_count);
    cursor->origin_count = head->origin_count;
    cursor->bytes = (const uint8_t *)(cursor->origins + head->origin_count);
    cursor->size = head->series_bytes;
    cursor->reader = byte_reader_over(cursor->bytes, cursor->size);
    cursor->series_count = head->series_count;
    cursor->series_left = head->series_count;
    cursor->next_key_minimum = 0;
    cursor->previous = (struct chunk_entry){0};
}

/* To the last stop that is ahead and not beyond `key`. */
static void jump(struct directory_cursor *cursor, uint64_t key)
{
    size_t low = (size_t)(cursor->series_count - cursor->series_left) / STOP_SERIES;
    size_t high = cursor->stop_count;
    if (low + 1 >= high || cursor->stops[low + 1].key_minimum > key)
        return;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (cursor->stops[middle].key_minimum <= key)
            low = middle;
        else
            high = middle;
    }
    const struct directory_stop *stop = &cursor->stops[low];
    cursor->reader =
        byte_reader_over(cursor->bytes + stop->offset_bytes, cursor->size - stop->offset_bytes);
    cursor->series_left = cursor->series_count - low * STOP_SERIES;
    cursor->next_key_minimum = stop->key_minimum;
    cursor->previous = stop->previous;
}

enum error_code directory_cursor_next(struct directory_cursor *cursor, uint64_t key,
                                      bool *found_out, struct error *error)
{
    *found_out = false;
    if (cursor->series_left > 0)
        jump(cursor, key);
    while (!*found_out && cursor->series_left > 0) {
        enum error_code code = step(cursor, key, error);
        if (code != ERROR_NONE)
            return code;
        *found_out = cursor->series.key >= key;
    }
    return ERROR_NONE;
}

void directory_cursor_clear(struct directory_cursor *cursor)
{
    free(cursor->chunks);
    *cursor = (struct directory_cursor){0};
}
