/*
 * view - what a query sees of a shard: references to everything readable at one moment. Private
 * to shard.
 *
 * A view never changes. The loop publishes a new one whenever the list of pieces changes (freeze,
 * part written, merge); a query pins the current one with a reference. Samples that arrive later
 * are seen through the growing head and index, which are shared.
 */
#ifndef SHARD_VIEW_H
#define SHARD_VIEW_H

#include <stdatomic.h>

#include "block/block_reader.h"
#include "block/part_reader.h"
#include "block/series_segment_reader.h"
#include "head/head.h"
#include "head/memory_index.h"

#include "shard/slots.h"

#include "id_set.h"
#include "retention_cut.h"
#include "tombstones.h"

struct view_head {
    struct head *head;
    uint64_t index; /* of its freeze; VIEW_GROWING: still written */
};

#define VIEW_GROWING UINT64_MAX

struct view_part {
    struct part *part;
    uint64_t index;   /* of the freeze that made it */
    int64_t start_ms; /* oldest and newest timestamp */
    int64_t end_ms;
    uint64_t size_bytes;
    bool is_unsplit; /* it has series of slots that are another shard's */
};

struct view_block {
    struct block *block;
    uint64_t index; /* of the merge start that made it */
    int64_t start_ms;
    int64_t end_ms;
    int64_t window_end_ms; /* behind end_ms */
    uint64_t size_bytes;
    bool is_unsplit; /* as a part's */
    bool is_absent;  /* its file is not here */
};

struct view {
    atomic_size_t references;
    /* Arrays live in the same allocation; each element holds a reference. */
    struct view_head *heads; /* [head_count], oldest first, the last one grows */
    size_t head_count;
    struct view_part *parts;
    size_t part_count;
    struct view_block *blocks;
    size_t block_count;
    struct memory_index **indexes;
    size_t index_count;
    struct series_segment **segments;
    size_t segment_count;
    struct tombstones *tombstones; /* NULL: none */
    struct retention_cut retention;
    struct id_set *forgotten; /* dead ids that segments still hold; NULL: none */
    struct slot_set owned;    /* series of other slots are not seen */
    bool lacks_slots;         /* `owned` is not all there are */
    uint32_t split_count;     /* how often the shard was split */
};

/* The pieces of a new view; arrays are copied, references taken. NULL when memory is out. */
struct view *view_create(const struct view *pieces);
struct view *view_ref(struct view *view);
void view_unref(struct view *view); /* NULL is fine */

/* Whether heads or parts may have samples in [start_ms, end_ms]: what is found by the registry. */
bool view_has_registered(const struct view *view, int64_t start_ms, int64_t end_ms);

/* Whether samples in the range may have been deleted, or be past their retention, of whatever
 * series. */
bool view_has_deletions(const struct view *view, int64_t start_ms, int64_t end_ms);

#endif
