/*
 * group_medium - the stable storage of a simulated node, in two kinds that are linked one or the
 * other:
 *
 * - group/journal_in_memory.c: a journal with the contract of journal/journal.h and nothing on
 *   it, for many seeds in little time. A crash keeps a prefix of what was not finished.
 * - group/journal_on_disk.c: the real one, on a simulated disk that loses and tears writes.
 */
#ifndef GROUP_MEDIUM_H
#define GROUP_MEDIUM_H

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

/* Requests take up to this long, and half of it at least where it is seconds; 0 is as fast as can
 * be. */
void group_medium_set_delay(struct group_medium *medium, uint64_t delay_ms);

/* Recover, then open. The recovery is the caller's. NULL and a reason in `error` when what was
 * stored cannot be read. */
struct journal_recovery *group_medium_recover(struct group_medium *medium, struct error *error);
struct journal *group_medium_open(struct group_medium *medium, struct journal_recovery *recovery,
                                  struct error *error);

/* Nothing finishes any more; close and open again. */
void group_medium_crash(struct group_medium *medium);

#endif
