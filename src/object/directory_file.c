#include "directory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Folders may be removed, being empty, between their making and their use. */
enum { OPEN_ATTEMPTS = 16 };

/* --- Errors -------------------------------------------------------------------------------- */

static enum error_code set_file_error(struct error *error, int reason, const char *what,
                                      const char *path)
{
    if (reason == EACCES || reason == EPERM || reason == EROFS)
        return error_set(error, ERROR_DENIED,
                         "object_store.directory: this user may not write %s '%s': mend its rights",
                         what, path);
    return error_set_errno(error, reason, "%s '%s'", what, path);
}

/* --- Folders ------------------------------------------------------------------------------- */

/* The folder that `path` is in: "." or without the last segment. */
static void parent_of(const char *path, char target[DIRECTORY_PATH_MAX + 1])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        memcpy(target, ".", 2);
    else
        snprintf(target, DIRECTORY_PATH_MAX + 1, "%.*s", (int)(slash - path), path);
}

static enum error_code sync_folder(int root, const char *path, struct error *error)
{
    int descriptor = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return error_set_errno(error, errno, "folder '%s'", path);
    int status = fsync(descriptor);
    int reason = errno;
    close(descriptor);
    return status == 0 ? ERROR_NONE : error_set_errno(error, reason, "sync of folder '%s'", path);
}

/* All folders above `path`, each durable in its own. */
static enum error_code make_folders(int root, const char *path, struct error *error)
{
    char folder[DIRECTORY_PATH_MAX + 1], above[DIRECTORY_PATH_MAX + 1];
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdirat(root, folder, 0777) != 0) {
            if (errno == EEXIST)
                continue;
            return errno == ENOTDIR
                       ? error_set(error, ERROR_INVALID, "a part of '%s' is an object", path)
                       : set_file_error(error, errno, "folder", folder);
        }
        parent_of(folder, above);
        enum error_code code = sync_folder(root, above, error);
        if (code != ERROR_NONE)
            return code;
    }
    return ERROR_NONE;
}

static void remove_empty_folders(int root, const char *path)
{
    char folder[DIRECTORY_PATH_MAX + 1], above[DIRECTORY_PATH_MAX + 1];
    parent_of(path, folder);
    while (strcmp(folder, ".") != 0 && unlinkat(root, folder, AT_REMOVEDIR) == 0) {
        parent_of(folder, above);
        memcpy(folder, above, sizeof folder);
    }
}

/* --- Files --------------------------------------------------------------------------------- */

enum error_code unfinished_open(struct unfinished *file, int root, struct text key, uint64_t mark,
                                struct error *error)
{
    size_t folder_size = 0;
    for (size_t i = 0; i < key.size; i++)
        if (key.data[i] == '/')
            folder_size = i + 1;
    file->root = root;
    file->descriptor = -1;
    snprintf(file->final_path, sizeof file->final_path, "%.*s", TEXT_ARGUMENTS(key));
    snprintf(file->path, sizeof file->path, "%.*s~%016" PRIx64 "~%s", (int)folder_size, key.data,
             mark, file->final_path + folder_size);
    for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        file->descriptor = openat(root, file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0)
            return ERROR_NONE;
        if (errno == ENOTDIR)
            return error_set(error, ERROR_INVALID, "a part of '%s' is an object", file->final_path);
        if (errno != ENOENT)
            break;
        enum error_code code = make_folders(root, file->path, error);
        if (code != ERROR_NONE && code != ERROR_NOT_FOUND)
            return code;
    }
    return set_file_error(error, errno, "file", file->path);
}

enum error_code unfinished_write(struct unfinished *file, const void *bytes, size_t size,
                                 struct error *error)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(file->descriptor, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set_errno(error, errno, "file '%s'", file->path);
        at += written;
        size -= (size_t)written;
    }
    return ERROR_NONE;
}

enum error_code unfinished_finish(struct unfinished *file, struct error *error)
{
    char folder[DIRECTORY_PATH_MAX + 1];
    if (fsync(file->descriptor) != 0)
        return error_set_errno(error, errno, "sync of '%s'", file->path);
    if (renameat(file->root, file->path, file->root, file->final_path) != 0)
        return errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST
                   ? error_set(error, ERROR_INVALID, "there are objects below '%s'",
                               file->final_path)
                   : set_file_error(error, errno, "file", file->final_path);
    file->path[0] = '\0';
    parent_of(file->final_path, folder);
    enum error_code code = sync_folder(file->root, folder, error);
    return code == ERROR_NOT_FOUND ? ERROR_NONE : code; /* it was removed again, with its folder */
}

void unfinished_close(struct unfinished *file)
{
    if (file->descriptor < 0)
        return;
    close(file->descriptor);
    file->descriptor = -1;
    if (file->path[0] != '\0') {
        unlinkat(file->root, file->path, 0);
        remove_empty_folders(file->root, file->path);
    }
}

enum error_code directory_remove(int root, const char *path, struct error *error)
{
    char folder[DIRECTORY_PATH_MAX + 1];
    struct stat status;
    /* A folder is no object: a key that only others begin with is not there. */
    if (fstatat(root, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode))
        return ERROR_NONE;
    if (unlinkat(root, path, 0) != 0)
        return errno == ENOENT || errno == ENOTDIR ? ERROR_NONE
                                                   : set_file_error(error, errno, "file", path);
    parent_of(path, folder);
    enum error_code code = sync_folder(root, folder, error);
    if (code == ERROR_NOT_FOUND) /* another one emptied it and removed it */
        code = ERROR_NONE;
    remove_empty_folders(root, path);
    return code;
}
