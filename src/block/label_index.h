/*
 * label_index - the index of a series segment or block as an index_source.
 *
 * Byte layout: docs/formats/pages.md, "Label index". Immutable after opening, but for what it
 * remembers of lists; any thread.
 */
#ifndef BLOCK_LABEL_INDEX_H
#define BLOCK_LABEL_INDEX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "key_table.h"
#include "label_index_writer.h"
#include "model/index_source.h"
#include "page_file.h"
#include "page_tree.h"
#include "tenant_list.h"

/* Digests of lists that were read. A slot holds one when its parts belong together: key is that of
 * the list XOR the digest. */
enum { LIST_DIGESTS = 8 };
struct list_digest {
    _Atomic uint64_t digest;
    _Atomic uint64_t key_and_digest;
};

struct label_index {
    struct index_source source;
    const struct page_file *file;
    const struct tenant_list *tenants;
    enum label_columns columns;
    struct table names;
    struct table pairs;
    struct tree labels;
    uint32_t series_count;
    struct list_digest digests[LIST_DIGESTS];
};

/* `file` and `tenants` outlive the index. Errors: CORRUPT. */
enum error_code label_index_open(struct label_index *index, const struct page_file *file,
                                 const struct tenant_list *tenants, enum label_columns columns,
                                 struct error *error);

/* The number of a name of a tenant; of the name without text, that of all its series. Errors:
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code label_index_find_name(const struct label_index *index, struct text tenant,
                                      struct text name, uint32_t *number_out, bool *found_out,
                                      struct error *error);

/* --- Rows of the label pages ------------------------------------------------------------------ */

struct label_row {
    uint32_t position;
    uint32_t tenant;
    uint16_t slot;
    uint64_t id;     /* LABEL_COLUMNS_SEGMENT; else 0 */
    uint64_t target; /* LABEL_COLUMNS_SEGMENT; else 0 */
    uint32_t pair_count;
    uint32_t pairs[LABELS_PER_SERIES_MAX];
};

/* A walk over rows. Zero-initialise with `index`; clear at the end. One thread. */
struct label_rows {
    const struct label_index *index;
    struct page_pin pin;
    struct byte_reader reader;
    uint32_t rows_left; /* of the open page, behind `row` */
    bool valid;         /* `row` is one */
    struct label_row row;
};

/* To the row of a position; short steps forward are cheap. Errors: NOT_FOUND (beyond the last),
 * CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code label_rows_seek(struct label_rows *rows, uint32_t position, struct error *error);

/* To the row with this id; rows->valid is false when there is none. Errors: as seek. */
enum error_code label_rows_seek_id(struct label_rows *rows, uint64_t id, struct error *error);
void label_rows_clear(struct label_rows *rows);

/* --- Pairs back to labels --------------------------------------------------------------------- */

struct pair_slot;

/* Texts of label pairs, remembered. Zero-initialise with `index`; clear at the end. One thread. */
struct pair_texts {
    const struct label_index *index;
    struct arena *arena;     /* what is remembered */
    struct pair_slot *slots; /* [slot_count], a power of two */
    size_t slot_count;
    size_t count;
    struct table_cursor names;
    struct table_cursor pairs;
};

/* One pair as it stands in canonical labels, which lives as long as `texts` but is not remembered:
 * for who asks for each once, by ascending number. Errors: CORRUPT, UNSUPPORTED, IO,
 * OUT_OF_MEMORY. */
enum error_code pair_texts_read(struct pair_texts *texts, uint32_t number, struct text *encoded_out,
                                struct error *error);

/* The canonical labels of a row, in `arena`. Errors: CORRUPT, UNSUPPORTED, IO, OUT_OF_MEMORY. */
enum error_code pair_texts_labels(struct pair_texts *texts, const struct label_row *row,
                                  struct arena *arena, struct labels *labels_out,
                                  struct error *error);
void pair_texts_clear(struct pair_texts *texts);

#endif
