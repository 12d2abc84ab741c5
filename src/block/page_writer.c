#include "page_writer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

enum {
    WRITE_BUFFER_BYTES = 256 * 1024,
    COMPRESSION_LEVEL = 1,
    /* Below this, a zstd frame cannot win. */
    COMPRESS_BYTES_MIN = 64,
};

struct page_writer {
    struct disk *disk;
    struct file *file;
    enum file_kind kind;
    bool finished;
    uint64_t written_bytes;     /* what the file has */
    struct byte_buffer pending; /* not written yet */
    XXH3_state_t *hash;
    ZSTD_CCtx *compressor;
    uint8_t *compressed; /* [compressed_capacity] */
    size_t compressed_capacity;
    struct byte_buffer sections[TOC_SECTIONS];
    uint64_t index_start; /* 0: not begun */
    struct late_write *late;
    char path[DISK_PATH_MAX + 1];
};

static enum error_code out_of_memory(const struct page_writer *writer, struct error *error)
{
    return error_set(error, ERROR_OUT_OF_MEMORY, "write '%s'", writer->path);
}

/* --- Bytes ------------------------------------------------------------------------------------ */

static enum error_code flush(struct page_writer *writer, struct error *error)
{
    if (writer->pending.size == 0)
        return ERROR_NONE;
    enum error_code code = disk_write_at(writer->disk, writer->file, writer->written_bytes,
                                         writer->pending.bytes, writer->pending.size, error);
    if (code != ERROR_NONE)
        return error_wrap(error, "write '%s'", writer->path);
    writer->written_bytes += writer->pending.size;
    byte_buffer_reset(&writer->pending);
    return ERROR_NONE;
}

static enum error_code append(struct page_writer *writer, const uint8_t *bytes, size_t size,
                              struct error *error)
{
    XXH3_128bits_update(writer->hash, bytes, size);
    byte_buffer_append(&writer->pending, bytes, size);
    if (writer->pending.failed)
        return out_of_memory(writer, error);
    return writer->pending.size >= WRITE_BUFFER_BYTES ? flush(writer, error) : ERROR_NONE;
}

/* --- Pages ------------------------------------------------------------------------------------ */

/* Compress when it saves at least 5 %: *size_out is 0 when it does not. */
static enum error_code compress(struct page_writer *writer, const uint8_t *bytes, size_t size,
                                size_t *size_out, struct error *error)
{
    *size_out = 0;
    if (size < COMPRESS_BYTES_MIN)
        return ERROR_NONE;
    size_t bound = ZSTD_compressBound(size);
    if (writer->compressed_capacity < bound) {
        free(writer->compressed);
        writer->compressed_capacity = 0;
        writer->compressed = malloc(bound);
        if (writer->compressed == NULL)
            return out_of_memory(writer, error);
        writer->compressed_capacity = bound;
    }
    size_t result = ZSTD_compressCCtx(writer->compressor, writer->compressed,
                                      writer->compressed_capacity, bytes, size, COMPRESSION_LEVEL);
    if (ZSTD_isError(result))
        return out_of_memory(writer, error); /* the only way to fail with room enough */
    if (result <= size - size / 20)
        *size_out = result;
    return ERROR_NONE;
}

uint64_t page_writer_offset(const struct page_writer *writer)
{
    return writer->written_bytes + writer->pending.size;
}

enum error_code page_writer_append(struct page_writer *writer, enum page_kind kind,
                                   const uint8_t *bytes, size_t size,
                                   struct page_reference *reference_out, struct error *error)
{
    assert(!writer->finished);
    if (size > PAGE_RAW_BYTES_MAX)
        return error_set(error, ERROR_LIMIT, "write '%s': a page of %zu bytes", writer->path, size);
    size_t compressed_size;
    enum error_code code = compress(writer, bytes, size, &compressed_size, error);
    if (code != ERROR_NONE)
        return code;
    bool is_compressed = compressed_size > 0;
    const uint8_t *stored = is_compressed ? writer->compressed : bytes;
    struct page_head head = {
        .stored_bytes = (uint32_t)(is_compressed ? compressed_size : size),
        .raw_bytes = (uint32_t)size,
        .compression = is_compressed ? PAGE_ZSTD : PAGE_PLAIN,
        .kind = kind,
    };
    uint8_t head_bytes[PAGE_HEAD_BYTES];
    page_head_encode(&head, stored, head_bytes);

    struct page_reference reference = {
        .offset_bytes = page_writer_offset(writer),
        .size_bytes = PAGE_HEAD_BYTES + head.stored_bytes,
    };
    code = append(writer, head_bytes, sizeof head_bytes, error);
    if (code == ERROR_NONE)
        code = append(writer, stored, head.stored_bytes, error);
    if (code == ERROR_NONE)
        *reference_out = reference;
    return code;
}

enum error_code page_writer_section(struct page_writer *writer, enum toc_section section,
                                    const uint8_t *bytes, size_t size, struct error *error)
{
    struct byte_buffer *buffer = &writer->sections[section];
    byte_buffer_reset(buffer);
    byte_buffer_append(buffer, bytes, size);
    return buffer->failed ? out_of_memory(writer, error) : ERROR_NONE;
}

static enum error_code append_toc(struct page_writer *writer, struct page_reference *reference_out,
                                  struct error *error)
{
    size_t count = 0;
    for (size_t i = 0; i < TOC_SECTIONS; i++)
        count += writer->sections[i].size > 0;
    struct byte_buffer toc = {0};
    byte_buffer_varint(&toc, count);
    for (size_t i = 0; i < TOC_SECTIONS; i++) {
        if (writer->sections[i].size == 0)
            continue;
        byte_buffer_varint(&toc, i);
        byte_buffer_varint(&toc, writer->sections[i].size);
        byte_buffer_append(&toc, writer->sections[i].bytes, writer->sections[i].size);
    }
    enum error_code code = toc.failed ? out_of_memory(writer, error)
                                      : page_writer_append(writer, PAGE_TOC, toc.bytes, toc.size,
                                                           reference_out, error);
    byte_buffer_clear(&toc);
    return code;
}

/* --- The end ---------------------------------------------------------------------------------- */

void page_writer_begin_index(struct page_writer *writer)
{
    if (writer->index_start == 0)
        writer->index_start = page_writer_offset(writer);
}

void page_writer_defer(struct page_writer *writer, struct late_write *late)
{
    struct late_write **link = &writer->late;
    while (*link != NULL)
        link = &(*link)->next;
    late->next = NULL;
    *link = late;
}

static enum error_code write_late(struct page_writer *writer, struct error *error)
{
    page_writer_begin_index(writer);
    uint8_t regions[FILE_REGIONS_BYTES];
    store_u64(regions, writer->index_start);
    store_u64(regions + 8, page_writer_offset(writer));
    enum error_code code = page_writer_section(writer, TOC_REGIONS, regions, sizeof regions, error);
    for (struct late_write *late = writer->late; code == ERROR_NONE && late != NULL;
         late = late->next)
        code = late->write(late, error);
    return code;
}

enum error_code page_writer_finish(struct page_writer *writer, struct file_summary *summary,
                                   struct error *error)
{
    struct file_footer footer = {.summary = *summary};
    enum error_code code = write_late(writer, error);
    if (code == ERROR_NONE)
        code = append_toc(writer, &footer.toc, error);
    if (code != ERROR_NONE)
        return code;
    XXH128_hash_t hash = XXH3_128bits_digest(writer->hash);
    footer.summary.kind = writer->kind;
    footer.summary.format_version = FILE_FORMAT_VERSION;
    footer.summary.size_bytes = page_writer_offset(writer) + FILE_FOOTER_BYTES;
    footer.summary.file_hash = (struct hash128){.low = hash.low64, .high = hash.high64};
    uint8_t bytes[FILE_FOOTER_BYTES];
    file_footer_encode(&footer, bytes);
    code = append(writer, bytes, sizeof bytes, error);
    if (code == ERROR_NONE)
        code = flush(writer, error);
    if (code == ERROR_NONE) {
        code = disk_sync(writer->disk, writer->file, error);
        if (code != ERROR_NONE)
            return error_wrap(error, "write '%s'", writer->path);
    }
    if (code != ERROR_NONE)
        return code;
    writer->finished = true;
    *summary = footer.summary;
    return ERROR_NONE;
}

/* --- Lifecycle -------------------------------------------------------------------------------- */

enum error_code page_writer_create(struct disk *disk, const char *path, enum file_kind kind,
                                   struct page_writer **writer_out, struct error *error)
{
    struct page_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return error_set(error, ERROR_OUT_OF_MEMORY, "write '%s'", path);
    writer->disk = disk;
    writer->kind = kind;
    snprintf(writer->path, sizeof writer->path, "%s", path);
    writer->hash = XXH3_createState();
    writer->compressor = ZSTD_createCCtx();
    enum error_code code = ERROR_NONE;
    if (writer->hash == NULL || writer->compressor == NULL)
        code = out_of_memory(writer, error);
    if (code == ERROR_NONE) {
        XXH3_128bits_reset(writer->hash);
        code = disk_open(disk, path, DISK_OPEN_REPLACE, &writer->file, error);
        if (code != ERROR_NONE)
            error_wrap(error, "write '%s'", path);
    }
    if (code == ERROR_NONE) {
        uint8_t header[FILE_HEADER_BYTES];
        file_header_encode(kind, header);
        code = append(writer, header, sizeof header, error);
    }
    if (code != ERROR_NONE) {
        page_writer_destroy(writer);
        return code;
    }
    *writer_out = writer;
    return ERROR_NONE;
}

void page_writer_destroy(struct page_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->file != NULL) {
        disk_close(writer->disk, writer->file);
        if (!writer->finished) {
            /* What stays behind is no valid file and is swept by the owner of the folder. */
            struct error ignored;
            (void)disk_remove(writer->disk, writer->path, &ignored);
        }
    }
    while (writer->late != NULL) {
        struct late_write *late = writer->late;
        writer->late = late->next;
        late->clear(late);
    }
    for (size_t i = 0; i < TOC_SECTIONS; i++)
        byte_buffer_clear(&writer->sections[i]);
    byte_buffer_clear(&writer->pending);
    XXH3_freeState(writer->hash);
    ZSTD_freeCCtx(writer->compressor);
    free(writer->compressed);
    free(writer);
}
