/*
 * page_writer - append pages to a new file, then table of contents and footer.
 *
 * Bytes gather in one buffer and are written in order; the hash of the file runs along. One
 * thread at a time.
 */
#ifndef BLOCK_PAGE_WRITER_H
#define BLOCK_PAGE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "page_format.h"
#include "platform/disk.h"

struct page_writer;

/* Sections of the table of contents. */
enum toc_section {
    TOC_DIRECTORY = 1, /* tree of the series directory */
    TOC_LABELS,        /* tree of the label pages */
    TOC_TENANTS,       /* table */
    TOC_NAMES,         /* table */
    TOC_PAIRS,         /* table */
    TOC_METADATA,      /* table */
    TOC_SLOTS,         /* bitmap of the slots that have a series, SLOT_COUNT / 8 bytes */
    TOC_PROPERTIES,    /* of the kind of file */
    TOC_HASH,          /* tree of the hash buckets */
    TOC_ORDER,         /* table: where in a block series begin */
    TOC_REGIONS,       /* where the index begins, and what stands at its end */
    TOC_SECTIONS
};

/* Create or replace the file and write its header. Errors: NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code page_writer_create(struct disk *disk, const char *path, enum file_kind kind,
                                   struct page_writer **writer_out, struct error *error);

/* Where the next page will begin. */
uint64_t page_writer_offset(const struct page_writer *writer);

/* Append a page. Errors: LIMIT (more than PAGE_RAW_BYTES_MAX), NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code page_writer_append(struct page_writer *writer, enum page_kind kind,
                                   const uint8_t *bytes, size_t size,
                                   struct page_reference *reference_out, struct error *error);

/* Set a section of the table of contents; the bytes are copied. Errors: OUT_OF_MEMORY. */
enum error_code page_writer_section(struct page_writer *writer, enum toc_section section,
                                    const uint8_t *bytes, size_t size, struct error *error);

/* Samples end here: the pages behind are of the index. The first call counts. */
void page_writer_begin_index(struct page_writer *writer);

/* What is written behind all other pages, where the reader's first look falls: what leads to
 * pages. Its owner is the writer, which clears it. */
struct late_write {
    enum error_code (*write)(struct late_write *self, struct error *error); /* at the finish */
    void (*clear)(struct late_write *self);
    struct late_write *next;
};

/* Written in this order; one may defer others while it is written. */
void page_writer_defer(struct page_writer *writer, struct late_write *late);

/* Write what was deferred, table of contents and footer and sync. Fills in kind, version, size and
 * hash of `summary`; the rest is the caller's. Errors: LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code page_writer_finish(struct page_writer *writer, struct file_summary *summary,
                                   struct error *error);

/* Close; without a successful finish remove the file. NULL is fine. */
void page_writer_destroy(struct page_writer *writer);

#endif
