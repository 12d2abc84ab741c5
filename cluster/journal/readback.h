/*
 * readback - entries of a recovery, read again: which bytes of which segment come next, so that
 * several groups together read the log once, from its beginning to its end.
 */
#ifndef JOURNAL_READBACK_H
#define JOURNAL_READBACK_H

#include "group_index.h"
#include "journal/journal.h"

enum { READBACK_PIECE_BYTES = 1024 * 1024 };

/* Entries [next_index, end_index) of one group. */
struct readback_cursor {
    const struct group_state *state;
    uint64_t next_index, end_index;
    void *owner;
    struct readback_cursor *next; /* another one read along with it */
};

struct readback_item {
    void *owner; /* of the cursor */
    uint64_t group;
    uint64_t index;
    uint32_t offset; /* in the piece */
    uint32_t payload_bytes;
};

/* One read. Initialize with zeroes; free with readback_clear. */
struct readback_piece {
    struct segment *segment;
    uint64_t offset; /* in the segment */
    size_t size_bytes;
    uint8_t *bytes; /* [capacity_bytes] */
    size_t capacity_bytes;
    struct readback_item *items; /* [count], in the order in which they are to be handed out */
    size_t count, capacity;
};

/*
 * Plan the next read, of about READBACK_PIECE_BYTES but at least one entry, and move the cursors
 * behind it; no item: they are at their ends. What the piece holds is replaced. Errors:
 * OUT_OF_MEMORY.
 */
enum error_code readback_plan(struct readback_cursor *cursors, struct readback_piece *piece,
                              struct error *error);

/* An item of a piece whose bytes were read; the payload lies in them. Errors: CORRUPT (the bytes
 * are not what the recovery has seen). */
enum error_code readback_entry(const struct readback_piece *piece, size_t item,
                               struct journal_entry *entry_out, struct error *error);

void readback_clear(struct readback_piece *piece);

#endif
