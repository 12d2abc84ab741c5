#include <stdio.h>

#include "transfer_private.h"

enum { SYNC_EVERY_BYTES = 32 * 1024 * 1024 };

/* --- Names ------------------------------------------------------------------------------------ */

/* kind-index-number, then which file it is: size and hash. */
static bool make_path(struct fetch_file *self)
{
    const struct shard_file *wanted = self->wanted;
    int size = snprintf(self->path, sizeof self->path, "%s/%u-%llx-%x.%llx.%016llx.%016llx",
                        self->directory, (unsigned)wanted->kind, (unsigned long long)wanted->index,
                        wanted->number, (unsigned long long)self->identity.size_bytes,
                        (unsigned long long)self->identity.hash.low,
                        (unsigned long long)self->identity.hash.high);
    return size > 0 && (size_t)size < sizeof self->path;
}

static bool find_visit(void *context, const char *name, bool is_directory)
{
    struct fetch_file *self = context;
    const struct shard_file *wanted = self->wanted;
    unsigned kind, number;
    unsigned long long index, size, low, high;
    if (is_directory || sscanf(name, "%u-%llx-%x.%llx.%16llx.%16llx", &kind, &index, &number, &size,
                               &low, &high) != 6)
        return true;
    if (kind != (unsigned)wanted->kind || index != wanted->index || number != wanted->number ||
        size == 0)
        return true;
    self->is_known = true;
    self->identity = (struct file_identity){size, {low, high}};
    return false;
}

/* --- Jobs ------------------------------------------------------------------------------------- */

enum error_code fetch_file_find(struct fetch_file *self, struct error *error)
{
    uint64_t size_bytes;
    enum error_code code = disk_list(self->disk, self->directory, find_visit, self, error);
    if (code != ERROR_NONE || !self->is_known)
        return code;
    if (!make_path(self))
        return error_set(error, ERROR_LIMIT, "path in '%s'", self->directory);
    code = disk_open(self->disk, self->path, DISK_OPEN_READ_WRITE, &self->file, error);
    if (code == ERROR_NONE)
        code = disk_size(self->disk, self->file, &size_bytes, error);
    if (code != ERROR_NONE)
        return code;
    /* Whether all of it is what came, the shard will see. */
    self->offset_bytes =
        size_bytes < self->identity.size_bytes ? size_bytes : self->identity.size_bytes;
    return ERROR_NONE;
}

enum error_code fetch_file_append(struct fetch_file *self, const uint8_t *bytes, size_t size,
                                  struct error *error)
{
    enum error_code code = ERROR_NONE;
    if (self->file == NULL) {
        if (!make_path(self))
            return error_set(error, ERROR_LIMIT, "path in '%s'", self->directory);
        code = disk_open(self->disk, self->path, DISK_OPEN_REPLACE, &self->file, error);
        if (code == ERROR_NONE)
            code = disk_sync_directory(self->disk, self->directory, error);
    }
    if (code == ERROR_NONE)
        code = disk_write_at(self->disk, self->file, self->offset_bytes, bytes, size, error);
    self->unsynced_bytes += size;
    if (code == ERROR_NONE && self->unsynced_bytes >= SYNC_EVERY_BYTES) {
        self->unsynced_bytes = 0;
        code = disk_sync(self->disk, self->file, error);
    }
    if (code == ERROR_NONE)
        self->offset_bytes += size;
    return code;
}

enum error_code fetch_file_finish(struct fetch_file *self, struct error *error)
{
    enum error_code code = disk_sync(self->disk, self->file, error);
    fetch_file_close(self);
    return code == ERROR_NONE ? disk_sync_directory(self->disk, self->directory, error) : code;
}

void fetch_file_drop(struct fetch_file *self)
{
    struct error ignored; /* found again the next time, and dropped again */
    bool exists = self->file != NULL;
    fetch_file_close(self);
    if (exists)
        (void)disk_remove(self->disk, self->path, &ignored);
    self->is_known = false;
    self->offset_bytes = 0;
}

void fetch_file_close(struct fetch_file *self)
{
    if (self->file != NULL)
        disk_close(self->disk, self->file);
    self->file = NULL;
}
