#include "disk_system.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- Helpers ------------------------------------------------------------------------------- */

static int root_of(struct disk *self)
{
    return ((struct disk_system *)self)->root;
}

/* Relative paths below the root only: no way out by "..", nothing absolute. */
static enum error_code path_check(const char *path, struct error *error)
{
    size_t size = strlen(path);
    if (size > DISK_PATH_MAX)
        return error_set(error, ERROR_INVALID, "path of %zu bytes, at most %d", size,
                         DISK_PATH_MAX);
    assert(path[0] != '/');
    return ERROR_NONE;
}

static const char *path_or_root(const char *path)
{
    return path[0] == '\0' ? "." : path;
}

/* --- Files --------------------------------------------------------------------------------- */

static int open_flags(enum disk_open_mode mode)
{
    switch (mode) {
    case DISK_OPEN_READ:
        return O_RDONLY;
    case DISK_OPEN_READ_WRITE:
        return O_RDWR;
    case DISK_OPEN_CREATE:
        return O_RDWR | O_CREAT | O_EXCL;
    case DISK_OPEN_REPLACE:
        return O_RDWR | O_CREAT | O_TRUNC;
    case DISK_OPEN_DIRECT:
        return O_RDWR | O_DIRECT;
    }
    abort();
}

static enum error_code blocking_open(struct disk *self, const char *path, enum disk_open_mode mode,
                                     struct file **file_out, struct error *error)
{
    enum error_code code = path_check(path, error);
    if (code != ERROR_NONE)
        return code;
    struct file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "open '%s'", path);
    int flags = open_flags(mode) | O_CLOEXEC;
    file->descriptor = openat(root_of(self), path, flags, 0644);
    /* tmpfs and some overlays know no O_DIRECT. */
    if (file->descriptor < 0 && errno == EINVAL && mode == DISK_OPEN_DIRECT)
        file->descriptor = openat(root_of(self), path, flags & ~O_DIRECT, 0644);
    if (file->descriptor < 0) {
        int reason = errno;
        free(file);
        return error_set_errno(error, reason, "open '%s'", path);
    }
    *file_out = file;
    return ERROR_NONE;
}

static void blocking_close(struct disk *self, struct file *file)
{
    (void)self;
    if (file == NULL)
        return;
    close(file->descriptor); /* what had to be durable was synced */
    free(file);
}

static enum error_code blocking_size(struct disk *self, struct file *file, uint64_t *size_bytes_out,
                                     struct error *error)
{
    (void)self;
    struct stat status;
    if (fstat(file->descriptor, &status) != 0)
        return error_set_errno(error, errno, "size of file");
    *size_bytes_out = (uint64_t)status.st_size;
    return ERROR_NONE;
}

static enum error_code blocking_read_at(struct disk *self, struct file *file, uint64_t offset_bytes,
                                        uint8_t *target, size_t size_bytes, struct error *error)
{
    (void)self;
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t got =
            pread(file->descriptor, target + done, size_bytes - done, (off_t)(offset_bytes + done));
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return error_set_errno(error, errno, "read %zu bytes at %llu", size_bytes,
                                   (unsigned long long)offset_bytes);
        if (got == 0)
            return error_set(error, ERROR_CORRUPT, "file ends at %llu, within %zu bytes at %llu",
                             (unsigned long long)(offset_bytes + done), size_bytes,
                             (unsigned long long)offset_bytes);
        done += (size_t)got;
    }
    return ERROR_NONE;
}

static enum error_code blocking_write_at(struct disk *self, struct file *file,
                                         uint64_t offset_bytes, const uint8_t *bytes,
                                         size_t size_bytes, struct error *error)
{
    (void)self;
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t written =
            pwrite(file->descriptor, bytes + done, size_bytes - done, (off_t)(offset_bytes + done));
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (written < 0)
            return error_set_errno(error, errno, "write %zu bytes at %llu", size_bytes,
                                   (unsigned long long)offset_bytes);
        if (written == 0)
            return error_set(error, ERROR_IO, "write at %llu took nothing",
                             (unsigned long long)offset_bytes);
        done += (size_t)written;
    }
    return ERROR_NONE;
}

static enum error_code blocking_sync(struct disk *self, struct file *file, struct error *error)
{
    (void)self;
    if (fdatasync(file->descriptor) != 0)
        return error_set_errno(error, errno, "sync");
    return ERROR_NONE;
}

static enum error_code blocking_resize(struct disk *self, struct file *file, uint64_t size_bytes,
                                       struct error *error)
{
    uint64_t size_before = 0;
    enum error_code code = blocking_size(self, file, &size_before, error);
    if (code != ERROR_NONE)
        return code;
    if (size_bytes < size_before) {
        if (ftruncate(file->descriptor, (off_t)size_bytes) != 0)
            return error_set_errno(error, errno, "cut file to %llu bytes",
                                   (unsigned long long)size_bytes);
        return ERROR_NONE;
    }
    if (size_bytes == size_before)
        return ERROR_NONE;
    int reason;
    do
        reason = posix_fallocate(file->descriptor, (off_t)size_before,
                                 (off_t)(size_bytes - size_before));
    while (reason == EINTR);
    if (reason != 0) {
        /* Half an extension helps nobody; an error of this can only leave more zeroes. */
        int ignored = ftruncate(file->descriptor, (off_t)size_before);
        (void)ignored;
        return error_set_errno(error, reason, "extend file to %llu bytes",
                               (unsigned long long)size_bytes);
    }
    return ERROR_NONE;
}

/* --- Names --------------------------------------------------------------------------------- */

static enum error_code blocking_rename(struct disk *self, const char *from, const char *to,
                                       struct error *error)
{
    enum error_code code = path_check(to, error);
    if (code != ERROR_NONE)
        return code;
    if (renameat(root_of(self), from, root_of(self), to) != 0)
        return error_set_errno(error, errno, "rename '%s' to '%s'", from, to);
    return ERROR_NONE;
}

static enum error_code blocking_link(struct disk *self, const char *from, const char *to,
                                     struct error *error)
{
    enum error_code code = path_check(to, error);
    if (code != ERROR_NONE)
        return code;
    if (linkat(root_of(self), from, root_of(self), to, 0) != 0)
        return error_set_errno(error, errno, "link '%s' to '%s'", from, to);
    return ERROR_NONE;
}

static enum error_code blocking_remove(struct disk *self, const char *path, struct error *error)
{
    if (unlinkat(root_of(self), path, 0) != 0)
        return error_set_errno(error, errno, "remove '%s'", path);
    return ERROR_NONE;
}

static enum error_code blocking_sync_directory(struct disk *self, const char *path,
                                               struct error *error)
{
    int descriptor = openat(root_of(self), path_or_root(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, errno, "open directory '%s'", path);
    int result = fsync(descriptor);
    int reason = errno;
    close(descriptor);
    if (result != 0)
        return error_set_errno(error, reason, "sync directory '%s'", path);
    return ERROR_NONE;
}

static enum error_code blocking_make_directory(struct disk *self, const char *path,
                                               struct error *error)
{
    enum error_code code = path_check(path, error);
    if (code != ERROR_NONE)
        return code;
    char partial[DISK_PATH_MAX + 1];
    char parent[DISK_PATH_MAX + 1] = "";
    size_t size = strlen(path);
    for (size_t end = 1; end <= size; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(partial, path, end);
        partial[end] = '\0';
        if (mkdirat(root_of(self), partial, 0755) == 0) {
            code = blocking_sync_directory(self, parent, error);
            if (code != ERROR_NONE)
                return code;
        } else if (errno != EEXIST) {
            return error_set_errno(error, errno, "make directory '%s'", partial);
        }
        memcpy(parent, partial, end + 1);
    }
    struct stat status;
    if (fstatat(root_of(self), path_or_root(path), &status, 0) != 0)
        return error_set_errno(error, errno, "make directory '%s'", path);
    if (!S_ISDIR(status.st_mode))
        return error_set(error, ERROR_EXISTS, "make directory '%s': a file is there", path);
    return ERROR_NONE;
}

static enum error_code blocking_remove_directory(struct disk *self, const char *path,
                                                 struct error *error)
{
    if (unlinkat(root_of(self), path, AT_REMOVEDIR) != 0)
        return error_set_errno(error, errno, "remove directory '%s'", path);
    return ERROR_NONE;
}

static int name_visible(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int name_compare(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static enum error_code blocking_list(struct disk *self, const char *path, disk_list_visit *visit,
                                     void *context, struct error *error)
{
    struct dirent **names = NULL;
    int count = scandirat(root_of(self), path_or_root(path), &names, name_visible, name_compare);
    if (count < 0)
        return error_set_errno(error, errno, "list '%s'", path);
    bool more = true;
    for (int i = 0; i < count; i++) {
        if (more) {
            char full[DISK_PATH_MAX + 300];
            struct stat status;
            snprintf(full, sizeof full, "%s/%s", path_or_root(path), names[i]->d_name);
            /* A name that went away meanwhile is not listed. */
            if (fstatat(root_of(self), full, &status, AT_SYMLINK_NOFOLLOW) == 0)
                more = visit(context, names[i]->d_name, S_ISDIR(status.st_mode));
        }
        free(names[i]);
    }
    free(names);
    return ERROR_NONE;
}

static enum error_code blocking_free_bytes(struct disk *self, uint64_t *free_bytes_out,
                                           uint64_t *total_bytes_out, struct error *error)
{
    struct statvfs status;
    if (fstatvfs(root_of(self), &status) != 0)
        return error_set_errno(error, errno, "free space");
    *free_bytes_out = (uint64_t)status.f_bavail * status.f_frsize;
    *total_bytes_out = (uint64_t)status.f_blocks * status.f_frsize;
    return ERROR_NONE;
}

const struct disk_operations DISK_SYSTEM_OPERATIONS = {
    .open = blocking_open,
    .close = blocking_close,
    .size = blocking_size,
    .read_at = blocking_read_at,
    .write_at = blocking_write_at,
    .sync = blocking_sync,
    .resize = blocking_resize,
    .rename = blocking_rename,
    .link = blocking_link,
    .remove = blocking_remove,
    .make_directory = blocking_make_directory,
    .remove_directory = blocking_remove_directory,
    .sync_directory = blocking_sync_directory,
    .list = blocking_list,
    .free_bytes = blocking_free_bytes,
    .write = disk_system_write,
    .read = disk_system_read,
};
