/*
 * shard_model - what the shards of the simulated node must hold.
 *
 * Of every sample ever written: which values were offered for its timestamp, which of them were
 * acknowledged, whether it may be gone. A value is one of three variants for its series and time
 * (shard_values.h); of the acknowledged ones the highest, or one above it that was offered, must be
 * there.
 */
#ifndef TESTS_SHARD_MODEL_H
#define TESTS_SHARD_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/columns.h"
#include "shard_values.h"

enum { MODEL_FAILURE_MAX = 400, MODEL_DELETED_KEPT = 8 };

struct model_sample {
    int64_t time_ms;
    uint8_t offered;      /* bits of variants */
    uint8_t acknowledged; /* bits of variants */
    bool maybe_deleted;   /* a deletion was asked for and not answered */
};

struct model_series {
    struct model_sample *samples; /* [count], by time */
    size_t count, capacity;
    struct model_sample *exemplars; /* the same; only variant 0 */
    size_t exemplar_count, exemplar_capacity;
    int64_t exemplar_newest_ms;
    bool exemplar_in_flight; /* writes may overtake one another, and older ones are ignored */
    uint64_t known_id;       /* as acknowledged; SHARD_ID_UNKNOWN */
    uint64_t last_id;        /* the same, but it stays when the id is forgotten; 0: none yet */
    bool was_forgotten;      /* that one is dead */
    bool was_written;        /* or tried to */
    int64_t deleted_ms[MODEL_DELETED_KEPT]; /* of some samples, to be written again */
    size_t deleted_count;
    int64_t cutoff_ms; /* what is older may be gone, by a rule */
    int64_t keep_ms;   /* of the rules at first, the longest; INT64_MAX: no rule is for it */
};

/* Of one metric of one tenant. */
struct model_metric {
    uint32_t offered, acknowledged; /* versions, 0: none */
    bool in_flight;                 /* the last one stays, and writes may overtake */
};

struct shard_model {
    size_t shard;
    struct model_series series[MODEL_SERIES];
    struct model_metric metrics[MODEL_TENANTS][MODEL_METRICS];
    uint64_t metadata_forgotten; /* entries of lives before said so at least of that many metrics */
    uint64_t metadata_missed;    /* metrics found gone by that */
    int64_t cutoff_ms;           /* what is older may be gone */
    int64_t rules_at_ms;         /* what is older than that by more than rules keep must be */
    uint64_t retired;            /* samples found gone by retention */
    uint64_t retired_by_rules;   /* of them, what rules say must be */
    char failure[MODEL_FAILURE_MAX];
};

void shard_model_init(struct shard_model *model, size_t shard);

/* Whether it is past what the rules keep of the series. */
bool shard_model_is_past(const struct shard_model *model, const struct model_series *series,
                         int64_t time_ms);
void shard_model_clear(struct shard_model *model);

/* The sample of this time, made when it is missing. */
struct model_sample *model_offer(struct model_series *series, int64_t time_ms, unsigned variant);
struct model_sample *model_offer_exemplar(struct model_series *series, int64_t time_ms);
struct model_sample *model_find(struct model_series *series, int64_t time_ms);

/* A deletion is on its way, or was acknowledged. */
void model_deleting(struct model_series *series, int64_t start_ms, int64_t end_ms);
void model_deleted(struct model_series *series, int64_t start_ms, int64_t end_ms);

struct shard;

enum model_check { MODEL_CHECK, MODEL_CONFIRM /* nothing is in flight: what is found stays */ };

/*
 * Read everything that the shard has, tenant by tenant, and compare: labels, times, bits of values,
 * histograms, start timestamps, exemplars, metadata. False: `failure` tells what is wrong, or
 * *error_out what could not be read.
 */
bool shard_model_check(struct shard_model *model, struct shard *shard, enum model_check check,
                       struct error *error_out);

/*
 * Compare what a query found one series to have: a range selector leaves out stale markers and
 * tells no start timestamps. False: `failure` tells what is wrong.
 */
bool shard_model_check_queried(struct shard_model *model, unsigned number,
                               const struct sample_columns *columns);

/* Which series of the model has exactly these labels; false when none of this tenant has. */
bool shard_model_find_series(const struct shard_model *model, unsigned tenant, struct labels labels,
                             unsigned *number_out);

#endif
