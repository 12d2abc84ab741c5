#include "chunk_files.h"

#include <stdio.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "index_format.h"

enum { LENGTH_BYTES_MAX = 5, CHUNK_BYTES_MAX = 64 * 1024 * 1024, CHECKSUM_BYTES = 4 };

void chunk_files_clear(struct chunk_files *files)
{
    tsdb_folder_close(files->folder, files->file);
    file_window_clear(&files->window);
    files->file = NULL;
}

static enum error_code corrupt(const struct chunk_files *files, uint64_t offset, const char *what,
                               struct error *error)
{
    return error_set(error, ERROR_CORRUPT, "%s at %llu: %s", files->path,
                     (unsigned long long)offset, what);
}

static enum error_code check_head(struct chunk_files *files, struct error *error)
{
    enum { MAGIC_BYTES = 4 };
    const uint8_t *bytes;
    if (file_window_get(&files->window, 0, CHUNKS_HEAD_BYTES, &bytes, error) != ERROR_NONE)
        return error_wrap(error, "%s at 0", files->path);
    if (load_big_u32(bytes) != CHUNKS_MAGIC)
        return corrupt(files, 0, "that is no file of chunks", error);
    if (bytes[MAGIC_BYTES] != CHUNKS_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "%s at %d: version %u of chunks", files->path,
                         MAGIC_BYTES, bytes[MAGIC_BYTES]);
    return ERROR_NONE;
}

static enum error_code turn_to(struct chunk_files *files, uint64_t number, struct error *error)
{
    if (files->file != NULL && files->number == number)
        return ERROR_NONE;
    tsdb_folder_close(files->folder, files->file);
    files->file = NULL;
    snprintf(files->path, sizeof files->path, "%schunks/%06llu", files->block,
             (unsigned long long)number + 1);
    enum error_code code = tsdb_folder_open(files->folder, files->path, &files->file, error);
    if (code != ERROR_NONE)
        return code;
    files->number = number;
    file_window_turn(&files->window, files->folder, files->file);
    code = check_head(files, error);
    if (code != ERROR_NONE) {
        tsdb_folder_close(files->folder, files->file);
        files->file = NULL;
    }
    return code;
}

enum error_code chunk_files_read(struct chunk_files *files, uint64_t reference,
                                 struct stored_chunk *chunk_out, struct error *error)
{
    uint64_t offset = reference & UINT32_MAX;
    const uint8_t *bytes;
    size_t size;
    enum error_code code = turn_to(files, reference >> 32, error);
    if (code != ERROR_NONE)
        return code;
    if (offset < CHUNKS_HEAD_BYTES || offset >= files->file->size_bytes)
        return corrupt(files, offset, "the file has no chunk there", error);
    code = file_window_peek(&files->window, offset, LENGTH_BYTES_MAX, &bytes, &size, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "%s at %llu", files->path, (unsigned long long)offset);
    struct byte_reader reader = byte_reader_over(bytes, size);
    uint64_t data = byte_reader_varint(&reader);
    uint64_t head = size - byte_reader_left(&reader);
    uint64_t whole = 1 /* encoding */ + data + CHECKSUM_BYTES;
    if (reader.failed || data > CHUNK_BYTES_MAX || head + whole > files->file->size_bytes - offset)
        return corrupt(files, offset, "a chunk of an impossible length", error);
    code = file_window_get(&files->window, offset + head, (size_t)whole, &bytes, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "%s at %llu", files->path, (unsigned long long)offset);
    if (crc32c(0, bytes, 1 + (size_t)data) != load_big_u32(bytes + 1 + data))
        return corrupt(files, offset, "the checksum of the chunk is wrong", error);
    files->read_bytes += head + whole;
    *chunk_out = (struct stored_chunk){bytes[0], bytes + 1, (size_t)data};
    return ERROR_NONE;
}
