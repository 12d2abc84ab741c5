/*
 * page_format - header, footer and page frames of all files of this module.
 *
 * Byte layout: docs/formats/pages.md. Pure functions, no I/O.
 */
#ifndef BLOCK_PAGE_FORMAT_H
#define BLOCK_PAGE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/file_summary.h"

enum {
    FILE_FORMAT_VERSION = 1,
    FILE_HEADER_BYTES = 16,
    FILE_FOOTER_BYTES = 112,
    FILE_REGIONS_BYTES = 16, /* section TOC_REGIONS */
    PAGE_HEAD_BYTES = 16,
    PAGE_RAW_BYTES_MAX = 64 * 1024 * 1024,
    /* Data pages are closed when they have reached this. */
    PAGE_RAW_BYTES_TARGET = 16 * 1024,
    /* Zero bytes behind the raw bytes of a page in memory. */
    PAGE_SLACK_BYTES = 32,
};

enum page_kind {
    PAGE_TOC = 1,
    PAGE_TREE_NODE,
    PAGE_TABLE_LEAF,
    PAGE_POSTINGS,
    PAGE_LABELS,
    PAGE_DIRECTORY,
    PAGE_CHUNKS,
    PAGE_TIME_COLUMNS,
    PAGE_HASH_BUCKET,
    PAGE_KINDS,
    /* In memory only: made of others (label_pages.h), or of one (sample_directory.h). */
    PAGE_MADE_ROWS = PAGE_KINDS,
    PAGE_MADE_PAIRS,
    PAGE_PREPARED_DIRECTORY,
};

enum page_compression { PAGE_PLAIN = 0, PAGE_ZSTD = 1 };

/* Where a page lies. */
struct page_reference {
    uint64_t offset_bytes;
    uint32_t size_bytes; /* with head */
};

struct page_head {
    uint32_t stored_bytes;
    uint32_t raw_bytes;
    enum page_compression compression;
    enum page_kind kind;
    uint32_t checksum;
};

struct file_footer {
    struct file_summary summary;
    struct page_reference toc;
};

void file_header_encode(enum file_kind kind, uint8_t header[FILE_HEADER_BYTES]);

void file_footer_encode(const struct file_footer *footer, uint8_t bytes[FILE_FOOTER_BYTES]);

/* Errors: CORRUPT, UNSUPPORTED (a later version). summary.size_bytes is `file_size_bytes`. */
enum error_code file_footer_decode(const uint8_t bytes[FILE_FOOTER_BYTES], uint64_t file_size_bytes,
                                   struct file_footer *footer_out, struct error *error);

/* Fills in the checksum as well. */
void page_head_encode(const struct page_head *head, const uint8_t *stored,
                      uint8_t bytes[PAGE_HEAD_BYTES]);

/* Check the head of a page that has `size` bytes with head, and its checksum. Errors: CORRUPT,
 * UNSUPPORTED. */
enum error_code page_head_decode(const uint8_t *bytes, size_t size, struct page_head *head_out,
                                 struct error *error);

/* Whether the reference lies between header and footer. */
static inline int page_reference_is_inside(struct page_reference reference,
                                           uint64_t file_size_bytes)
{
    return reference.size_bytes >= PAGE_HEAD_BYTES && reference.offset_bytes >= FILE_HEADER_BYTES &&
           file_size_bytes >= FILE_FOOTER_BYTES &&
           reference.offset_bytes <= file_size_bytes - FILE_FOOTER_BYTES &&
           reference.size_bytes <= file_size_bytes - FILE_FOOTER_BYTES - reference.offset_bytes;
}

#endif
