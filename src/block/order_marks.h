/*
 * order_marks - roughly where in a block the series of a metric, job and instance are.
 *
 * A table with one series of each 256, by its place in block order. It says which pages of
 * directory and labels a query will need before its postings are read; a wrong or missing mark
 * costs time, never an answer. Byte layout: docs/formats/block.md, "Order".
 */
#ifndef BLOCK_ORDER_MARKS_H
#define BLOCK_ORDER_MARKS_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "block/block_order.h"
#include "key_table.h"

/* As many as a page of labels has, and at most one of the directory. */
enum { ORDER_MARK_SERIES = 256, ORDER_MARK_BYTES_MAX = 512 };

/* --- Writing ---------------------------------------------------------------------------------- */

/* Zero-initialise. */
struct order_marks_writer {
    struct byte_buffer marks;
};

/* The next series. When memory is out finish says so. */
void order_marks_add(struct order_marks_writer *writer, uint32_t position, uint32_t tenant,
                     const struct block_order_key *key);

/* Have the section TOC_ORDER written at the end of the file. The writer is empty. Errors:
 * OUT_OF_MEMORY. */
enum error_code order_marks_finish(struct order_marks_writer *writer, struct page_writer *pages,
                                   struct error *error);
void order_marks_clear(struct order_marks_writer *writer);

/* --- Reading ---------------------------------------------------------------------------------- */

/* What is known of series: `names` of the metric, the job and the instance, in this order. */
struct order_prefix {
    uint32_t tenant;
    struct text texts[3]; /* [count] */
    size_t count;
};

/* Series with this prefix are at positions in [*first_out, *end_out), and others too; *end_out is
 * UINT32_MAX when the last of them may be the last of the block. Errors: CORRUPT, UNSUPPORTED, IO,
 * OUT_OF_MEMORY. */
enum error_code order_marks_find(const struct table *marks, const struct order_prefix *prefix,
                                 uint32_t *first_out, uint32_t *end_out, struct error *error);

#endif
