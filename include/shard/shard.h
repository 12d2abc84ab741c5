/*
 * shard - the storage of one shard: head, registry, parts, blocks, driven by its log.
 *
 * A state machine: everything that lasts comes from shard_apply (one committed entry after the
 * other) or shard_restore. It knows nothing of Raft; module replica binds the two. The leader
 * makes entries with shard_prepare_* and the shard asks for others (freeze, merge, retention)
 * through `struct shard_proposer`.
 *
 * Threads: a shard belongs to a loop; every function here is called on it, except shard_source
 * and shard_statistics, which any thread may use. Files are read and written by jobs.
 */
#ifndef SHARD_SHARD_H
#define SHARD_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"
#include "block/file_summary.h"
#include "block/page_cache.h"
#include "head/head_spares.h"
#include "platform/environment.h"
#include "platform/scheduler.h"
#include "promql/series_source.h"
#include "shard/retention_policy.h"
#include "shard/shard_write.h"
#include "shard/slots.h"

struct shard;
struct shard_bucket;
struct shard_peers;

/* How a shard asks for an entry; the leader proposes it, others ignore the wish. The bytes are
 * copied. False when it was not proposed: the shard asks again later. */
struct shard_proposer {
    void *context;
    bool (*propose)(void *context, const uint8_t *entry, size_t size_bytes);
    /* A freeze became durable: a snapshot frees log. */
    void (*durable)(void *context, uint64_t frozen_index);
};

/* Nothing is decided about retention before it is known. */
#define RETENTION_IS_TOLD INT64_C(-1)

/* Strings and pointers outlive the shard. */
struct shard_options {
    struct environment *environment;
    struct page_cache *cache;
    uint32_t shard_id;
    const char *directory; /* of its files, on the environment's disk; made when missing */
    uint64_t hash_seed;    /* random per process */
    int64_t future_window_ms;
    int64_t retention_ms; /* 0: for ever; RETENTION_IS_TOLD: as shard_want_retention says */
    int64_t quiet_ms;     /* a series without samples for one or two such periods is forgotten, by
                             the times of the samples; 0: never */
    uint32_t metadata_quiet_periods; /* of a metric, not stated for so many of them, is forgotten;
                                        0: never */
    uint64_t series_max;             /* alive, see node_series; 0: no limit */
    _Atomic uint64_t *node_series;   /* of all shards of the node, kept by them, zero at first, as
                                        series_max is for all; NULL: for each shard alone */
    uint32_t exemplars_max;
    uint32_t metadata_max;           /* metrics with metadata */
    struct head_spares *head_spares; /* memory of ended heads, of all shards; NULL: none is kept */
    struct shard_proposer proposer;
    const struct shard_peers *peers; /* shard_install.h; copied. NULL: there are none */
    struct shard_bucket *bucket;     /* shard_bucket.h; NULL: blocks are here only */
    uint32_t version_max;            /* the newest state-machine version that the program knows
                                        (base/state_version.h); 0: STATE_VERSION_MAX */
};

/* An empty shard. Blocking (makes directories). Errors: IO, OUT_OF_MEMORY. */
enum error_code shard_create(const struct shard_options *options, struct shard **shard_out,
                             struct error *error);

/* Release one that was never started: nothing was restored nor applied. NULL is fine. */
void shard_destroy(struct shard *shard);

/*
 * Stop asking for jobs, wait for those under way (by running `closed` on the loop when the last
 * one is done), then release. Queries that hold pieces keep them alive.
 */
void shard_close(struct shard *shard, void (*closed)(void *context), void *context);

/* --- State machine -------------------------------------------------------------------------- */

/* Replace everything by what a manifest names, at a start, before anything was applied. Blocking:
 * opens the files. Later: shard_install.h. Errors: CORRUPT, NOT_FOUND, UNSUPPORTED, IO,
 * OUT_OF_MEMORY. */
enum error_code shard_restore(struct shard *shard, const uint8_t *manifest, size_t size_bytes,
                              struct error *error);

/* The manifest at the last durable freeze, and the log index of that freeze (0: none yet).
 * Errors: OUT_OF_MEMORY. */
enum error_code shard_snapshot(struct shard *shard, struct byte_buffer *bytes,
                               uint64_t *frozen_index_out, struct error *error);

/* A snapshot of that freeze is durable: files that no manifest from it on names are deleted. */
void shard_snapshot_stored(struct shard *shard, uint64_t frozen_index);

/*
 * Apply a committed entry.
 * Errors: UNAVAILABLE (nothing happened, a job must end first: apply it again later), CONFLICT (it
 * is refused as a whole, on every replica alike, and counts as applied); after CORRUPT,
 * UNSUPPORTED, IO, OUT_OF_MEMORY this replica cannot go on.
 */
enum error_code shard_apply(struct shard *shard, uint64_t index, const uint8_t *entry,
                            size_t size_bytes, struct error *error);

/*
 * Between these two, entries of the log that a start found are applied. What they freeze is written
 * at the end, so that the replay has the processors to itself, or when an entry waits for it.
 */
void shard_replay_begin(struct shard *shard);
void shard_replay_end(struct shard *shard);

/* --- Leading -------------------------------------------------------------------------------- */

/* Leadership began: what was proposed by an earlier leader is applied or gone. */
void shard_lead(struct shard *shard);

/* It ended: uploads are broken off, flushes end with UNAVAILABLE. */
void shard_follow(struct shard *shard);

/*
 * Begin a write entry, add the parts of requests, propose what `buffer` then holds. Checks and
 * duplicates are settled here, per sample, in `write`. A write of which nothing is left to store
 * adds no part (*added_out is false).
 * Errors: UNAVAILABLE (too much waits to be frozen), OUT_OF_MEMORY; nothing of the write is then
 * in the buffer.
 */
void shard_prepare_begin(struct shard *shard, struct byte_buffer *buffer);
enum error_code shard_prepare_write(struct shard *shard, struct shard_write *write,
                                    struct byte_buffer *buffer, bool *added_out,
                                    struct error *error);

/* What was prepared since shard_prepare_begin will not be proposed. */
void shard_prepare_cancel(struct shard *shard);

/*
 * Whether all new series of a write were looked for in the files; if not, call
 * shard_resolve from a job first. Cheap. Ids found before of series that are forgotten since become
 * unknown again.
 */
bool shard_needs_resolving(struct shard *shard, struct shard_write *write);

/* Pin what shard_resolve needs (on the loop), then resolve (on a worker): fills in ids of series
 * that the files know. */
struct shard_resolver;
enum error_code shard_resolver_create(struct shard *shard, struct shard_resolver **resolver_out,
                                      struct error *error);
enum error_code shard_resolve(struct shard_resolver *resolver, struct shard_write *write,
                              struct error *error);
void shard_resolver_destroy(struct shard_resolver *resolver); /* NULL is fine */

/* --- Upkeep --------------------------------------------------------------------------------- */

/* Bytes of log applied since the last freeze, for who decides which shard freezes next. */
uint64_t shard_unfrozen_bytes(const struct shard *shard);
/* Asked for, and not yet applied. */
bool shard_freeze_is_proposed(const struct shard *shard);
int64_t shard_unfrozen_age_ms(const struct shard *shard);

/* Series alive. On the loop thread, like the two before. */
uint64_t shard_series_count(const struct shard *shard);

/* Ask for a freeze; nothing happens when one is under way. */
void shard_freeze(struct shard *shard);

/* Log index of the newest freeze, be it durable or on its way there; 0: none yet. */
uint64_t shard_freeze_index(const struct shard *shard);

/* The oldest freeze could not be written and waits to be tried again. */
bool shard_freeze_is_stuck(const struct shard *shard);

/* What a replica does for itself, leading or not: jobs that could not begin, files to be deleted or
 * opened again. Cheap; call it now and then. */
void shard_tend(struct shard *shard);

/* The same, and look whether a merge or the retention has something to do. For who leads. */
void shard_maintain(struct shard *shard);

/* All replicas of the shard know this state-machine version: whoever leads has it come into force
 * at its next upkeep, if it is higher than what is. */
void shard_want_version(struct shard *shard, uint32_t version);

/*
 * How long samples shall be kept; the policy is referenced. Whoever leads has it come into force:
 * at once when it keeps everything as long as what is in force, or nothing there is old enough;
 * else it is announced, and comes into force when it was announced for `grace_ms`, by the log,
 * whoever led meanwhile. What is wanted again before that deletes nothing. (docs/decisions/0072)
 */
void shard_want_retention(struct shard *shard, struct retention_policy *policy, int64_t grace_ms);

/* Propose that files before `cutoff_ms` as a whole are deleted; no effect when there are none. */
void shard_retain_from(struct shard *shard, int64_t cutoff_ms);

enum flush_reach {
    FLUSH_SAMPLES, /* what is in memory and in parts becomes blocks */
    FLUSH_DELETED, /* and blocks that hold deleted samples are written anew without them */
};

enum flush_place {
    FLUSH_EVERYWHERE, /* here and in the bucket, if there is one */
    FLUSH_HERE,
};

/* Freeze and merge everything there is; `done` runs on the loop when nothing is left to do and the
 * files that were merged are deleted, for which a snapshot must be stored, and what there is now is
 * in the bucket, if that is asked for; or with UNAVAILABLE when the shard closes, or when the
 * bucket takes nothing for a minute. It may run inside the call. */
struct shard_flush {
    void (*done)(struct shard_flush *flush, const struct error *error);
    enum flush_reach reach;
    enum flush_place place;
    struct shard_flush *next; /* the shard's */
    int phase;                /* the shard's */
};
void shard_flush(struct shard *shard, struct shard_flush *flush);

/*
 * Read every part, block and series segment to the last byte, one after the other: what is damaged
 * is then known, left out of merges, and fetched from other replicas, where there are some. `done`
 * runs on the loop, not inside the call, with UNAVAILABLE when the shard closes and CANCELED when
 * it was cancelled. One at a time (shard_is_scrubbed), but for those of a window.
 *
 * A window of time has the files whose moment lies in it: each file has one in every interval, by
 * its name and the seed, and they are spread evenly. So windows that follow each other have every
 * file once in an interval, without a note of which were read. One runs beside whatever else does.
 */
struct shard_scrub_window {
    int64_t interval_ms;       /* 0: no window, all files */
    int64_t from_ms, until_ms; /* behind from_ms, until until_ms; since the Unix epoch */
    uint64_t seed;
};

struct shard_scrub_file {
    enum file_kind kind;
    uint64_t index; /* of the entry that decided it; of a segment its name */
    uint32_t number;
    uint64_t size_bytes;             /* 0: it could not be read */
    struct hash128 content_checksum; /* that it shall have; of a segment that it has, or zeros */
    const struct error *error;       /* NONE: it is sound */
};

struct shard_scrub {
    void (*done)(struct shard_scrub *scrub, const struct error *error);
    /* Each file when it was read, on the loop; NULL: nobody cares. */
    void (*file)(struct shard_scrub *scrub, const struct shard_scrub_file *file);
    uint64_t bytes_per_second; /* no faster than this; 0: as fast as it goes */
    struct shard_scrub_window window;
    _Atomic bool is_cancelled; /* set by any thread: it ends before the next file */
    /* The outcome; damaged: also those that were known to be. */
    uint64_t files, damaged, bytes;
};
void shard_scrub(struct shard *shard, struct shard_scrub *scrub);
bool shard_is_scrubbed(const struct shard *shard);

/* Something could not be read, for this reason. If that speaks of a file, and others have it, all
 * are read as by shard_scrub, unless they are already or were a minute ago. On the loop. */
void shard_suspect_files(struct shard *shard, const struct error *reason);

/* The state that replicas have in common at their last durable freeze: the same index, the same
 * checksum, over ids, names of segments, parts and blocks with their content. Index 0: nothing is
 * frozen yet. On the loop. Errors: OUT_OF_MEMORY. */
enum error_code shard_frozen_state(struct shard *shard, uint64_t *index_out, uint64_t *checksum_out,
                                   struct error *error);

/* Those that wait end with UNAVAILABLE, before the call returns; what they began goes on. */
void shard_cancel_flushes(struct shard *shard);

/*
 * A copy of the shard in another directory of its disk: the manifest at the last durable freeze,
 * and second names for the files that it names; blocks that are in the bucket only are fetched from
 * there. None of them is deleted meanwhile. The copy begins a life of its own: it has the slots
 * that the shard has, and was never split. `done` runs on the loop, not inside the call. Errors:
 * IO, NO_SPACE, OUT_OF_MEMORY, those of object/object_store.h; what was made then stays.
 */
struct shard_copy {
    void (*done)(struct shard_copy *copy);
    const char *directory; /* like shard_options.directory; made when missing */
    /* The outcome. */
    struct error error;
    struct byte_buffer manifest; /* the caller clears it, in any case */
    uint64_t frozen_index;       /* 0: nothing is frozen yet, and the manifest empty */
    struct slot_set owned;       /* of the manifest */
    bool lacks_child; /* slots that left the shard are in no other yet, as far as is known */
    /* The shard's. */
    struct job job;
    struct shard *shard;
    bool fetches_blocks;
};
void shard_copy(struct shard *shard, struct shard_copy *copy);

/* --- Splitting ------------------------------------------------------------------------------- */

enum { SHARD_FOUNDERS_MAX = 16 };

/* A shard that takes over some of the slots. */
struct shard_child {
    uint32_t shard_id;
    struct slot_set slots;                 /* of the parent, not all that it has */
    uint64_t founders[SHARD_FOUNDERS_MAX]; /* [founder_count], nodes, rising */
    size_t founder_count;
    uint64_t index; /* of the entry that split it off, where the child's own log begins */
};

/*
 * For who leads: have the slots become another shard (docs/decisions/0061). From the call on, until
 * it was refused or leadership ends, nothing of these slots is taken here. False: not now, since
 * something is under way that must end first, or too much is in memory yet: a freeze is asked for.
 */
bool shard_split(struct shard *shard, const struct shard_child *child);

/* How often the shard was split, in what queries see now. Any thread. */
uint32_t shard_split_count(struct shard *shard);

/* Whether a split was asked for and is not applied yet. */
bool shard_split_is_proposed(const struct shard *shard);

/*
 * The child that can be made of what is durable here and was not, as far as is known: the shard
 * writes no later state until shard_child_is_founded. False: there is none.
 */
bool shard_unfounded_child(const struct shard *shard, struct shard_child *child_out);
void shard_child_is_founded(struct shard *shard, uint64_t index);

/* Whether a child was split off here that is not founded yet, its files perhaps on their way. Any
 * thread. */
bool shard_holds_child(const struct shard *shard, uint32_t child_id);

/* As shard_copy, of the unfounded child: its manifest, and the files that it has in common with its
 * parent. */
struct shard_copy;
void shard_copy_child(struct shard *shard, struct shard_copy *copy);

/* The entry that deletes samples in [start_ms, end_ms] of the matching series. Errors: INVALID,
 * OUT_OF_MEMORY. Any thread. */
enum error_code shard_encode_delete(struct byte_buffer *entry, int64_t stamp_ms, struct text tenant,
                                    const struct matcher *const *matchers, size_t matcher_count,
                                    int64_t start_ms, int64_t end_ms, struct error *error);

/* The entry that deletes everything that the tenant has so far, exemplars and metadata too. Whoever
 * leads then has the files that have something of it written anew. Needs STATE_VERSION_BUCKET.
 * Errors: INVALID, OUT_OF_MEMORY. Any thread. */
enum error_code shard_encode_delete_tenant(struct byte_buffer *entry, int64_t stamp_ms,
                                           struct text tenant, struct error *error);

/* How far that is. */
struct shard_tenant_state {
    bool can_be_deleted; /* the shard's state-machine version has that */
    bool is_being_deleted;
    uint64_t files_left;   /* parts and blocks that still hold, or may hold, what was deleted */
    uint64_t bytes_left;   /* of them, with the other tenants that they have */
    uint64_t objects_left; /* of the bucket: to be replaced, or deleted after the grace */
    uint64_t object_bytes_left;
    uint64_t blocks; /* that have something of the tenant, deleted or not */
};

/* On the loop. */
void shard_read_tenant_state(const struct shard *shard, struct text tenant,
                             struct shard_tenant_state *state_out);

/* Whether bytes of another node are one of these two, whole and with nothing behind it. Errors:
 * CORRUPT, INVALID, UNSUPPORTED, OUT_OF_MEMORY. Any thread. */
enum error_code shard_check_delete(const uint8_t *entry, size_t size_bytes, struct error *error);

/* --- Queries: any thread -------------------------------------------------------------------- */

/* Lives as long as the shard. */
struct series_source *shard_source(struct shard *shard);

/* Metadata of the tenant's metrics, in no order; texts live during the visit. */
typedef bool shard_metadata_visit(void *context, struct text metric_name,
                                  const struct metric_metadata *metadata);
void shard_visit_metadata(struct shard *shard, struct text tenant, shard_metadata_visit *visit,
                          void *context);

/* Its file was damaged at the start: what senders did not state again since is missing. Any
 * thread. */
bool shard_metadata_is_damaged(const struct shard *shard);

/* A block as it is on disk. */
struct shard_block_status {
    uint64_t index;   /* of the entry that began its merge: with the shard, what names it */
    int64_t start_ms; /* of its oldest sample */
    int64_t end_ms;   /* behind its window */
    uint64_t size_bytes;
    uint64_t series_count;
    uint64_t sample_count;
};

/* In the order of their windows. Any thread. */
typedef void shard_block_visit(void *context, const struct shard_block_status *block);
void shard_visit_blocks(struct shard *shard, shard_block_visit *visit, void *context);

struct shard_statistics {
    uint64_t applied_index;
    uint64_t state_version;     /* in force in its log */
    uint64_t series_count;      /* alive */
    uint64_t head_series_count; /* with samples in memory */
    uint64_t samples_appended;
    uint64_t samples_duplicate;
    uint64_t samples_late;
    uint64_t histograms_appended;
    uint64_t exemplars_appended;
    uint64_t head_bytes; /* memory of heads, growing and frozen */
    uint64_t registry_bytes;
    uint64_t unfrozen_log_bytes;
    uint64_t frozen_head_count;
    uint64_t part_count, part_bytes;
    uint64_t block_count;        /* here or in the bucket */
    uint64_t block_bytes;        /* of files here */
    uint64_t absent_block_count; /* in the bucket only */
    uint64_t absent_block_bytes;
    bool lacks_slots;       /* it was split, or split off */
    uint64_t unsplit_count; /* parts and blocks that still have series of other slots */
    uint64_t unsplit_bytes;
    uint64_t segment_count, segment_bytes;
    uint64_t freezes_total;
    uint64_t merges_total;
    uint64_t merges_waiting; /* for a worker, or to be tried again */
    uint64_t merges_running;
    uint64_t merge_bytes;           /* memory of the running one */
    uint64_t merge_failures_total;  /* also in job_failures_total */
    uint64_t merges_given_up_total; /* since an input is damaged */
    uint64_t damaged_files;         /* parts, blocks and segments that can't be read as a whole */
    uint64_t differing_files_total; /* blocks that came out other here than the log has them */
    uint64_t samples_merged_total;  /* of finished merges */
    uint64_t late_refused_total;    /* samples, while merges are behind */
    uint64_t misplaced_total;       /* samples of slots that are another shard's, refused by apply:
                                     * no leader proposes them */
    uint64_t job_failures_total;
    uint64_t series_forgotten;   /* since the start */
    uint64_t segments_rewritten; /* since the start */
    uint64_t dead_id_count;      /* forgotten, but still in a series segment */
    uint64_t tombstone_count;
    int64_t retention_at_ms; /* what ages are counted from, where rules say more; INT64_MIN: none */
    /* A shorter retention was announced, by the clock of who led; 0: there is none. What it will
     * take from at most: files with samples before a time. */
    int64_t retention_announced_ms;
    int64_t retention_pending_before_ms;
    uint64_t retention_pending_files;
    uint64_t retention_pending_bytes;
    uint64_t metadata_count;
    uint64_t metadata_refused_total;  /* there were metadata_max metrics */
    uint64_t metadata_forgotten;      /* metrics, since the start */
    uint64_t exemplars_dropped_total; /* for newer ones: there were exemplars_max in memory */
    uint64_t doomed_files;            /* that wait to be deleted */
    int64_t oldest_ms;                /* INT64_MAX: no samples */
    int64_t newest_ms;                /* INT64_MIN: no samples */
    /* Where shard_retain_from deletes the first file; INT64_MAX: no files. */
    int64_t first_cutoff_ms;
    int64_t first_local_end_ms; /* end of the first window of a block here; INT64_MAX: none */
};

void shard_read_statistics(struct shard *shard, struct shard_statistics *statistics_out);

#endif
