/* A folder with one file, which is in memory. */
#ifndef TSDB_MEMORY_FOLDER_H
#define TSDB_MEMORY_FOLDER_H

#include <string.h>

#include "tsdb/tsdb_folder.h"

struct memory_folder {
    struct tsdb_folder base;
    struct tsdb_file file;
    const uint8_t *bytes;
};

static enum error_code memory_open(struct tsdb_folder *self, const char *path,
                                   struct tsdb_file **file_out, struct error *error)
{
    (void)path, (void)error;
    *file_out = &((struct memory_folder *)self)->file;
    return ERROR_NONE;
}

static enum error_code memory_read(struct tsdb_folder *self, struct tsdb_file *file,
                                   uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                                   struct error *error)
{
    (void)error;
    if (offset_bytes > file->size_bytes || size_bytes > file->size_bytes - offset_bytes)
        __builtin_trap(); /* who reads has checked it */
    if (size_bytes > 0)
        memcpy(target, ((struct memory_folder *)self)->bytes + offset_bytes, size_bytes);
    return ERROR_NONE;
}

static void memory_close(struct tsdb_folder *self, struct tsdb_file *file)
{
    (void)self, (void)file;
}

static enum error_code memory_list(struct tsdb_folder *self, const char *path,
                                   tsdb_list_visit *visit, void *context, struct error *error)
{
    (void)self, (void)path, (void)visit, (void)context;
    return error_set(error, ERROR_NOT_FOUND, "no folder");
}

static inline void memory_folder_init(struct memory_folder *folder, const uint8_t *bytes,
                                      size_t size)
{
    static const struct tsdb_folder_operations OPERATIONS = {memory_open, memory_read, memory_close,
                                                             memory_list};
    *folder = (struct memory_folder){{&OPERATIONS, "memory"}, {size}, bytes};
}

#endif
