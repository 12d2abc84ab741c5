#include "tsdb/tsdb_folder.h"

#include <stdlib.h>

#include "platform/disk.h"

/* --- On a disk --------------------------------------------------------------------------------
 */

struct disk_file {
    struct tsdb_file base;
    struct file *file;
};

static struct disk *disk_of(struct tsdb_folder *self)
{
    return ((struct tsdb_disk_folder *)self)->disk;
}

static enum error_code disk_folder_open(struct tsdb_folder *self, const char *path,
                                        struct tsdb_file **file_out, struct error *error)
{
    struct disk *disk = disk_of(self);
    struct disk_file *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "open '%s'", path);
    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &opened->file, error);
    if (code == ERROR_NONE) {
        code = disk_size(disk, opened->file, &opened->base.size_bytes, error);
        if (code != ERROR_NONE)
            disk_close(disk, opened->file);
    }
    if (code != ERROR_NONE) {
        free(opened);
        return code;
    }
    *file_out = &opened->base;
    return ERROR_NONE;
}

static enum error_code disk_folder_read(struct tsdb_folder *self, struct tsdb_file *file,
                                        uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                                        struct error *error)
{
    return disk_read_at(disk_of(self), ((struct disk_file *)file)->file, offset_bytes, target,
                        size_bytes, error);
}

static void disk_folder_close(struct tsdb_folder *self, struct tsdb_file *file)
{
    disk_close(disk_of(self), ((struct disk_file *)file)->file);
    free(file);
}

static enum error_code disk_folder_list(struct tsdb_folder *self, const char *path,
                                        tsdb_list_visit *visit, void *context, struct error *error)
{
    return disk_list(disk_of(self), path, visit, context, error);
}

void tsdb_disk_folder_init(struct tsdb_disk_folder *folder, struct disk *disk, const char *name)
{
    static const struct tsdb_folder_operations OPERATIONS = {
        .open = disk_folder_open,
        .read = disk_folder_read,
        .close = disk_folder_close,
        .list = disk_folder_list,
    };
    *folder = (struct tsdb_disk_folder){{&OPERATIONS, name}, disk};
}

/* --- Any folder -------------------------------------------------------------------------------
 */

enum error_code tsdb_folder_read(struct tsdb_folder *self, struct tsdb_file *file,
                                 uint64_t offset_bytes, uint8_t *target, size_t size_bytes,
                                 struct error *error)
{
    if (offset_bytes > file->size_bytes || size_bytes > file->size_bytes - offset_bytes)
        return error_set(error, ERROR_CORRUPT, "%zu bytes at %llu of a file of %llu", size_bytes,
                         (unsigned long long)offset_bytes, (unsigned long long)file->size_bytes);
    return self->operations->read(self, file, offset_bytes, target, size_bytes, error);
}

enum error_code tsdb_folder_load(struct tsdb_folder *self, const char *path, size_t limit_bytes,
                                 uint8_t **bytes_out, size_t *size_out, struct error *error)
{
    struct tsdb_file *file = NULL;
    uint8_t *bytes = NULL;
    enum error_code code = tsdb_folder_open(self, path, &file, error);
    if (code == ERROR_NONE && file->size_bytes > limit_bytes)
        code = error_set(error, ERROR_LIMIT, "'%s' has %llu bytes, more than %zu", path,
                         (unsigned long long)file->size_bytes, limit_bytes);
    if (code == ERROR_NONE && (bytes = malloc((size_t)file->size_bytes + 1)) == NULL)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "read '%s'", path);
    if (code == ERROR_NONE)
        code = tsdb_folder_read(self, file, 0, bytes, (size_t)file->size_bytes, error);
    if (code == ERROR_NONE) {
        bytes[file->size_bytes] = '\0';
        *bytes_out = bytes;
        *size_out = (size_t)file->size_bytes;
        bytes = NULL;
    }
    free(bytes);
    tsdb_folder_close(self, file);
    return code;
}
