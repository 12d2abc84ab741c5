/*
 * time_columns - store timestamps once for all series of a target that share them.
 *
 * A series' timestamps are found as a contiguous range of a column of its target, extend one at
 * its end, or begin a column of their own. Columns stay open (in memory) until they are flushed.
 */
#ifndef BLOCK_TIME_COLUMNS_H
#define BLOCK_TIME_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "codec/codec_scratch.h"
#include "page_writer.h"

struct open_column;

/* Where a flushed column lies. */
struct column_location {
    uint32_t page; /* number in `pages` */
    uint32_t offset_bytes;
    uint32_t size_bytes;
};

/* Zero-initialise with `writer` and `scratch`. */
struct time_columns {
    struct page_writer *writer;
    struct codec_scratch *scratch;
    /* Open columns by target: an open-addressed table of chains. */
    struct open_column **slots; /* [slot_count], a power of two */
    size_t slot_count;
    size_t target_count;
    /* Open columns in the order of their numbers. */
    struct open_column *first;
    struct open_column *last;
    uint32_t column_count;             /* all, open ones included */
    size_t open_timestamps;            /* in all open columns */
    struct column_location *locations; /* [column_count] when all are flushed */
    size_t location_capacity;
    struct page_reference *pages; /* [page_count] */
    size_t page_count;
    size_t page_capacity;
    struct byte_buffer page; /* columns of the page that is being filled */
};

struct column_range {
    uint32_t column;
    uint32_t first;
};

/* Place ascending timestamps, 1..TIMESTAMP_COLUMN_MAX; writes all columns when too much is open.
 * Errors: LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code time_columns_place(struct time_columns *columns, uint64_t target,
                                   const int64_t *timestamps_ms, size_t count,
                                   struct column_range *range_out, struct error *error);

/* Encode all open columns and forget their targets. Errors: LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code time_columns_flush(struct time_columns *columns, struct error *error);

/* Flush, and write the last page: locations and pages are complete. */
enum error_code time_columns_finish(struct time_columns *columns, struct error *error);
void time_columns_clear(struct time_columns *columns);

#endif
