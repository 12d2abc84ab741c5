/*
 * file_window - ranges of a file that are mostly read one after the other.
 */
#ifndef TSDB_FILE_WINDOW_H
#define TSDB_FILE_WINDOW_H

#include "tsdb/tsdb_folder.h"

/* Start with zeroes but for folder and file, which outlive it. */
struct file_window {
    struct tsdb_folder *folder;
    struct tsdb_file *file;
    uint8_t *bytes; /* [capacity], owned; [size] of the file at offset_bytes */
    size_t capacity;
    size_t size;
    uint64_t offset_bytes;
};

void file_window_clear(struct file_window *window);

/* Another file in its place, the memory kept. */
void file_window_turn(struct file_window *window, struct tsdb_folder *folder,
                      struct tsdb_file *file);

/* `size` bytes at `offset_bytes`, which stay until the next call. Errors: CORRUPT (behind the end
 * of the file), IO, OUT_OF_MEMORY. */
enum error_code file_window_get(struct file_window *window, uint64_t offset_bytes, size_t size,
                                const uint8_t **bytes_out, struct error *error);

/* The same, but of fewer bytes where the file ends. */
enum error_code file_window_peek(struct file_window *window, uint64_t offset_bytes, size_t size_max,
                                 const uint8_t **bytes_out, size_t *size_out, struct error *error);

#endif
