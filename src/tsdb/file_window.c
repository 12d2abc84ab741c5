#include "file_window.h"

#include <stdlib.h>

enum { WINDOW_BYTES = 1024 * 1024 };

void file_window_clear(struct file_window *window)
{
    free(window->bytes);
    *window = (struct file_window){0};
}

void file_window_turn(struct file_window *window, struct tsdb_folder *folder,
                      struct tsdb_file *file)
{
    window->folder = folder;
    window->file = file;
    window->size = 0;
    window->offset_bytes = 0;
}

static bool holds(const struct file_window *window, uint64_t offset_bytes, size_t size)
{
    return offset_bytes >= window->offset_bytes &&
           offset_bytes - window->offset_bytes <= window->size &&
           size <= window->size - (size_t)(offset_bytes - window->offset_bytes);
}

static enum error_code fill(struct file_window *window, uint64_t offset_bytes, size_t size,
                            struct error *error)
{
    uint64_t left = window->file->size_bytes - offset_bytes;
    size_t wanted = size < WINDOW_BYTES ? WINDOW_BYTES : size;
    if (wanted > left)
        wanted = (size_t)left;
    if (wanted > window->capacity) {
        uint8_t *bytes = realloc(window->bytes, wanted);
        if (bytes == NULL)
            return error_set(error, ERROR_OUT_OF_MEMORY, "%zu bytes of a file", wanted);
        window->bytes = bytes;
        window->capacity = wanted;
    }
    window->size = 0;
    enum error_code code =
        tsdb_folder_read(window->folder, window->file, offset_bytes, window->bytes, wanted, error);
    if (code == ERROR_NONE) {
        window->offset_bytes = offset_bytes;
        window->size = wanted;
    }
    return code;
}

enum error_code file_window_get(struct file_window *window, uint64_t offset_bytes, size_t size,
                                const uint8_t **bytes_out, struct error *error)
{
    uint64_t file_bytes = window->file->size_bytes;
    if (offset_bytes > file_bytes || size > file_bytes - offset_bytes)
        return error_set(error, ERROR_CORRUPT, "%zu bytes where the file of %llu ends", size,
                         (unsigned long long)file_bytes);
    if (!holds(window, offset_bytes, size)) {
        enum error_code code = fill(window, offset_bytes, size, error);
        if (code != ERROR_NONE)
            return code;
    }
    *bytes_out = window->bytes + (offset_bytes - window->offset_bytes);
    return ERROR_NONE;
}

enum error_code file_window_peek(struct file_window *window, uint64_t offset_bytes, size_t size_max,
                                 const uint8_t **bytes_out, size_t *size_out, struct error *error)
{
    uint64_t file_bytes = window->file->size_bytes;
    uint64_t left = offset_bytes < file_bytes ? file_bytes - offset_bytes : 0;
    size_t size = left < size_max ? (size_t)left : size_max;
    enum error_code code = file_window_get(window, offset_bytes, size, bytes_out, error);
    if (code == ERROR_NONE)
        *size_out = size;
    return code;
}
