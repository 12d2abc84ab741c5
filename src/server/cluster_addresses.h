/*
 * cluster_addresses - cluster.peers, cluster.listen and cluster.advertise, read together.
 */
#ifndef SERVER_CLUSTER_ADDRESSES_H
#define SERVER_CLUSTER_ADDRESSES_H

#include <stddef.h>

#include "meta/meta.h"

#include "settings.h"

struct cluster_addresses {
    char listen[CLUSTER_ADDRESS_BYTES_MAX + 1];    /* host:port to bind */
    char advertise[CLUSTER_ADDRESS_BYTES_MAX + 1]; /* where others find this node */
    struct meta_peer *peers;                       /* [peer_count], the node itself may be one */
    size_t peer_count;
    char *text; /* the peers' memory */
};

/* Errors: INVALID, saying which setting and what it should be; OUT_OF_MEMORY. */
enum error_code cluster_addresses_read(const struct settings *settings,
                                       struct cluster_addresses *addresses_out,
                                       struct error *error);

void cluster_addresses_clear(struct cluster_addresses *addresses);

#endif
