/*
 * latency - how long something takes as a rule: the value below which 95 % of the latest lie.
 *
 * Any thread; what several threads do at once may count twice or not at all.
 */
#ifndef FANOUT_LATENCY_H
#define FANOUT_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

/* Quarters of powers of two nanoseconds. */
enum { LATENCY_BUCKETS = 4 * 40 };

/* Zero-initialised is empty. */
struct latency {
    _Atomic uint32_t counts[LATENCY_BUCKETS];
    _Atomic uint32_t total;
};

void latency_add(struct latency *latency, uint64_t duration_ns);

/* 0: too little was seen. */
uint64_t latency_p95_ns(const struct latency *latency);

#endif
