#include "internal.h"

#include <stdlib.h>

/*
 * A lean log is small segments and no spares. Little lives after a freeze: snapshots and the last
 * entries. They are copied into a small segment, so that nothing holds the larger ones before it.
 *
 *   lean -> spares and large ready segments removed -> a small segment prepared, and rolled to
 *        -> live records of every older segment copied -> older segments released, removed
 *
 * Each step is one that a journal under load makes too, so a crash in between is nothing new.
 */

static uint64_t padding_of(struct segment *segment)
{
    return atomic_load(&segment->live_bytes) > 0 ? BLOCK_BYTES + BATCH_HEADER_BYTES : 0;
}

/* What the small segment has to hold behind its checkpoint: all that lives, padded once for each
 * segment it comes from, and the mark of the end. */
static uint64_t small_segment_needs(const struct journal *journal)
{
    uint64_t bytes = journal->statistics.live_bytes + padding_of(journal->current) + BLOCK_BYTES;
    for (size_t i = 0; i < journal->archive->count; i++)
        bytes += padding_of(journal->archive->segments[i]);
    for (struct segment *segment = journal->used; segment != NULL; segment = segment->next)
        bytes += padding_of(segment);
    return bytes;
}

static bool is_worth_it(const struct journal *journal)
{
    return (checkpoint_bytes(journal) + small_segment_needs(journal)) * 2 <=
           journal->options.segment_bytes_lean;
}

static bool is_small(const struct journal *journal)
{
    return journal->current->size_bytes <= journal->options.segment_bytes_lean;
}

bool trim_copies(const struct journal *journal)
{
    return journal->lean && is_small(journal) && is_worth_it(journal);
}

bool trim_step(struct journal *journal)
{
    bool possible = journal->lean && !journal->failed && !journal->close_written &&
                    journal->space == JOURNAL_SPACE_OK;
    if (!possible) {
        journal->trimming = false;
        return false;
    }
    bool rolls = !is_small(journal) && is_worth_it(journal);
    journal->wanted_bytes = journal->options.segment_bytes_lean;
    supply_give_back(journal, journal->closing && !rolls ? 0 : journal->options.segment_bytes_lean);
    journal->trimming = rolls;
    if (rolls) {
        if (!segment_roll(journal, small_segment_needs(journal)))
            return !journal->failed;
        journal->trimming = false;
        journal->statistics.trims++;
        return true;
    }
    copier_look(journal);
    return journal->copy != NULL;
}
