/*
 * backup - what a bucket has of a cluster, copied to another store, and back.
 *
 *   backup_run    the newest lists and what they name -> a store of backups, incremental
 *   restore_run   a point of such a store -> an empty bucket, from which `gnomon cluster recover`
 *                 makes a cluster
 *
 * Both can be broken off at any place and run again: what was copied is not copied again. All
 * blocking, on the caller's thread and `copies_at_once` others.
 */
#ifndef BACKUP_BACKUP_H
#define BACKUP_BACKUP_H

#include <stdint.h>

#include "base/error.h"
#include "object/object_store.h"

/* Blocks that are there or have been copied, of all; also once before the first. On one thread at
 * a time. */
struct backup_progress {
    uint64_t blocks, bytes;               /* to be in the target */
    uint64_t done_blocks, done_bytes;     /* of these */
    uint64_t copied_blocks, copied_bytes; /* of these, by this run */
};
typedef void backup_report(void *context, const struct backup_progress *progress);

struct backup_options {
    struct object_store *source;
    struct object_store *target;
    const char *scratch;     /* a folder for blocks on their way, one file for each copy at once */
    uint32_t copies_at_once; /* at least 1 */
    backup_report *report;
    void *context;
};

struct backup_result {
    int64_t time_ms; /* the point */
    struct backup_progress progress;
    uint64_t samples;
    uint64_t removed_points, removed_objects; /* of backups before */
};

/*
 * Copy what the source's newest lists name and the target does not have, then name it as the point
 * `now_ms`. Of all points the newest `keep` stay (0: all), and objects that only others named are
 * removed.
 *
 * Errors: those of the stores; NOT_FOUND (nobody uploads to the source), CONFLICT (the target is a
 * bucket in use, or has backups of another cluster), CORRUPT (an object is not what its list says),
 * UNAVAILABLE (blocks disappear faster than they are copied: delete_grace is too short),
 * IO, NO_SPACE (the scratch folder), OUT_OF_MEMORY.
 */
enum error_code backup_run(const struct backup_options *options, int64_t now_ms, uint32_t keep,
                           struct backup_result *result_out, struct error *error);

/*
 * Make the target, which has nothing of a cluster, a bucket as the source was at the point
 * `time_ms`; INT64_MAX: the newest.
 *
 * Errors: those of the stores; NOT_FOUND (no such point), CONFLICT (the target is not empty),
 * CORRUPT, IO, NO_SPACE, OUT_OF_MEMORY.
 */
enum error_code restore_run(const struct backup_options *options, int64_t time_ms,
                            struct backup_result *result_out, struct error *error);

#endif
