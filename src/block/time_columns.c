#include "time_columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "codec/timestamp_codec.h"

/* A target whose series come and go has many columns; only the latest used are tried. */
enum {
    COLUMNS_TRIED = 16,
    SLOTS_FIRST = 16,
    /* 256 MiB: then all are written, and later series begin new ones. */
    OPEN_TIMESTAMPS_MAX = 32 * 1024 * 1024,
};

struct open_column {
    uint64_t target;
    uint32_t number;
    size_t count;
    size_t capacity;
    int64_t *timestamps_ms;    /* [capacity], owned */
    struct open_column *chain; /* next column of the target */
    struct open_column *next;  /* by number */
};

static enum error_code out_of_memory(struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "time columns");
}

/* --- Columns of a target ---------------------------------------------------------------------- */

static struct open_column **slot_find(struct open_column **slots, size_t slot_count,
                                      uint64_t target)
{
    size_t at = hash64(&target, sizeof target, HASH_SEED_STORED) & (slot_count - 1);
    while (slots[at] != NULL && slots[at]->target != target)
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static bool slots_grow(struct time_columns *columns)
{
    size_t slot_count = columns->slot_count == 0 ? SLOTS_FIRST : columns->slot_count * 2;
    struct open_column **slots = calloc(slot_count, sizeof(struct open_column *));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < columns->slot_count; i++)
        if (columns->slots[i] != NULL)
            *slot_find(slots, slot_count, columns->slots[i]->target) = columns->slots[i];
    free(columns->slots);
    columns->slots = slots;
    columns->slot_count = slot_count;
    return true;
}

static bool column_append(struct open_column *column, const int64_t *timestamps_ms, size_t count)
{
    if (column->capacity - column->count < count) {
        size_t capacity = column->count + count;
        if (column->count > 0)
            capacity += capacity / 2;
        int64_t *grown = realloc(column->timestamps_ms, capacity * sizeof *grown);
        if (grown == NULL)
            return false;
        column->timestamps_ms = grown;
        column->capacity = capacity;
    }
    memcpy(column->timestamps_ms + column->count, timestamps_ms, count * sizeof *timestamps_ms);
    column->count += count;
    return true;
}

static enum error_code column_create(struct time_columns *columns, uint64_t target,
                                     struct open_column **column_out, struct error *error)
{
    if (columns->column_count == UINT32_MAX)
        return error_set(error, ERROR_LIMIT, "too many time columns");
    if (2 * columns->target_count >= columns->slot_count && !slots_grow(columns))
        return out_of_memory(error);
    struct open_column *column = calloc(1, sizeof *column);
    if (column == NULL)
        return out_of_memory(error);
    column->target = target;
    column->number = columns->column_count++;
    struct open_column **slot = slot_find(columns->slots, columns->slot_count, target);
    columns->target_count += *slot == NULL;
    column->chain = *slot;
    *slot = column;
    if (columns->last == NULL)
        columns->first = column;
    else
        columns->last->next = column;
    columns->last = column;
    *column_out = column;
    return ERROR_NONE;
}

/* --- Placing ---------------------------------------------------------------------------------- */

/* Index of the first timestamp >= wanted. */
static size_t lower_bound(const struct open_column *column, int64_t wanted)
{
    size_t low = 0;
    size_t high = column->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (column->timestamps_ms[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Whether the timestamps are a range of the column, or begin with its end. *first_out is where. */
static bool column_fits(const struct open_column *column, const int64_t *timestamps_ms,
                        size_t count, size_t *first_out)
{
    size_t first =
        column->timestamps_ms[0] == timestamps_ms[0] ? 0 : lower_bound(column, timestamps_ms[0]);
    size_t overlap = column->count - first;
    if (overlap == 0)
        return false;
    if (overlap < count && first + count > TIMESTAMP_COLUMN_MAX)
        return false;
    *first_out = first;
    size_t compared = overlap < count ? overlap : count;
    return memcmp(column->timestamps_ms + first, timestamps_ms, compared * sizeof *timestamps_ms) ==
           0;
}

enum error_code time_columns_place(struct time_columns *columns, uint64_t target,
                                   const int64_t *timestamps_ms, size_t count,
                                   struct column_range *range_out, struct error *error)
{
    assert(count > 0);
    if (count > TIMESTAMP_COLUMN_MAX)
        return error_set(error, ERROR_LIMIT, "series of %zu samples", count);
    if (columns->open_timestamps >= OPEN_TIMESTAMPS_MAX) {
        enum error_code code = time_columns_flush(columns, error);
        if (code != ERROR_NONE)
            return code;
    }
    struct open_column *column = NULL;
    size_t first = 0;
    if (columns->slot_count > 0) {
        struct open_column **slot = slot_find(columns->slots, columns->slot_count, target);
        struct open_column **link = slot;
        for (size_t i = 0; i < COLUMNS_TRIED && *link != NULL; i++, link = &(*link)->chain) {
            if (!column_fits(*link, timestamps_ms, count, &first))
                continue;
            column = *link; /* to the front: the next series is likely to share it */
            *link = column->chain;
            column->chain = *slot;
            *slot = column;
            break;
        }
    }
    if (column == NULL) {
        enum error_code code = column_create(columns, target, &column, error);
        if (code != ERROR_NONE)
            return code;
        first = 0;
    }
    size_t overlap = column->count - first;
    if (overlap < count && !column_append(column, timestamps_ms + overlap, count - overlap))
        return out_of_memory(error);
    if (overlap < count)
        columns->open_timestamps += count - overlap;
    *range_out = (struct column_range){.column = column->number, .first = (uint32_t)first};
    return ERROR_NONE;
}

/* --- Flushing --------------------------------------------------------------------------------- */

static enum error_code page_write(struct time_columns *columns, struct error *error)
{
    if (columns->page.size == 0)
        return ERROR_NONE;
    if (columns->page_count == columns->page_capacity) {
        size_t capacity = columns->page_capacity == 0 ? 16 : columns->page_capacity * 2;
        struct page_reference *grown = realloc(columns->pages, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        columns->pages = grown;
        columns->page_capacity = capacity;
    }
    enum error_code code =
        page_writer_append(columns->writer, PAGE_TIME_COLUMNS, columns->page.bytes,
                           columns->page.size, &columns->pages[columns->page_count], error);
    if (code != ERROR_NONE)
        return code;
    columns->page_count++;
    byte_buffer_reset(&columns->page);
    return ERROR_NONE;
}

static enum error_code column_write(struct time_columns *columns, const struct open_column *column,
                                    struct error *error)
{
    if (column->number >= columns->location_capacity) {
        size_t capacity = columns->location_capacity == 0 ? 64 : columns->location_capacity * 2;
        struct column_location *grown = realloc(columns->locations, capacity * sizeof *grown);
        if (grown == NULL)
            return out_of_memory(error);
        columns->locations = grown;
        columns->location_capacity = capacity;
    }
    size_t offset = columns->page.size;
    timestamp_codec_encode(column->timestamps_ms, column->count, columns->scratch, &columns->page);
    if (columns->page.failed)
        return out_of_memory(error);
    columns->locations[column->number] = (struct column_location){
        .page = (uint32_t)columns->page_count,
        .offset_bytes = (uint32_t)offset,
        .size_bytes = (uint32_t)(columns->page.size - offset),
    };
    return columns->page.size >= PAGE_RAW_BYTES_TARGET ? page_write(columns, error) : ERROR_NONE;
}

enum error_code time_columns_flush(struct time_columns *columns, struct error *error)
{
    while (columns->first != NULL) {
        struct open_column *column = columns->first;
        enum error_code code = column_write(columns, column, error);
        if (code != ERROR_NONE)
            return code;
        columns->first = column->next;
        free(column->timestamps_ms);
        free(column);
    }
    columns->last = NULL;
    columns->open_timestamps = 0;
    columns->target_count = 0;
    if (columns->slot_count > 0)
        memset(columns->slots, 0, columns->slot_count * sizeof(struct open_column *));
    return ERROR_NONE;
}

enum error_code time_columns_finish(struct time_columns *columns, struct error *error)
{
    enum error_code code = time_columns_flush(columns, error);
    return code == ERROR_NONE ? page_write(columns, error) : code;
}

void time_columns_clear(struct time_columns *columns)
{
    while (columns->first != NULL) {
        struct open_column *column = columns->first;
        columns->first = column->next;
        free(column->timestamps_ms);
        free(column);
    }
    free(columns->slots);
    free(columns->locations);
    free(columns->pages);
    byte_buffer_clear(&columns->page);
    *columns = (struct time_columns){0};
}
