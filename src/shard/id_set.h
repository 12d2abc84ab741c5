/*
 * id_set - ids of series that are gone. Private to shard.
 *
 * Immutable and reference counted: views hold the one that was current when they were made. A set
 * is a table of pages of bits, and sets that follow from one another share the pages that are
 * equal, so that a change costs what it changes. NULL is the empty set wherever one is taken.
 */
#ifndef SHARD_ID_SET_H
#define SHARD_ID_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum { ID_PAGE_BITS = 4096, ID_PAGE_WORDS = ID_PAGE_BITS / 64 };

/* What is decoded has lower ids, and fewer of them. */
#define ID_SET_ID_LIMIT  (UINT64_C(1) << 36)
#define ID_SET_COUNT_MAX (UINT64_C(1) << 28)

struct id_page {
    atomic_size_t references;
    uint64_t words[ID_PAGE_WORDS];
};

struct id_set {
    atomic_size_t references;
    uint64_t count;
    size_t page_count;
    struct id_page *pages[]; /* [page_count], NULL: none of its ids */
};

/*
 * The ids of `previous` and `ids` (ascending), which are not in it yet.
 * Errors: OUT_OF_MEMORY.
 */
enum error_code id_set_add(const struct id_set *previous, const uint64_t *ids, size_t count,
                           struct id_set **set_out, struct error *error);

/* Those of the ids that are below `limit`; *set_out is NULL when there are none. Errors:
 * OUT_OF_MEMORY. */
enum error_code id_set_below(struct id_set *set, uint64_t limit, struct id_set **set_out,
                             struct error *error);

struct id_set *id_set_ref(struct id_set *set); /* NULL is fine */
void id_set_unref(struct id_set *set);         /* NULL is fine */

static inline uint64_t id_set_count(const struct id_set *set)
{
    return set == NULL ? 0 : set->count;
}

static inline bool id_set_has(const struct id_set *set, uint64_t id)
{
    uint64_t page = id / ID_PAGE_BITS;
    if (set == NULL || page >= set->page_count || set->pages[page] == NULL)
        return false;
    return set->pages[page]->words[id % ID_PAGE_BITS / 64] >> id % 64 & 1;
}

/* How many ids in [first, end). */
uint64_t id_set_count_between(const struct id_set *set, uint64_t first, uint64_t end);

/* Runs of neighbouring ids (docs/formats/manifest.md). */
void id_set_encode(const struct id_set *set, struct byte_buffer *buffer);

/* Ids are below `limit`. Errors: CORRUPT, LIMIT, OUT_OF_MEMORY. */
enum error_code id_set_decode(struct byte_reader *reader, uint64_t limit, struct id_set **set_out,
                              struct error *error);

#endif
