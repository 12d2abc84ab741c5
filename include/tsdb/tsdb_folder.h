/*
 * tsdb_folder - where blocks of Prometheus are read from: a folder of files that are listed, opened
 * and read in ranges. A seam: a bucket can stand in for the disk.
 *
 * Blocking calls; one thread.
 */
#ifndef TSDB_TSDB_FOLDER_H
#define TSDB_TSDB_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct disk;
struct tsdb_folder;

enum { TSDB_PATH_MAX = 200 };

/* An open file; who implements it has its own behind this. */
struct tsdb_file {
    uint64_t size_bytes;
};

/* One name of a folder, without the path. Return false to stop. */
typedef bool tsdb_list_visit(void *context, const char *name, bool is_folder);

/* Paths are relative, with "/" between names; "" is the folder itself. */
struct tsdb_folder_operations {
    /* Errors: NOT_FOUND, IO, OUT_OF_MEMORY. */
    enum error_code (*open)(struct tsdb_folder *self, const char *path, struct tsdb_file **file_out,
                            struct error *error);
    /* All of [offset, offset + size), which is within the file. Errors: IO. */
    enum error_code (*read)(struct tsdb_folder *self, struct tsdb_file *file, uint64_t offset_bytes,
                            uint8_t *target, size_t size_bytes, struct error *error);
    void (*close)(struct tsdb_folder *self, struct tsdb_file *file);
    /* In byte order. Errors: NOT_FOUND, IO. */
    enum error_code (*list)(struct tsdb_folder *self, const char *path, tsdb_list_visit *visit,
                            void *context, struct error *error);
};

struct tsdb_folder {
    const struct tsdb_folder_operations *operations;
    const char *name; /* for messages */
};

/* The root of a disk. `disk` and `name` outlive it. */
struct tsdb_disk_folder {
    struct tsdb_folder base;
    struct disk *disk;
};
void tsdb_disk_folder_init(struct tsdb_disk_folder *folder, struct disk *disk, const char *name);

static inline enum error_code tsdb_folder_open(struct tsdb_folder *self, const char *path,
                                               struct tsdb_file **file_out, struct error *error)
{
    return self->operations->open(self, path, file_out, error);
}

static inline enum error_code tsdb_folder_list(struct tsdb_folder *self, const char *path,
                                               tsdb_list_visit *visit, void *context,
                                               struct error *error)
{
    return self->operations->list(self, path, visit, context, error);
}

/* NULL is fine. */
static inline void tsdb_folder_close(struct tsdb_folder *self, struct tsdb_file *file)
{
    if (file != NULL)
        self->operations->close(self, file);
}

/* Errors: CORRUPT (behind the end of the file), IO. */
enum error_code tsdb_folder_read(struct tsdb_folder *self, struct tsdb_file *file,
                                 uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                                 struct error *error);

/* The whole of a small file, to be freed; a NUL stands behind it. Errors: as open and read; LIMIT
 * (larger than `limit_bytes`). */
enum error_code tsdb_folder_load(struct tsdb_folder *self, const char *path, size_t limit_bytes,
                                 uint8_t **bytes_out, size_t *size_out, struct error *error);

#endif
