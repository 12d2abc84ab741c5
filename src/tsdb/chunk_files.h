/*
 * chunk_files - the chunks of a block (tsdb/docs/format/chunks.md): files of up to 512 MiB that an
 * index refers into.
 *
 * One file is open at a time and read in large pieces, as chunks are asked for about in their
 * order. Checksums are verified. One thread.
 */
#ifndef TSDB_CHUNK_FILES_H
#define TSDB_CHUNK_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "file_window.h"
#include "tsdb/tsdb_folder.h"

/* Start with zeroes but for `folder` and `block`. */
struct chunk_files {
    struct tsdb_folder *folder;
    const char *block; /* its path; "" or with a slash at its end */
    struct tsdb_file *file;
    uint64_t number; /* of the open file, from 0 */
    char path[TSDB_PATH_MAX + 1];
    struct file_window window;
    uint64_t read_bytes; /* of all chunks so far */
};

void chunk_files_clear(struct chunk_files *files);

struct stored_chunk {
    unsigned encoding;
    const uint8_t *bytes; /* [size], until the next chunk */
    size_t size;
};

/* Errors: NOT_FOUND (the file), CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY; they name file and offset.
 */
enum error_code chunk_files_read(struct chunk_files *files, uint64_t reference,
                                 struct stored_chunk *chunk_out, struct error *error);

#endif
