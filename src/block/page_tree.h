/*
 * page_tree - find a leaf page by key or by ordinal.
 *
 * Byte layout: docs/formats/pages.md, "Tree".
 */
#ifndef BLOCK_PAGE_TREE_H
#define BLOCK_PAGE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "page_file.h"
#include "page_writer.h"

enum {
    TREE_HEIGHT_MAX = 8,
    /* A node is closed when it has both; so eight levels reach 2^32 leaves, whatever the keys. */
    TREE_NODE_BYTES = 4096,
    TREE_NODE_ENTRIES_MIN = 16,
};

/* --- Writing ---------------------------------------------------------------------------------- */

struct tree_node_writer {
    struct byte_buffer entries;
    struct byte_buffer offsets; /* u32 each: where an entry begins in `entries` */
    struct byte_buffer first_key;
    uint64_t entry_count;
    uint64_t first_ordinal;
};

/* Zero-initialise with `pages`. */
struct tree_writer {
    struct page_writer *pages;
    struct tree_node_writer levels[TREE_HEIGHT_MAX + 1]; /* 0: entries are leaves */
    struct byte_buffer closed; /* nodes of level 0 that are full, for the end of the file */
    uint64_t ordinal;          /* entries in all leaves so far */
};

/* Add the next leaf, which has `entry_count` entries of which the first has `first_key`. Errors:
 * LIMIT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code tree_writer_add(struct tree_writer *writer, struct text first_key,
                                uint64_t entry_count, struct page_reference leaf,
                                struct error *error);

/* Have the nodes written at the end of the file, and the root made a section then; the writer is
 * empty. Errors: OUT_OF_MEMORY. */
enum error_code tree_writer_finish(struct tree_writer *writer, enum toc_section section,
                                   struct error *error);
void tree_writer_clear(struct tree_writer *writer);

/* --- Reading ---------------------------------------------------------------------------------- */

/* A view of an open file; any thread. */
struct tree {
    const struct page_file *file;
    struct byte_reader root;
    unsigned height;
    uint64_t entry_count; /* in all leaves */
};

/* A missing section is an empty tree. Errors: CORRUPT. */
enum error_code tree_open(struct tree *tree, const struct page_file *file, enum toc_section section,
                          struct error *error);

struct tree_leaf {
    struct page_reference page;
    uint64_t first_ordinal;
    uint64_t end_ordinal; /* behind its last */
};

/* The leaf that holds `key` if any does; *found_out is false when all keys are larger. Errors:
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code tree_find_key(const struct tree *tree, struct text key, struct tree_leaf *leaf_out,
                              bool *found_out, struct error *error);

/* The leaf that holds the entry `ordinal` < entry_count. Errors: as tree_find_key. */
enum error_code tree_find_ordinal(const struct tree *tree, uint64_t ordinal,
                                  struct tree_leaf *leaf_out, struct error *error);

/* --- Keys that are numbers -------------------------------------------------------------------- */

static inline void key_store_be64(uint8_t bytes[8], uint64_t value)
{
    store_u64(bytes, __builtin_bswap64(value));
}

static inline void key_store_be32(uint8_t bytes[4], uint32_t value)
{
    store_u32(bytes, __builtin_bswap32(value));
}

static inline uint32_t key_load_be32(const uint8_t *bytes)
{
    return __builtin_bswap32(load_u32(bytes));
}

#endif
