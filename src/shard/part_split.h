/*
 * part_split - what of a frozen head goes into which of its two parts. Private to shard.
 *
 * The late part takes what is older than the windows that are merged at the time of the freeze, the
 * current one the rest, however it came: so a single old sample makes no current part reach back.
 */
#ifndef SHARD_PART_SPLIT_H
#define SHARD_PART_SPLIT_H

#include "head/head.h"

#include "column_merge.h"

enum part_number { PART_CURRENT = 0, PART_LATE = 1, PARTS_PER_FREEZE = 2 };

struct part_split {
    enum part_number number;
    int64_t late_before_ms;
    struct column_merge merge; /* zero at first */
};

/* The samples and exemplars of one series that belong into the part; valid until the next call and
 * as long as the content. Errors: OUT_OF_MEMORY. */
enum error_code part_split_take(struct part_split *split, const struct head_series_content *content,
                                struct sample_columns *columns_out,
                                const struct exemplar **exemplars_out, size_t *exemplar_count_out,
                                struct error *error);

void part_split_clear(struct part_split *split);

#endif
