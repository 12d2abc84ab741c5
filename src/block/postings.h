/*
 * postings - ascending positions in the smallest of three forms.
 *
 * Byte layout: docs/formats/pages.md, "Postings". Pure functions.
 */
#ifndef BLOCK_POSTINGS_H
#define BLOCK_POSTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "model/index_source.h"

enum postings_form { POSTINGS_DIFFERENCES, POSTINGS_RUNS, POSTINGS_BITMAP, POSTINGS_FORMS };

/* The byte in front of a list in a payload: the form, and whether the list is on a page. */
enum { POSTINGS_FORM_MASK = 3, POSTINGS_EXTERNAL = 4 };

/* Append the list, count > 0, to `target` in the form that takes the fewest bytes. When memory is
 * out the buffer's `failed` tells. */
enum postings_form postings_encode(const uint32_t *positions, size_t count,
                                   struct byte_buffer *target);

/* Decode exactly `size` bytes to `count` positions, ascending and below `limit`, that are handed
 * out some at a time. Errors: CORRUPT. */
enum error_code postings_walk(enum postings_form form, const uint8_t *bytes, size_t size,
                              uint32_t limit, size_t count, index_positions_visit *visit,
                              void *context, struct error *error);

#endif
