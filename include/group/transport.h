/*
 * transport - how the messages of groups reach other nodes; owned by this module, implemented
 * by cluster/transport and by simulations.
 *
 * Messages are bytes (docs/formats/raft-message.md). The network may lose, repeat, delay and
 * reorder them, but must not alter them: a transport checks integrity and who the sender is.
 */
#ifndef GROUP_TRANSPORT_H
#define GROUP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message of more is refused by the receiver, whatever sent it. */
enum { GROUP_MESSAGE_BYTES_MAX = 64 * 1024 * 1024 };

struct group_transport;

struct group_transport_operations {
    /*
     * Send `bytes` (from malloc, the transport's from now on, also on failure) to `node_id`,
     * where they go to group_host_receive. False when the node cannot be reached or its budget
     * is used up: the group then slows down for that node. Never calls back into the group.
     */
    bool (*send)(struct group_transport *self, uint64_t group_id, uint64_t node_id, uint8_t *bytes,
                 size_t size_bytes);
};

struct group_transport {
    const struct group_transport_operations *operations;
};

#endif
