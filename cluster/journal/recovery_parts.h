/*
 * recovery_parts - a recovery while it is made, shared by its passes:
 *
 *   recovery_read.c   find the segments of all lanes, read and check them (in parallel)
 *   recovery_chain.c  decide how much counts of each chain of segments
 *   recovery.c        add up the records; what users see
 *   readback.c        entries are read again when they are wanted
 *
 * Nothing on the disk is changed before all of that is known. The rules: docs/formats/journal.md.
 */
#ifndef JOURNAL_RECOVERY_PARTS_H
#define JOURNAL_RECOVERY_PARTS_H

#include "recovery.h"
#include "scan.h"

struct found {
    uint32_t lane;
    uint64_t sequence;
    uint64_t size_bytes;
    struct segment_scan scan;
    struct error error; /* of reading it; CORRUPT is damage, not failure */
    struct segment *segment;

    /* Where a checkpoint says it ends, the newest one that speaks of it. */
    bool listed;
    bool listed_by_own_generation;
    uint64_t listed_generation, listed_sequence; /* of who says so */
    uint64_t listed_last_batch;
    const struct found *spoken_of_by; /* the latest checkpoint looked at that lists it */

    uint64_t accepted_last_batch; /* 0: nothing in it counts */
    bool spare;                   /* a file of no content */
    bool discarded;
    bool damaged;
};

/* A file whose header is gone, to be set aside once the groups of its lane are marked. */
struct unreadable {
    uint32_t lane;
    uint64_t sequence;
};

struct lane_end {
    uint32_t lane;
    uint64_t sequence_max;
};

struct journal_recovery {
    struct disk *disk;
    char directory[DISK_PATH_MAX + 1];
    struct found *found; /* [found_count], by generation, lane, sequence */
    size_t found_count, found_capacity;
    struct lane_end lanes[JOURNAL_LANES_MAX];
    size_t lane_count;
    uint64_t lane_listed; /* while listing */
    bool out_of_memory;
    struct group_index index;
    struct archive *archive;
    struct journal_group *groups; /* [group_count], by id, without deleted ones */
    uint8_t **snapshots;          /* [group_count], payloads; NULL without one */
    size_t group_count;
    atomic_size_t adopted_count;
    atomic_bool opened; /* a journal has begun a segment of its own */
    struct journal_damage *damage;
    size_t damage_count, damage_capacity;
    struct unreadable *unreadable;
    size_t unreadable_count;
    struct journal_recovery_summary summary;
};

/* recovery.c: one more place; without memory for it, the recovery fails in the end. */
void damage_add(struct journal_recovery *recovery, const struct found *found, uint64_t offset,
                const char *message);

/* recovery_read.c */
enum error_code recovery_find_files(struct journal_recovery *recovery, struct error *error);
/* Afterwards `found` is sorted by generation, lane and sequence. */
enum error_code recovery_read_files(struct journal_recovery *recovery, struct worker_pool *pool,
                                    struct error *error);
int found_compare(const void *left, const void *right);

/* recovery_chain.c: sets accepted_last_batch, discarded and damaged. */
void recovery_decide(struct journal_recovery *recovery);

#endif
