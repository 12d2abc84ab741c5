/*
 * loop_figures - statistics that belong to a loop, where every thread may read them.
 *
 * Journal, group host and ingest count without locks, for their loop only. A timer on the loop
 * copies their figures once a second; /metrics reads the copy.
 */
#ifndef SERVER_LOOP_FIGURES_H
#define SERVER_LOOP_FIGURES_H

#include <pthread.h>

#include "group/group.h"
#include "ingest/ingest.h"
#include "journal/journal.h"

struct figures {
    struct journal_statistics journal;
    struct group_statistics groups;
    struct ingest_statistics ingest;
};

struct loop_figures {
    struct scheduler *scheduler;
    const struct journal *journal;
    struct group_host *const *host; /* may be NULL, for now */
    const struct ingest *ingest;
    struct timer timer;
    pthread_mutex_t lock; /* of `copy` */
    struct figures copy;
};

/* On the loop, or before it runs. Copies at once, then every second. */
void loop_figures_start(struct loop_figures *figures, struct scheduler *scheduler,
                        const struct journal *journal, struct group_host *const *host,
                        const struct ingest *ingest);

/* On the loop, before its journal closes. Reading goes on with the last copy. */
void loop_figures_stop(struct loop_figures *figures);

/* Any thread, after the start. */
void loop_figures_read(struct loop_figures *figures, struct figures *figures_out);

#endif
