/*
 * label_pages - labels of series from decoded pages that the page cache keeps.
 *
 * For queries, which read the same labels again and again. Rows of 64 neighbouring series are kept
 * as numbers of pairs, and neighbouring pairs as they stand in canonical labels, so that the labels
 * of a series are some copies of bytes. Who walks over a file once uses label_rows and pair_texts.
 */
#ifndef BLOCK_LABEL_PAGES_H
#define BLOCK_LABEL_PAGES_H

#include "label_index.h"

/* Decoded together: about a leaf of the table. */
enum { PAIR_GROUP_PAIRS = 128 };

struct pair_group;

/* What one reader has pinned. One thread. */
struct label_pages {
    const struct label_index *index;
    struct page_pin rows; /* of the group of `first_position` */
    uint32_t first_position;
    struct pair_group *groups; /* all groups of pairs, pinned when first used */
    uint32_t last_group;       /* head of the chain of pinned ones */
};

/* Errors: OUT_OF_MEMORY. `pages` can be cleared in any case. */
enum error_code label_pages_init(struct label_pages *pages, const struct label_index *index,
                                 struct error *error);

/* The canonical labels of a series, in `arena`. Errors: NOT_FOUND (beyond the last), CORRUPT,
 * UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code label_pages_labels(struct label_pages *pages, uint32_t position,
                                   struct arena *arena, struct labels *labels_out,
                                   struct error *error);
/* What tells the series from others (model/label_identity.h). Errors: as above. */
enum error_code label_pages_identity(struct label_pages *pages, uint32_t position,
                                     struct hash128 *identity_out, struct error *error);
void label_pages_clear(struct label_pages *pages);

#endif
