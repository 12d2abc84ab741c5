/*
 * stored_file - small files of the data directory that are there as a whole or not at all.
 *
 * Blocking; any thread.
 */
#ifndef SERVER_STORED_FILE_H
#define SERVER_STORED_FILE_H

#include <stddef.h>

#include "base/bytes.h"
#include "base/error.h"

enum { STORED_FILE_BYTES_MAX = 1 << 20, STORED_PATH_BYTES_MAX = 4096 };

/* Replace `directory`/`name`; durable when it returns. Errors: INVALID (path too long), IO,
 * NO_SPACE; they name the file. */
enum error_code stored_file_write(const char *directory, const char *name, const void *bytes,
                                  size_t size_bytes, struct error *error);

/* Append all of it to `bytes`. Errors: NOT_FOUND, LIMIT, IO, OUT_OF_MEMORY; they name the file. */
enum error_code stored_file_read(const char *directory, const char *name, struct byte_buffer *bytes,
                                 struct error *error);

#endif
