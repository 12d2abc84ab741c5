/*
 * simulated_store - an object store in memory, on virtual time, with faults from one seed.
 *
 * Calls fail before they had an effect, or after they had it; listings show what was there some
 * time ago. It remembers every content that a key ever had: writers of this program never give one
 * key two contents. One thread.
 */
#ifndef SIMULATED_STORE_H
#define SIMULATED_STORE_H

#include "object/object_store.h"
#include "platform/clock.h"
#include "platform/random.h"

struct simulated_object {
    char *key;
    uint8_t *bytes;
    size_t size_bytes;
    int64_t put_ms;     /* wall clock */
    uint64_t put_ns;    /* monotonic: first put since it was gone */
    uint64_t gone_ns;   /* UINT64_MAX: it is there */
    uint64_t put_count; /* also those that changed nothing */
};

struct simulated_store {
    struct object_store base;
    struct clock *clock;
    struct random_generator random;
    struct simulated_object *objects; /* [count], also those that are gone */
    size_t count;

    /* Set by tests at any time. */
    uint32_t fail_before_permille, fail_after_permille;
    bool is_down;            /* all calls fail: UNAVAILABLE */
    uint64_t listing_lag_ns; /* up to so old, differently each time */

    uint64_t calls, puts, removals; /* puts and removals that had an effect, or none but success */
    uint64_t overwritten; /* puts of other bytes under a key of before: an error of ours */
};

void simulated_store_init(struct simulated_store *store, struct clock *clock, uint64_t seed);
void simulated_store_clear(struct simulated_store *store);

/* What is there now; NULL: nothing. */
const struct simulated_object *simulated_store_find(const struct simulated_store *store,
                                                    const char *key);
/* How many objects are there whose keys begin so. */
size_t simulated_store_count(const struct simulated_store *store, const char *prefix);

#endif
