/*
 * file_writer - write a new file from start to end, for workers.
 *
 * Bytes are gathered into large aligned writes. The file is made under a name of its own and gets
 * its final name only when it is complete and durable, so that a crash never leaves half a file
 * behind that name. One thread at a time.
 */
#ifndef PLATFORM_FILE_WRITER_H
#define PLATFORM_FILE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/disk.h"

struct file_writer;

enum { FILE_WRITER_BUFFER_BYTES = 1024 * 1024 };

enum file_writer_checksum {
    FILE_WRITER_PLAIN,
    FILE_WRITER_CRC32C, /* of all bytes so far: file_writer_crc32c */
};

/* Creates `path` + ".partial", replacing what an earlier crash left. Errors: NO_SPACE, IO,
 * OUT_OF_MEMORY, INVALID (path too long). */
enum error_code file_writer_open(struct disk *disk, const char *path,
                                 enum file_writer_checksum checksum,
                                 struct file_writer **writer_out, struct error *error);

/* Errors: NO_SPACE, IO. After one only file_writer_abandon may be called. */
enum error_code file_writer_append(struct file_writer *writer, const void *bytes, size_t size,
                                   struct error *error);

/* Bytes appended so far: where the next one goes. */
uint64_t file_writer_position(const struct file_writer *writer);
uint32_t file_writer_crc32c(const struct file_writer *writer);

/*
 * Write what is left, sync, give the file its name and make the name durable in its folder. Frees
 * the writer in any case; on error the partial file is removed. Errors: NO_SPACE, IO.
 */
enum error_code file_writer_finish(struct file_writer *writer, struct error *error);

/* Remove the partial file and free the writer. NULL is fine. */
void file_writer_abandon(struct file_writer *writer);

#endif
