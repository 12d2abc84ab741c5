/*
 * internal - the open journal, shared by its parts:
 *
 *   journal.c   opening, closing, what users submit
 *   batch.c     gathering records, placing batches, completing them in order
 *   checkpoint.c  what every segment begins with
 *   supply.c    segments prepared ahead of need, recycled and removed, on workers
 *   copier.c    live records of cold groups, copied forward out of old segments
 *   trim.c      a log in which little lives, made small
 *
 * States of a batch: open (gathers records) -> closed (waits) -> placed (has sequence, segment and
 * offset; its records are applied to the index) -> durable (finished, in order).
 */
#ifndef JOURNAL_INTERNAL_H
#define JOURNAL_INTERNAL_H

#include "group_index.h"
#include "journal/journal.h"

enum {
    BATCH_TARGET_BYTES = 2 * 1024 * 1024, /* closed when it reaches this, or half a segment */
    BATCH_EAGER_BYTES = 256 * 1024,       /* worth a second write while one is in flight */
    BATCH_KEEP_BYTES = 4 * 1024 * 1024,   /* larger buffers are not kept for reuse */
    BATCHES_KEPT = 4,
    IN_FLIGHT_LIMIT = 16,
    READY_SEGMENTS = 2, /* prepared ahead: also the reserve of a full disk */
    COPY_BYTES_MAX = 1024 * 1024,
    COPY_RECORDS_MAX = 1024,
};

/* Records of a segment that are not needed any more once the batch is durable. */
struct release {
    struct segment *segment;
    int64_t holds;
    int64_t bytes;
};

struct batch {
    struct batch *next;
    struct journal *journal;
    uint8_t *bytes; /* [capacity], aligned to blocks */
    size_t size;    /* header and records */
    size_t capacity;
    uint32_t record_count;
    uint64_t payload_bytes;
    uint32_t flags;
    struct journal_request *first_request, *last_request;
    struct release *releases;
    size_t release_count, release_capacity;
    uint64_t sequence;
    uint64_t placed_ns;
    uint64_t padded_bytes;
    bool durable;
    struct disk_write write;
    struct disk_vector vector;
};

struct batch_queue {
    struct batch *first, *last;
    size_t count;
};

/* A change of segment files, done by a worker. */
enum supply_kind { SUPPLY_PREPARE, SUPPLY_REMOVE, SUPPLY_MEASURE };

struct supply_job {
    struct job base;
    struct journal *journal;
    enum supply_kind kind;
    struct segment *segment;  /* being made, or removed */
    uint64_t source_sequence; /* of a segment of this lane to reuse; 0: a new file */
    struct file *file;
    bool recycled;
    bool is_disk_low;
    struct error error;
};

struct copy_item {
    uint64_t group;
    uint64_t index; /* 0: the snapshot */
    struct location location;
    uint32_t offset; /* of the record in the job's bytes */
};

struct copy_job {
    struct job base;
    struct journal *journal;
    struct segment *segment;
    struct copy_item items[COPY_RECORDS_MAX];
    size_t count;
    uint8_t *bytes; /* the records, whole */
    size_t size;
    struct error error;
    struct journal_request request; /* all copies are durable */
};

struct journal {
    struct environment *environment;
    struct journal_options options; /* defaults filled in */
    struct journal_events events;
    struct archive *archive;
    uint64_t generation;
    struct group_index index;

    /* Batches */
    struct batch *open;
    struct batch_queue closed, in_flight, kept;
    struct batch *placing; /* whose records are being applied: takes the releases */
    uint64_t next_batch, durable_batch;
    uint64_t queued_bytes;
    uint64_t batch_target_bytes;
    uint64_t written_bytes; /* placed so far */
    struct task pump;
    bool pump_deferred;

    /* Segments of this lane and generation */
    struct segment *current;
    struct segment *used;   /* older ones that something holds, oldest first */
    struct segment *ready;  /* prepared, oldest first */
    struct segment *spares; /* nothing lives in them: the next to be recycled */
    size_t spare_count;
    size_t ready_count, preparing_count;
    uint64_t next_sequence;
    uint64_t wanted_bytes; /* size of the next one to prepare */
    uint64_t needed_bytes; /* the least that the waiting batch can use; 0: any */
    bool stalled;          /* a batch waits for a segment */
    bool lean;             /* asked to be small; until there is load again */
    bool trimming;         /* a small segment is waited for */
    bool supply_failed;    /* no space: wait for the timer, or for a spare */
    enum journal_space space;
    struct timer space_timer;
    size_t jobs; /* on workers */

    struct copy_job *copy; /* NULL when none runs */

    struct journal_request *idle_first, *idle_last; /* barriers with nothing to wait for */
    bool failed, closing, close_written, finished;
    void (*closed_callback)(void *context);
    void *closed_context;
    struct journal_statistics statistics;
};

/* batch.c */
void journal_fail(struct journal *journal, const struct error *error);
void journal_submit(struct journal *journal, const struct record *record,
                    struct journal_request *request);
void journal_attach(struct journal *journal, struct journal_request *request);
/* Pump at the end of this turn, not in this call. */
void journal_wake(struct journal *journal);
void journal_pump(struct task *task);
void journal_dropped(void *context, struct location location);
void segment_release(struct journal *journal, struct segment *segment, int64_t holds,
                     int64_t bytes);
struct batch *batch_take(struct journal *journal);
/* Append to `batch`, which the caller keeps; false and failed when memory is out. */
bool batch_add(struct journal *journal, struct batch *batch, const struct record *record);
/* Give it the next sequence and its place in the current segment, which has room; apply its
 * records and fill in its header. */
void batch_place(struct journal *journal, struct batch *batch);
void batch_free(struct batch *batch);
/* Go on in the next segment, which begins with a checkpoint and has room for `bytes_needed` behind
 * it. False: it is not prepared yet. */
bool segment_roll(struct journal *journal, uint64_t bytes_needed);
struct batch *batch_pop(struct batch_queue *queue);

/* checkpoint.c */
size_t checkpoint_bytes(const struct journal *journal);
bool checkpoint_fill(struct journal *journal, struct batch *batch);

/* supply.c */
struct segment *supply_segment_new(struct journal *journal, uint64_t size_bytes);
enum error_code supply_prepare(struct journal *journal, struct segment *segment,
                               uint64_t source_sequence, struct error *error);
void supply_top_up(struct journal *journal);
/* Remove the spares, and of those that are ready the larger ones. */
void supply_give_back(struct journal *journal, uint64_t size_bytes_max);
/* The next segment if it has room for `bytes_needed` of batches; NULL: not yet. */
struct segment *supply_take(struct journal *journal, uint64_t bytes_needed);
/* Nothing holds it any more. */
void supply_retire(struct journal *journal, struct segment *segment);
void supply_clear(struct journal *journal);

/* copier.c */
void copier_look(struct journal *journal);

/* trim.c: a step towards a small log; true when the next one must wait for this one. */
bool trim_step(struct journal *journal);
/* Whether what lives in older segments is copied for that, wherever it is. */
bool trim_copies(const struct journal *journal);

/* journal.c */
void journal_free(struct journal *journal);

#endif
