/*
 * simulated_network - the network between several nodes of one process, on virtual time.
 *
 * Hosts have names; a host's lanes each have a `struct network`. "b:1" is any port of host "b",
 * whose listening lanes share it. Between two hosts there is a link each way with delay, speed and
 * faults; bytes of a stream arrive in order and whole, or not at all:
 *
 *     stall      bytes and new connections wait, as while packets are lost one way
 *     cut        connections fail at both ends, at different moments
 *     refuse     new connections fail at once
 *
 * Of one stream the systems of both sides and the link between them hold at most `buffer_bytes`
 * one way; then writes wait, for a slow link as for a receiver that is paused.
 */
#ifndef SIMULATED_NETWORK_H
#define SIMULATED_NETWORK_H

#include "platform/network.h"
#include "simulated_scheduler.h"

enum { SIMULATED_HOSTS_MAX = 16, SIMULATED_LANES_MAX = 8 };

/* One direction. */
struct simulated_link {
    uint64_t delay_ns_min, delay_ns_max; /* each piece, in order all the same */
    uint64_t bytes_per_s;                /* 0: no limit */
    bool is_stalled;
    bool is_refusing;
    uint64_t free_ns; /* the network's: when the last piece has left */
};

struct simulated_network_counts {
    uint64_t connects, refused, timeouts;
    uint64_t cuts;
    uint64_t delayed_pieces; /* by a stall */
    uint64_t delivered_bytes;
};

struct simulated_lane;
struct simulated_stream;

struct simulated_host {
    char name[32];
    uint32_t lane_count;
    struct simulated_lane *lanes[SIMULATED_LANES_MAX];
};

struct simulated_network {
    struct simulated_scheduler *scheduler;
    struct random_generator random;
    struct simulated_network_counts counts;
    size_t buffer_bytes; /* 64 KiB */
    size_t host_count;
    struct simulated_host hosts[SIMULATED_HOSTS_MAX];
    struct simulated_link links[SIMULATED_HOSTS_MAX][SIMULATED_HOSTS_MAX]; /* [from][to] */
    struct simulated_stream *streams;
};

/* 50 to 500 us of delay and no faults until told otherwise. */
void simulated_network_init(struct simulated_network *network,
                            struct simulated_scheduler *scheduler, uint64_t seed);

/* Every stream and listener must have been closed. */
void simulated_network_clear(struct simulated_network *network);

/* A host with `lane_count` lanes; its number. */
size_t simulated_network_add(struct simulated_network *network, const char *name,
                             uint32_t lane_count);

/* As its transport sees it; lives as long as the network. */
struct network *simulated_network_lane(struct simulated_network *network, size_t host,
                                       uint32_t lane);

/* --- Faults -------------------------------------------------------------------------------- */

/* Both ways, or one. What waited goes on when it ends. */
void simulated_network_stall(struct simulated_network *network, size_t from, size_t to,
                             bool is_stalled);
void simulated_network_partition(struct simulated_network *network, size_t one, size_t other,
                                 bool is_apart);

/* All connections between the two. */
void simulated_network_cut(struct simulated_network *network, size_t one, size_t other);

/* The ends at `here` of connections to `there` fail, and the other ends hear nothing of it. */
void simulated_network_lose(struct simulated_network *network, size_t here, size_t there);

/* Open ends of streams, closed ones that are not gone yet included. */
size_t simulated_network_stream_count(const struct simulated_network *network);

#endif
