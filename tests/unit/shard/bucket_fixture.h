/*
 * bucket_fixture - a shard that leads and uploads to a simulated store.
 */
#ifndef BUCKET_FIXTURE_H
#define BUCKET_FIXTURE_H

#include "shard_harness.h"

#include "base/state_version.h"
#include "shard/shard_bucket.h"
#include "shard_private.h"
#include "simulated_store.h"

enum { GRACE_MS = 10 * 60 * 1000, AGE_MS = 60 * 60 * 1000 };

struct fixture {
    struct harness *harness;
    struct simulated_store store;
    struct shard_bucket bucket;
};

/* Open the harness anew with the bucket; its state, if any, stays. */
static inline void fixture_open(struct fixture *fixture, struct harness *harness)
{
    struct error error;
    harness->options.bucket = &fixture->bucket;
    harness_close(harness);
    if (harness_open(harness, &error) != ERROR_NONE)
        fail_msg("%s", error.message);
    harness_run(harness);
    shard_lead(harness->shard);
    harness_run(harness);
}

static inline struct fixture *fixture_create(uint64_t seed)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->harness = harness_create(seed);
    simulated_store_init(&fixture->store, fixture->harness->environment->base.clock, seed);
    fixture->bucket.store = &fixture->store.base;
    fixture->bucket.delete_grace_ms = GRACE_MS;
    fixture->bucket.sweep_age_ms = AGE_MS;
    fixture->bucket.incarnation = 1;
    fixture_open(fixture, fixture->harness);
    harness_raise(fixture->harness, STATE_VERSION_BUCKET);
    harness_run(fixture->harness);
    return fixture;
}

static inline void fixture_destroy(struct fixture *fixture)
{
    assert_int_equal(fixture->store.overwritten, 0);
    harness_destroy(fixture->harness);
    simulated_store_clear(&fixture->store);
    free(fixture);
}

/* Time goes by for who waits, retries and deletes. */
static inline void wait_ms(struct harness *harness, uint64_t duration_ms, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        harness->environment->clock.now_ns += duration_ms * 1000000 / steps;
        harness_maintain(harness);
    }
}

#endif
