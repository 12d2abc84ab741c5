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
#include "transfer/transfer.h"
#include "transport/transport.h"

/* All peers of a loop together. */
struct network_figures {
    uint64_t peers, peers_connected;
    uint64_t connects, disconnects, refusals, failures, strangers_refused;
    uint64_t sent_messages[TRANSPORT_CLASSES], sent_bytes[TRANSPORT_CLASSES];
    uint64_t received_messages[TRANSPORT_CLASSES], received_bytes[TRANSPORT_CLASSES];
    uint64_t queued_bytes[TRANSPORT_CLASSES];
    uint64_t dropped[TRANSPORT_DROPS];
    uint64_t round_trip_ns_max; /* of the latest pings */
};

struct figures {
    struct network_figures network;
    struct transfer_statistics transfer;
    struct journal_statistics journal;
    struct group_statistics groups;
    struct ingest_statistics ingest;
};

/* What is counted; the places of what comes and goes. */
struct loop_figures_sources {
    const struct journal *journal;
    const struct ingest *ingest;
    struct group_host *const *host; /* each of these may be NULL there */
    struct transport *const *transport;
    struct transfer *const *transfer;
};

struct loop_figures {
    struct scheduler *scheduler;
    struct loop_figures_sources sources;
    struct timer timer;
    pthread_mutex_t lock; /* of `copy` */
    struct figures copy;
};

/* On the loop, or before it runs. Copies at once, then every second. */
void loop_figures_start(struct loop_figures *figures, struct scheduler *scheduler,
                        const struct loop_figures_sources *sources);

/* On the loop, before its journal closes. Reading goes on with the last copy. */
void loop_figures_stop(struct loop_figures *figures);

/* Any thread, after the start. */
void loop_figures_read(struct loop_figures *figures, struct figures *figures_out);

#endif
