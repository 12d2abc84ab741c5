/*
 * shard_private - the inside of a shard, shared by the files of this module.
 *
 *   applied entry ---> head, registry                                shard_apply.c
 *   FREEZE ---> frozen head ---job---> parts, series segment         shard_freeze.c,
 *                                                                    shard_freeze_job.c,
 *                                                                    freeze_write.c
 *   MERGE_START ---job---> blocks ---> MERGE_DONE                    merge_plan.c, shard_merge.c,
 *                                                                    merge_blocks.c, merge_done.c
 *   SPLIT ---> freeze ---> files of a second shard               shard_split.c, shard_copy.c
 *   whatever is readable ---> view ---> queries                      shard_select.c
 */
#ifndef SHARD_SHARD_PRIVATE_H
#define SHARD_SHARD_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "shard/shard.h"
#include "shard/shard_install.h"

#include "bucket.h"
#include "bucket_tend.h"
#include "manifest.h"
#include "metadata_store.h"
#include "registry.h"
#include "retention.h"
#include "segment_rewrite.h"
#include "steady_clock.h"
#include "view.h"
#include "windows.h"

enum {
    FROZEN_HEADS_MAX = 2,
    SHARD_PATH_MAX = DISK_PATH_MAX,
    /* With the most frozen heads, the growing one takes this much log before writes wait. */
    SHARD_UNFROZEN_BYTES_MAX = 128 * 1024 * 1024,
    /* Of a pending series whose proposal never was: keeps its place in the run, matches nothing. */
    PENDING_WITHDRAWN = 1,
};

/* A part of the manifest, as it is here (damage.h). */
struct shard_part {
    struct manifest_part described;
    struct part *part; /* open, or a stand-in */
    bool damaged;      /* not to be merged */
    bool is_stand_in;
    bool is_replaced; /* a sound file bears its name, and is to be opened */
};

struct shard_block {
    struct manifest_block described;
    struct block *block;
    bool damaged;
    bool is_stand_in;
    bool is_replaced;
    /* local_files.h */
    bool is_absent;                /* read from the bucket */
    bool is_wanted;                /* and fetched, if it is recent */
    struct bucket_address address; /* of an absent one, and of inputs of merges */
    bool is_expired;               /* to be written anew, by retention_survey.h */
    uint64_t surveyed_key;         /* of what that is known; 0: of nothing */
};

/* A file may be opened again while a merge holds it as it was. */
static inline bool is_same_part(const struct shard_part *left, const struct shard_part *right)
{
    return left->described.index == right->described.index &&
           left->described.number == right->described.number;
}

static inline bool is_same_block(const struct shard_block *left, const struct shard_block *right)
{
    return left->described.index == right->described.index &&
           left->described.number == right->described.number;
}

/* A freeze whose files are not durable yet. */
struct shard_frozen {
    uint64_t index;
    int64_t stamp_ms; /* of the entry */
    struct head *head;
    struct manifest manifest;    /* of this freeze; the parts of unfinished freezes are added */
    struct byte_buffer metadata; /* file to be written with it; empty: unchanged */
    /* The segment to be written: of the new series and of this many segments before. */
    size_t rewritten_count;
    struct id_set *forgotten; /* as it was then: not in that segment */
};

/* NULL is fine. */
void shard_frozen_destroy(struct shard_frozen *frozen);

/* Series that entries in flight will add: identity to id, so that the next entry uses the same. */
struct pending_series {
    struct hash128 hash;
    uint64_t id; /* 0: empty; below the registry's next_id: applied, of no meaning any more */
};

/* Quiet series on their way out (shard_forget.c). */
struct forgetting {
    int64_t period;           /* of the newest sample frozen; INT64_MIN: none yet */
    uint64_t turns;           /* periods that were over while this runs */
    struct forget_scan *scan; /* running */
    uint64_t scan_from;       /* ids before were looked at in this round; 0: it is over */
    uint64_t scanned_version; /* view_version when the round began */
    uint64_t *ids;            /* [count], in no file; those from `next` on are not proposed yet */
    size_t count;
    size_t next;
    bool proposed;
};

struct shard {
    struct shard_options options;
    struct shard_peers peers;
    struct series_source source; /* what queries see; found from it by container_of */

    /* Of the log. */
    uint64_t applied_index;
    uint32_t state_version;   /* base/state_version.h */
    struct windows windows;   /* from STATE_VERSION_WINDOWS on */
    struct bucket bucket;     /* from STATE_VERSION_BUCKET on */
    uint64_t rehearsed_count; /* writes since STATE_VERSION_REHEARSAL */
    struct head *head;
    struct registry registry;
    struct shard_frozen *frozen[FROZEN_HEADS_MAX]; /* [frozen_count], owned, oldest first */
    size_t frozen_count;
    struct shard_segment *segments; /* [segment_count], rising ids; as the log has them */
    size_t segment_count;
    struct id_set *forgotten; /* ids in the segments that are dead */
    struct id_set *hidden;    /* the same for the segments that are written here */
    struct shard_part *parts; /* [part_count], by index */
    size_t part_count;
    struct shard_block *blocks; /* [block_count] */
    size_t block_count;
    struct tombstones *tombstones;
    struct metadata_store *metadata;
    uint64_t head_exemplars; /* added to the growing head */
    bool metadata_changed;
    atomic_bool metadata_is_damaged; /* its file was, at the start */
    bool view_is_stale; /* memory was out when a new view was due; the old one is complete too */
    uint64_t changed_index;         /* entry that last changed parts or blocks but for a freeze */
    uint64_t metadata_index;        /* freeze that wrote the metadata file; 0: none */
    int64_t retention_cutoff_ms;    /* files before it as a whole have left */
    struct retention_cut retention; /* from STATE_VERSION_BUCKET on */
    struct slot_set owned; /* series of other slots are not seen, and merges leave them out */
    bool lacks_slots;      /* `owned` is not all there are */
    uint32_t split_count;
    struct manifest_split split; /* the last one */
    uint64_t foreign_series;     /* alive, but of other slots: until they are forgotten */
    struct steady_clock steady;  /* of who leads: for the retention by age */
    uint64_t unfrozen_bytes;
    int64_t unfrozen_since_ms; /* stamp of the first entry since the freeze; INT64_MIN: none */
    int64_t stamp_ms;          /* of the newest entry applied */

    /* What the snapshot holds. */
    struct manifest durable; /* at the last freeze that is durable here */
    uint64_t founded_split;  /* index of the split whose child is founded here; 0: none */
    /* Shards + 1, 0: none: the child of the last split, and that of the durable state. */
    _Atomic uint32_t held_children[2];

    /* Leading. */
    uint64_t proposed_next_id;
    uint64_t prepared_next_id; /* proposed_next_id when the entry in preparation began */
    uint64_t series_counted;   /* what options.node_series has of this shard */
    bool freeze_proposed;
    bool is_replaying; /* see shard_replay_begin */
    bool merge_proposed;
    bool clean_proposed;
    bool version_proposed;
    bool retention_proposed;
    bool settle_wanted; /* tombstones left: a freeze, so that what was deleted leaves the disk */
    bool retention_is_told;                    /* what is announced, by the log of the program */
    struct retention_policy *retention_wanted; /* a reference; NULL: not told yet */
    int64_t retention_grace_ms;
    uint64_t retention_generation; /* counts the policies that came into force here */
    uint32_t version_wanted;       /* 0: none */
    bool split_wanted;             /* no merge begins before it */
    bool split_proposed;
    struct slot_set leaving; /* while it is: samples of these slots are not taken any more */
    struct forgetting forgetting;
    bool metadata_forget_proposed;
    bool late_is_full;              /* late samples wait, as the merges are behind */
    struct pending_series *pending; /* [pending_capacity], open addressing */
    size_t pending_capacity;
    size_t pending_count;

    /* Jobs. */
    struct freeze_job *freeze_job; /* running */
    struct merge *merge;           /* decided or running */
    struct shard_flush *flushes;
    size_t jobs_running;
    void (*closed)(void *context);
    void *closed_context;
    struct task close_task;

    /* Files that the durable manifest no longer names, deleted once that is stored. */
    struct doomed_file *doomed;
    uint64_t stored_index; /* of the newest snapshot that is durable */
    size_t copies_running; /* while there are some, no file is deleted */
    size_t deletions_running;

    /* Damaged files that could not be opened are tried again (reopening.c). */
    struct reopening *reopening; /* running */
    int64_t reopen_wait_ms;      /* 0: none is damaged so */
    uint64_t reopen_due_ms;      /* by the monotonic clock */
    struct survey *survey;       /* running (retention_survey.h) */
    uint64_t survey_due_ms;      /* monotonic: none before */
    struct repair *repair;       /* running: a damaged file comes from a peer (repair.c) */
    uint64_t repair_wait_ms, repair_due_ms, repair_turn;
    bool inputs_are_kept;      /* of merges whose outputs are damaged: strays, once all is sound */
    struct shard_scrub *scrub; /* running */
    struct shard_scrub suspicion;
    uint64_t suspected_ms; /* when it began; 0: never */

    /* Files from other replicas (shard_install.h). */
    struct shard_install *install;         /* wanted */
    struct shard_install *install_leaving; /* not wanted, but not over either */
    bool sweeping; /* a job deletes strays, and what lies in the folder of unfinished files */
    struct shard_arrivals {
        _Atomic bool is_installing;
        _Atomic uint64_t files_total, files_done;
        _Atomic uint64_t bytes_total, bytes_done;
        _Atomic uint64_t files_fetched, bytes_fetched;
        _Atomic uint64_t files_rejected;
        _Atomic uint64_t files_repaired;
    } arrivals;
    uint64_t kept_until_ms; /* monotonic: nothing is deleted before, somebody fetches files */

    struct bucket_keeper keeper;

    /* Files of blocks that go and come back (local_files.h). */
    struct steady_clock local_steady;
    atomic_bool *local_drop, *local_return; /* cancel the jobs that run; NULL: none does */
    uint64_t local_due_ms, return_wait_ms, return_due_ms;
    uint64_t absent_merge_wait_ms, absent_merge_due_ms;

    /* Queries. */
    pthread_mutex_t view_lock; /* held to take or swap the pointer only */
    struct view *view;
    uint64_t view_version;              /* counts the views */
    struct window_table *shown_windows; /* a reference; swapped under the lock as well */

    struct arena *apply_arena; /* of one part of an entry */
    struct shard_counters {
        _Atomic uint64_t samples_appended;
        _Atomic uint64_t samples_duplicate;
        _Atomic uint64_t samples_late;
        _Atomic uint64_t histograms_appended;
        _Atomic uint64_t exemplars_appended;
        _Atomic uint64_t freezes;
        _Atomic uint64_t merges;
        _Atomic uint64_t merges_waiting; /* for a worker, or to be tried again */
        _Atomic uint64_t merges_running;
        _Atomic uint64_t merge_bytes;
        _Atomic uint64_t merge_failures;
        _Atomic uint64_t samples_merged;
        _Atomic uint64_t late_refused;
        _Atomic uint64_t samples_misplaced;
        _Atomic uint64_t merges_given_up;
        _Atomic uint64_t differing_files;
        _Atomic uint64_t job_failures;
        _Atomic uint64_t damaged_files;
        _Atomic uint64_t series_forgotten;
        _Atomic uint64_t segments_rewritten;
        _Atomic uint64_t metadata_forgotten;
        _Atomic uint64_t exemplars_dropped;
        _Atomic uint64_t doomed_files; /* until they are deleted, or the process ends */
        /* Copies for shard_read_statistics from other threads. */
        _Atomic uint64_t applied_index;
        _Atomic uint64_t state_version;
        _Atomic uint64_t series_count;
        _Atomic uint64_t registry_bytes;
        _Atomic uint64_t unfrozen_bytes;
    } counters;
};

/* --- Pieces shared between the files -------------------------------------------------------- */

/* Make the current pieces visible to queries. Errors: OUT_OF_MEMORY. */
enum error_code shard_publish(struct shard *shard, struct error *error);
/* The same pieces in another form (a head became parts): when memory is out the view before serves
 * as well, and this is done later. */
void shard_publish_soon(struct shard *shard);

/* A reference to what queries see now. */
struct view *shard_view(struct shard *shard);

/* The same, and how many series its growing index had while it was the current one: those behind
 * may be series again that the view still knows under an id that was forgotten since. */
struct view *shard_view_at_once(struct shard *shard, size_t *growing_count_out);

/* "directory/kind/index-number.extension", of the shard's own directory or of another. */
const char *shard_path_in(const char *directory, char path[SHARD_PATH_MAX], const char *kind,
                          uint64_t index, unsigned number, const char *extension);
const char *shard_path(const struct shard *shard, char path[SHARD_PATH_MAX], const char *kind,
                       uint64_t index, unsigned number, const char *extension);

/* Behind the name of a file until it is whole and durable. */
#define SHARD_UNFINISHED ".new"
enum { SHARD_UNFINISHED_PATH_MAX = SHARD_PATH_MAX + sizeof SHARD_UNFINISHED };

extern const struct series_source_operations SHARD_SOURCE_OPERATIONS;

/* shard_names.c: add names of labels, or values of `name`, of series with samples in the range to a
 * set. Errors: as series_source. */
enum error_code shard_find_texts(struct shard *shard, const struct series_request *request,
                                 const struct text *name, struct text_set *found,
                                 struct error *error);

/* shard_freeze.c */
enum error_code shard_apply_freeze(struct shard *shard, uint64_t index, struct error *error);
/* Write the oldest of what is frozen, in a replay only when something waits for that. */
void shard_start_freeze_job(struct shard *shard);

/* shard_freeze_job.c */
void shard_start_freeze_job_at_once(struct shard *shard);
/* What waits to be tried again is tried; or given up, when the shard closes. */
void shard_freeze_try_now(struct shard *shard);
/* The state before is the job's if it runs: it ends without effect, and releases it. */
void shard_freeze_retire(struct shard *shard, struct shard *retired);

/* shard_state.c: what follows from the log, but for metadata and the merge under way. */
/* A place for such a state; NULL when memory is out. */
struct shard *shard_state_create(const struct shard *shard);
void shard_state_clear(struct shard *shard);
void shard_state_destroy(struct shard *state); /* NULL is fine */
/* Fields move, what was there is overwritten, and `from` has none of it any more. */
void shard_state_move(struct shard *into, struct shard *from);

/* shard_files.c: parts and blocks that are open; the references are the list's afterwards */
enum error_code shard_add_part(struct shard *shard, const struct shard_part *part,
                               struct error *error);
enum error_code shard_add_block(struct shard *shard, const struct shard_block *block,
                                struct error *error);
enum error_code shard_open_part(struct shard *shard, const struct manifest_part *described,
                                struct part **part_out, struct error *error);
enum error_code shard_open_block(struct shard *shard, const struct manifest_block *described,
                                 struct block **block_out, struct error *error);
/* The same for a reader of its own, whose pages go through another cache. */
enum error_code shard_open_part_through(struct shard *shard, struct page_cache *cache,
                                        const struct manifest_part *described,
                                        struct part **part_out, struct error *error);
enum error_code shard_open_block_through(struct shard *shard, struct page_cache *cache,
                                         const struct manifest_block *described,
                                         struct block **block_out, struct error *error);
enum error_code shard_open_segment(struct shard *shard, uint64_t index,
                                   struct series_segment **segment_out, struct error *error);
/* Everything logical but what is in memory, as it is now. Errors: OUT_OF_MEMORY. */
enum error_code shard_describe(const struct shard *shard, uint64_t index,
                               struct manifest *manifest_out, struct error *error);

/* The file goes when a manifest at or after `index` is durable. */
void shard_doom_file(struct shard *shard, uint64_t index, const char *path);
/* Forget one of them, without deleting it. */
void shard_forget_doomed(struct shard *shard);
/* Delete what the stored snapshot does not name any more; again when memory was out. */
void shard_delete_doomed(struct shard *shard);
/* Whether files are still there that the durable manifest does not name. */
bool shard_has_doomed(const struct shard *shard);
/* Whether files wait for a manifest behind this index. */
bool shard_has_doomed_behind(const struct shard *shard, uint64_t index);
/* shard_sweep.c: delete files of jobs that a crash cut short: not later than the durable freeze and
 * not named by its manifest. Nothing while a file is damaged. Blocking. */
void shard_sweep_files(struct shard *shard);
/* The same by a job, of a shard at work; unfinished files of other jobs stay. */
void shard_sweep_soon(struct shard *shard);

/* shard_install.c: what an install waited for is over. */
void shard_install_resume(struct shard *shard);

enum error_code shard_create_head(struct shard *shard, struct head **head_out, struct error *error);

/* shard_restore.c */
/* The state of a manifest, its files open, in a place of its own (shard_state.c). Blocking; any
 * thread. Errors: as shard_restore. */
enum error_code shard_make_state(const struct shard *shard, const uint8_t *manifest,
                                 size_t size_bytes, struct shard **made_out, struct error *error);
/* It takes the place of the state here; jobs of that one end without effect. `made` is gone, on an
 * error too. Errors: OUT_OF_MEMORY. */
enum error_code shard_take_state(struct shard *shard, struct shard *made, struct error *error);
/* Show it, and go on with its merge. Errors: OUT_OF_MEMORY, CORRUPT. */
enum error_code shard_begin_state(struct shard *shard, struct error *error);

/* shard_merge.c, merge_done.c */
enum error_code shard_apply_merge_start(struct shard *shard, uint64_t index,
                                        struct byte_reader *body, struct error *error);
enum error_code shard_apply_merge_done(struct shard *shard, uint64_t index,
                                       struct byte_reader *body, struct error *error);
/* The merge is not done, by nobody: its inputs stay. */
enum error_code shard_apply_merge_given_up(struct shard *shard, uint64_t index,
                                           struct byte_reader *body, struct error *error);
enum error_code shard_apply_retention(struct shard *shard, uint64_t index, struct byte_reader *body,
                                      struct error *error);
void shard_merge_destroy(struct merge *merge);
/* The job of the merge ends soon and without result; it is gone at once when it waits to be tried
 * again and the shard closes, or has it no more. */
void shard_merge_abandon(struct merge *merge);
/* The merge that the manifest says is not done yet. Errors: CORRUPT, OUT_OF_MEMORY. */
enum error_code shard_restore_merge(struct shard *shard, const struct manifest *manifest,
                                    struct error *error);
/* What the manifest says of the merge under way. Errors: OUT_OF_MEMORY. */
enum error_code shard_describe_merge(const struct merge *merge, struct manifest *manifest,
                                     struct error *error);
/* Propose the outcome of a merge, if that could not be done before. */
void shard_merge_resume(struct shard *shard);
/* Have a merge of what is wished for decided, unless one is under way; false when there is nothing
 * to merge. */
enum merge_wish;
bool shard_merge_propose(struct shard *shard, enum merge_wish wish);
/* An input is not needed any more: it leaves the shard at `index`, its file with a manifest. */
void shard_drop_part(struct shard *shard, size_t position, uint64_t index);
void shard_drop_block(struct shard *shard, size_t position, uint64_t index);

/* shard_series_limit.c: tell the node how many series there are, after each change. */
void shard_count_series(struct shard *shard);

/* No new series may come. */
bool shard_series_are_full(struct shard *shard);

/* shard_upkeep.c: time of the newest sample in files; INT64_MIN: none */
int64_t shard_newest_stored_ms(const struct shard *shard);
/* propose that tombstones leave which no file needs; false when there are none. */
bool shard_clean_propose(struct shard *shard);

/* shard_flush.c: a step of what flushes wait for may be over */
void shard_flush_advance(struct shard *shard);
/* The shard closes. */

/* One job more or less; the last one of a closing shard releases it. */
void shard_job_started(struct shard *shard);
void shard_job_ended(struct shard *shard);

/* shard_split.c */
enum error_code shard_apply_split(struct shard *shard, uint64_t index, struct byte_reader *body,
                                  struct error *error);
/* Count the series of other slots anew: the slots, or the series, are others. */
void shard_count_foreign(struct shard *shard);
static inline bool shard_id_is_foreign(const struct shard *shard, uint64_t id)
{
    uint16_t slot;
    return registry_slot(&shard->registry, id, &slot) && !slot_set_has(&shard->owned, slot);
}

/* The state of the shard, or the durable one, is another now. */
void shard_note_children(struct shard *shard);
/* Errors: UNAVAILABLE (some of its slots are, or go, elsewhere). */
enum error_code shard_check_slots(struct shard *shard, struct shard_write *write,
                                  struct error *error);

/* Hand the entry to the proposer and clear the buffer; whether it was proposed. */
bool shard_propose(struct shard *shard, struct byte_buffer *entry);

#endif
