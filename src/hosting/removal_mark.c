#include "removal_mark.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "platform/disk.h"
#include "platform/file_writer.h"

/* --- Format ---------------------------------------------------------------------------------- */

enum { MAGIC = 0x4b524d52, VERSION = 1, CHECKED_BYTES = 40, MARK_BYTES = 44, PATH_BYTES_MAX = 32 };

static void mark_path(uint32_t shard_id, char path[PATH_BYTES_MAX])
{
    snprintf(path, PATH_BYTES_MAX, "shards/%04u.removed", shard_id);
}

static enum error_code decode(const uint8_t bytes[MARK_BYTES],
                              struct consensus_promise *promise_out, struct error *error)
{
    struct byte_reader reader = byte_reader_over(bytes, MARK_BYTES);
    uint32_t magic = byte_reader_u32(&reader);
    uint32_t version = byte_reader_u32(&reader);
    struct consensus_promise promise;
    promise.term = byte_reader_u64(&reader);
    promise.vote = byte_reader_u64(&reader);
    promise.last_term = byte_reader_u64(&reader);
    promise.last_index = byte_reader_u64(&reader);
    if (magic != MAGIC || byte_reader_u32(&reader) != crc32c(0, bytes, CHECKED_BYTES))
        return error_set(error, ERROR_CORRUPT, "checksum");
    if (version != VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "version %u", version);
    *promise_out = promise;
    return ERROR_NONE;
}

/* --- Writing and reading --------------------------------------------------------------------- */

enum error_code removal_mark_write(struct disk *disk, uint32_t shard_id,
                                   const struct consensus_promise *promise, struct error *error)
{
    char path[PATH_BYTES_MAX];
    struct byte_buffer bytes = {0};
    struct file_writer *writer = NULL;
    mark_path(shard_id, path);
    byte_buffer_u32(&bytes, MAGIC);
    byte_buffer_u32(&bytes, VERSION);
    byte_buffer_u64(&bytes, promise->term);
    byte_buffer_u64(&bytes, promise->vote);
    byte_buffer_u64(&bytes, promise->last_term);
    byte_buffer_u64(&bytes, promise->last_index);
    if (!bytes.failed)
        byte_buffer_u32(&bytes, crc32c(0, bytes.bytes, bytes.size));
    enum error_code code = bytes.failed
                               ? error_set(error, ERROR_OUT_OF_MEMORY, "mark of a removal")
                               : file_writer_open(disk, path, FILE_WRITER_PLAIN, &writer, error);
    if (code == ERROR_NONE)
        code = file_writer_append(writer, bytes.bytes, bytes.size, error);
    if (code == ERROR_NONE)
        code = file_writer_finish(writer, error);
    else
        file_writer_abandon(writer);
    byte_buffer_clear(&bytes);
    return code;
}

enum error_code removal_mark_read(struct disk *disk, uint32_t shard_id, bool *exists_out,
                                  struct consensus_promise *promise_out, struct error *error)
{
    char path[PATH_BYTES_MAX];
    uint8_t bytes[MARK_BYTES];
    uint64_t size;
    struct file *file;
    mark_path(shard_id, path);
    *exists_out = false;
    *promise_out = (struct consensus_promise){0};
    enum error_code code = disk_open(disk, path, DISK_OPEN_READ, &file, error);
    if (code == ERROR_NOT_FOUND)
        return ERROR_NONE;
    if (code != ERROR_NONE)
        return code;
    *exists_out = true;
    code = disk_size(disk, file, &size, error);
    if (code == ERROR_NONE && size != MARK_BYTES)
        code = error_set(error, ERROR_CORRUPT, "%llu bytes", (unsigned long long)size);
    if (code == ERROR_NONE)
        code = disk_read_at(disk, file, 0, bytes, sizeof bytes, error);
    disk_close(disk, file);
    if (code == ERROR_NONE)
        code = decode(bytes, promise_out, error);
    return code == ERROR_NONE ? code : error_wrap(error, "'%s'", path);
}
