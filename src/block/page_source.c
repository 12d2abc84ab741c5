#include "block/page_source.h"

#include <stdio.h>
#include <stdlib.h>

struct file_source {
    struct page_source base;
    struct disk *disk;
    struct file *file;
};

static enum error_code file_source_read(struct page_source *self, uint64_t offset_bytes,
                                        uint8_t *target, size_t size_bytes, struct error *error)
{
    struct file_source *source = (struct file_source *)self;
    return disk_read_at(source->disk, source->file, offset_bytes, target, size_bytes, error);
}

static void file_source_close(struct page_source *self)
{
    struct file_source *source = (struct file_source *)self;
    if (source->file != NULL)
        disk_close(source->disk, source->file);
    free(source);
}

static const struct page_source_operations FILE_SOURCE_OPERATIONS = {
    .read = file_source_read,
    .close = file_source_close,
};

enum error_code page_source_open_file(struct disk *disk, const char *path,
                                      struct page_source **source_out, struct error *error)
{
    struct file_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "open '%s'", path);
    source->base.operations = &FILE_SOURCE_OPERATIONS;
    source->disk = disk;
    snprintf(source->base.name, sizeof source->base.name, "%s", path);

    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &source->file, error);
    if (code == ERROR_NONE) {
        code = disk_size(disk, source->file, &source->base.size_bytes, error);
        if (code != ERROR_NONE)
            error_wrap(error, "open '%s'", path);
    }
    if (code != ERROR_NONE) {
        page_source_close(&source->base);
        return code;
    }
    *source_out = &source->base;
    return ERROR_NONE;
}
