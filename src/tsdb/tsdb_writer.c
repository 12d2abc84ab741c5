#include "tsdb/tsdb_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "big_endian.h"
#include "index_format.h"
#include "index_writer.h"
#include "platform/file_writer.h"
#include "tombstones.h"
#include "wire/prometheus_chunk.h"

enum { CHUNK_FILE_BYTES_MAX = 512 * 1024 * 1024, CHUNK_FRAME_BYTES_MAX = 5 + 1 + 4 };

struct tsdb_writer {
    struct tsdb_writer_options options;
    struct tsdb_meta meta;
    char folder[TSDB_ULID_CHARACTERS + 32]; /* until it is whole */
    bool has_folder;
    struct index_writer *index;
    struct file_writer *file; /* of chunks; NULL: none yet */
    uint64_t file_number;     /* of the open file, from 0 */
    uint64_t next_file_number;
    struct byte_buffer chunk;
    struct byte_buffer windows;
    struct byte_buffer places; /* struct index_chunk, of the series that is added */
};

/* --- Life -------------------------------------------------------------------------------------
 */

enum error_code tsdb_writer_open(const struct tsdb_writer_options *options,
                                 struct tsdb_writer **writer_out, struct error *error)
{
    struct tsdb_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write a block");
    writer->options = *options;
    writer->meta = (struct tsdb_meta){
        .start_ms = options->start_ms, .end_ms = options->end_ms, .compaction_level = 1};
    tsdb_ulid_make(options->now_ms, options->random, writer->meta.ulid);
    /* Prometheus removes folders of such names when it starts. */
    snprintf(writer->folder, sizeof writer->folder, "%s.tmp-for-creation", writer->meta.ulid);
    writer->index = index_writer_create();
    if (writer->index == NULL) {
        tsdb_writer_abandon(writer);
        return error_set(error, ERROR_OUT_OF_MEMORY, "write a block");
    }
    *writer_out = writer;
    return ERROR_NONE;
}

static void writer_free(struct tsdb_writer *writer)
{
    file_writer_abandon(writer->file);
    index_writer_destroy(writer->index);
    byte_buffer_clear(&writer->chunk);
    byte_buffer_clear(&writer->windows);
    byte_buffer_clear(&writer->places);
    free(writer);
}

static void path_in(const struct tsdb_writer *writer, const char *name, char path[DISK_PATH_MAX])
{
    snprintf(path, DISK_PATH_MAX, "%s/%s", writer->folder, name);
}

void tsdb_writer_abandon(struct tsdb_writer *writer)
{
    static const char *const FILES[] = {"index", "meta.json", "tombstones"};
    char path[DISK_PATH_MAX];
    struct error ignored; /* what can't be removed stays, under a name that says what it is */
    if (writer == NULL)
        return;
    struct disk *disk = writer->options.disk;
    /* Their partial files first: a folder goes when it is empty. */
    file_writer_abandon(writer->file);
    index_writer_destroy(writer->index);
    writer->file = NULL;
    writer->index = NULL;
    if (writer->has_folder) {
        for (uint64_t i = 0; i < writer->next_file_number; i++) {
            char name[32];
            snprintf(name, sizeof name, "chunks/%06llu", (unsigned long long)i + 1);
            path_in(writer, name, path);
            disk_remove(disk, path, &ignored);
        }
        for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
            path_in(writer, FILES[i], path);
            disk_remove(disk, path, &ignored);
        }
        path_in(writer, "chunks", path);
        disk_remove_directory(disk, path, &ignored);
        disk_remove_directory(disk, writer->folder, &ignored);
    }
    writer_free(writer);
}

/* --- Chunks -----------------------------------------------------------------------------------
 */

static enum error_code finish_file(struct tsdb_writer *writer, struct error *error)
{
    struct file_writer *file = writer->file;
    writer->file = NULL; /* finish frees it */
    return file == NULL ? ERROR_NONE : file_writer_finish(file, error);
}

static enum error_code begin_file(struct tsdb_writer *writer, struct error *error)
{
    char name[32], path[DISK_PATH_MAX];
    enum error_code code = finish_file(writer, error);
    if (code == ERROR_NONE && !writer->has_folder) {
        path_in(writer, "chunks", path);
        writer->has_folder = true; /* or a part of it, if that fails */
        code = disk_make_directory(writer->options.disk, path, error);
    }
    if (code != ERROR_NONE)
        return code;
    writer->file_number = writer->next_file_number++;
    snprintf(name, sizeof name, "chunks/%06llu", (unsigned long long)writer->file_number + 1);
    path_in(writer, name, path);
    code = file_writer_open(writer->options.disk, path, FILE_WRITER_PLAIN, &writer->file, error);
    if (code != ERROR_NONE)
        return code;
    uint8_t head[CHUNKS_HEAD_BYTES] = {0, 0, 0, 0, CHUNKS_VERSION};
    store_u32(head, __builtin_bswap32(CHUNKS_MAGIC));
    return file_writer_append(writer->file, head, sizeof head, error);
}

/* Length, encoding, data, checksum of the last two. */
static enum error_code append_chunk(struct tsdb_writer *writer,
                                    const struct sample_columns *columns, size_t first, size_t end,
                                    struct error *error)
{
    struct byte_buffer *chunk = &writer->chunk;
    byte_buffer_reset(chunk);
    byte_buffer_u8(chunk, (uint8_t)chunk_encoding_of(columns, first));
    chunk_append(columns, first, end, &writer->windows, chunk);
    if (!chunk->failed)
        byte_buffer_big_u32(chunk, crc32c(0, chunk->bytes, chunk->size));
    if (chunk->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write a chunk");
    enum error_code code = ERROR_NONE;
    if (writer->file == NULL ||
        file_writer_position(writer->file) + chunk->size + CHUNK_FRAME_BYTES_MAX >
            CHUNK_FILE_BYTES_MAX)
        code = begin_file(writer, error);
    if (code != ERROR_NONE)
        return code;
    struct index_chunk place = {
        .start_ms = columns->timestamps_ms[first],
        .end_ms = columns->timestamps_ms[end - 1],
        .reference = writer->file_number << 32 | file_writer_position(writer->file),
    };
    uint8_t length[VARINT_MAX_BYTES];
    size_t length_bytes =
        (size_t)(varint_store(length, chunk->size - 1 - INDEX_CHECKSUM_BYTES) - length);
    byte_buffer_append(&writer->places, &place, sizeof place);
    code = file_writer_append(writer->file, length, length_bytes, error);
    return code == ERROR_NONE ? file_writer_append(writer->file, chunk->bytes, chunk->size, error)
                              : code;
}

enum error_code tsdb_writer_add(struct tsdb_writer *writer, struct labels labels,
                                const struct sample_columns *columns, struct error *error)
{
    size_t count = columns->count;
    if (count == 0)
        return ERROR_NONE;
    if (columns->timestamps_ms[0] < writer->options.start_ms ||
        columns->timestamps_ms[count - 1] >= writer->options.end_ms)
        return error_set(error, ERROR_INVALID, "a sample outside of the window of its block");
    byte_buffer_reset(&writer->places);
    size_t chunk_count = 0;
    for (size_t first = 0, end; first < count; first = end) {
        end = chunk_end(columns, first);
        enum error_code code = append_chunk(writer, columns, first, end, error);
        if (code != ERROR_NONE)
            return code;
        chunk_count++;
    }
    if (writer->places.failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "chunks of a series");
    writer->meta.series_count++;
    writer->meta.sample_count += count;
    writer->meta.chunk_count += chunk_count;
    return index_writer_add(writer->index, labels, (const struct index_chunk *)writer->places.bytes,
                            chunk_count, error);
}

/* --- The end ----------------------------------------------------------------------------------
 */

static enum error_code write_file(struct tsdb_writer *writer, const char *name,
                                  const struct byte_buffer *content, struct error *error)
{
    char path[DISK_PATH_MAX];
    struct file_writer *file;
    if (content->failed)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write '%s'", name);
    path_in(writer, name, path);
    enum error_code code =
        file_writer_open(writer->options.disk, path, FILE_WRITER_PLAIN, &file, error);
    if (code != ERROR_NONE)
        return code;
    code = file_writer_append(file, content->bytes, content->size, error);
    if (code != ERROR_NONE) {
        file_writer_abandon(file);
        return code;
    }
    return file_writer_finish(file, error);
}

static enum error_code complete(struct tsdb_writer *writer, struct error *error)
{
    char path[DISK_PATH_MAX];
    struct byte_buffer tombstones = {0}, meta = {0};
    struct disk *disk = writer->options.disk;
    tombstones_encode_none(&tombstones);
    tsdb_meta_encode(&writer->meta, &meta);
    path_in(writer, "index", path);
    enum error_code code = finish_file(writer, error);
    if (code == ERROR_NONE)
        code = index_writer_finish(writer->index, disk, path, error);
    if (code == ERROR_NONE)
        code = write_file(writer, "tombstones", &tombstones, error);
    if (code == ERROR_NONE)
        code = write_file(writer, "meta.json", &meta, error);
    if (code == ERROR_NONE)
        code = disk_rename(disk, writer->folder, writer->meta.ulid, error);
    if (code == ERROR_NONE) {
        writer->has_folder = false;
        code = disk_sync_directory(disk, "", error);
    }
    byte_buffer_clear(&tombstones);
    byte_buffer_clear(&meta);
    return code;
}

enum error_code tsdb_writer_finish(struct tsdb_writer *writer, struct tsdb_meta *meta_out,
                                   struct error *error)
{
    enum error_code code = writer->meta.series_count == 0 ? ERROR_NONE : complete(writer, error);
    if (code != ERROR_NONE) {
        tsdb_writer_abandon(writer);
        return code;
    }
    *meta_out = writer->meta;
    writer_free(writer);
    return ERROR_NONE;
}
