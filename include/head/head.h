/*
 * head - the samples of a shard since its last freeze, in memory.
 *
 * One thread writes (the loop that owns the shard), any number of threads read at the same time
 * and take no lock; the writer never waits for them. A head is never emptied: at a freeze the
 * shard stops writing to it, keeps it readable until its parts are durable, and writes to a new
 * one. All its memory is released at once, when the last reference is gone.
 *
 * The content is a pure function of the sequence of samples appended, so that the heads of all
 * replicas are equal after the same log entry. Per series a head holds
 *
 *   in-order samples: each newer than the one before, compressed as they come;
 *   late samples: older than the newest when they came, apart, each as it is.
 *
 * Two values for one timestamp are decided by value_order_key and histogram_order wherever they
 * meet (a histogram wins over a float), so a reader sees each timestamp once.
 *
 * How it works inside: src/head/README.md.
 */
#ifndef HEAD_HEAD_H
#define HEAD_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "head/head_spares.h"
#include "model/columns.h"
#include "model/sample.h"

struct head;

/* Ids of series are below this; they are dense enough when neighbours are created together. */
#define HEAD_SERIES_ID_LIMIT (UINT64_C(1) << 40)

struct head_options {
    /*
     * The target of a series that gets its first sample in this head: series of one target share
     * timestamps. False when there is no such series. Called by head_append, on its thread.
     */
    bool (*target_of)(void *context, uint64_t series_id, uint64_t *target_id_out);
    void *context;
    size_t memory_limit_bytes;  /* appends fail with OUT_OF_MEMORY beyond; 0: no limit */
    uint32_t exemplars_max;     /* the newest so many are kept, of all series; 0: none */
    struct head_spares *spares; /* where its memory comes from and goes to; NULL: the system */
};

/* The caller holds the first reference. Errors: OUT_OF_MEMORY. */
enum error_code head_create(const struct head_options *options, struct head **head_out,
                            struct error *error);

/*
 * References keep the memory; any thread. The last head_unref returns up to hundreds of MiB to
 * the operating system (about 50 ms per GiB): best on a worker. NULL is fine.
 */
struct head *head_ref(struct head *head);
void head_unref(struct head *head);

/* --- Writing: the owner's thread only --------------------------------------------------------- */

/* What became of a sample. */
enum head_verdict {
    HEAD_APPENDED,       /* newer than all of its series */
    HEAD_LATE,           /* older than the newest: among the late samples */
    HEAD_DUPLICATE,      /* stored before with the same bits: nothing changed */
    HEAD_REPLACED,       /* stored before with another value, which lost by the total order */
    HEAD_KEPT,           /* stored before with another value, which won */
    HEAD_UNKNOWN_SERIES, /* target_of does not know it: ignored */
    HEAD_VERDICTS
};

/* Samples as columns; a series may occur several times, its samples are taken in order. Any
 * interleaving is fine, but neighbouring ids one after another are fastest. */
struct head_batch {
    size_t count;
    const uint64_t *series_ids;   /* [count] */
    const int64_t *timestamps_ms; /* [count] */
    const double *values;         /* [count]; not looked at where there is a histogram */
    const struct histogram *const *histograms; /* [count], NULL at floats; NULL: floats only */
    const int64_t *start_timestamps_ms;        /* [count], 0: none; NULL: none at all */
};

struct head_append_result {
    size_t done; /* samples taken, from the front: all unless there was an error */
    size_t verdict_counts[HEAD_VERDICTS];
};

/*
 * Append a batch; histograms are copied. `verdicts` is [count], or NULL. `*result` is filled also
 * on an error: the first `done` samples are in, the rest left no trace, and the call may be
 * repeated with the rest (or with all: what is in is a duplicate).
 * Errors: OUT_OF_MEMORY.
 */
enum error_code head_append(struct head *head, const struct head_batch *batch, uint8_t *verdicts,
                            struct head_append_result *result, struct error *error);

struct head_newest {
    int64_t timestamp_ms;
    uint64_t bits; /* of the float; of the sum for a histogram */
    bool is_histogram;
};

/* The newest sample of a series; false when the head has none. */
bool head_newest_sample(const struct head *head, uint64_t series_id,
                        struct head_newest *newest_out);

/* The times of the newest samples of many series, INT64_MIN where the head has none: for a few of
 * them alone, most of the time is spent waiting for memory. Ids need not be valid. */
void head_newest_times(const struct head *head, const uint64_t *series_ids, size_t count,
                       int64_t *times_out);

enum head_exemplar_verdict {
    HEAD_EXEMPLAR_ADDED,
    HEAD_EXEMPLAR_DUPLICATE,      /* equal to the newest of its series */
    HEAD_EXEMPLAR_OUT_OF_ORDER,   /* older than the newest of its series: ignored */
    HEAD_EXEMPLAR_UNKNOWN_SERIES, /* ignored */
    HEAD_EXEMPLAR_DISABLED,
};

/* Copies the exemplar; beyond the limit the oldest leaves. Errors: OUT_OF_MEMORY. */
enum error_code head_exemplar_append(struct head *head, uint64_t series_id,
                                     const struct exemplar *exemplar,
                                     enum head_exemplar_verdict *verdict_out, struct error *error);

/* --- What is in it: any thread ---------------------------------------------------------------- */

struct head_statistics {
    uint64_t series_count;
    uint64_t sample_count; /* in-order samples, floats and histograms */
    uint64_t late_count;
    uint64_t histogram_count; /* of both */
    int64_t start_ms;         /* oldest and newest timestamp of all samples; */
    int64_t end_ms;           /* INT64_MAX and INT64_MIN when there are none */
    size_t size_bytes;        /* memory taken from the operating system */
    size_t used_bytes;        /* of it handed out */
};

/* Each number is exact when the head is frozen, and some recent one while it is written. */
void head_read_statistics(const struct head *head, struct head_statistics *statistics_out);

/* Whether the head has samples of the series. */
bool head_has_series(const struct head *head, uint64_t series_id);

/* --- Reading: any thread, each with a reader of its own --------------------------------------- */

struct head_reader;

/* A reader keeps a reference to the head until it is closed. Errors: OUT_OF_MEMORY. */
enum error_code head_reader_open(struct head *head, struct head_reader **reader_out,
                                 struct error *error);
void head_reader_close(struct head_reader *reader); /* NULL is fine */

/*
 * The samples of a series with start_ms <= timestamp <= end_ms, as they were at some moment during
 * the call; a sample whose append returned before the call is among them. None, or no such
 * series: count 0. The columns are valid until the next call with this reader.
 * Errors: OUT_OF_MEMORY, CORRUPT (memory was damaged).
 */
enum error_code head_reader_read(struct head_reader *reader, uint64_t series_id, int64_t start_ms,
                                 int64_t end_ms, struct sample_columns *columns_out,
                                 struct error *error);

/* Only the newest of those samples: count is 0 or 1. Decodes nothing when the newest sample of
 * the series is in the range. Errors: as head_reader_read. */
enum error_code head_reader_read_latest(struct head_reader *reader, uint64_t series_id,
                                        int64_t start_ms, int64_t end_ms,
                                        struct sample_columns *columns_out, struct error *error);

/* The series will be read soon, some ten series from now: fetch its record into the cache. */
void head_reader_prefetch(const struct head_reader *reader, uint64_t series_id);

/* Whether there are any. Errors: as head_reader_read. */
enum error_code head_reader_has_samples(struct head_reader *reader, uint64_t series_id,
                                        int64_t start_ms, int64_t end_ms, bool *has_out,
                                        struct error *error);

/* The exemplars of a series in the range, by timestamp, at most `exemplars_max` of them (the
 * newest; 0: all), in `arena`. Errors: OUT_OF_MEMORY. */
enum error_code head_read_exemplars(const struct head *head, uint64_t series_id, int64_t start_ms,
                                    int64_t end_ms, size_t exemplars_max, struct arena *arena,
                                    struct exemplar **exemplars_out, size_t *count_out,
                                    struct error *error);

/* --- Walking a frozen head: any thread, when nobody writes any more --------------------------- */

struct head_iterator;

/* One series with all it has; memory of the iterator, valid until its next call. */
struct head_series_content {
    uint64_t series_id;
    uint64_t target_id;
    struct sample_columns current;    /* in-order samples; timestamps_id as in head_reader_read */
    struct sample_columns late;       /* ascending, each timestamp once, and none that an in-order
                                         sample of the same timestamp would win over */
    const struct exemplar *exemplars; /* [exemplar_count], by timestamp */
    size_t exemplar_count;
};

/* Series come by (target id, series id). Holds a reference to the head. Errors: OUT_OF_MEMORY. */
enum error_code head_iterator_create(struct head *head, struct head_iterator **iterator_out,
                                     struct error *error);
void head_iterator_destroy(struct head_iterator *iterator); /* NULL is fine */

/* The next series; *more_out is false after the last. Errors: as head_reader_read. */
enum error_code head_iterator_next(struct head_iterator *iterator,
                                   struct head_series_content *content_out, bool *more_out,
                                   struct error *error);

#endif
