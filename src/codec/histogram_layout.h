/*
 * histogram_layout - which buckets the histograms of a chunk have: what encoder and decoder share.
 *
 * A layout is a pair of span lists. A family is what samples need in common for their buckets to
 * be columns: kind, schema, zero threshold and custom bounds. The columns of a family are all
 * bucket indexes that any of its layouts has, ascending, the positive side first.
 */
#ifndef CODEC_HISTOGRAM_LAYOUT_H
#define CODEC_HISTOGRAM_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/limits.h"
#include "model/sample.h"

enum histogram_side { SIDE_POSITIVE, SIDE_NEGATIVE, SIDES };

struct layout_side {
    const struct histogram_span *spans; /* [span_count] */
    uint32_t span_count;
    uint32_t bucket_count; /* lengths added up */
};

struct histogram_layout {
    uint32_t family;
    struct layout_side sides[SIDES];
    uint64_t hash; /* the encoder's, to find equal ones */
};

/* Bucket indexes as ascending intervals that do not touch. */
struct bucket_interval {
    int64_t begin;
    int64_t end;
};

struct bucket_set {
    struct bucket_interval *intervals; /* [count] */
    size_t count;
    uint64_t bucket_count;
};

struct histogram_family {
    enum histogram_kind kind;
    int32_t schema;
    double zero_threshold;
    uint32_t bound_count;
    const double *bounds; /* [bound_count] */
    struct bucket_set columns[SIDES];
    uint32_t sample_count;
    uint16_t *samples; /* [sample_count] positions in the chunk, ascending */
};

struct column_cursor {
    uint32_t span;
    uint32_t ordinal; /* of the first bucket of the span */
    int64_t begin;    /* index of that bucket */
};

/* All of a chunk; each array has as many elements as the chunk has samples. */
struct histogram_layouts {
    struct histogram_family *families;
    size_t family_count;
    struct histogram_layout *layouts;
    size_t layout_count;
    uint16_t *layout_of; /* of each sample */
    /* Of the walk that goes on, by layout. */
    struct column_cursor *cursors;
    int32_t *ordinals;
};

/* No layouts yet, for `count` samples, in the arena; false when memory is out. */
bool histogram_layouts_init(struct histogram_layouts *layouts, size_t count, struct arena *arena);

/* Whether the spans are sound: at most HISTOGRAM_BUCKETS_MAX of them and of their buckets, no
 * negative offset but the first. Sets *bucket_count_out then. */
bool spans_are_sound(const struct histogram_span *spans, uint32_t span_count,
                     uint32_t *bucket_count_out);

/* `set` and the buckets of `side`, as a new set in the arena; false when memory is out. */
bool bucket_set_join(const struct bucket_set *set, const struct layout_side *side,
                     struct arena *arena, struct bucket_set *joined_out);

/* List the samples of each family from layout_of; false when memory is out. */
bool histogram_layouts_assign(struct histogram_layouts *layouts, size_t count, struct arena *arena);

/* --- Walking over the columns of one side of a family ---------------------------------------- */

enum { BUCKET_ABSENT = -1 };

struct column_walk {
    const struct histogram_layouts *layouts;
    uint32_t family;
    enum histogram_side side;
    size_t interval;
    int64_t index;           /* of the current column */
    const int32_t *ordinals; /* which bucket of each layout it is, or BUCKET_ABSENT */
};

/* Before the first column. One walk over the layouts at a time. */
struct column_walk column_walk_begin(const struct histogram_layouts *layouts, uint32_t family,
                                     enum histogram_side side);

/* The next column with its ordinals; false behind the last. */
bool column_walk_next(struct column_walk *walk);

#endif
