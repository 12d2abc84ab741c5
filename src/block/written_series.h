/*
 * written_series - where the chunks of each series went, until the directory is written behind all
 * of them. Private to block.
 *
 * There are as many entries as chunks, so they are packed: what follows from the chunk before in
 * the same series (its column goes on, its bytes lie behind the other's) is left out. A first chunk
 * takes about fourteen bytes, one that follows five, a series sixteen.
 */
#ifndef BLOCK_WRITTEN_SERIES_H
#define BLOCK_WRITTEN_SERIES_H

#include "base/bytes.h"
#include "base/error.h"
#include "block/encoded_series.h"

/* Columns and groups by their numbers: their pages have no place in the file yet. */
struct written_chunk {
    enum chunk_kind kind;
    uint32_t column;
    uint32_t first; /* in the column */
    uint32_t count;
    uint64_t group;
    uint64_t offset; /* in the group, of the values; start timestamps are behind them */
    uint64_t values_bytes;
    uint64_t starts_bytes;
};

struct written_exemplars {
    uint64_t group;
    uint64_t offset;
    uint64_t size_bytes; /* 0: none */
};

struct written_record; /* key and entry of a series */

/* Zero-initialised is empty. */
struct written_series {
    struct byte_buffer entries;
    struct written_record *records; /* [count] */
    size_t count;
    size_t capacity;
    struct written_chunk expected; /* next of the series when nothing comes between */
};

/* A series: begin, its chunks in time order, end. Errors: OUT_OF_MEMORY. */
enum error_code written_series_begin(struct written_series *list, uint64_t key, uint32_t tenant,
                                     uint16_t slot, struct error *error);
void written_series_add_chunk(struct written_series *list, const struct written_chunk *chunk);
enum error_code written_series_end(struct written_series *list,
                                   const struct written_exemplars *exemplars, struct error *error);

/* By key. Errors: INVALID (a key twice). */
enum error_code written_series_sort(struct written_series *list, struct error *error);
void written_series_clear(struct written_series *list);

/* Its memory. */
size_t written_series_size_bytes(const struct written_series *list);

/* Reads one series back. */
struct written_cursor {
    uint64_t key;
    uint32_t tenant;
    uint16_t slot;
    struct written_exemplars exemplars; /* when there are no more chunks */
    /* Private. */
    struct byte_reader reader;
    struct written_chunk expected;
};

struct written_cursor written_series_open(const struct written_series *list, size_t place);

/* False: there are no more. */
bool written_cursor_next(struct written_cursor *cursor, struct written_chunk *chunk_out);

#endif
