/*
 * promise - what a replica owes to others by what it has stored, even when that is gone.
 *
 * A replica that was removed from its group is deleted with its log. When it is added again under
 * the same id, members that have not heard of its removal still take it for the voter that it was:
 * it votes for no log that lacks what was in its own, and in no term twice.
 */
#ifndef CONSENSUS_PROMISE_H
#define CONSENSUS_PROMISE_H

#include <stdint.h>

/* Zeroes: it owes nothing. */
struct consensus_promise {
    uint64_t term; /* the newest that it knew, and whom it voted for in it; 0: nobody */
    uint64_t vote;
    uint64_t last_term; /* of the last entry of its log */
    uint64_t last_index;
};

#endif
