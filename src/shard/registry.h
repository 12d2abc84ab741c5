/*
 * registry - the series of a shard: labels to ids and ids to targets. Private to shard.
 *
 * Series are in the growing memory index, in at most REGISTRY_FROZEN_MAX frozen ones (being
 * written to a segment) and in series segments. Each series is in exactly one of them. The loop
 * thread writes; queries read the pieces through a view (view.h) and never this structure.
 *
 * For every live id there are four bytes in memory: the number of its target. They say in O(1)
 * whether an id is alive, without touching a file on the loop.
 */
#ifndef SHARD_REGISTRY_H
#define SHARD_REGISTRY_H

#include "base/error.h"
#include "block/series_segment_reader.h"
#include "head/memory_index.h"
#include "model/labels.h"

enum { REGISTRY_FROZEN_MAX = 3, TARGET_PAGE_SERIES = 4096 };

/* A target number is never this. */
#define TARGET_NONE UINT32_MAX

struct target_page {
    uint32_t targets[TARGET_PAGE_SERIES];
};

struct registry {
    uint64_t hash_seed;
    uint64_t next_id;
    uint64_t series_count; /* alive */
    struct memory_index *growing;
    struct memory_index *frozen[REGISTRY_FROZEN_MAX];
    size_t frozen_count;
    struct series_segment **segments; /* [segment_count], rising ids */
    uint64_t *segment_names;          /* [segment_count] */
    size_t segment_count;
    struct target_page **pages; /* [page_count], NULL where no id is alive */
    size_t page_count;
};

/* The number of the target of a series: of its tenant, job and instance. Numbers may collide;
 * targets that do share timestamps worse, nothing else. */
uint32_t series_target(struct text tenant, struct labels labels);

/* Errors: OUT_OF_MEMORY. */
enum error_code registry_init(struct registry *registry, uint64_t hash_seed, uint64_t next_id,
                              struct error *error);
void registry_clear(struct registry *registry);

/* Add a series with the next id. Errors: EXISTS (*id_out is its id in memory), OUT_OF_MEMORY. */
enum error_code registry_add(struct registry *registry, struct text tenant, uint16_t slot,
                             struct labels labels, uint64_t *id_out, struct error *error);

/* Search the indexes in memory. */
bool registry_find_in_memory(const struct registry *registry, struct text tenant,
                             struct labels labels, uint64_t *id_out);

/* TARGET_NONE when the id is not alive. */
uint32_t registry_target(const struct registry *registry, uint64_t id);

/* The series leaves: its id is no longer alive. */
void registry_forget(struct registry *registry, uint64_t id);

/* The growing index becomes frozen, a new one takes over. Errors: LIMIT (too many frozen),
 * OUT_OF_MEMORY. */
enum error_code registry_freeze(struct registry *registry, struct error *error);

/* The oldest frozen index was written as `segment` (NULL: it was empty), which the registry takes
 * over. Errors: OUT_OF_MEMORY. */
enum error_code registry_thaw(struct registry *registry, uint64_t name,
                              struct series_segment *segment, struct error *error);

/* A segment found at start-up, its ids not yet alive. Errors: OUT_OF_MEMORY. */
enum error_code registry_add_segment(struct registry *registry, uint64_t name,
                                     struct series_segment *segment, struct error *error);

/* Make an id of a segment alive. Errors: OUT_OF_MEMORY. */
enum error_code registry_revive(struct registry *registry, uint64_t id, uint32_t target,
                                struct error *error);

/* Bytes of the tables and the memory indexes. */
size_t registry_size_bytes(const struct registry *registry);

#endif
