/*
 * tenant_rate - how many samples a second each tenant may send. Private to ingest.
 *
 * A fixed number of token buckets, so that any number of tenants costs the same memory: tenants
 * whose hashes collide share a bucket, which only errs on the strict side when both are at their
 * limit. A bucket holds one second. Belongs to one loop.
 */
#ifndef INGEST_TENANT_RATE_H
#define INGEST_TENANT_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

struct tenant_rate {
    double samples_per_second;
    uint64_t hash_seed;
    struct tenant_bucket *buckets; /* NULL without a limit */
};

/* 0 samples a second is no limit. False when memory is out. */
bool tenant_rate_init(struct tenant_rate *rate, uint64_t samples_per_second, uint64_t hash_seed);
void tenant_rate_clear(struct tenant_rate *rate);

/*
 * Take a request's samples from the tenant's bucket; false when they are not in it. A full bucket
 * takes a request of any size (and is in debt then), else a large one would never pass.
 */
bool tenant_rate_take(struct tenant_rate *rate, struct text tenant, size_t sample_count,
                      uint64_t now_ns);

#endif
