/*
 * registry - the series of a shard: labels to ids and ids to targets. Private to shard.
 *
 * Series are in the growing memory index, in at most REGISTRY_FROZEN_MAX frozen ones (being
 * written to a segment) and in series segments. Each series is in exactly one of them. The loop
 * thread writes; queries read the pieces through a view (view.h) and never this structure.
 *
 * For every live id there are eleven bytes in memory: the numbers of its target and tenant, its
 * slot, and bits. They say in O(1) whether an id is alive and what a part must know of it, without
 * touching a file on the loop. A page of which no id is alive is released.
 *
 *   alive, heard --turn--> heard before --turn--> quiet --proposed--> leaving --applied--> dead
 *       ^--------- sample -------'----- sample ----'
 *
 * Only alive and dead are of the log. Turns, and who was heard, are each replica's own: a leader
 * needs them to know what it may propose to forget (shard_forget.c).
 */
#ifndef SHARD_REGISTRY_H
#define SHARD_REGISTRY_H

#include "base/error.h"
#include "block/series_segment_reader.h"
#include "head/memory_index.h"
#include "model/labels.h"
#include "shard/slots.h"
#include "tenant_numbers.h"

enum { REGISTRY_FROZEN_MAX = 3, SERIES_PAGE_SIZE = 4096 };

/* A target number is never this. */
#define TARGET_NONE UINT32_MAX

enum { SERIES_PAGE_WORDS = SERIES_PAGE_SIZE / 64 };

struct series_page {
    uint32_t targets[SERIES_PAGE_SIZE]; /* TARGET_NONE: not alive */
    uint32_t tenants[SERIES_PAGE_SIZE]; /* numbers */
    uint16_t slots[SERIES_PAGE_SIZE];
    uint64_t heard[SERIES_PAGE_WORDS];        /* had a sample since the turn, applied or proposed */
    uint64_t heard_before[SERIES_PAGE_WORDS]; /* ... since the turn before that one */
    uint64_t leaving[SERIES_PAGE_WORDS];      /* proposed to be forgotten */
    uint32_t alive_count;
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
    size_t live_page_count;
    struct tenant_numbers tenants;
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

/* registry_find_in_memory of these labels comes soon. */
void registry_prefetch(const struct registry *registry, struct labels labels);

/* Search the indexes in memory. */
bool registry_find_in_memory(const struct registry *registry, struct text tenant,
                             struct labels labels, uint64_t *id_out);

/* TARGET_NONE when the id is not alive. */
uint32_t registry_target(const struct registry *registry, uint64_t id);

/* The slot of an id that is alive; false when it is not. */
static inline bool registry_slot(const struct registry *registry, uint64_t id, uint16_t *slot_out)
{
    uint64_t number = id / SERIES_PAGE_SIZE;
    if (number >= registry->page_count || registry->pages[number] == NULL)
        return false;
    const struct series_page *page = registry->pages[number];
    size_t place = (size_t)(id % SERIES_PAGE_SIZE);
    *slot_out = page->slots[place];
    return page->targets[place] != TARGET_NONE;
}

/*
 * Whether a sample may name the id: it is alive and not about to leave. It then counts as heard.
 * For leaders, before they propose the sample.
 */
static inline bool registry_touch(struct registry *registry, uint64_t id)
{
    uint64_t number = id / SERIES_PAGE_SIZE;
    if (number >= registry->page_count || registry->pages[number] == NULL)
        return false;
    struct series_page *page = registry->pages[number];
    size_t place = (size_t)(id % SERIES_PAGE_SIZE), word = place / 64;
    uint64_t bit = UINT64_C(1) << place % 64;
    if (page->targets[place] == TARGET_NONE || (page->leaving[word] & bit) != 0)
        return false;
    if ((page->heard[word] & bit) == 0)
        page->heard[word] |= bit;
    return true;
}

/* The id has a sample: for everyone, when the first one of a head is applied. */
void registry_hear(struct registry *registry, uint64_t id);

/* A period is over: who was heard in it was heard before. All of this takes 0.1 ms a million ids.
 */
void registry_turn(struct registry *registry);

/* Ids below are in segments, those from there on in memory. */
uint64_t registry_memory_from(const struct registry *registry);

/*
 * The next quiet ids, ascending, from `from_id` on and in segments: alive, and not heard since the
 * turn before the last one. Returns how many, at most `count`.
 */
size_t registry_find_quiet(const struct registry *registry, uint64_t from_id, uint64_t *ids,
                           size_t count);
bool registry_is_quiet(const struct registry *registry, uint64_t id);

/* Whether it is proposed that the id leaves: samples do not name it any more. Alive ids only. */
void registry_set_leaving(struct registry *registry, uint64_t id);
bool registry_is_leaving(const struct registry *registry, uint64_t id);
/* No proposal is under way any more. */
void registry_clear_leaving(struct registry *registry);

/* The series leaves: its id is no longer alive. */
void registry_forget(struct registry *registry, uint64_t id);

/* The growing index becomes frozen, a new one takes over. Errors: LIMIT (too many frozen),
 * OUT_OF_MEMORY. */
enum error_code registry_freeze(struct registry *registry, struct error *error);

/* The oldest frozen index was written as `segment`, and with it the newest `rewritten_count` of the
 * segments, whose place it takes. The registry takes it over; NULL: nothing was left to write.
 * Errors: OUT_OF_MEMORY. */
enum error_code registry_thaw(struct registry *registry, size_t rewritten_count, uint64_t name,
                              struct series_segment *segment, struct error *error);

/* A segment found at start-up, its ids not yet alive. Errors: OUT_OF_MEMORY. */
enum error_code registry_add_segment(struct registry *registry, uint64_t name,
                                     struct series_segment *segment, struct error *error);

/* The same segment, opened again; one that is not there any more is released. */
void registry_reopen_segment(struct registry *registry, uint64_t name,
                             struct series_segment *segment);

/* Ids alive whose slot is not in the set. 0.5 ms a million ids. */
uint64_t registry_count_outside(const struct registry *registry, const struct slot_set *slots);

/* Make an id of a segment alive; it was heard before. Errors: CORRUPT (it is already),
 * OUT_OF_MEMORY. */
enum error_code registry_revive(struct registry *registry, uint64_t id, struct text tenant,
                                uint32_t target, uint16_t slot, struct error *error);

/* The tables as they are now, for a job: valid as long as the registry, for ids that stay alive
 * (those of a frozen head do until it is written; names of tenants live as long as their series).
 * Errors: OUT_OF_MEMORY. */
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

/* Bytes of the tables and the memory indexes. Cheap, however many ids there were. */
size_t registry_size_bytes(const struct registry *registry);

#endif
