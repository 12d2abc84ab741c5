/*
 * memory_index - the growing segment of a shard's registry: series ids to labels, labels to ids,
 * and postings.
 *
 * One thread adds (the loop that owns the shard), any number of threads read at the same time and
 * take no lock. Nothing added ever changes or leaves; the index is released as a whole, when its
 * series were written to a series segment and the last reference is gone.
 *
 * Ids are dense: first_id, first_id + 1, ... in the order of adding; the position of a series in
 * the sense of model/positions.h is its id minus first_id. All tenants share the structures: an
 * index of 10,000 tenants with a series each costs what 10,000 series of one tenant cost.
 */
#ifndef HEAD_MEMORY_INDEX_H
#define HEAD_MEMORY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/text.h"
#include "model/index_source.h"
#include "model/labels.h"
#include "model/positions.h"

struct memory_index;

enum { MEMORY_INDEX_SERIES_MAX = UINT32_MAX - 1 };

struct memory_index_options {
    uint64_t first_id;
    uint64_t hash_seed;        /* random per process: senders must not be able to collide labels */
    size_t memory_limit_bytes; /* adding fails with OUT_OF_MEMORY beyond; 0: no limit */
};

/* The caller holds the first reference. Errors: OUT_OF_MEMORY. */
enum error_code memory_index_create(const struct memory_index_options *options,
                                    struct memory_index **index_out, struct error *error);

/* References keep the memory; any thread. NULL is fine. */
struct memory_index *memory_index_ref(struct memory_index *index);
void memory_index_unref(struct memory_index *index);

/* A series as the registry knows it. */
struct memory_series {
    struct text tenant;
    struct labels labels; /* canonical, at least one */
    uint64_t target_id;
    uint16_t slot;
};

/*
 * Add a series that is not there yet; everything is copied. The owner's thread. An error leaves
 * the index as it was.
 * Errors: EXISTS (*id_out is its id), LIMIT (MEMORY_INDEX_SERIES_MAX), OUT_OF_MEMORY.
 */
enum error_code memory_index_add(struct memory_index *index, const struct memory_series *series,
                                 uint64_t *id_out, struct error *error);

/* The id of the series with these canonical labels; false when there is none. Exact: the labels
 * are compared. Any thread. */
bool memory_index_find(const struct memory_index *index, struct text tenant, struct labels labels,
                       uint64_t *id_out);

/* A series of the tenant that was added last will be looked for: no wait for memory then. On the
 * writer's thread. */
void memory_index_prefetch(const struct memory_index *index, struct labels labels);

/* --- What is in it: any thread ---------------------------------------------------------------- */

uint64_t memory_index_first_id(const struct memory_index *index);

/* Series whose add has returned; their ids are [first_id, first_id + count). */
size_t memory_index_count(const struct memory_index *index);

size_t memory_index_tenant_count(const struct memory_index *index);

/* Memory taken from the operating system. */
size_t memory_index_size_bytes(const struct memory_index *index);

/* The target and slot of a series; false beyond the last id. */
bool memory_index_target(const struct memory_index *index, uint64_t id, uint64_t *target_id_out,
                         uint16_t *slot_out);

/*
 * Everything about a series; labels are put together in `arena`, the tenant's text lives as long
 * as the index. Errors: NOT_FOUND (beyond the last id), OUT_OF_MEMORY.
 */
enum error_code memory_index_get(const struct memory_index *index, uint64_t id, struct arena *arena,
                                 struct memory_series *series_out, struct error *error);

/* The index for the evaluation of matchers; lives as long as the index, holds no reference. */
struct index_source *memory_index_source(struct memory_index *index);

#endif
