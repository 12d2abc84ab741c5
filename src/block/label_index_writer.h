/*
 * label_index_writer - series by position with their labels, and postings: the index of series
 * segments and blocks.
 *
 * Byte layout: docs/formats/pages.md, "Label index". Everything per series is held packed (about
 * ten bytes and the new label values) until finish, because the numbers of label pairs are known
 * only then.
 */
#ifndef BLOCK_LABEL_INDEX_WRITER_H
#define BLOCK_LABEL_INDEX_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/labels.h"
#include "page_writer.h"

/* Which columns stand beside the labels. */
enum label_columns {
    LABEL_COLUMNS_BLOCK,  /* tenant, slot */
    LABEL_COLUMNS_SEGMENT /* and id, target */
};

/* Of one page. Neighbours differ in little, so that zstd takes a quarter less of a page than of
 * four with a quarter of the series each. */
enum { LABEL_PAGE_SERIES = 256 };

struct label_series {
    uint32_t tenant; /* its number */
    uint16_t slot;
    uint64_t id;     /* ascending; LABEL_COLUMNS_SEGMENT only */
    uint64_t target; /* LABEL_COLUMNS_SEGMENT only */
    struct labels labels;
};

struct interned_name;
struct interned_pair;

/* Zero-initialise with `pages` and `columns`. */
struct label_index_writer {
    struct page_writer *pages;
    enum label_columns columns;
    struct arena *arena; /* names and values */
    uint64_t hash_seed;  /* unknown to who sends labels; nothing in the file depends on it */
    struct interned_name *names; /* [name_count] in the order of appearance */
    size_t name_count;
    size_t name_capacity;
    struct interned_pair *pairs; /* [pair_count] in the order of appearance */
    size_t pair_count;
    size_t pair_capacity;
    uint32_t *name_slots; /* hash tables: number + 1, 0 free */
    size_t name_slot_count;
    uint32_t *pair_slots;
    size_t pair_slot_count;
    struct byte_buffer rows; /* of all series, not a file format */
    uint32_t *previous;      /* [previous_count] pairs of the series before */
    size_t previous_count;
    uint64_t previous_id;
    uint32_t series_count;
    uint64_t posting_count;
};

/* Add the series of the next position. Errors: INVALID (labels, order of ids), LIMIT (2^32),
 * OUT_OF_MEMORY. */
enum error_code label_index_writer_add(struct label_index_writer *writer,
                                       const struct label_series *series, struct error *error);

/* Write everything: the sections TOC_NAMES, TOC_PAIRS and TOC_LABELS. Names and nodes of trees
 * follow when the file is finished; the writer stays until then. Errors: NO_SPACE, IO,
 * OUT_OF_MEMORY. */
enum error_code label_index_writer_finish(struct label_index_writer *writer, struct error *error);
void label_index_writer_clear(struct label_index_writer *writer);

/* Its memory. */
size_t label_index_writer_size_bytes(const struct label_index_writer *writer);

#endif
