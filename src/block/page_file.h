/*
 * page_file - an open immutable file: footer, table of contents, pages through the cache.
 *
 * Immutable after opening; any thread.
 */
#ifndef BLOCK_PAGE_FILE_H
#define BLOCK_PAGE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/limits.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "page_format.h"
#include "page_pin.h"
#include "page_writer.h"

/* A file with tens of thousands of tenants still fits; more is no table of contents. */
enum { TOC_BYTES_MAX = 16 * 1024 * 1024 };

struct page_file {
    struct page_cache *cache;
    struct page_source *source;     /* owned */
    struct page_cache_file *cached; /* owned */
    struct file_footer footer;
    uint8_t *toc; /* [toc_size], owned, decompressed */
    size_t toc_size;
    struct text sections[TOC_SECTIONS]; /* views of `toc`; size 0: not there */
    uint64_t index_start;               /* no page of samples lies here or behind */
    uint64_t late_start;                /* from here on: what leads to pages of the index */
};

/* How much of the end of a remote file of this size is read at first: in most of them all that lies
 * behind late_start. */
uint64_t page_file_tail_bytes(uint64_t size_bytes);

/* Read the end of the file: of a remote one in one round trip, or two when the tail is not enough.
 * Takes over `source`, also on error. Errors: CORRUPT (also: another
 * kind of file), UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code page_file_open(struct page_file *file, struct page_cache *cache,
                               struct page_source *source, enum file_kind kind,
                               struct error *error);
void page_file_close(struct page_file *file); /* zeroed is fine */

/* Cursor over a section; empty when it is not there. */
struct byte_reader page_file_section(const struct page_file *file, enum toc_section section);

/* Whether TOC_SLOTS, which is whole, has others than these: slot s is bit s % 64 of word s / 64. */
bool page_file_has_slot_outside(const struct page_file *file,
                                const uint64_t slots[SLOT_COUNT / 64]);

/* As page_cache_pin, with references that came out of the file: checked to be inside. Errors:
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code page_file_pin(const struct page_file *file, struct page_reference reference,
                              enum page_kind kind, struct page_pin *pin, struct error *error);

/* The same in the form of preparation->kept. */
enum error_code page_file_pin_prepared(const struct page_file *file,
                                       struct page_reference reference,
                                       const struct page_preparation *preparation,
                                       struct page_pin *pin, struct error *error);

/* CORRUPT with the file's name in the message. */
enum error_code page_file_corrupt(const struct page_file *file, const char *what,
                                  struct error *error);

#endif
