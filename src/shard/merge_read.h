/*
 * merge_read - the samples and exemplars of one series in a window, of all inputs. Private to
 * shard.
 */
#ifndef SHARD_MERGE_READ_H
#define SHARD_MERGE_READ_H

#include "column_merge.h"
#include "merge_walk.h"

struct merge_source;

/* Memory for one series; zero-initialise, clear at the end. */
struct merge_reader {
    struct merge_work *work;
    struct merge_source *sources;       /* [source_capacity], those that have samples */
    const struct merge_source **sorted; /* [source_capacity], by time */
    struct sample_columns *pieces;      /* [source_capacity], decoded */
    size_t source_capacity;
    struct column_merge merged;
    struct arena *arena;
};

struct merge_content {
    /* Chunks to be copied as they are; none: `columns` counts. */
    struct encoded_series encoded;
    struct sample_columns columns;
    struct exemplar *exemplars; /* by timestamp: of equal ones those of parts, then of blocks */
    size_t exemplar_count;
};

/*
 * What the inputs have of the series that the walk is on, from start_ms to end_ms, inclusive, which
 * are those of the walk. It lives until the next call or step. Errors: CORRUPT, IO, OUT_OF_MEMORY.
 */
enum error_code merge_read(struct merge_reader *reader, const struct merge_walk *walk,
                           int64_t start_ms, int64_t end_ms, struct merge_content *content_out,
                           struct error *error);

/* Tell `visit` all times of the series, and maybe some that were deleted. Errors: as merge_read. */
enum error_code merge_read_times(struct merge_reader *reader, const struct merge_walk *walk,
                                 int64_t start_ms, int64_t end_ms,
                                 void (*visit)(void *context, int64_t timestamp_ms), void *context,
                                 struct error *error);
void merge_reader_clear(struct merge_reader *reader);

#endif
