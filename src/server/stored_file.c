#include "stored_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static enum error_code path_of(const char *directory, const char *name, const char *suffix,
                               char path[STORED_PATH_BYTES_MAX], struct error *error)
{
    int size = snprintf(path, STORED_PATH_BYTES_MAX, "%s/%s%s", directory, name, suffix);
    return size >= 0 && size < STORED_PATH_BYTES_MAX
               ? ERROR_NONE
               : error_set(error, ERROR_INVALID, "the path of the data directory is too long");
}

static enum error_code sync_directory(const char *directory, struct error *error)
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && fsync(folder) == 0) {
        close(folder);
        return ERROR_NONE;
    }
    int problem = errno;
    if (folder >= 0)
        close(folder);
    return error_set_errno(error, problem, "sync '%s'", directory);
}

enum error_code stored_file_write(const char *directory, const char *name, const void *bytes,
                                  size_t size_bytes, struct error *error)
{
    char path[STORED_PATH_BYTES_MAX], temporary[STORED_PATH_BYTES_MAX];
    enum error_code code = path_of(directory, name, "", path, error);
    if (code == ERROR_NONE)
        code = path_of(directory, name, ".new", temporary, error);
    if (code != ERROR_NONE)
        return code;
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return error_set_errno(error, errno, "create '%s'", temporary);
    errno = 0;
    bool failed = fwrite(bytes, 1, size_bytes, file) != size_bytes || fflush(file) != 0 ||
                  fsync(fileno(file)) != 0;
    int problem = errno;
    if (fclose(file) != 0 || failed)
        return error_set_errno(error, problem == 0 ? EIO : problem, "write '%s'", temporary);
    if (rename(temporary, path) != 0)
        return error_set_errno(error, errno, "rename '%s'", temporary);
    return sync_directory(directory, error);
}

enum error_code stored_file_read(const char *directory, const char *name, struct byte_buffer *bytes,
                                 struct error *error)
{
    char path[STORED_PATH_BYTES_MAX];
    enum error_code code = path_of(directory, name, "", path, error);
    if (code != ERROR_NONE)
        return code;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set_errno(error, errno, "open '%s'", path);
    uint8_t piece[4096];
    size_t got;
    size_t before = bytes->size;
    errno = 0;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0 &&
           bytes->size - before <= STORED_FILE_BYTES_MAX)
        byte_buffer_append(bytes, piece, got);
    if (ferror(file))
        code = error_set_errno(error, errno == 0 ? EIO : errno, "read '%s'", path);
    else if (bytes->size - before > STORED_FILE_BYTES_MAX)
        code = error_set(error, ERROR_LIMIT, "'%s' is too large", path);
    else if (bytes->failed)
        code = error_set(error, ERROR_OUT_OF_MEMORY, "'%s'", path);
    fclose(file);
    return code;
}
