/*
 * object_store_probe - whether a store does what it must, asked with an object that is made for it.
 */
#ifndef OBJECT_OBJECT_STORE_PROBE_H
#define OBJECT_OBJECT_STORE_PROBE_H

#include <stdint.h>

#include "base/error.h"
#include "object/object_store.h"

struct clock;
struct random;

/* A step has ended: "put", "read", ... in the order of time; error->code is NONE on success. */
typedef void object_store_probe_report(void *context, const char *step, uint64_t duration_ns,
                                       const struct error *error);

struct object_store_probe_options {
    struct clock *clock;
    struct random *random;
    object_store_probe_report *report;
    void *context;
};

/*
 * Put an object of a random name below "probe/", look at its head, read it whole and in ranges,
 * find it in a list, remove it, see that it is gone, and look for unfinished puts. Ends at the
 * first step that fails, with the object removed if that can be done.
 *
 * Errors: those of the step; CORRUPT where the store answers something else than it was given.
 */
enum error_code object_store_probe(struct object_store *store, const struct object_call *call,
                                   const struct object_store_probe_options *options,
                                   struct error *error);

#endif
