/*
 * journal_model - what a journal must give back, kept the simplest way.
 *
 * Each group has the state that the last recovery confirmed, and the operations submitted since
 * with how many of them were acknowledged. After a crash the group must be what some number of
 * those operations, at least the acknowledged ones, make of that state.
 */
#ifndef JOURNAL_MODEL_H
#define JOURNAL_MODEL_H

#include "journal/journal.h"

enum model_kind {
    MODEL_APPEND,
    MODEL_TRUNCATE,
    MODEL_METADATA,
    MODEL_LOW_WATER,
    MODEL_SNAPSHOT,
    MODEL_INSTALL,
    MODEL_DELETE,
    MODEL_KINDS
};

struct model_operation {
    struct journal_request request;
    struct model_operation *next;
    struct model_group *group;
    enum model_kind kind;
    uint64_t index, term, extra; /* extra: vote, low water */
    uint32_t payload_bytes;
    uint64_t payload_seed;
};

struct model_entry {
    uint64_t term;
    uint64_t payload_seed;
    uint32_t payload_bytes;
};

struct model_state {
    bool exists;
    uint64_t term, vote, first_index, next_index;
    struct model_entry *entries; /* [next_index - first_index] */
    size_t capacity;
    bool has_snapshot;
    struct model_entry snapshot;
    uint64_t snapshot_index;
};

struct model_group {
    uint64_t group;
    struct model_state confirmed; /* by the last recovery */
    struct model_state submitted; /* after all operations */
    struct model_operation *first, *last;
    uint64_t operation_count, acknowledged;
    size_t lane;
    uint32_t weight; /* how often it is chosen: most groups are cold */
};

void model_payload(const struct model_operation *operation, uint8_t *target);

void model_state_apply(struct model_state *state, const struct model_operation *operation);
void model_state_copy(struct model_state *target, const struct model_state *source);
void model_group_add(struct model_group *group, struct model_operation *operation);
void model_group_clear(struct model_group *group);

/* Whether `found` (NULL: no such group) is a state that the group may be in; if so it becomes the
 * confirmed one and the operations are forgotten. */
bool model_group_confirm(struct model_group *group, const struct journal_recovery *recovery,
                         const struct journal_group *found);

#endif
