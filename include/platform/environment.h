/*
 * environment - the world of one loop thread: disk, clock, randomness, work.
 *
 * Storage and consensus code reach the world through it only, so that the simulation can stand
 * in for all of it from one seed. The transport between nodes stands on `network`
 * (platform/network.h).
 */
#ifndef PLATFORM_ENVIRONMENT_H
#define PLATFORM_ENVIRONMENT_H

#include "platform/clock.h"
#include "platform/disk.h"
#include "platform/random.h"
#include "platform/scheduler.h"

struct network;

/* All parts outlive who uses them. */
struct environment {
    struct scheduler *scheduler;
    struct disk *disk;
    struct clock *clock;
    struct random *random;
    struct network *network; /* NULL on a node without peers */
};

#endif
