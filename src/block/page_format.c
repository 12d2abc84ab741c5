#include "page_format.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"

static const uint8_t MAGIC[8] = {'G', 'N', 'O', 'M', 'O', 'N', '\r', '\n'};

enum { FOOTER_CHECKED_BYTES = 100, HEAD_CHECKED_BYTES = 12 };

/* --- Header and footer ------------------------------------------------------------------------ */

void file_header_encode(enum file_kind kind, uint8_t header[FILE_HEADER_BYTES])
{
    memcpy(header, MAGIC, sizeof MAGIC);
    store_u32(header + 8, (uint32_t)kind);
    store_u32(header + 12, FILE_FORMAT_VERSION);
}

void file_footer_encode(const struct file_footer *footer, uint8_t bytes[FILE_FOOTER_BYTES])
{
    const struct file_summary *summary = &footer->summary;
    memset(bytes, 0, FILE_FOOTER_BYTES);
    memcpy(bytes, MAGIC, sizeof MAGIC);
    store_u32(bytes + 8, (uint32_t)summary->kind);
    store_u32(bytes + 12, summary->format_version);
    store_u64(bytes + 16, footer->toc.offset_bytes);
    store_u32(bytes + 24, footer->toc.size_bytes);
    store_u64(bytes + 32, summary->series_count);
    store_u64(bytes + 40, summary->sample_count);
    store_u64(bytes + 48, (uint64_t)summary->min_time_ms);
    store_u64(bytes + 56, (uint64_t)summary->max_time_ms);
    store_u64(bytes + 64, summary->content_checksum.low);
    store_u64(bytes + 72, summary->content_checksum.high);
    store_u64(bytes + 80, summary->file_hash.low);
    store_u64(bytes + 88, summary->file_hash.high);
    store_u32(bytes + FOOTER_CHECKED_BYTES, crc32c(0, bytes, FOOTER_CHECKED_BYTES));
    memcpy(bytes + 104, MAGIC, sizeof MAGIC);
}

enum error_code file_footer_decode(const uint8_t bytes[FILE_FOOTER_BYTES], uint64_t file_size_bytes,
                                   struct file_footer *footer_out, struct error *error)
{
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0 || memcmp(bytes + 104, MAGIC, sizeof MAGIC) != 0)
        return error_set(error, ERROR_CORRUPT,
                         "no footer: not written to its end, or no such file");
    if (load_u32(bytes + FOOTER_CHECKED_BYTES) != crc32c(0, bytes, FOOTER_CHECKED_BYTES))
        return error_set(error, ERROR_CORRUPT, "footer: wrong checksum");
    uint32_t kind = load_u32(bytes + 8);
    uint32_t version = load_u32(bytes + 12);
    if (version != FILE_FORMAT_VERSION)
        return error_set(error, ERROR_UNSUPPORTED, "format version %u, this build knows %u",
                         version, (unsigned)FILE_FORMAT_VERSION);
    if (kind < FILE_KIND_PART || kind > FILE_KIND_BLOCK)
        return error_set(error, ERROR_UNSUPPORTED, "unknown kind of file %u", kind);
    struct file_footer footer = {
        .summary =
            {
                .kind = (enum file_kind)kind,
                .format_version = version,
                .size_bytes = file_size_bytes,
                .series_count = load_u64(bytes + 32),
                .sample_count = load_u64(bytes + 40),
                .min_time_ms = (int64_t)load_u64(bytes + 48),
                .max_time_ms = (int64_t)load_u64(bytes + 56),
                .content_checksum = {load_u64(bytes + 64), load_u64(bytes + 72)},
                .file_hash = {load_u64(bytes + 80), load_u64(bytes + 88)},
            },
        .toc = {.offset_bytes = load_u64(bytes + 16), .size_bytes = load_u32(bytes + 24)},
    };
    if (!page_reference_is_inside(footer.toc, file_size_bytes))
        return error_set(error, ERROR_CORRUPT, "footer: table of contents outside of the file");
    *footer_out = footer;
    return ERROR_NONE;
}

/* --- Pages ------------------------------------------------------------------------------------ */

void page_head_encode(const struct page_head *head, const uint8_t *stored,
                      uint8_t bytes[PAGE_HEAD_BYTES])
{
    assert(head->raw_bytes <= PAGE_RAW_BYTES_MAX && head->stored_bytes <= head->raw_bytes);
    store_u32(bytes, head->stored_bytes);
    store_u32(bytes + 4, head->raw_bytes);
    bytes[8] = (uint8_t)head->compression;
    bytes[9] = (uint8_t)head->kind;
    store_u16(bytes + 10, 0);
    store_u32(bytes + HEAD_CHECKED_BYTES,
              crc32c(crc32c(0, bytes, HEAD_CHECKED_BYTES), stored, head->stored_bytes));
}

enum error_code page_head_decode(const uint8_t *bytes, size_t size, struct page_head *head_out,
                                 struct error *error)
{
    if (size < PAGE_HEAD_BYTES)
        return error_set(error, ERROR_CORRUPT, "page of %zu bytes", size);
    struct page_head head = {
        .stored_bytes = load_u32(bytes),
        .raw_bytes = load_u32(bytes + 4),
        .compression = (enum page_compression)bytes[8],
        .kind = (enum page_kind)bytes[9],
        .checksum = load_u32(bytes + HEAD_CHECKED_BYTES),
    };
    if (head.stored_bytes != size - PAGE_HEAD_BYTES || head.raw_bytes > PAGE_RAW_BYTES_MAX)
        return error_set(error, ERROR_CORRUPT, "page: sizes %u and %u in %zu bytes",
                         head.stored_bytes, head.raw_bytes, size);
    if (crc32c(crc32c(0, bytes, HEAD_CHECKED_BYTES), bytes + PAGE_HEAD_BYTES, head.stored_bytes) !=
        head.checksum)
        return error_set(error, ERROR_CORRUPT, "page: wrong checksum");
    if (bytes[8] > PAGE_ZSTD || bytes[9] == 0 || bytes[9] >= PAGE_KINDS)
        return error_set(error, ERROR_UNSUPPORTED, "page: compression %u, kind %u", bytes[8],
                         bytes[9]);
    if (head.compression == PAGE_PLAIN && head.raw_bytes != head.stored_bytes)
        return error_set(error, ERROR_CORRUPT, "page: plain but of two sizes");
    *head_out = head;
    return ERROR_NONE;
}
