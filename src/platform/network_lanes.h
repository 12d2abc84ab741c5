/*
 * network_lanes - how a socket comes from the loop that accepted it to the loop of its lane.
 */
#ifndef PLATFORM_NETWORK_LANES_H
#define PLATFORM_NETWORK_LANES_H

#include "platform/network_system.h"

/* --- Preamble ------------------------------------------------------------------------------ */

enum { PREAMBLE_BYTES = 16 };

void preamble_encode(uint8_t target[PREAMBLE_BYTES], uint32_t lane);

/* Errors: INVALID (not one of ours), CORRUPT. */
enum error_code preamble_decode(const uint8_t bytes[PREAMBLE_BYTES], uint32_t *lane_out,
                                struct error *error);

/* --- Handing over -------------------------------------------------------------------------- */

struct lane_owner {
    struct scheduler *scheduler;
    /* On the owner's loop; the descriptor is its from now on. */
    void (*taken)(void *context, int descriptor);
    void *context;
};

void network_lanes_register(struct network_lanes *lanes, uint32_t lane,
                            const struct lane_owner *owner);

/* On the owner's loop. Sockets that are on their way to it are closed. */
void network_lanes_unregister(struct network_lanes *lanes, uint32_t lane);

/* To the owner of `lane` modulo the number of lanes, closed when there is none. Any thread. */
void network_lanes_hand_over(struct network_lanes *lanes, uint32_t lane, int descriptor);

#endif
