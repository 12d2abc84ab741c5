/*
 * directory_file - files and folders of a directory store: made whole and durable, removed with
 * the folders that become empty.
 */
#ifndef OBJECT_DIRECTORY_FILE_H
#define OBJECT_DIRECTORY_FILE_H

#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "directory_walk.h"

/* A file on its way to a key. */
struct unfinished {
    int root;
    int descriptor;
    char path[DIRECTORY_PATH_MAX + 1];
    char final_path[OBJECT_KEY_MAX + 1];
};

/* Makes missing folders. `mark` is random. Errors: INVALID (a part of the key is an object), IO,
 * NO_SPACE. */
enum error_code unfinished_open(struct unfinished *file, int root, struct text key, uint64_t mark,
                                struct error *error);

enum error_code unfinished_write(struct unfinished *file, const void *bytes, size_t size,
                                 struct error *error);

/* Durable, under its key. Errors: INVALID (there is a folder of that name), IO, NO_SPACE. */
enum error_code unfinished_finish(struct unfinished *file, struct error *error);

/* Close it; unless it is finished, remove it. */
void unfinished_close(struct unfinished *file);

/* Nothing there is success. The removal is durable. Errors: IO. */
enum error_code directory_remove(int root, const char *path, struct error *error);

#endif
