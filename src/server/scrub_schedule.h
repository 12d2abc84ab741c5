/*
 * scrub_schedule - the files of a loop's replicas, each read again once in an interval.
 *
 * Rot is found while others have the file still, or before it is needed. Moments of files are
 * spread over the interval (struct shard_scrub_window), so what is left to be remembered is up to
 * which time all were read. On the loop, but for reading.
 */
#ifndef SERVER_SCRUB_SCHEDULE_H
#define SERVER_SCRUB_SCHEDULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/environment.h"
#include "replica/replica.h"
#include "replica/replica_table.h"
#include "shard/shard.h"

struct scrub_schedule_options {
    struct environment *environment;
    struct replica_table *table;
    bool (*is_here)(void *context, uint32_t shard_id); /* the replica is of this loop */
    void *context;
    int64_t interval_ms;       /* > 0 */
    int64_t from_ms;           /* since the Unix epoch: files are read whose moment was after it */
    uint64_t bytes_per_second; /* 0: no limit */
    uint64_t seed;             /* of the node: replicas are read at different times */
};

struct scrub_schedule {
    struct scrub_schedule_options options;
    struct timer timer;
    struct shard_scrub scrub;
    bool is_started, is_stopped;
    uint32_t next_shard;
    int64_t until_ms;                   /* of the turn under way */
    bool is_turning;                    /* one is */
    uint64_t turn_began_ms, turn_bytes; /* monotonic; what it has read */
    /* Any thread. */
    _Atomic int64_t done_until_ms;
    _Atomic uint64_t files, bytes, damaged; /* since the start */
};

/* Before the loop runs. One that is never started is zeroed, and may be stopped. */
void scrub_schedule_start(struct scrub_schedule *schedule,
                          const struct scrub_schedule_options *options);

/* Before replicas close, which end what is being read. */
void scrub_schedule_stop(struct scrub_schedule *schedule);

#endif
