/*
 * series_samples - all samples of one series in a range, decoded into arrays that are reused from
 * series to series. The common part of readers and iterators.
 */
#ifndef HEAD_SERIES_SAMPLES_H
#define HEAD_SERIES_SAMPLES_H

#include "base/arena.h"
#include "base/error.h"
#include "codec/codec_scratch.h"
#include "head_internal.h"
#include "model/columns.h"

/* A series as it was at one moment. */
struct series_snapshot {
    struct series_state state;
    _Alignas(8) uint8_t bytes[RUN_BYTES_MAX]; /* copy of the open run's */
    struct pair_cursor late_floats;
    struct pair_cursor late_histograms;
    struct pair_cursor starts;
    struct pair_cursor late_starts;
};

/* What of `bytes` is copied: with NEWEST nothing for a run of floats, whose newest value is in the
 * state. */
enum snapshot_depth { SNAPSHOT_NEWEST, SNAPSHOT_ALL };

/* False: the head has no such series. */
bool series_snapshot_take(const struct head *head, uint64_t series_id, enum snapshot_depth depth,
                          struct series_snapshot *snapshot_out);

/* Columns before they are handed out: histograms are still packed. */
struct sample_list {
    size_t count;
    size_t capacity;
    int64_t *timestamps_ms;
    double *values;
    const uint8_t **packed; /* NULL at floats */
    int64_t *starts_ms;     /* 0: none */
    bool has_histograms;    /* otherwise `packed` is not filled */
    bool has_starts;        /* otherwise `starts_ms` is not filled */
};

struct late_sample {
    int64_t timestamp_ms;
    int64_t start_ms;
    struct stored_sample sample;
};

struct series_samples {
    struct codec_scratch *scratch;
    struct arena *arena; /* histograms and arrays of pointers to them, until the next read */
    const struct chunk **chunks;
    size_t chunk_capacity;
    struct late_sample *late;
    size_t late_count;
    size_t late_capacity;
    struct sample_list current; /* in-order samples, of whole chunks */
    struct sample_list other;   /* merged with the late ones, or these alone */
    size_t first, end;          /* of `current`: the range asked for */
    uint64_t timestamps_id;     /* of that range; 0: several columns */
    /* The timestamps in `current` are already those of this range of a column. */
    const struct time_column *copied_column;
    uint32_t copied_first, copied_count;
};

enum error_code series_samples_init(struct series_samples *samples, struct error *error);
void series_samples_clear(struct series_samples *samples);

/* In-order samples with start_ms <= timestamp <= end_ms into current[first, end), and all late
 * samples in the range, sorted, each timestamp once. */
enum error_code series_samples_read(struct series_samples *samples,
                                    const struct series_snapshot *snapshot, int64_t start_ms,
                                    int64_t end_ms, struct error *error);

/* What was read, both kinds merged. */
enum error_code series_samples_merged(struct series_samples *samples,
                                      struct sample_columns *columns_out, struct error *error);

/* What was read, apart; late samples that lose against an in-order one are left out. */
enum error_code series_samples_apart(struct series_samples *samples,
                                     struct sample_columns *current_out,
                                     struct sample_columns *late_out, struct error *error);

#endif
