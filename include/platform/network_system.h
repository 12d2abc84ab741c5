/*
 * network_system - the network of a node: sockets, plain or mutual TLS, on each of its loops.
 *
 * The loops of a node share `struct network_lanes`; each has its own network for its lane. All
 * listen on one port (SO_REUSEPORT), and a connection begins with a preamble that says its lane in
 * plain bytes (docs/protocols/transport.md), so that whichever loop accepted it hands the socket to
 * the loop that owns the lane before TLS begins (docs/decisions/0030).
 *
 * Opened, used and closed on its loop's thread.
 */
#ifndef PLATFORM_NETWORK_SYSTEM_H
#define PLATFORM_NETWORK_SYSTEM_H

#include "platform/loop.h"
#include "platform/network.h"

struct network_lanes;
struct tls_context;

/* `lane_count` in [1, NETWORK_LANES_MAX]. NULL when memory is out. */
struct network_lanes *network_lanes_create(uint32_t lane_count);

/* After its networks were closed and their loops destroyed. NULL is fine. */
void network_lanes_destroy(struct network_lanes *lanes);

struct network_system_options {
    struct network_lanes *lanes; /* outlives the loop */
    uint32_t lane;               /* this loop's, one network each */
    struct tls_context *tls;     /* with a CA, for both directions; NULL: plain. Outlives it */
    /* After network_system_close, when nothing of it is left on the loop; NULL: nobody asks. */
    void (*closed)(void *context);
    void *context;
};

/* Errors: OUT_OF_MEMORY. */
enum error_code network_system_open(struct loop *loop, const struct network_system_options *options,
                                    struct network **network_out, struct error *error);

/* After its listeners and streams were closed. The loop must run until `closed`. NULL is fine. */
void network_system_close(struct network *network);

#endif
