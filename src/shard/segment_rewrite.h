/*
 * segment_rewrite - which series segments a freeze writes anew, and the writing. Private to shard.
 *
 * A freeze makes one segment of the series that came since the one before, and with them of the
 * segments right before it as far as that pays: so that of all segments each is larger than what
 * follows it together, and none is dead by more than a quarter. What is decided follows from the
 * log alone: every replica has the same segments.
 */
#ifndef SHARD_SEGMENT_REWRITE_H
#define SHARD_SEGMENT_REWRITE_H

#include "base/error.h"
#include "block/series_segment_reader.h"
#include "head/memory_index.h"
#include "platform/disk.h"

#include "id_set.h"

/* A segment as the log knows it; here it may not be written yet. */
struct shard_segment {
    uint64_t name;     /* index of the freeze that made it */
    uint64_t first_id; /* its ids are from here on and before those of the next one */
    uint64_t series_count;
    uint64_t forgotten_count; /* of them */
    bool damaged;             /* here: not every page can be read */
    bool is_replaced;         /* a sound file bears its name, and is to be opened */
};

/* The first of the segments (by rising ids) that a freeze with so many new series writes anew;
 * those behind it too. `count` when it is none. */
size_t segment_rewrite_from(const struct shard_segment *segments, size_t count,
                            uint64_t new_series_count);

/* Series alive in the segments from `from` on. */
uint64_t segment_rewrite_live_count(const struct shard_segment *segments, size_t from,
                                    size_t count);

/* The inputs of one rewrite, held open. */
struct segment_rewrite {
    struct series_segment **segments; /* [segment_count], owned, by rising ids */
    size_t segment_count;
    struct id_set *forgotten;   /* those are left out; NULL: none */
    struct memory_index *index; /* the new series, behind all of the segments */
    uint64_t index_count;
};

void segment_rewrite_clear(struct segment_rewrite *rewrite);

/* Write the file and sync it; the caller syncs the folder. *series_count_out is 0 when nothing is
 * left to write: then there is no file. Errors: CORRUPT, NO_SPACE, IO, OUT_OF_MEMORY. */
enum error_code segment_rewrite_run(const struct segment_rewrite *rewrite, struct disk *disk,
                                    const char *path, uint64_t *series_count_out,
                                    struct error *error);

#endif
