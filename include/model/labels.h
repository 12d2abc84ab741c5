/*
 * labels - the identity of a series: names and values, sorted by name.
 *
 * The canonical encoding is what is hashed, stored and compared everywhere:
 * for each label, by name in byte order, each name once, no empty value:
 *
 *   varint name length | name | varint value length | value
 *
 * The tenant and the slot are not part of it; who stores labels stores them beside it.
 */
#ifndef MODEL_LABELS_H
#define MODEL_LABELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/text.h"

/* The label that holds the metric's name. */
#define LABEL_METRIC_NAME TEXT("__name__")

struct label {
    struct text name;
    struct text value;
};

/* A view of canonical bytes that somebody else owns. */
struct labels {
    const uint8_t *bytes; /* [size] */
    uint32_t size;
};

/* Walk: `struct labels_cursor cursor = labels_begin(labels); while (labels_next(&cursor, &label))`.
 * Only over bytes known to be canonical (labels_decode, or made here). */
struct labels_cursor {
    struct byte_reader reader;
};

static inline struct labels_cursor labels_begin(struct labels labels)
{
    return (struct labels_cursor){byte_reader_over(labels.bytes, labels.size)};
}

bool labels_next(struct labels_cursor *cursor, struct label *label_out);

size_t labels_count(struct labels labels);

/* The value of `name`; empty when there is no such label. */
struct text labels_get(struct labels labels, struct text name);

static inline bool labels_equal(struct labels left, struct labels right)
{
    return left.size == right.size &&
           (left.size == 0 || memcmp(left.bytes, right.bytes, left.size) == 0);
}

/* Prometheus' order of series in answers: label by label, name then value; then the fewer. */
int labels_compare(struct labels left, struct labels right);

/* Identity inside a process or a file; see base/checksum.h for the seed. */
static inline struct hash128 labels_hash(struct labels labels, uint64_t seed)
{
    return hash128(labels.bytes, labels.size, seed);
}

/*
 * Check bytes from outside: sorted, unique, non-empty names and values, within the limits of
 * base/limits.h, nothing left over. Errors: CORRUPT, LIMIT.
 */
enum error_code labels_decode(const uint8_t *bytes, size_t size, struct labels *labels_out,
                              struct error *error);

/* Sort `array` by name, in place; labels with an empty value leave (Prometheus: the same as not
 * there). Returns the new count. */
size_t label_array_sort(struct label *array, size_t count);

/* The canonical encoding of a sorted array, appended to `buffer` (whose `failed` tells). */
void labels_encode(const struct label *sorted, size_t count, struct byte_buffer *buffer);

/* The canonical encoding of an array in any order, in the arena; bytes is NULL when memory is
 * out. Of equal names the first wins. */
struct labels labels_build(struct arena *arena, struct label *array, size_t count);

/* A copy in the arena; bytes is NULL when memory is out (or the labels are empty). */
struct labels labels_copy(struct arena *arena, struct labels labels);

/* `labels` with only (keep true: by) or all but (keep false: without) the named ones, in the
 * arena. `names` is sorted. */
enum labels_keep { LABELS_KEEP_NAMED, LABELS_DROP_NAMED };
struct labels labels_project(struct arena *arena, struct labels labels, enum labels_keep keep,
                             const struct text *names, size_t name_count);

/* {a="b", c="d"} with the metric's name in front, as Prometheus prints series: quoted names where
 * they are not plain identifiers. Written to `target`, NUL-terminated, cut to fit. */
const char *labels_format(char *target, size_t target_bytes, struct labels labels);

/* [a-zA-Z_][a-zA-Z0-9_]* ; metric names also take ':'. */
bool label_name_is_legacy(struct text name);
bool metric_name_is_legacy(struct text name);

#endif
