/*
 * index_reader - the index of a block, versions 1 and 2: its series one after the other, each with
 * its labels and the places of its chunks.
 *
 * The symbols are held in memory, all else is read in pieces. Checksums are verified of all that is
 * read. One thread.
 */
#ifndef TSDB_INDEX_READER_H
#define TSDB_INDEX_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "tsdb/tsdb_folder.h"

struct index_reader;

/* Samples in [start_ms, end_ms]. */
struct index_chunk {
    int64_t start_ms;
    int64_t end_ms;
    uint64_t reference; /* number of its file << 32 | offset */
};

struct index_series {
    uint64_t reference; /* as tombstones name it */
    struct labels labels;
    struct index_chunk *chunks; /* [chunk_count], in any order */
    size_t chunk_count;
};

/* Errors: NOT_FOUND, CORRUPT, UNSUPPORTED, LIMIT, IO, OUT_OF_MEMORY; they name file and offset. */
enum error_code index_reader_open(struct tsdb_folder *folder, const char *path,
                                  struct index_reader **reader_out, struct error *error);
void index_reader_close(struct index_reader *reader);

/* The next series, in `arena`; *found_out false: there is no more. Errors: as before. */
enum error_code index_reader_next(struct index_reader *reader, struct arena *arena,
                                  struct index_series *series_out, bool *found_out,
                                  struct error *error);

#endif
