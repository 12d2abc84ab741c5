/*
 * series_memory - a series_source that holds samples in memory, for tests of the engine.
 *
 * Filled in by one thread, then read by any number of threads.
 */
#ifndef SUPPORT_SERIES_MEMORY_H
#define SUPPORT_SERIES_MEMORY_H

#include "promql/series_source.h"

struct series_memory;

struct series_memory *series_memory_create(void);
void series_memory_destroy(struct series_memory *memory);

/* As a source; lives as long as `memory`. */
struct series_source *series_memory_source(struct series_memory *memory);

struct memory_sample {
    int64_t timestamp_ms;
    double value;
    const struct histogram *histogram; /* copied; NULL: a float */
    int64_t start_timestamp_ms;        /* 0: none */
};

/* In any order; a sample with a timestamp that is there already takes its place. Aborts when
 * memory is out. */
void series_memory_add(struct series_memory *memory, struct labels labels,
                       struct memory_sample sample);

/* Set the start timestamp of a sample that is there (or comes later). */
void series_memory_add_start(struct series_memory *memory, struct labels labels,
                             int64_t timestamp_ms, int64_t start_timestamp_ms);

/* From now on labels cannot be read: CORRUPT. */
void series_memory_spoil_labels(struct series_memory *memory);

size_t series_memory_count(const struct series_memory *memory);
struct labels series_memory_labels(const struct series_memory *memory, size_t index);

/* All samples of a series; valid until the next change. */
struct sample_columns series_memory_columns(const struct series_memory *memory, size_t index);

#endif
