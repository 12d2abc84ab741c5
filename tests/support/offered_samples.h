/*
 * offered_samples - what clients offered of a series, and what of it must be there, may be, or must
 * not: the model that simulations compare replicas with.
 *
 * A sample is attempted any number of times, acknowledged, deleted, and offered again; its value
 * follows from series and time. What had no answer may come to effect at any time later, or never:
 * after an attempt without one the sample may be there, after a deletion without one what it covers
 * may be gone. Moments are numbers that rise with every attempt and deletion.
 */
#ifndef SUPPORT_OFFERED_SAMPLES_H
#define SUPPORT_OFFERED_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "promql/series_source.h"

struct offered_sample {
    int64_t time_ms;
    bool acknowledged;    /* it must be there */
    bool deleted;         /* it must not */
    bool was_deleted;     /* at some time, perhaps */
    bool is_uncertain;    /* an attempt had no answer */
    uint32_t attempts;    /* under way */
    uint64_t answered_at; /* when the last of them had its answer */
    uint64_t deleted_at;  /* when the last deletion ended */
};

struct offered_deletion {
    int64_t start_ms, end_ms; /* inclusive */
    uint64_t began_at;
};

struct offered_deletions {
    struct offered_deletion *items; /* [count] */
    size_t count, capacity;
};

struct offered_series {
    struct offered_sample *samples; /* [count], by time */
    size_t count, capacity;
    struct offered_deletions under_way, unanswered;
};

enum offered_outcome { OFFERED_STORED, OFFERED_UNKNOWN };

double offered_value(unsigned series, int64_t time_ms);

/* It is offered, if it was not before. */
struct offered_sample *offered_add(struct offered_series *series, int64_t time_ms);

/* NULL: it was not offered. */
const struct offered_sample *offered_find(const struct offered_series *series, int64_t time_ms);

void offered_attempt(struct offered_series *series, int64_t time_ms);
void offered_answer(struct offered_series *series, int64_t time_ms, uint64_t began_at,
                    uint64_t moment, enum offered_outcome outcome);

/* A deletion begins, and ends with or without an answer; the same range both times. */
void offered_delete(struct offered_series *series, int64_t start_ms, int64_t end_ms,
                    uint64_t moment);
void offered_deleted(struct offered_series *series, int64_t start_ms, int64_t end_ms,
                     uint64_t began_at, uint64_t moment, enum offered_outcome outcome);

/* Whether it was acknowledged for good: nothing that might have deleted it came behind. */
bool offered_must_be_there(const struct offered_series *series,
                           const struct offered_sample *sample);

/*
 * Compare all that a replica has of the series. NULL: it is right, and `hash` went on over it;
 * otherwise what is wrong, at *time_ms_out.
 */
const char *offered_check(const struct offered_series *series, unsigned number,
                          const struct sample_columns *columns, uint64_t *hash,
                          int64_t *time_ms_out);

void offered_clear(struct offered_series *series);

#endif
