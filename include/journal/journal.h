/*
 * journal - the log that all Raft groups of one loop thread share.
 *
 * One journal writes one lane: a sequence of segment files, `<directory>/<lane>/<n>.segment`.
 * Records of all groups are gathered into batches while an earlier batch is on its way to the
 * device, so that one durable write serves many groups. The journal knows groups, indexes and
 * terms, never what a payload means. Byte layout: docs/formats/journal.md.
 *
 * Life: journal_recover() at start-up checks whatever lanes are on the disk, from any number of
 * loops before; each loop then opens its lane and adopts the groups it will serve (on any lane,
 * whichever wrote them before) and reads what it needs of their entries (journal/replay.h);
 * journal_recovery_close() lets the old segments go.
 *
 * Threads: a journal belongs to its loop; every call and every callback is on that thread. A
 * recovery is read-only once made and may be read, and adopted from, by several loops at once.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "platform/environment.h"

struct journal;
struct journal_recovery;
struct worker_pool;

enum {
    /* Of one entry or one snapshot. */
    JOURNAL_PAYLOAD_BYTES_MAX = 16 * 1024 * 1024,
    JOURNAL_LANES_MAX = 1024,
    /* Powers of two of microseconds: [i] counts syncs below 2^i us, the last one all others. */
    JOURNAL_LATENCY_BUCKETS = 24,
};

/* --- Records --------------------------------------------------------------------------------- */

struct journal_entry {
    uint64_t index; /* at least 1 */
    uint64_t term;
    uint8_t kind;    /* the owner's; stored as it is */
    uint8_t version; /* of the payload's format; stored as it is */
    const uint8_t *payload;
    uint32_t payload_bytes;
};

enum journal_snapshot_mode {
    JOURNAL_SNAPSHOT_TAKEN,     /* of this replica's own state: entries after low_water stay */
    JOURNAL_SNAPSHOT_INSTALLED, /* from another replica: every entry goes, next is index + 1 */
};

/* Replaces the group's snapshot before it. Payload and mark take effect together. */
struct journal_snapshot {
    uint64_t index; /* last entry that is in the snapshot; at least 1 */
    uint64_t term;  /* of that entry */
    /* Entries <= low_water are not needed any more. At most `index`; INSTALLED: ignored. */
    uint64_t low_water;
    enum journal_snapshot_mode mode;
    uint8_t version;
    const uint8_t *payload;
    uint32_t payload_bytes;
};

/*
 * Something submitted. The caller's; stays in place until `done` ran, which is on the loop, never
 * inside the call, when the records are on stable storage. All requests of a journal finish in
 * the order in which they were submitted, whatever their groups. There is no failure: a journal
 * that cannot write reports `fatal` and finishes nothing any more.
 */
struct journal_request {
    void (*done)(struct journal_request *request);
    struct journal_request *next; /* the journal's */
};

/* --- Opening --------------------------------------------------------------------------------- */

enum journal_space {
    JOURNAL_SPACE_OK,
    /* The disk has no room for more than what is reserved: refuse new writes. What is submitted
     * all the same (metadata, snapshots, marks, deletions) uses the reserve; when that is used up
     * requests wait, unfinished, until segments become free. */
    JOURNAL_SPACE_LOW,
};

enum journal_durability {
    JOURNAL_DURABLE,
    JOURNAL_UNSAFE_FOR_TESTS, /* writes without sync: shows that the simulation notices */
};

struct journal_options {
    const char *directory;      /* on the disk, such as "journal"; created when missing */
    uint32_t lane;              /* below JOURNAL_LANES_MAX, one journal each */
    uint32_t in_flight_max;     /* batches on their way to the device at once; 0: 2 */
    uint64_t segment_bytes_min; /* of the first segments; 0: 4 MiB */
    /* Of a log that was trimmed, at most segment_bytes_min; 0: 256 KiB. */
    uint64_t segment_bytes_lean;
    uint64_t segment_bytes_max; /* reached by doubling under load; 0: 64 MiB */
    uint64_t queue_bytes_max;   /* of records not yet durable; 0: 64 MiB. See journal_has_room */
    /* Bytes written after a segment until the little that lives in it is copied forward; 0: four
     * times segment_bytes_max. */
    uint64_t pinned_bytes_max;
    /* Below this much free disk, or half of it where that is less, the space is LOW; 0: two
     * segments. */
    uint64_t free_bytes_min;
    enum journal_durability durability;
};

struct journal_events {
    void *context;
    /* A write or a sync failed: what is durable is unknown and the process must end. At most
     * once; no request finishes after it. */
    void (*fatal)(void *context, const struct error *error);
    /* May be NULL. Called on every change; the space is OK when the journal opens. */
    void (*space_changed)(void *context, enum journal_space space);
};

/*
 * Open the lane for writing and adopt `groups` [group_count] out of `recovery`: their entries,
 * snapshots and metadata are what this journal continues from. Every recovered group must be
 * adopted by exactly one journal; one that is not wanted is adopted and deleted. Groups that are
 * not in the recovery are created by their first record.
 *
 * Blocks (one segment is allocated and synced): call it before the loop serves. `environment`,
 * the strings of `options` and `events->context` outlive the journal.
 *
 * Errors: NO_SPACE, IO, OUT_OF_MEMORY, NOT_FOUND (a group that was not recovered).
 */
enum error_code journal_open(struct environment *environment, const struct journal_options *options,
                             const struct journal_events *events, struct journal_recovery *recovery,
                             const uint64_t *groups, size_t group_count,
                             struct journal **journal_out, struct error *error);

/*
 * Finish what was submitted, make the log small as journal_trim() does, then free the journal and
 * call `closed`, on the loop and not inside the call. What cannot be finished, after a fatal error
 * or with the disk and the reserve full, is dropped without its callbacks. Nothing may be submitted
 * after this.
 */
void journal_close(struct journal *journal, void (*closed)(void *context), void *context);

/*
 * Give disk space back, after much of the log became dispensable: segments that hold nothing are
 * removed, and if little is live (half of segment_bytes_lean) it moves to a small segment. Goes on
 * beside what is submitted; under load the segments grow again.
 */
void journal_trim(struct journal *journal);

/* --- Writing --------------------------------------------------------------------------------- */

/*
 * Payloads are copied inside the call. `request` may be NULL when nobody waits; order holds all
 * the same. Nothing is refused here: ask journal_has_room() before work is taken from outside.
 */

/* Consecutive indexes; the first must be the group's next index. */
void journal_append(struct journal *journal, uint64_t group, const struct journal_entry *entries,
                    size_t entry_count, struct journal_request *request);

/* Drop entries >= index. No effect when there are none. */
void journal_truncate(struct journal *journal, uint64_t group, uint64_t index,
                      struct journal_request *request);

void journal_set_metadata(struct journal *journal, uint64_t group, uint64_t term, uint64_t vote,
                          struct journal_request *request);

/* Drop entries <= index. Never goes back; beyond the last entry, the next index becomes
 * index + 1. */
void journal_set_low_water(struct journal *journal, uint64_t group, uint64_t index,
                           struct journal_request *request);

void journal_set_snapshot(struct journal *journal, uint64_t group,
                          const struct journal_snapshot *snapshot, struct journal_request *request);

/* Everything of the group goes. Its id may be used again afterwards. */
void journal_delete_group(struct journal *journal, uint64_t group, struct journal_request *request);

/* Finishes when everything submitted before it is durable. */
void journal_barrier(struct journal *journal, struct journal_request *request);

/* Whether `bytes` more of payload fit into the queue's budget. */
bool journal_has_room(const struct journal *journal, uint64_t bytes);

enum journal_space journal_space(const struct journal *journal);

/* Of all that was submitted: the group's first index kept, and the next one to append (1 and 1
 * for an unknown group). */
struct journal_range {
    uint64_t first_index;
    uint64_t next_index;
};
struct journal_range journal_group_range(const struct journal *journal, uint64_t group);

/*
 * Entries read back from the disk while the journal runs, for who keeps only the newest in memory.
 * The caller's until `done`, which is on the loop and not inside the call, also in a journal that
 * closes.
 */
struct journal_read {
    uint64_t group;
    uint64_t first_index;
    uint64_t end_index; /* read up to here, but no more than about a MiB; at least one */
    /* `entries` [count], from first_index on, until it returns. None, with an error: NOT_FOUND (not
     * there, or not any more), IO, CORRUPT, OUT_OF_MEMORY. */
    void (*done)(struct journal_read *read, const struct journal_entry *entries, size_t count,
                 const struct error *error);
};

/* The entries must be durable. */
void journal_read(struct journal *journal, struct journal_read *read);

/*
 * The group whose live records hold back the oldest segment, for whoever decides which group is
 * frozen next; false when only the segment in use is live.
 */
bool journal_oldest_group(const struct journal *journal, uint64_t *group_out);

struct journal_statistics {
    uint64_t batches, batch_bytes; /* written and durable, padding included */
    uint64_t records, payload_bytes;
    uint64_t copied_records, copied_bytes; /* forward, out of old segments */
    uint64_t segments_created, segments_recycled, segments_removed;
    uint64_t trims;  /* times the log moved to a small segment */
    uint64_t stalls; /* times a batch waited for a segment to be prepared */
    uint64_t queued_bytes, queued_bytes_max;
    uint64_t live_bytes;                                /* of records still needed */
    uint64_t segment_count, segment_bytes;              /* of this lane, prepared ones included */
    uint64_t write_latency_us[JOURNAL_LATENCY_BUCKETS]; /* submission to durable, a batch */
    uint64_t write_latency_us_sum;
    uint64_t write_age_us; /* of the oldest batch on its way to the device; 0: none */
};
void journal_get_statistics(const struct journal *journal, struct journal_statistics *out);

/* --- Recovery -------------------------------------------------------------------------------- */

enum journal_damage_policy {
    JOURNAL_DAMAGE_REFUSE, /* CORRUPT, nothing is recovered, nothing is changed on disk */
    JOURNAL_DAMAGE_REPORT, /* recover what is whole; see journal_recovery_damage() */
};

struct journal_recovery_options {
    const char *directory;
    struct worker_pool *pool; /* segments are checked in parallel; NULL: one by one */
    enum journal_damage_policy damage_policy;
};

/*
 * Check all lanes and tell what they hold; of entries only where they are. Blocking; the journal
 * must not be open. A batch that was not acknowledged when the process ended may be there or not; a
 * torn one is cut off. A missing directory is an empty journal.
 *
 * Errors: IO, OUT_OF_MEMORY, UNSUPPORTED (written by a newer version), CORRUPT (acknowledged
 * records are unreadable; the message names segment and offset).
 */
enum error_code journal_recover(struct disk *disk, const struct journal_recovery_options *options,
                                struct journal_recovery **recovery_out, struct error *error);

/* Frees snapshots and views. Before or after the journals that adopted from it close, but not while
 * a replay of it has entries to hand out. */
void journal_recovery_close(struct journal_recovery *recovery);

struct journal_group {
    uint64_t group;
    uint64_t term;
    uint64_t vote;
    uint64_t first_index; /* entries [first_index, next_index) */
    uint64_t next_index;
    bool has_snapshot;
    bool damaged;                     /* may lack what was acknowledged: must not vote or answer */
    struct journal_snapshot snapshot; /* payload lives as long as the recovery */
    const void *entries;              /* the recovery's */
};

/* By group id, rising. Live as long as the recovery. */
size_t journal_recovery_group_count(const struct journal_recovery *recovery);
const struct journal_group *journal_recovery_group(const struct journal_recovery *recovery,
                                                   size_t position);
/* NULL when unknown. */
const struct journal_group *journal_recovery_find(const struct journal_recovery *recovery,
                                                  uint64_t group);

/*
 * Read entries [first_index, end_index) of `group`, all of them recovered, in order. Blocking. The
 * payload is borrowed in the call; an error of `visit` ends it. Errors: IO, OUT_OF_MEMORY, CORRUPT
 * (they do not check any more). To have many entries without waiting: journal/replay.h.
 */
typedef enum error_code journal_entry_visit(void *context, const struct journal_entry *entry,
                                            struct error *error);
enum error_code journal_recovery_read(const struct journal_recovery *recovery,
                                      const struct journal_group *group, uint64_t first_index,
                                      uint64_t end_index, journal_entry_visit *visit, void *context,
                                      struct error *error);

/* One place where acknowledged records are gone. */
struct journal_damage {
    uint32_t lane;
    uint64_t segment;
    uint64_t offset_bytes;
    char message[160];
};
size_t journal_recovery_damage_count(const struct journal_recovery *recovery);
const struct journal_damage *journal_recovery_damage(const struct journal_recovery *recovery,
                                                     size_t position);

/* For logs: how much was read. */
struct journal_recovery_summary {
    uint64_t segments, bytes_read, batches, records;
    uint64_t torn_tails, discarded_segments;
    uint64_t generation; /* of the journals to be opened */
};
struct journal_recovery_summary journal_recovery_summary(const struct journal_recovery *recovery);

#endif
