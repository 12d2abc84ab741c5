/*
 * entry - one entry of a group's log, and the shared memory that its bytes lie in.
 *
 * Entries that arrived in one message lie in one batch, which lives until the last of them is
 * dropped. Not thread-safe: a batch belongs to the loop of its group.
 */
#ifndef CONSENSUS_ENTRY_H
#define CONSENSUS_ENTRY_H

#include <stddef.h>
#include <stdint.h>

enum consensus_kind {
    CONSENSUS_COMMAND = 1,
    CONSENSUS_BARRIER = 2,    /* of a leader's own: nothing */
    CONSENSUS_MEMBERSHIP = 3, /* members, docs/formats/raft-message.md */
};

struct consensus_batch {
    uint32_t references;
    uint32_t reserved; /* the bytes are aligned to 8 */
    uint8_t bytes[];
};

struct consensus_entry {
    uint64_t term; /* > 0 */
    enum consensus_kind kind;
    uint32_t size_bytes;
    const uint8_t *bytes;          /* in `batch`; NULL when there are none */
    struct consensus_batch *batch; /* NULL when there are no bytes */
};

/* Entries from `first_index` on are of this term. */
struct consensus_term {
    uint64_t first_index;
    uint64_t term;
};

/* Memory for `size_bytes`, with one reference; NULL when memory is out. */
struct consensus_batch *consensus_batch_create(size_t size_bytes);
void consensus_batch_ref(struct consensus_batch *batch);
void consensus_batch_unref(struct consensus_batch *batch); /* NULL is fine */

#endif
