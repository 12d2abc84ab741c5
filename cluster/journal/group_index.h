/*
 * group_index - what the records so far add up to: metadata, snapshot and live entries by group.
 *
 * The same rules serve recovery, which applies the records it finds, and the open journal, which
 * applies its own records when their place in a segment is decided. Not thread-safe.
 */
#ifndef JOURNAL_GROUP_INDEX_H
#define JOURNAL_GROUP_INDEX_H

#include "record.h"
#include "segment.h"

enum { GROUP_ENTRIES_MAX = 1 << 24 };

struct group_state {
    uint64_t group;
    uint64_t term;
    uint64_t vote;
    uint64_t first_index;
    uint64_t next_index;
    struct location *entries; /* [head, head + next_index - first_index), .segment NULL: missing */
    size_t head, capacity;
    struct location snapshot;
    uint64_t snapshot_index, snapshot_term;
    bool snapshot_expected;      /* recovery: a checkpoint speaks of one */
    uint64_t touched_generation; /* of the last record */
    bool deleted;
    bool damaged; /* acknowledged records are gone, until a snapshot is installed */

    /* Of the open journal: what was submitted but has no place yet. */
    uint32_t unplaced_records;
    uint64_t submitted_first_index;
    uint64_t submitted_next_index;
    /* When deleted: the checkpoint repeats it until every older segment is gone. */
    uint64_t deleted_before_generation; /* 0: in this run, in segment deleted_sequence */
    uint64_t deleted_sequence;
};

struct group_index {
    struct group_state **table; /* [capacity], open addressing */
    size_t count, capacity;
    /* Told of every record that is not needed any more; may be NULL. */
    void (*dropped)(void *context, struct location location);
    void *context;
};

void group_index_clear(struct group_index *index);

/* NULL when unknown; deleted ones are found. */
struct group_state *group_index_find(const struct group_index *index, uint64_t group);

/* Found or added, fresh; NULL when memory is out. */
struct group_state *group_index_add(struct group_index *index, uint64_t group);

/* Add a copy of `source`, which the index does not have. False when memory is out. */
bool group_index_adopt(struct group_index *index, const struct group_state *source);

void group_index_remove(struct group_index *index, uint64_t group);

/*
 * Apply one record, whose place is `location`. SEGMENTS records are ignored here.
 *
 * Errors: CORRUPT (numbers out of range, unknown type), LIMIT (more than GROUP_ENTRIES_MAX),
 * OUT_OF_MEMORY.
 */
enum error_code group_index_apply(struct group_index *index, const struct record *record,
                                  struct location location, uint64_t generation,
                                  struct error *error);

/* `entry_index` in [first_index, next_index). */
static inline struct location *group_state_entry(const struct group_state *state,
                                                 uint64_t entry_index)
{
    return &state->entries[state->head + (size_t)(entry_index - state->first_index)];
}

#endif
