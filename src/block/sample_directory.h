/*
 * sample_directory - one page of the series directory: where the chunks of up to 256 series are.
 *
 * Byte layout: docs/formats/pages.md, "Samples". Pure functions, no I/O.
 */
#ifndef BLOCK_SAMPLE_DIRECTORY_H
#define BLOCK_SAMPLE_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "block/block_writer.h"
#include "page_format.h"

enum {
    DIRECTORY_SERIES_MAX = 256, /* of one page, in blocks */
    /* In parts, which do not live long and are read in the order of blocks, from page to page. */
    DIRECTORY_SERIES_PART = 64,
    SERIES_SAMPLES_MAX = 1 << 24,
    /* A page is closed early when it has reached the target; a series of chunks of single samples
     * may take more, but never the maximum. */
    DIRECTORY_BYTES_TARGET = 32 * 1024,
    DIRECTORY_BYTES_MAX = 4 * 1024 * 1024,
};

/* Bytes in a page. */
struct page_span {
    struct page_reference page;
    uint32_t offset_bytes;
    uint32_t size_bytes;
};

struct chunk_entry {
    enum chunk_kind kind;
    uint32_t first;                  /* index in the column of its first sample */
    uint32_t count;                  /* 1..CHUNK_SAMPLES_MAX */
    uint32_t start_timestamps_bytes; /* directly behind the values */
    struct page_span column;
    struct page_span values;
};

struct series_entry {
    uint64_t key;
    uint32_t tenant;
    uint16_t slot;
    uint32_t chunk_count;
    uint32_t sample_count;
    struct page_span exemplars; /* size 0: none */
};

/* --- Writing ---------------------------------------------------------------------------------- */

/* What the chunks of a page refer to; the writer's chunks repeat most of it. */
struct directory_origin {
    uint32_t tenant;
    uint16_t slot;
};

/* A page that is being filled. Zero-initialise. */
struct directory_page_writer {
    struct byte_buffer series;
    size_t series_count;
    uint64_t first_key;
    uint64_t previous_key;
    struct chunk_entry previous;
    struct page_reference *pages; /* [page_count], owned */
    size_t page_count;
    size_t page_capacity;
    struct directory_origin *origins; /* [DIRECTORY_SERIES_MAX], owned */
    size_t origin_count;
};

/* Append a series with a key above the one before. False: out of memory. */
bool directory_page_add(struct directory_page_writer *page, const struct series_entry *series,
                        const struct chunk_entry *chunks);

/* The page's bytes into `target`, and begin the next one. False: out of memory. */
bool directory_page_finish(struct directory_page_writer *page, struct byte_buffer *target);
void directory_page_clear(struct directory_page_writer *page);

/* --- Reading ---------------------------------------------------------------------------------- */

/*
 * A page as the cache keeps it: what its chunks refer to as arrays, its series as they were, and
 * where each eighth of them begins, so that one is found without reading all before it. Made once
 * from the bytes of the file; the layout is this process's own.
 * `memory_out` is from malloc, `size_out` bytes. Errors: CORRUPT, OUT_OF_MEMORY.
 */
enum error_code directory_page_prepare(const uint8_t *bytes, size_t size, uint8_t **memory_out,
                                       size_t *size_out, struct error *error);

/* A walk through the series of a prepared page. Zero-initialise; open; next; clear at the end. */
struct directory_cursor {
    const struct page_reference *pages; /* [page_count] */
    size_t page_count;
    const struct directory_origin *origins; /* [origin_count] */
    size_t origin_count;
    const struct directory_stop *stops; /* [stop_count] */
    size_t stop_count;
    const uint8_t *bytes; /* [size], of the series */
    size_t size;
    struct byte_reader reader;
    uint64_t series_count;
    uint64_t series_left;
    uint64_t next_key_minimum;
    struct chunk_entry previous;

    struct series_entry series; /* after next */
    struct chunk_entry *chunks; /* [series.chunk_count], owned */
    size_t chunk_capacity;
};

/* `prepared` stays until the walk is over. */
void directory_cursor_open(struct directory_cursor *cursor, const uint8_t *prepared);

/* The next series with a key >= `key`; *found_out is false behind the last. Errors: CORRUPT,
 * OUT_OF_MEMORY. */
enum error_code directory_cursor_next(struct directory_cursor *cursor, uint64_t key,
                                      bool *found_out, struct error *error);
void directory_cursor_clear(struct directory_cursor *cursor);

#endif
