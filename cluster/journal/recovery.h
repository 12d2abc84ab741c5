/*
 * recovery - what journal_open takes from a recovery.
 */
#ifndef JOURNAL_RECOVERY_H
#define JOURNAL_RECOVERY_H

#include "group_index.h"
#include "journal/journal.h"

/* Referenced; the caller unrefs. */
struct archive *recovery_archive(struct journal_recovery *recovery);

uint64_t recovery_generation(const struct journal_recovery *recovery);

/* Above every sequence found in the lane. */
uint64_t recovery_next_sequence(const struct journal_recovery *recovery, uint32_t lane);

const struct group_index *recovery_index(const struct journal_recovery *recovery);

/* `count` more groups have a durable home in a new segment. Any thread. */
void recovery_adopted(struct journal_recovery *recovery, size_t count);

#endif
