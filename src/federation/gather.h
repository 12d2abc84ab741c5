/*
 * gather - one selection, asked of all other clusters that can have what it selects.
 *
 * They are asked when it begins, and waited for one after the other.
 */
#ifndef FEDERATION_GATHER_H
#define FEDERATION_GATHER_H

#include "federation_private.h"

struct gather {
    struct federation_read *read;
    uint64_t deadline_ns;
    struct transfer *transfers[FEDERATION_CLUSTERS_MAX]; /* NULL: not asked, or taken over */
    size_t next;
};

/* `selection` has all but the external labels and the timeout. Errors: WOULD_WAIT, OUT_OF_MEMORY;
 * then there is nothing to end. */
enum error_code gather_begin(struct gather *gather, struct federation_read *read,
                             const struct selection *selection, uint64_t deadline_ns,
                             struct error *error);

/*
 * The next whole answer; `*cluster_out` is SIZE_MAX when there are no more. Clusters that the read
 * may go without are passed over, with a warning. Errors: of the read.
 */
enum error_code gather_next(struct gather *gather, size_t *cluster_out, struct text *body_out,
                            struct error *error);

/* What of an answer makes no sense is the cluster's failure as well: NONE goes on without it. */
enum error_code gather_refuse(struct gather *gather, size_t cluster, struct error *error);

void gather_end(struct gather *gather);

#endif
