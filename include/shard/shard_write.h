/*
 * shard_write - what one request brings to one shard, on its way to the log.
 *
 * Made by the receiver, in memory of the request; the shard checks it, resolves series, leaves out
 * what need not be stored and fills in the outcome. Samples name their series by id, or by
 * SHARD_SERIES_NEW | k, the k-th of `new_series`.
 */
#ifndef SHARD_SHARD_WRITE_H
#define SHARD_SHARD_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "shard/entry.h"

#define SHARD_SERIES_NEW (UINT64_C(1) << 63)
#define SHARD_ID_UNKNOWN UINT64_MAX

struct shard_new_series {
    struct labels labels; /* canonical */
    uint16_t slot;
    uint64_t id;  /* SHARD_ID_UNKNOWN until the shard knows it; what the receiver remembers */
    bool created; /* the series began with this write */
};

enum shard_refusal_reason {
    SHARD_REFUSED_FUTURE,       /* newer than the future window */
    SHARD_REFUSED_TOO_OLD,      /* older than the retention */
    SHARD_REFUSED_CONFLICT,     /* another value for the newest timestamp of the series */
    SHARD_REFUSED_SERIES_LIMIT, /* a new series beyond the limit */
    SHARD_REFUSAL_REASONS
};

/* In the words of an answer: "out of bounds", ... */
const char *shard_refusal_reason_text(enum shard_refusal_reason reason);
/* As a metric label: "future", ... */
const char *shard_refusal_reason_name(enum shard_refusal_reason reason);

enum { SHARD_REFUSALS_KEPT = 8 };

struct shard_refusal {
    enum shard_refusal_reason reason;
    uint32_t origin; /* the receiver's number of the series */
    int64_t timestamp_ms;
};

struct shard_write {
    struct text tenant;
    struct text source; /* replica of an HA pair, may be empty */
    struct shard_new_series *new_series;
    size_t new_series_count;

    /* Floats as columns; the shard may reorder and shorten them. */
    uint64_t *ids;
    int64_t *timestamps_ms;
    double *values;
    int64_t *start_timestamps_ms; /* NULL: none has one */
    uint32_t *origins;
    size_t float_count;

    struct entry_histogram *histograms;
    uint32_t *histogram_origins;
    size_t histogram_count;
    struct entry_exemplar *exemplars;
    size_t exemplar_count;
    struct entry_metadata *metadata;
    size_t metadata_count;

    uint64_t resolved_generation; /* the shard's; 0 at first */

    /* Outcome. Written counts include duplicates of what is stored already. */
    size_t floats_written;
    size_t histograms_written;
    size_t exemplars_written;
    size_t refused_counts[SHARD_REFUSAL_REASONS];
    struct shard_refusal refusals[SHARD_REFUSALS_KEPT]; /* the first ones */
    size_t refusal_count;                               /* of those kept */
    /* Series whose id the shard no longer knows: to be sent again with labels. */
    uint32_t *stale_origins; /* [float_count + histogram_count], room made by the receiver */
    size_t stale_count;
    /* Nothing is written, since slots of it are another shard's: so often was the shard split. 0:
     * it is not so. */
    uint32_t moved_by_splits;
};

#endif
