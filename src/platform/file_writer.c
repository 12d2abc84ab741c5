#include "platform/file_writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"

struct file_writer {
    struct disk *disk;
    struct file *file;
    enum file_writer_checksum checksum;
    uint32_t crc;
    uint64_t written_bytes; /* without the buffer */
    size_t buffered_bytes;
    char path[DISK_PATH_MAX + 1];
    char partial[DISK_PATH_MAX + 1];
    uint8_t buffer[FILE_WRITER_BUFFER_BYTES];
};

/* "a/b/c" -> "a/b", "c" -> "". */
static void parent_of(const char *path, char *parent)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);
    memcpy(parent, path, size);
    parent[size] = '\0';
}

enum error_code file_writer_open(struct disk *disk, const char *path,
                                 enum file_writer_checksum checksum,
                                 struct file_writer **writer_out, struct error *error)
{
    struct file_writer *writer = malloc(sizeof *writer);
    if (writer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write '%s'", path);
    writer->disk = disk;
    writer->file = NULL;
    writer->checksum = checksum;
    writer->crc = 0;
    writer->written_bytes = 0;
    writer->buffered_bytes = 0;
    int size = snprintf(writer->partial, sizeof writer->partial, "%s.partial", path);
    enum error_code code;
    if (size < 0 || (size_t)size >= sizeof writer->partial) {
        code = error_set(error, ERROR_INVALID, "write '%s': path too long", path);
    } else {
        memcpy(writer->path, path, strlen(path) + 1);
        code = disk_open(disk, writer->partial, DISK_OPEN_REPLACE, &writer->file, error);
    }
    if (code != ERROR_NONE) {
        free(writer);
        return code;
    }
    *writer_out = writer;
    return ERROR_NONE;
}

static enum error_code writer_flush(struct file_writer *writer, struct error *error)
{
    if (writer->buffered_bytes == 0)
        return ERROR_NONE;
    enum error_code code = disk_write_at(writer->disk, writer->file, writer->written_bytes,
                                         writer->buffer, writer->buffered_bytes, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "write '%s'", writer->path);
    writer->written_bytes += writer->buffered_bytes;
    writer->buffered_bytes = 0;
    return ERROR_NONE;
}

enum error_code file_writer_append(struct file_writer *writer, const void *bytes, size_t size,
                                   struct error *error)
{
    const uint8_t *source = bytes;
    if (writer->checksum == FILE_WRITER_CRC32C)
        writer->crc = crc32c(writer->crc, source, size);
    while (size > 0) {
        size_t room = sizeof writer->buffer - writer->buffered_bytes;
        size_t part = size < room ? size : room;
        memcpy(writer->buffer + writer->buffered_bytes, source, part);
        writer->buffered_bytes += part;
        source += part;
        size -= part;
        if (writer->buffered_bytes == sizeof writer->buffer) {
            enum error_code code = writer_flush(writer, error);
            if (code != ERROR_NONE)
                return code;
        }
    }
    return ERROR_NONE;
}

uint64_t file_writer_position(const struct file_writer *writer)
{
    return writer->written_bytes + writer->buffered_bytes;
}

uint32_t file_writer_crc32c(const struct file_writer *writer)
{
    assert(writer->checksum == FILE_WRITER_CRC32C);
    return writer->crc;
}

enum error_code file_writer_finish(struct file_writer *writer, struct error *error)
{
    enum error_code code = writer_flush(writer, error);
    if (code == ERROR_NONE)
        code = disk_sync(writer->disk, writer->file, error);
    if (code == ERROR_NONE)
        code = disk_rename(writer->disk, writer->partial, writer->path, error);
    if (code != ERROR_NONE) {
        file_writer_abandon(writer);
        return code;
    }
    char parent[DISK_PATH_MAX + 1];
    parent_of(writer->path, parent);
    code = disk_sync_directory(writer->disk, parent, error);
    disk_close(writer->disk, writer->file);
    free(writer);
    return code;
}

void file_writer_abandon(struct file_writer *writer)
{
    if (writer == NULL)
        return;
    disk_close(writer->disk, writer->file);
    /* What cannot be removed now is replaced by the next attempt. */
    struct error ignored;
    (void)disk_remove(writer->disk, writer->partial, &ignored);
    free(writer);
}
