/*
 * federation_private - what the parts of federation share:
 *
 *   federation.c   life, clusters, what is known of a read
 *   transfer.c     HTTP requests and the thread that moves them
 *   target.c, probes.c   where clusters are, and which of them say nothing
 *   distributor.c  sub-queries: this cluster and others as places
 *   source.c, metadata.c, list_set.c   series and the rest of all of them
 *   selection*.c   the bytes of what is asked besides sub-queries, and their answers
 */
#ifndef FEDERATION_FEDERATION_PRIVATE_H
#define FEDERATION_FEDERATION_PRIVATE_H

#include "federation/federation.h"
#include "federation/selection.h"
#include "transfer.h"

enum remote_path { REMOTE_SUB_QUERY, REMOTE_SELECT, REMOTE_PATHS };

/* Texts belong to it. */
struct remote {
    char *name;
    struct target target;
    struct labels labels; /* in the federation's arena */
    _Atomic uint64_t asked, pruned, failed;
    _Atomic uint64_t received_bytes[REMOTE_PATHS];
};

struct federation {
    struct federation_options options; /* without the texts of clusters */
    struct arena *arena;
    struct labels own_labels;
    struct remote *remotes; /* [options.cluster_count] */
    struct transfers *transfers;
};

struct federation_warning {
    struct federation_warning *next;
    size_t cluster;
    char message[512];
};

/* Ask a cluster; `body` is taken over. deadline_ns 0: none. Errors: as transfer_begin. */
enum error_code federation_ask(struct federation_read *read, size_t cluster, enum remote_path path,
                               struct byte_buffer *body, uint64_t deadline_ns,
                               struct transfer **transfer_out, struct error *error);

/* What is left until a deadline, in ms, and at most what a cluster may take; at least 1. */
uint64_t federation_timeout_ms(const struct federation *federation, uint64_t deadline_ns);

/*
 * A cluster failed. NONE: the reading goes on without it, and `warning` says so; otherwise that is
 * the error of the reading. Cancellation and deadline of the query itself stay errors.
 */
enum error_code federation_judge(struct federation_read *read, size_t cluster, char *warning,
                                 size_t warning_bytes, struct error *error);

/* Note a warning, each cluster once. */
void federation_note(struct federation_read *read, size_t cluster, const char *warning);

/* An answer to a sub-query has its end, and that is no failure of the cluster. Errors: CORRUPT,
 * UNAVAILABLE. */
enum error_code federation_check_frames(struct text body, struct error *error);

/* source.c, metadata.c, distributor.c */
extern const struct series_source_operations FEDERATION_SOURCE_OPERATIONS;
extern const struct metadata_source_operations FEDERATION_METADATA_OPERATIONS;
extern const struct promql_distributor_operations FEDERATION_DISTRIBUTOR_OPERATIONS;

#endif
