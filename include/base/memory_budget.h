/*
 * memory_budget - what one piece of work may allocate, charged on to what many share.
 *
 * It remembers which of the two refused: who needs more than may be had at all is told so, and who
 * only came beside others may try again. Any thread.
 */
#ifndef BASE_MEMORY_BUDGET_H
#define BASE_MEMORY_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct memory_budget {
    struct arena_account account;
    struct arena_account *parent; /* NULL: none */
    uint64_t limit_bytes;         /* 0: none */
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t used_bytes_max;
    /* An allocation failed for a budget and not for the system: for this one's limit, or because
     * of what others hold of the common one. */
    atomic_bool over_limit;
    atomic_bool beside_others;
};

/* `parent` outlives it. */
void memory_budget_init(struct memory_budget *budget, uint64_t limit_bytes,
                        struct arena_account *parent);

/* Whether a budget refused an allocation, whatever came of it. */
bool memory_budget_is_exceeded(const struct memory_budget *budget);

/* Why an allocation failed: LIMIT (its own limit), UNAVAILABLE (what others hold), OUT_OF_MEMORY
 * (the system has none). */
enum error_code memory_budget_error(const struct memory_budget *budget, struct error *error);

#endif
