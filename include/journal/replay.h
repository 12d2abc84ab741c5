/*
 * replay - entries that a recovery found, read back and handed out while a loop runs.
 *
 * The groups of a loop share one replay, from the recovery that its journal was opened with: it
 * reads the log once, in its order, and holds no more than a window of bytes that were handed out
 * and not released yet. Belongs to its loop; no callback runs inside a call.
 */
#ifndef JOURNAL_REPLAY_H
#define JOURNAL_REPLAY_H

#include "journal/journal.h"

struct journal_replay;
struct journal_replay_part;

struct journal_replay_options {
    const struct journal *journal; /* the loop's; its environment is used */
    const struct journal_recovery *recovery;
    uint64_t window_bytes; /* 0: 4 MiB; one entry is read however large it is */
};

/* Errors: OUT_OF_MEMORY. */
enum error_code journal_replay_create(const struct journal_replay_options *options,
                                      struct journal_replay **replay_out, struct error *error);

/* NULL is fine. Every part must be removed. */
void journal_replay_destroy(struct journal_replay *replay);

/* Whether it has no part. */
bool journal_replay_is_idle(const struct journal_replay *replay);

struct journal_replay_events {
    void *context;
    /* The next one. The payload stays in place until it is released or the part removed. */
    void (*entry)(void *context, const struct journal_entry *entry);
    /* All were handed out, or none comes any more: IO, OUT_OF_MEMORY, CORRUPT. Once. */
    void (*ended)(void *context, const struct error *error);
};

/*
 * Hand out entries [first_index, end_index) of a recovered group, at least one, in order. Opens the
 * segments they are in. Errors: OUT_OF_MEMORY, IO, NOT_FOUND.
 */
enum error_code journal_replay_add(struct journal_replay *replay, const struct journal_group *group,
                                   uint64_t first_index, uint64_t end_index,
                                   const struct journal_replay_events *events,
                                   struct journal_replay_part **part_out, struct error *error);

/* Entries up to `index` that were handed out are not looked at any more. */
void journal_replay_release(struct journal_replay_part *part, uint64_t index);

/* Nothing is handed out any more, all payloads are void; `removed` runs, last, when no read for it
 * is under way. */
void journal_replay_remove(struct journal_replay_part *part, void (*removed)(void *context));

#endif
