/*
 * segment - one file of a lane, and the archive of those that earlier runs left.
 */
#ifndef JOURNAL_SEGMENT_H
#define JOURNAL_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/disk.h"

/*
 * `holds` counts what needs the file: its live records, and one each for being in use, being
 * copied out of, and a recovery that is still open. At zero the file may go. Counts of an archived
 * segment change on the threads of all lanes that adopted groups with records in it.
 */
struct segment {
    uint32_t lane;
    uint64_t generation;
    uint64_t sequence;
    uint64_t size_bytes;
    uint64_t salt;
    uint64_t last_batch; /* placed in it, or found in it */
    _Atomic int64_t holds;
    _Atomic int64_t live_bytes;
    bool archived; /* of an earlier generation */

    /* Of the lane that writes it. */
    struct segment *next;
    struct file *file;
    uint64_t write_offset;
    uint64_t opened_ns;
    uint64_t closed_at_bytes; /* the lane's byte count when the next segment took over */
    atomic_bool copy_failed;  /* something in it cannot be read */
};

/* The segments of earlier generations: shared by the recovery and the journals opened from it. */
struct archive {
    atomic_size_t references;
    struct segment **segments; /* [count] */
    size_t count;
    atomic_size_t alive; /* segments whose file is still there */
};

/* One record of a segment. */
struct location {
    struct segment *segment; /* NULL: nowhere */
    uint32_t offset_units;   /* of 8 bytes, from the start of the file */
    uint32_t payload_bytes;
};

void archive_unref(struct archive *archive); /* NULL is fine */

/* "<directory>/<lane>" and a file in it. */
enum segment_name { SEGMENT_NAME_FINAL, SEGMENT_NAME_SPARE, SEGMENT_NAME_DAMAGED };
void lane_path(char path[DISK_PATH_MAX + 1], const char *directory, uint32_t lane);
void segment_path(char path[DISK_PATH_MAX + 1], const char *directory, uint32_t lane,
                  uint64_t sequence, enum segment_name name);

#endif
