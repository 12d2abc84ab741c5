/*
 * group_journal - a journal in memory with the contract of journal/journal.h, for runs of
 * consensus that need many seeds in little time: no encoding, but the same order, delay and loss.
 * What was submitted and not finished may or may not be there after a crash, a prefix of it.
 */
#ifndef GROUP_JOURNAL_H
#define GROUP_JOURNAL_H

#include "journal/journal.h"
#include "simulated_scheduler.h"

struct group_medium; /* what survives */

enum group_medium_mode {
    MEDIUM_DURABLE,
    MEDIUM_LYING, /* requests finish before they are stored: shows that tests notice */
};

struct group_medium *group_medium_create(struct simulated_scheduler *scheduler,
                                         enum group_medium_mode mode);
void group_medium_destroy(struct group_medium *medium);

/* Requests take up to this long; 0 is one millisecond. */
void group_medium_set_delay(struct group_medium *medium, uint64_t delay_ms);

struct journal *group_medium_open(struct group_medium *medium);
struct journal_recovery *group_medium_recover(struct group_medium *medium);

/* Nothing finishes any more; close and open again. */
void group_medium_crash(struct group_medium *medium);

#endif
