/*
 * page_pin - borrow pages from the cache: what the readers of this module use.
 */
#ifndef BLOCK_PAGE_PIN_H
#define BLOCK_PAGE_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "page_format.h"

/* A page that stays until it is released. `bytes` has PAGE_SLACK_BYTES readable zeroes behind, if
 * the page is as it was in its file. */
struct page_pin {
    const uint8_t *bytes; /* [size], decompressed */
    size_t size;
    struct page_entry *entry; /* NULL: nothing pinned */
};

/* A file that is being opened. NULL when memory is out. */
struct page_cache_file;
struct page_cache_file *page_cache_add_file(struct page_cache *cache);

/* Never given before by this cache. */
uint64_t page_cache_file_number(const struct page_cache_file *file);

/* The file is closed: its pages leave the cache. Nobody pins or reads one any more. NULL is fine.
 */
void page_cache_remove_file(struct page_cache *cache, struct page_cache_file *file);

/* How pages of a kind are turned into the form in which they are kept, which has a kind of its own:
 * nobody may take the bytes of a file for it. */
struct page_preparation {
    enum page_kind read;
    enum page_kind kept; /* PAGE_KINDS or above */
    /* `memory_out` is from malloc. Errors: CORRUPT, OUT_OF_MEMORY. */
    enum error_code (*prepare)(const uint8_t *bytes, size_t size, uint8_t **memory_out,
                               size_t *size_out, struct error *error);
};

/*
 * Pin the page at `reference`, which must lie inside of the source; read it when it is not there.
 * `preparation` is NULL, or keeps pages as `kind`. `pin` is filled in on success. Errors: CORRUPT
 * (also: another kind of page), UNSUPPORTED, IO, OUT_OF_MEMORY.
 */
enum error_code page_cache_pin(struct page_cache *cache, struct page_source *source,
                               struct page_cache_file *file, struct page_reference reference,
                               enum page_kind kind, const struct page_preparation *preparation,
                               struct page_pin *pin, struct error *error);

/* Whether the page at an offset of a file is there, read as it is or prepared. It may leave at any
 * time. */
bool page_cache_has(struct page_cache *cache, const struct page_cache_file *file,
                    uint64_t offset_bytes);

/* What a page made of others holds. */
struct page_made {
    uint8_t *memory; /* from malloc, the cache's on success */
    const uint8_t *bytes;
    size_t size;
    size_t allocated_bytes;
    size_t read_bytes; /* from a file, to be counted */
    enum page_kind kind;
};

/* Makes one page; may pin others. First member of an implementation. */
struct page_maker {
    enum error_code (*make)(struct page_maker *self, struct page_made *made_out,
                            struct error *error);
};

/*
 * Pin page `number` (below 2^56) of those of `kind` that are made for a file; make it when it is
 * not there. What is made is kept and evicted as pages that are read. Errors: the maker's,
 * OUT_OF_MEMORY.
 */
enum error_code page_cache_pin_made(struct page_cache *cache, struct page_cache_file *file,
                                    enum page_kind kind, uint64_t number, struct page_maker *maker,
                                    struct page_pin *pin, struct error *error);

/* Release; an empty pin is fine. The pin is empty afterwards. Any thread. */
void page_unpin(struct page_pin *pin);

#endif
