/*
 * view_reader - samples of one series out of all pieces of a view. Private to shard.
 *
 * One thread at a time; opens a reader per piece when it is first needed.
 */
#ifndef SHARD_VIEW_READER_H
#define SHARD_VIEW_READER_H

#include "column_merge.h"
#include "view.h"

#define SERIES_ID_NONE UINT64_MAX

/* Where a series is in a block of the view. */
struct block_position {
    uint32_t block;
    uint32_t position;
};

/* A series as the pieces know it. */
struct view_series {
    struct text tenant;
    struct labels labels;
    uint64_t id;                         /* in heads and parts; SERIES_ID_NONE: only in blocks */
    const struct block_position *blocks; /* [block_count], by block */
    size_t block_count;
};

struct view_reader;

/* Holds a reference to the view. Errors: OUT_OF_MEMORY. */
enum error_code view_reader_create(struct view *view, struct view_reader **reader_out,
                                   struct error *error);
void view_reader_destroy(struct view_reader *reader); /* NULL is fine */

/*
 * Samples with start_ms <= timestamp <= end_ms, deleted ones left out; valid until the next call.
 * Errors: CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code view_reader_read(struct view_reader *reader, const struct view_series *series,
                                 int64_t start_ms, int64_t end_ms,
                                 struct sample_columns *columns_out, struct error *error);

/* Only the latest of them. */
enum error_code view_reader_read_latest(struct view_reader *reader,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, struct sample_columns *columns_out,
                                        struct error *error);

/* Whether there are any. */
enum error_code view_reader_has_samples(struct view_reader *reader,
                                        const struct view_series *series, int64_t start_ms,
                                        int64_t end_ms, bool *has_out, struct error *error);

/* Exemplars in the range, by timestamp, in `arena`. */
enum error_code view_reader_exemplars(struct view_reader *reader, const struct view_series *series,
                                      int64_t start_ms, int64_t end_ms, struct arena *arena,
                                      struct exemplar **exemplars_out, size_t *count_out,
                                      struct error *error);

#endif
