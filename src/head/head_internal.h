/*
 * head_internal - the head as its source files share it.
 */
#ifndef HEAD_HEAD_INTERNAL_H
#define HEAD_HEAD_INTERNAL_H

#include "base/arena.h"
#include "base/bytes.h"
#include "chunk.h"
#include "codec/codec_scratch.h"
#include "exemplar_ring.h"
#include "hash_table.h"
#include "head/head.h"
#include "paged_table.h"
#include "pool.h"
#include "series.h"
#include "value_run.h"

struct head {
    _Atomic uint32_t references;
    struct head_options options;
    struct pool pool;
    struct paged_table series;  /* series id -> struct series */
    struct paged_table columns; /* number - 1 -> struct time_column */
    struct hash_table targets;  /* target id -> number of its first column */
    uint32_t column_count;
    struct exemplar_ring exemplars;

    /* The writer's. */
    struct codec_scratch *scratch;
    struct byte_buffer packing;
    struct arena *comparing; /* two histograms */

    /* struct head_statistics; only the writer changes them. */
    _Atomic uint64_t series_count;
    _Atomic uint64_t sample_count;
    _Atomic uint64_t late_count;
    _Atomic uint64_t histogram_count;
    _Atomic int64_t start_ms;
    _Atomic int64_t end_ms;
};

/* --- Time columns (head_columns.c), writer only ----------------------------------------------- */

struct column_place {
    struct time_column *column;
    uint32_t position; /* of the timestamp */
    bool follows;      /* continues the series' open run */
    uint8_t flags;     /* of the series, from now on */
};

/* Where the next sample of a series belongs, newer than all it has; the timestamp is put there if
 * need be. False when memory is out. */
bool head_place(struct head *head, const struct series_state *state, int64_t timestamp_ms,
                struct column_place *place_out);

/* The same for a series that has no sample yet. */
bool head_place_first(struct head *head, uint64_t target_id, int64_t timestamp_ms,
                      struct column_place *place_out);

/* --- Samples that are there already (head_stored.c), writer only -------------------------------
 */

/* A sample of either kind. */
struct stored_sample {
    uint64_t bits;         /* of a float */
    const uint8_t *packed; /* NULL: a float */
};

/* The in-order sample at `timestamp_ms`; false when there is none. Errors: CORRUPT. */
enum error_code head_find_stored(struct head *head, const struct series_state *state,
                                 int64_t timestamp_ms, bool *found_out,
                                 struct stored_sample *sample_out, struct error *error);

/* By the total order: <0, 0, >0. Errors: OUT_OF_MEMORY. */
enum error_code stored_sample_order(struct arena *arena, struct stored_sample left,
                                    struct stored_sample right, int *order_out,
                                    struct error *error);

/* Whether the newest of the late samples hold this one: a retried write comes soon. */
bool head_late_has(const struct series_extra *extra, int64_t timestamp_ms,
                   struct stored_sample sample);

#endif
