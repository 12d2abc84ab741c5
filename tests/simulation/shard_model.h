/*
 * shard_model - what the shards of the simulated node must hold.
 *
 * Of every sample ever written: which values were offered for its timestamp, which of them were
 * acknowledged, whether it may be gone. A value is one of three variants for its series and time;
 * a higher variant wins by the order of values, so of the acknowledged ones the highest, or one
 * above it that was offered, must be there.
 */
#ifndef TESTS_SHARD_MODEL_H
#define TESTS_SHARD_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/columns.h"
#include "model/labels.h"
#include "model/sample.h"

enum { MODEL_SERIES = 48, MODEL_METRICS = 6, MODEL_VARIANTS = 3, MODEL_FAILURE_MAX = 400 };

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
    bool offered;            /* ever written */
};

struct shard_model {
    struct model_series series[MODEL_SERIES];
    uint32_t metadata_offered[MODEL_METRICS]; /* versions, 0: none */
    uint32_t metadata_acknowledged[MODEL_METRICS];
    bool metadata_in_flight[MODEL_METRICS]; /* the last one stays, and writes may overtake */
    int64_t cutoff_ms;                      /* what is older may be gone */
    uint64_t retired;                       /* samples found gone by retention */
    char failure[MODEL_FAILURE_MAX];
};

void shard_model_init(struct shard_model *model);
void shard_model_clear(struct shard_model *model);

bool model_is_histogram(unsigned series);
double model_value(unsigned series, int64_t time_ms, unsigned variant);
/* The histogram of that series and time; static memory, until the next call. */
const struct histogram *model_histogram(unsigned series, int64_t time_ms);

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
 * Read everything that the shard has and compare. False: `failure` tells what is wrong, or
 * *error_out what could not be read.
 */
bool shard_model_check(struct shard_model *model, struct shard *shard, enum model_check check,
                       struct error *error_out);

/* Each series has one id alive at most. False: `failure` tells that there are more. */
bool shard_model_check_count(struct shard_model *model, struct shard *shard);

/* An acknowledgement says the id of the series. False: `failure` tells that it cannot be that. */
bool model_learn_id(struct shard_model *model, unsigned number, uint64_t id);

/* It says that the id it had is dead. False: it never had that one. */
bool model_learn_death(struct shard_model *model, unsigned number, uint64_t id);

/* Compare what one series was found to have. False: `failure` tells what is wrong. */
bool shard_model_check_series(struct shard_model *model, unsigned number,
                              const struct sample_columns *columns);

/* Which series of the model labels name; false when none. */
bool shard_model_series_number(struct labels labels, unsigned *number_out);

#endif
