/*
 * label_fetch - which parts of a remote label index a query is about to read.
 *
 * Each call adds to a list what is needed and can be told from what is near: the nodes of trees and
 * the names, at the end of the file, and what was fetched before. What turns out to be needed
 * besides is read then, page by page. Errors of all: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY, and
 * those of page_source_fetch.
 */
#ifndef BLOCK_LABEL_FETCH_H
#define BLOCK_LABEL_FETCH_H

#include "label_index.h"
#include "range_list.h"

/* All leaves of a tree with entries in [first, end). */
enum error_code tree_fetch_ordinals(const struct tree *tree, uint64_t first, uint64_t end,
                                    struct range_list *list, struct error *error);

/* All leaves with one of these entries, ascending. */
enum error_code tree_fetch_positions(const struct tree *tree, struct positions positions,
                                     struct range_list *list, struct error *error);

/* Pairs and their lists that the matcher asks for. */
enum error_code label_fetch_matcher(const struct label_index *index, struct text tenant,
                                    const struct matcher *matcher, struct range_list *list,
                                    struct error *error);

/* All values of a name with their lists; of the name without text: the list of all series. */
enum error_code label_fetch_values(const struct label_index *index, struct text tenant,
                                   struct text name, struct text prefix, struct range_list *list,
                                   struct error *error);

/* Texts of the labels of series, ascending; reads their pages of labels. */
enum error_code label_fetch_texts(const struct label_index *index, struct positions positions,
                                  struct range_list *list, struct error *error);

/* Both now: first pages, then texts. Nothing when the file is here. */
enum error_code label_fetch_labels(const struct label_index *index, struct positions positions,
                                   struct error *error);

#endif
