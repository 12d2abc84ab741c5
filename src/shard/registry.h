/*
 * registry - the series of a shard: labels to ids and ids to targets. Private to shard.
 *
 * Series are in the growing memory index, in at most REGISTRY_FROZEN_MAX frozen ones (being
 * written to a segment) and in series segments. Each series is in exactly one of them. The loop
 * thread writes; queries read the pieces through a view (view.h) and never this structure.
 *
 * For every live id there are ten bytes in memory: the numbers of its target and tenant and its
 * slot. They say in O(1) whether an id is alive and what a part must know of it, without touching
 * a file on the loop.
 */
#ifndef SHARD_REGISTRY_H
#define SHARD_REGISTRY_H

#include "base/error.h"
#include "block/series_segment_reader.h"
#include "head/memory_index.h"
#include "model/labels.h"

enum { REGISTRY_FROZEN_MAX = 3, SERIES_PAGE_SIZE = 4096 };

/* A target number is never this. */
#define TARGET_NONE UINT32_MAX

struct series_page {
    uint32_t targets[SERIES_PAGE_SIZE]; /* TARGET_NONE: not alive */
    uint32_t tenants[SERIES_PAGE_SIZE]; /* numbers of the registry */
    uint16_t slots[SERIES_PAGE_SIZE];
};

/* What is kept in memory of a series. */
struct series_brief {
    uint32_t target;
    uint32_t tenant;
    uint16_t slot;
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
    uint64_t segment_generation; /* rises with every new segment */
    struct series_page **pages;  /* [page_count], NULL where no id was alive */
    size_t page_count;
    char **tenants; /* [tenant_count], NUL-terminated, never moved nor removed */
    size_t tenant_count;
    uint32_t *tenant_table; /* [tenant_capacity], numbers + 1, open addressing */
    size_t tenant_capacity;
    uint32_t tenant_latest; /* the number looked up last */
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
enum error_code registry_revive(struct registry *registry, uint64_t id, struct text tenant,
                                uint32_t target, uint16_t slot, struct error *error);

/* The tables as they are now, for a job: valid as long as the registry, for the ids that were
 * alive. Errors: OUT_OF_MEMORY. */
struct registry_brief {
    struct series_page **pages; /* owned */
    size_t page_count;
    char **tenants; /* owned, not what they point to */
};
enum error_code registry_brief_create(const struct registry *registry,
                                      struct registry_brief *brief_out, struct error *error);
void registry_brief_clear(struct registry_brief *brief);
/* False when the id is not alive. */
bool registry_brief_get(const struct registry_brief *brief, uint64_t id,
                        struct series_brief *series_out);

/* Bytes of the tables and the memory indexes. */
size_t registry_size_bytes(const struct registry *registry);

#endif
