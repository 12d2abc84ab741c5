/*
 * page_pin - borrow pages from the cache: what the readers of this module use.
 */
#ifndef BLOCK_PAGE_PIN_H
#define BLOCK_PAGE_PIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "block/page_cache.h"
#include "block/page_source.h"
#include "page_format.h"

/* A page that stays until it is released. `bytes` has PAGE_SLACK_BYTES readable zeroes behind. */
struct page_pin {
    const uint8_t *bytes; /* [size], decompressed */
    size_t size;
    struct page_entry *entry; /* NULL: nothing pinned */
};

/* A number for a file that is being opened, never given before by this cache. */
uint64_t page_cache_file_number(struct page_cache *cache);

/*
 * Pin the page at `reference`, which must lie inside of the source; read it when it is not there.
 * `pin` is filled in on success. Errors: CORRUPT (also: another kind of page), UNSUPPORTED, IO,
 * OUT_OF_MEMORY.
 */
enum error_code page_cache_pin(struct page_cache *cache, struct page_source *source,
                               uint64_t file_number, struct page_reference reference,
                               enum page_kind kind, struct page_pin *pin, struct error *error);

/* Release; an empty pin is fine. The pin is empty afterwards. Any thread. */
void page_unpin(struct page_pin *pin);

#endif
