#include "platform/data_directory.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

enum { PATH_BYTES_MAX = 4096, STAMP_BYTES_MAX = 64 };

static const char STAMP_PREFIX[] = "gnomon ";

struct data_directory {
    int descriptor; /* of the directory */
    int lock;       /* of its file `lock` */
    uint32_t version;
};

/* --- Making ---------------------------------------------------------------------------------- */

static enum error_code sync_descriptor(int descriptor, const char *what, struct error *error)
{
    return fsync(descriptor) == 0 ? ERROR_NONE : error_set_errno(error, errno, "sync '%s'", what);
}

/* mkdir, and the name of the new directory made durable in its parent. */
static enum error_code make_one(const char *path, struct error *error)
{
    if (mkdir(path, 0755) != 0)
        return errno == EEXIST ? ERROR_NONE : error_set_errno(error, errno, "make '%s'", path);
    char parent[PATH_BYTES_MAX];
    snprintf(parent, sizeof parent, "%s/..", path);
    int descriptor = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, errno, "open '%s'", parent);
    enum error_code code = sync_descriptor(descriptor, parent, error);
    close(descriptor);
    return code;
}

static enum error_code make_with_parents(const char *path, struct error *error)
{
    char partial[PATH_BYTES_MAX];
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof partial - 4)
        return error_set(error, ERROR_INVALID, "data directory: path of %zu bytes", size);
    for (size_t end = 1; end <= size; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        memcpy(partial, path, end);
        partial[end] = '\0';
        enum error_code code = make_one(partial, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

/* --- Lock and stamp -------------------------------------------------------------------------- */

static enum error_code lock_take(struct data_directory *directory, const char *path,
                                 struct error *error)
{
    directory->lock = openat(directory->descriptor, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (directory->lock < 0)
        return error_set_errno(error, errno, "open '%s/lock'", path);
    if (flock(directory->lock, LOCK_EX | LOCK_NB) == 0)
        return ERROR_NONE;
    if (errno == EWOULDBLOCK)
        return error_set(error, ERROR_CONFLICT, "'%s' is in use by another process", path);
    return error_set_errno(error, errno, "lock '%s'", path);
}

/* Whether anything but the lock (and a stamp that was being written) is in there. */
static enum error_code holds_files(struct data_directory *directory, const char *path,
                                   bool *holds_out, struct error *error)
{
    DIR *listing = opendir(path);
    (void)directory;
    if (listing == NULL)
        return error_set_errno(error, errno, "list '%s'", path);
    *holds_out = false;
    const struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        static const char *const OURS[] = {".", "..", "lock", "format.new", "lost+found"};
        bool ours = false;
        for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++)
            ours = ours || strcmp(entry->d_name, OURS[i]) == 0;
        *holds_out = *holds_out || !ours;
    }
    closedir(listing);
    return ERROR_NONE;
}

enum error_code data_directory_set_version(struct data_directory *directory, uint32_t version,
                                           struct error *error)
{
    char stamp[STAMP_BYTES_MAX];
    int size = snprintf(stamp, sizeof stamp, "%s%u\n", STAMP_PREFIX, version);
    int file =
        openat(directory->descriptor, "format.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return error_set_errno(error, errno, "write format stamp");
    errno = ENOSPC; /* should write() be short */
    enum error_code code = write(file, stamp, (size_t)size) == size
                               ? sync_descriptor(file, "format.new", error)
                               : error_set_errno(error, errno, "write format stamp");
    close(file);
    if (code != ERROR_NONE)
        return code;
    if (renameat(directory->descriptor, "format.new", directory->descriptor, "format") != 0)
        return error_set_errno(error, errno, "rename format stamp");
    code = sync_descriptor(directory->descriptor, "data directory", error);
    if (code == ERROR_NONE)
        directory->version = version;
    return code;
}

static enum error_code stamp_check(struct data_directory *directory, const char *path,
                                   uint32_t version, struct error *error)
{
    int file = openat(directory->descriptor, "format", O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno != ENOENT)
        return error_set_errno(error, errno, "open '%s/format'", path);
    if (file < 0) {
        bool foreign = false;
        enum error_code code = holds_files(directory, path, &foreign, error);
        if (code != ERROR_NONE)
            return code;
        if (foreign)
            return error_set(error, ERROR_INVALID,
                             "'%s' holds files but no file 'format': not a data directory, or one "
                             "that has lost it; then restore it from a copy",
                             path);
        return data_directory_set_version(directory, version, error);
    }
    char stamp[STAMP_BYTES_MAX];
    ssize_t size = read(file, stamp, sizeof stamp);
    int reason = errno;
    close(file);
    if (size < 0)
        return error_set_errno(error, reason, "read '%s/format'", path);
    struct text line = text_trim((struct text){stamp, (size_t)size});
    struct text prefix = {STAMP_PREFIX, sizeof STAMP_PREFIX - 1};
    uint64_t found = 0;
    if (!text_starts_with(line, prefix) ||
        !text_to_uint64((struct text){line.data + prefix.size, line.size - prefix.size}, &found) ||
        found > UINT32_MAX)
        return error_set(error, ERROR_CORRUPT,
                         "'%s/format' is not a format stamp: restore it from a copy", path);
    if (found > version)
        return error_set(error, ERROR_UNSUPPORTED,
                         "'%s' has format %llu, this program knows up to %u: use a later version",
                         path, (unsigned long long)found, version);
    directory->version = (uint32_t)found;
    return ERROR_NONE;
}

/* --- Public ---------------------------------------------------------------------------------- */

enum error_code data_directory_open(const char *path, uint32_t version,
                                    struct data_directory **directory_out, struct error *error)
{
    enum error_code code = make_with_parents(path, error);
    if (code != ERROR_NONE)
        return code;
    struct data_directory *directory = calloc(1, sizeof *directory);
    if (directory == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "data directory");
    directory->lock = -1;
    directory->descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->descriptor < 0) {
        code = error_set_errno(error, errno, "open '%s'", path);
        goto out;
    }
    code = lock_take(directory, path, error);
    if (code != ERROR_NONE)
        goto out;
    code = stamp_check(directory, path, version, error);
    if (code != ERROR_NONE)
        goto out;
    *directory_out = directory;
    directory = NULL;
out:
    data_directory_close(directory);
    return code;
}

uint32_t data_directory_version(const struct data_directory *directory)
{
    return directory->version;
}

void data_directory_close(struct data_directory *directory)
{
    if (directory == NULL)
        return;
    if (directory->lock >= 0)
        close(directory->lock);
    if (directory->descriptor >= 0)
        close(directory->descriptor);
    free(directory);
}
