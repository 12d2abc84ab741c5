/*
 * index_writer - the index of a block, version 2, made of series in any order.
 *
 * Holds of each series the numbers of its labels and the places of its chunks until the end, about
 * 20 bytes and two for each label, and each pair of name and value once. One thread.
 */
#ifndef TSDB_INDEX_WRITER_H
#define TSDB_INDEX_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "index_reader.h"
#include "model/labels.h"
#include "platform/disk.h"

struct index_writer;

/* NULL when memory is out. */
struct index_writer *index_writer_create(void);
void index_writer_destroy(struct index_writer *writer);

/* A series with its chunks, ascending. Errors: OUT_OF_MEMORY. */
enum error_code index_writer_add(struct index_writer *writer, struct labels labels,
                                 const struct index_chunk *chunks, size_t chunk_count,
                                 struct error *error);

/* Write the file. Errors: INVALID (a series was added twice), LIMIT (larger than the format's
 * references reach), NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code index_writer_finish(struct index_writer *writer, struct disk *disk,
                                    const char *path, struct error *error);

#endif
